package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// simplify takes out what is constant. What comes before the deciding member
// of a list stays: it may reject a packet that is too short, or divide by zero.
func simplify(n node) node {
	switch n := n.(type) {
	case not:
		of := simplify(n.of)
		if c, ok := of.(constant); ok {
			return !c
		}
		return not{of}
	case all:
		if ns := simplifyList(n, false); len(ns) > 1 {
			return all(ns)
		} else if len(ns) == 1 {
			return ns[0]
		}
		return constant(true)
	case either:
		if ns := simplifyList(n, true); len(ns) > 1 {
			return either(ns)
		} else if len(ns) == 1 {
			return ns[0]
		}
		return constant(false)
	}
	return n
}

// simplifyList drops the members that do not matter, and all behind one that
// equals absorbing, which decides.
func simplifyList(list []node, absorbing constant) (out []node) {
	for _, m := range list {
		m := simplify(m)
		c, fixed := m.(constant)
		if !fixed || c == absorbing {
			out = append(out, m)
		}
		if fixed && c == absorbing {
			break
		}
	}
	return out
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
