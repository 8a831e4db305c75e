package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact"
)

const secretNode = "payroll-db-7"

// site is what a collection looks like that has something to leave out.
func site() map[string]string {
	files := contents()
	delete(files, "collection/plan.json")
	for path, content := range map[string]string{
		"nodes/" + secretNode + "/node.json":                   `{"name":"` + secretNode + `","cpu":"a chip of its own"}`,
		"nodes/" + secretNode + "/0/proc/net/tcp":              "sl local_address of the secret node\n",
		"nodes/" + secretNode + "/pci/0000%3A00%3A1f.6/vendor": "0x8086 behind an escape\n",
		"nodes/n1/0/proc/net/tcp":                              "sl local_address\n",
		"captures/pod_a_b/n1__eth0.pcapng":                     "packets of n1, as far as a test goes\n",
		"captures/pod_a_b/n1__eth0.json":                       `{"path":"captures/pod_a_b/n1__eth0.pcapng"}`,
		"captures/pod_a_b/" + secretNode + "__eth0.pcapng":     "packets of the secret node\n",
		"captures/pod_a_b/" + secretNode + "__eth0.json":       `{"path":"captures/pod_a_b/` + secretNode + `__eth0.pcapng"}`,
		"captures/pod_a_b/capture.json":                        `{"name":"pod_a_b","points":["n1","` + secretNode + ` pod/a/b"]}` + "\n",
		"collection/plan.json":                                 `{"command":"collect","nodes":"all"}` + "\n",
		"collection/log.ndjson":                                `{"text":"begin"}` + "\n" + `{"text":"asked nodes/` + secretNode + `: slow"}` + "\n" + `{"text":"node ` + secretNode + ` is not ready"}` + "\n",
		"collection/journal/1.ndjson":                          `{"source":"node/` + secretNode + `","status":"ok"}` + "\n",
		"collection/redaction.json":                            `{"policy":"standard","payload":"default","rules":{"jwt":3},"paths":{"nodes/` + secretNode + `/node.json":{"jwt":2},"nodes/n1/node.json":{"jwt":1}}}` + "\n",
		"collection/results.ndjson": `{"source":"node/n1","path":"nodes/n1/0/proc/net/tcp","status":"ok","bytes":17,"millis":1}` + "\n" +
			`{"source":"node/` + secretNode + `","path":"nodes/` + secretNode + `/0/proc/net/udp","status":"denied","bytes":0,"millis":1}` + "\n" +
			`{"source":"node/` + secretNode + `","path":"nodes/` + secretNode + `/pci/0000:00:1f.6/vendor","status":"ok","bytes":24,"millis":1}` + "\n",
	} {
		files[path] = content
	}
	return files
}

func dropSecret(path string) bool { return !strings.Contains(path, secretNode) }

// makeSite writes files as they are, and one entry in three parts.
func makeSite(t testing.TB, files map[string]string, parts string, s Signer) []byte {
	t.Helper()
	var out, fragment bytes.Buffer
	w := newTestWriter(t, &out)
	same := func(_ string, r io.Reader) io.Reader { return r }
	w.redact = same
	for _, p := range sortedKeys(files) {
		put(t, w, p, classOf(p), files[p])
	}
	if parts != "" {
		f, err := NewFragment(&fragment, options(t))
		if err != nil {
			t.Fatal(err)
		}
		f.redact = same
		put(t, f, "nodes/n1/logs/kernel.log", ClassLogs, parts)
		if err := errors.Join(f.Close(), w.Frames([]string{"nodes/n1"}, &fragment)); err != nil {
			t.Fatal(err)
		}
	}
	closeWriter(t, w, s)
	return out.Bytes()
}

func derive(t testing.TB, r *Reader, o DeriveOptions) ([]byte, *Derived) {
	t.Helper()
	if o.Random == nil {
		o.Random = seeded(5)
	}
	o.SpoolDir = t.TempDir()
	var out bytes.Buffer
	d, err := Derive(t.Context(), r, &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), d
}

// originIn opens a derived bundle and checks all of it.
func originIn(t testing.TB, b []byte, v, first Verifier) (*Reader, *OriginReport) {
	t.Helper()
	r := openBytes(t, b, v)
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	o, err := r.Origin(first)
	if err != nil {
		t.Fatal(err)
	}
	return r, o
}

func TestDerive(t *testing.T) {
	s, v := testSigner(t)
	s2, v2 := otherSigner(t)
	files, log := site(), lines(7, 9<<20)
	src := makeSite(t, files, log, s)
	b, d := derive(t, openBytes(t, src, v), DeriveOptions{Keep: dropSecret, Signer: s2, By: "a test"})
	r, o := originIn(t, b, v2, v)
	altered := []string{"captures/pod_a_b/capture.json", "collection/journal/1.ndjson", "collection/log.ndjson", "collection/redaction.json", "collection/results.ndjson"}
	if diff := cmp.Diff(altered, d.Altered); diff != "" {
		t.Error(diff)
	}
	if !o.Trusted || o.Manifest == nil || o.Kept != d.Kept || o.Altered != len(altered) || o.Added != 0 || len(d.Dropped) != 5 || d.NoOrigin != "" {
		t.Errorf("origin %+v\nderived %+v", o, d)
	}
	for path, want := range files {
		got, err := fs.ReadFile(r, path)
		switch {
		case !dropSecret(path):
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still there", path)
			}
		case err != nil:
			t.Error(err)
		case slices.Contains(altered, path) == o.Original(path):
			t.Errorf("%s: said to be as it was: %v", path, o.Original(path))
		case o.Original(path) && string(got) != want:
			t.Errorf("%s is not as it was", path)
		}
	}
	got, err := r.ReadFile("nodes/n1/logs/kernel.log")
	if err != nil || string(got) != log || !o.Original("nodes/n1/logs/kernel.log") {
		t.Errorf("the entry in parts: %d bytes, %v", len(got), err)
	}
	if o.Original("origin/proof.txt") {
		t.Error("the proof is no file of the first bundle")
	}
	checkCut(t, r)
	if c := r.Manifest().Completeness; !c.Complete || c.Results["ok"] != 1 || c.Results["skipped"] != 1 || len(c.Results) != 2 {
		t.Errorf("completeness %+v", c)
	}
	// Somebody who knows neither key can still check that it fits together.
	if o, err := r.Origin(nil); err != nil || o.Trusted {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := r.Origin(v2); err != nil || o.Trusted {
		t.Errorf("%+v, %v", o, err)
	}
}

// checkCut looks at the entries from which something was taken out.
func checkCut(t *testing.T, r *Reader) {
	t.Helper()
	for path, want := range map[string]string{
		"collection/log.ndjson":         `{"text":"begin"}` + "\n",
		"collection/journal/1.ndjson":   "",
		"collection/redaction.json":     `{"paths":{"nodes/n1/node.json":{"jwt":1}},"payload":"default","policy":"standard","rules":{"jwt":1}}` + "\n",
		"captures/pod_a_b/capture.json": `{"name":"pod_a_b","points":["n1"]}` + "\n",
		"collection/results.ndjson": `{"source":"node/n1","path":"nodes/n1/0/proc/net/tcp","status":"ok","bytes":17,"millis":1}` + "\n" +
			`{"bytes":0,"millis":0,"reason":"5 files left out by a test","source":"bundle redact","status":"skipped"}` + "\n",
	} {
		got, err := r.ReadFile(path)
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func readFile(t testing.TB, r *Reader, path string) []byte {
	t.Helper()
	b, err := r.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What a redactor changes is told from what it leaves; an entry in parts changes
// in its second one.
func TestDeriveRedacts(t *testing.T) {
	s, v := testSigner(t)
	log := []byte(lines(7, 9<<20))
	copy(log[6<<20:], "\npassword=hunter2hunter2\n")
	files := map[string]string{
		"nodes/n1/plain.log":        "nothing to see\n",
		"nodes/n1/kubelet.log":      "token: password=hunter2hunter2\n",
		"nodes/n1/blob":             "\xff\xfe\x00not text",
		"collection/redaction.json": `{"policy":"standard","payload":"default","rules":{"jwt":1},"paths":{"nodes/n1/plain.log":{"jwt":1}}}` + "\n",
		"collection/log.ndjson":     `{"text":"nodes/n1/blob is odd"}` + "\n",
		"collection/results.ndjson": `{"source":"node/n1","path":"nodes/n1/blob","status":"ok","bytes":11,"millis":0}` + "\n",
	}
	src := openBytes(t, makeSite(t, files, string(log), s), v)
	red, err := redact.New(redact.PolicyStandard, redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, d := derive(t, src, DeriveOptions{Redactor: red, Signer: s})
	r, o := originIn(t, b, v, v)
	want := []string{"collection/log.ndjson", "collection/redaction.json", "collection/results.ndjson", "nodes/n1/kubelet.log", "nodes/n1/logs/kernel.log.part0002", "nodes/n1/logs/kernel.log.part0003.end"}
	if diff := cmp.Diff(want, d.Altered); diff != "" {
		t.Error(diff)
	}
	if len(d.Unredacted) != 1 || d.Unredacted[0].Path != "nodes/n1/blob" || !errors.Is(d.Unredacted[0].Err, redact.ErrRedaction) {
		t.Errorf("left out: %v", d.Unredacted)
	}
	if !o.Original("nodes/n1/plain.log") || !o.Original("nodes/n1/logs/kernel.log.part0001") || o.Original("nodes/n1/logs/kernel.log") {
		t.Error("parts are told apart wrongly")
	}
	got, err := r.ReadFile("nodes/n1/logs/kernel.log")
	if err != nil || bytes.Contains(got, []byte("hunter2")) || !bytes.HasPrefix(got, log[:6<<20]) || len(got) < 9<<20 {
		t.Errorf("the entry in parts: %d bytes, %v", len(got), err)
	}
	var sum redact.Summary
	if err := json.Unmarshal(readFile(t, r, redact.SummaryPath), &sum); err != nil {
		t.Error(err)
	}
	if sum.Rules["jwt"] != 1 || len(sum.Paths) != 3 || len(sum.Paths["nodes/n1/kubelet.log"]) != 1 {
		t.Errorf("summary %+v", sum)
	}
	if c := r.Manifest().Completeness; c.Complete || c.Results["failed"] != 1 {
		t.Errorf("completeness %+v", c)
	}
	for _, f := range r.Files() {
		if got, err := r.ReadFile(f.Path); err != nil || bytes.Contains(got, []byte("n1/blob")) || bytes.Contains(got, []byte("hunter2")) {
			t.Errorf("%s: %q, %v", f.Path, got[:min(len(got), 200)], err)
		}
	}
}

func TestDeriveEdges(t *testing.T) {
	s, v := testSigner(t)
	src := makeSite(t, site(), "", s)
	open := func() *Reader { return openBytes(t, src, v) }

	b, d := derive(t, open(), DeriveOptions{Signer: s})
	if _, o := originIn(t, b, v, v); o.Kept != o.Leaves || o.Altered+o.Added != 0 || len(d.Dropped) != 0 {
		t.Errorf("nothing dropped: %+v", o)
	}
	again, _ := derive(t, open(), DeriveOptions{Signer: s})
	if !bytes.Equal(b, again) {
		t.Error("the same source, options and random give other bytes")
	}

	b, d = derive(t, open(), DeriveOptions{Keep: func(string) bool { return false }, Signer: s})
	if r, o := originIn(t, b, v, v); o.Kept+o.Altered+o.Added != 0 || len(d.Dropped) != len(site()) || len(r.Files()) != 4 {
		t.Errorf("all dropped: %+v", o)
	}

	b, _ = derive(t, open(), DeriveOptions{Keep: dropSecret, Signer: s, HideNames: true, Top: "casefile-x", Info: &Info{Producer: "p"}})
	r, o := originIn(t, b, v, v)
	if o.Manifest != nil || !o.Trusted || r.Manifest().Top != "casefile-x" || r.Manifest().Cluster != nil {
		t.Errorf("names hidden: %+v", o)
	}
	for _, text := range searchable(t, b) {
		if bytes.Contains(text, []byte("prod <eu>")) || bytes.Contains(text, []byte("casefile-test-")) {
			t.Error("the cluster is still named")
		}
	}

	b, _ = derive(t, open(), DeriveOptions{Keep: dropSecret})
	if r, err := OpenUnverified(bytes.NewReader(b), int64(len(b))); err != nil {
		t.Error(err)
	} else if o, err := r.Origin(v); err != nil || !o.Trusted {
		t.Errorf("an unsigned bundle of a signed one: %+v, %v", o, err)
	}

	plain := makeSite(t, site(), "", nil)
	r, err := OpenUnverified(bytes.NewReader(plain), int64(len(plain)))
	if err != nil {
		t.Fatal(err)
	}
	b, d = derive(t, r, DeriveOptions{Keep: dropSecret, Signer: s})
	if _, o := originIn(t, b, v, v); o != nil || d.NoOrigin == "" {
		t.Errorf("an unsigned source: %+v, %q", o, d.NoOrigin)
	}
}

func TestDeriveFails(t *testing.T) {
	s, v := testSigner(t)
	src := makeSite(t, site(), "", s)
	broken := slices.Clone(src)
	broken[40] ^= 1
	r := openBytes(t, broken, v)
	if _, err := Derive(t.Context(), r, io.Discard, DeriveOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged source: %v", err)
	}
	if _, err := Derive(t.Context(), openBytes(t, src, v), &fullDisk{room: 2000}, DeriveOptions{}); err == nil {
		t.Error("a full disk goes unnoticed")
	}
	files := site()
	files["origin/note.txt"] = "in the way\n"
	if _, err := Derive(t.Context(), openBytes(t, makeSite(t, files, "", s), v), io.Discard, DeriveOptions{}); !errors.Is(err, ErrPath) {
		t.Errorf("an entry in the way: %v", err)
	}
}

func TestMentions(t *testing.T) {
	m := hide(map[string]bool{"nodes/n1/a.log": true, "nodes/n2/x": true, "nodes/n2/y/z": true, "nodes/n1/b%3Ac": true},
		[]node{{path: "nodes/n1/a.log.1"}, {path: "nodes/n1/b"}})
	for text, want := range map[string]bool{
		"":                               false,
		"nodes/n1":                       false,
		"nodes/n1/a":                     false,
		"nodes/n1/a.log":                 true,
		"lost nodes/n1/a.log, sorry":     true,
		"nodes/n1/a.log2":                false,
		"xnodes/n1/a.log":                false,
		"top/nodes/n1/a.log":             true,
		"nodes/n1/b":                     false,
		"nodes/n1/b:c":                   true,
		"nodes/n2/0/whatever":            true,
		"nodes/n20":                      false,
		"n2":                             true,
		"the node n2: is slow":           true,
		"n21 n-n2 n2-x":                  false,
		strings.Repeat("nodes/", 20_000): false,
	} {
		if got := m.in(text, true); got != want {
			t.Errorf("%.60q: %v", text, got)
		}
	}
	if m.in("the node n2", false) {
		t.Error("a word counts where only paths do")
	}
	escaped, err := json.Marshal(map[string]any{"a": []any{map[string]string{"k": "nodes/n1/a.log"}}})
	if err != nil {
		t.Fatal(err)
	}
	escaped = bytes.ReplaceAll(escaped, []byte("nodes/"), []byte(`\u006eodes\/`))
	if !m.inJSON(escaped, true) {
		t.Errorf("not found in %s", escaped)
	}
}
