package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

const (
	statementType    = "https://in-toto.io/Statement/v1"
	statementPayload = "application/vnd.in-toto+json"
)

// Statement is an in-toto statement v1: a claim about files that are named by
// their SHA-256.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is one file that a statement is about.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // "sha256": hex
}

// NewStatement claims predicate of the file called name.
func NewStatement(name string, sum [32]byte, predicateType string, predicate any) (*Statement, error) {
	b, err := canonical(predicate)
	if err != nil {
		return nil, fmt.Errorf("predicate %s: %w", predicateType, err)
	}
	return &Statement{Type: statementType, Subject: []Subject{{Name: name, Digest: map[string]string{"sha256": fmt.Sprintf("%x", sum)}}},
		PredicateType: predicateType, Predicate: b}, nil
}

// About says whether the statement is about a file with this SHA-256.
func (s *Statement) About(sum [32]byte) bool {
	for _, sub := range s.Subject {
		if sub.Digest["sha256"] == fmt.Sprintf("%x", sum) {
			return true
		}
	}
	return false
}

// attestation is a Sigstore bundle v0.3 with a DSSE envelope.
type attestation struct {
	MediaType string `json:"mediaType"`
	Envelope  struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
	Material struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
}

// Attest signs a statement: a Sigstore bundle v0.3 with a DSSE envelope, in
// canonical JSON, as `cosign verify-blob-attestation` reads it.
func Attest(s Signer, st *Statement) ([]byte, error) {
	payload, err := canonical(st)
	if err != nil {
		return nil, err
	}
	id, err := Fingerprint(s.Public())
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(dsse.PAE(statementPayload, payload))
	if err == nil {
		sig, err = lowS(s.Public(), sig)
	}
	if err != nil {
		return nil, fmt.Errorf("sign the statement: %w", err)
	}
	var a attestation
	a.MediaType = sealMediaType
	a.Envelope.Payload, a.Envelope.PayloadType = payload, statementPayload
	a.Envelope.Signatures = append(a.Envelope.Signatures, struct {
		Sig []byte `json:"sig"`
	}{sig})
	a.Material.PublicKey.Hint = hintOf(id)
	return canonical(a)
}

// CheckAttestation reads what [Attest] made and holds its signature against
// v. It returns the statement and the fingerprint of its signer. The error
// wraps ErrUnknownSigner when v does not know that key (the statement is
// returned all the same, and proves nothing), ErrSignature when the signature
// does not hold, ErrDamaged when it is no attestation.
func CheckAttestation(b []byte, v Verifier) (*Statement, string, error) {
	var a attestation
	if len(b) > maxProof {
		return nil, "", fmt.Errorf("%w: attestation of %d bytes", ErrTooLarge, len(b))
	}
	if err := decodeCanonical(b, &a); err != nil {
		return nil, "", err
	}
	same, err := canonical(a)
	id, hintErr := base64.StdEncoding.Strict().DecodeString(a.Material.PublicKey.Hint)
	if err != nil || !bytes.Equal(same, b) || a.MediaType != sealMediaType || a.Envelope.PayloadType != statementPayload ||
		len(a.Envelope.Signatures) != 1 || hintErr != nil || len(id) != sha256.Size {
		return nil, "", fmt.Errorf("%w: not an attestation of format 1", ErrDamaged)
	}
	var s Statement
	if err := json.Unmarshal(a.Envelope.Payload, &s); err != nil || s.Type != statementType {
		return nil, "", fmt.Errorf("%w: not an in-toto statement", ErrDamaged)
	}
	by := fingerprintKind + base64.RawStdEncoding.EncodeToString(id)
	err = v.Verify(by, dsse.PAE(statementPayload, a.Envelope.Payload), a.Envelope.Signatures[0].Sig)
	if err != nil && !errors.Is(err, ErrUnknownSigner) {
		return nil, by, err
	}
	return &s, by, err
}
