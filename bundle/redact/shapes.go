package redact

import "bytes"

// ruleShape counts tokens that no keyword gives away, but their shape does.
const ruleShape = "token-shape"

// shapes finds tokens by the dots in them: bootstrap tokens of Kubernetes
// (abcdef.0123456789abcdef) and bots of Discord (24.6.27 characters).
func shapes(b []byte, spans []span) []span {
	for i := 0; ; i++ {
		n := bytes.IndexByte(b[i:], '.')
		if n < 0 {
			return spans
		}
		i += n
		if from, to := bootstrapToken(b, i); from >= 0 {
			spans = append(spans, span{key: from, from: from, to: to, rule: ruleShape})
			i = to - 1
		} else if from, to := discordToken(b, i); from >= 0 {
			spans = append(spans, span{key: from, from: from, to: to, rule: ruleShape})
			i = to - 1
		}
	}
}

// bootstrapToken looks for a token around the dot b[i]. Names of events have
// its form, too: they end in the time in hexadecimal digits, which begins with 1.
func bootstrapToken(b []byte, i int) (from, to int) {
	const id, secret = 6, 16
	from, to = i-id, i+1+secret
	if from < 0 || to > len(b) || !isLowerDigit(b[i+secret]) || !isLowerDigit(b[from]) ||
		from > 0 && isWordByte(b[from-1]) || to < len(b) && isWordByte(b[to]) {
		return -1, i
	}
	for _, c := range b[from:i] {
		if !isLowerDigit(c) {
			return -1, i
		}
	}
	digits, beyondHex := 0, 0
	for _, c := range b[i+1 : to] {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'g' && c <= 'z':
			beyondHex++
		case c < 'a' || c > 'f':
			return -1, i
		}
	}
	if digits == 0 || beyondHex == 0 && b[i+1] == '1' {
		return -1, i
	}
	return from, to
}

func isLowerDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// discordToken looks for a token whose first dot is b[i]: the base64 of a
// number, a time and a signature.
func discordToken(b []byte, i int) (from, to int) {
	const shortestID, longestID, stamp, shortestSum, longestSum = 23, 28, 6, 27, 40
	if i < shortestID || i+1+stamp+1+shortestSum > len(b) || b[i+1+stamp] != '.' {
		return -1, i
	}
	from = i
	for from > 0 && i-from <= longestID && base64Value[b[from-1]] >= 0 {
		from--
	}
	if n := i - from; n < shortestID || n > longestID || b[from] < 'M' || b[from] > 'O' {
		return -1, i
	}
	to = i + 1 + stamp + 1
	for to < len(b) && base64Value[b[to]] >= 0 {
		to++
	}
	if n := to - (i + 1 + stamp + 1); n < shortestSum || n > longestSum || bytes.IndexByte(b[i+1:i+1+stamp], '.') >= 0 {
		return -1, i
	}
	return from, to
}
