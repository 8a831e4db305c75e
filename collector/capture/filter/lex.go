package filter

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

type kind int

const (
	end    kind = iota
	word        // keyword or name
	quoted      // \name: never a keyword
	number
	dotted // 10.1 or 10.1.2.3
	ip6addr
	mac
	symbol // ( ) [ ] : / + - * % & | ^ << >> < > <= >= = != not and or
)

type token struct {
	kind kind
	text string
	num  uint32
	pos  int
}

func (t token) is(text string) bool { return (t.kind == symbol || t.kind == word) && t.text == text }

// lex splits an expression; the last token is of kind end.
func lex(expr string) ([]token, error) {
	if len(expr) > MaxExpression {
		return nil, &Error{expr, MaxExpression, fmt.Sprintf("longer than %d bytes", MaxExpression)}
	}
	var out []token
	for pos := 0; pos < len(expr); {
		if strings.IndexByte(" \t\r\n", expr[pos]) >= 0 {
			pos++
			continue
		}
		t, n, err := lexOne(expr, pos)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		pos += n
	}
	return append(out, token{kind: end, pos: len(expr)}), nil
}

func lexOne(expr string, pos int) (token, int, error) {
	rest := expr[pos:]
	if rest[0] == '\\' {
		n := strings.IndexAny(rest+" ", " !()\n\t")
		if n < 2 {
			return token{}, 0, &Error{expr, pos, "a name must follow the backslash"}
		}
		return token{kind: quoted, text: rest[1:n], pos: pos}, n, nil
	}
	if n := wordLength(rest); n > 0 {
		t, err := classify(expr, rest[:n], pos)
		return t, n, err
	}
	for _, s := range []string{"&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "(", ")", "[", "]", ":", "/", "+", "-", "*", "%", "&", "|", "^", "<", ">", "=", "!"} {
		if strings.HasPrefix(rest, s) {
			text := s
			switch s {
			case "&&":
				text = "and"
			case "||":
				text = "or"
			case "!":
				text = "not"
			case "==":
				text = "="
			}
			return token{kind: symbol, text: text, pos: pos}, len(s), nil
		}
	}
	return token{}, 0, &Error{expr, pos, "this character has no meaning in a filter"}
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// wordLength measures the name, number or address that s starts with: letters,
// digits, dots, and inner dashes and underscores; with colons if it can be an
// address; with slashes if it is a name such as pod/shop/web-0.
func wordLength(s string) int {
	n := 0
	for n < len(s) && (hexDigit(s[n]) || s[n] == ':' || s[n] == '.') {
		n++
	}
	if strings.Count(s[:n], ":") >= 2 && (n == len(s) || !alnum(s[n])) {
		return n
	}
	if n = nameLength(s); n == 0 || s[0] <= '9' || notAName(s[:n]) {
		return n
	}
	for n+1 < len(s) && s[n] == '/' && nameLength(s[n+1:]) > 0 {
		n += 1 + nameLength(s[n+1:])
	}
	return n
}

func notAName(s string) bool {
	_, constant := constants()[s]
	return constant || reserved(s)
}

func nameLength(s string) int {
	if len(s) == 0 || !alnum(s[0]) {
		return 0
	}
	n := 0
	for n < len(s) && (alnum(s[n]) || s[n] == '.' || s[n] == '-' || s[n] == '_') {
		n++
	}
	for s[n-1] == '-' || s[n-1] == '_' {
		n--
	}
	return n
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hexOnly(s string) bool {
	for i := range len(s) {
		if !hexDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func classify(expr, text string, pos int) (token, error) {
	t := token{kind: word, text: text, pos: pos}
	if n, ok := constants()[text]; ok {
		t.kind, t.num = number, n
		return t, nil
	}
	if _, ok := parseMAC(text); ok {
		t.kind = mac
		return t, nil
	}
	switch {
	case strings.Contains(text, ":"):
		t.kind = ip6addr
	case strings.Trim(text, "0123456789.") == "" && strings.Contains(text, "."):
		t.kind = dotted
	case strings.Trim(text, "0123456789") == "", strings.HasPrefix(text, "0x"), strings.HasPrefix(text, "0X"):
		n, err := parseNumber(text)
		if err != nil {
			return t, &Error{expr, pos, "not a number of at most 32 bits (0x starts a hexadecimal one, 0 an octal one)"}
		}
		t.kind, t.num = number, n
	}
	return t, nil
}

// parseMAC reads 1:2:3:4:5:6, the same with dashes or dots, 0102.0304.0506 and
// 010203040506.
func parseMAC(s string) (a [6]byte, ok bool) {
	parts, width := []string{s}, 12
	for _, sep := range []string{":", "-", "."} {
		if split := strings.Split(s, sep); len(split) == 6 {
			parts, width = split, 2
		} else if len(split) == 3 && sep == "." {
			parts, width = split, 4
		}
	}
	joined := ""
	for _, p := range parts {
		if width == 2 && len(p) == 1 {
			p = "0" + p
		}
		if len(p) != width {
			return a, false
		}
		joined += p
	}
	if !hexOnly(joined) {
		return a, false
	}
	_, err := hex.Decode(a[:], []byte(joined))
	return a, err == nil
}

func parseNumber(s string) (uint32, error) {
	base := 10
	if len(s) > 1 && s[0] == '0' {
		s, base = s[1:], 8
		if s[0] == 'x' || s[0] == 'X' {
			s, base = s[1:], 16
		}
	}
	n, err := strconv.ParseUint(s, base, 32)
	return uint32(n), err
}

// constants are the names that the language has for numbers.
func constants() map[string]uint32 {
	return map[string]uint32{
		"tcpflags": 13, "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
		"icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
		"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13,
		"icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,
		"icmp6type": 0, "icmp6code": 1, "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
		"icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
		"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-multicastlistenerquery": 130,
		"icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132, "icmp6-routerrenum": 138,
		"icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141,
		"icmp6-ineighbordiscoveryadvert": 142, "icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144,
		"icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147,
		"icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149, "icmp6-multicastrouteradvert": 151,
		"icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
	}
}
