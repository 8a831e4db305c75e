package redact

import "bytes"

// isTarget says whether s is written as the target of a capture or a probe.
func isTarget(s []byte) bool {
	kind, rest, _ := bytes.Cut(s, []byte("/"))
	switch string(kind) {
	case "pod", "service":
		return bytes.Count(rest, []byte("/")) == 1
	case "node":
		return bytes.IndexByte(rest, '/') < 0
	case "tcp:":
		return bytes.HasPrefix(rest, []byte("/")) && bytes.Count(rest, []byte("/")) == 1
	}
	return false
}

// target maps each part of a target for what it is.
func (p *jsonPass) target(dst, s []byte) []byte {
	kind, rest, _ := bytes.Cut(s, []byte("/"))
	dst = append(append(dst, kind...), '/')
	as := asNode
	switch string(kind) {
	case "tcp:":
		dst, rest, as = append(dst, '/'), rest[1:], asHost
	case "pod", "service":
		namespace, name, _ := bytes.Cut(rest, []byte("/"))
		dst, rest, as = append(p.act(dst, namespace, asNamespace), '/'), name, asKnown
	}
	port := bytes.LastIndexByte(rest, ':')
	if port < 0 || bytes.Count(rest, []byte(":")) > 1 && rest[0] != '[' { // an IPv6 address has colons of its own
		port = len(rest)
	}
	return append(p.act(dst, rest[:port], as), rest[port:]...)
}
