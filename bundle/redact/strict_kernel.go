package redact

import (
	"bytes"
	"encoding/hex"
	"math/bits"
	"path"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// column says that a column of a file of the kernel holds an address in hex.
type column struct {
	at   int
	form hexForm
	mask int // column with the mask, or the length, of the prefix; 0 is none
}

// hexForm is how the kernel prints an address.
type hexForm uint8

const (
	hexWords   hexForm = iota // words of the machine, little endian: 0100007F, with or without a port
	hexBytes                  // bytes in their order
	hexNetwork                // a word in the order of the network, 0x7F000001
)

// columns are those of one file.
type columns []column

// columnsOf returns the columns of the file at a path, nil if it has none.
func columnsOf(name string) columns {
	dir, base := path.Split(name)
	if !strings.HasPrefix(name, "nodes/") || !strings.HasSuffix(dir, "/proc/net/") && !strings.HasSuffix(dir, "/net/") {
		return nil
	}
	switch base {
	case "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6":
		return columns{{at: 1}, {at: 2}}
	case "route":
		return columns{{at: 1, mask: 7}, {at: 2}}
	case "rt_cache":
		return columns{{at: 1}, {at: 2}, {at: 7}, {at: 12}}
	case "if_inet6":
		return columns{{at: 0, form: hexBytes}}
	case "ipv6_route":
		return columns{{at: 0, form: hexBytes, mask: 1}, {at: 2, form: hexBytes, mask: 3}, {at: 4, form: hexBytes}}
	case "igmp":
		return columns{{at: 0}}
	case "igmp6", "anycast6":
		return columns{{at: 2, form: hexBytes}}
	case "mcfilter":
		return columns{{at: 2, form: hexNetwork}, {at: 3, form: hexNetwork}}
	case "mcfilter6":
		return columns{{at: 2, form: hexBytes}, {at: 3, form: hexBytes}}
	case "dev_mcast":
		return columns{{at: 4, form: hexBytes}}
	case "ip_vs":
		return columns{{at: 1, form: hexNetwork}}
	case "ip_vs_conn":
		return columns{{at: 1, form: hexNetwork}, {at: 3, form: hexNetwork}, {at: 5, form: hexNetwork}}
	}
	return nil
}

// lines maps the columns of all lines of b, in place: hex keeps its length.
func (cs columns) lines(m *pseudonym.Mapper, b []byte, c counts) {
	var fields [][]byte
	for line := range bytes.Lines(b) {
		fields = fields[:0]
		for f := range bytes.FieldsSeq(line) {
			if fields = append(fields, f); len(fields) > 16 {
				break
			}
		}
		for _, col := range cs {
			if col.at < len(fields) && col.put(m, fields) {
				c["ip-address"]++
			}
		}
	}
}

// put maps one field and says whether it held an address.
func (col column) put(m *pseudonym.Mapper, fields [][]byte) bool {
	field := fields[col.at]
	if n := bytes.IndexByte(field, ':'); n >= 0 {
		field = field[:n]
	}
	field = bytes.TrimPrefix(field, []byte("0x"))
	upper := bytes.ContainsAny(field, "ABCDEF")
	var raw [16]byte
	n := len(field) / 2
	if len(field) != 8 && len(field) != 12 && len(field) != 32 {
		return false
	}
	if _, err := hex.Decode(raw[:], field); err != nil {
		return false
	}
	swap(raw[:n], col.form)
	out := raw
	switch n {
	case 4:
		a := m.IPv4([4]byte(raw[:4]))
		copy(out[:], a[:])
	case 6:
		a := m.MAC([6]byte(raw[:6]))
		copy(out[:], a[:])
	default:
		out = m.IPv6(raw)
	}
	if col.mask > 0 && col.mask < len(fields) {
		clearHosts(out[:n], raw[:n], prefixLength(fields[col.mask], col.form))
	}
	if out == raw {
		return false
	}
	swap(out[:n], col.form)
	hex.Encode(field, out[:n])
	if upper || col.form == hexWords {
		copy(field, bytes.ToUpper(field))
	}
	return true
}

// swap turns words of the machine into the order of the network, and back.
func swap(b []byte, form hexForm) {
	for i := 0; form == hexWords && i+4 <= len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
}

// prefixLength reads a mask of the kernel, or a length in hex; -1 if it is none.
func prefixLength(field []byte, form hexForm) int {
	v, err := strconv.ParseUint(string(field), 16, 32)
	switch {
	case err != nil:
		return -1
	case form == hexWords:
		return bits.OnesCount64(v)
	}
	return int(v)
}

// clearHosts clears what a prefix of n bits leaves for hosts, if it is clear
// in raw.
func clearHosts(out, raw []byte, n int) {
	if n < 0 || n > 8*len(raw) {
		return
	}
	for pass := range 2 {
		for i := n; i < 8*len(raw); i++ {
			bit := byte(0x80) >> (i % 8)
			if pass == 0 && raw[i/8]&bit != 0 {
				return
			}
			if pass == 1 {
				out[i/8] &^= bit
			}
		}
	}
}
