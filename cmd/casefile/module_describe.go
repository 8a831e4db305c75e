package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

const moduleDescribeHelp = `Asks a module, in the sandbox, what it is: what it reads (it will see nothing else), which
rules it has, within which limits it runs. Nothing of a bundle is shown to it.

A signature that does not hold ends it before the module is run, with 5.`

func moduleDescribeCommand() *cli.Command {
	return &cli.Command{Name: "describe", Usage: "what a module reads, its rules, its limits, who signed it", ArgsUsage: "FILE.wasm|oci://HOST/REPO:TAG", Description: moduleDescribeHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text or json"},
			langFlag(),
		}, registryFlags()...),
		Action: func(c *cli.Context) error {
			if f := c.String("format"); f != "text" && f != "json" {
				return usagef("--format is text or json, not %q", f)
			}
			lang, err := checkLang(c)
			if err != nil {
				return err
			}
			return withModule(c, func(m *moduleFile) error { return describeModule(c, m, lang) })
		}}
}

// description is what module describe says, as one JSON object or as lines.
type description struct {
	File        string          `json:"file"`
	Reference   string          `json:"reference,omitempty"` // by digest
	Size        int             `json:"size"`
	Digest      string          `json:"digest"`
	Signed      bool            `json:"signed"`
	Signer      *party          `json:"signer,omitempty"` // absent when nobody known signed it
	Declaration abi.Declaration `json:"declaration"`
}

func describeModule(c *cli.Context, m *moduleFile, lang string) error {
	keys, own, err := defaultKeys()
	if err != nil {
		return err
	}
	names, err := trustedNames(c)
	if err != nil {
		return err
	}
	s := (&moduleTrust{keys: keys}).check(m)
	if s.denied != nil {
		return notAuthentic(s)
	}
	o, err := sandboxOptions()
	if err != nil {
		return err
	}
	d, result := host.Describe(c.Context, host.Module{Name: m.name, Wasm: m.wasm}, o)
	if result.Status != abi.ModuleOK {
		return fmt.Errorf("%s: %s: %s", m.from, result.Status, result.Reason)
	}
	out := description{File: m.from, Reference: m.pinned, Size: len(m.wasm), Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(m.wasm)), Signed: m.signature != nil, Declaration: d}
	if s.signer != "" {
		out.Signer = &party{s.signer, names[s.signer], own != "" && own == s.signer, true}
	}
	if c.String("format") == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(out)
	}
	out.print(os.Stdout, lang)
	return nil
}

func (o description) print(w io.Writer, lang string) {
	d, say := o.Declaration, sayer(w)
	fmt.Fprintln(w, flat(d.Name+" "+d.Version))
	if d.Doc != "" {
		say("about", "%s", d.Doc)
	}
	switch {
	case o.Signer != nil:
		say("signed by", "%s", o.Signer)
	case o.Signed:
		say("signed by", "somebody you do not know; casefile module verify says who")
	default:
		say("signed by", "nobody")
	}
	say("digest", "%s, %s", o.Digest, byteSize(int64(o.Size)))
	if o.Reference != "" {
		say("reference", "%s", o.Reference)
	}
	say("abi", "casefile/%d to casefile/%d", d.ABI[0], d.ABI[1])
	scope := "once for a bundle"
	if d.Scope == abi.ScopeNode {
		scope = "once for each node"
	}
	say("runs", "%s, within %s", scope, limitsOf(d.Limits))
	for _, in := range d.Inputs {
		say("reads", "%s: %s", in.Name, inputText(in))
	}
	if len(d.Inputs) == 0 {
		say("reads", "nothing")
	}
	for _, f := range d.Facts {
		say("tells", "%s %s", f.Fact, f.Doc)
	}
	for _, r := range d.Rules {
		say("rule", "%s, %s, %s: %s", r.ID, r.Severity, r.Layer, textOf(r, lang).Title)
	}
}

func limitsOf(l abi.Limits) string {
	s := "the memory"
	if l.MemoryMiB > 0 {
		s = fmt.Sprintf("%d MiB", l.MemoryMiB)
	}
	if l.Fuel > 0 {
		return fmt.Sprintf("%s and %d steps", s, l.Fuel)
	}
	return s + " and the steps that analyze allows"
}

// shownFields is how many of an input's fields are told; --format json has all.
const shownFields = 6

// inputText says in words what an input holds.
func inputText(in abi.Input) string {
	var s string
	switch {
	case in.Resource != "":
		s = "the resource " + in.Resource
	case in.Table != "":
		s = "rows of " + in.Table
	case len(in.Counters) > 0:
		s = "counters " + strings.Join(in.Counters, ", ")
	case in.Files != "":
		s = "whole files " + in.Files
	case in.Flows != "":
		s = "connections in " + in.Flows
	case in.DNS != "":
		s = "DNS queries in " + in.DNS
	case in.Logs != "":
		s = "log lines of " + in.Logs
	case in.FactRows != "":
		s = "facts " + in.FactRows
	}
	if in.Match != "" {
		s += " that match " + in.Match
	}
	if len(in.Fields) > 0 {
		s += " (" + strings.Join(in.Fields[:min(len(in.Fields), shownFields)], ", ")
		if more := len(in.Fields) - shownFields; more > 0 {
			s += fmt.Sprintf(" and %d more", more)
		}
		s += ")"
	}
	if in.Where != "" {
		s += " where " + in.Where
	}
	return s
}
