package scaffold

import (
	"bytes"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestFiles: every template is filled in, whatever the version of the program
// is called, and has what module new promises.
func TestFiles(t *testing.T) {
	token := regexp.MustCompile(`__[A-Z]+__`)
	for _, lang := range Languages() {
		for version, want := range map[string]string{"0.2.0": "v0.2.0", "v0.2.0": "v0.2.0", "0.1.0-dev": "v0.1.0-dev", "f95aafa-dirty": "v0.0.0", "": "v0.0.0"} {
			files, err := Files(lang, "acme-queues", version)
			if err != nil {
				t.Fatal(lang, err)
			}
			cases := 0
			for file, text := range files {
				if path.Clean(file) != file || strings.HasPrefix(file, "../") || path.IsAbs(file) || strings.Contains(file, "dot-") || strings.HasSuffix(file, ".tmpl") {
					t.Errorf("%s: file %q", lang, file)
				}
				if !strings.HasPrefix(file, "vendor/") && (token.Match(text) || strings.Contains(file, "__")) {
					t.Errorf("%s: %s is not filled in", lang, file)
				}
				if strings.HasPrefix(file, "testdata/") && strings.HasSuffix(file, ".txtar") {
					cases++
				}
			}
			for _, file := range []string{"README.md", "Makefile", ".gitignore", ".github/workflows/module.yml"} {
				if files[file] == nil {
					t.Errorf("%s: no %s", lang, file)
				}
			}
			if cases < 2 {
				t.Errorf("%s: %d cases", lang, cases)
			}
			if lang == "go" && (!bytes.Contains(files["go.mod"], []byte(SDK+" "+want+"\n")) || !bytes.HasPrefix(files["vendor/modules.txt"], []byte("# "+SDK+" "+want+"\n"))) {
				t.Errorf("version %q: %s%s", version, files["go.mod"], files["vendor/modules.txt"])
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "A", "-a", "1a", "a_b", "a/b", "../a", "a.b", strings.Repeat("a", 64), "a b", "ä"} {
		if _, err := Files("go", name, "1.0.0"); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	if _, err := Files("cobol", "a", "1.0.0"); err == nil {
		t.Error("there is a template for cobol")
	}
}

// TestLicense: the SDK goes out with the licence of the project.
func TestLicense(t *testing.T) {
	ours, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files("go", "a", "1.0.0")
	if err != nil || !bytes.Equal(files["vendor/"+SDK+"/LICENSE"], ours) {
		t.Errorf("%d bytes, %v", len(files["vendor/"+SDK+"/LICENSE"]), err)
	}
}
