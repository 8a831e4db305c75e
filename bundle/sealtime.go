package bundle

import (
	"context"
	"fmt"
	"io"
)

// Limits of the timestamps in a seal.
const (
	MaxTimestamp  = 12 << 10 // bytes of one
	maxTimestamps = 1
)

// sealTimes are RFC 3161 responses about the signature of the seal. Their
// bytes are base64 in JSON.
type sealTimes struct {
	Responses []sealTime `json:"rfc3161Timestamps"`
}

type sealTime struct {
	Response []byte `json:"signedTimestamp"` // DER of a TimeStampResp
}

// sane bounds what a seal may hold; whether it is true is for those to check
// who know the authority.
func (t *sealTimes) sane() bool {
	if len(t.Responses) == 0 || len(t.Responses) > maxTimestamps {
		return false
	}
	for _, r := range t.Responses {
		if len(r.Response) == 0 || len(r.Response) > MaxTimestamp {
			return false
		}
	}
	return true
}

func (s *seal) addTime(response []byte) error {
	if s.Material.Times == nil {
		s.Material.Times = &sealTimes{}
	}
	s.Material.Times.Responses = append(s.Material.Times.Responses, sealTime{response})
	if !s.Material.Times.sane() {
		return fmt.Errorf("timestamp: %w: %d timestamps, the last of %d bytes", ErrTooLarge, len(s.Material.Times.Responses), len(response))
	}
	return nil
}

// Seal is the content of manifest.json and that of manifest.sigstore.json, the
// Sigstore bundle over it, which is nil when the bundle is unsigned.
func (r *Reader) Seal() (manifest, signature []byte) {
	if r.tail.name == nameSeal {
		signature = r.tail.seal
	}
	return r.tail.manifest, signature
}

// readSeal gives the seal, which Open has checked; nil when unsigned.
func (r *Reader) readSeal() (*seal, error) {
	if r.tail.name != nameSeal {
		return nil, nil
	}
	s, _, err := parseSeal(r.tail.seal, r.tail.manifest)
	if err != nil {
		return nil, &DamageError{Part: "signature", Err: asSignature(err)}
	}
	return &s, nil
}

// SealSignature is the signature over the manifest, and what a timestamp of
// the bundle is about. It is nil for an unsigned one.
func (r *Reader) SealSignature() ([]byte, error) {
	s, err := r.readSeal()
	if s == nil {
		return nil, err
	}
	return s.Message.Signature, nil
}

// SealTimestamp is the RFC 3161 response in the seal, DER, and nil when there
// is none. Nothing of it was checked: package timestamp does that.
func (r *Reader) SealTimestamp() ([]byte, error) {
	s, err := r.readSeal()
	if s == nil || s.Material.Times == nil {
		return nil, err
	}
	return s.Material.Times.Responses[0].Response, nil
}

// Timestamp writes the bundle of r to out with an RFC 3161 response in its
// seal, in the place of one that is there. Approvals stay.
func Timestamp(ctx context.Context, r *Reader, out io.Writer, response []byte) error {
	s, err := r.readSeal()
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("timestamp: %w: there is no signature to stamp", ErrUnsigned)
	}
	s.Material.Times = nil
	if err := s.addTime(response); err != nil {
		return err
	}
	sealed, err := canonical(s)
	if err != nil {
		return err
	}
	return r.rewrite(ctx, out, sealed, r.tail.approvals)
}
