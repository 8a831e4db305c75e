package redact

// words finds all occurrences of a set of keywords in one pass, whatever the
// case of ASCII letters: an Aho-Corasick automaton as a dense table over
// classes of bytes. It never changes after newWords.
type words struct {
	class   [256]uint32
	shift   uint
	next    []uint32   // state|class → state; states are multiples of 1<<shift
	hits    [][]uint16 // by state>>shift: the keywords that end there
	lengths []uint8    // of the keywords
	hot     uint32     // no keyword ends in a state below this one
}

// newWords takes keywords of lower-case ASCII.
func newWords(keys []string) *words {
	w := &words{}
	classes := uint32(1) // class 0 is every byte that is in no keyword
	for _, k := range keys {
		w.lengths = append(w.lengths, uint8(len(k)))
		for i := range len(k) {
			c := k[i]
			if w.class[c] == 0 {
				w.class[c] = classes
				if c >= 'a' && c <= 'z' {
					w.class[c-'a'+'A'] = classes
				}
				classes++
			}
		}
	}
	w.class[0] = w.class[' '] // it parts words, too
	for 1<<w.shift < classes {
		w.shift++
	}
	w.insert(keys)
	w.link()
	w.order()
	return w
}

func (w *words) insert(keys []string) {
	w.grow()
	for n, k := range keys {
		state := uint32(0)
		for i := range len(k) {
			cell := state | w.class[k[i]]
			if w.next[cell] == 0 {
				w.next[cell] = uint32(len(w.next))
				w.grow()
			}
			state = w.next[cell]
		}
		w.hits[state>>w.shift] = append(w.hits[state>>w.shift], uint16(n))
	}
}

func (w *words) grow() {
	w.next = append(w.next, make([]uint32, 1<<w.shift)...)
	w.hits = append(w.hits, nil)
}

// link turns the trie into an automaton, breadth first.
func (w *words) link() {
	fail := make([]uint32, len(w.hits))
	var queue []uint32
	for c := range uint32(1) << w.shift {
		if s := w.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		back := fail[state>>w.shift]
		w.hits[state>>w.shift] = append(w.hits[state>>w.shift], w.hits[back>>w.shift]...)
		for c := range uint32(1) << w.shift {
			other := w.next[back|c]
			if s := w.next[state|c]; s != 0 {
				fail[s>>w.shift] = other
				queue = append(queue, s)
			} else {
				w.next[state|c] = other
			}
		}
	}
}

// order numbers the states anew, those with hits last, so that find need not
// look at hits.
func (w *words) order() {
	fresh := make([]uint32, len(w.hits))
	n := uint32(0)
	for _, hot := range []bool{false, true} {
		if hot {
			w.hot = n << w.shift
		}
		for s, h := range w.hits {
			if (h != nil) == hot {
				fresh[s] = n << w.shift
				n++
			}
		}
	}
	next, hits := make([]uint32, len(w.next)), make([][]uint16, len(w.hits))
	for s, to := range fresh {
		hits[to>>w.shift] = w.hits[s]
		for c := range uint32(1) << w.shift {
			next[to|c] = fresh[w.next[uint32(s)<<w.shift|c]>>w.shift]
		}
	}
	w.next, w.hits = next, hits
}

// find looks for the next keyword from b[i:] on, starting in state: it returns
// the index after its last byte and the state to go on with. End is -1 when
// there is none.
func (w *words) find(b []byte, i int, state uint32) (end int, after uint32) {
	next, hot := w.next, w.hot
	for ; i < len(b); i++ {
		state = next[state|w.class[b[i]]]
		if state >= hot {
			return i + 1, state
		}
	}
	return -1, state
}

// ending are the keywords that end in a state.
func (w *words) ending(state uint32) []uint16 { return w.hits[state>>w.shift] }
