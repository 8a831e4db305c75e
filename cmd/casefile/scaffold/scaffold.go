// Package scaffold holds what `casefile module new` writes: a module that
// builds, has a test and a CI file, and carries the SDK with it.
//
// [Files] fills a template in. A Go module gets the SDK's source below vendor/,
// out of the binary itself, so that it builds with no network and no module
// proxy. In the files of a template __NAME__ stands for the module's name and
// __VERSION__ for that of the SDK, __GO__ for that of Go and __INSTALL__ for
// the release of casefile that CI installs; a file dot-NAME becomes .NAME, and the ending
// .tmpl is dropped.
package scaffold

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
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

// GoVersion is what the template and the SDK ask of a Go toolchain.
const GoVersion = "1.24"

// Languages are those that there is a template for, Go first.
func Languages() []string { return []string{"go"} }

var (
	goodName    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	goodVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
)

// CheckName says whether a module, and the topic of its rules, can be called
// that.
func CheckName(name string) error {
	if !goodName.MatchString(name) {
		return fmt.Errorf("%q is no name for a module: want small letters, digits and -, a letter first, such as acme-queues", name)
	}
	return nil
}

// Files are those of a new module by their paths. version is that of this
// program.
func Files(lang, name, version string) (map[string][]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if !slices.Contains(Languages(), lang) {
		return nil, fmt.Errorf("no template for %q; there are %s", lang, strings.Join(Languages(), ", "))
	}
	install := "latest"
	if version = strings.TrimPrefix(version, "v"); !goodVersion.MatchString(version) {
		version = "0.0.0"
	} else if !strings.Contains(version, "-") {
		install = "v" + version
	}
	dir, err := fs.Sub(templates, "templates/"+lang)
	if err != nil {
		return nil, err
	}
	files, err := fill(dir, strings.NewReplacer("__NAME__", name, "__VERSION__", "v"+version, "__GO__", GoVersion, "__INSTALL__", install))
	if err != nil || lang != "go" {
		return files, err
	}
	return files, vendor(files, "v"+version)
}

// fill reads a template.
func fill(template fs.FS, words *strings.Replacer) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(template, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(template, file)
		if err != nil {
			return err
		}
		elements := strings.Split(strings.TrimSuffix(words.Replace(file), ".tmpl"), "/")
		for i, e := range elements {
			if rest, hidden := strings.CutPrefix(e, "dot-"); hidden {
				elements[i] = "." + rest
			}
		}
		files[path.Join(elements...)] = []byte(words.Replace(string(text)))
		return nil
	})
	return files, err
}

// vendor adds the SDK's source.
func vendor(files map[string][]byte, version string) error {
	source, err := sdk.VendorFiles()
	if err != nil {
		return err
	}
	var packages []string
	for file, text := range source {
		files["vendor/"+SDK+"/sdk/"+file] = text
		if strings.HasSuffix(file, ".go") {
			packages = append(packages, path.Join(SDK, "sdk", path.Dir(file)))
		}
	}
	if files["vendor/"+SDK+"/LICENSE"], err = templates.ReadFile("templates/LICENSE"); err != nil {
		return err
	}
	slices.Sort(packages)
	var list bytes.Buffer
	fmt.Fprintf(&list, "# %s %s\n## explicit; go %s\n", SDK, version, GoVersion)
	for _, p := range slices.Compact(packages) {
		fmt.Fprintln(&list, p)
	}
	files["vendor/modules.txt"] = list.Bytes()
	return nil
}
