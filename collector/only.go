package collector

import (
	"path"
	"strings"
)

// Only says which members of a bundle are wanted, as globs over their paths:
// * and ? stay within a segment, and a segment ** stands for any number of
// folders. Without a glob everything is wanted. A collector does not read what
// nobody wants, and records nothing of it.
type Only []string

// Wants says whether the member at a path is wanted.
func (o Only) Wants(path string) bool { return o.any(path, false) }

// WantsBelow says whether something at or below a folder may be wanted.
func (o Only) WantsBelow(folder string) bool { return o.any(strings.TrimSuffix(folder, "/"), true) }

func (o Only) any(path string, above bool) bool {
	if len(o) == 0 {
		return true
	}
	segments := strings.Split(path, "/")
	for _, glob := range o {
		if matches(strings.Split(glob, "/"), segments, above) {
			return true
		}
	}
	return false
}

// matches holds a path against a glob; above is for a folder, below which the
// rest of the glob may lie.
func matches(glob, segments []string, above bool) bool {
	for len(glob) > 0 && glob[0] != "**" {
		if len(segments) == 0 {
			return above
		}
		if ok, err := path.Match(glob[0], segments[0]); err != nil || !ok {
			return false
		}
		glob, segments = glob[1:], segments[1:]
	}
	if len(glob) == 0 {
		return len(segments) == 0
	}
	if len(glob) == 1 || above {
		return above || len(segments) > 0
	}
	for i := range len(segments) + 1 {
		if matches(glob[1:], segments[i:], above) {
			return true
		}
	}
	return false
}
