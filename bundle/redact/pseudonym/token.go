package pseudonym

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"maps"
	"net"
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
	check cipher.Block

	mu  sync.Mutex
	mac hash.Hash
}

func newIssuer(key, check []byte) (*issuer, error) {
	block, err := newBlock(check)
	return &issuer{mac: hmac.New(sha256.New, key), check: block}, err
}

func (s *issuer) sum(purpose string, value []byte) [32]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mac.Reset()
	s.mac.Write([]byte(purpose + "\x00"))
	s.mac.Write(value)
	var sum [32]byte
	s.mac.Sum(sum[:0])
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

// ledger remembers what tokens stand for.
type ledger struct {
	mu     sync.RWMutex
	values map[string]string            // token → value
	tails  map[string][tokenLength]byte // value, in lower case → end of its token
}

// Bounds of a ledger. What it has not room for is mapped all the same.
const (
	maxUsed  = 500_000
	maxTails = 100_000
)

func (l *ledger) add(token, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) < maxUsed {
		l.values[token] = value
	}
}

func (l *ledger) value(token []byte) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v, ok := l.values[string(token)]
	return v, ok
}

// issue appends the token of a value that the dictionary does not know.
func (m *Mapper) issue(dst []byte, k Kind, value []byte) []byte {
	var buf [maxNameLength]byte
	lower := appendLower(buf[:0], value)
	m.used.mu.RLock()
	tail, ok := m.used.tails[string(lower)]
	m.used.mu.RUnlock()
	if !ok {
		tail = m.tokens.token(lower)
		m.used.mu.Lock()
		if len(m.used.tails) < maxTails {
			m.used.tails[string(lower)] = tail
		}
		m.used.mu.Unlock()
		m.used.add(string(k)+"-"+string(tail[:]), string(value))
	}
	dst = append(append(dst, k...), '-')
	return append(dst, tail[:]...)
}

// use remembers that the tokens of an entry were given out.
func (m *Mapper) use(e *entry) {
	if e.used.Load() {
		return
	}
	e.used.Store(true)
	if e.token != "" {
		m.used.add(e.token, e.value)
	}
	if len(e.with) == 2 {
		m.used.add(e.with[0], e.with[1])
	}
}

// Name appends the pseudonym of a value that is known to be a name, by the
// place where it stands. Tokens and names that every cluster has stay.
func (m *Mapper) Name(dst []byte, k Kind, value []byte) []byte {
	if len(value) == 0 || m.isWholeToken(value) {
		return append(dst, value...)
	}
	if out, ok := m.Known(dst, value); ok {
		return out
	}
	if k == KindNode || k == KindHost {
		return m.Host(dst, value)
	}
	return m.issue(dst, k, value)
}

// Known appends the pseudonym of a value that as a whole is a name of the
// dictionary, or one made of it, whether or not it is an ordinary word too.
func (m *Mapper) Known(dst, value []byte) (out []byte, ok bool) {
	if e := m.dict.exact(value); e != nil {
		m.use(e)
		return append(dst, e.as...), true
	}
	if n := generatedSuffix(value); n > 0 {
		if e := m.dict.exact(value[:len(value)-n]); e != nil {
			m.use(e)
			return append(append(dst, e.as...), value[len(value)-n:]...), true
		}
	}
	return dst, false
}

// Ordinary says whether a value is an ordinary word.
func (m *Mapper) Ordinary(value []byte) bool {
	var buf [maxNameLength]byte
	return len(value) <= maxNameLength && m.words.ordinary(appendLower(buf[:0], value))
}

// Key returns what the name of a field becomes, if it is a name of the
// dictionary and no ordinary word.
func (m *Mapper) Key(name string) (as string, ok bool) {
	e := m.dict.exact([]byte(name))
	if e == nil || e.mark != 0 || e.kind == "" {
		return "", false
	}
	m.use(e)
	return e.as, true
}

// isWholeToken says whether b is a token of this key, or a generated name whose
// owner is one.
func (m *Mapper) isWholeToken(b []byte) bool {
	dash := bytes.IndexByte(b, '-')
	return dash > 0 && len(b) == dash+1+tokenLength && isKind(b[:dash]) && m.tokens.isToken(b[dash+1:])
}

func isKind(b []byte) bool {
	switch Kind(b) {
	case KindNode, KindNamespace, KindHost, KindUser, KindObject, KindID:
		return true
	}
	return false
}

// isToken says whether a token begins with the word src[i:j].
func (s *scan) isToken(i, j int) bool {
	end := j + 1 + tokenLength
	return end <= len(s.src) && (end == len(s.src) || class[s.src[end]]&alnum == 0) && isKind(s.src[i:j]) && s.m.tokens.isToken(s.src[j+1:end])
}

// token steps over the token src[i:end], or turns it back.
func (s *scan) token(i, end int) int {
	if s.back {
		if v, ok := s.m.used.value(s.src[i:end]); ok {
			return s.set(append(s.put(i), v...), end)
		}
	}
	return end
}

// Used returns what was mapped one way so far, by token: names, hosts, users
// and hardware addresses, at most 500,000.
func (m *Mapper) Used() map[string]string {
	m.used.mu.RLock()
	defer m.used.mu.RUnlock()
	return maps.Clone(m.used.values)
}

// Learn adds what another mapper with the same key has used.
func (m *Mapper) Learn(used map[string]string) {
	for token, value := range used {
		m.used.add(token, value)
	}
}

// Reveal appends src with tokens and addresses turned back, as far as the
// mapper has used or learned the tokens.
func (m *Mapper) Reveal(dst, src []byte) []byte {
	s := scan{m: m, dst: dst, src: src, back: true}
	s.run(0, len(src))
	return append(s.dst, src[s.done:]...)
}

func (m *Mapper) macBack(a [6]byte) ([6]byte, bool) {
	v, ok := m.used.value(appendMAC(nil, a, ':'))
	if !ok {
		return a, false
	}
	back, err := net.ParseMAC(v)
	if err != nil || len(back) != 6 {
		return a, false
	}
	return [6]byte(back), true
}
