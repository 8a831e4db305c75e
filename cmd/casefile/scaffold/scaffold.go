// Package scaffold holds what `casefile module new` writes: a module that
// builds, has test cases and a CI file, and carries its library with it.
//
// [Files] fills a template in: templates/shared, and that of the language over
// it. The library comes out of the binary itself, so that nothing is fetched;
// that of Go lies below vendor/. In a template a word such as __NAME__ stands
// for what [Files] knows (see words); a file dot-NAME becomes .NAME, and the
// ending .tmpl is dropped.
package scaffold

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

//go:embed templates
var templates embed.FS

// SDK is the Go module that the SDK is part of.
const SDK = "github.com/casefile-io/casefile"

// GoVersion is what the templates and the SDK ask of a Go toolchain.
const GoVersion = "1.24"

// language is what a template does not say itself.
type language struct {
	name    string
	source  string // where findings are made
	declare string // where inputs are declared
	folder  string // where the library goes
	tools   string // steps that CI needs beside Go
}

func languages() []language {
	return []language{
		{"go", "main.go", "main.go", "vendor", ""},
		{"rust", "src/main.rs", "src/declaration.json", "src", "      - run: rustup target add wasm32-wasip1"},
		{"c", "main.c", "declaration.h", ".", "      - run: sudo apt-get update && sudo apt-get install -y clang lld wasi-libc libclang-rt-dev-wasm32"},
		{"assemblyscript", "main.ts", "declaration.ts", ".", ""},
		{"tinygo", "main.go", "declaration.json", "casefile", "      - uses: acifani/setup-tinygo@v2\n        with:\n          tinygo-version: \"0.39.0\""},
	}
}

// Languages are those that there is a template for, Go first.
func Languages() []string {
	var names []string
	for _, l := range languages() {
		names = append(names, l.name)
	}
	return names
}

var (
	goodName    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	goodVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
)

// Files are those of a new module by their paths. version is that of this
// program.
func Files(lang, name, version string) (map[string][]byte, error) {
	if !goodName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name for a module: want small letters, digits and -, a letter first, such as acme-queues", name)
	}
	i := slices.IndexFunc(languages(), func(l language) bool { return l.name == lang })
	if i < 0 {
		return nil, fmt.Errorf("no template for %q; there are %s", lang, strings.Join(Languages(), ", "))
	}
	l := languages()[i]
	library, err := l.library()
	if err != nil {
		return nil, err
	}
	version, install := versions(version)
	words := strings.NewReplacer("__NAME__", name, "__VERSION__", version, "__INSTALL__", install, "__GO__", GoVersion,
		"__SOURCE__", l.source, "__DECLARATION__", l.declare, "__LIBRARY__", l.place(library), "__TOOLS__\n", l.steps())
	files := map[string][]byte{}
	for _, from := range []string{"shared", lang} {
		dir, err := fs.Sub(templates, "templates/"+from)
		if err == nil {
			err = fill(files, dir, words)
		}
		if err != nil {
			return nil, err
		}
	}
	maps.Copy(files, library)
	if lang == "go" {
		return files, vendor(files, version)
	}
	return files, nil
}

// place is the library, in words.
func (l language) place(library map[string][]byte) string {
	if len(library) > 1 {
		return l.folder + "/"
	}
	return slices.Collect(maps.Keys(library))[0]
}

func (l language) steps() string {
	if l.tools == "" {
		return ""
	}
	return l.tools + "\n"
}

// versions are that of the SDK, and that of casefile for CI, out of the version
// of this program, which may be none that a module proxy knows.
func versions(program string) (own, install string) {
	switch v := strings.TrimPrefix(program, "v"); {
	case !goodVersion.MatchString(v):
		return "v0.0.0", "latest"
	case strings.Contains(v, "-"):
		return "v" + v, "latest"
	default:
		return "v" + v, "v" + v
	}
}

// fill adds the files of a template.
func fill(files map[string][]byte, template fs.FS, words *strings.Replacer) error {
	return fs.WalkDir(template, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(template, file)
		if err != nil {
			return err
		}
		elements := strings.Split(strings.TrimSuffix(file, ".tmpl"), "/")
		for i, e := range elements {
			if rest, hidden := strings.CutPrefix(e, "dot-"); hidden {
				elements[i] = "." + rest
			}
		}
		files[path.Join(elements...)] = []byte(words.Replace(string(text)))
		return nil
	})
}

// library is what the language's code is written against, by its place in the
// module.
func (l language) library() (map[string][]byte, error) {
	files := map[string][]byte{}
	if l.name == "go" {
		source, err := sdk.VendorFiles()
		for file, text := range source {
			files["vendor/"+SDK+"/sdk/"+file] = text
		}
		return files, err
	}
	source, err := sdk.Library(l.name)
	for file, text := range source {
		files[path.Join(l.folder, path.Base(file))] = text
	}
	return files, err
}

// vendor adds what makes the SDK's source a vendored module.
func vendor(files map[string][]byte, version string) error {
	var packages []string
	for file := range files {
		if strings.HasPrefix(file, "vendor/") && strings.HasSuffix(file, ".go") {
			packages = append(packages, strings.TrimPrefix(path.Dir(file), "vendor/"))
		}
	}
	license, err := templates.ReadFile("templates/LICENSE")
	if err != nil {
		return err
	}
	slices.Sort(packages)
	var list bytes.Buffer
	fmt.Fprintf(&list, "# %s %s\n## explicit; go %s\n", SDK, version, GoVersion)
	for _, p := range slices.Compact(packages) {
		fmt.Fprintln(&list, p)
	}
	files["vendor/"+SDK+"/LICENSE"], files["vendor/modules.txt"] = license, list.Bytes()
	return nil
}
