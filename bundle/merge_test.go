package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sealedOf makes a bundle of files with an id and times of its own.
func sealedOf(t testing.TB, seed uint64, files map[string]string, s Signer, change func(*Info)) *Reader {
	t.Helper()
	var out bytes.Buffer
	a, err := newCopier(Options{Top: "casefile-test-20260726T120000Z", Time: time.Unix(1_790_000_000+int64(seed), 0), SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := a.writer(&out, seeded(seed))
	for _, p := range sortedKeys(files) {
		if _, err := w.store(p, classOf(p), strings.NewReader(files[p])); err != nil {
			t.Fatal(err)
		}
	}
	info := Info{Producer: "test", Redaction: &Redaction{Policy: "standard", Payload: "default"}}
	if change != nil {
		change(&info)
	}
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	r, err := OpenUnverified(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func clusterFiles() map[string]string {
	return map[string]string{
		"cluster/version.json":                  `{"gitVersion":"v1"}`,
		"nodes/n1/node.json":                    `{"name":"n1"}`,
		"nodes/n2/0/proc/net/tcp":               "as far as the broken stream went\n",
		"captures/host/n1__host.pcapng":         "packets of n1, as far as a test goes\n",
		"captures/host/capture.json":            `{"name":"host"}`,
		"collection/plan.json":                  `{"command":"collect"}`,
		"collection/redaction.json":             `{"policy":"standard","payload":"default","rules":{"jwt":1},"paths":{"nodes/n1/node.json":{"jwt":1}}}` + "\n",
		"collection/results.ndjson":             `{"source":"cluster","path":"cluster/version.json","status":"ok","bytes":1,"millis":1}` + "\n" + `{"source":"node/n2","status":"failed","reason":"no route","bytes":0,"millis":1}` + "\n",
		"nodes/n1/logs/kernel.log.part0001":     "one\n",
		"nodes/n1/logs/kernel.log.part0002.end": "two\n",
		"findings/report.json":                  `{}`,
	}
}

func hostFiles(node string) map[string]string {
	return map[string]string{
		"nodes/" + node + "/node.json":              `{"name":"` + node + `"}`,
		"nodes/" + node + "/0/proc/net/tcp":         "all of it\n",
		"captures/host/" + node + "__host.pcapng":   "packets of the host, as far as a test goes\n",
		"captures/host/capture.json":                `{"name":"host","points":["` + node + `"]}`,
		"collection/plan.json":                      `{"command":"collect","host":true}`,
		"collection/redaction.json":                 `{"policy":"standard","payload":"full","rules":{"jwt":2},"paths":{"nodes/` + node + `/node.json":{"jwt":2}}}` + "\n",
		"collection/results.ndjson":                 `{"source":"node/` + node + `","path":"nodes/` + node + `/node.json","status":"ok","bytes":1,"millis":1}` + "\n",
		"nodes/" + node + "/big.log":                strings.Repeat("a long file, so that it has frames of its own\n", 60_000),
		"nodes/" + node + "/netns/1/0/proc/net/tcp": "",
	}
}

func merge(t testing.TB, o MergeOptions, sources ...MergeSource) (*Reader, *MergeResult) {
	t.Helper()
	s, v := testSigner(t)
	o.Top, o.Plan, o.Signer, o.Random, o.SpoolDir = "casefile-merged", []byte("{}\n"), s, seeded(99), t.TempDir()
	var out bytes.Buffer
	res, err := Merge(t.Context(), &out, sources, o)
	if err != nil {
		t.Fatal(err)
	}
	r := openBytes(t, out.Bytes(), v)
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return r, res
}

// All that was in the sources is in the merged bundle, and can be shown to be.
func TestMerge(t *testing.T) {
	s, v := testSigner(t)
	from, to := time.Unix(1000, 0).UTC(), time.Unix(2000, 0).UTC()
	a := sealedOf(t, 1, clusterFiles(), s, func(i *Info) {
		i.Cluster, i.Labels, i.Note = &Cluster{Name: "prod", UID: "u"}, map[string]string{"k": "a"}, "first"
		i.Incident = &Window{From: from, To: from}
	})
	b := sealedOf(t, 2, hostFiles("n2"), s, func(i *Info) {
		i.Cluster, i.Labels, i.Note = &Cluster{Name: "n2"}, map[string]string{"k": "b", "l": "b"}, "second"
		i.Incident, i.Redaction = &Window{From: to, To: to}, &Redaction{Policy: "strict", Payload: "full"}
	})
	c := sealedOf(t, 3, hostFiles("n2"), nil, nil)
	r, res := merge(t, MergeOptions{}, MergeSource{Reader: b, Name: "b"}, MergeSource{Reader: a, Name: "a"}, MergeSource{Reader: c, Name: "c", Rename: map[string]string{"n2": "db"}})
	if !slices.Equal(res.Filled, []string{"n2"}) {
		t.Errorf("filled %q", res.Filled)
	}
	at := map[*Reader]string{a: mergedDir + a.manifest.ID + "/", b: mergedDir + b.manifest.ID + "/", c: mergedDir + c.manifest.ID + "/"}
	for path, want := range map[string]string{
		"cluster/version.json":            clusterFiles()["cluster/version.json"],
		"nodes/n1/logs/kernel.log":        "one\ntwo\n",
		"nodes/n2/0/proc/net/tcp":         "all of it\n",
		at[a] + "nodes/n2/0/proc/net/tcp": "as far as the broken stream went\n",
		"nodes/db/0/proc/net/tcp":         "all of it\n",
		"captures/host/n2__host.pcapng":   hostFiles("n2")["captures/host/n2__host.pcapng"],
		"captures/host-2/n1__host.pcapng": clusterFiles()["captures/host/n1__host.pcapng"],
		"captures/host-3/db__host.pcapng": hostFiles("n2")["captures/host/n2__host.pcapng"],
		at[a] + "plan.json":               `{"command":"collect"}`,
		at[b] + "plan.json":               `{"command":"collect","host":true}`,
		at[a] + "findings/report.json":    `{}`,
		"collection/plan.json":            "{}\n",
		"nodes/n2/big.log":                hostFiles("n2")["nodes/n2/big.log"],
		at[b] + "sealed/" + nameManifest:  string(manifestOf(b)),
		"nodes/db/netns/1/0/proc/net/tcp": "",
		at[c] + "results.ndjson":          hostFiles("n2")["collection/results.ndjson"],
	} {
		if got, err := r.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %.100q, %v", path, got, err)
		}
	}
	m := r.Manifest()
	if m.Cluster.Name != "prod" || m.Labels["k"] != "b" || m.Labels["l"] != "b" || m.Note != "second; first" || !m.Incident.From.Equal(from) || !m.Incident.To.Equal(to) ||
		m.Redaction.Policy != "standard" || m.Redaction.Payload != "full" || !m.Created.Equal(a.manifest.Created) || !m.Completeness.Complete {
		t.Errorf("manifest %+v %+v %+v %+v", m, m.Cluster, m.Redaction, m.Completeness)
	}
	reports, err := r.Merged(v)
	if err != nil || len(reports) != 3 || !reports[0].Proven || !reports[0].Trusted || !reports[1].Proven || reports[2].Proven || reports[2].Why == "" ||
		reports[1].Files != len(clusterFiles()) {
		t.Errorf("%+v, %v", reports, err)
	}
	if reports, err := r.Merged(nil); err != nil || reports[0].Trusted || !reports[0].Proven {
		t.Errorf("without keys: %+v, %v", reports, err)
	}
	checkMergedResults(t, r, a, b, c)
}

func manifestOf(r *Reader) []byte {
	b, _ := r.Seal()
	return b
}

func checkMergedResults(t *testing.T, r, a, b, c *Reader) {
	t.Helper()
	type line struct{ Source, Path, Status, Reason, Bundle string }
	want := []line{
		{"node/n2", "nodes/n2/node.json", "ok", "", b.manifest.ID},
		{"cluster", "cluster/version.json", "ok", "", a.manifest.ID},
		{"node/n2", "", "skipped", "in another bundle: failed: no route", a.manifest.ID},
		{"node/n2", "nodes/db/node.json", "ok", "", c.manifest.ID},
		{"bundle merge", "nodes/n2", "ok", "what another bundle could not get of this node is taken from this one", b.manifest.ID},
	}
	var got []line
	for text := range bytes.Lines(readFile(t, r, resultsPath)) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var sum struct {
		Policy, Payload string
		Rules           map[string]int
		Paths           map[string]map[string]int
	}
	if err := json.Unmarshal(readFile(t, r, "collection/redaction.json"), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Rules["jwt"] != 5 || sum.Payload != "full" || sum.Paths["nodes/db/node.json"]["jwt"] != 2 {
		t.Errorf("%+v", sum)
	}
}

// What does not fit together is refused, in words that name both.
func TestMergeRefuses(t *testing.T) {
	s, _ := testSigner(t)
	a, b := sealedOf(t, 1, clusterFiles(), s, nil), sealedOf(t, 2, clusterFiles(), s, nil)
	host, again := sealedOf(t, 3, hostFiles("n2"), s, nil), sealedOf(t, 4, hostFiles("n2"), s, nil)
	upper := sealedOf(t, 5, hostFiles("N2"), s, nil)
	top := sealedOf(t, 6, map[string]string{"nodes/x/node.json": "{}", "notes.txt": "a"}, s, nil)
	top2 := sealedOf(t, 7, map[string]string{"nodes/y/node.json": "{}", "notes.txt": "b"}, s, nil)
	for name, c := range map[string]struct {
		sources []MergeSource
		want    string
	}{
		"one":             {[]MergeSource{{Reader: a, Name: "A"}}, "two to 64"},
		"itself":          {[]MergeSource{{Reader: a, Name: "A"}, {Reader: a, Name: "B"}}, "A and B are the same bundle"},
		"two clusters":    {[]MergeSource{{Reader: a, Name: "A"}, {Reader: b, Name: "B"}}, "both A and B hold the objects of a cluster"},
		"one node":        {[]MergeSource{{Reader: host, Name: "A"}, {Reader: again, Name: "B"}}, "both A and B hold data of node n2; if these are two machines, say --rename n2=NEW"},
		"but for case":    {[]MergeSource{{Reader: host, Name: "A"}, {Reader: upper, Name: "B"}}, "both A and B hold data of node N2"},
		"renamed into it": {[]MergeSource{{Reader: host, Name: "A"}, {Reader: again, Name: "B", Rename: map[string]string{"n2": "n2"}}}, "both A and B hold data"},
		"no such node":    {[]MergeSource{{Reader: host, Name: "A"}, {Reader: a, Name: "B", Rename: map[string]string{"n9": "n8"}}}, "B has no node n9"},
		"no name":         {[]MergeSource{{Reader: host, Name: "A"}, {Reader: a, Name: "B", Rename: map[string]string{"n2": "../n8"}}}, "no name for a node"},
		"a file":          {[]MergeSource{{Reader: top, Name: "A"}, {Reader: top2, Name: "B"}}, "both A and B hold notes.txt"},
	} {
		_, err := Merge(t.Context(), io.Discard, c.sources, MergeOptions{Top: "casefile-merged"})
		if !errors.Is(err, ErrMerge) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A merged bundle can be merged again, and made smaller; then it says no more
// than it can show.
func TestMergeAgain(t *testing.T) {
	s, v := testSigner(t)
	a, b := sealedOf(t, 1, clusterFiles(), s, nil), sealedOf(t, 2, hostFiles("h1"), s, nil)
	first, _ := merge(t, MergeOptions{}, MergeSource{Reader: a, Name: "a"}, MergeSource{Reader: b, Name: "b"})
	second, _ := merge(t, MergeOptions{}, MergeSource{Reader: first, Name: "first"}, MergeSource{Reader: sealedOf(t, 3, hostFiles("h2"), s, nil), Name: "c"})
	reports, err := second.Merged(v)
	if err != nil || len(reports) != 2 || !reports[0].Proven || !reports[1].Proven {
		t.Errorf("%+v, %v", reports, err)
	}
	if c := first.Manifest().Completeness; c.Complete || c.Results["failed"] != 1 {
		t.Errorf("what failed and was not filled: %+v", c)
	}
	small, _ := derive(t, second, DeriveOptions{Keep: func(p string) bool { return !strings.HasPrefix(p, "nodes/h1/") }, Signer: s})
	r, o := originIn(t, small, v, v)
	if reports, err := r.Merged(v); err != nil || reports != nil || !o.Trusted {
		t.Errorf("made smaller: %+v, %v", reports, err)
	}
}

// A bundle that says it holds another one as it was, and does not, is found out.
func TestMergedLies(t *testing.T) {
	s, v := testSigner(t)
	a, b := sealedOf(t, 1, clusterFiles(), s, nil), sealedOf(t, 2, hostFiles("h1"), s, nil)
	honest, _ := merge(t, MergeOptions{}, MergeSource{Reader: a, Name: "a"}, MergeSource{Reader: b, Name: "b"})
	files := map[string]string{}
	for _, f := range honest.Files() {
		files[f.Path] = string(readFile(t, honest, f.Path))
	}
	lies := map[string]func(map[string]string, *[]Merged){
		"as it was but for the salts": func(map[string]string, *[]Merged) {},
		"a file is another":           func(f map[string]string, _ *[]Merged) { f["nodes/h1/node.json"] = "{}" },
		"no list":                     func(f map[string]string, _ *[]Merged) { delete(f, mergedSources) },
		"another list":                func(f map[string]string, _ *[]Merged) { f[mergedSources] = `{"schema":"casefile.dev/merged/v1"}` },
		"another root": func(_ map[string]string, m *[]Merged) {
			(*m)[0].Root = bytes.Repeat([]byte{1}, 32)
		},
		"another id": func(_ map[string]string, m *[]Merged) { (*m)[0].ID = "x" },
	}
	for name, lie := range lies {
		f, m := map[string]string{}, slices.Clone(honest.manifest.Merged)
		for path, content := range files {
			f[path] = content
		}
		lie(f, &m)
		r := sealedOf(t, 50, f, s, func(i *Info) { i.Merged = m })
		if reports, err := r.Merged(v); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %+v, %v", name, reports, err)
		}
	}
}
