package conform

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/sdk/abi"
)

// hostTests are the tests that hold a host against a sentence of sdk/ABI.md,
// as FOLDER TEST. Beside them the vectors name sentences, and the kit.
func hostTests() map[string]string {
	return map[string]string{
		"M4":  "analyzers-wasm/host TestVectorsFuel", // its modules do what argv[1] says
		"M8":  "analyzers-wasm/host TestWorld",
		"M9":  "analyzers-wasm/host TestHostile",
		"M10": "analyzers-wasm/host TestHostile",
		"N1":  "analyzers-wasm/host TestScopeNode",
		"N2":  "analyzers-wasm/host TestFacts",
		"I1":  "analyzers-wasm/host TestGuest",
		"I5":  "analyzers-wasm/input TestGolden",
		"I6":  "analyzers-wasm/input TestVectorsRows",
		"I9":  "analyzers-wasm/input TestGolden",
		"I10": "analyzers-wasm/input TestWithoutResults",
		"I11": "analyzers-wasm/host TestVectorsFuel", // its config.json is held against the host's
		"A8":  "analyzers-wasm/host TestHostile",
		"A10": "analyzers-wasm/host TestGuest",
		"D12": "analyzers-wasm/host TestHostile",
		"D13": "analyzers-wasm/host TestDuplicates",
		"F1":  "analyzers-wasm/host TestVectorsFuel",
		"S1":  "cmd/casefile TestScripts",
		"S2":  "cmd/casefile TestScripts",
		"S3":  "analyzers-wasm/host TestAdmit",
	}
}

var sentenceNumber = regexp.MustCompile(`\(([A-Z][0-9]+)\)`)

// TestSentences: each sentence of the ABI that binds has a number, and each
// number is held by the kit, by the vectors or by a test of the host.
func TestSentences(t *testing.T) {
	says := text(t, "../../sdk/ABI.md")
	numbers := map[string]bool{}
	for _, m := range sentenceNumber.FindAllStringSubmatch(says, -1) {
		if numbers[m[1]] {
			t.Errorf("%s is the number of two sentences", m[1])
		}
		numbers[m[1]] = true
	}
	_, sentences, _ := strings.Cut(says, "\n## ") // behind what the words mean
	for _, s := range regexp.MustCompile(`[.:](\s|$)|\n\n|\n- `).Split(sentences, -1) {
		if regexp.MustCompile(`\b(MUST|SHOULD)\b`).MatchString(s) && !sentenceNumber.MatchString(s) {
			t.Errorf("has no number: %s", s)
		}
	}
	held := map[string]string{}
	for _, file := range []string{"kit.go", "runs.go", "texts.go"} {
		for _, m := range regexp.MustCompile(`"([A-Z][0-9]+)"`).FindAllStringSubmatch(text(t, file), -1) {
			held[m[1]] = file
		}
	}
	for _, file := range []string{"declarations.json", "output.json", "rows.json", "modules.json"} {
		for _, m := range regexp.MustCompile(`"sentence": ?"([A-Z0-9 ]+)"`).FindAllStringSubmatch(text(t, "../../sdk/vectors/"+file), -1) {
			for number := range strings.FieldsSeq(m[1]) {
				held[number] = file
			}
		}
	}
	for number, test := range hostTests() {
		held[number] = test
		folder, name, _ := strings.Cut(test, " ")
		if !hasTest(t, "../../"+folder, name) {
			t.Errorf("%s: there is no %s", number, test)
		}
	}
	for number := range numbers {
		if held[number] == "" {
			t.Errorf("nothing holds %s", number)
		}
	}
	for number, by := range held {
		if !numbers[number] {
			t.Errorf("%s holds %s, which no sentence has", by, number)
		}
	}
}

// TestKeys: each key of the shapes that cross the border stands in the ABI.
func TestKeys(t *testing.T) {
	says := text(t, "../../sdk/ABI.md")
	for _, shape := range []any{abi.Declaration{}, abi.FactDecl{}, abi.Rule{}, abi.Text{}, abi.Input{}, abi.Limits{}, abi.Counter{}, abi.Index{},
		abi.Missing{}, abi.Config{}, abi.Subject{}, abi.Finding{}, abi.Evidence{}, abi.Outcome{}, abi.Fact{}, abi.Log{}, abi.Flow{}, abi.End{},
		abi.ICMPError{}, abi.Vanished{}, abi.DNS{}} {
		typ := reflect.TypeOf(shape)
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(says, `"`+key+`"`) && !strings.Contains(says, "`"+key+"`") {
				t.Errorf("%s: %s is not in ABI.md", typ, key)
			}
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(text(t, file), fmt.Sprintf("func %s(t *testing.T)", name)) {
			return true
		}
	}
	return false
}
