package sdk

import (
	"embed"
	"io/fs"
	"strings"
)

// embedFile is this file: what it embeds cannot be embedded again from the
// copy that it makes.
const embedFile = "embed.go"

//go:embed *.go abi/*.go analyzertest/*.go analyzertest/cases/*.go ABI.md
var source embed.FS

//go:embed rust/casefile.rs c/casefile.h assemblyscript/casefile.ts tinygo/casefile/*.go
var libraries embed.FS

// Library is what an analyzer in another language is written against, by the
// language's name ("rust", "c", "assemblyscript", "tinygo"): its files by their paths below that of the
// language, without tests.
func Library(language string) (map[string][]byte, error) {
	files := map[string][]byte{}
	dir, err := fs.Sub(libraries, language)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files[path], err = fs.ReadFile(dir, path)
		return err
	})
	return files, err
}

// VendorFiles is the source of this package and of those below it that an
// author uses, without tests, and ABI.md, by their paths:
// `casefile module new` writes it to vendor/. A program that does not call it
// does not carry it.
func VendorFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == embedFile || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files[path], err = source.ReadFile(path)
		return err
	})
	return files, err
}
