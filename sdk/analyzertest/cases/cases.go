// Package cases reads and writes the test cases of analyzers: what go test,
// by package analyzertest, and the casefile binary have in common.
//
// A case is a txtar file: the files of a bundle (paths without the top
// folder), an optional config.json with what the host would tell the module
// (captureTime, settings), and the section "want". A file whose name ends in
// .base64 is decoded and loses that ending, so that captures fit in.
//
//	Two pods of one Deployment are waiting.
//	-- config.json --
//	{"captureTime":"2026-11-21T09:00:00Z"}
//	-- cluster/resources/core/v1/pods/shop.ndjson --
//	{"metadata":{"namespace":"shop","name":"web-1"},…}
//	-- want --
//	found workload/crash-loop
//	  high Pod shop/web-1: container app of shop/web-1 has …
//	    cluster/resources/core/v1/pods/shop.ndjson:1
//
// want holds the rules in order with their outcomes, and below each its
// findings (severity, "/" and confidence unless high, subject, the variant in
// brackets, the English message) and their evidence. Every placeholder of
// every language must have its param.
package cases

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing/fstest"
)

// Case is one case.
type Case struct {
	Bundle fstest.MapFS
	Config []byte // of config.json; {} when the case has none
	Want   string

	head []byte // all before the section want
}

const wantSection = "want"

// Parse splits a case into the bundle and its two reserved sections.
func Parse(archive []byte) (*Case, error) {
	c := &Case{Bundle: fstest.MapFS{}, Config: []byte("{}"), head: archive}
	wanted := false
	for name, data := range sections(archive) {
		base, encoded := strings.CutSuffix(name, ".base64")
		switch {
		case wanted:
			return nil, fmt.Errorf("section %s stands behind the section %q, which is the last", name, wantSection)
		case name == wantSection:
			c.Want, wanted = string(data), true
			head := archive[:len(archive)-len(data)]
			c.head = head[:bytes.LastIndexByte(bytes.TrimRight(head, "\n"), '\n')+1]
		case name == "config.json":
			c.Config = data
		case c.Bundle[base] != nil:
			return nil, fmt.Errorf("file %s stands twice", base)
		case encoded:
			raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			c.Bundle[base] = &fstest.MapFile{Data: raw}
		default:
			c.Bundle[name] = &fstest.MapFile{Data: data}
		}
	}
	if !wanted {
		return nil, errors.New("the case has no section \"-- want --\"")
	}
	return c, nil
}

// Update is the case with got as its section want.
func (c *Case) Update(got string) []byte {
	return fmt.Appendf(bytes.Clone(c.head), "-- %s --\n%s", wantSection, got)
}

// sections yields the files of a txtar archive.
func sections(archive []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		name, start := "", 0
		for i := 0; i < len(archive); {
			end := len(archive)
			if n := bytes.IndexByte(archive[i:], '\n'); n >= 0 {
				end = i + n + 1
			}
			line := strings.TrimSpace(string(archive[i:end]))
			if len(line) > 6 && strings.HasPrefix(line, "-- ") && strings.HasSuffix(line, " --") {
				if name != "" && !yield(name, archive[start:i]) {
					return
				}
				name, start = strings.TrimSpace(line[3:len(line)-3]), end
			}
			i = end
		}
		if name != "" {
			yield(name, archive[start:])
		}
	}
}
