package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
)

// forgeOrigin writes a bundle anew, as somebody can who has a key of his own: with
// other entries and another claim about their origin, but all salts as they are.
func forgeOrigin(t *testing.T, r *Reader, s Signer, edit func(files map[string]string, o *Origin)) []byte {
	t.Helper()
	files := map[string]string{}
	for _, e := range r.entries {
		f := &openFile{r: r, node: node{path: e.path, size: e.size, parts: []entry{e}}, hash: sha256.New()}
		var b bytes.Buffer
		if _, err := io.Copy(&b, f); err != nil {
			t.Fatal(err)
		}
		files[e.path] = b.String()
	}
	origin := *r.manifest.Origin
	edit(files, &origin)
	a, err := newCopier(options(t))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := a.writer(&out, seeded(9))
	w.salted = func(f *file) bool {
		e, ok := r.entryAt(f.path)
		if ok {
			f.salt, _ = e.salt()
		}
		return ok
	}
	for _, path := range sortedKeys(files) {
		if _, err := w.store(path, classOf(path), strings.NewReader(files[path])); err != nil {
			t.Fatal(err)
		}
	}
	info := testInfo()
	info.Origin = &origin
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOriginForged(t *testing.T) {
	s, v := testSigner(t)
	s2, v2 := otherSigner(t)
	first := openBytes(t, makeSite(t, site(), "", s), v)
	b, _ := derive(t, first, DeriveOptions{Keep: dropSecret, Signer: s2})
	r := openBytes(t, b, v2)
	files := site()
	files["nodes/n1/node.json"] = `{"name":"another"}`
	b, _ = derive(t, openBytes(t, makeSite(t, files, "", s), v), DeriveOptions{Keep: dropSecret, Signer: s2, Random: seeded(6)})
	other := openBytes(t, b, v2)
	// The same first bundle, with something else left out.
	b, _ = derive(t, first, DeriveOptions{Keep: func(p string) bool { return p != "nodes/n1/node.json" }, Signer: s2})
	sibling := openBytes(t, b, v2)
	member := func(r *Reader, path string) string {
		b, err := r.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	change := func(path, old, new string) func(map[string]string, *Origin) {
		return func(f map[string]string, _ *Origin) {
			if !strings.Contains(f[path], old) {
				t.Fatalf("%s has no %q", path, old)
			}
			f[path] = strings.Replace(f[path], old, new, 1)
		}
	}
	const altered = "altered collection/log.ndjson\n"
	for name, edit := range map[string]func(map[string]string, *Origin){
		"a kept file changed":        change("nodes/n1/node.json", "n1", "n9"),
		"a kept file gone":           func(f map[string]string, _ *Origin) { delete(f, "nodes/n1/node.json") },
		"a file slipped in":          func(f map[string]string, _ *Origin) { f["nodes/n1/new"] = "x" },
		"a file slipped in, counted": func(f map[string]string, o *Origin) { f["nodes/n1/new"] = "x"; o.Kept++ },
		"an altered file claimed": func(f map[string]string, o *Origin) {
			f[originProof] = strings.Replace(f[originProof], altered, "", 1)
			o.Altered--
			o.Kept++
		},
		"more kept than there are": func(_ map[string]string, o *Origin) { o.Kept++ },
		"altered called added":     func(_ map[string]string, o *Origin) { o.Altered--; o.Added++ },
		"other leaves":             func(_ map[string]string, o *Origin) { o.Leaves++ },
		"another root":             func(_ map[string]string, o *Origin) { o.Root = bytes.Repeat([]byte{1}, 32) },
		"a short root":             func(_ map[string]string, o *Origin) { o.Root = nil },
		"another id":               func(_ map[string]string, o *Origin) { o.ID = "00000000-0000-4000-8000-000000000000" },
		"another fingerprint":      func(_ map[string]string, o *Origin) { o.Fingerprint = r.manifest.Signer.Fingerprint },
		"the redactor's own key": func(_ map[string]string, o *Origin) {
			o.Fingerprint, o.PublicKey = r.manifest.Signer.Fingerprint, r.manifest.Signer.PublicKey
		},
		"no key":                      func(_ map[string]string, o *Origin) { o.PublicKey = nil },
		"no proof":                    func(f map[string]string, _ *Origin) { delete(f, originProof) },
		"no tree":                     func(f map[string]string, _ *Origin) { delete(f, originTree) },
		"no manifest but its seal":    func(f map[string]string, _ *Origin) { delete(f, originManifest) },
		"no seal of the manifest":     func(f map[string]string, _ *Origin) { delete(f, originSeal) },
		"another member":              func(f map[string]string, _ *Origin) { f["origin/more.txt"] = "x" },
		"a provenance from elsewhere": func(f map[string]string, _ *Origin) { f[originProvenance] = f[originTree] },
		"no proof at all":             func(f map[string]string, _ *Origin) { f[originProof] = "nothing\n" },
		"a proof with a bit off":      change(originProof, "hidden 1 ", "hidden 1 A"),
		"a manifest with a bit off":   change(originManifest, "casefile test", "casefile tess"),
		"a tree with a bit off":       change(originTree, `"sig":"M`, `"sig":"N`),
		"a proof that names nothing":  change(originProof, altered, "altered collection/log.ndjso\n"),
		"a proof that names a member": change(originProof, altered, altered+"altered origin/proof.txt\n"),
		"a swapped proof":             func(f map[string]string, _ *Origin) { f[originProof] = member(other, originProof) },
		"a sibling's proof":           func(f map[string]string, _ *Origin) { f[originProof] = member(sibling, originProof) },
		"a swapped tree":              func(f map[string]string, _ *Origin) { f[originTree] = member(other, originTree) },
		"a swapped manifest": func(f map[string]string, _ *Origin) {
			f[originManifest], f[originSeal] = member(other, originManifest), member(other, originSeal)
		},
		"the origin of another": func(f map[string]string, o *Origin) {
			*o = *other.manifest.Origin
			for _, m := range []string{originTree, originProof, originManifest, originSeal} {
				f[m] = member(other, m)
			}
		},
	} {
		b := forgeOrigin(t, r, s2, edit)
		if err := check(b, v2); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		f := openBytes(t, b, v2)
		var d *DamageError
		if o, err := f.Origin(v); o != nil || !errors.As(err, &d) || d.Part != "origin" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Derive(t.Context(), f, io.Discard, DeriveOptions{}); err == nil {
			t.Errorf("%s: it is redacted once more", name)
		}
	}
	if err := check(forgeOrigin(t, r, s2, func(map[string]string, *Origin) {}), v2); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// A second redaction hands on the first origin, with what was altered before.
func TestDeriveTwice(t *testing.T) {
	s, v := testSigner(t)
	s2, v2 := otherSigner(t)
	files := site()
	delete(files, "collection/results.ndjson") // so that it is added
	first := openBytes(t, makeSite(t, files, lines(3, 9<<20), s), v)
	b, d := derive(t, first, DeriveOptions{Keep: dropSecret, Signer: s2})
	one, o1 := originIn(t, b, v2, v)
	if len(d.Added) != 1 || d.Added[0] != "collection/results.ndjson" || o1.Original(d.Added[0]) {
		t.Errorf("added %q", d.Added)
	}
	b, d = derive(t, one, DeriveOptions{Keep: func(p string) bool { return p != "nodes/n1/logs/kernel.log" && p != "collection/journal/1.ndjson" }, Signer: s2, Random: seeded(8)})
	two, o2 := originIn(t, b, v2, v)
	if o2.ID != first.manifest.ID || o2.Leaves != first.manifest.Tree.Leaves || o2.Kept != o1.Kept-3 || o2.Altered != o1.Altered-1 || o2.Added != 1 || !o2.Trusted {
		t.Errorf("first %+v\nthen  %+v", o1.Origin, o2.Origin)
	}
	// What changed before and not again stays altered, and what was added added.
	if o2.Original("collection/log.ndjson") || !o2.Original("nodes/n1/node.json") || len(d.Dropped) != 2 {
		t.Errorf("dropped %q", d.Dropped)
	}
	if got, err := two.ReadFile("collection/results.ndjson"); err != nil || strings.Count(string(got), "left out") != 2 {
		t.Errorf("%s, %v", got, err)
	}
}
