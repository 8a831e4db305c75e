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

// walk maps the bits of a from one number to another, or turns them back. The
// bits before them must be those of the value, not of its pseudonym.
func (p *pan) walk(a [16]byte, from, bits int, back bool) [16]byte {
	n := max(p.keep(&a, bits), from)
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

const cacheBits = 15

// cache remembers 32-bit values without a lock: a slot holds the value in its
// upper and what it becomes in its lower half. Zero becomes zero.
type cache [1 << cacheBits]atomic.Uint64

func (c *cache) get(n uint32) (v uint32, ok bool) {
	slot := c[n*2654435761>>(32-cacheBits)].Load()
	return uint32(slot), uint32(slot>>32) == n //nolint:gosec // the lower half
}

func (c *cache) put(n, v uint32) { c[n*2654435761>>(32-cacheBits)].Store(uint64(n)<<32 | uint64(v)) }

// IPv4 maps an address.
func (m *Mapper) IPv4(a [4]byte) [4]byte {
	n := binary.BigEndian.Uint32(a[:])
	v, ok := m.seen4.get(n)
	if !ok {
		v = m.forward4(n)
		m.seen4.put(n, v)
	}
	binary.BigEndian.PutUint32(a[:], v)
	return a
}

// forward4 maps an address by what its first 24 bits become, which many share.
func (m *Mapper) forward4(n uint32) uint32 {
	net, ok := m.nets4.get(n >> 8)
	if !ok {
		net = m.walk4(n&^255, 0, 24, false) >> 8
		m.nets4.put(n>>8, net)
	}
	return net<<8 | m.walk4(n, 24, 32, false)&255
}

// IPv4Back is the inverse of [Mapper.IPv4].
func (m *Mapper) IPv4Back(a [4]byte) [4]byte {
	binary.BigEndian.PutUint32(a[:], m.walk4(binary.BigEndian.Uint32(a[:]), 0, 32, true))
	return a
}

func (m *Mapper) walk4(n uint32, from, bits int, back bool) uint32 {
	var wide [16]byte
	binary.BigEndian.PutUint32(wide[:], n)
	wide = m.v4.walk(wide, from, bits, back)
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
	if end, ok := groupEnd(&a); ok {
		end = m.v6.groupEnd(end, false)
		copy(a[13:], end[:])
		return a
	}
	m.mu6.Lock()
	out, ok := m.seen6[a]
	m.mu6.Unlock()
	if ok {
		return out
	}
	out = m.v6.walk(a, 0, 128, false)
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
	if end, ok := groupEnd(&a); ok {
		end = m.v6.groupEnd(end, true)
		copy(a[13:], end[:])
		return a
	}
	return m.v6.walk(a, 0, 128, true)
}

func innerV4(a *[16]byte) (inner [4]byte, ok bool) {
	const mapped, nat64 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff", "\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00"
	if s := string(a[:12]); s != mapped && s != nat64 {
		return inner, false
	}
	copy(inner[:], a[12:])
	return inner, true
}

// groupEnd gives the last three bytes of a solicited-node group, which are
// those of an address, and often of a hardware address.
func groupEnd(a *[16]byte) (end [3]byte, ok bool) {
	const solicited = "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff"
	copy(end[:], a[13:])
	return end, string(a[:13]) == solicited
}

// groupEnd maps them as the end of a link-local address that nobody has.
func (p *pan) groupEnd(end [3]byte, back bool) [3]byte {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: 0xff, 9: 0x02}
	copy(a[13:], end[:])
	a = p.walk(a, 104, 128, back)
	return [3]byte(a[13:])
}

// MAC maps a hardware address. It keeps the bits that say whether it is locally
// administered and a group; groups, broadcast and zero stay as they are, but
// for the end of a solicited-node group.
func (m *Mapper) MAC(a [6]byte) [6]byte {
	if a[0] == 0x33 && a[1] == 0x33 && a[2] == 0xff {
		out := a
		end := m.v6.groupEnd([3]byte(a[3:]), false)
		copy(out[3:], end[:])
		m.used.add(string(appendMAC(nil, out, ':')), string(appendMAC(nil, a, ':')))
		return out
	}
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
