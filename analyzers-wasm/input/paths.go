package input

import (
	"fmt"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Folders of the logs of containers: as the API server gives them, and as a
// machine without Kubernetes has them.
const (
	clusterLogs = "cluster/logs/"
	hostLogs    = "nodes/*/logs/pods/"
	unitLogs    = "nodes/*/logs/"
)

// Paths gives globs for all that an input reads of a bundle, whether it is
// there or not; none for facts, which other modules tell. What a collection
// needs for an input, and whether it had that, is told by them.
func Paths(in abi.Input) ([]string, error) {
	switch {
	case in.Resource != "":
		g, err := resourceGlob(in.Resource)
		return []string{strings.Join(g, "/")}, err
	case in.Table != "":
		return checked(in.Table)
	case in.Files != "":
		return checked(in.Files)
	case in.Flows != "":
		return checked(captureGlob(in.Flows))
	case in.DNS != "":
		return checked(captureGlob(in.DNS))
	case in.Logs != "":
		return logPaths(in.Logs)
	case len(in.Counters) > 0:
		if err := checkCounters(in.Counters); err != nil {
			return nil, err
		}
		globs := []string{"nodes/*/node.json"} // has the times of the samples
		for _, g := range counterGlobs(in.Counters) {
			globs = append(globs, strings.Join(g, "/"))
		}
		return globs, nil
	}
	return nil, nil
}

func checked(globs ...string) ([]string, error) {
	for _, g := range globs {
		if _, err := ParseGlob(g); err != nil {
			return nil, fmt.Errorf("%q: %w", g, err)
		}
	}
	return globs, nil
}

// captureGlob is the files of captures that a value stands for.
func captureGlob(value string) string {
	if value == "*" {
		return "captures/*/*.pcapng"
	}
	return value
}

// logPaths are where the lines of a selector may stand. A workload's pods have
// its name and endings that their owner made up.
func logPaths(selector string) ([]string, error) {
	var globs []string
	for _, folder := range []string{clusterLogs, hostLogs} {
		if strings.Contains(selector, "/") {
			globs = append(globs, folder+selector+".log", folder+selector+".previous.log")
			continue
		}
		globs = append(globs, folder+"*/*/"+selector+".log", folder+"*/*/"+selector+".previous.log",
			folder+"*/"+selector+"/*.log", folder+"*/"+selector+"-*/*.log")
	}
	if !strings.Contains(selector, "/") {
		globs = append(globs, unitLogs+selector+".log")
	}
	return checked(globs...)
}
