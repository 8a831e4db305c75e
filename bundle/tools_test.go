package bundle

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOrdinaryTools holds that programs which know nothing of Casefile read
// every kind of member: those of the format's own, entries in parts, long
// names and names beyond ASCII.
func TestOrdinaryTools(t *testing.T) {
	dir := t.TempDir()
	name, files := everyKind(t, dir)
	top := options(t).Top + "/"
	var want []string
	for p := range files {
		want = append(want, top+p)
	}
	for _, own := range []string{nameIndex, nameProvenance, nameTree, nameManifest, nameSeal} {
		want = append(want, top+own)
	}
	slices.Sort(want)
	list := func(tool, out string) {
		t.Helper()
		got := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s lists %d members, want %d:\n%s", tool, len(got), len(want), strings.Join(got, "\n"))
		}
	}
	t.Run("zstd", func(t *testing.T) {
		tool(t, "zstd")
		run(t, dir, "zstd", "-q", "-t", name)
	})
	t.Run("tar", func(t *testing.T) {
		tool(t, "tar")
		tool(t, "zstd")
		list("tar", run(t, dir, "tar", "--zstd", "--quoting-style=literal", "-tf", name))
		extractsAll(t, files, func(to string) { run(t, to, "tar", "--zstd", "-xf", name) })
	})
	t.Run("bsdtar", func(t *testing.T) {
		tool(t, "bsdtar")
		list("bsdtar", run(t, dir, "bsdtar", "-tf", name))
		extractsAll(t, files, func(to string) { run(t, to, "bsdtar", "-xf", name) })
	})
	t.Run("7z", func(t *testing.T) {
		seven := "7zz"
		if _, err := exec.LookPath(seven); err != nil {
			seven = "7z"
		}
		tool(t, seven)
		extractsAll(t, files, func(to string) { // in two steps, as for any .tar.zst
			run(t, to, seven, "x", "-bd", "-y", name)
			run(t, to, seven, "x", "-bd", "-y", "b.tar")
		})
	})
}

// everyKind writes a bundle with all kinds of members.
func everyKind(t *testing.T, dir string) (name string, files map[string]string) {
	t.Helper()
	s, _ := testSigner(t)
	files = withLarge()
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	w.redact = asIs
	for _, p := range sortedKeys(files) {
		put(t, w, p, classOf(p), files[p])
	}
	kernel := lines(6, 5<<20)
	if err := w.Frames([]string{"nodes/n9"}, bytes.NewReader(fragmentOf(t, map[string]string{"nodes/n9/logs/kernel.log": kernel}))); err != nil {
		t.Fatal(err)
	}
	files["nodes/n9/logs/kernel.log.part0001"], files["nodes/n9/logs/kernel.log.part0002.end"] = kernel[:fragmentPart], kernel[fragmentPart:]
	info := testInfo()
	info.Provenance = func(sum [32]byte) ([]byte, error) {
		st, err := NewStatement("index.jsonl", sum, "https://casefile.dev/test/v1", map[string]string{})
		if err != nil {
			return nil, err
		}
		return Attest(s, st)
	}
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(dir, "b.tar.zst")
	writeFile(t, name, out.Bytes())
	return name, files
}

// extractsAll compares what a tool extracts, and reads its manifest.
func extractsAll(t *testing.T, files map[string]string, extract func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	extract(dir)
	root := filepath.Join(dir, options(t).Top)
	for p, want := range files {
		if got, err := os.ReadFile(filepath.Join(root, p)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, want %d: %v", p, len(got), len(want), err)
		}
	}
	manifest, err := os.ReadFile(filepath.Join(root, nameManifest))
	if err != nil {
		t.Fatal(err)
	}
	seal, err := os.ReadFile(filepath.Join(root, nameSeal))
	if err != nil {
		t.Fatal(err)
	}
	_, v := testSigner(t)
	if _, err := checkSeal(seal, manifest, v); err != nil {
		t.Errorf("manifest and seal, extracted: %v", err)
	}
}
