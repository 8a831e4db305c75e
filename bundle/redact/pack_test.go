package redact

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

const examplePack = `{
  "rules": [
    {"name": "acme-badge", "keywords": ["BADGE-"], "pattern": "^BADGE-[0-9]{6}"},
    {"name": "acme-ticket", "keywords": ["ticket"], "pattern": "customer (\\w+) ticket"},
    {"name": "acme-pin", "keywords": ["door_pin"]}
  ],
  "fields": [
    {"name": "acme-door", "group": "acme.example", "kinds": ["Door"], "paths": ["spec.code", "spec.**.owner"]}
  ]
}`

func withRules(t *testing.T, pack string) *Redactor {
	t.Helper()
	rules, err := LoadRules([]byte(pack))
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(PolicyStandard, Options{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLoadRules(t *testing.T) {
	r := withRules(t, examplePack)
	for _, c := range []struct{ path, in, want, rule string }{
		{"a.log", "see badge-123456 and BADGE-123456-x now", "see badge-123456 and [REDACTED:acme-badge] now", "acme-badge"},
		{"a.log", "customer miller ticket 7", "customer [REDACTED:acme-ticket] ticket 7", "acme-ticket"},
		{"a.log", "ticket of customer x", "ticket of customer x", ""},
		{"a.log", "front_door_pin=1234 x", "front_door_pin=[REDACTED:acme-pin] x", "acme-pin"},
		{crPath, `{"spec":{"door_pin":"1234"}}`, `{"spec":{"door_pin":"[REDACTED:secret-field]"}}`, ruleField},
		{crPath, `{"apiVersion":"acme.example/v1","kind":"Door","spec":{"code":"x","a":{"b":{"owner":"jane"}},"owner":"joe","size":3}}`,
			`{"apiVersion":"acme.example/v1","kind":"Door","spec":{"code":"[REDACTED:acme-door]","a":{"b":{"owner":"[REDACTED:acme-door]"}},"owner":"[REDACTED:acme-door]","size":3}}`, "acme-door"},
	} {
		before := r.Counts()[c.rule]
		out, err := io.ReadAll(r.Reader(c.path, strings.NewReader(c.in+"\n")))
		if err != nil || string(out) != c.want+"\n" {
			t.Errorf("%s:\n got %s want %s (%v)", c.in, out, c.want, err)
		}
		if c.rule != "" && r.Counts()[c.rule] == before {
			t.Errorf("%s: %s is not counted", c.in, c.rule)
		}
		again, err := io.ReadAll(r.Reader(c.path, strings.NewReader(c.want+"\n")))
		if err != nil || string(again) != c.want+"\n" {
			t.Errorf("not idempotent: %s (%v)", again, err)
		}
	}
	s := r.Summary()
	if len(s.Pack) != 64 || s.Rules["acme-badge"] == 0 {
		t.Errorf("summary %+v", s)
	}
	in, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := redacted(t, SummaryPath, string(in)); !strings.Contains(got, s.Pack) {
		t.Errorf("the stored summary lost its pack: %s", got)
	}
}

// TestMasksOfOthers: a mask that somebody's rule left stays, when it is known.
func TestMasksOfOthers(t *testing.T) {
	in := "password=[REDACTED:acme-badge] x\n"
	r, err := New(PolicyStandard, Options{Masks: []string{"acme-badge"}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(r.Reader("a.log", strings.NewReader(in))); err != nil || string(out) != in {
		t.Errorf("%q, %v", out, err)
	}
	if got := redacted(t, "a.log", in); got == in {
		t.Error("an unknown mask is taken for one")
	}
}

func TestLoadRulesRefuses(t *testing.T) {
	rule := func(s string) string { return `{"rules":[` + s + `]}` }
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a","keywords":["abc"]},`, maxPackRules+1), ",")
	for in, want := range map[string]string{
		``: "EOF", `{`: "EOF", `[]`: "cannot unmarshal", `{"rulez":[]}`: "rulez", `{} {}`: "more than one",
		rule(`{"name":"X","keywords":["abc"]}`):                                                     `rule 1 "X"`,
		rule(`{"name":"a","keywords":["abc"]},{"name":"bad-one","keywords":["abc"],"pattern":"("}`): `rule 2 "bad-one"`,
		rule(`{"name":"a"}`):                                                                          "keywords",
		rule(`{"name":"a","keywords":["ab"]}`):                                                        "3 to 64",
		rule(`{"name":"a","keywords":["äöü"]}`):                                                       "ASCII",
		rule(`{"name":"a","keywords":["abc"],"pattern":"a*"}`):                                        "everywhere",
		rule(`{"name":"a","keywords":["abc"],"pattern":"abc","group":1}`):                             "groups",
		rule(`{"name":"a","keywords":["abc"],"pattern":"` + strings.Repeat("a", maxPattern+1) + `"}`): "at most 1024",
		rule(`{"name":"password","keywords":["abc"]}`):                                                "built in",
		rule(many): "at most 256",
		`{"fields":[{"name":"a","group":"g","paths":["a..b"]}]}`:                                            "empty name",
		`{"fields":[{"name":"a","paths":["a"]}]}`:                                                           "group is missing",
		`{"fields":[{"name":"a","group":"g","paths":["a"],"keep":["b"]}]}`:                                  "keep",
		`{"rules":[],"note":"` + strings.Repeat("x", MaxRules) + `"}`:                                       "at most",
		fmt.Sprintf(`{"fields":[{"name":"a","group":"g","paths":[%s"b"]}]}`, strings.Repeat(`"a",`, 1<<11)): "at most 1024",
	} {
		if _, err := LoadRules([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", in, err, want)
		}
	}
}

// FuzzLoadRules: no pack breaks the reader, and one that is taken does not
// break the redactor.
func FuzzLoadRules(f *testing.F) {
	f.Add([]byte(examplePack), "BADGE-123456 door_pin=3\n")
	f.Add(ownPack, "token=x")
	f.Add([]byte(`{"rules":[{"name":"a","keywords":["aaa"],"pattern":"a+?"}]}`), strings.Repeat("a", 2000))
	f.Fuzz(func(t *testing.T, pack []byte, text string) {
		rules, err := LoadRules(pack)
		if err != nil {
			return
		}
		r, err := New(PolicyStandard, Options{Rules: rules})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Reader("a.log", strings.NewReader(text))); err != nil {
			t.Fatal(err)
		}
	})
}
