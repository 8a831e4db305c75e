package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Limits of approvals.jsonl.
const (
	MaxApprovals    = 64
	MaxApprovalNote = 4 << 10 // bytes
)

const approvalPredicate = "https://casefile.dev/approval/v1"

// The decisions of an [Approval].
const (
	Approved = "approved"
	Rejected = "rejected"
)

// Approval is what somebody who looked through a bundle decided about it.
type Approval struct {
	Decision string    // Approved or Rejected
	Note     string    // at most MaxApprovalNote bytes
	Time     time.Time // cut to seconds
	Review   []byte    // SHA-256 of the review that was shown; nil: none was
}

// SignedApproval is an [Approval] whose signature holds.
type SignedApproval struct {
	Approval
	Signer string // fingerprint
	Known  bool   // the key is a trusted one; otherwise anybody can have signed
}

// approvalClaim is the predicate of an approval. Its key lets a reader that
// does not know the signer still tell a damaged approval from a whole one.
type approvalClaim struct {
	Decision  string    `json:"decision"`
	Note      string    `json:"note,omitempty"`
	Time      time.Time `json:"time"`
	Review    string    `json:"review,omitempty"` // hex
	PublicKey []byte    `json:"publicKey"`        // PKIX DER
}

func (a Approval) check() error {
	switch {
	case a.Decision != Approved && a.Decision != Rejected:
		return fmt.Errorf("%w: decision %q, want %s or %s", ErrDamaged, a.Decision, Approved, Rejected)
	case len(a.Note) > MaxApprovalNote:
		return fmt.Errorf("%w: note of %d bytes, at most %d", ErrTooLarge, len(a.Note), MaxApprovalNote)
	case len(a.Review) != 0 && len(a.Review) != sha256.Size:
		return fmt.Errorf("%w: the review is named by %d bytes, not by a SHA-256", ErrDamaged, len(a.Review))
	case a.Time.Unix() < 0 || a.Time.Unix() > maxTime:
		return fmt.Errorf("%w: approved at %s", ErrDamaged, a.Time)
	}
	return nil
}

// Approve writes the bundle of r to out with one approval more, signed by s.
// Everything up to the seal is copied as it is: whoever approves reads it with
// [Reader.Verify] first. The error wraps ErrTooLarge when there are
// MaxApprovals already.
func Approve(ctx context.Context, r *Reader, out io.Writer, s Signer, a Approval) error {
	line, err := a.sign(s, r.tail.manifest)
	if err != nil {
		return fmt.Errorf("approval: %w", err)
	}
	all := append(append(slices.Clone(r.tail.approvals), line...), '\n')
	if n := bytes.Count(all, []byte("\n")); n > MaxApprovals || len(all) > maxProof {
		return fmt.Errorf("approval: %w: %d approvals of %d bytes in all", ErrTooLarge, n, len(all))
	}
	return r.rewrite(ctx, out, r.tail.seal, all)
}

// sign makes a line of approvals.jsonl.
func (a Approval) sign(s Signer, manifest []byte) ([]byte, error) {
	a.Time = a.Time.UTC().Truncate(time.Second)
	if err := a.check(); err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(s.Public())
	if err != nil {
		return nil, err
	}
	st, err := NewStatement(nameManifest, sha256.Sum256(manifest), approvalPredicate,
		approvalClaim{a.Decision, a.Note, a.Time, hex.EncodeToString(a.Review), key})
	if err != nil {
		return nil, err
	}
	line, err := Attest(s, st)
	if err != nil {
		return nil, err
	}
	if _, err := parseApproval(line, manifest); err != nil {
		return nil, fmt.Errorf("the signer's own signature: %w", err)
	}
	return line, nil
}

// Approvals lists the approvals in the order in which they were added. v,
// which may be nil, says whose key is known. That approvals were taken away
// again cannot be seen.
func (r *Reader) Approvals(v Verifier) ([]SignedApproval, error) {
	approvals, err := parseApprovals(r.tail.approvals, r.tail.manifest)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return approvals, nil
	}
	for i, line := range approvalLines(r.tail.approvals) {
		switch _, _, err := CheckAttestation(line, v); {
		case err == nil:
			approvals[i].Known = true
		case !errors.Is(err, ErrUnknownSigner):
			return nil, &DamageError{Part: "approvals", Err: err}
		}
	}
	return approvals, nil
}

func approvalLines(b []byte) [][]byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

// parseApprovals reads approvals.jsonl; each must be about this manifest, and
// its signature must hold for the key in it.
func parseApprovals(b, manifest []byte) ([]SignedApproval, error) {
	lines := approvalLines(b)
	if len(lines) > MaxApprovals {
		return nil, &DamageError{Part: "approvals", Err: fmt.Errorf("%w: %d of them", ErrTooLarge, len(lines))}
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		return nil, damaged("approvals", "the last line has no end")
	}
	approvals := make([]SignedApproval, len(lines))
	for i, line := range lines {
		a, err := parseApproval(line, manifest)
		if err != nil {
			return nil, &DamageError{Part: "approvals", Err: fmt.Errorf("line %d: %w", i+1, err)}
		}
		approvals[i] = a
	}
	return approvals, nil
}

func parseApproval(line, manifest []byte) (SignedApproval, error) {
	st, by, err := CheckAttestation(line, Keyring{})
	if err != nil && !errors.Is(err, ErrUnknownSigner) {
		return SignedApproval{}, err
	}
	var c approvalClaim
	if err := decodeCanonical(st.Predicate, &c); err != nil {
		return SignedApproval{}, err
	}
	if err := checkOwn(line, c.PublicKey); err != nil {
		return SignedApproval{}, err
	}
	review, err := hex.DecodeString(c.Review)
	if err != nil || st.PredicateType != approvalPredicate || !st.About(sha256.Sum256(manifest)) {
		return SignedApproval{}, fmt.Errorf("%w: not an approval of this bundle", ErrDamaged)
	}
	a := Approval{Decision: c.Decision, Note: c.Note, Time: c.Time.UTC()}
	if len(review) > 0 {
		a.Review = review
	}
	return SignedApproval{Approval: a, Signer: by}, a.check()
}

// checkOwn holds an attestation against the key that it brings along, which
// proves integrity only.
func checkOwn(attestation, der []byte) error {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fmt.Errorf("%w: its key: %w", ErrDamaged, err)
	}
	v, err := NewVerifier(key)
	if err != nil {
		return fmt.Errorf("%w: its key: %w", ErrDamaged, err)
	}
	_, _, err = CheckAttestation(attestation, v)
	if errors.Is(err, ErrUnknownSigner) {
		return fmt.Errorf("%w: it is not by the key that it names", ErrSignature)
	}
	return err
}

// rewrite copies the file up to its manifest and puts another seal and other
// approvals behind, nil approvals being none.
func (r *Reader) rewrite(ctx context.Context, out io.Writer, sealed, approvals []byte) error {
	t := r.tail
	if err := copySection(ctx, out, io.NewSectionReader(r.src, 0, t.offsets[t.manifestAt+1])); err != nil {
		return fmt.Errorf("copy the bundle: %w", err)
	}
	frames := slices.Clone(t.frames[:t.manifestAt+1])
	streams := [][]byte{memberStream(r.manifest, t.name, sealed)}
	if approvals != nil {
		streams = append(streams, memberStream(r.manifest, nameApprovals, approvals))
	}
	for _, stream := range append(streams, make([]byte, 2*block)) {
		f := storedFrame(stream)
		frames = append(frames, extent{uint32(len(f)), uint32(len(stream))})
		if _, err := out.Write(f); err != nil {
			return err
		}
	}
	_, err := out.Write(seekTable(frames))
	return err
}

// copySection copies all of src, and stops between blocks when ctx ends.
func copySection(ctx context.Context, out io.Writer, src *io.SectionReader) error {
	for left := src.Size(); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(out, src, min(left, 4<<20))
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}
