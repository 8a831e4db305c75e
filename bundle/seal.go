package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const sealMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// seal is manifest.sigstore.json, a Sigstore bundle v0.3 over the bytes of
// manifest.json. []byte is padded base64 in JSON.
type seal struct {
	MediaType string `json:"mediaType"`
	Message   struct {
		Digest struct {
			Algorithm string `json:"algorithm"`
			Digest    []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"`
	} `json:"messageSignature"`
	Material struct {
		PublicKey struct {
			Hint string `json:"hint"` // base64 of the SHA-256 of the key's PKIX DER
		} `json:"publicKey"`
		Times *sealTimes `json:"timestampVerificationData,omitempty"`
	} `json:"verificationMaterial"`
}

// hintOf turns a fingerprint into a hint, as cosign makes it: with padding.
func hintOf(fingerprint string) string {
	return strings.TrimPrefix(fingerprint, fingerprintKind) + "="
}

// makeSeal signs the manifest. timestamp may be nil, and may answer with nothing.
func makeSeal(manifest []byte, fingerprint string, s Signer, timestamp func([]byte) ([]byte, error)) ([]byte, error) {
	signature, err := s.Sign(manifest)
	if err == nil {
		signature, err = lowS(s.Public(), signature)
	}
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	v, err := NewVerifier(s.Public())
	if err != nil {
		return nil, err
	}
	if err := v.Verify(fingerprint, manifest, signature); err != nil {
		return nil, fmt.Errorf("the signer's own signature: %w", err)
	}
	sum := sha256.Sum256(manifest)
	var b seal
	b.MediaType = sealMediaType
	b.Message.Digest.Algorithm = "SHA2_256"
	b.Message.Digest.Digest = sum[:]
	b.Message.Signature = signature
	b.Material.PublicKey.Hint = hintOf(fingerprint)
	if timestamp == nil {
		return canonical(b)
	}
	response, err := timestamp(signature)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	if response != nil {
		if err := b.addTime(response); err != nil {
			return nil, err
		}
	}
	return canonical(b)
}

// parseSeal reads a seal strictly, keys that it does not know refused, and
// gives the fingerprint that it claims.
func parseSeal(b, manifest []byte) (s seal, fingerprint string, err error) {
	if err := decodeCanonical(b, &s); err != nil {
		return s, "", err
	}
	same, err := canonical(s)
	if err != nil || !bytes.Equal(same, b) {
		return s, "", fmt.Errorf("%w: not a seal of format 1", ErrDamaged)
	}
	sum := sha256.Sum256(manifest)
	id, err := base64.StdEncoding.Strict().DecodeString(s.Material.PublicKey.Hint)
	switch {
	case s.MediaType != sealMediaType || s.Message.Digest.Algorithm != "SHA2_256" || err != nil || len(id) != sha256.Size:
		return s, "", fmt.Errorf("%w: not a seal of format 1", ErrDamaged)
	case s.Material.Times != nil && !s.Material.Times.sane():
		return s, "", fmt.Errorf("%w: timestamps", ErrDamaged)
	case !bytes.Equal(s.Message.Digest.Digest, sum[:]):
		return s, "", fmt.Errorf("%w: the manifest is not the one that was signed", ErrSignature)
	}
	return s, fingerprintKind + base64.RawStdEncoding.EncodeToString(id), nil
}

// checkSeal holds the seal against the trusted keys (nil: against the key that
// the manifest itself names, which proves integrity only) and gives the
// manifest. A good seal by another key is ErrUnknownSigner.
func checkSeal(sealed, manifest []byte, trust Verifier) (*Manifest, error) {
	s, fingerprint, err := parseSeal(sealed, manifest)
	if err != nil {
		return nil, &DamageError{Part: "signature", Err: asSignature(err)}
	}
	var unknown error
	if trust != nil {
		switch err := trust.Verify(fingerprint, manifest, s.Message.Signature); {
		case errors.Is(err, ErrUnknownSigner):
			unknown = err
		case err != nil:
			return nil, &DamageError{Part: "signature", Err: err}
		}
	}
	m, err := parseManifest(manifest)
	if err != nil {
		return nil, &DamageError{Part: "manifest", Err: err}
	}
	if err := ownSeal(m, fingerprint, manifest, s.Message.Signature); err != nil {
		return nil, &DamageError{Part: "signature", Err: err}
	}
	return m, unknown
}

// ownSeal checks the seal with the key in the manifest.
func ownSeal(m *Manifest, fingerprint string, manifest, signature []byte) error {
	if m.Signer == nil || m.Signer.Fingerprint != fingerprint {
		return fmt.Errorf("%w: the manifest names another key than the seal", ErrSignature)
	}
	key, err := x509.ParsePKIXPublicKey(m.Signer.PublicKey)
	if err != nil {
		return fmt.Errorf("%w: the key in the manifest: %w", ErrSignature, err)
	}
	v, err := NewVerifier(key)
	if err != nil {
		return fmt.Errorf("%w: the key in the manifest: %w", ErrSignature, err)
	}
	if err := v.Verify(fingerprint, manifest, signature); err != nil {
		return fmt.Errorf("%w: it is not by the key that the manifest names", ErrSignature)
	}
	return nil
}

func asSignature(err error) error {
	if errors.Is(err, ErrSignature) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSignature, err)
}

// digestFile is manifest.sha256, which stands in for the seal of an unsigned
// bundle, so that accidents are still seen. sha256sum -c reads it.
func digestFile(manifest []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(manifest), nameManifest)
}
