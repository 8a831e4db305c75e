package input

import "strings"

// holds says whether a file is in what the module sees: everything, or for a
// run of scope node what lies below nodes/<node>/ and its captures.
func (p *Projection) holds(path string) bool {
	if p.node == "" {
		return true
	}
	if rest, ok := strings.CutPrefix(path, "nodes/"+p.node); ok {
		return rest == "" || rest[0] == '/'
	}
	node, ok := captureNode(path)
	return ok && node == p.node
}

// sees says whether the module sees a node.
func (p *Projection) sees(node string) bool { return p.node == "" || p.node == node }

// captureNode gives the node that captures/<name>/<node>__<where>.pcapng was
// taken on.
func captureNode(path string) (string, bool) {
	segs := strings.Split(path, "/")
	if len(segs) != 3 || segs[0] != "captures" || !strings.HasSuffix(segs[2], ".pcapng") {
		return "", false
	}
	node, _, ok := strings.Cut(segs[2], "__")
	return node, ok
}

// concerns says whether what lies at, above or below a path may be in what the
// module sees.
func (p *Projection) concerns(path string) bool {
	if p.node == "" || p.holds(path) {
		return true
	}
	switch segs := strings.Split(path, "/"); segs[0] {
	case "nodes":
		return len(segs) == 1
	case "captures":
		return len(segs) < 3
	}
	return false
}
