package input

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

func TestWorkloads(t *testing.T) {
	for pod, want := range map[string][]string{
		"web-7d4b9c6d5f-bcdfg":    {"web-7d4b9c6d5f-bcdfg", "web-7d4b9c6d5f", "web"},
		"kube-proxy-2xk7v":        {"kube-proxy-2xk7v", "kube-proxy"},
		"db-0":                    {"db-0", "db"},
		"backup-28801234-x7z2c":   {"backup-28801234-x7z2c", "backup-28801234", "backup"},
		"etcd-cp1":                {"etcd-cp1"},
		"-bcdfg":                  {"-bcdfg"},
		"my-app-12345-6789b-xyzw": {"my-app-12345-6789b-xyzw"},
	} {
		if diff := cmp.Diff(want, workloads(pod)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLiteral(t *testing.T) {
	for expr, want := range map[string]string{
		`foo`: "foo", `foo.*longer(bar)+`: "longer", `(?i)foo`: "", `foo|bar`: "", `(a|b)cd?`: "c", `x{3}y*`: "x", `(?P<a>err)\d`: "err", `^time out$`: "time out", `[ab]`: "",
	} {
		m, err := compileMatch(expr)
		if err != nil || string(m.part) != want {
			t.Errorf("%s: %q %v, want %q", expr, m.part, err, want)
		}
	}
}

// FuzzLog: every line becomes a sound row that says what the line says.
func FuzzLog(f *testing.F) {
	for _, s := range []string{"2026-11-28T16:00:00.1Z a", "2026-11-28T16:00:00+02:00 \xff\x00\x1b[2J", "x\ty\\\"", "2026-11-28T16:00:00Z", "\u2028\x7f\xc3", strings.Repeat("é", maxLogLine)} {
		f.Add(s, `(?P<a>.)(?P<b>x)?`)
	}
	f.Fuzz(func(t *testing.T, line, expr string) {
		m, err := compileMatch(expr)
		if err != nil || strings.ContainsAny(line, "\r\n") || len(line) > maxLogLine {
			return
		}
		bundle := fstest.MapFS{resultsPath: {}, "cluster/logs/n/p/c.log": {Data: []byte(line + "\n")}}
		_, files := project(t, bundle, []abi.Input{{Name: "all", Logs: "c"}, {Name: "some", Logs: "c", Match: expr}}, Limits{})
		sameRows(t, "all", files["in/all.ndjson"], files["in/all.rows"])
		sameRows(t, "some", files["in/some.ndjson"], files["in/some.rows"])
		matched := regexp.MustCompile(expr).MatchString(line) && strings.TrimSpace(line) != ""
		if got := files["in/some.ndjson"] != ""; got != matched {
			t.Fatalf("%q matches %q: %v, want %v (%q)", expr, line, got, matched, m.part)
		}
		if strings.TrimSpace(line) == "" {
			return
		}
		var row abi.Log
		if err := json.Unmarshal([]byte(files["in/all.ndjson"]), &row); err != nil {
			t.Fatal(err)
		}
		whole := row.Line
		if row.Time != "" {
			whole = strings.TrimSuffix(row.Time+" "+row.Line, " ")
			line = strings.TrimSuffix(line, " ")
		}
		if utf8.ValidString(line) && whole != line {
			t.Errorf("%q became %+v", line, row)
		}
	})
}

// TestTimes: what is taken for a time is one for others too.
func TestTimes(t *testing.T) {
	for line, want := range map[string]string{
		"2026-11-28T16:00:00Z x": "2026-11-28T16:00:00Z", "2026-11-28T16:00:00.123456789+02:00 x": "2026-11-28T16:00:00.123456789+02:00", "2026-11-28T16:00:00 x": "", "2026-11-28 16:00:00Z x": "",
	} {
		stamp, _ := splitTime([]byte(line))
		if string(stamp) != want {
			t.Errorf("%q: %q", line, stamp)
		}
		if _, err := time.Parse(time.RFC3339Nano, want); want != "" && err != nil {
			t.Error(err)
		}
	}
}
