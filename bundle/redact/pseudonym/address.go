package pseudonym

import (
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// pan is Crypto-PAn (Xu, Fan, Ammar, Moon 2002) with AES-128: whether a bit of
// an address flips hangs on the bits before it, so that two addresses have as
// long a common prefix after as before. Where the way to a special range
// branches off nothing flips, so that these ranges stay where they are.
type pan struct {
	block   cipher.Block
	pad     [16]byte
	special []specialRange
}

// specialRange is a range of addresses that maps to itself, bit by bit when it
// is kept, as a whole otherwise.
type specialRange struct {
	addr [16]byte // left-aligned
	bits int
	kept bool
}

func newPAN(key []byte, special []specialRange) (pan, error) {
	block, err := newBlock(key)
	if err != nil {
		return pan{}, err
	}
	p := pan{block: block, special: special}
	block.Encrypt(p.pad[:], key[16:32])
	return p, nil
}

func ranges(kept bool, prefixes ...string) []specialRange {
	var all []specialRange
	for _, s := range prefixes {
		p := netip.MustParsePrefix(s)
		r := specialRange{bits: p.Bits(), kept: kept}
		copy(r.addr[:], p.Addr().AsSlice())
		all = append(all, r)
	}
	return all
}

func specialV4() []specialRange {
	return append(ranges(false, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
		ranges(true, "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")...)
}

func specialV6() []specialRange {
	return append(ranges(false, "2000::/3", "fc00::/7", "fd00::/8", "fe80::/10", "fe80::/64"),
		ranges(true, "::/127", "ff00::/8")...)
}

// commonBits counts the leading bits that a and b share.
func commonBits(a, b *[16]byte) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			n := 8 * i
			for ; x&0x80 == 0; x <<= 1 {
				n++
			}
			return n
		}
	}
	return 128
}

// keep says of which bits of a nothing is known to flip: all up to the first
// where the way to every special range has been left, and everything inside a
// kept one.
func (p *pan) keep(a *[16]byte, bits int) int {
	n := 0
	for i := range p.special {
		r := &p.special[i]
		common := commonBits(a, &r.addr)
		switch {
		case common < r.bits:
			n = max(n, common+1) // the bit that leaves the way
		case r.kept:
			return bits
		default:
			n = max(n, r.bits)
		}
	}
	return n
}

// walk maps a, of which bits count, and its inverse back when back is true.
func (p *pan) walk(a [16]byte, bits int, back bool) [16]byte {
	n := p.keep(&a, bits)
	in := p.pad
	out := a
	var enc [16]byte
	for i := range n {
		setBit(&in, i, bit(&a, i))
	}
	for i := n; i < bits; i++ {
		p.block.Encrypt(enc[:], in[:])
		b := bit(&a, i)
		flipped := b ^ enc[0]>>7
		setBit(&out, i, flipped)
		if back {
			b = flipped
		}
		setBit(&in, i, b)
	}
	return out
}

func bit(a *[16]byte, i int) byte { return a[i/8] >> (7 - i%8) & 1 }

func setBit(a *[16]byte, i int, b byte) {
	mask := byte(0x80) >> (i % 8)
	a[i/8] = a[i/8]&^mask | b<<(7-i%8)
}

// cache remembers IPv4 addresses without a lock: a slot holds the address in
// its upper and the pseudonym in its lower half. 0.0.0.0 is its own.
type cache [1 << 13]atomic.Uint64

func (c *cache) slot(a uint32) *atomic.Uint64 { return &c[a*2654435761>>(32-13)] }

// IPv4 maps an address.
func (m *Mapper) IPv4(a [4]byte) [4]byte {
	n := binary.BigEndian.Uint32(a[:])
	slot := m.seen4.slot(n)
	v := slot.Load()
	if uint32(v>>32) != n || v == 0 {
		v = uint64(n)<<32 | uint64(m.walk4(n, false))
		slot.Store(v)
	}
	binary.BigEndian.PutUint32(a[:], uint32(v))
	return a
}

// IPv4Back is the inverse of [Mapper.IPv4].
func (m *Mapper) IPv4Back(a [4]byte) [4]byte {
	binary.BigEndian.PutUint32(a[:], m.walk4(binary.BigEndian.Uint32(a[:]), true))
	return a
}

func (m *Mapper) walk4(n uint32, back bool) uint32 {
	var wide [16]byte
	binary.BigEndian.PutUint32(wide[:], n)
	wide = m.v4.walk(wide, 32, back)
	return binary.BigEndian.Uint32(wide[:])
}

// IPv6 maps an address. One that stands for an IPv4 address, by ::ffff:0:0/96
// or 64:ff9b::/96, is mapped as that.
func (m *Mapper) IPv6(a [16]byte) [16]byte {
	if inner, ok := innerV4(&a); ok {
		inner = m.IPv4(inner)
		copy(a[12:], inner[:])
		return a
	}
	m.mu6.Lock()
	out, ok := m.seen6[a]
	m.mu6.Unlock()
	if ok {
		return out
	}
	out = m.v6.walk(a, 128, false)
	m.mu6.Lock()
	defer m.mu6.Unlock()
	if len(m.seen6) >= maxSeen6 {
		clear(m.seen6)
	}
	m.seen6[a] = out
	return out
}

const maxSeen6 = 8192 // addresses

// IPv6Back is the inverse of [Mapper.IPv6].
func (m *Mapper) IPv6Back(a [16]byte) [16]byte {
	if inner, ok := innerV4(&a); ok {
		inner = m.IPv4Back(inner)
		copy(a[12:], inner[:])
		return a
	}
	return m.v6.walk(a, 128, true)
}

func innerV4(a *[16]byte) (inner [4]byte, ok bool) {
	const mapped, nat64 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff", "\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00"
	if s := string(a[:12]); s != mapped && s != nat64 {
		return inner, false
	}
	copy(inner[:], a[12:])
	return inner, true
}

// MAC maps a hardware address. It keeps the bits that say whether it is locally
// administered and a group; groups, broadcast and zero stay as they are.
func (m *Mapper) MAC(a [6]byte) [6]byte {
	if a == ([6]byte{}) || a[0]&1 != 0 {
		return a
	}
	sum := m.tokens.sum("mac", a[:])
	var out [6]byte
	copy(out[:], sum[:])
	out[0] = out[0]&^3 | a[0]&3
	m.used.add(string(appendMAC(nil, out, ':')), string(appendMAC(nil, a, ':')))
	return out
}

func appendMAC(dst []byte, a [6]byte, sep byte) []byte {
	for i, b := range a {
		if i > 0 && sep != 0 {
			dst = append(dst, sep)
		}
		dst = append(dst, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	return dst
}
