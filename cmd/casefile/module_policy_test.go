package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/sdk/abi"
)

// TestModulePolicyStrict: what might have been meant to forbid something is
// not passed over.
func TestModulePolicyStrict(t *testing.T) {
	const good = `{"version":1,"keys":[{"key":"a.pub","rules":["a/*","b-c/d","*"],"modules":["m"],"memoryMiB":64,"fuel":1000}]}`
	if p, err := parseModulePolicy([]byte(good)); err != nil || len(p.Keys) != 1 || p.Keys[0].Fuel != 1000 {
		t.Fatalf("%+v, %v", p, err)
	}
	for text, want := range map[string]string{
		``:                                  "EOF",
		`{}`:                                `want "version": 1`,
		`{"version":2,"keys":[]}`:           `want "version": 1`,
		`[]`:                                "cannot unmarshal",
		`{"version":1,"keys":[]} {}`:        "more than one",
		`{"version":1,"version":1}`:         "twice",
		`{"version":1,"Version":1}`:         "twice",
		`{"version":1,"keys":[],"deny":[]}`: "unknown field",
		`{"version":1,"keys":[{"key":"a","rules":["a/*"],"RULES":["*"]}]}`:               "twice",
		`{"version":1,"keys":[{"key":"a","rule":["a/*"]}]}`:                              "unknown field",
		`{"version":1,"keys":[{"key":"a"}]}`:                                             "no rules",
		`{"version":1,"keys":[{"rules":["a/*"]}]}`:                                       "no key",
		`{"version":1,"keys":[{"key":"a","rules":["a"]}]}`:                               "want topic/name",
		`{"version":1,"keys":[{"key":"a","rules":["a*"]}]}`:                              "want topic/name",
		`{"version":1,"keys":[{"key":"a","rules":["a/b*"]}]}`:                            "want topic/name",
		`{"version":1,"keys":[{"key":"a","rules":["*/b"]}]}`:                             "want topic/name",
		`{"version":1,"keys":[{"key":"a","rules":[""]}]}`:                                "want topic/name",
		`{"version":1,"keys":[{"key":"a","rules":["*"],"memoryMiB":-1}]}`:                "more than nothing",
		`{"version":1,"keys":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`: "too deeply",
	} {
		if _, err := parseModulePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestModulePolicyKeys(t *testing.T) {
	dir := t.TempDir()
	key := func(name string) (file, pem, id string) {
		_, public, err := bundle.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, name)
		if err := os.WriteFile(file, public, 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err = bundle.FingerprintPEM(public); err != nil {
			t.Fatal(err)
		}
		return file, strings.ReplaceAll(string(public), "\n", `\n`), id
	}
	file, inline, id := key("a.pub")
	_, _, other := key("b.pub")
	known := []trusted{{name: "a", file: file, fingerprint: id}}
	for keys, want := range map[string]string{
		`{"key":"a.pub","rules":["*"]}`:                                                    "",
		`{"key":"` + file + `","rules":["*"]}`:                                             "",
		`{"key":"` + inline + `","rules":["*"]}`:                                           "",
		`{"fingerprint":"` + id + `","rules":["*"]}`:                                       "",
		`{"key":"a.pub","fingerprint":"` + id + `","rules":["*"]}`:                         "",
		`{"key":"a.pub","fingerprint":"` + other + `","rules":["*"]}`:                      "has the fingerprint",
		`{"fingerprint":"` + other + `","rules":["*"]}`:                                    "casefile trust add",
		`{"key":"c.pub","rules":["*"]}`:                                                    "no such file",
		`{"key":"-----BEGIN x","rules":["*"]}`:                                             "no PEM block",
		`{"key":"a.pub","rules":["a/*"]},{"fingerprint":"` + id + `","rules":["b/*"]}`:     "twice",
		`{"key":"a.pub","rules":["a/*"]},{"key":"b.pub","name":"b","rules":["b/*","c/d"]}`: "",
	} {
		policy := filepath.Join(dir, "p.json")
		if err := os.WriteFile(policy, []byte(`{"version":1,"keys":[`+keys+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readModulePolicy(policy, known)
		switch {
		case want == "" && (err != nil || p.grant(id).Rules == nil || len(p.ring) != len(p.Keys)):
			t.Errorf("%s: %+v, %v", keys, p, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
}

func TestModuleGrant(t *testing.T) {
	g := moduleGrant{Rules: []string{"a/*", "b/c"}, Modules: []string{"m", "n"}}
	for rule, want := range map[string]bool{"a/x": true, "a/y": true, "b/c": true, "b/cc": false, "b/d": false, "aa/x": false, "x/a": false, "": false} {
		if g.allows(rule) != want {
			t.Errorf("%q: %v", rule, !want)
		}
	}
	if (moduleGrant{}).allows("a/b") || !(moduleGrant{Rules: []string{"*"}}).allows("a/b") {
		t.Error("nothing allows all, or * does not")
	}
	d := func(name, rule, fact string) abi.Declaration {
		d := abi.Declaration{Name: name, Rules: []abi.Rule{{ID: "b/c"}, {ID: rule}}}
		if fact != "" {
			d.Facts = []abi.FactDecl{{Fact: fact}}
		}
		return d
	}
	for _, c := range []struct {
		d  abi.Declaration
		ok bool
	}{{d("m", "a/b", ""), true}, {d("n", "a/b", "a/f"), true}, {d("o", "a/b", ""), false}, {d("m", "c/b", ""), false}, {d("m", "a/b", "c/f"), false}} {
		if err := g.admit(c.d); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.d, err)
		}
	}
}

func FuzzModulePolicy(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"key":"a.pub","rules":["a/*"]}]}`))
	f.Add([]byte(`{"version":1,"keys":[{"key":"a.pub","rules":["a/*"],"rules":["*"]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseModulePolicy(text)
		if err != nil {
			return
		}
		for _, g := range p.Keys {
			if len(g.Rules) == 0 || g.Key == "" && g.Fingerprint == "" {
				t.Errorf("%q gives %+v", text, g)
			}
		}
	})
}
