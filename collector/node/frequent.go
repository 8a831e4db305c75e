package node

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// frequent finds the most frequent keys of a stream in bounded memory (Misra
// and Gries): with no more than frequentKeys different ones it is exact, else
// each number is too low by up to lost.
type frequent struct {
	n    map[flowKey]int
	lost int
}

const (
	frequentKeys = 4096
	topRows      = 20
)

// flowKey is what is counted; parts that do not matter are left zero.
type flowKey struct {
	proto    uint8
	src, dst netip.Addr
	dport    uint16
}

func newFrequent() *frequent { return &frequent{n: map[flowKey]int{}} }

func (f *frequent) add(k flowKey) {
	if _, known := f.n[k]; known || len(f.n) < frequentKeys {
		f.n[k]++
		return
	}
	f.lost++ // each loses one, and so does k
	for k, n := range f.n {
		if n == 1 {
			delete(f.n, k)
		} else {
			f.n[k] = n - 1
		}
	}
}

func (f *frequent) list() topList {
	keys := slices.SortedFunc(maps.Keys(f.n), func(a, b flowKey) int {
		return cmp.Or(f.n[b]-f.n[a], cmp.Compare(a.proto, b.proto), a.src.Compare(b.src), a.dst.Compare(b.dst), cmp.Compare(a.dport, b.dport))
	})
	l := topList{Error: f.lost}
	for _, k := range keys[:min(topRows, len(keys))] {
		row := topRow{Src: k.src, Dst: k.dst, Dport: k.dport, N: f.n[k]}
		if k.proto != 0 {
			row.Proto = ipProtoName(k.proto)
		}
		l.Top = append(l.Top, row)
	}
	return l
}
