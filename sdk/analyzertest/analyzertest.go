// Package analyzertest runs the cases of an analyzer's rules under go test.
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
// every language must have its param. With ANALYZERTEST_UPDATE=1 the section
// is written anew: read the difference before you commit it.
package analyzertest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Projector lays out what a module declares, as the host does: the files in/…
// and bundle/…, and a function that turns a row's number into its place.
type Projector func(bundle fs.FS, d abi.Declaration) (files fs.FS, resolve func(at int64) (abi.ReportedEvidence, error), err error)

// Runner analyses what was laid out and returns what the module printed.
type Runner func(files fs.FS) ([]byte, error)

// Native runs the analyzer as the plain Go that it is.
func Native(a sdk.Analyzer) Runner {
	return func(files fs.FS) ([]byte, error) {
		var out, log bytes.Buffer
		if err := a.Analyze(files, &out, &log); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, &log)
		}
		return out.Bytes(), nil
	}
}

// Run runs every case that the pattern of filepath.Glob names, natively.
func Run(t *testing.T, a sdk.Analyzer, project Projector, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no case matches %s (%v)", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, want, err := Check(a, project, Native(a), archive)
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
			if os.Getenv("ANALYZERTEST_UPDATE") == "1" {
				before, _, _ := bytes.Cut(archive, []byte("-- want --\n"))
				if err := os.WriteFile(path, append(before, "-- want --\n"+got...), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		})
	}
}

// Check runs one case and returns what came out and what the case wants, as
// text.
func Check(a sdk.Analyzer, project Projector, run Runner, archive []byte) (got, want string, err error) {
	bundle, config, want, err := parseCase(archive)
	if err != nil {
		return "", "", err
	}
	d, err := a.Declaration()
	if err != nil {
		return "", "", err
	}
	files, resolve, err := project(bundle, d)
	if err != nil {
		return "", "", fmt.Errorf("project: %w", err)
	}
	out, err := run(overlay{files, fstest.MapFS{"config.json": {Data: config}}})
	if err != nil {
		return "", "", err
	}
	got, err = format(d, out, resolve)
	return got, want, err
}

type overlay struct {
	fs.FS
	top fs.FS
}

func (o overlay) Open(name string) (fs.File, error) {
	if f, err := o.top.Open(name); err == nil {
		return f, nil
	}
	return o.FS.Open(name)
}

// parseCase splits a case into the bundle and its two reserved sections.
func parseCase(archive []byte) (bundle fstest.MapFS, config []byte, want string, err error) {
	bundle, config = fstest.MapFS{}, []byte("{}")
	wanted := false
	for name, data := range sections(archive) {
		switch base, encoded := strings.CutSuffix(name, ".base64"); {
		case name == "want":
			want, wanted = string(data), true
		case name == "config.json":
			config = data
		case bundle[base] != nil:
			return nil, nil, "", fmt.Errorf("file %s stands twice", base)
		case encoded:
			raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
			if err != nil {
				return nil, nil, "", fmt.Errorf("%s: %w", name, err)
			}
			bundle[base] = &fstest.MapFile{Data: raw}
		default:
			bundle[name] = &fstest.MapFile{Data: data}
		}
	}
	if !wanted {
		return nil, nil, "", errors.New("the case has no section \"-- want --\"")
	}
	return bundle, config, want, nil
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

// format turns printed lines into the text of a want section.
func format(d abi.Declaration, out []byte, resolve func(int64) (abi.ReportedEvidence, error)) (string, error) {
	var b, findings strings.Builder
	for line := range bytes.Lines(out) {
		var o abi.Outcome
		if err := json.Unmarshal(line, &o); err != nil {
			return "", fmt.Errorf("printed %q: %w", line, err)
		}
		i := slices.IndexFunc(d.Rules, func(r abi.Rule) bool { return r.ID == o.Rule })
		if i < 0 {
			return "", fmt.Errorf("printed a line of the undeclared rule %q", o.Rule)
		}
		if o.Outcome == "" {
			var f abi.Finding
			if err := json.Unmarshal(line, &f); err != nil {
				return "", fmt.Errorf("printed %q: %w", line, err)
			}
			if err := formatFinding(&findings, d.Rules[i], f, resolve); err != nil {
				return "", fmt.Errorf("%s: %w", o.Rule, err)
			}
			continue
		}
		fmt.Fprintf(&b, "%s %s", o.Outcome, o.Rule)
		if o.Reason != "" {
			fmt.Fprintf(&b, ": %s", o.Reason)
		}
		if o.Missing != nil {
			fmt.Fprintf(&b, " (lacks %s)", strings.Join(o.Missing, ", "))
		}
		b.WriteString("\n" + findings.String())
		findings.Reset()
	}
	if findings.Len() > 0 {
		return "", fmt.Errorf("findings without an outcome:\n%s", &findings)
	}
	return b.String(), nil
}

func formatFinding(b *strings.Builder, r abi.Rule, f abi.Finding, resolve func(int64) (abi.ReportedEvidence, error)) error {
	severity := f.Severity
	if severity == "" {
		severity = r.Severity
	}
	if f.Confidence != "" {
		severity += "/" + f.Confidence
	}
	fmt.Fprintf(b, "  %s %s", severity, subject(f.Subject))
	if f.Variant != "" {
		fmt.Fprintf(b, " [%s]", f.Variant)
	}
	message, err := message(r, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, ": %s\n", message)
	if len(f.Evidence) == 0 {
		return errors.New("a finding without evidence")
	}
	if f.Owner != "" {
		fmt.Fprintf(b, "    owner %s\n", f.Owner)
	}
	if f.Peer != nil {
		fmt.Fprintf(b, "    peer %s\n", subject(*f.Peer))
	}
	for _, a := range f.Affected {
		fmt.Fprintf(b, "    affected %s\n", subject(a))
	}
	for _, e := range f.Evidence {
		if err := formatEvidence(b, e, resolve); err != nil {
			return err
		}
	}
	return nil
}

func formatEvidence(b *strings.Builder, e abi.Evidence, resolve func(int64) (abi.ReportedEvidence, error)) error {
	place := abi.ReportedEvidence{Path: e.Path, Line: e.Line, Packet: e.Packet}
	if e.At != 0 {
		var err error
		if place, err = resolve(e.At); err != nil {
			return fmt.Errorf("evidence %d: %w", e.At, err)
		}
	}
	fmt.Fprintf(b, "    %s", place.Path)
	if place.Line > 0 {
		fmt.Fprintf(b, ":%d", place.Line)
	}
	if place.Packet > 0 {
		fmt.Fprintf(b, " packet %d", place.Packet)
	}
	if e.Delta != nil {
		fmt.Fprintf(b, " %+d", *e.Delta)
	}
	b.WriteByte('\n')
	return nil
}

// message is the finding's English message; every text of every language must
// render.
func message(r abi.Rule, f abi.Finding) (string, error) {
	english := ""
	for lang, text := range r.Text {
		if f.Variant != "" && text.Variants[f.Variant].Message == "" {
			return "", fmt.Errorf("no variant %q in language %s", f.Variant, lang)
		}
		text = text.Variant(f.Variant)
		for _, s := range append([]string{text.Title, text.Message}, text.Remediation...) {
			rendered, err := render(s, f.Params)
			if err != nil {
				return "", fmt.Errorf("language %s: %w", lang, err)
			}
			if lang == "en" && s == text.Message {
				english = rendered
			}
		}
	}
	return english, nil
}

func subject(s abi.Subject) string {
	if s.Namespace != "" {
		return s.Kind + " " + s.Namespace + "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// render fills {param}s in and fails on one that is not given.
func render(template string, params map[string]any) (string, error) {
	var missing []string
	s := regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_]*\}`).ReplaceAllStringFunc(template, func(p string) string {
		v, ok := params[p[1:len(p)-1]]
		if !ok {
			missing = append(missing, p)
		}
		return fmt.Sprint(v)
	})
	if missing != nil {
		return "", fmt.Errorf("template %q names %v, which the finding does not give", template, missing)
	}
	return s, nil
}
