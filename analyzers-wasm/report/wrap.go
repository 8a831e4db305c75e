package report

import (
	"strings"
	"unicode/utf8"
)

// displayWidth is the number of terminal columns of s, which may hold the
// styles that this package adds.
func displayWidth(s string) int {
	n, style := 0, false
	for _, r := range s {
		switch {
		case r == 0x1b:
			style = true
		case style:
			style = r != 'm'
		default:
			n += runeWidth(r)
		}
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case r >= 0x300 && r <= 0x36F:
		return 0 // combining
	case isWide(r):
		return 2
	}
	return 1
}

// isWide says whether r takes two columns: CJK, kana, Hangul, full-width
// forms, emoji.
func isWide(r rune) bool {
	return r >= 0x1100 && r <= 0x115F || r >= 0x2E80 && r <= 0xA4CF || r >= 0xAC00 && r <= 0xD7A3 ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0xFE30 && r <= 0xFE6F || r >= 0xFF00 && r <= 0xFF60 || r >= 0xFFE0 && r <= 0xFFE6 ||
		r >= 0x1F300 && r <= 0x1FAFF || r >= 0x20000 && r <= 0x3FFFD
}

// wrap cuts s into lines of at most width columns, at blanks and between wide
// characters. A word that is longer stands alone: paths and URLs are copied.
func wrap(s string, width int) []string {
	var lines []string
	line, cols := "", 0
	for s != "" {
		word, rest := nextWord(s)
		w := displayWidth(word)
		if cols > 0 && cols+displayWidth(strings.TrimRight(word, " ")) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line, cols = "", 0
		}
		line, cols, s = line+word, cols+w, rest
	}
	return append(lines, strings.TrimRight(line, " "))
}

// nextWord splits off what must stay on a line: a word with the blanks behind
// it, or one wide character with the punctuation behind it.
func nextWord(s string) (word, rest string) {
	for i, r := range s {
		n := i + utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(s[i:])
			n = i + size
		}
		after, _ := utf8.DecodeRuneInString(s[n:])
		switch {
		case n == len(s):
			return s, ""
		case r == ' ' && after != ' ':
			return s[:n], s[n:]
		case after == ' ' || isClosing(after):
		case isWide(r) || isWide(after):
			return s[:n], s[n:]
		}
	}
	return s, ""
}

// isClosing says whether r may not begin a line.
func isClosing(r rune) bool {
	return strings.ContainsRune("，。；：、！？）》」』”’", r)
}
