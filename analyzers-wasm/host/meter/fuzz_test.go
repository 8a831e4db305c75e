package meter_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

// environment is what generated modules import: a function that adds to a
// global, and a constant.
func environment() []byte {
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, []byte{0x60, 1, i32, 1, i32}), section(3, []byte{0}),
		section(6, []byte{i64, 1, 0x42, 0, 0x0b}, []byte{i32, 0, 0x41, 5, 0x0b}),
		section(7, append(text("f"), 0, 0), append(text("g"), 3, 0), append(text("c"), 3, 1)),
		section(10, []byte{12, 0, 0x20, 0, 0xad, 0x23, 0, 0x7c, 0x24, 0, 0x20, 0, 0x0b}))
}

// arena runs generated modules.
type arena struct {
	engine
	env api.Module
}

func newArena(t testing.TB, e engine) arena {
	env, err := e.rt.InstantiateWithConfig(t.Context(), environment(), wazero.NewModuleConfig().WithName("env"))
	if err != nil {
		t.Fatal(err)
	}
	return arena{e, env}
}

// trace is all that can be seen of a run from outside.
type trace struct {
	err     string
	results string
	state   string // of memory, globals and tables
	spent   [2]int64
	count   [2]int64
	left    int64
}

// same leaves out what metering adds.
func (a trace) same(b trace) bool {
	return a.err == b.err && a.results == b.results && a.state == b.state
}

// sameBut compares runs of a metered module on two engines, which word their
// traces in two ways.
func (a trace) sameBut(b trace) bool {
	return a.results == b.results && a.state == b.state && a.spent == b.spent && (a.err == "") == (b.err == "")
}

// rich is the allowance of start functions here: more than they can use before
// they trap by themselves.
const rich = 1 << 33

func counter(n int64) []byte { return slices.Concat([]byte{i64, 1, 0x42}, sleb(n), []byte{0x0b}) }

const plenty = math.MaxInt64

func (a arena) run(t testing.TB, m wazero.CompiledModule, budget int64) trace {
	var r trace
	a.env.ExportedGlobal("g").(api.MutableGlobal).Set(0)
	instance, err := a.rt.InstantiateModule(t.Context(), m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		r.err = err.Error()
		return r
	}
	defer instance.Close(t.Context())
	counter, metered := instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
	if metered {
		r.spent[0] = rich - int64(counter.Get())
		counter.Set(uint64(budget))
	}
	r.count[0] = int64(instance.ExportedGlobal("count").Get())
	results, err := instance.ExportedFunction("run").Call(t.Context())
	if err != nil {
		r.err = err.Error()
	} else {
		if math.IsNaN(math.Float64frombits(results[2])) {
			results[2] = math.Float64bits(math.NaN())
		}
		r.results = fmt.Sprint(results)
	}
	r.count[1] = int64(instance.ExportedGlobal("count").Get()) - r.count[0]
	if metered {
		r.left = int64(counter.Get())
		r.spent[1] = budget - r.left
		counter.Set(plenty)
	}
	r.state = a.state(t, instance)
	return r
}

func (a arena) state(t testing.TB, instance api.Module) string {
	h := fnv.New64a()
	memory := instance.Memory()
	text, _ := memory.Read(0, memory.Size())
	h.Write(text)
	s := fmt.Sprintf("memory %d %x env %d", memory.Size(), h.Sum64(), a.env.ExportedGlobal("g").Get())
	for i := 0; ; i++ {
		g := instance.ExportedGlobal("g" + string(rune('0'+i)))
		if g == nil {
			break
		}
		v := g.Get()
		switch g.Type() {
		case api.ValueTypeF64:
			if math.IsNaN(math.Float64frombits(v)) {
				v = 0
			}
		case api.ValueTypeI32:
			v = uint64(uint32(v))
		case funcref:
			v = min(v, 1)
		}
		s += fmt.Sprintf(" %x", v)
	}
	for i := range uint64(12) {
		present, err := instance.ExportedFunction("probe").Call(t.Context(), i)
		s += fmt.Sprint(present, err)
	}
	return s
}

type arenas struct{ compiled, interpreted arena }

func newArenas(t testing.TB) arenas {
	return arenas{newArena(t, compiler(t)), newArena(t, interpreter(t))}
}

// check holds a module's metered form against the module, interpreted, since
// that takes the least time, and the metered form compiled against itself
// interpreted.
func (a arenas) check(t *testing.T, wasm, twin []byte, scarce uint64) (ran, whole bool) {
	t.Helper()
	metered := bytes.Replace(rewrite(t, wasm), counter(meter.Allowance), counter(rich), 1)
	plain, counted := a.interpreted.compile(t, wasm), a.interpreted.compile(t, twin)
	slow, fast := a.interpreted.compile(t, metered), a.compiled.compile(t, metered)
	defer func() {
		for _, m := range []wazero.CompiledModule{plain, counted, slow, fast} {
			m.Close(t.Context())
		}
	}()
	want, got, exact := a.interpreted.run(t, plain, plenty), a.interpreted.run(t, slow, plenty), a.interpreted.run(t, counted, plenty)
	if !want.same(got) {
		t.Fatalf("metered\n%+v\nplain\n%+v", got, want)
	}
	if !want.same(exact) {
		t.Fatalf("the twin\n%+v\nplain\n%+v", exact, want)
	}
	for i := range got.spent {
		if got.spent[i] < exact.count[i] {
			t.Fatalf("%d fuel for %d instructions", got.spent[i], exact.count[i])
		}
	}
	if compiled := a.compiled.run(t, fast, plenty); !compiled.sameBut(got) {
		t.Fatalf("compiled\n%+v\ninterpreted\n%+v", compiled, got)
	}
	used := got.spent[1]
	if used == 0 {
		return false, false // the start function trapped
	}
	if enough := a.compiled.run(t, fast, used); enough.left != 0 || !enough.sameBut(got) {
		t.Fatalf("with %d fuel\n%+v\nwith plenty\n%+v", used, enough, got)
	}
	budget := int64(scarce % uint64(used))
	short, other := a.compiled.run(t, fast, budget), a.interpreted.run(t, slow, budget)
	if short.left >= 0 || !strings.Contains(short.err, "unreachable") || !short.sameBut(other) {
		t.Fatalf("with %d fuel of %d: compiled\n%+v\ninterpreted\n%+v", budget, used, short, other)
	}
	return true, want.err == ""
}

// FuzzSame: whatever a valid module does, it does when metered, with both of
// wazero's engines; it pays for every instruction that it runs at the least, as
// much on either engine, and stops when it cannot pay.
func FuzzSame(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		seed := make([]byte, 200+r.IntN(1500))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	a := newArenas(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		h := fnv.New64a()
		h.Write(in)
		a.check(t, generate(in, false), generate(in, true), h.Sum64())
	})
}

// TestRandom is FuzzSame over arbitrary modules: the generator makes ones that
// run for a while, and not only traps.
func TestRandom(t *testing.T) {
	a := newArenas(t)
	r := rand.New(rand.NewPCG(5, 6))
	n := 300
	ran, whole := 0, 0
	for range n {
		in := make([]byte, 3000)
		for i := 0; i < len(in); i += 4 {
			binary.LittleEndian.PutUint32(in[i:], r.Uint32())
		}
		started, ended := a.check(t, generate(in, false), generate(in, true), r.Uint64())
		if started {
			ran++
		}
		if ended {
			whole++
		}
	}
	if ran < n/3 || whole < n/10 {
		t.Errorf("of %d modules %d ran, %d to the end", n, ran, whole)
	}
}
