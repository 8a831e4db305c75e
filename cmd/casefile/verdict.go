package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

// verdict is what verify says about a bundle, as one JSON object or as lines.
type verdict struct {
	File       string            `json:"file"`
	OK         bool              `json:"ok"`
	Error      string            `json:"error,omitempty"`
	Verified   bool              `json:"verified"` // a trusted key sealed it
	Checked    string            `json:"checked,omitempty"`
	Signer     *party            `json:"signer,omitempty"`
	Timestamp  *stampVerdict     `json:"timestamp,omitempty"`
	Manifest   *bundle.Manifest  `json:"manifest,omitempty"`
	Provenance *provenance       `json:"provenance,omitempty"`
	Approvals  []approvalVerdict `json:"approvals,omitempty"`
	Origin     *originVerdict    `json:"origin,omitempty"`
	Merged     []mergedVerdict   `json:"merged,omitempty"`
}

// party is somebody who signed something.
type party struct {
	Fingerprint string `json:"fingerprint"`
	Name        string `json:"name,omitempty"` // in the trust folder
	Own         bool   `json:"own,omitempty"`
	Trusted     bool   `json:"trusted"`
}

type approvalVerdict struct {
	Decision string    `json:"decision"`
	By       party     `json:"by"`
	Time     time.Time `json:"time"`
	Note     string    `json:"note,omitempty"`
	Review   string    `json:"review,omitempty"` // SHA-256 of what was shown, hex
}

// read gathers what the bundle says, and who says it.
func (v *verdict) read(c *cli.Context, b *opened) error {
	var keys bundle.Keyring
	var own string
	var names map[string]string
	if !c.Bool("unverified") {
		var err error
		if keys, own, err = trustedKeys(c); err != nil {
			return err
		}
		if names, err = trustedNames(c); err != nil {
			return err
		}
	}
	who := func(fingerprint string, trusted bool) party {
		return party{fingerprint, names[fingerprint], own != "" && fingerprint == own, trusted}
	}
	v.Manifest, v.Verified = b.Manifest(), b.verified
	if b.signer() != "" {
		p := who(b.signer(), b.verified)
		v.Signer = &p
	}
	var err error
	if v.Timestamp, err = readStamp(c, b); err != nil {
		return err
	}
	approvals, err := b.Approvals(keys)
	if err != nil {
		return err
	}
	for _, a := range approvals {
		v.Approvals = append(v.Approvals, approvalVerdict{a.Decision, who(a.Signer, a.Known), a.Time, a.Note, fmt.Sprintf("%x", a.Review)})
	}
	if v.Origin, err = originOf(b, keys, who); err != nil {
		return err
	}
	if v.Merged, err = mergedOf(b, keys, who); err != nil {
		return err
	}
	st, err := b.ProvenanceStatement(keys)
	if err != nil && (b.verified || !errors.Is(err, bundle.ErrUnknownSigner)) {
		return err
	}
	if st != nil {
		v.Provenance, err = readProvenance(st)
		return err
	}
	return nil
}

// print says it all in lines that a hostile bundle can neither break nor add.
func (v *verdict) print(w io.Writer) {
	if v.Verified {
		fmt.Fprintf(w, "OK  %s\n", v.File)
	} else {
		fmt.Fprintf(w, "UNVERIFIED  %s: %s as written, but nobody's signature was checked\n", v.File, v.Checked)
	}
	say := sayer(w)
	switch {
	case v.Signer == nil:
		say("signed by", "nobody")
	case v.Verified:
		say("signed by", "%s", v.Signer)
	default:
		say("signed by", "%s (not checked)", v.Signer.Fingerprint)
	}
	if v.Timestamp != nil {
		say("timestamp", "%s", v.Timestamp)
	}
	v.printAbout(w)
	say("checked", "%s", v.Checked)
}

// sayer prints aligned lines, one for each call.
func sayer(w io.Writer) func(key, format string, a ...any) {
	return func(key, format string, a ...any) {
		fmt.Fprintf(w, "    %-10s  %s\n", key, flat(fmt.Sprintf(format, a...)))
	}
}

// printAbout says what the bundle is, which its signer vouches for.
func (v *verdict) printAbout(w io.Writer) {
	m, say := v.Manifest, sayer(w)
	v.Origin.print(w)
	for _, part := range v.Merged {
		say("merged", "%s", part)
	}
	say("made", "%s by %s", stamp(m.Created), m.Producer)
	if m.Recovered {
		say("recovered", "sealed anew after a crash; what is missing is in collection/results.ndjson")
	}
	if m.Cluster != nil {
		say("cluster", "%s", strings.Join(strings.Fields(m.Cluster.Name+" "+m.Cluster.UID+" "+m.Cluster.Version), " "))
	}
	if m.Incident != nil {
		say("window", "%s to %s", stamp(m.Incident.From), stamp(m.Incident.To))
	}
	for _, k := range sortedKeys(m.Labels) {
		say("label", "%s=%s", k, m.Labels[k])
	}
	if m.Note != "" {
		say("note", "%s", m.Note)
	}
	if m.Completeness != nil {
		state := "complete"
		if !m.Completeness.Complete {
			state = "INCOMPLETE"
		}
		say("contents", "%s: %s", state, tally(m.Completeness.Results))
	}
	v.printProvenance(w)
	for _, a := range v.Approvals {
		text := ""
		if a.Note != "" {
			text = ": " + a.Note
		}
		say(a.Decision, "%s by %s%s", stamp(a.Time), a.By, text)
	}
}

// printProvenance says what was left out, and by which program.
func (v *verdict) printProvenance(w io.Writer) {
	m, p, say := v.Manifest, v.Provenance, sayer(w)
	if p != nil && len(p.Denied) > 0 {
		var paths []string
		for _, d := range p.Denied[:min(3, len(p.Denied))] {
			paths = append(paths, strings.TrimSpace(d.Source+" "+d.Path))
		}
		if more := len(p.Denied) + p.Omitted - len(paths); more > 0 {
			paths = append(paths, fmt.Sprintf("and %d more", more))
		}
		say("denied", "%s", strings.Join(paths, ", "))
	}
	if m.Redaction != nil {
		masked := ""
		if p != nil {
			rules := map[string]int{}
			for _, r := range p.Redaction.Rules {
				rules[r.Rule] += r.Count
			}
			masked = "; masked: " + tally(rules)
		}
		say("redaction", "%s, payload of packets: %s%s", m.Redaction.Policy, m.Redaction.Payload, masked)
	}
	if p != nil {
		say("program", "%s %s/%s %s sha256:%s", p.Producer, p.Binary.OS, p.Binary.Arch, p.Binary.Go, p.Binary.SHA256)
	}
}

// String is the fingerprint and what is known about it.
func (p party) String() string {
	switch {
	case p.Own:
		return p.Fingerprint + " (your own identity)"
	case !p.Trusted:
		return p.Fingerprint + " (NOT a key you trust)"
	case p.Name != "":
		return p.Fingerprint + " (" + p.Name + ")"
	}
	return p.Fingerprint
}

// tally is "3 ok, 1 denied".
func tally(counts map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// flat makes one line of what a bundle says: no character that could move the
// cursor, begin a line or turn the reading direction.
func flat(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)), " ")
}
