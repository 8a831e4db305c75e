package redact

import "bytes"

// nulls takes NUL bytes out of text: logs have runs of them after a crash, and
// in UTF-16 they would hide words from the rules. One alone stands between the
// arguments of a command and becomes a blank.
type nulls struct {
	behind [nulSight]byte // the bytes before
	n      int            // how many bytes there were
}

// nulSight is how far a NUL looks to either side for others, every second byte.
const nulSight = 4

// clean appends raw to out, which may lie just before it in the same array. It
// returns what cannot be decided yet, and how many NULs it met.
func (z *nulls) clean(out, raw []byte, eof bool) (cleaned, rest []byte, met int) {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, 0)
		if n < 0 {
			n = len(raw)
		}
		if n > 0 {
			z.pass(raw[:n])
			out, raw = append(out, raw[:n]...), raw[n:]
			continue
		}
		if len(raw) <= nulSight && !eof {
			break
		}
		if z.separates(raw) {
			out = append(out, ' ')
		}
		z.pass(raw[:1])
		raw = raw[1:]
		met++
	}
	return out, raw, met
}

func (z *nulls) pass(b []byte) {
	z.n = min(z.n+len(b), nulSight)
	b = b[max(0, len(b)-nulSight):]
	copy(z.behind[:], z.behind[len(b):])
	copy(z.behind[nulSight-len(b):], b)
}

// separates says whether the NUL at raw[0] stands alone.
func (z *nulls) separates(raw []byte) bool {
	before := func(i int) bool { return i <= z.n && z.behind[nulSight-i] == 0 }
	after := func(i int) bool { return i < len(raw) && raw[i] == 0 }
	wide := before(2) && after(2) || before(2) && before(4) || after(2) && after(4)
	return !wide && !before(1) && !after(1) && z.n > 0
}
