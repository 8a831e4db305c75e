package bundle

import (
	"crypto/sha256"
	"fmt"
)

// ProvenancePredicate is the type of the statement in provenance.sigstore.json.
const ProvenancePredicate = "https://casefile.dev/provenance/v1"

// MaxProvenance bounds provenance.sigstore.json, in bytes.
const MaxProvenance = 256 << 10

// IndexDigest is the SHA-256 of the text of index.jsonl, as tar extracts it:
// the subject of the provenance. It reads the index anew.
func (r *Reader) IndexDigest() (sum [32]byte, err error) {
	t, ix := r.tail, r.manifest.Index
	first := len(r.chunks)
	header := len(tarHeader(r.manifest.Top+"/"+nameIndex, ix.Size, r.manifest.Created.Unix()))
	text := sha256.New()
	for i := range ix.Frames {
		packed, err := t.frame(first+i, maxPacked)
		if err != nil {
			return sum, &DamageError{Part: "index", Err: err}
		}
		b, err := decodeFrame(r.dec, packed, int(t.frames[first+i].size), nil)
		if err != nil {
			return sum, &DamageError{Part: "index", Err: err}
		}
		if i == 0 { // Open has seen that header and padding are there
			b = b[min(header, len(b)):]
		}
		if i == ix.Frames-1 {
			b = b[:max(0, len(b)-padding(ix.Size))]
		}
		text.Write(b)
	}
	text.Sum(sum[:0])
	return sum, nil
}

// ProvenanceStatement reads the provenance and holds it against the index and
// v. It is nil when the bundle has none. Errors are those of
// [CheckAttestation]: with ErrUnknownSigner comes the statement, which then
// proves nothing.
func (r *Reader) ProvenanceStatement(v Verifier) (*Statement, error) {
	b := r.Provenance()
	if b == nil {
		return nil, nil
	}
	st, by, unknown := CheckAttestation(b, v)
	if st == nil {
		return nil, inPart("provenance", unknown)
	}
	sum, err := r.IndexDigest()
	switch signer := r.manifest.Signer; {
	case err != nil:
		return nil, err
	case st.PredicateType != ProvenancePredicate || !st.About(sum):
		return nil, damaged("provenance", "it is not about this bundle")
	case signer == nil || signer.Fingerprint != by:
		return nil, &DamageError{Part: "provenance", Err: fmt.Errorf("%w: %s signed it, and not who sealed the bundle", ErrSignature, by)}
	}
	if err := checkOwn(b, r.manifest.Signer.PublicKey); err != nil {
		return nil, &DamageError{Part: "provenance", Err: err}
	}
	return st, unknown
}
