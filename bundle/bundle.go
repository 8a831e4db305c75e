// Package bundle writes, seals, verifies and reads casefiles: one signed
// .tar.zst file, format 1, as FORMAT.md beside this file lays it down.
//
// A [Writer] takes entries as streams in bounded memory, without seeking, and
// seals the file in [Writer.Close]:
//
//	w, err := bundle.NewWriter(out, bundle.Options{Top: "casefile-prod-20261121T090000Z", Time: now, Redactor: r})
//	n, err := w.Put("cluster/version.json", bundle.ClassCluster, body)
//	m, err := w.Close(bundle.Info{Producer: "casefile 0.1"}, signer)
//
// Every byte passes the redactor; an entry that cannot be redacted is not in
// the bundle. A node agent makes a [Fragment] with the same Put, and
// [Writer.Frames] takes its finished frames unchanged, after checking them as
// hostile input.
//
// A [Reader] is an [io/fs.FS] over the entries, without the top folder.
// [Open] trusts nothing before the seal of the manifest holds, and a byte of an
// entry is only returned after the hash of its compressed frame was compared.
// [Reader.Verify] reads the whole file and names what is damaged.
package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// Class groups entries that compress well together.
type Class string

// The classes of entries.
const (
	ClassCluster  Class = "cluster"
	ClassNodes    Class = "nodes"
	ClassLogs     Class = "logs"
	ClassCaptures Class = "captures"
	ClassMeta     Class = "meta"
)

// classes lists the classes in the order in which Close flushes them.
func classes() []Class {
	return []Class{ClassCluster, ClassNodes, ClassLogs, ClassCaptures, ClassMeta}
}

func (c Class) known() bool {
	switch c {
	case ClassCluster, ClassNodes, ClassLogs, ClassCaptures, ClassMeta:
		return true
	}
	return false
}

// Format is the version of the format that this package writes and reads.
const Format = 1

// Limits of format 1, in bytes unless said otherwise.
const (
	MaxFrame    = 1 << 20         // uncompressed, of one data or index frame
	MaxFile     = 1 << 30         // of one entry
	MaxTotal    = 16 << 30        // uncompressed tar stream
	MaxFiles    = 1_000_000       // entries
	MaxIndex    = 256 << 20       // index, uncompressed
	MaxManifest = 64 << 10        // manifest.json
	MaxTop      = 128             // name of the top folder
	MaxPath     = 1024            // path of an entry, without the top folder
	MaxElement  = 255             // one element of a path
	MaxDepth    = 32              // elements of a path
	MaxGroup    = 8 << 20         // uncompressed, of one group of a fragment
	maxFrames   = 1 << 20         // frames of a bundle
	maxSeal     = 32 << 10        // manifest.sigstore.json
	maxProof    = 1 << 20         // provenance.sigstore.json, approvals.jsonl
	maxWindow   = 8 << 20         // window of a zstd frame
	maxPacked   = MaxFrame + 8192 // compressed frame: zstd never grows its input by more
)

// Names of the members that the format itself owns.
const (
	nameIndex      = "index.jsonl"
	nameProvenance = "provenance.sigstore.json"
	nameTree       = "tree.sigstore.json"
	nameManifest   = "manifest.json"
	nameSeal       = "manifest.sigstore.json"
	nameDigest     = "manifest.sha256"
	nameApprovals  = "approvals.jsonl"
)

// Errors that decide what a caller does next; more detail wraps them.
var (
	ErrNotBundle     = errors.New("not a casefile bundle")
	ErrTruncated     = errors.New("truncated")
	ErrDamaged       = errors.New("damaged")
	ErrSignature     = errors.New("the signature does not hold")
	ErrUnknownSigner = errors.New("sealed by an unknown signer")
	ErrUnsigned      = errors.New("the bundle is not signed")
	ErrTooLarge      = errors.New("beyond the limits of the format")
	ErrPath          = errors.New("path refused")
)

// DamageError names the part of a bundle that is damaged: "chunk 17", "index",
// "manifest", "signature", "seek table", "end of archive".
type DamageError struct {
	Part  string
	Files []string // entries that are lost with it
	Err   error
}

// Error names the part, up to three entries and the reason.
func (e *DamageError) Error() string {
	var b strings.Builder
	b.WriteString(e.Part)
	if n := len(e.Files); n > 0 {
		shown := e.Files[:min(n, 3)]
		fmt.Fprintf(&b, " (%s", strings.Join(shown, ", "))
		if n > len(shown) {
			fmt.Fprintf(&b, " and %d more", n-len(shown))
		}
		b.WriteString(")")
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap gives the reason, which wraps one of the errors of this package.
func (e *DamageError) Unwrap() error { return e.Err }

// damaged makes a DamageError that wraps ErrDamaged.
func damaged(part, format string, args ...any) error {
	return &DamageError{Part: part, Err: fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))}
}

// inPart names the part, unless the error does so already.
func inPart(part string, err error) error {
	if d := (*DamageError)(nil); errors.As(err, &d) {
		return err
	}
	return &DamageError{Part: part, Err: err}
}
