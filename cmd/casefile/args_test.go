package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReorder(t *testing.T) {
	for in, want := range map[string]string{
		"casefile verify a.tar.zst --quick --key k":         "casefile verify --quick --key k a.tar.zst",
		"casefile bundle ls a -l glob --key=k":              "casefile bundle ls -l --key=k a glob",
		"casefile analyze a b --module m --module n c":      "casefile analyze --module m --module n a b c",
		"casefile analyze -- -odd --format":                 "casefile analyze -- -odd --format",
		"casefile --help":                                   "casefile --help",
		"casefile bundle cat a - --unverified":              "casefile bundle cat --unverified a -",
		"casefile collect -o - -n a -n b --label x=--y":     "casefile collect -o - -n a -n b --label x=--y",
		"casefile agent image save -o f":                    "casefile agent image save -o f",
		"casefile verify":                                   "casefile verify",
		"casefile collect --note --label --label a=b --yes": "casefile collect --note --label --label a=b --yes",
	} {
		got, err := reorder(newApp(), strings.Fields(in))
		if diff := cmp.Diff(strings.Fields(want), got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", in, err, diff)
		}
	}
	for _, in := range []string{"casefile verify a --quack", "casefile verify a --key", "casefile bundle ls --module x"} {
		if got, err := reorder(newApp(), strings.Fields(in)); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

func FuzzReorder(f *testing.F) {
	f.Add("verify\x00a\x00--quick")
	f.Add("bundle\x00ls\x00--\x00-x")
	f.Fuzz(func(t *testing.T, s string) {
		args := append([]string{"casefile"}, strings.Split(s, "\x00")...)
		got, err := reorder(newApp(), args)
		if err != nil {
			return
		}
		count := map[string]int{"--": 0}
		for _, a := range args {
			count[a]++
		}
		for _, a := range got {
			count[a]--
		}
		for a, n := range count {
			if n != 0 && a != "--" {
				t.Errorf("%q became %q: %q is lost or made up", args, got, a)
			}
		}
	})
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"256MB": 256e6, "1GiB": 1 << 30, "500k": 500e3, "12": 12, "1.5 MiB": 3 << 19, "7b": 7} {
		if got, err := parseSize(in); got != want || err != nil {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MB", "-1", "0", "1e99GB", "12 monkeys", "nan", "inf"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("%s: %d", in, got)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{exitOK, exitOK, exitOK}, {exitIncomplete, exitFinding, exitFinding}, {exitForged, exitFinding, exitForged},
		{exitForged, exitUsage, exitUsage}, {exitFailed, exitUsage, exitFailed}, {exitOK, exitIncomplete, exitIncomplete},
	} {
		if got := worst(c.a, c.b); got != c.want {
			t.Errorf("worst(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\x1b[31mb\x00\u009bc\n"); got != "a[31mbc" {
		t.Errorf("%q", got)
	}
}
