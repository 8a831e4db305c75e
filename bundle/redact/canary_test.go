package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestCanaries(t *testing.T) {
	secrets := []string{"hunter2!xyz/Q", "db.internal.example", strings.Repeat("long secret ", 20), "pa55"}
	c, err := NewCanaries(secrets)
	if err != nil {
		t.Fatal(err)
	}
	find := func(in string) (hits []Hit) {
		if err := c.Find(strings.NewReader(in), func(h Hit) { hits = append(hits, h) }); err != nil {
			t.Fatal(err)
		}
		return hits
	}
	std := base64.StdEncoding.EncodeToString
	for i, s := range secrets {
		forms := map[string]string{"plain": s, "upper": strings.ToUpper(s), "in words": "xx" + s + "yy", "URL": url.QueryEscape(s), "path": url.PathEscape(s),
			"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))), "JSON": quotedJSON(s), "JSON twice": quotedJSON(quotedJSON(s)),
			"base64": std([]byte("some text, then " + s + " and more")), "base64 of base64": std([]byte(std([]byte("some text, then " + s + " and more")))), "gzip": string(zipped("a\n" + s)),
			"base64 of gzip": std(zipped("some text " + s)), "URL in JSON": quotedJSON(url.QueryEscape(s)), "base64 in a URL": url.QueryEscape(std([]byte("text text text " + s)))}
		for name, form := range forms {
			hits := find("first line\nsecond " + form + " end\nthird\n")
			if len(hits) == 0 || hits[0].Line != 2 || hits[0].Canary != i && hits[0].Canary != -1 {
				t.Errorf("canary %d, %s: %v", i, name, hits)
			}
		}
	}
	if hits := find("\x02db\x08internal\x07example\x00"); len(hits) == 0 || hits[0].Canary != 1 {
		t.Errorf("a DNS name: %v", hits)
	}
	for _, in := range []string{"", "nothing of that kind\n", "hunter2!xyz", strings.Repeat("db.internal.exampl\n", 9000), std([]byte("harmless text in base64, quite long"))} {
		if hits := find(in); len(hits) > 0 {
			t.Errorf("%.40q: %v", in, hits)
		}
	}
	for at := textWindow - lookahead - 40; at < textWindow+40; at += 3 {
		in := strings.Repeat("x\n", at/2) + secrets[0]
		if hits := find(in + strings.Repeat("\n", lookahead)); len(hits) != 1 || hits[0].Line != at/2+1 {
			t.Fatalf("at %d: %v", at, hits)
		}
	}
	for _, bad := range [][]string{{"abc"}, {strings.Repeat("x", maxCanary+1)}, make([]string, MaxCanaries+1)} {
		if _, err := NewCanaries(bad); err == nil || strings.Contains(fmt.Sprint(err), "abc") {
			t.Errorf("%d canaries: %v", len(bad), err)
		}
	}
}
