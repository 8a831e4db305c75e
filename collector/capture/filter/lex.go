package filter

import (
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
	symbol // ( ) [ ] : / + - * & | << >> < > <= >= = != ! and or
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
	brackets := 0
	for pos := 0; pos < len(expr); {
		if strings.IndexByte(" \t\r\n", expr[pos]) >= 0 {
			pos++
			continue
		}
		t, n, err := lexOne(expr, pos, brackets > 0)
		if err != nil {
			return nil, err
		}
		switch {
		case t.is("["):
			brackets++
		case t.is("]"):
			brackets--
		}
		out = append(out, t)
		pos += n
	}
	return append(out, token{kind: end, pos: len(expr)}), nil
}

func lexOne(expr string, pos int, inBrackets bool) (token, int, error) {
	rest := expr[pos:]
	if rest[0] == '\\' {
		n := wordLength(rest[1:], false)
		if n == 0 {
			return token{}, 0, &Error{expr, pos, "a name must follow the backslash"}
		}
		return token{kind: quoted, text: rest[1 : 1+n], pos: pos}, 1 + n, nil
	}
	if n := wordLength(rest, !inBrackets); n > 0 {
		t, err := classify(expr, rest[:n], pos)
		return t, n, err
	}
	for _, s := range []string{"&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "(", ")", "[", "]", ":", "/", "+", "-", "*", "&", "|", "<", ">", "=", "!"} {
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
	return token{}, 0, &Error{expr, pos, "this character has no meaning in a filter (^ and % are not supported)"}
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// wordLength measures the name, number or address that s starts with: letters,
// digits, dots, and inner dashes and underscores; with colons if it can be an
// IPv6 address.
func wordLength(s string, colons bool) int {
	n := 0
	if colons {
		for n < len(s) && (hexDigit(s[n]) || s[n] == ':' || s[n] == '.') {
			n++
		}
		if strings.Count(s[:n], ":") >= 2 && (n == len(s) || !alnum(s[n])) {
			return n
		}
		n = 0
	}
	if len(s) == 0 || !alnum(s[0]) {
		return 0
	}
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

func classify(expr, text string, pos int) (token, error) {
	t := token{kind: word, text: text, pos: pos}
	if n, ok := constants()[text]; ok {
		t.kind, t.num = number, n
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
		"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
	}
}
