package timestamp

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

func oidSHA256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
}

func oidSignedData() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
}

func oidTSTInfo() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
}

// response is a TimeStampResp.
type response struct {
	Status status
	Token  asn1.RawValue `asn1:"optional"`
}

type status struct {
	Status int
	Text   asn1.RawValue  `asn1:"optional"`
	Fail   asn1.BitString `asn1:"optional"`
}

// contentInfo is a token: CMS signed data around a TSTInfo.
type contentInfo struct {
	Type asn1.ObjectIdentifier
	Data signedData `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version int
	Digests []pkix.AlgorithmIdentifier `asn1:"set"`
	Content struct {
		Type asn1.ObjectIdentifier
		Info []byte `asn1:"explicit,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	Revocations  asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signerInfo  `asn1:"set"`
}

type signerInfo struct {
	Version   int
	ID        issuerAndSerial
	Digest    pkix.AlgorithmIdentifier
	Signed    asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm pkix.AlgorithmIdentifier
	Signature []byte
	Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// tstInfo is what the authority signs.
type tstInfo struct {
	Version    int
	Policy     asn1.ObjectIdentifier
	Imprint    imprint
	Serial     *big.Int
	Time       time.Time     `asn1:"generalized"`
	Accuracy   accuracy      `asn1:"optional"`
	Ordering   bool          `asn1:"optional"`
	Nonce      *big.Int      `asn1:"optional"`
	Authority  asn1.RawValue `asn1:"optional,tag:0"`
	Extensions asn1.RawValue `asn1:"optional,tag:1"`
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

// token is a parsed response.
type token struct {
	data   signedData
	info   tstInfo
	certs  []*x509.Certificate
	signer *x509.Certificate
}

func unmarshal(b []byte, v any, what string) error {
	rest, err := asn1.Unmarshal(b, v)
	if err != nil {
		return bad("%s: %w", what, err)
	}
	if len(rest) > 0 {
		return bad("%s: %d bytes behind it", what, len(rest))
	}
	return nil
}

// tokenIn takes the token out of a response; a bare token is one.
func tokenIn(b []byte) ([]byte, error) {
	var first struct {
		Head asn1.RawValue
		Rest asn1.RawValue `asn1:"optional"`
	}
	if err := unmarshal(b, &first, "response"); err != nil {
		return nil, err
	}
	if first.Head.Tag == asn1.TagOID {
		return b, nil
	}
	var r response
	if err := unmarshal(b, &r, "response"); err != nil {
		return nil, err
	}
	if r.Status.Status > 1 || len(r.Token.FullBytes) == 0 {
		return nil, bad("the authority refused (status %d)", r.Status.Status)
	}
	return r.Token.FullBytes, nil
}

// normalise makes the response around a token in its one spelling: what no
// signature covers is fixed or left out.
func normalise(tokenDER []byte) ([]byte, error) {
	t, err := parseToken(tokenDER)
	if err != nil {
		return nil, err
	}
	d := t.data
	s := d.Signers[0]
	d.Version, s.Version = 3, 1
	alg, err := algorithmOf(s)
	if err != nil {
		return nil, err
	}
	s.Digest = pkix.AlgorithmIdentifier{Algorithm: alg.digest, Parameters: asn1.NullRawValue}
	s.Algorithm = pkix.AlgorithmIdentifier{Algorithm: alg.signature, Parameters: alg.parameters}
	s.Unsigned, d.Revocations = asn1.RawValue{}, asn1.RawValue{}
	d.Digests, d.Signers = []pkix.AlgorithmIdentifier{s.Digest}, []signerInfo{s}
	var certs []byte
	for _, c := range t.chain() {
		certs = append(certs, c.Raw...)
	}
	d.Certificates = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certs}
	b, err := asn1.Marshal(contentInfo{oidSignedData(), d})
	if err != nil {
		return nil, bad("%w", err)
	}
	return asn1.Marshal(response{Token: asn1.RawValue{FullBytes: b}})
}

// maxChain bounds the certificates of a token.
const maxChain = 6

// chain is the signer's certificate and those above it, if they go up to a
// root: then each is verified by the next, and otherwise none could be.
func (t *token) chain() []*x509.Certificate {
	chain := []*x509.Certificate{t.signer}
	for c := t.signer; len(chain) < maxChain; {
		i := slices.IndexFunc(t.certs, func(o *x509.Certificate) bool { return bytes.Equal(o.RawSubject, c.RawIssuer) && signedBy(c, o) })
		switch {
		case i < 0:
			return chain[:1]
		case bytes.Equal(t.certs[i].Raw, c.Raw): // a root
			return chain
		}
		c = t.certs[i]
		chain = append(chain, c)
	}
	return chain[:1]
}

func signedBy(c, issuer *x509.Certificate) bool {
	return issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// parse reads a response in normal form, and no other.
func parse(b []byte) (*token, error) {
	if len(b) > MaxResponse {
		return nil, bad("%d bytes", len(b))
	}
	der, err := tokenIn(b)
	if err != nil {
		return nil, err
	}
	normal, err := normalise(der)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(normal, b) {
		return nil, bad("not in normal form")
	}
	return parseToken(der)
}

func parseToken(der []byte) (*token, error) {
	var c contentInfo
	if err := unmarshal(der, &c, "token"); err != nil {
		return nil, err
	}
	d := c.Data
	if !c.Type.Equal(oidSignedData()) || !d.Content.Type.Equal(oidTSTInfo()) || len(d.Signers) != 1 {
		return nil, bad("not a timestamp with one signer")
	}
	t := &token{data: d}
	if err := unmarshal(d.Content.Info, &t.info, "TSTInfo"); err != nil {
		return nil, err
	}
	if len(d.Certificates.Bytes) == 0 {
		return nil, bad("no certificate in it: ask the authority for one (certReq)")
	}
	var err error
	if t.certs, err = x509.ParseCertificates(d.Certificates.Bytes); err != nil {
		return nil, bad("certificates: %w", err)
	}
	id := d.Signers[0].ID
	i := slices.IndexFunc(t.certs, func(c *x509.Certificate) bool {
		return id.Serial != nil && bytes.Equal(c.RawIssuer, id.Issuer.FullBytes) && c.SerialNumber.Cmp(id.Serial) == 0
	})
	if i < 0 {
		return nil, bad("the certificate of its signer is not in it")
	}
	t.signer = t.certs[i]
	return t, nil
}
