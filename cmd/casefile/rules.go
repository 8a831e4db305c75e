package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle/redact"
)

// rulesFlag is on what redacts.
func rulesFlag() cli.Flag {
	return &cli.StringFlag{Name: "redact-rules", Usage: "also mask what the rules in `FILE` say (see bundle/redact/POLICY.md)"}
}

// rulePack is a user's own rules, and the file that they came in, which agents
// read again.
type rulePack struct {
	rules redact.Rules
	file  []byte
}

// rulesFrom reads the pack that --redact-rules names, if it does.
func rulesFrom(c *cli.Context) (rulePack, error) {
	if !c.IsSet("redact-rules") {
		return rulePack{}, nil
	}
	name := c.String("redact-rules")
	b, err := readRules(name)
	if err != nil {
		return rulePack{}, usagef("--redact-rules: %v", err)
	}
	rules, err := redact.LoadRules(b)
	if err != nil {
		return rulePack{}, usagef("--redact-rules %s: %v", name, err)
	}
	return rulePack{rules, b}, nil
}

func readRules(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, redact.MaxRules+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(b) > redact.MaxRules {
		err = fmt.Errorf("%s is longer than %d bytes", name, redact.MaxRules)
	}
	return b, err
}

// ownRules are the options of a redactor for a bundle that was redacted before:
// the rules of --redact-rules, and the names of those that masked in it.
func ownRules(c *cli.Context, b *opened) (redact.Options, error) {
	pack, err := rulesFrom(c)
	if err != nil {
		return redact.Options{}, err
	}
	o := redact.Options{Rules: pack.rules}
	f, err := b.Open(redact.SummaryPath)
	if err != nil {
		return o, nil //nolint:nilerr // a bundle without a summary has no masks of others
	}
	defer f.Close()
	var s redact.Summary
	if err := json.NewDecoder(io.LimitReader(f, maxSummary)).Decode(&s); err != nil {
		return o, fmt.Errorf("%s: %w", redact.SummaryPath, err)
	}
	o.Masks = slices.Sorted(maps.Keys(s.Rules))
	return o, nil
}

// maxSummary bounds the summary of redactions, in bytes.
const maxSummary = 64 << 20
