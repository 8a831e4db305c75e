package conform

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// vectors reads a file of sdk/vectors.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../sdk/vectors", name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(name, err)
	}
}

// TestVectorsDeclarations: what describe may print, and what it may not.
func TestVectorsDeclarations(t *testing.T) {
	var cases []struct {
		Name, Sentence, Verdict string
		Declaration             json.RawMessage
		Text                    string
	}
	vectors(t, "declarations.json", &cases)
	verdicts := map[string]int{}
	for _, c := range cases {
		text := []byte(c.Declaration)
		if text == nil {
			text = []byte(c.Text)
		}
		d, err := host.ParseDeclaration(text)
		verdict := "ok"
		switch {
		case errors.Is(err, input.ErrUnsupported):
			verdict = "unsupported"
		case err != nil:
			verdict = "refused"
		case len(d.Rules) == 0:
			t.Errorf("%s: taken without a rule", c.Name)
		}
		if verdict != c.Verdict {
			t.Errorf("%s (%s): %s, want %s: %v", c.Name, c.Sentence, verdict, c.Verdict, err)
		}
		verdicts[verdict]++
	}
	if len(verdicts) != 3 {
		t.Errorf("verdicts %v", verdicts)
	}
}

// TestVectorsOutput: which lines analyze may print.
func TestVectorsOutput(t *testing.T) {
	var file struct {
		Declarations map[string]json.RawMessage
		Cases        []struct {
			Name, Sentence, Declaration, Stdout string
			Repeat, Refused                     int
		}
	}
	vectors(t, "output.json", &file)
	declarations := map[string]abi.Declaration{}
	for name, text := range file.Declarations {
		d, err := host.ParseDeclaration(text)
		if err != nil {
			t.Fatal(name, err)
		}
		declarations[name] = d
	}
	for _, c := range file.Cases {
		d, ok := declarations[c.Declaration]
		if !ok {
			t.Fatalf("%s: declaration %q", c.Name, c.Declaration)
		}
		line, err := host.CheckOutput(d, []byte(strings.Repeat(c.Stdout, max(c.Repeat, 1))))
		if line != c.Refused {
			t.Errorf("%s (%s): refused at line %d, want %d: %v", c.Name, c.Sentence, line, c.Refused, err)
		}
	}
}
