package redact

// words finds all occurrences of a set of keywords in one pass, whatever the
// case of ASCII letters: an Aho-Corasick automaton as a dense table over
// classes of bytes. It never changes after newWords.
type words struct {
	class   [256]uint8
	shift   uint
	next    []uint16   // state<<shift | class → state
	hits    [][]uint16 // by state: the keywords that end there
	lengths []uint8    // of the keywords
}

// newWords takes keywords of lower-case ASCII, 64 KiB in all.
func newWords(keys []string) *words {
	w := &words{}
	classes := 1 // class 0 is every byte that is in no keyword
	for _, k := range keys {
		w.lengths = append(w.lengths, uint8(len(k)))
		for i := range len(k) {
			c := k[i]
			if w.class[c] == 0 {
				w.class[c] = uint8(classes)
				if c >= 'a' && c <= 'z' {
					w.class[c-'a'+'A'] = uint8(classes)
				}
				classes++
			}
		}
	}
	for 1<<w.shift < classes {
		w.shift++
	}
	w.insert(keys)
	w.link()
	return w
}

func (w *words) insert(keys []string) {
	w.grow()
	for n, k := range keys {
		state := 0
		for i := range len(k) {
			cell := state<<w.shift | int(w.class[k[i]])
			if w.next[cell] == 0 {
				w.next[cell] = uint16(len(w.hits))
				w.grow()
			}
			state = int(w.next[cell])
		}
		w.hits[state] = append(w.hits[state], uint16(n))
	}
}

func (w *words) grow() {
	w.next = append(w.next, make([]uint16, 1<<w.shift)...)
	w.hits = append(w.hits, nil)
}

// link turns the trie into an automaton, breadth first.
func (w *words) link() {
	fail := make([]int, len(w.hits))
	var queue []int
	for c := range 1 << w.shift {
		if s := int(w.next[c]); s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		w.hits[state] = append(w.hits[state], w.hits[fail[state]]...)
		for c := range 1 << w.shift {
			cell := state<<w.shift | c
			other := w.next[fail[state]<<w.shift|c]
			if s := int(w.next[cell]); s != 0 {
				fail[s] = int(other)
				queue = append(queue, s)
			} else {
				w.next[cell] = other
			}
		}
	}
}

// find looks for the next keyword from b[i:] on, starting in state: it returns
// the index after its last byte and the state to go on with. End is -1 when
// there is none.
func (w *words) find(b []byte, i int, state uint16) (end int, after uint16) {
	next, shift := w.next, w.shift
	for ; i < len(b); i++ {
		state = next[int(state)<<shift|int(w.class[b[i]])]
		if state != 0 && w.hits[state] != nil {
			return i + 1, state
		}
	}
	return -1, state
}
