package sdk

import (
	"strings"
	"testing"
)

// TestVendorFiles: what an author gets is whole, and has neither tests nor
// what cannot be compiled from there.
func TestVendorFiles(t *testing.T) {
	files, err := VendorFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"doc.go", "abi/abi.go", "analyzertest/analyzertest.go", "analyzertest/cases/cases.go", "ABI.md"} {
		if len(files[path]) == 0 {
			t.Error(path, "is missing")
		}
	}
	for path := range files {
		if strings.HasSuffix(path, "_test.go") || path == embedFile {
			t.Error(path, "is in it")
		}
	}
}
