package review

import "strings"

// classOf gives the class of data that a path belongs to, and what it is in
// plain words.
func classOf(path string) (name, what string) {
	first, rest, _ := strings.Cut(path, "/")
	switch first {
	case "cluster":
		return clusterClass(rest)
	case "nodes":
		return nodeClass(rest)
	case "captures":
		if strings.HasSuffix(path, ".pcapng") {
			return "captures: packets", "packets as they passed a network interface, cut by the payload policy"
		}
		return "captures: index", "what was captured where, and the counters of the capture"
	case "collection":
		return "collection", "what was asked for, what came of it, and how often something was masked"
	case "probes":
		return "probes", "answers to requests that the collection made itself"
	case "findings":
		return "findings", "what the analyzers said on site"
	case "origin":
		return "origin", "proof that files are those of an earlier bundle"
	}
	return "other", "files of no known class"
}

func clusterClass(rest string) (name, what string) {
	kind, rest, _ := strings.Cut(rest, "/")
	switch kind {
	case "resources", "tables":
		parts := strings.Split(rest, "/")
		if len(parts) < 3 {
			break
		}
		group, resource := parts[0], parts[2]
		if group != "core" {
			resource += "." + group
		}
		if kind == "tables" {
			return "cluster: tables", "the columns that kubectl prints, for the same objects"
		}
		return "cluster: " + resource, "objects of the Kubernetes API as the server holds them"
	case "logs":
		return "cluster: logs of containers", "what containers wrote"
	case "metrics":
		return "cluster: metrics", "counters of cluster components"
	}
	return "cluster: server", "version, API groups and health of the API server"
}

func nodeClass(rest string) (name, what string) {
	switch {
	case strings.Contains(rest, "/proc/sys/"):
		return "nodes: kernel settings", "sysctls of the node and of pods"
	case strings.Contains(rest, "/proc/"), strings.Contains(rest, "/sys/"):
		return "nodes: kernel text", "files of /proc and /sys: counters, connections, routes"
	case strings.Contains(rest, "/net/"):
		return "nodes: network tables", "links, addresses, routes, neighbours, sockets, rules"
	case strings.Contains(rest, "/logs/"):
		return "nodes: system logs", "journal of kubelet, container runtime and kernel"
	case strings.HasSuffix(rest, "kmsg.ndjson"):
		return "nodes: kernel log", "messages of the kernel"
	case strings.HasSuffix(rest, "processes.ndjson"):
		return "nodes: processes", "processes with their command lines"
	case strings.Contains(rest, "/pods/"):
		return "nodes: files of pods", "resolv.conf, hosts, limits of containers"
	}
	return "nodes: other", "mounts, control groups, certificates (public parts), CNI configuration"
}
