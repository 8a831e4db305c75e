package bundle

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// maxKey bounds a PEM file.
const maxKey = 64 << 10

// Signer seals a bundle.
type Signer interface {
	Public() crypto.PublicKey
	// Sign signs the SHA-256 of message (Ed25519: message itself).
	Sign(message []byte) ([]byte, error)
}

// Verifier is whom a reader trusts.
type Verifier interface {
	// Verify checks the signature of the key with this fingerprint. The error
	// wraps ErrUnknownSigner when that key is not a trusted one, and
	// ErrSignature when it is and the signature does not hold.
	Verify(fingerprint string, message, signature []byte) error
}

// GenerateKey makes an ECDSA P-256 key pair in cosign's own format: the private
// key encrypted with pass, which may be empty, and the public key, both PEM.
func GenerateKey(pass []byte) (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if der, err = encrypted.Encrypt(der, pass); err != nil {
		return nil, nil, err
	}
	public, err = cryptoutils.MarshalPublicKeyToPEM(key.Public())
	return pem.EncodeToMemory(&pem.Block{Type: string(cryptoutils.EncryptedSigstorePrivateKeyPEMType), Bytes: der}), public, err
}

// LoadSigner reads a private key: cosign's (ENCRYPTED SIGSTORE or COSIGN
// PRIVATE KEY), PKCS #8, encrypted or not, SEC 1 or PKCS #1. pass is asked once
// when the key is encrypted; nil stands for the empty password.
func LoadSigner(key []byte, pass func() ([]byte, error)) (Signer, error) {
	if len(key) > maxKey {
		return nil, fmt.Errorf("private key: %w: %d bytes", ErrTooLarge, len(key))
	}
	p, _ := pem.Decode(key)
	if p == nil {
		return nil, errors.New("private key: no PEM block in it; make a key pair with: casefile keygen")
	}
	asked := false
	k, err := cryptoutils.UnmarshalPEMToPrivateKey(key, func(bool) ([]byte, error) {
		asked = true
		if pass == nil {
			return []byte{}, nil
		}
		word, err := pass()
		if word == nil {
			word = []byte{} // nil would mean: not encrypted
		}
		return word, err
	})
	switch {
	case err != nil && asked:
		return nil, fmt.Errorf("private key: wrong password or damaged key: %w", err)
	case err != nil:
		return nil, fmt.Errorf("private key (%s): %w", p.Type, err)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key: a %T cannot sign", k)
	}
	if _, err := NewVerifier(s.Public()); err != nil {
		return nil, err
	}
	return signer{s}, nil
}

type signer struct{ key crypto.Signer }

func (s signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign is deterministic (RFC 6979) for ECDSA.
func (s signer) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	switch k := s.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, message), nil
	case *ecdsa.PrivateKey:
		return k.Sign(nil, sum[:], crypto.SHA256)
	default:
		return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
}

// LoadVerifier reads a PEM public key.
func LoadVerifier(key []byte) (Verifier, error) {
	if len(key) > maxKey {
		return nil, fmt.Errorf("public key: %w: %d bytes", ErrTooLarge, len(key))
	}
	if p, _ := pem.Decode(key); p == nil {
		return nil, errors.New("public key: no PEM block in it")
	} else if bytes.Contains([]byte(p.Type), []byte("PRIVATE KEY")) {
		return nil, errors.New("public key: this is a private key; give its public half")
	}
	k, err := cryptoutils.UnmarshalPEMToPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return NewVerifier(k)
}

// NewVerifier trusts one key: ECDSA (P-256 or larger), RSA (2048 bits or more)
// or Ed25519.
func NewVerifier(key crypto.PublicKey) (Verifier, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return nil, fmt.Errorf("public key: curve %s is too small", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("public key: RSA with %d bits is too small", k.N.BitLen())
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("public key: %T is not supported; use ECDSA P-256", key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return verifier{key, fingerprint(der)}, nil
}

type verifier struct {
	key         crypto.PublicKey
	fingerprint string
}

func (v verifier) Verify(fingerprint string, message, signature []byte) error {
	if fingerprint != v.fingerprint {
		return fmt.Errorf("%w: %s", ErrUnknownSigner, fingerprint)
	}
	sum := sha256.Sum256(message)
	ok := false
	switch k := v.key.(type) {
	case *ecdsa.PublicKey:
		ok = hasLowS(k, signature) && ecdsa.VerifyASN1(k, sum[:], signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, message, signature)
	}
	if !ok {
		return fmt.Errorf("%w (key %s)", ErrSignature, fingerprint)
	}
	return nil
}

// Keyring trusts each of its keys.
type Keyring []Verifier

// Verify asks the keys in turn until one knows the fingerprint.
func (k Keyring) Verify(fingerprint string, message, signature []byte) error {
	for _, v := range k {
		if err := v.Verify(fingerprint, message, signature); !errors.Is(err, ErrUnknownSigner) {
			return err
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknownSigner, fingerprint)
}

// Fingerprint names a public key: SHA256: and the base64 of the SHA-256 of its
// PKIX DER, as ssh-keygen would.
func Fingerprint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	return fingerprint(der), nil
}

// FingerprintPEM is [Fingerprint] of a PEM public key.
func FingerprintPEM(key []byte) (string, error) {
	v, err := LoadVerifier(key)
	if err != nil {
		return "", err
	}
	return v.(verifier).fingerprint, nil
}

const fingerprintKind = "SHA256:"

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return fingerprintKind + base64.RawStdEncoding.EncodeToString(sum[:])
}
