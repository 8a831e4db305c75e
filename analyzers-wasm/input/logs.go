package input

import (
	"errors"
	"fmt"
	"strings"
)

// logSelector says whose lines a logs input has: NAME, or NAMESPACE/POD/CONTAINER.
type logSelector struct {
	name string // a container, a workload or a unit
	pod  Glob   // namespace, pod, container
}

// parseLogs reads a selector.
func parseLogs(s string) (logSelector, error) {
	g, err := ParseGlob(s)
	switch {
	case err != nil:
		return logSelector{}, fmt.Errorf("logs %q: %w", s, err)
	case strings.Contains(s, "**"):
		return logSelector{}, errors.New("logs: ** has no meaning here")
	case len(g) == 1:
		return logSelector{name: s}, nil
	case len(g) == 3:
		return logSelector{pod: g}, nil
	}
	return logSelector{}, fmt.Errorf("logs %q: write the name of a container, a workload or a unit, or NAMESPACE/POD/CONTAINER", s)
}

// logGlobs names the files that the lines may stand in, and some more.
func logGlobs(selector string) ([]Glob, error) {
	paths, err := logPaths(selector)
	if err != nil {
		return nil, err
	}
	globs := make([]Glob, len(paths))
	for i, path := range paths {
		globs[i] = strings.Split(path, "/")
	}
	return globs, nil
}

// logLines makes the rows of logs inputs.
func (r *run) logLines() error {
	for _, o := range r.logs {
		o.lacks("cluster/logs", "logs are not read yet")
	}
	return nil
}
