package bundle

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// MaxBlobSignature bounds the signature of a single file, in bytes. Others put
// the answers of transparency logs and timestamps into it.
const MaxBlobSignature = 256 << 10

// SignBlob signs a single file: a Sigstore bundle v0.3 in canonical JSON, as
// `cosign verify-blob --key … --bundle … --insecure-ignore-tlog` accepts it.
func SignBlob(s Signer, blob []byte) ([]byte, error) {
	id, err := Fingerprint(s.Public())
	if err != nil {
		return nil, err
	}
	return makeSeal(blob, id, s, nil)
}

// CheckBlob holds what [SignBlob] or `cosign sign-blob --key` made against the
// file and v, and gives the fingerprint of the signer. The error wraps
// ErrUnknownSigner when v does not know that key, ErrSignature when the
// signature does not hold, ErrDamaged when it is none.
//
// Unlike a seal it may have any spelling, and hold more than is read here: the
// file is what must not change unseen, not its signature.
func CheckBlob(signature, blob []byte, v Verifier) (string, error) {
	if len(signature) > MaxBlobSignature {
		return "", fmt.Errorf("%w: a signature of %d bytes", ErrTooLarge, len(signature))
	}
	var s seal
	dec := json.NewDecoder(bytes.NewReader(signature))
	if err := dec.Decode(&s); err != nil {
		return "", fmt.Errorf("%w: not a Sigstore bundle: %w", ErrDamaged, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%w: more than one JSON value", ErrDamaged)
	}
	id, err := base64.StdEncoding.Strict().DecodeString(s.Material.PublicKey.Hint)
	switch {
	case s.MediaType != sealMediaType:
		return "", fmt.Errorf("%w: want a Sigstore bundle v0.3, not %q", ErrDamaged, s.MediaType)
	case err != nil || len(id) != sha256.Size:
		return "", fmt.Errorf("%w: it does not name its key; sign with a key pair, not with a certificate", ErrDamaged)
	case s.Message.Digest.Algorithm != "SHA2_256" || len(s.Message.Signature) == 0:
		return "", fmt.Errorf("%w: it signs no file by its SHA-256", ErrDamaged)
	}
	by := fingerprintKind + base64.RawStdEncoding.EncodeToString(id)
	if sum := sha256.Sum256(blob); !bytes.Equal(s.Message.Digest.Digest, sum[:]) {
		return by, fmt.Errorf("%w: the file is not the one that was signed", ErrSignature)
	}
	for _, form := range bothForms(s.Message.Signature) {
		if err = v.Verify(by, blob, form); err == nil || errors.Is(err, ErrUnknownSigner) {
			break
		}
	}
	return by, err
}

// bothForms are a signature and, of an ECDSA one with the higher s, which
// others make, its lower form.
func bothForms(signature []byte) [][]byte {
	forms := [][]byte{signature}
	var sig ecdsaSignature
	if rest, err := asn1.Unmarshal(signature, &sig); err != nil || len(rest) > 0 {
		return forms
	}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		if n := c.Params().N; sig.S.Cmp(n) < 0 && !isLow(n, sig.S) {
			if low, err := asn1.Marshal(ecdsaSignature{sig.R, new(big.Int).Sub(n, sig.S)}); err == nil {
				forms = append(forms, low)
			}
		}
	}
	return forms
}
