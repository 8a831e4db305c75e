package redact

import "bytes"

// Certificates hold names and addresses in a form that no text rule sees: what
// is inside their PEM goes.
const (
	ruleCertificate = "certificate"

	beginCertificate   = "-----BEGIN CERTIFICATE"
	endCertificate     = "-----END CERTIFICATE"
	encodedCertificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FUR" // base64 of the first
	shortestEncoded    = 200                             // bytes
	longestCertificate = 256 << 10
)

// certificates masks what is inside certificates, in text that comes in pieces.
type certificates struct {
	inside int // bytes of one that has not ended
}

// mask returns b without the inside of certificates, b itself if there is none.
func (c *certificates) mask(b []byte, found counts) []byte {
	// Parts of both that begin with a letter that is rare in logs.
	if c.inside == 0 && !bytes.Contains(b, []byte(beginCertificate[len("-----BEGIN "):])) && !bytes.Contains(b, []byte(encodedCertificate[len("LS0tLS1CRUdJTiBD"):])) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if c.inside > 0 {
			n := bytes.Index(b, []byte(endCertificate))
			if n < 0 {
				n = len(b)
			}
			c.inside += n
			if b = b[n:]; len(b) > 0 || c.inside > longestCertificate {
				c.inside = 0
			}
			continue
		}
		begin, encoded := bytes.Index(b, []byte(beginCertificate)), bytes.Index(b, []byte(encodedCertificate))
		switch {
		case begin >= 0 && (encoded < 0 || begin < encoded):
			begin += len(beginCertificate)
			if n := bytes.Index(b[begin:min(len(b), begin+20)], []byte("-----")); n >= 0 {
				begin += n + len("-----")
			}
			rest := b[begin:]
			if bytes.HasPrefix(rest, []byte(maskOpen+ruleCertificate+"]")) { // masked before
				begin += len(maskOpen+ruleCertificate) + 1
				out, b = append(out, b[:begin]...), b[begin:]
				continue
			}
			out, b, c.inside = appendMask(append(out, b[:begin]...), ruleCertificate), rest, 1
			found[ruleCertificate]++
		case encoded >= 0:
			end := encoded
			for end < len(b) && isBase64(b[end]) {
				end++
			}
			if out = append(out, b[:encoded]...); end-encoded < shortestEncoded {
				out = append(out, b[encoded:end]...)
			} else {
				out = appendMask(out, ruleCertificate)
				found[ruleCertificate]++
			}
			b = b[end:]
		default:
			return append(out, b...)
		}
	}
	return out
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' || c == '-' || c == '_'
}
