package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// xtLayout is where struct ipt_entry or ip6t_entry has its parts.
type xtLayout struct {
	family                 string
	addr                   int // bytes of an address
	proto, flags, inv      int
	target, next, counters int
	elems                  int
	gotoFlag               byte
	invSrc, invDst, frag   byte
}

func xtLayoutOf(family string) xtLayout {
	if family == "ip6" {
		return xtLayout{family: family, addr: 16, proto: 128, flags: 131, inv: 132, target: 140, next: 142, counters: 152, elems: 168, gotoFlag: 4, invSrc: 8, invDst: 16}
	}
	return xtLayout{family: family, addr: 4, proto: 80, flags: 82, inv: 83, target: 88, next: 90, counters: 96, elems: 112, gotoFlag: 2, invSrc: 8, invDst: 16, frag: 1}
}

const (
	xtHooks      = 5
	xtInfoSize   = 84 // struct ipt_getinfo
	xtEntries    = 40 // struct ipt_get_entries before its entries
	xtTargetHead = 32 // struct xt_entry_target, and of a match
	xtNameLen    = 29
)

var errLegacy = errors.New("legacy table malformed")

// xtTable is a table as the kernel gives it.
type xtTable struct {
	family, name string
	valid        uint32
	entry, under [xtHooks]uint32 // offsets of the first rule and the policy, by hook
	blob         []byte
}

func (t *xtTable) readInfo(b []byte) (size uint32) {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	t.valid = u32(32)
	for i := range xtHooks {
		t.entry[i], t.under[i] = u32(36+4*i), u32(56+4*i)
	}
	return u32(80)
}

// entries walks the blob: fn gets the offset and the bytes of each entry.
func (t *xtTable) entries(l xtLayout, fn func(at uint32, e []byte) error) error {
	for at := 0; at < len(t.blob); {
		e := t.blob[at:]
		if len(e) < l.elems {
			return fmt.Errorf("%w: %d bytes left", errLegacy, len(e))
		}
		next, target := int(binary.NativeEndian.Uint16(e[l.next:])), int(binary.NativeEndian.Uint16(e[l.target:]))
		if target < l.elems || next < target+xtTargetHead || next > len(e) {
			return fmt.Errorf("%w: entry of %d bytes, target at %d", errLegacy, next, target)
		}
		if err := fn(uint32(at), e[:next]); err != nil {
			return err
		}
		at += next
	}
	return nil
}

// rows tells the chains and rules of the table.
func (t *xtTable) rows(fn func(xtRow) error) error {
	l := xtLayoutOf(t.family)
	w := xtWalk{xtTable: t, l: l, fn: fn, starts: map[uint32]string{}, policies: map[uint32]bool{}}
	for i, name := range []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"} {
		if t.valid&(1<<i) != 0 {
			w.starts[t.entry[i]], w.policies[t.under[i]] = name, true
		}
	}
	err := t.entries(l, func(at uint32, e []byte) error {
		if name, data := xtTarget(l, e); name == "ERROR" {
			w.starts[at+uint32(len(e))] = cText(data)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.entries(l, w.step)
}

// xtTarget is the name and the data of an entry's target.
func xtTarget(l xtLayout, e []byte) (string, []byte) {
	b := e[binary.NativeEndian.Uint16(e[l.target:]):]
	return cText(b[2 : 2+xtNameLen]), b[xtTargetHead:]
}

// xtWalk knows in which chain it is.
type xtWalk struct {
	*xtTable
	l        xtLayout
	fn       func(xtRow) error
	starts   map[uint32]string // of chains, by the offset of their first rule
	policies map[uint32]bool   // offsets of built-in chains' ends
	chain    string
	number   int
}

func (w *xtWalk) step(at uint32, e []byte) error {
	l := w.l
	target, data := xtTarget(l, e)
	row := xtRow{Family: w.family, Table: w.name, Counter: &counterRow{binary.NativeEndian.Uint64(e[l.counters:]), binary.NativeEndian.Uint64(e[l.counters+8:])}}
	if name, ok := w.starts[at]; ok {
		w.chain, w.number = name, 0
		if err := w.head(name, at); err != nil {
			return err
		}
	}
	if target == "ERROR" || w.policies[at] || w.returns(at, e) {
		return nil
	}
	w.number++
	row.Kind, row.Chain, row.Number = "rule", w.chain, w.number
	w.packet(&row, e)
	w.matches(&row, e[l.elems:binary.NativeEndian.Uint16(e[l.target:])])
	w.verdict(&row, e, target, data)
	return w.fn(row)
}

// head tells a chain: its policy and counters if it is a built-in one.
func (w *xtWalk) head(name string, at uint32) error {
	row := xtRow{Kind: "chain", Family: w.family, Table: w.name, Chain: name, Counter: &counterRow{}}
	for i := range xtHooks {
		if w.valid&(1<<i) == 0 || w.entry[i] != at || int(w.under[i])+w.l.elems > len(w.blob) {
			continue
		}
		e := w.blob[w.under[i]:]
		if target := int(binary.NativeEndian.Uint16(e[w.l.target:])); target+xtTargetHead+4 <= len(e) {
			row.Policy = standardVerdict(int32(binary.NativeEndian.Uint32(e[target+xtTargetHead:])))
		}
		row.Counter = &counterRow{binary.NativeEndian.Uint64(e[w.l.counters:]), binary.NativeEndian.Uint64(e[w.l.counters+8:])}
	}
	return w.fn(row)
}

// returns says whether an entry is the end that every chain of a user has.
func (w *xtWalk) returns(at uint32, e []byte) bool {
	next := at + uint32(len(e))
	if int(next)+w.l.elems > len(w.blob) {
		return false
	}
	following := w.blob[next:]
	size, target := int(binary.NativeEndian.Uint16(following[w.l.next:])), int(binary.NativeEndian.Uint16(following[w.l.target:]))
	if size > len(following) || target+xtTargetHead > size {
		return false
	}
	name, _ := xtTarget(w.l, following[:size])
	return name == "ERROR"
}

// packet reads what every rule may ask of a packet.
func (w *xtWalk) packet(row *xtRow, e []byte) {
	l, inv := w.l, e[w.l.inv]
	a := l.addr
	row.Src = xtAddr(e[:a], e[2*a:3*a], inv&l.invSrc != 0)
	row.Dst = xtAddr(e[a:2*a], e[3*a:4*a], inv&l.invDst != 0)
	row.Iif = xtIface(e[4*a:4*a+16], inv&1 != 0)
	row.Oif = xtIface(e[4*a+16:4*a+32], inv&2 != 0)
	if p := binary.NativeEndian.Uint16(e[l.proto:]); p != 0 {
		row.Proto = not(inv&0x40 != 0) + protoText([]byte{byte(p)})
	}
	row.Frag = e[l.flags]&l.frag != 0
}

func xtAddr(addr, mask []byte, inverted bool) string {
	if allZero(mask) && !inverted {
		return ""
	}
	a, _ := netip.AddrFromSlice(addr)
	m := maskText(mask, func(b []byte) string { return "/" + words(b) })
	return not(inverted) + a.String() + m
}

// xtIface is a device; "eth+" is stored as it was given, with its plus.
func xtIface(name []byte, inverted bool) string {
	s := cText(name)
	if s == "" {
		return ""
	}
	return not(inverted) + s
}

func (w *xtWalk) matches(row *xtRow, b []byte) {
	for len(b) >= xtTargetHead {
		size := int(binary.NativeEndian.Uint16(b))
		if size < xtTargetHead || size > len(b) {
			return
		}
		m := object{"match": cText(b[2 : 2+xtNameLen]), "revision": uint64(b[31]), "info": dataBytes(b[xtTargetHead:size])}
		if m["match"] == "comment" {
			row.Comment = cText(b[xtTargetHead:size])
		} else {
			xtInfo(m, map[string]uint64{"ip": 4, "ip6": 6}[w.family])
			row.Matches = append(row.Matches, m)
		}
		b = b[size:]
	}
}

func (w *xtWalk) verdict(row *xtRow, e []byte, target string, data []byte) {
	if target != "" {
		head := e[binary.NativeEndian.Uint16(e[w.l.target:]):]
		row.Target = object{"target": target, "revision": uint64(head[31]), "info": dataBytes(data)}
		xtInfo(row.Target, map[string]uint64{"ip": 4, "ip6": 6}[w.family])
		return
	}
	if len(data) < 4 {
		return
	}
	v := int32(binary.NativeEndian.Uint32(data))
	switch {
	case v < 0:
		row.Verdict = standardVerdict(v)
	case e[w.l.flags]&w.l.gotoFlag != 0:
		row.Verdict = "goto " + w.starts[uint32(v)]
	case w.starts[uint32(v)] != "":
		row.Verdict = "jump " + w.starts[uint32(v)]
	}
	// A rule without a target goes on with the next one: no verdict.
}

func standardVerdict(v int32) string {
	names := map[int32]string{-1: "drop", -2: "accept", -4: "queue", -5: "return"}
	return names[v]
}
