package pseudonym

import "bytes"

// Classes of bytes.
const (
	alnum uint8 = 1 << iota
	digit
	hexLetter
	letter  // beyond f
	special // begins something although no letter or digit
	inMail  // in the local part of a mail address
)

// class is never written to after it is made.
var class = classes() //nolint:gochecknoglobals // a table

func classes() (c [256]uint8) {
	for b := range 256 {
		switch {
		case b >= '0' && b <= '9':
			c[b] = alnum | digit | inMail
		case b >= 'a' && b <= 'f', b >= 'A' && b <= 'F':
			c[b] = alnum | hexLetter | inMail
		case b >= 'g' && b <= 'z', b >= 'G' && b <= 'Z':
			c[b] = alnum | letter | inMail
		}
	}
	for _, b := range ":\\%\x1b" {
		c[b] |= special
	}
	for _, b := range "._-+%" {
		c[b] |= inMail
	}
	return c
}

// tally counts what was mapped.
type tally struct{ addresses, macs, names, hosts, users, mails, ambiguous int }

func (t *tally) add(found map[string]int) {
	one := func(rule string, n int) {
		if n > 0 {
			found[rule] += n
		}
	}
	one("ip-address", t.addresses)
	one("mac-address", t.macs)
	one("name", t.names)
	one("host-name", t.hosts)
	one("user-name", t.users)
	one("e-mail", t.mails)
	one("ambiguous-name", t.ambiguous)
}

// scan is one pass over a stretch of text.
type scan struct {
	m    *Mapper
	dst  []byte
	src  []byte
	done int // src[:done] is in dst
	back bool
	tally

	spaceEnd int // where the last namespace ended
	chunkEnd int // of letters, digits, dots and dashes from here on, looked at before
	mailEnd  int // of what could be the local part of a mail address
}

// Text appends src with everything mapped that stands in it, and counts what it
// mapped in found, by rule. What stands there as an ordinary word of free text
// although something is called so stays, and is counted as "ambiguous-name".
func (m *Mapper) Text(dst, src []byte, found map[string]int) []byte {
	dst, _ = m.Window(dst, src, 0, len(src), found)
	return dst
}

// Window is [Mapper.Text] for text that comes in pieces: it maps what begins in
// src[from:cut] and appends it up to next, which is where to go on. src[:from]
// is seen as context only. What begins before cut must be in src as a whole:
// nothing that is mapped is longer than [Lookahead].
func (m *Mapper) Window(dst, src []byte, from, cut int, found map[string]int) (out []byte, next int) {
	s := scan{m: m, dst: dst, src: src, done: from}
	next = s.run(from, cut)
	s.dst = append(s.dst, src[s.done:next]...)
	if s.tally != (tally{}) {
		s.tally.add(found)
	}
	return s.dst, next
}

// Lookahead is how far beyond its first byte Text looks at something.
const Lookahead = 2 << 10

func (s *scan) run(i, cut int) int {
	src := s.src
	if i > 0 {
		for i < len(src) && class[src[i-1]]&alnum != 0 && class[src[i]]&alnum != 0 {
			i++
		}
	}
	for i < cut {
		c := class[src[i]]
		if c&alnum == 0 {
			next := i + 1
			if c&special != 0 {
				// What an escape says of the word behind it must not be forgotten.
				if next = s.special(i); next >= cut && cut < len(src) && s.done <= i {
					return i
				}
			}
			i = next
			continue
		}
		j := i + 1
		for j < len(src) {
			next := class[src[j]]
			if next&alnum == 0 {
				break
			}
			c |= next
			j++
		}
		i = s.word(i, j, c)
	}
	return max(i, s.done)
}

// word looks at the word src[i:j] of classes c and returns where to go on.
func (s *scan) word(i, j int, c uint8) int {
	if j < len(s.src) {
		next := s.src[j]
		switch next {
		case '.', ':', '-':
			if to := s.literal(i, j, c, next); to > 0 {
				return to
			}
		}
		if class[next]&inMail != 0 || next == '@' {
			if to := s.dotted(i, j); to > 0 {
				return to
			}
		}
	}
	if s.back || c&(letter|hexLetter) == 0 && !s.m.dict.number {
		return j
	}
	if e, end := s.m.dict.find(s.src, i, j); e != nil {
		return s.name(e, i, j, end)
	}
	return j
}

// literal maps an address or a token that begins with the word src[i:j].
func (s *scan) literal(i, j int, c, next uint8) int {
	switch {
	case next == '-' && j-i <= 4 && c&(letter|hexLetter) != 0 && s.isToken(i, j):
		return s.token(i, j+1+tokenLength)
	case next == '-' && j-i <= 3 && c&letter != 0:
		return s.dashedAddress(i, j)
	case c&letter != 0 || j-i > 4:
		return 0
	case next == '.' && c&hexLetter == 0 && j-i <= 3:
		return s.ipv4(i)
	case j-i == 2 && next != '.':
		if to := s.mac(i); to > 0 {
			return to
		}
	case j-i == 4 && next == '.':
		return s.mac(i)
	}
	if next == ':' {
		return s.ipv6(i)
	}
	return 0
}

// put writes what stands in the place of src[i:j].
func (s *scan) put(i int) []byte { return append(s.dst, s.src[s.done:i]...) }

// set takes what put and others have written for src up to j.
func (s *scan) set(dst []byte, j int) int {
	s.dst, s.done = dst, j
	return j
}

// name treats a name that was found at src[i:end], whose first word ends at j.
func (s *scan) name(e *entry, i, j, end int) int {
	if e.context != 0 {
		if to := s.inContext(e.context, i, j); to > 0 {
			return to
		}
		if e.token == "" {
			return end
		}
	}
	paired := s.paired(e, i, end)
	switch {
	case e.mark&keepMark != 0:
		return end
	case e.mark&ordinaryMark != 0 && !paired:
		n := s.generatedAt(end)
		if n == 0 {
			s.ambiguous++
			return end
		}
	}
	s.names++
	s.m.use(e)
	return s.set(append(s.put(i), e.as...), end)
}

// paired says whether src[i:end] is half of NAMESPACE/NAME, as Kubernetes writes
// it into comments of rules and into logs. There it is a name, however
// ordinary the word. What goes on to the left is a path.
func (s *scan) paired(e *entry, i, end int) bool {
	if i > 0 && s.spaceEnd == i-1 && s.src[i-1] == '/' {
		return true
	}
	if e.kind != KindNamespace && e.mark&keepMark == 0 || i > 0 && s.src[i-1] == '/' {
		return false
	}
	s.spaceEnd = end
	return end+1 < len(s.src) && s.src[end] == '/' && s.known(end+1)
}

// generatedAt says how long the rest of a generated name at src[i:] is, whose
// owner's name stands before.
func (s *scan) generatedAt(i int) int {
	j := i
	for j < len(s.src) && (class[s.src[j]]&alnum != 0 || s.src[j] == '-') && j-i < 20 {
		j++
	}
	if i == j || s.src[i] != '-' {
		return 0
	}
	rest := append([]byte("x"), s.src[i:j]...)
	if n := generatedSuffix(rest); n == len(rest)-1 {
		return n
	}
	return 0
}

// special looks at src[i], which begins something although it is no letter.
func (s *scan) special(i int) int {
	src := s.src
	switch src[i] {
	case ':':
		if i+2 < len(src) && src[i+1] == ':' && class[src[i+2]]&alnum != 0 && (i == 0 || class[src[i-1]]&alnum == 0 && src[i-1] != ':') {
			if to := s.ipv6(i); to > 0 {
				return to
			}
		}
		if bytes.HasPrefix(src[i:], []byte("://")) && !s.back {
			return s.authority(i)
		}
	case '%':
		if i+3 < len(src) && isHexByte(src[i+1]) && isHexByte(src[i+2]) && !s.known(i+1) {
			return i + 3
		}
	case 0x1b:
		return s.color(i + 1)
	case '\\':
		return s.escape(i)
	}
	return i + 1
}

func isHexByte(c byte) bool { return class[c]&(digit|hexLetter) != 0 }

// known says whether a known name begins at src[i].
func (s *scan) known(i int) bool {
	j := i
	for j < len(s.src) && class[s.src[j]]&alnum != 0 {
		j++
	}
	e, _ := s.m.dict.find(s.src, i, j)
	return e != nil && e.token != ""
}

// color steps over what follows the escape character: [31m.
func (s *scan) color(i int) int {
	if i >= len(s.src) || s.src[i] != '[' {
		return i
	}
	j := i + 1
	for j < len(s.src) && j-i < 16 && (class[s.src[j]]&digit != 0 || s.src[j] == ';') {
		j++
	}
	if j < len(s.src) && class[s.src[j]]&alnum != 0 {
		return j + 1
	}
	return i
}

// escape steps over backslashes and the letter of an escape, so that the word
// after it is seen: \nweb. A name that begins with that letter goes first.
func (s *scan) escape(i int) int {
	for i < len(s.src) && s.src[i] == '\\' {
		i++
	}
	if i >= len(s.src) {
		return i
	}
	n := 0
	switch s.src[i] {
	case 'n', 'r', 't', 'b', 'f', 'v', 'a', 'e':
		n = 1
	case 'x':
		n = s.digits(i+1, 2)
	case 'u':
		n = s.digits(i+1, 4)
	case '0':
		n = s.digits(i, 3) - 1
	}
	if n <= 0 || s.known(i) {
		return i
	}
	if code := s.src[i : i+n]; code[0] == 'e' || n > 2 && (bytes.HasSuffix(code, []byte("1b")) || bytes.HasSuffix(code, []byte("1B")) || string(code) == "033") {
		return s.color(i + n)
	}
	return i + n
}

// digits returns n+1 if n hexadecimal digits stand at src[i:], 0 otherwise.
func (s *scan) digits(i, n int) int {
	if i+n > len(s.src) {
		return 0
	}
	for _, c := range s.src[i : i+n] {
		if !isHexByte(c) {
			return 0
		}
	}
	return n + 1
}
