package main

import (
	"time"

	"github.com/casefile-io/casefile/sdk"
)

// linesOf are the lines of a pod's log in which the group has something, in
// order of time; the lines of its last run come first.
func linesOf(in *sdk.Input, p Pod, group string) []sdk.Row[sdk.LogLine] {
	byPod := sdk.Memo(in, "lines", func(in *sdk.Input) map[string][]sdk.Row[sdk.LogLine] {
		lines := map[string][]sdk.Row[sdk.LogLine]{}
		for _, l := range logInput().All(in) {
			name := l.V.Namespace + "/" + l.V.Pod
			lines[name] = append(lines[name], l)
		}
		return lines
	})
	var list []sdk.Row[sdk.LogLine]
	for _, previous := range []bool{true, false} {
		for _, l := range byPod[p.name()] {
			if l.V.Previous == previous && l.V.Groups[group] != "" {
				list = append(list, l)
			}
		}
	}
	return list
}

// after says whether a is later than b. Either may lack, or have a node's own
// zone: what cannot be compared counts as later.
func after(a, b string) bool {
	x, err := time.Parse(time.RFC3339, a)
	y, err2 := time.Parse(time.RFC3339, b)
	return err != nil || err2 != nil || x.After(y)
}

// span is the time of the first and of the last line.
func span(lines []sdk.Row[sdk.LogLine]) (first, last string) {
	if len(lines) == 0 {
		return "", ""
	}
	return lines[0].V.Time, lines[len(lines)-1].V.Time
}

// ends cites the first and the last line.
func ends(lines []sdk.Row[sdk.LogLine]) []sdk.Evidence {
	if len(lines) < 3 {
		return cite(lines, len(lines))
	}
	return []sdk.Evidence{sdk.At(lines[0].At), sdk.At(lines[len(lines)-1].At)}
}
