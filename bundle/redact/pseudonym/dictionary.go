package pseudonym

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync/atomic"
	"unicode/utf8"
)

// dictionary finds known names in text, the longest first, in one pass: a trie
// whose edges are words of letters and digits, each with the few bytes that
// stand between it and the word before. The edges lie in one hash table.
type dictionary struct {
	nodes   []trieNode
	entries []*entry
	table   []uint32    // of nodes, 0 is empty
	roots   []uint64    // a filter: bits of the hashes of first words
	sizes   [256]uint32 // another: bits of the lengths of first words, by their first byte
	number  bool        // some name begins with a number
	text    []byte      // edges, in lower case
	whole   map[string]int32
}

type trieNode struct {
	parent uint32
	at     uint32 // of the edge in text
	size   uint8
	entry  int32 // -1 without
}

// entry is what a name becomes.
type entry struct {
	value, token string   // a token and what it stands for, if it has one of its own
	with         []string // another token and value, of a node in the name
	as           string   // what stands in the place of the name
	kind         Kind
	mark         mark
	context      context
	used         atomic.Bool
}

// mark says how a name is treated.
type mark uint8

const (
	keepMark     mark = 1 << iota // stays as it is
	ordinaryMark                  // stays in free text
)

const (
	maxGap  = 8   // bytes between two words of a name
	maxWord = 200 // bytes of an edge
)

// edgeEnd says where the word of a name ends that begins, with what stands
// before it, at i; 0 if the name has not the form of one.
func edgeEnd(name []byte, i int) int {
	j := i
	for j < len(name) && class[name[j]]&alnum == 0 {
		j++
	}
	gap := j - i
	for j < len(name) && class[name[j]]&alnum != 0 {
		j++
	}
	if j-i == gap || gap > maxGap || j-i > maxWord || i == 0 && gap > 0 {
		return 0
	}
	return j
}

// hasEdges says whether a name can be found in text.
func hasEdges(name []byte) bool {
	for i := 0; i < len(name); {
		if i = edgeEnd(name, i); i == 0 {
			return false
		}
	}
	return len(name) > 0
}

// prepare sizes the table for names of so many words in all.
func (d *dictionary) prepare(names, words int) {
	size := 64
	for size < 2*words+2 {
		size *= 2
	}
	bits := 1 << 12
	for bits < 16*names {
		bits *= 2
	}
	*d = dictionary{table: make([]uint32, size), roots: make([]uint64, bits/64), nodes: make([]trieNode, 1, words+1), whole: make(map[string]int32, names)}
	d.nodes[0].entry = -1
}

// insert adds a name, in lower case, whose entry is e. It must have edges.
func (d *dictionary) insert(name []byte, e int32) {
	parent := uint32(0)
	for i, j := 0, 0; i < len(name); i = j {
		j = edgeEnd(name, i)
		edge := name[i:j]
		h := hashWord(edge)
		if i == 0 {
			d.sizes[edge[0]] |= 1 << min(len(edge), 31)
			d.sizes[edge[0]&^0x20] = d.sizes[edge[0]]
			d.number = d.number || len(bytes.Trim(edge, "0123456789")) == 0
			b := h >> 20 & uint64(len(d.roots)*64-1)
			d.roots[b/64] |= 1 << (b % 64)
		}
		node, slot := d.child(parent, edge, h)
		if node == 0 {
			node = uint32(len(d.nodes))
			d.nodes = append(d.nodes, trieNode{parent: parent, at: uint32(len(d.text)), size: uint8(len(edge)), entry: -1})
			d.text = append(d.text, edge...)
			d.table[slot] = node
		}
		parent = node
	}
	d.nodes[parent].entry = e
}

// child finds the node below parent, or the slot for it.
func (d *dictionary) child(parent uint32, edge []byte, h uint64) (node uint32, slot uint64) {
	mask := uint64(len(d.table) - 1)
	for slot = (h ^ uint64(parent)*0x9e3779b97f4a7c15) >> 24 & mask; ; slot = (slot + 1) & mask {
		node = d.table[slot]
		if node == 0 {
			return 0, slot
		}
		n := &d.nodes[node]
		if n.parent == parent && int(n.size) == len(edge) && equalLower(d.text[n.at:int(n.at)+len(edge)], edge) {
			return node, slot
		}
	}
}

// equalLower compares lower, which is in lower case, with b of the same length.
func equalLower(lower, b []byte) bool {
	for i, c := range b {
		if lower[i] != c && (c < 'A' || c > 'Z' || lower[i] != c|0x20) {
			return false
		}
	}
	return true
}

// hashWord hashes the first and last eight bytes and the length, whatever the
// case of letters.
func hashWord(b []byte) uint64 {
	if len(b) >= 8 {
		return mixWord(binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:]), len(b))
	}
	var first uint64
	for i, c := range b {
		first |= uint64(c) << (8 * i)
	}
	return mixWord(first, 0, len(b))
}

func mixWord(first, last uint64, n int) uint64 {
	const fold = 0x2020202020202020
	h := (first|fold)*0x9e3779b97f4a7c15 ^ (last|fold)*0xc2b2ae3d27d4eb4f ^ uint64(n)*0x165667b19e3779f9 //nolint:gosec // a length
	h ^= h >> 29
	return h * 0xbf58476d1ce4e5b9
}

// begins says whether a name may begin with the word src[i:j].
func (d *dictionary) begins(src []byte, i, j int) (h uint64, ok bool) {
	n := j - i
	if d.sizes[src[i]]>>min(n, 31)&1 == 0 {
		return 0, false
	}
	if n < 8 && i+8 <= len(src) {
		h = mixWord(binary.LittleEndian.Uint64(src[i:])&(1<<(8*n)-1), 0, n)
	} else {
		h = hashWord(src[i:j])
	}
	b := h >> 20 & uint64(len(d.roots)*64-1)
	return h, d.roots[b/64]>>(b%64)&1 != 0
}

// find returns the longest name that begins with the word src[i:j], and where
// it ends.
func (d *dictionary) find(src []byte, i, j int) (*entry, int) {
	h, ok := d.begins(src, i, j)
	if !ok {
		return nil, i
	}
	node, _ := d.child(0, src[i:j], h)
	found, end := int32(-1), i
	for node != 0 {
		if e := d.nodes[node].entry; e >= 0 {
			found, end = e, j
		}
		from := j
		for j < len(src) && class[src[j]]&alnum == 0 && j-from < maxGap {
			j++
		}
		for j < len(src) && class[src[j]]&alnum != 0 {
			j++
		}
		if j == from || j-from > maxWord || class[src[j-1]]&alnum == 0 {
			break
		}
		node, _ = d.child(node, src[from:j], hashWord(src[from:j]))
	}
	if found < 0 {
		return nil, i
	}
	return d.entries[found], end
}

// exact returns the entry of a value that is a name as a whole.
func (d *dictionary) exact(value []byte) *entry {
	if len(value) == 0 || len(value) > maxNameLength {
		return nil
	}
	e, ok := d.whole[string(value)]
	if !ok {
		var buf [maxNameLength]byte
		lower := appendLower(buf[:0], value)
		if bytes.Equal(lower, value) {
			return nil
		}
		if e, ok = d.whole[string(lower)]; !ok {
			return nil
		}
	}
	return d.entries[e]
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// rank orders kinds: of two that a value has, the lower counts.
func rank(k Kind) int {
	return slices.Index([]Kind{KindNode, KindNamespace, KindHost, KindUser, KindObject, KindID}, k)
}

// distinct returns names in lower case, each once with its first kind, ordered
// by length, so that owners come before what they own.
func distinct(names []Name) []Name {
	kinds := make(map[string]Kind, len(names))
	for _, n := range names {
		trimmed := bytes.Trim([]byte(n.Value), ". \t\r\n")
		if len(trimmed) == 0 || len(trimmed) > maxNameLength || rank(n.Kind) < 0 {
			continue
		}
		// Letters beyond ASCII are compared as they are, so both cases go in.
		spellings := [][]byte{trimmed, bytes.ToLower(trimmed), bytes.ToUpper(trimmed)}
		if bytes.IndexFunc(trimmed, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
			spellings = spellings[:1]
		}
		for _, spelling := range spellings {
			var buf [maxNameLength]byte
			value := string(appendLower(buf[:0], spelling))
			if k, ok := kinds[value]; !ok || rank(n.Kind) < rank(k) {
				kinds[value] = n.Kind
			}
		}
	}
	all := make([]Name, 0, len(kinds))
	for value, kind := range kinds {
		all = append(all, Name{kind, value})
	}
	slices.SortFunc(all, func(a, b Name) int {
		if c := len(a.Value) - len(b.Value); c != 0 {
			return c
		}
		return cmp.Compare(a.Value, b.Value)
	})
	return all
}
