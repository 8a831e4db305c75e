package redact

import (
	"strings"
	"testing"
)

// The host that a machine's log names at the start of its lines is mapped there,
// wherever the stream is cut, and nothing else is for that.
func TestHostedLines(t *testing.T) {
	r := strictRedactor(t, nil)
	token := string(r.mapper.Host(nil, []byte("zebra17")))
	if token == "zebra17" {
		t.Fatal("the host is not mapped by itself")
	}
	var in, want strings.Builder
	for range 3000 {
		for _, line := range []string{
			"2026-11-28T16:00:00.123456Z zebra17 kubelet[812]: started\n",
			"2026-11-28T16:00:00.123456+01:00 zebra17 kernel: eth0 is up\n",
			"Nov  8 16:00:00 zebra17 systemd[1]: reached a target\n",
			"    2026-11-28T16:00:00.1Z kitten9 is the rest of a message\n",
			"2026-11-28T16:00:00.123456Z localhost kubelet[812]: started\n",
			"2026-11-28T16:00:00.123456Z stdout(x) kubelet\n",
			"I1128 16:00:00.000000 1 main.go:1] kitten9 is no host\n",
			"\n", "2026-11-28T16:00:00Z zebra17\n",
		} {
			in.WriteString(line)
			want.WriteString(strings.Replace(line, " zebra17 ", " "+token+" ", 1))
		}
	}
	got := throughStrict(t, r, "nodes/n1/logs/kubelet.log", in.String())
	if got != want.String() {
		at := 0
		for at < min(len(got), want.Len()) && got[at] == want.String()[at] {
			at++
		}
		t.Errorf("at %d: %.300q", at, got[max(0, at-100):])
	}
	if again := throughStrict(t, r, "nodes/n1/logs/kubelet.log", got); again != got {
		t.Error("it is mapped twice")
	}
	const other = "2026-11-28T16:00:00.123456Z zebra17 is a word of a container\n"
	if got := throughStrict(t, r, "nodes/n1/logs/pods/a/b/c.log", other); got != other {
		t.Errorf("a container's log: %q", got)
	}
}
