package node

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// object is what the attributes of a netlink message say, by name. Zero values
// are left out, as everywhere in the rows.
type object map[string]any

// reader turns the value of an attribute into what JSON shows of it; nil
// when it is of no use.
type reader func(b []byte) any

// schema names the attributes of a kind of message, by their number.
type schema []struct {
	name string
	read reader
}

// readers are those of one schema's own.
type readers map[string]reader

// attributes makes a schema of words "name:reader" for the attributes 1, 2, …;
// a word without a reader is passed over. This keeps the kernel's tables of
// attributes readable beside its headers.
func attributes(words string, own readers) schema {
	s := make(schema, 1, 16)
	for word := range strings.FieldsSeq(words) {
		name, kind, _ := strings.Cut(word, ":")
		read := own[kind]
		if read == nil {
			read = basicReader(kind)
		}
		s = append(s, struct {
			name string
			read reader
		}{name, read})
	}
	return s
}

// decode reads the attributes in b that the schema names. What is malformed
// ends it; what was read before stays.
func (s schema) decode(b []byte) object {
	o := object{}
	_ = eachAttr(b, func(typ uint16, v []byte) {
		if int(typ) >= len(s) || s[typ].read == nil {
			return
		}
		switch x := s[typ].read(v).(type) {
		case nil:
		case object:
			if len(x) > 0 {
				o[s[typ].name] = x
			}
		default:
			o[s[typ].name] = x
		}
	})
	return o
}

// nested reads an attribute that holds attributes.
func nested(s schema) reader {
	return func(b []byte) any { return s.decode(b) }
}

// listOf reads an attribute that holds a list of one kind.
func listOf(read reader) reader {
	return func(b []byte) any {
		var list []any
		_ = eachAttr(b, func(_ uint16, v []byte) {
			if x := read(v); x != nil {
				list = append(list, x)
			}
		})
		if list == nil {
			return nil
		}
		return list
	}
}

// named reads a number by read and gives its name, or the number.
func named(read reader, names string) reader {
	list := strings.Fields(names)
	return func(b []byte) any {
		n, ok := number(read(b))
		switch {
		case !ok && len(b) > 0 && list[0] != "-":
			return list[0]
		case !ok || n < uint64(len(list)) && list[n] == "-":
			return nil
		case n < uint64(len(list)):
			return list[n]
		}
		return n
	}
}

// bitNames lists names of bits from the lowest; "-" has none.
func bitNames(words string) []string {
	list := strings.Fields(words)
	for i := range list {
		if list[i] == "-" {
			list[i] = ""
		}
	}
	return list
}

// flagNames lists the names of the bits that are set.
func flagNames(v int, names []string) []string {
	var set []string
	for i, n := range names {
		if v&(1<<i) != 0 && n != "" {
			set = append(set, n)
		}
	}
	return set
}

// bitsOf reads a number by read and lists the names of its bits.
func bitsOf(read reader, names string) reader {
	list := bitNames(names)
	return func(b []byte) any {
		n, _ := number(read(b))
		if set := flagNames(int(n), list); set != nil {
			return set
		}
		return nil
	}
}

func number(v any) (uint64, bool) {
	switch n := v.(type) {
	case uint64:
		return n, true
	case int64:
		return uint64(n), true
	}
	return 0, false
}

// basicReader is nil for a kind that is not known.
func basicReader(kind string) reader {
	switch kind {
	case "u8", "u16", "u32", "u64", "num": // in the machine's order
		return hostNumber
	case "be16", "be32", "be64", "be":
		return netNumber
	case "s32":
		return func(b []byte) any {
			n, ok := hostNumber(b).(uint64)
			if !ok || len(b) != 4 {
				return nil
			}
			return int64(int32(n))
		}
	case "flag": // there or not
		return func([]byte) any { return true }
	case "bool":
		return func(b []byte) any {
			if hostNumber(b) == nil {
				return nil
			}
			return true
		}
	case "text":
		return func(b []byte) any {
			if s := cText(b); s != "" {
				return s
			}
			return nil
		}
	case "addr":
		return addrValue
	case "mac":
		return macValue
	}
	return nil
}

// hostNumber reads an unsigned number of 1, 2, 4 or 8 bytes; zero is nil.
func hostNumber(b []byte) any { return orderedNumber(b, binary.NativeEndian) }

// netNumber is hostNumber in the network's order.
func netNumber(b []byte) any { return orderedNumber(b, binary.BigEndian) }

func orderedNumber(b []byte, order binary.ByteOrder) any {
	var n uint64
	switch len(b) {
	case 1:
		n = uint64(b[0])
	case 2:
		n = uint64(order.Uint16(b))
	case 4:
		n = uint64(order.Uint32(b))
	case 8:
		n = order.Uint64(b)
	}
	if n == 0 {
		return nil
	}
	return n
}

// cText is a string of the kernel, up to its NUL.
func cText(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "?")
}

// addrValue reads an IPv4 or IPv6 address. One of no bits is nil.
func addrValue(b []byte) any {
	a, ok := netip.AddrFromSlice(b)
	if !ok || a.IsUnspecified() {
		return nil
	}
	return a.String()
}

// macValue reads a hardware address, of Ethernet or of another link.
func macValue(b []byte) any {
	if len(b) == 0 || len(b) > 32 || allZero(b) {
		return nil
	}
	return macText(b)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// macText writes a hardware address, or an IP address where a tunnel has one.
func macText(b []byte) string {
	if len(b) == 4 || len(b) == 16 {
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	}
	s := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			s = append(s, ':')
		}
		s = append(s, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return string(s)
}

// words writes bytes of unknown meaning as addresses and numbers, never as
// hex: an address among them must look like one, so that it can be redacted.
func words(b []byte) string {
	switch len(b) {
	case 16:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case 6:
		return macText(b)
	case 1, 2:
		n, _ := netNumber(b).(uint64)
		return strconv.FormatUint(n, 10)
	}
	var parts []string
	for len(b) >= 4 {
		a, _ := netip.AddrFromSlice(b[:4])
		parts = append(parts, a.String())
		b = b[4:]
	}
	for _, c := range b {
		parts = append(parts, strconv.Itoa(int(c)))
	}
	return strings.Join(parts, " ")
}
