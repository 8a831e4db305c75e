package pseudonym

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func newMapper(t testing.TB, names ...Name) *Mapper {
	t.Helper()
	var k Key
	for i := range k {
		k[i] = byte(i + 1)
	}
	m, err := New(k, names)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func randomBytes(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func common(a, b []byte) int {
	var x, y [16]byte
	copy(x[:], a)
	copy(y[:], b)
	return min(commonBits(&x, &y), 8*len(a))
}

// TestAddressesPrefixes holds that two addresses have as long a common prefix
// after as before, which also means that no two become one, and that all turn
// back.
func TestAddressesPrefixes(t *testing.T) {
	m := newMapper(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var a, b [4]byte
		randomBytes(r, a[:])
		randomBytes(r, b[:])
		if keep := r.IntN(33); keep > 0 {
			mix(b[:], a[:], keep)
		}
		x, y := m.IPv4(a), m.IPv4(b)
		if got, want := common(x[:], y[:]), common(a[:], b[:]); got != want {
			t.Fatalf("%v and %v share %d bits, %v and %v share %d", a, b, want, x, y, got)
		}
		if back := m.IPv4Back(x); back != a {
			t.Fatalf("%v became %v became %v", a, x, back)
		}
	}
	for range 5_000 {
		var a, b [16]byte
		randomBytes(r, a[:])
		randomBytes(r, b[:])
		mix(b[:], a[:], r.IntN(129))
		x, y := m.IPv6(a), m.IPv6(b)
		if got, want := common(x[:], y[:]), common(a[:], b[:]); got != want {
			t.Fatalf("%x and %x share %d bits, %x and %x share %d", a, b, want, x, y, got)
		}
		if back := m.IPv6Back(x); back != a {
			t.Fatalf("%x became %x became %x", a, x, back)
		}
	}
}

// mix copies the first n bits of a to b.
func mix(b, a []byte, n int) {
	for i := range n {
		mask := byte(0x80) >> (i % 8)
		b[i/8] = b[i/8]&^mask | a[i/8]&mask
	}
}

// TestAddressesChange holds that what is not special does become another.
func TestAddressesChange(t *testing.T) {
	m, r := newMapper(t), rand.New(rand.NewPCG(3, 4))
	same := 0
	for range 1000 {
		a := [4]byte{10}
		randomBytes(r, a[1:])
		if m.IPv4(a) == a {
			same++
		}
	}
	if same > 5 {
		t.Errorf("%d of 1000 addresses stay", same)
	}
}

// TestSpecialRanges holds that ranges that rules know are closed: what is in
// them stays in them, what is outside stays outside.
func TestSpecialRanges(t *testing.T) {
	m, r := newMapper(t), rand.New(rand.NewPCG(5, 6))
	closed := []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8",
		"fc00::/7", "fe80::/10", "fe80::/64", "ff00::/8", "2000::/3"}
	for _, s := range closed {
		p := netip.MustParsePrefix(s)
		for n := range 4000 {
			raw := make([]byte, len(p.Addr().AsSlice()))
			randomBytes(r, raw)
			if n%2 == 0 {
				mix(raw, p.Addr().AsSlice(), p.Bits())
			}
			a, _ := netip.AddrFromSlice(raw)
			if got := m.addr(a); p.Contains(a) != p.Contains(got) {
				t.Fatalf("%s became %s, across the edge of %s", a, got, p)
			}
		}
	}
	for _, s := range []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.0.0.53", "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.0", "255.255.255.255", "::", "::1", "ff02::1"} {
		if a := netip.MustParseAddr(s); m.addr(a) != a {
			t.Errorf("%s became %s", a, m.addr(a))
		}
	}
	for _, s := range []string{"::ffff:10.1.2.3", "64:ff9b::a01:203"} {
		in, inner := netip.MustParseAddr(s).As16(), m.IPv4([4]byte{10, 1, 2, 3})
		if got := m.IPv6(in); [4]byte(got[12:]) != inner || [12]byte(got[:12]) != [12]byte(in[:12]) || m.IPv6Back(got) != in {
			t.Errorf("%s became %x", s, got)
		}
	}
}

func (m *Mapper) addr(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4(m.IPv4(a.As4()))
	}
	return netip.AddrFrom16(m.IPv6(a.As16()))
}

func TestMAC(t *testing.T) {
	m := newMapper(t)
	for _, a := range [][6]byte{{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1}} {
		if m.MAC(a) != a {
			t.Errorf("%x became %x", a, m.MAC(a))
		}
	}
	for _, a := range [][6]byte{{0x52, 0x54, 0, 1, 2, 3}, {0, 0x1b, 0x21, 1, 2, 3}} {
		got := m.MAC(a)
		if got == a || got[0]&3 != a[0]&3 || got != m.MAC(a) {
			t.Errorf("%x became %x", a, got)
		}
		if back, ok := m.macBack(got); !ok || back != a {
			t.Errorf("%x turned back to %x", got, back)
		}
	}
}

// TestKeys holds that another key gives other pseudonyms, the same one the same.
func TestKeys(t *testing.T) {
	a, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseKey(a.Encode())
	if err != nil || a != b {
		t.Fatalf("%v: %x is not %x", err, b, a)
	}
	for _, bad := range []string{"", "00", string(a.Encode()[:63]), string(a.Encode()[:64]) + "00", "zz" + string(a.Encode()[2:]), string(make([]byte, 64))} {
		if _, err := ParseKey([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
	if _, err := New(Key{}, nil); err == nil {
		t.Error("a mapper without a key")
	}
	one, err := New(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	const text = "jane@acme.com 10.1.2.3 52:54:00:12:34:56"
	if x, y, z := one.Text(nil, []byte(text), map[string]int{}), two.Text(nil, []byte(text), map[string]int{}), newMapper(t).Text(nil, []byte(text), map[string]int{}); string(x) != string(y) || string(x) == string(z) {
		t.Errorf("%s\n%s\n%s", x, y, z)
	}
}

// TestSolicitedGroup: the group of an address gives its end away, so it is
// mapped, in text as in an address, and back.
func TestSolicitedGroup(t *testing.T) {
	m, err := New(Key{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	group := netip.MustParseAddr("ff02::1:ff12:3456").As16()
	to := m.IPv6(group)
	if [13]byte(to[:13]) != [13]byte(group[:13]) || to == group || m.IPv6Back(to) != group {
		t.Errorf("%v → %v → %v", group, to, m.IPv6Back(to))
	}
	mac := m.MAC([6]byte{0x33, 0x33, 0xff, 0x12, 0x34, 0x56})
	if [3]byte(mac[3:]) != [3]byte(to[13:]) {
		t.Errorf("the hardware group %x is not that of %v", mac, to)
	}
	text := string(m.Text(nil, []byte("join ff02::1:ff12:3456 33:33:ff:12:34:56 ff02::1 33:33:00:00:00:01"), map[string]int{}))
	if want := "join " + netip.AddrFrom16(to).String() + " " + string(appendMAC(nil, mac, ':')) + " ff02::1 33:33:00:00:00:01"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}
