package filter

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// fact is the outcome of a test that was made on the way to a block.
type fact struct {
	code    int // a number for the code before the test
	cond    bpf.JumpTest
	val     uint32
	x       bool
	outcome bool
}

// maxFacts bounds the work; the oldest are forgotten first, and before them what
// the same code was found not to be: ports have long lists.
const maxFacts = 32

// thread sends jumps past tests whose outcome is known on that way. A test is
// known if the same code ran before, so what it loads is there.
func (p *program) thread(entry int) {
	codes := map[string]int{}
	number := func(b *block) int {
		if b.test == nil || !pure(b.code) {
			return 0
		}
		key := fmt.Sprintf("%#v", b.code)
		if codes[key] == 0 {
			codes[key] = len(codes) + 1
		}
		return codes[key]
	}
	code := make([]int, len(p.blocks))
	for i := range p.blocks {
		code[i] = number(&p.blocks[i])
	}
	known := make([][]fact, len(p.blocks))
	reached := make([]bool, len(p.blocks))
	follow := func(to int, facts []fact) int {
		for code[to] != 0 {
			outcome, sure := decide(facts, code[to], p.blocks[to].test)
			if !sure {
				break
			}
			if outcome {
				to = p.blocks[to].yes
			} else {
				to = p.blocks[to].no
			}
		}
		if reached[to] {
			facts = slices.DeleteFunc(slices.Clone(known[to]), func(f fact) bool { return !slices.Contains(facts, f) })
		}
		reached[to], known[to] = true, facts
		return to
	}
	follow(entry, nil)
	for i := entry; i > accept; i-- {
		b := &p.blocks[i]
		switch {
		case !reached[i]:
		case b.test == nil:
			b.yes = follow(b.yes, known[i])
		default:
			b.yes = follow(b.yes, learn(known[i], fact{code[i], b.test.cond, b.test.val, b.test.x, true}))
			b.no = follow(b.no, learn(known[i], fact{code[i], b.test.cond, b.test.val, b.test.x, false}))
		}
	}
}

func learn(facts []fact, f fact) []fact {
	if f.code == 0 {
		return facts
	}
	facts = slices.Clone(facts)
	if len(facts) >= maxFacts {
		i := slices.IndexFunc(facts, func(old fact) bool { return old.code == f.code && !old.outcome })
		facts = slices.Delete(facts, max(i, 0), max(i, 0)+1)
	}
	return append(facts, f)
}

// decide draws on a test with the same outcome, or on a known value.
func decide(facts []fact, code int, t *test) (outcome, sure bool) {
	for _, f := range slices.Backward(facts) {
		switch {
		case f.code != code:
		case f.cond == t.cond && f.val == t.val && f.x == t.x:
			return f.outcome, true
		case f.cond == bpf.JumpEqual && f.outcome && !f.x && !t.x:
			switch t.cond {
			case bpf.JumpEqual:
				return f.val == t.val, true
			case bpf.JumpGreaterThan:
				return f.val > t.val, true
			case bpf.JumpGreaterOrEqual:
				return f.val >= t.val, true
			case bpf.JumpBitsSet:
				return f.val&t.val != 0, true
			}
		}
	}
	return false, false
}

// held is what the registers are known to hold: the result of this code.
type held struct {
	a []bpf.Instruction
	x bpf.Instruction
}

// shareLoads leaves out loads of what a register holds already, on every way,
// and says which blocks a way leads to. All ways to a block begin at higher
// numbers, so one pass sees them before the block.
func (p *program) shareLoads(entry int) (reached []bool) {
	at := make([]held, len(p.blocks))
	reached = make([]bool, len(p.blocks))
	join := func(to int, h held) {
		old := at[to]
		switch {
		case !reached[to]:
			old = h
		case !slices.Equal(old.a, h.a):
			old.a = nil
		}
		if old.x != h.x {
			old.x = nil
		}
		at[to], reached[to] = old, true
	}
	join(entry, held{})
	for i := entry; i >= 0; i-- {
		if !reached[i] {
			continue
		}
		b := &p.blocks[i]
		var after held
		b.code, after = at[i].without(b.code)
		if i > accept {
			join(b.yes, after)
		}
		if b.test != nil {
			join(b.no, after)
		}
	}
	return reached
}

// mergeEqual makes one of blocks that do the same and go on to the same.
func (p *program) mergeEqual(reached []bool) {
	first := map[string]int{}
	same := make([]int, len(p.blocks))
	for i := range p.blocks {
		b := &p.blocks[i]
		if same[i] = i; !reached[i] || i <= accept {
			continue
		}
		b.yes, b.no = same[b.yes], same[b.no]
		key := fmt.Sprintf("%#v %d %d", b.code, b.yes, b.no)
		if b.test != nil {
			key += fmt.Sprint(b.test.cond, b.test.val, b.test.x)
		}
		if earlier, ok := first[key]; ok {
			same[i], reached[i] = earlier, false
		} else {
			first[key] = i
		}
	}
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
