package main

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/analyzers-wasm/report"
	"github.com/casefile-io/casefile/sdk/abi"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "what a rule looks for, how, and what to do about it; without RULE, list the rules",
		ArgsUsage: "[RULE]",
		Flags: append([]cli.Flag{
			langFlag(),
			&cli.StringSliceFlag{Name: "module", Usage: "also explain the rules of the analyzer in `FILE.wasm`, or at oci://HOST/REPO:TAG, may be repeated"},
		}, moduleFlags()...),
		Action: explain,
	}
}

func langFlag() cli.Flag {
	return &cli.StringFlag{Name: "lang", Value: "en", Usage: "`LANGUAGE` of the texts: en or zh"}
}

func checkLang(c *cli.Context) (string, error) {
	if l := c.String("lang"); l == "en" || l == "zh" {
		return l, nil
	}
	return "", usagef("--lang is en or zh, not %q", c.String("lang"))
}

func explain(c *cli.Context) error {
	lang, err := checkLang(c)
	if err != nil {
		return err
	}
	if c.NArg() > 1 {
		return usagef("explain takes one rule")
	}
	rules, err := declaredRules(c)
	if err != nil {
		return err
	}
	if !c.Args().Present() {
		for _, r := range rules {
			fmt.Printf("%-28s %-9s %s\n", r.ID, r.Severity, textOf(r, lang).Title)
		}
		return nil
	}
	want := c.Args().First()
	for _, r := range rules {
		if r.ID == want {
			return report.Explain(os.Stdout, r, lang, isTerminal(os.Stdout))
		}
	}
	var near []string
	for _, r := range rules {
		if strings.Contains(r.ID, want) || strings.HasPrefix(r.ID, strings.Split(want, "/")[0]+"/") {
			near = append(near, r.ID)
		}
	}
	if len(near) > 0 {
		return usagef("no rule %q; did you mean %s?", want, strings.Join(near, ", "))
	}
	return usagef("no rule %q; casefile explain lists them", want)
}

func textOf(r abi.Rule, lang string) abi.Text {
	if t, ok := r.Text[lang]; ok {
		return t
	}
	return r.Text["en"]
}

// declaredRules asks every module for its rules, sorted by id.
func declaredRules(c *cli.Context) ([]abi.Rule, error) {
	modules, outside, err := modulesOf(c)
	if err != nil {
		return nil, err
	}
	o, err := sandboxOptions()
	if err != nil {
		return nil, err
	}
	var rules []abi.Rule
	for _, m := range modules {
		d, result := host.Describe(c.Context, m, o)
		if result.Status != abi.ModuleOK {
			err := fmt.Errorf("module %s: %s: %s", m.Name, result.Status, result.Reason)
			if slices.ContainsFunc(outside, func(s *signedModule) bool { return s.denied != nil }) {
				return nil, &exitError{exitForged, err}
			}
			return nil, err
		}
		rules = append(rules, d.Rules...)
	}
	sort.Slice(rules, func(i, j int) bool { return rules[i].ID < rules[j].ID })
	return rules, nil
}
