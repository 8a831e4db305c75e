package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// searchable is all that somebody can read out of a bundle: its bytes, the
// whole stream, and what is base64 in it.
func searchable(t *testing.T, b []byte) [][]byte {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	stream, err := io.ReadAll(io.LimitReader(dec, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	all := [][]byte{b, stream}
	for _, word := range regexp.MustCompile(`[A-Za-z0-9+/]{16,}`).FindAll(stream, -1) {
		if plain, err := base64.RawStdEncoding.DecodeString(string(word)); err == nil {
			all = append(all, plain)
		}
	}
	return all
}

// What was left out can be neither named nor guessed.
func TestDeriveLeavesNoTrace(t *testing.T) {
	s, v := testSigner(t)
	files := site()
	src := openBytes(t, makeSite(t, files, "", s), v)
	b, d := derive(t, src, DeriveOptions{Keep: dropSecret, Signer: s})
	b2, d2 := derive(t, openBytes(t, b, v), DeriveOptions{Keep: func(p string) bool { return p != "nodes/n1/node.json" }, Signer: s})
	secrets := map[string]string{"the node": secretNode}
	hide := func(path string) {
		secrets["the path "+path] = path
		if e, ok := src.entryAt(path); ok {
			salt, err := e.salt()
			if err != nil {
				t.Fatal(err)
			}
			secrets["the salt of "+path] = string(salt[:])
			secrets["the salt in base64 of "+path] = encoding().EncodeToString(salt[:])
		}
		sum := sha256.Sum256([]byte(files[path]))
		secrets["the hash of "+path] = string(sum[:])
		secrets["the hash in hex of "+path] = hex.EncodeToString(sum[:])
		secrets["the hash in base64 of "+path] = encoding().EncodeToString(sum[:])
		secrets["the content of "+path] = files[path]
	}
	for _, path := range append(d.Dropped, d.Altered...) {
		hide(path)
	}
	search := func(b []byte) {
		for _, text := range searchable(t, b) {
			for what, secret := range secrets {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s is still there", what)
				}
			}
		}
	}
	for _, path := range d.Altered { // its name and what is left of it stay
		delete(secrets, "the path "+path)
	}
	search(b)
	if !slices.Equal(d2.Dropped, []string{"nodes/n1/node.json"}) {
		t.Fatalf("dropped %q", d2.Dropped)
	}
	hide(d2.Dropped[0])
	search(b2)
	if _, o := originIn(t, b2, v, v); o.ID != src.Manifest().ID || !o.Trusted {
		t.Errorf("a bundle that was redacted twice does not come from the first: %+v", o)
	}
}

// Under strict redaction no name of the first bundle is left, and the proof
// still says what did not change.
func TestDeriveStrict(t *testing.T) {
	s, v := testSigner(t)
	files := site()
	for path := range files {
		if strings.HasPrefix(path, capturesDir) { // these are no real packets
			delete(files, path)
		}
	}
	files["cluster/logs/x/y/z.log"] = "all is well\n"
	src := openBytes(t, makeSite(t, files, "", s), v)
	red, err := redact.New(redact.PolicyStrict, redact.Options{Key: pseudonym.Key{1, 2, 3}, Names: []pseudonym.Name{{Kind: pseudonym.KindNode, Value: secretNode}}})
	if err != nil {
		t.Fatal(err)
	}
	b, d := derive(t, src, DeriveOptions{Redactor: red, Signer: s, HideNames: true, Top: "casefile-x", Info: &Info{Redaction: src.manifest.Redaction}})
	r, o := originIn(t, b, v, v)
	if len(d.Dropped)+len(d.Unredacted) > 0 || r.Manifest().Redaction.Policy != "strict" || !o.Original("cluster/logs/x/y/z.log") || o.Manifest != nil {
		t.Errorf("origin %+v\nderived %+v", o, d)
	}
	for _, text := range searchable(t, b) {
		if bytes.Contains(text, []byte(secretNode)) {
			t.Errorf("the node is still named: %q", text[max(0, bytes.Index(text, []byte(secretNode))-100):][:200])
		}
	}
	if sum := string(readFile(t, r, redact.SummaryPath)); !strings.Contains(sum, `"policy":"strict"`) || !strings.Contains(sum, `"nodes/node-`) {
		t.Errorf("summary %s", sum)
	}
}
