package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func newRedactor(t testing.TB, payload string) *Redactor {
	t.Helper()
	r, err := New(PolicyStandard, Options{Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// redacted is what r makes of in at path.
func redacted(t testing.TB, path, in string) string {
	t.Helper()
	out, err := io.ReadAll(newRedactor(t, "").Reader(path, strings.NewReader(in)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(out)
}

func refused(t *testing.T, path, in string) error {
	t.Helper()
	out, err := io.ReadAll(newRedactor(t, "").Reader(path, strings.NewReader(in)))
	if !errors.Is(err, ErrRedaction) {
		t.Fatalf("%s: error %v with %d bytes, want ErrRedaction", path, err, len(out))
	}
	return err
}

func TestPolicies(t *testing.T) {
	if p, err := ParsePolicy("standard"); err != nil || p != PolicyStandard {
		t.Errorf("standard: %q, %v", p, err)
	}
	for _, s := range []string{"Strict", "", "Standard", "none"} {
		if _, err := ParsePolicy(s); err == nil || !strings.Contains(err.Error(), "use standard") {
			t.Errorf("%q: %v", s, err)
		}
		if _, err := New(Policy(s), Options{}); err == nil {
			t.Errorf("New(%q): no error", s)
		}
	}
	if _, err := New(PolicyStandard, Options{Payload: "some"}); err == nil {
		t.Error("payload some: no error")
	}
}

func TestUnknownKinds(t *testing.T) {
	if got := redacted(t, "nodes/n1/cni/10-flannel.conflist", "plugin π\n"); got != "plugin π\n" {
		t.Errorf("text: %q", got)
	}
	refused(t, "nodes/n1/cni/x.bin", "a\x00b")
	refused(t, "nodes/n1/x.gz", "\x1f\x8b\x08\x00abc")
	refused(t, "nodes/n1/x.dat", "latin \xe9 text")
	refused(t, "other/x.pcapng", "\x0a\x0d\x0d\x0a\x00")
	if got := redacted(t, "nodes/n1/0/proc/net/dev", "a\x00\x00b\xff"); got != "ab\xff" {
		t.Errorf("kernel text: %q", got)
	}
}

func TestUTF16(t *testing.T) {
	var wide []byte
	for _, c := range []byte("password=hunter2\n") {
		wide = append(wide, c, 0)
	}
	if got := redacted(t, "nodes/w1/logs/kubelet.log", string(wide)); strings.Contains(got, "hunter2") {
		t.Errorf("got %q", got)
	}
}

func TestSourceErrorsPassThrough(t *testing.T) {
	boom := errors.New("boom")
	for _, path := range []string{"a.log", "a.json", "a.ndjson", "captures/a/b.pcapng", "x", "nodes/n/0/proc/sys/net/ipv4/tcp_fastopen_key"} {
		r := newRedactor(t, "")
		_, err := io.ReadAll(r.Reader(path, iotest.ErrReader(boom)))
		if !errors.Is(err, boom) || errors.Is(err, ErrRedaction) {
			t.Errorf("%s: %v", path, err)
		}
		if n := len(r.Counts()); n > 0 {
			t.Errorf("%s: %d rules counted for an entry that failed", path, n)
		}
	}
}

// TestReaders: the same bytes come out however the source is cut.
func TestReaders(t *testing.T) {
	log := strings.Repeat("GET /x?a=1 password=hunter2 ok\n", 9000)
	json := strings.Repeat(`{"kind":"Pod","spec":{"env":[{"name":"A","value":"hunter2"}]}}`+"\n", 3000)
	for path, in := range map[string]string{"a.log": log, "a.ndjson": json, "a.conf": log} {
		want := redacted(t, path, in)
		if strings.Contains(want, "hunter2") {
			t.Errorf("%s: not redacted", path)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with error": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(iotest.OneByteReader(newRedactor(t, "").Reader(path, wrap(strings.NewReader(in)))))
			if err != nil || string(got) != want {
				t.Errorf("%s, %s: differs (%v)", path, name, err)
			}
		}
	}
}

func TestKernelSecrets(t *testing.T) {
	got := redacted(t, "nodes/n1/0/proc/sys/net/ipv4/tcp_fastopen_key", "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd\n")
	if got != "[REDACTED:kernel-secret]\n" {
		t.Errorf("got %q", got)
	}
	if got := redacted(t, "nodes/n1/0/proc/sys/net/ipv6/conf/eth0/stable_secret", ""); got != "" {
		t.Errorf("got %q", got)
	}
	refused(t, "nodes/n1/0/proc/sys/net/ipv6/conf/eth0/stable_secret", strings.Repeat("x", maxHidden))
}

func TestSummary(t *testing.T) {
	r := newRedactor(t, "")
	if _, err := io.Copy(io.Discard, r.Reader("cluster/logs/a/b/c.log", strings.NewReader("token=abc\npassword=x y\ntoken=def\n"))); err != nil {
		t.Fatal(err)
	}
	r.Add(map[string]int{"token": 3, "packet-payload": 7, "bad name\x1b": 1, "cookie": -4})
	s := r.Summary()
	want := map[string]int{"token": 5, "password": 1, "packet-payload": 7}
	if len(s.Rules) != len(want) {
		t.Errorf("rules %v, want %v", s.Rules, want)
	}
	for rule, n := range want {
		if s.Rules[rule] != n || r.Counts()[rule] != n {
			t.Errorf("%s: %d, want %d", rule, s.Rules[rule], n)
		}
	}
	if got := s.Paths["cluster/logs/a/b/c.log"]; got["token"] != 2 || got["password"] != 1 || len(s.Paths) != 1 {
		t.Errorf("paths %v", s.Paths)
	}
	if s.Policy != "standard" || s.Payload != "default" {
		t.Errorf("policy %q, payload %q", s.Policy, s.Payload)
	}
}

// TestSummaryStored: a summary comes through its own redactor, nothing else
// does at its path.
func TestSummaryStored(t *testing.T) {
	r := newRedactor(t, "")
	if _, err := io.Copy(io.Discard, r.Reader("a.log", strings.NewReader("token=abc password=x1\n"))); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(r.Summary())
	if err != nil {
		t.Fatal(err)
	}
	if got := redacted(t, SummaryPath, string(in)); got != string(in)+"\n" || !strings.Contains(got, `"password":1`) {
		t.Errorf("got %s, want %s", got, in)
	}
	for _, in := range []string{"", "password=hunter2", `{"secret":"hunter2"}`, `{"rules":{"Hunter 2":1}}`, `{"paths":{"a":{"hunter_2":1}}}`} {
		refused(t, SummaryPath, in)
	}
}

// leaky appends bytes and fails.
type leaky struct{}

func (leaky) next(out []byte) ([]byte, error) { return append(out, "raw"...), failf("boom") }

func TestNothingBeforeAnError(t *testing.T) {
	out, err := io.ReadAll(&reader{redactor: newRedactor(t, ""), step: leaky{}})
	if len(out) > 0 || !errors.Is(err, ErrRedaction) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestConcurrent(t *testing.T) {
	r := newRedactor(t, "")
	const n = 8
	done := make(chan error)
	for range n {
		go func() {
			out, err := io.ReadAll(r.Reader("a.log", strings.NewReader(strings.Repeat("token=abc\n", 1000))))
			if err == nil && bytes.Contains(out, []byte("abc")) {
				err = errors.New("not redacted")
			}
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := r.Counts()["token"]; got != n*1000 {
		t.Errorf("%d tokens counted, want %d", got, n*1000)
	}
}
