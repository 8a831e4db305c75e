package redact

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
)

// Bounds of what is decoded to look into it. What lies deeper or is larger is
// masked as a whole.
const (
	maxDecode   = 5       // encodings in each other
	maxInflate  = 1 << 20 // bytes out of compressed data, in one scan
	minRun      = 24      // characters of base64 that are looked at
	minWrapped  = 40      // in a line of base64 that goes on in the next
	minPrinted  = 4       // groups of base64 in a row that decode to text, at least
	maxJoined   = 1 << 20 // bytes of base64 over lines
	sampleEvery = minPrinted
)

// effort is what a scan has spent on decoding.
type effort struct {
	depth    int
	inflated *int // bytes; nil when none were
}

// runs looks into base64: stretches of its characters, also over lines, that
// decode to text or to gzip are scanned, and masked as a whole if there is
// something in them.
func (s *scanner) runs(b []byte, spans []span, e effort) []span {
	for i := minRun - 1; i < len(b); {
		if base64Value[b[i]] < 0 {
			i += minRun
			continue
		}
		from := i
		for from > 0 && i-from < minRun && base64Value[b[from-1]] >= 0 {
			from--
		}
		to := i + 1
		for to < len(b) && base64Value[b[to]] >= 0 {
			to++
		}
		if i = to + minRun; to-from < minRun {
			continue
		}
		run, end := joined(b, from, to)
		if e.inflated == nil && compressedAt(run) >= 0 {
			e.inflated = new(int)
		}
		if rule := s.inside(run, e, end == len(b)); rule != "" {
			for end < len(b) && b[end] == '=' {
				end++
			}
			spans = append(spans, span{key: from, from: from, to: end, rule: rule})
		}
		i = max(i, end+minRun)
	}
	return spans
}

// joined is the run b[from:to] with the lines that go on with it.
func joined(b []byte, from, to int) ([]byte, int) {
	width := to - from
	if width < minWrapped {
		return b[from:to], to
	}
	run, owned := b[from:to], false
	for len(run) < maxJoined {
		next := nextLine(b, to)
		if next < 0 {
			break
		}
		end := skip(b[:min(len(b), next+width+1)], next, func(c byte) bool { return base64Value[c] >= 0 })
		if end == next || end-next > width || end < len(b) && isLoose(b[end]) && b[end] != '=' && b[end] != '\\' && b[end] != '"' {
			break
		}
		if !owned {
			run, owned = bytes.Clone(run), true
		}
		run, to = append(run, b[next:end]...), end
		if end-next < width {
			break
		}
	}
	return run, to
}

// nextLine steps over the end of a line at b[i], raw or escaped, and the blanks
// that the next begins with; -1 when there is none.
func nextLine(b []byte, i int) int {
	start := i
	for _, end := range []string{"\r", `\r`, "\n", `\n`} {
		if bytes.HasPrefix(b[i:], []byte(end)) {
			i += len(end)
		}
	}
	if i == start {
		return -1
	}
	return skip(b, i, isBlank)
}

// inside gives the rule by which a run of base64 is masked, empty when there
// is nothing in it. A cut run may go on behind what is in sight.
func (s *scanner) inside(run []byte, e effort, cut bool) string {
	if n := compressedAt(run); n >= 0 {
		if rule := s.insideGzip(decode(run[n:]), e, cut); rule != "" {
			return rule
		}
	}
	for shift := range 4 {
		if !printed(run[min(shift, len(run)):]) {
			continue
		}
		if e.depth >= maxDecode {
			return ruleEncoded
		}
		if s.holds(decode(run[shift:]), e) {
			return ruleEncoded
		}
	}
	return ""
}

// holds says whether decoded data has something in it that a rule masks.
func (s *scanner) holds(plain []byte, e effort) bool {
	e.depth++
	return len(s.scanInto(plain, nil, e)) > 0
}

// printed says whether some groups of four characters in a row decode to ASCII
// text. Random data hardly ever does.
func printed(run []byte) bool {
	for g := sampleEvery - 1; 4*g+4 <= len(run); g += sampleEvery {
		if !printedGroup(run[4*g:]) {
			continue
		}
		low, high := g, g
		for low > 0 && g-low < minPrinted && printedGroup(run[4*low-4:]) {
			low--
		}
		for 4*high+8 <= len(run) && high-low < minPrinted && printedGroup(run[4*high+4:]) {
			high++
		}
		if high-low+1 >= minPrinted {
			return true
		}
	}
	return false
}

func printedGroup(run []byte) bool {
	v := uint32(base64Value[run[0]])<<18 | uint32(base64Value[run[1]])<<12 | uint32(base64Value[run[2]])<<6 | uint32(base64Value[run[3]])
	return isPrint(byte(v>>16)) && isPrint(byte(v>>8)) && isPrint(byte(v))
}

func isPrint(c byte) bool { return c >= ' ' && c < 0x7f || c >= '\t' && c <= '\r' || c == 0x1b }

// decode is the meaning of a run of base64, standard or for URLs.
func decode(run []byte) []byte {
	out := make([]byte, 0, len(run)/4*3+3)
	var v uint32
	for i, c := range run {
		v = v<<6 | uint32(base64Value[c])
		if i%4 == 3 {
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	switch len(run) % 4 {
	case 2:
		out = append(out, byte(v>>4))
	case 3:
		out = append(out, byte(v>>10), byte(v>>2))
	}
	return out
}

// base64Value gives the six bits of a character, -1 for all others.
//
//nolint:gochecknoglobals // never written
var base64Value = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range 26 {
		t['A'+i], t['a'+i] = int8(i), int8(26+i)
	}
	for i := range 10 {
		t['0'+i] = int8(52 + i)
	}
	t['+'], t['-'], t['/'], t['_'] = 62, 62, 63, 63
	return t
}()

// compressedAt says where in a run of base64 compressed data begins, -1 if
// nowhere.
func compressedAt(run []byte) int {
	if len(run) < minWrapped {
		return -1
	}
	if n := bytes.Index(run, []byte("H4sI")); n >= 0 {
		return n
	}
	for _, magic := range []string{"KLUv/", "/Td6WFoA", "QlpoO"} { // zstd, xz, bzip2
		if bytes.HasPrefix(run, []byte(magic)) {
			return 0
		}
	}
	return -1
}

// insideGzip gives the rule by which compressed data is masked. What cannot be
// looked into to its end is.
func (s *scanner) insideGzip(data []byte, e effort, cut bool) string {
	if e.depth >= maxDecode || *e.inflated >= maxInflate || cut {
		return ruleCompressed
	}
	plain, err := inflate(bytes.NewReader(data), maxInflate-*e.inflated)
	*e.inflated += len(plain)
	if err != nil {
		return ruleCompressed
	}
	if s.holds(plain, e) {
		return ruleEncoded
	}
	return ""
}

var errTooLong = errors.New("too much compressed data")

// inflate reads gzip, at most limit bytes of it.
func inflate(src io.Reader, limit int) ([]byte, error) {
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, int64(limit)+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(plain) > limit {
		err = errTooLong
	}
	return plain, err
}
