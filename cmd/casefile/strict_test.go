package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// rig runs the real binary in a folder with an empty home.
type rig struct {
	t        *testing.T
	bin, dir string
}

func newRig(t *testing.T) rig {
	t.Helper()
	return rig{t, build(t), t.TempDir()}
}

func (r rig) run(stdin []byte, args ...string) []byte {
	r.t.Helper()
	cmd := exec.Command(r.bin, args...)
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = bytes.NewReader(stdin), &out, &talk, r.dir
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(r.dir, "home"), "XDG_CONFIG_HOME=")
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("casefile %s: %v\n%s", strings.Join(args, " "), err, &talk)
	}
	return out.Bytes()
}

func (r rig) open(name string) *bundle.Reader {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	reader, err := bundle.OpenUnverified(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		r.t.Fatal(err)
	}
	return reader
}

// TestStrictDemo: under strict redaction the same recording gives the same
// findings about the same things, once they are revealed, and nothing in the
// bundle says whose it is; also when the finished bundle is redacted.
func TestStrictDemo(t *testing.T) {
	r := newRig(t)
	r.run(nil, "demo", "-o", "standard.tar.zst")
	analyze := func(file string, flags ...string) []byte {
		return r.run(nil, append([]string{"analyze", "--format", "json", file}, flags...)...)
	}
	want := outcomes(t, analyze("standard.tar.zst", "--key", "casefile-demo.pub"))
	if len(want) < 15 || !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "finding ") }) {
		t.Fatalf("the demo says little: %v", want)
	}
	r.run(nil, "bundle", "redact", "--policy", "strict", "-o", "later.tar.zst", "--key", "casefile-demo.pub", "standard.tar.zst")
	r.run(nil, "demo", "--redact", "strict", "-o", "strict.tar.zst")
	secrets := secretsOf(t, r.open("standard.tar.zst"))
	for file, flags := range map[string][]string{"strict.tar.zst": {"--key", "casefile-demo.pub"}, "later.tar.zst": nil} {
		t.Run(file, func(t *testing.T) {
			report := analyze(file, flags...)
			revealed := r.run(report, "bundle", "reveal", "--map", file+".reveal.age")
			if diff := cmp.Diff(want, outcomes(t, revealed)); diff != "" {
				t.Errorf("outcomes of standard and, revealed, of strict redaction (-standard +strict):\n%s", diff)
			}
			leaks := leaksIn(t, r.open(file), secrets)
			for i, l := range leaks {
				if i == 20 {
					t.Errorf("and %d more", len(leaks)-i)
					break
				}
				t.Error(l)
			}
			text := r.run(r.run(nil, append([]string{"analyze", file}, flags...)...), "bundle", "reveal", "--map", file+".reveal.age")
			for _, name := range []string{"Node cf-n2 ", "Pod cf-demo/web-6cmvd @ cf-n2"} {
				if !bytes.Contains(text, []byte(name)) {
					t.Errorf("the revealed report lacks %q", name)
				}
			}
		})
	}
}

// outcomes are the rules' outcomes and the findings' subjects in a report.
func outcomes(t *testing.T, report []byte) []string {
	t.Helper()
	var doc struct {
		Findings []struct {
			Rule, Severity string
			Subject        struct{ Kind, Namespace, Name, Node string }
		}
		Rules []struct{ Rule, Outcome string }
	}
	if err := json.Unmarshal(report, &doc); err != nil {
		t.Fatalf("%v: %.200s", err, report)
	}
	var all []string
	for _, f := range doc.Findings {
		all = append(all, fmt.Sprint("finding ", f.Rule, f.Severity, f.Subject))
	}
	for _, o := range doc.Rules {
		all = append(all, "rule "+o.Rule+" "+o.Outcome)
	}
	slices.Sort(all)
	return all
}

// secretsOf gathers what strict redaction must take out: what the nodes,
// namespaces and pods of a bundle are called, and their addresses. The value is
// how it stands in packets.
func secretsOf(t *testing.T, r *bundle.Reader) map[string][]byte {
	t.Helper()
	secrets := map[string][]byte{}
	lines := func(pattern string, f func(obj map[string]any)) {
		names, err := fs.Glob(r, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v %v", pattern, names, err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(r, name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(b) {
				var obj map[string]any
				if json.Unmarshal(line, &obj) == nil {
					f(obj)
				}
			}
		}
	}
	name := func(obj map[string]any) {
		meta, _ := obj["metadata"].(map[string]any)
		if n, _ := meta["name"].(string); !strings.HasPrefix(n, "kube-") && n != "default" {
			secrets[n] = []byte(n)
		}
	}
	lines("cluster/resources/core/v1/nodes/*.ndjson", name)
	lines("cluster/resources/core/v1/namespaces/*.ndjson", name)
	lines("cluster/resources/core/v1/pods/*.ndjson", func(obj map[string]any) {
		status, _ := obj["status"].(map[string]any)
		for _, key := range []string{"podIP", "hostIP"} {
			if ip, err := netip(status[key]); err == nil {
				secrets[ip.String()] = ip
				if len(ip) == 4 { // as in proc/net/tcp
					secrets[fmt.Sprintf("%02X%02X%02X%02X", ip[3], ip[2], ip[1], ip[0])] = nil
				}
			}
		}
	})
	lines("nodes/*/0/net/links.ndjson", func(obj map[string]any) {
		text, _ := obj["mac"].(string)
		if mac, err := net.ParseMAC(text); err == nil && !bytes.Equal(mac, make([]byte, 6)) {
			secrets[mac.String()] = mac
		}
	})
	lines("cluster/resources/core/v1/pods/cf-demo.ndjson", name)
	if len(secrets) < 30 {
		t.Fatalf("only %d secrets are known: %v", len(secrets), secrets)
	}
	return secrets
}

func netip(v any) (net.IP, error) {
	text, _ := v.(string)
	ip := net.ParseIP(text)
	if ip == nil {
		return nil, fmt.Errorf("%q is no address", text)
	}
	if four := ip.To4(); four != nil {
		return four, nil
	}
	return ip, nil
}

// leaksIn searches every path and every content of a bundle, packets as bytes.
// It counts no address that is the pseudonym of another: those are in the map.
func leaksIn(t *testing.T, r *bundle.Reader, secrets map[string][]byte) (leaks []string) {
	t.Helper()
	for _, f := range r.Files() {
		b, err := fs.ReadFile(r, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for text, raw := range secrets {
			if at := wordAt(f.Path, text); at >= 0 {
				leaks = append(leaks, f.Path+": the path holds "+text)
			}
			if at := wordAt(string(b), text); at >= 0 {
				leaks = append(leaks, fmt.Sprintf("%s holds %s: %q", f.Path, text, b[max(0, at-40):min(len(b), at+len(text)+40)]))
			}
			if strings.HasSuffix(f.Path, ".pcapng") && len(raw) >= 4 && bytes.Contains(b, raw) {
				leaks = append(leaks, f.Path+" holds the bytes of "+text)
			}
		}
	}
	if b, err := json.Marshal(r.Manifest()); err != nil {
		t.Fatal(err)
	} else {
		for text := range secrets {
			if wordAt(string(b), text) >= 0 {
				leaks = append(leaks, "the manifest holds "+text)
			}
		}
	}
	return leaks
}

// wordAt finds text where no letter or digit touches it, -1 if nowhere.
func wordAt(s, text string) int {
	alnum := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	for from := 0; ; {
		i := strings.Index(s[from:], text)
		if i < 0 {
			return -1
		}
		i += from
		before, after := i > 0 && (alnum(s[i-1]) || s[i-1] == '.'), i+len(text) < len(s) && alnum(s[i+len(text)])
		if !before && !after {
			return i
		}
		from = i + 1
	}
}

// TestHeard: what an agent says of its pseudonyms counts only when the key
// gives the same.
func TestHeard(t *testing.T) {
	key := pseudonym.Key{1, 2, 3}
	m, err := pseudonym.New(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	token := func(kind, value string) string {
		return kind + strings.TrimPrefix(string(m.Name(nil, pseudonym.KindObject, []byte(value))), "obj")
	}
	mac := m.MAC([6]byte{0x52, 0x54, 0, 1, 2, 3})
	right := map[string]string{
		token("node", "acme-n1"):          "acme-n1",
		net.HardwareAddr(mac[:]).String(): "52:54:00:01:02:03",
		token("host", "payments"):         "payments",
	}
	said := map[string]string{"node-aaaaaaa2": "acme-n1", "acme-n1": "other", token("zone", "x"): "x",
		"aa:bb:cc:dd:ee:ff": "52:54:00:01:02:03", "": ""}
	for k, v := range right {
		said[k] = v
	}
	s := &strictness{mapper: m, agents: map[string]string{}}
	s.heard(said)
	if diff := cmp.Diff(right, s.agents); diff != "" {
		t.Error(diff)
	}
	(*strictness)(nil).heard(said) // standard
}

// TestRevealStream: a text is revealed whatever its lines are like.
func TestRevealStream(t *testing.T) {
	r := &revealer{values: map[string]string{"node-abcdefg2": "acme-n1", "52:54:00:aa:bb:cc": "02:00:00:00:00:01"}}
	long := strings.Repeat("node-abcdefg2 x,", 200_000) // a line of 3 MB
	text := "on node-abcdefg2: mac 52:54:00:aa:bb:cc, xnode-abcdefg2 node-abcdefg22 obj-zzzzzzz2\n" + long
	want := "on acme-n1: mac 02:00:00:00:00:01, xnode-abcdefg2 node-abcdefg22 obj-zzzzzzz2\n" + strings.Repeat("acme-n1 x,", 200_000)
	var out bytes.Buffer
	if err := r.stream(&out, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got %.200q, %d bytes for %d", out.String(), out.Len(), len(want))
	}
	if r.unknown != 1 {
		t.Errorf("%d unknown", r.unknown)
	}
	if err := r.stream(&out, strings.NewReader(strings.Repeat("x", maxRevealWord+1))); err == nil || !strings.Contains(err.Error(), "a word of more than") {
		t.Errorf("a word without end: %v", err)
	}
}

// FuzzReveal: no map makes reveal fail or print what steers a terminal.
func FuzzReveal(f *testing.F) {
	f.Add([]byte(`{"schema":"casefile.dev/reveal/v1","pseudonyms":{"node-abcdefg2":"acme-n1","52:54:00:aa:bb:cc":"02:00:00:00:00:01"}}`), []byte("node-abcdefg2 on 52:54:00:aa:bb:cc\n"))
	f.Add([]byte(`{"schema":"casefile.dev/reveal/v1","pseudonyms":{"node-abcdefg2":"\u001b[31m"}}`), []byte("node-abcdefg2"))
	f.Fuzz(func(t *testing.T, raw, text []byte) {
		m, err := parseReveal(bytes.NewReader(raw))
		if err != nil {
			return
		}
		r := &revealer{values: m.Pseudonyms}
		if got := r.text(nil, text); bytes.Count(got, []byte("\x1b")) != bytes.Count(text, []byte("\x1b")) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
