package redact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// opt is an option of a block without the end of options.
func opt(code uint16, value string) []byte {
	b := option(code, value)
	return b[:len(b)-4]
}

// blockOf gives one block of a file with options, and the end of options.
func blockOf(kind uint32, fixed []byte, options ...[]byte) []byte {
	return appendBlock(nil, kind, slices.Concat(fixed, slices.Concat(options...), make([]byte, 4)))
}

func section(options ...[]byte) []byte {
	fixed := binary.LittleEndian.AppendUint32(nil, byteOrderMagic)
	return blockOf(blockSection, append(fixed, "\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"...), options...)
}

func ifaceOf(snaplen uint32, options ...[]byte) []byte {
	return blockOf(blockInterface, binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, snaplen), options...)
}

// mapped is what flip makes of an address.
func mapped(address string) string {
	switch b := []byte(address); len(b) {
	case 4:
		a := flip{}.IPv4([4]byte(b))
		return string(a[:])
	case 6:
		a := flip{}.MAC([6]byte(b))
		return string(a[:])
	default:
		a := flip{}.IPv6([16]byte(b))
		return string(a[:])
	}
}

// TestStrictOptions: every option of every block is mapped, kept or dropped,
// and its padding is right.
func TestStrictOptions(t *testing.T) {
	in := slices.Concat(
		section(opt(1, "for acme"), opt(2, "acme's laptop"), opt(3, "Linux"), opt(4, "acme"), opt(99, "acme"), opt(2988, "acmeacme")),
		ifaceOf(96, opt(2, "acme0"), opt(3, "to acme"), opt(4, ip1+"\xff\xff\xff\x00"), opt(5, far1+"\x40"), opt(6, mac1), opt(7, mac1+"\xff\xfe"), opt(8, "12345678"),
			opt(9, "\x09"), opt(11, "\x00host acme"), opt(11, "\x01"+ip1), opt(12, "acmix"), opt(13, "\x04"), opt(14, "12345678"), opt(15, "acme nic"), opt(18, "Europe/Acme"), opt(4, ip1[:3])),
		blockOf(blockPacket, packetBlock(0, link2(0x0800, from4(17, udp(53, answer()))), nil), opt(1, "acme!"), opt(2, "\x01\x00\x00\x00"), opt(3, "\x02crc!"), opt(4, "12345678"), opt(7, "\x00acme")),
		blockOf(blockNames, slices.Concat(opt(1, ip1+"acme/web\x00acme\x00"), opt(2, far1+"www.acme.com\x00"), opt(3, mac1+"acme\x00"), opt(4, mac1+mac2), make([]byte, 4)),
			opt(1, "by acme"), opt(2, "ns.acme.com"), opt(3, ip2), opt(4, far2)),
		blockOf(blockStatistics, make([]byte, 12), opt(1, "acme"), opt(2, "12345678"), opt(5, "12345678"), opt(9, "acmeacme")),
	)
	name := func(s string) string { return string(flip{}.Host(nil, []byte(s))) }
	ns := "ns-00000001"
	want := slices.Concat(
		section(opt(1, "for "+ns), opt(2, ns+"'s laptop"), opt(3, "Linux"), opt(4, ns)),
		ifaceOf(96, opt(2, ns+"0"), opt(3, "to "+ns), opt(4, mapped(ip1)+"\xff\xff\xff\x00"), opt(5, mapped(far1)+"\x40"), opt(6, mapped(mac1)), opt(8, "12345678"),
			opt(9, "\x09"), opt(11, "\x00host "+ns), opt(12, "acmix"), opt(13, "\x04"), opt(14, "12345678"), opt(15, ns+" nic")),
		blockOf(blockPacket, nil, opt(1, ns+"!"), opt(2, "\x01\x00\x00\x00"), opt(4, "12345678")),
		blockOf(blockNames, slices.Concat(opt(1, mapped(ip1)+ns+"/"+name("web")+"\x00"+ns+"\x00"), opt(2, mapped(far1)+"www."+ns+".com\x00"), opt(3, mapped(mac1)+ns+"\x00"), make([]byte, 4)),
			opt(1, "by "+ns), opt(2, "ns."+ns+".com"), opt(3, mapped(ip2)), opt(4, mapped(far2))),
		blockOf(blockStatistics, make([]byte, 12), opt(1, ns), opt(2, "12345678"), opt(5, "12345678")),
	)
	out, c := strictly(t, newRedactor(t, PayloadDefault), in)
	var packet []byte
	if out, packet = withoutPacket(t, out); !bytes.Equal(out, want) {
		t.Error(cmp.Diff(want, out))
	}
	if length := binary.LittleEndian.Uint32(packet[12:]); length != 96 {
		t.Errorf("a packet of %d bytes behind a snaplen of 96", length)
	}
	if c["name"] != 15 || c[rulePacket] != 1 {
		t.Errorf("counted %v", c)
	}
}

// withoutPacket takes the body of the packet block out of a file.
func withoutPacket(t *testing.T, file []byte) (rest, packet []byte) {
	t.Helper()
	for len(file) > 0 {
		size := binary.LittleEndian.Uint32(file[4:])
		if b := file[:size]; binary.LittleEndian.Uint32(b) == blockPacket {
			packet = b[8 : size-4]
			n := 20 + (int(binary.LittleEndian.Uint32(packet[12:]))+3)/4*4
			rest = appendBlock(rest, blockPacket, packet[n:])
		} else {
			rest = append(rest, b...)
		}
		file = file[size:]
	}
	return rest, packet
}

// TestStrictTooLong: an option, and a block, that would get longer than the
// format allows is refused, not cut in the middle of a name.
func TestStrictTooLong(t *testing.T) {
	many := make([][]byte, 16)
	for i := range many {
		many[i] = opt(1, strings.Repeat("acme ", 6_000))
	}
	for what, file := range map[string][]byte{
		"option": section(opt(1, strings.Repeat("acme", 6_000))),
		"block":  section(many...),
		"record": slices.Concat(section(), blockOf(blockNames, opt(1, ip1[:3]))),
	} {
		r := newRedactor(t, PayloadDefault)
		_, err := io.ReadAll(&reader{redactor: r, step: newPackets(bytes.NewReader(file), r.scanner, r.payload, counts{}, flip{})})
		if !errors.Is(err, ErrRedaction) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
