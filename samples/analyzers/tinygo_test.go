package analyzers_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTinyGoImports: what is said to be for TinyGo keeps to packages that it
// compiles. That TinyGo compiles it was not tried: it is not to be had here.
func TestTinyGoImports(t *testing.T) {
	compiles := []string{"bufio", "embed", "errors", "io", "io/fs", "math", "os", "sort", "strconv", "strings", "unicode/utf16", "unicode/utf8",
		"github.com/casefile-io/casefile/sdk/tinygo/casefile"}
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./tinygo", "../../sdk/tinygo/casefile").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range strings.Fields(string(out)) {
		if !slices.Contains(compiles, imp) {
			t.Errorf("imports %s, which is not on the list", imp)
		}
	}
}
