package main

import (
	"io"
	"strings"
	"time"

	"github.com/casefile-io/casefile/bundle"
)

// originVerdict is what verify says about the bundle that a redacted one was
// made from.
type originVerdict struct {
	ID      string     `json:"id"`
	By      party      `json:"by"`
	Sealed  *time.Time `json:"sealed,omitempty"` // when the first manifest is still there
	Leaves  int        `json:"leaves"`           // files that it had
	Kept    int        `json:"kept"`             // of them are here as they were
	Altered int        `json:"altered"`
	Added   int        `json:"added"`
}

// originOf checks the origin of a redacted bundle; nil for any other.
func originOf(b *opened, keys bundle.Keyring, who func(string, bool) party) (*originVerdict, error) {
	r, err := b.Origin(keys)
	if r == nil || err != nil {
		return nil, err
	}
	v := &originVerdict{ID: r.ID, By: who(r.Fingerprint, r.Trusted), Leaves: r.Leaves, Kept: r.Kept, Altered: r.Altered, Added: r.Added}
	if r.Manifest != nil {
		v.Sealed = &r.Manifest.Created
	}
	return v, nil
}

// print says it in one line; nil says nothing.
func (v *originVerdict) print(w io.Writer) {
	if v == nil {
		return
	}
	when := ""
	if v.Sealed != nil {
		when = " on " + stamp(*v.Sealed)
	}
	sayer(w)("origin", "%d of %d files are as %s sealed them%s; %d altered, %d added; that bundle had %d",
		v.Kept, v.Kept+v.Altered+v.Added, v.By, when, v.Altered, v.Added, v.Leaves)
}

// originMark tells, in a listing, the files that a redaction changed or made.
func originMark(o *bundle.OriginReport, path string) string {
	if o == nil || o.Original(path) || strings.HasPrefix(path, "origin/") {
		return ""
	}
	return "  (not as sealed first)"
}
