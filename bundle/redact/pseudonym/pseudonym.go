// Package pseudonym puts tokens in the place of names and addresses, so that a
// bundle tells what is wrong and not whose it is.
//
// Everything hangs on one [Key]: the same value becomes the same token, on every
// node, in JSON, logs, kernel text, packets and paths, and whoever has the key
// can compare two bundles. A [Mapper] knows
//
//	10.244.3.7                     10.19.201.66        addresses keep their common prefixes (Crypto-PAn)
//	52:54:00:12:34:56              2e:91:0c:55:d0:7a   hardware addresses
//	node-17, shop, web             node-…, ns-…, obj-… names that the API server knows
//	db.acme.example                host-….host-….example
//	jane@acme.example              user-…@host-….example
//
// A token is the kind, a dash and eight characters of base32. Addresses turn
// back with the key alone ([Mapper.IPv4Back]), all else with the values that
// [Mapper.Used] has collected. Private, loopback, link-local and multicast
// addresses stay what they are, as do names that every cluster has: rules need
// them. Tokens are left alone when they are met again; addresses are not, since
// every address is also the pseudonym of another.
package pseudonym

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
)

// Key is the secret that all pseudonyms of an engagement hang on.
type Key [32]byte

// NewKey makes a key.
func NewKey() (Key, error) {
	var k Key
	_, err := rand.Read(k[:])
	return k, err
}

// ParseKey reads a key as [Key.Encode] writes it.
func ParseKey(b []byte) (Key, error) {
	var k Key
	b = bytes.TrimSpace(b)
	if len(b) != 2*len(k) {
		return Key{}, errors.New("not a redaction key: 64 hexadecimal digits are expected")
	}
	if _, err := hex.Decode(k[:], b); err != nil {
		return Key{}, errors.New("not a redaction key: 64 hexadecimal digits are expected")
	}
	if k.IsZero() {
		return Key{}, errors.New("not a redaction key: it is all zeros")
	}
	return k, nil
}

// Encode gives the key as the 64 hexadecimal digits and the newline of a file.
func (k Key) Encode() []byte { return append(hex.AppendEncode(nil, k[:]), '\n') }

// IsZero says whether no key is set.
func (k Key) IsZero() bool { return k == Key{} }

// ID tells keys apart without giving anything of them away.
func (k Key) ID() string {
	sum := sha256.Sum256(append([]byte("casefile redaction key id\x00"), k[:]...))
	return hex.EncodeToString(sum[:8])
}

// derive gives an independent key for one purpose.
func (k Key) derive(purpose string) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte("casefile pseudonym " + purpose))
	return h.Sum(nil)
}

// Kind says what a name is the name of; it is the first word of its tokens.
type Kind string

// The kinds of names.
const (
	KindNode      Kind = "node"
	KindNamespace Kind = "ns"
	KindHost      Kind = "host"
	KindUser      Kind = "user"
	KindObject    Kind = "obj"
	KindID        Kind = "id" // of a machine, a boot, a cloud instance
)

// Name is a name that the API server knows.
type Name struct {
	Kind  Kind   `json:"k"`
	Value string `json:"v"`
}

// Bounds of a dictionary.
const (
	MaxNames      = 500_000
	maxNameLength = 253 // bytes, as in DNS
)

// Mapper maps values to pseudonyms. Safe for concurrent use.
type Mapper struct {
	v4, v6 pan
	tokens *issuer
	dict   dictionary
	used   ledger

	words vocabulary

	seen4 cache // addresses
	nets4 cache // and their first 24 bits
	mu6   sync.Mutex
	seen6 map[[16]byte][16]byte
}

// New makes a mapper. names may hold a value more than once; node goes before
// namespace, host, user and object.
func New(key Key, names []Name) (*Mapper, error) {
	if key.IsZero() {
		return nil, errors.New("pseudonyms need a key")
	}
	if len(names) > MaxNames {
		return nil, fmt.Errorf("%d names are more than the %d that a dictionary may hold", len(names), MaxNames)
	}
	m := &Mapper{seen6: map[[16]byte][16]byte{}}
	m.used.values, m.used.tails = map[string]string{}, map[string][tokenLength]byte{}
	var err error
	if m.tokens, err = newIssuer(key.derive("name"), key.derive("check")); err != nil {
		return nil, err
	}
	if m.v4, err = newPAN(key.derive("ipv4"), specialV4()); err != nil {
		return nil, err
	}
	if m.v6, err = newPAN(key.derive("ipv6"), specialV6()); err != nil {
		return nil, err
	}
	m.build(names)
	return m, nil
}

func newBlock(key []byte) (cipher.Block, error) { return aes.NewCipher(key[:16]) }
