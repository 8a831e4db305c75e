package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// glob is a pattern of paths in a bundle: path.Match for each element, and **
// for any number of them. A slash at the end stands for all below a folder.
type glob struct {
	text     string
	elements []string
}

func newGlob(text string) (glob, error) {
	g := glob{text: text, elements: strings.Split(text, "/")}
	if last := len(g.elements) - 1; g.elements[last] == "" {
		g.elements[last] = "**"
	}
	for _, e := range g.elements {
		if _, err := path.Match(e, ""); err != nil || e == "" {
			return g, fmt.Errorf("%q is no glob: want elements like nodes, n* or **, with / between them", text)
		}
	}
	return g, nil
}

// match goes back to the last ** when it fails, as a shell does with *.
func (g glob) match(p string) bool {
	names := strings.Split(p, "/")
	at, i, star, back := 0, 0, -1, 0
	for at < len(names) {
		switch {
		case i < len(g.elements) && g.elements[i] == "**":
			star, back = i, at
			i++
		case i < len(g.elements) && matches(g.elements[i], names[at]):
			i, at = i+1, at+1
		case star >= 0:
			back++
			i, at = star+1, back
		default:
			return false
		}
	}
	for i < len(g.elements) && g.elements[i] == "**" {
		i++
	}
	return i == len(g.elements)
}

func matches(element, name string) bool {
	ok, _ := path.Match(element, name) // newGlob checked it
	return ok
}

// near gives up to three paths that come closest: those with the most leading
// elements that match, and one more.
func (g glob) near(paths []string) []string {
	best, found := -1, map[string]bool{}
	for _, p := range paths {
		names := strings.Split(p, "/")
		n := 0
		for n < len(names)-1 && n < len(g.elements) && g.elements[n] != "**" && matches(g.elements[n], names[n]) {
			n++
		}
		if n > best {
			best, found = n, map[string]bool{}
		}
		if n == best {
			found[strings.Join(names[:n+1], "/")] = true
		}
	}
	list := sortedKeys(found)
	slices.SortStableFunc(list, func(a, b string) int { return likeness(g.text, b) - likeness(g.text, a) })
	return list[:min(len(list), 3)]
}

// likeness counts the bytes that a and b begin with alike.
func likeness(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
