package bundle

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

const block = 512

// padding is the number of zeros that follow n bytes in a tar stream.
func padding(n int64) int { return int(-n & (block - 1)) }

// tarHeader is the one and only header of a regular file in format 1: ustar,
// with a PAX record in front only where the name does not fit.
func tarHeader(name string, size, mtime int64) []byte {
	prefix, base, ok := splitName(name)
	if ok {
		return ustar(prefix, base, '0', size, mtime)
	}
	record := paxRecord("path", name)
	h := ustar("", "././@PaxHeader", 'x', int64(len(record)), mtime)
	h = append(h, record...)
	h = append(h, make([]byte, padding(int64(len(record))))...)
	return append(h, ustar("", asciiName(name), '0', size, mtime)...)
}

// splitName fits an ASCII name into the name and prefix fields.
func splitName(name string) (prefix, base string, ok bool) {
	for i := 0; i < len(name); i++ {
		if name[i] >= utf8.RuneSelf {
			return "", "", false
		}
	}
	if len(name) <= 100 {
		return "", name, true
	}
	at := strings.IndexByte(name[len(name)-101:], '/')
	if at < 0 {
		return "", "", false
	}
	at += len(name) - 101
	return name[:at], name[at+1:], at <= 155
}

// asciiName is what programs show that do not know PAX.
func asciiName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '_'
		}
		return r
	}, name)
	return name[:min(len(name), 100)]
}

func ustar(prefix, name string, kind byte, size, mtime int64) []byte {
	h := make([]byte, block, 4*block)
	copy(h[0:100], name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size, mtime))
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x000000000\x00")
	copy(h[345:500], prefix)
	sum := 8 * int(' ')
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// paxRecord is "LEN key=value\n", where LEN counts itself.
func paxRecord(key, value string) string {
	body := " " + key + "=" + value + "\n"
	n := len(body)
	for n != len(body)+len(fmt.Sprint(n)) {
		n = len(body) + len(fmt.Sprint(n))
	}
	return fmt.Sprint(n) + body
}

// tarBody gives the content of the only member of stream. It trusts nothing
// and checks only what it needs: the caller rebuilds the member and compares.
func tarBody(stream []byte) ([]byte, error) {
	if len(stream) > block && stream[156] == 'x' {
		n, err := octal(stream[124:136])
		if err != nil || n > 4*MaxPath || block+n+int64(padding(n)) > int64(len(stream)) {
			return nil, fmt.Errorf("%w: tar header", ErrDamaged)
		}
		stream = stream[block+n+int64(padding(n)):]
	}
	if len(stream) < block {
		return nil, fmt.Errorf("%w: no tar header", ErrDamaged)
	}
	n, err := octal(stream[124:136])
	if err != nil || block+n+int64(padding(n)) != int64(len(stream)) {
		return nil, fmt.Errorf("%w: tar header", ErrDamaged)
	}
	return stream[block : block+n], nil
}

// octal reads the eleven digits of a size.
func octal(field []byte) (n int64, err error) {
	for _, c := range field[:11] {
		if c < '0' || c > '7' {
			return 0, ErrDamaged
		}
		n = n<<3 | int64(c-'0')
	}
	return n, nil
}

// tarMember is a whole member of a tar stream.
func tarMember(name string, body []byte, mtime int64) []byte {
	m := append(tarHeader(name, int64(len(body)), mtime), body...)
	return append(m, make([]byte, padding(int64(len(body))))...)
}

// isZero says whether b is all zeros.
func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
