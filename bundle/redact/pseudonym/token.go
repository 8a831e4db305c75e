package pseudonym

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"maps"
	"sync"
)

// tokenLength is that of what follows the dash in a token: seven characters of
// the hash of the value, one of them a digit at least, and one that shows that
// this key made them. Without it a name such as node-exporter would pass for a
// token.
const tokenLength = 8

const base32 = "abcdefghijklmnopqrstuvwxyz234567"

// issuer makes tokens. Safe for concurrent use.
type issuer struct {
	key   []byte
	check cipher.Block
}

func newIssuer(key, check []byte) (*issuer, error) {
	block, err := newBlock(check)
	return &issuer{key: key, check: block}, err
}

func (s *issuer) sum(purpose string, value []byte) [32]byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(value)
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// token returns what follows the dash in the token of a value, whatever the
// case of its letters.
func (s *issuer) token(value []byte) [tokenLength]byte {
	sum := s.sum("name", bytes.ToLower(value))
	var out [tokenLength]byte
	digit := false
	for at := 0; at+tokenLength < len(sum) && !digit; at++ {
		for i := range tokenLength - 1 {
			c := base32[sum[at+i]&31]
			out[i], digit = c, digit || c < 'a'
		}
	}
	out[tokenLength-1] = s.checkOf(out[:tokenLength-1])
	return out
}

func (s *issuer) checkOf(seven []byte) byte {
	var in, out [16]byte
	copy(in[:], seven)
	s.check.Encrypt(out[:], in[:])
	return base32[out[0]&31]
}

// isToken says whether b, eight bytes, is the end of a token of this key.
func (s *issuer) isToken(b []byte) bool {
	digit := false
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
		digit = digit || c < 'a'
	}
	return digit && s.checkOf(b[:tokenLength-1]) == b[tokenLength-1]
}

// ledger remembers which value a token stands for.
type ledger struct {
	mu     sync.Mutex
	values map[string]string // token → value
	tokens map[string]string // kind and value → token
}

// maxUsed bounds the values that a ledger remembers.
const maxUsed = 500_000

func (l *ledger) add(token, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) < maxUsed {
		l.values[token] = value
	}
}

// Used returns what was mapped one way so far, by token: names, hosts, users
// and hardware addresses, at most 500,000.
func (m *Mapper) Used() map[string]string {
	m.used.mu.Lock()
	defer m.used.mu.Unlock()
	return maps.Clone(m.used.values)
}

// Learn adds what another mapper with the same key has used.
func (m *Mapper) Learn(used map[string]string) {
	for token, value := range used {
		m.used.add(token, value)
	}
}
