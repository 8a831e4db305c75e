package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestSlowTexts: no text that a module may print takes long.
func TestSlowTexts(t *testing.T) {
	const size = 256 << 10
	for _, unit := range []string{"{", "{a", "{a}", "\x1b]", "\x1b[", "中", "，", " ", "a ", "a", "\u0301", "\n", "\x1b", "中 "} {
		s := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		run := abi.ModuleRun{
			Declaration: abi.Declaration{Rules: []abi.Rule{{ID: "a/b", Text: map[string]abi.Text{"en": {Title: s, Message: s, Doc: s, Remediation: []string{s}}}}}},
			Findings:    []abi.ResolvedFinding{{Finding: abi.Finding{Rule: "a/b"}, Places: []abi.ReportedEvidence{{Path: s, Value: s}}}},
		}
		r := Build(abi.BundleInfo{}, []abi.ModuleRun{run}, "en")
		var b bytes.Buffer
		if err := Text(&b, r, TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := Explain(&b, run.Declaration.Rules[0], "en", true); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%q: %v", unit, d)
		} else {
			t.Logf("%q: %v", unit, d)
		}
	}
}
