package pseudonym

import "strings"

// maxElement bounds an element of a path, in bytes.
const maxElement = 240

// Path maps a path of a bundle. Where a node, a namespace or a pod stands, a
// name is mapped even if it is an ordinary word. Tokens may stand in paths.
func (m *Mapper) Path(p string) string {
	parts := strings.Split(p, "/")
	out := make([]string, len(parts))
	for i, part := range parts {
		if out[i] = m.element(parts, i); len(out[i]) > maxElement {
			out[i] = string(m.issue(nil, KindObject, []byte(part)))
		}
	}
	return strings.Join(out, "/")
}

func (m *Mapper) element(parts []string, i int) string {
	part := parts[i]
	top := parts[0]
	if top == "cluster" && len(parts) > 1 {
		top = parts[1]
	}
	switch {
	case top == "nodes" && i == 1:
		return m.place(KindNode, part)
	case top == "logs" && i == 2:
		return m.place(KindNamespace, part)
	case top == "logs" && i == 3:
		return m.place(KindObject, part)
	case (top == "resources" || top == "tables") && i == 5:
		stem, rest, _ := strings.Cut(part, ".")
		if stem == "_cluster" || rest == "" {
			return part
		}
		return m.place(KindNamespace, stem) + "." + rest
	case top == "captures" && i == 1:
		return m.target(part)
	case top == "captures" && i == 2 && strings.Contains(part, "__"):
		node, rest, _ := strings.Cut(part, "__")
		return m.place(KindNode, node) + "__" + rest
	}
	return string(m.Text(nil, []byte(part), map[string]int{}))
}

// target maps the folder of a capture: pod_shop_web-0, node_n1.
func (m *Mapper) target(part string) string {
	fields := strings.Split(part, "_")
	for i := range fields[1:] {
		k := KindObject
		switch {
		case fields[0] == "node" || fields[0] == "host":
			k = KindNode
		case i == 0:
			k = KindNamespace
		}
		fields[i+1] = m.place(k, fields[i+1])
	}
	return strings.Join(fields, "_")
}

// place maps a name that stands where one of a kind does. Objects that the
// dictionary does not know go through as text, as they do elsewhere.
func (m *Mapper) place(k Kind, name string) string {
	if out, ok := m.Known(nil, []byte(name)); ok {
		return string(out)
	}
	if k == KindObject || strings.Trim(name, "0123456789") == "" {
		return string(m.Text(nil, []byte(name), map[string]int{}))
	}
	return string(m.Name(nil, k, []byte(name)))
}

// IsPath says whether a string is of the form of a path of a bundle.
func (m *Mapper) IsPath(s string) bool {
	top, _, ok := strings.Cut(s, "/")
	switch top {
	case "cluster", "nodes", "captures", "collection":
		return ok && !strings.ContainsAny(s, " \n\t\"")
	}
	return false
}
