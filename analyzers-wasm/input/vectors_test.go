package input

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

const rowsVectors = "../../sdk/vectors/rows.json"

// rowsVector is what a host makes of one file for one input.
type rowsVector struct {
	Name     string          `json:"name"`
	Sentence string          `json:"sentence"`
	Input    json.RawMessage `json:"input"`
	Path     string          `json:"path"`
	Source   string          `json:"source"`
	NDJSON   string          `json:"ndjson"`
	Rows     string          `json:"rows"` // hex
	Index    string          `json:"index"`
}

// TestVectorsRows: the rows of an input are those of the vectors, to the byte,
// in both forms. With -update they are written anew; each pair of forms is held
// against the words of sdk/ABI.md all the same.
func TestVectorsRows(t *testing.T) {
	text, err := os.ReadFile(rowsVectors)
	if err != nil {
		t.Fatal(err)
	}
	var cases []rowsVector
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 20 {
		t.Fatal(err, len(cases))
	}
	for i, c := range cases {
		var in abi.Input
		if err := json.Unmarshal(c.Input, &in); err != nil {
			t.Fatal(c.Name, err)
		}
		if err := validateInput(in); err != nil {
			t.Fatal(c.Name, err)
		}
		_, files := project(t, fstest.MapFS{c.Path: {Data: []byte(c.Source)}, resultsPath: {}}, []abi.Input{in}, Limits{})
		got := c
		got.NDJSON, got.Rows, got.Index = files["in/rows.ndjson"], hex.EncodeToString([]byte(files["in/rows.rows"])), files["in/rows.index"]
		sameRows(t, c.Name, files["in/rows.ndjson"], files["in/rows.rows"])
		if cases[i] = got; !*update {
			if diff := cmp.Diff(c, got); diff != "" {
				t.Errorf("%s (%s): %s", c.Name, c.Sentence, diff)
			}
		}
	}
	if *update {
		writeVectors(t, cases)
	}
}

// writeVectors writes a case a line.
func writeVectors(t *testing.T, cases []rowsVector) {
	t.Helper()
	var b bytes.Buffer
	for i, c := range cases {
		b.WriteString([]string{",\n", "[\n"}[map[bool]int{true: 1}[i == 0]])
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
		b.Write(bytes.TrimSpace(line.Bytes()))
	}
	b.WriteString("\n]\n")
	if err := os.WriteFile(rowsVectors, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
