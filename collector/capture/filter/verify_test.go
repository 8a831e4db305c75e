package filter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
)

// verify is what the kernel asks of a program (bpf_check_classic in
// net/core/filter.c): known instructions, jumps forward and inside, no
// constant division by zero or too long a shift, a return at the end, and no
// scratch slot read before it is stored, on any path.
func verify(raw []bpf.RawInstruction) error {
	if len(raw) == 0 || len(raw) > MaxInstructions {
		return fmt.Errorf("%d instructions", len(raw))
	}
	ins, ok := bpf.Disassemble(raw)
	if !ok {
		return errors.New("unknown instruction")
	}
	if _, ok := ins[len(ins)-1].(bpf.RetConstant); !ok {
		return errors.New("no return at the end")
	}
	stored := make([]uint32, len(ins))
	for i := range stored {
		stored[i] = ^uint32(0)
	}
	stored[0] = 0
	for i, in := range ins {
		next, err := step(in, &stored[i])
		if err != nil {
			return fmt.Errorf("instruction %d: %w", i, err)
		}
		for _, n := range next {
			if n += i + 1; n >= len(ins) {
				return fmt.Errorf("instruction %d: jump to %d", i, n)
			} else {
				stored[n] &= stored[i]
			}
		}
	}
	return nil
}

// step says by how much the instructions that may come next are ahead.
func step(in bpf.Instruction, stored *uint32) ([]int, error) {
	switch in := in.(type) {
	case bpf.Jump:
		return []int{int(in.Skip)}, nil
	case bpf.JumpIf:
		return []int{int(in.SkipTrue), int(in.SkipFalse)}, nil
	case bpf.JumpIfX:
		return []int{int(in.SkipTrue), int(in.SkipFalse)}, nil
	case bpf.RetConstant:
		return nil, nil
	case bpf.StoreScratch:
		if in.N < 0 || in.N >= scratchSlots {
			return nil, errors.New("no such slot")
		}
		*stored |= 1 << in.N
	case bpf.LoadScratch:
		if in.N < 0 || in.N >= scratchSlots || *stored>>in.N&1 == 0 {
			return nil, errors.New("a slot is read that was not stored")
		}
	case bpf.ALUOpConstant:
		if in.Val == 0 && (in.Op == bpf.ALUOpDiv || in.Op == bpf.ALUOpMod) || in.Val > 31 && (in.Op == bpf.ALUOpShiftLeft || in.Op == bpf.ALUOpShiftRight) {
			return nil, errors.New("bad constant")
		}
	case bpf.LoadAbsolute:
		if in.Off >= 1<<31 {
			return nil, errors.New("negative offset")
		}
	}
	return []int{0}, nil
}
