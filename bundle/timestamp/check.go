package timestamp

import (
	"bytes"
	"crypto"
	_ "crypto/sha1"   //nolint:gosec // ESSCertID version 1 has no other
	_ "crypto/sha512" // for authorities that use more than SHA-256
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"time"
)

// Stamp is what a response says.
type Stamp struct {
	Time    time.Time
	By      string // subject of the authority's certificate
	Trusted bool   // the certificate leads to one of the roots
}

// algorithm is a way to sign, by its identifiers.
type algorithm struct {
	name       x509.SignatureAlgorithm
	hash       crypto.Hash
	digest     asn1.ObjectIdentifier
	signature  asn1.ObjectIdentifier
	parameters asn1.RawValue
}

func algorithms() []algorithm {
	sha := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, n} }
	rsa := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, n} }
	ecdsa := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, n} }
	return []algorithm{
		{x509.SHA256WithRSA, crypto.SHA256, sha(1), rsa(11), asn1.NullRawValue},
		{x509.SHA384WithRSA, crypto.SHA384, sha(2), rsa(12), asn1.NullRawValue},
		{x509.SHA512WithRSA, crypto.SHA512, sha(3), rsa(13), asn1.NullRawValue},
		{x509.ECDSAWithSHA256, crypto.SHA256, sha(1), ecdsa(2), asn1.RawValue{}},
		{x509.ECDSAWithSHA384, crypto.SHA384, sha(2), ecdsa(3), asn1.RawValue{}},
		{x509.ECDSAWithSHA512, crypto.SHA512, sha(3), ecdsa(4), asn1.RawValue{}},
	}
}

// algorithmOf finds how s is signed. Plain RSA goes with the digest.
func algorithmOf(s signerInfo) (algorithm, error) {
	plainRSA := s.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1})
	for _, a := range algorithms() {
		isRSA := len(a.parameters.FullBytes) > 0
		if s.Digest.Algorithm.Equal(a.digest) && (s.Algorithm.Algorithm.Equal(a.signature) || plainRSA && isRSA) {
			return a, nil
		}
	}
	return algorithm{}, bad("signed in a way that is not supported (%v with %v): ECDSA or RSA with SHA-256, -384 or -512 is", s.Algorithm.Algorithm, s.Digest.Algorithm)
}

// Check holds a response in normal form against the signature that it is
// about, and its certificate against roots as of its time. With nil roots
// anybody may have made it. Errors wrap ErrTimestamp.
func Check(response, signature []byte, roots *x509.CertPool) (Stamp, error) {
	t, err := parse(response)
	if err != nil {
		return Stamp{}, err
	}
	want := imprintOf(signature)
	if t.info.Version != 1 || !t.info.Imprint.Algorithm.Algorithm.Equal(want.Algorithm.Algorithm) || !bytes.Equal(t.info.Imprint.Hash, want.Hash) {
		return Stamp{}, bad("it is about another signature, or not by SHA-256")
	}
	if err := t.checkSignature(); err != nil {
		return Stamp{}, err
	}
	if err := t.checkUse(); err != nil {
		return Stamp{}, err
	}
	s := Stamp{Time: t.info.Time.UTC(), By: t.signer.Subject.String()}
	if roots == nil {
		return s, nil
	}
	between := x509.NewCertPool()
	for _, c := range t.certs {
		between.AddCert(c)
	}
	_, err = t.signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.info.Time,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
	if err != nil {
		return Stamp{}, bad("not by a trusted authority: %w", err)
	}
	s.Trusted = true
	return s, nil
}

// attribute is a signed attribute.
type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// checkSignature holds the signature over the attributes, and the attributes
// against content and certificate.
func (t *token) checkSignature() error {
	s := t.data.Signers[0]
	alg, err := algorithmOf(s)
	if err != nil {
		return err
	}
	if len(s.Signed.FullBytes) == 0 || s.Signed.FullBytes[0] != 0xA0 {
		return bad("no signed attributes")
	}
	set := bytes.Clone(s.Signed.FullBytes)
	set[0] = 0x31 // signed as a SET
	if err := t.signer.CheckSignature(alg.name, set, s.Signature); err != nil {
		return bad("%w", err)
	}
	var attributes []attribute
	if err := unmarshalSet(set, &attributes); err != nil {
		return err
	}
	var kind asn1.ObjectIdentifier
	var sum []byte
	if err := one(attributes, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, &kind); err != nil {
		return err
	}
	if err := one(attributes, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, &sum); err != nil {
		return err
	}
	h := alg.hash.New()
	h.Write(t.data.Content.Info)
	if !kind.Equal(oidTSTInfo()) || subtle.ConstantTimeCompare(h.Sum(nil), sum) != 1 {
		return bad("its content was changed")
	}
	return t.checkCertificate(attributes)
}

func unmarshalSet(b []byte, v any) error {
	rest, err := asn1.UnmarshalWithParams(b, v, "set")
	if err != nil || len(rest) > 0 {
		return bad("attributes: %w", err)
	}
	return nil
}

// one gives the only value of an attribute.
func one(attributes []attribute, kind asn1.ObjectIdentifier, v any) error {
	var found []asn1.RawValue
	for _, a := range attributes {
		if a.Type.Equal(kind) {
			found = append(found, a.Values...)
		}
	}
	if len(found) != 1 {
		return bad("%d attributes %v", len(found), kind)
	}
	return unmarshal(found[0].FullBytes, v, "attribute")
}

// checkCertificate holds the certificate against the hash of it that was
// signed (ESSCertID, version 1 with SHA-1 or 2).
func (t *token) checkCertificate(attributes []attribute) error {
	var v1 struct {
		Certs []struct {
			Hash   []byte
			Serial asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	var v2 struct {
		Certs []struct {
			Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
			Hash      []byte
			Serial    asn1.RawValue `asn1:"optional"`
		}
		Policies asn1.RawValue `asn1:"optional"`
	}
	hash, want := crypto.SHA1, []byte(nil)
	if one(attributes, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, &v2) == nil && len(v2.Certs) > 0 {
		hash, want = crypto.SHA256, v2.Certs[0].Hash
		for _, a := range algorithms() {
			if v2.Certs[0].Algorithm.Algorithm.Equal(a.digest) {
				hash = a.hash
			}
		}
	} else if one(attributes, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}, &v1) == nil && len(v1.Certs) > 0 {
		want = v1.Certs[0].Hash
	}
	h := hash.New()
	h.Write(t.signer.Raw)
	if subtle.ConstantTimeCompare(h.Sum(nil), want) != 1 {
		return bad("it does not name the certificate in it")
	}
	return nil
}

// checkUse says whether the certificate may sign timestamps, and could then.
func (t *token) checkUse() error {
	c := t.signer
	if !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) || len(c.UnknownExtKeyUsage) > 0 {
		return bad("the certificate of %s is not one for timestamps", c.Subject)
	}
	if t.info.Time.Before(c.NotBefore) || t.info.Time.After(c.NotAfter) {
		return bad("the certificate of %s was not valid then", c.Subject)
	}
	return nil
}
