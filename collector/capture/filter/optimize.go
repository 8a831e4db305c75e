package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// simplify takes out what is constant; stores says that n changes scratch
// memory, which must then happen even if the outcome of n is known.
func simplify(n node) (out node, stores bool) {
	switch n := n.(type) {
	case run:
		return n, true
	case not:
		of, stores := simplify(n.of)
		if c, ok := of.(constant); ok {
			return !c, stores
		}
		return not{of}, stores
	case all:
		ns, end, stores := simplifyList(n, false)
		if len(ns) == 0 {
			return constant(!end), stores
		}
		return all(ns), stores
	case either:
		ns, end, stores := simplifyList(n, true)
		if len(ns) == 0 {
			return constant(end), stores
		}
		return either(ns), stores
	}
	return n, false
}

// simplifyList drops the members that do not matter, and all behind one that
// equals absorbing, which decides; with nothing stored before, that is all.
func simplifyList(list []node, absorbing constant) (out []node, end constant, stores bool) {
	for _, m := range list {
		m, s := simplify(m)
		stores = stores || s
		c, fixed := m.(constant)
		switch {
		case fixed && c == absorbing && !stores:
			return nil, true, false
		case fixed && c == absorbing:
			return append(out, m), true, true
		case !fixed:
			out = append(out, m)
		}
	}
	return out, false, stores
}

// held is what the registers are known to hold: the result of this code.
type held struct {
	a []bpf.Instruction
	x bpf.Instruction
}

// shareLoads leaves out loads of what a register holds already, on every path,
// and steps that no path leads to. All jumps go forward, so one pass sees
// every way to a label before the label.
func shareLoads(ops []op, labels int) []op {
	at := make([]*held, labels+1)
	join := func(to label, h held) {
		if old := at[to]; old == nil {
			at[to] = &h
		} else {
			if !slices.Equal(old.a, h.a) {
				old.a = nil
			}
			if old.x != h.x {
				old.x = nil
			}
		}
	}
	now, reached := held{}, true
	out := ops[:0]
	for _, o := range ops {
		if o.bind != noLabel {
			if reached {
				join(o.bind, now)
			}
			if reached = at[o.bind] != nil; reached {
				now = *at[o.bind]
			}
			out = append(out, o)
			continue
		}
		if !reached {
			continue
		}
		o.code, now = now.without(o.code)
		out = append(out, o)
		if o.jump {
			join(o.yes, now)
			if o.test != nil {
				join(o.no, now)
			}
			reached = false
		}
	}
	return out
}

// without returns what is left to do of code, and what is held after it.
func (h held) without(code []bpf.Instruction) ([]bpf.Instruction, held) {
	if len(code) == 0 || slices.Equal(h.a, code) {
		return nil, h
	}
	after := held{x: h.x}
	if pure(code) {
		after.a = code
	}
	for _, in := range code {
		switch in := in.(type) {
		case bpf.LoadMemShift:
			after.x = in
		case bpf.TAX:
			after.x = nil
		case bpf.LoadScratch:
			if in.Dst == bpf.RegX {
				after.x = nil
			}
		case bpf.RetConstant:
			return code, held{}
		}
	}
	if _, ok := code[0].(bpf.LoadMemShift); ok && h.x == code[0] {
		code = code[1:]
	}
	return code, after
}

// pure code depends on the packet alone.
func pure(code []bpf.Instruction) bool {
	for _, in := range code {
		switch in.(type) {
		case bpf.LoadScratch, bpf.StoreScratch:
			return false
		}
	}
	return true
}

// clearScratch sets to zero, first of all, the slots that a path may read
// without having stored something: the kernel refuses a program otherwise.
func clearScratch(ins []bpf.Instruction) []bpf.Instruction {
	var unset uint32
	stored := make([]uint32, len(ins)+1) // slots set on every path to here
	seen := make([]bool, len(ins)+1)
	reach := func(to int, s uint32) {
		if seen[to] {
			s &= stored[to]
		}
		seen[to], stored[to] = true, s
	}
	reach(0, 0)
	for i, in := range ins {
		s := stored[i]
		switch in := in.(type) {
		case bpf.LoadScratch:
			unset |= 1 << in.N &^ s
		case bpf.StoreScratch:
			s |= 1 << in.N
		case bpf.Jump:
			reach(i+1+int(in.Skip), s)
			continue
		case bpf.JumpIf:
			reach(i+1+int(in.SkipTrue), s)
			reach(i+1+int(in.SkipFalse), s)
			continue
		case bpf.JumpIfX:
			reach(i+1+int(in.SkipTrue), s)
			reach(i+1+int(in.SkipFalse), s)
			continue
		}
		reach(i+1, s)
	}
	if unset == 0 {
		return ins
	}
	head := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegA}}
	for slot := range scratchSlots {
		if unset>>slot&1 != 0 {
			head = append(head, bpf.StoreScratch{Src: bpf.RegA, N: slot})
		}
	}
	return append(head, ins...)
}
