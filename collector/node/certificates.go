package node

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	beginPEM       = "-----BEGIN CERTIFICATE-----"
	endPEM         = "-----END CERTIFICATE-----"
	maxCertificate = 64 << 10
	maxBundle      = 16 // certificates told one by one; more are only counted
)

// certificateRow is the public part of a certificate.
type certificateRow struct {
	Path        string    `json:"path"`
	Field       string    `json:"in,omitempty"` // of a kubeconfig
	Index       int       `json:"index,omitempty"`
	Subject     *dnRow    `json:"subject,omitempty"`
	Issuer      *dnRow    `json:"issuer,omitempty"`
	DNSNames    []string  `json:"dnsNames,omitempty"`
	IPs         []string  `json:"ips,omitempty"`
	URIs        []string  `json:"uris,omitempty"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	NotAfter    time.Time `json:"notAfter,omitzero"`
	Serial      string    `json:"serial,omitempty"` // hex
	SHA256      string    `json:"sha256,omitempty"`
	IsCA        bool      `json:"isCA,omitempty"`
	SelfSigned  bool      `json:"selfSigned,omitempty"`
	Usages      []string  `json:"usages,omitempty"`
	Algorithm   string    `json:"algorithm,omitempty"` // RSA 2048, ECDSA P-256, Ed25519
	Signature   string    `json:"signature,omitempty"` // SHA256-RSA
	Count       int       `json:"count,omitempty"`     // of a bundle of many; NotAfter is then the first to end
	ParseFailed string    `json:"error,omitempty"`
}

type dnRow struct {
	CommonName    string   `json:"commonName,omitempty"`
	Organizations []string `json:"organizations,omitempty"`
}

// readCertificates passes on the certificates of a PEM file or a kubeconfig.
// What else is in it, such as a key, is passed over, line by line.
func readCertificates(r io.Reader, fn func(field string, der []byte) error) error {
	lines := bufio.NewReaderSize(r, 16<<10)
	var block []byte
	inside := false
	for {
		line, err := pemLine(lines, base64.StdEncoding.EncodedLen(maxCertificate)*2)
		trimmed := bytes.TrimSpace(line)
		switch {
		case bytes.Equal(trimmed, []byte(beginPEM)):
			inside, block = true, block[:0]
		case bytes.Equal(trimmed, []byte(endPEM)) && inside:
			inside = false
			der := make([]byte, base64.StdEncoding.DecodedLen(len(block)))
			n, _ := base64.StdEncoding.Decode(der, block) // the parser finds what is missing
			if err := fn("", der[:n]); err != nil {
				return err
			}
		case inside && len(block)+len(trimmed) <= base64.StdEncoding.EncodedLen(maxCertificate):
			block = append(block, trimmed...)
		case inside:
			inside = false
		default:
			if err := embedded(trimmed, fn); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pemLine returns a line, or as much of it as fits into limit bytes.
func pemLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) <= limit {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// embedded finds the certificates in a line of a kubeconfig.
func embedded(line []byte, fn func(field string, der []byte) error) error {
	line = bytes.TrimPrefix(line, []byte("- "))
	for _, field := range []string{"client-certificate-data", "certificate-authority-data"} {
		value, ok := bytes.CutPrefix(line, []byte(field+":"))
		if !ok {
			continue
		}
		text, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimSpace(string(value)), `"'`))
		if err != nil {
			return nil
		}
		for {
			var b *pem.Block
			if b, text = pem.Decode(text); b == nil {
				return nil
			}
			if b.Type != "CERTIFICATE" {
				continue
			}
			if err := fn(field, b.Bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// certificatesOf makes the rows of one file.
func certificatesOf(path string, r io.Reader) ([]certificateRow, error) {
	var rows []certificateRow
	bundle := certificateRow{Path: path}
	err := readCertificates(r, func(field string, der []byte) error {
		row := describeCertificate(der)
		row.Path, row.Field, row.Index = path, field, bundle.Count
		bundle.Count++
		if !row.NotAfter.IsZero() && (bundle.NotAfter.IsZero() || row.NotAfter.Before(bundle.NotAfter)) {
			bundle.NotAfter = row.NotAfter
		}
		if len(rows) < maxBundle {
			rows = append(rows, row)
		}
		return nil
	})
	if bundle.Count > maxBundle {
		rows = []certificateRow{bundle}
	}
	return rows, err
}

func describeCertificate(der []byte) certificateRow {
	sum := sha256.Sum256(der)
	row := certificateRow{SHA256: hex.EncodeToString(sum[:])}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		row.ParseFailed = strings.ToValidUTF8(err.Error(), "?")
		return row
	}
	row.Subject, row.Issuer = distinguished(c.Subject), distinguished(c.Issuer)
	for _, name := range c.DNSNames {
		row.DNSNames = append(row.DNSNames, strings.ToValidUTF8(name, "?"))
	}
	for _, ip := range c.IPAddresses {
		row.IPs = append(row.IPs, ip.String())
	}
	for _, u := range c.URIs {
		row.URIs = append(row.URIs, strings.ToValidUTF8(u.String(), "?"))
	}
	row.NotBefore, row.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
	row.Serial = hex.EncodeToString(c.SerialNumber.Bytes())
	row.IsCA = c.BasicConstraintsValid && c.IsCA
	row.SelfSigned = bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
	row.Usages = usages(c)
	row.Algorithm, row.Signature = keyAlgorithm(c), c.SignatureAlgorithm.String()
	return row
}

func distinguished(n pkix.Name) *dnRow {
	dn := &dnRow{CommonName: strings.ToValidUTF8(n.CommonName, "?")}
	for _, o := range n.Organization {
		dn.Organizations = append(dn.Organizations, strings.ToValidUTF8(o, "?"))
	}
	return dn
}

// keyAlgorithm names the algorithm and size of a key.
func keyAlgorithm(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// usages are in the words of openssl x509 -text.
func usages(c *x509.Certificate) []string {
	var list []string
	for i, name := range []string{"Digital Signature", "Non Repudiation", "Key Encipherment", "Data Encipherment", "Key Agreement",
		"Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only"} {
		if c.KeyUsage&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageAny:
			list = append(list, "Any Extended Key Usage")
		case x509.ExtKeyUsageServerAuth:
			list = append(list, "TLS Web Server Authentication")
		case x509.ExtKeyUsageClientAuth:
			list = append(list, "TLS Web Client Authentication")
		}
	}
	return list
}
