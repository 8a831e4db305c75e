package meter_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

// assemble turns text into a module with wabt's assembler, valid or not.
func assemble(t testing.TB, text string, flags ...string) []byte {
	t.Helper()
	in := filepath.Join(t.TempDir(), "m.wat")
	out := strings.TrimSuffix(in, "wat") + "wasm"
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, nil, tool(t, "wat2wasm"), append([]string{"--no-check", "--debug-names", in, "-o", out}, flags...)...)
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestCounterOutOfReach: no module has a name for the counter. Each of these is
// invalid as it comes, and would be valid behind a rewriting that did not look.
func TestCounterOutOfReach(t *testing.T) {
	e := interpreter(t)
	for name, text := range map[string]string{
		"get":            `(module (func (drop (global.get 0))))`,
		"set":            `(module (func (global.set 0 (i64.const 99))))`,
		"set own":        `(module (global i32 (i32.const 0)) (func (global.set 1 (i64.const 99))))`,
		"set imported":   `(module (import "a" "b" (global i32)) (func (global.set 1 (i64.const 99))))`,
		"set unreached":  `(module (func unreachable (global.set 0 (i64.const 99))))`,
		"export":         `(module (global i32 (i32.const 0)) (export "x" (global 1)))`,
		"export no own":  `(module (export "x" (global 0)))`,
		"initial value":  `(module (global i64 (global.get 1)))`,
		"its own":        `(module (global i64 (global.get 0)))`,
		"table offset":   `(module (table 1 funcref) (elem (global.get 0)))`,
		"table entry":    `(module (table 1 funcref) (elem (table 0) (i32.const 0) funcref (global.get 0)))`,
		"memory offset":  `(module (memory 1) (data (global.get 0) "x"))`,
		"scratch":        `(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (drop (local.get 0))))`,
		"scratch tee":    `(module (memory 1) (func (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.tee 1 (i32.const 0)))))`,
		"scratch set":    `(module (memory 1) (func (local i64) (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (local.set 1 (i32.const 1))))`,
		"name":           fmt.Sprintf(`(module (global (mut i64) (i64.const 0)) (export %q (global 0)))`, meter.Global),
		"name of a func": fmt.Sprintf(`(module (func) (export %q (func 0)))`, meter.Global),
	} {
		wasm := assemble(t, text)
		if _, err := e.rt.CompileModule(t.Context(), wasm); err == nil && !strings.HasPrefix(name, "name") {
			t.Errorf("%s: valid as it comes; the test is wrong", name)
		}
		if _, err := meter.Rewrite(wasm); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestRefused: what the rewriter does not know it does not touch.
func TestRefused(t *testing.T) {
	head := []byte("\x00asm\x01\x00\x00\x00")
	for name, wasm := range map[string][]byte{
		"empty":             nil,
		"component":         []byte("\x00asm\x0d\x00\x01\x00"),
		"section order":     append(slices.Clone(head), "\x03\x01\x00\x01\x01\x00"...),
		"unknown section":   append(slices.Clone(head), "\x0e\x01\x00"...),
		"twice":             append(slices.Clone(head), "\x01\x01\x00\x01\x01\x00"...),
		"cut off":           append(slices.Clone(head), "\x01\x05\x00"...),
		"bytes left":        append(slices.Clone(head), "\x01\x02\x00\x00"...),
		"no bodies":         append(slices.Clone(head), "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00"...),
		"huge count":        append(slices.Clone(head), "\x01\x05\xff\xff\xff\xff\x0f"...),
		"wide number":       append(slices.Clone(head), "\x01\x05\xff\xff\xff\xff\x1f"...),
		"vector, odd":       body(0xfd, 0x80, 0x02, 0x0b),
		"vector, padded":    body(0xfd, 0x8c, 0x00, 0x0b),
		"misc, padded":      body(0xfc, 0x8b, 0x00, 0x00, 0x0b),
		"code behind end":   body(0x0b, 0x01, 0x0b),
		"no end":            body(0x01),
		"else alone":        body(0x05, 0x0b),
		"else twice":        body(0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0b, 0x0b),
		"label":             body(0x41, 0, 0x0e, 0, 1, 0x0b),
		"tail calls":        assemble(t, `(module (func (return_call 0)))`, "--enable-tail-call"),
		"exceptions":        assemble(t, `(module (tag) (func (throw 0)))`, "--enable-exceptions"),
		"threads":           assemble(t, `(module (memory 1 1 shared) (func (atomic.fence)))`, "--enable-threads"),
		"atomics":           assemble(t, `(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))`, "--enable-threads"),
		"64-bit memory":     assemble(t, `(module (memory i64 1))`, "--enable-memory64"),
		"second memory":     assemble(t, `(module (memory 1) (memory 1) (func (drop (memory.size 1))))`, "--enable-multi-memory"),
		"function types":    slices.Concat(head, section(1, []byte{0x60, 1, 0x64, 0, 0})),
		"groups of types":   slices.Concat(head, section(1, []byte{0x4e, 1, 0x60, 0, 0})),
		"relaxed SIMD":      assemble(t, `(module (func (drop (f32x4.relaxed_min (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))))`, "--enable-relaxed-simd"),
		"extended constant": assemble(t, `(module (global i32 (i32.add (i32.const 1) (i32.const 1))))`, "--enable-extended-const"),
	} {
		if _, err := meter.Rewrite(wasm); err == nil {
			t.Errorf("%s: taken", name)
		} else if testing.Verbose() {
			t.Log(name, "-", err)
		}
	}
}

// body is a module of one function () -> ().
func body(code ...byte) []byte {
	return bytes.Join([][]byte{[]byte("\x00asm\x01\x00\x00\x00"), section(1, []byte{0x60, 0, 0}), section(3, []byte{0}),
		section(10, append(uleb(len(code)+1), append([]byte{0}, code...)...))}, nil)
}

// TestCharges holds the numbers of sdk/ABI.md: what a call of f costs.
func TestCharges(t *testing.T) {
	long := strings.Repeat("(drop (i32.const 1))", 20)
	for name, c := range map[string]struct {
		text string
		want int64
	}{
		"nothing":           {``, 0},
		"structure is free": {`nop (block (block (nop)))`, 0},
		"instructions":      {`(drop (i32.add (i32.const 1) (i32.const 2)))`, 4},
		"no arm, small":     {`(if (i32.const 0) (then (drop (i32.const 1))))`, 4},
		"no arm, large":     {`(if (i32.const 0) (then ` + long + `))`, 2},
		"an arm, large":     {`(if (i32.const 1) (then ` + long + `))`, 42},
		"else, small":       {`(if (i32.const 1) (then) (else (drop (i32.const 1))))`, 4},
		"else, large":       {`(if (i32.const 0) (then ` + long + long + `) (else ` + long + `))`, 42},
		"jumped over":       {`(block (br_if 0 (i32.const 1)) ` + long + `) nop`, 2},
		"jumped over small": {`(block (br_if 0 (i32.const 1)) (drop (i32.const 1)))`, 4},
		"behind the block":  {`(block (br_if 0 (i32.const 1)) ` + long + `) (drop (i32.const 1))`, 4},
		"loop of five":      {`(local $i i32) (loop (br_if 0 (i32.ne (i32.const 5) (local.tee $i (i32.add (local.get $i) (i32.const 1))))))`, 5 * 7},
		"behind a loop":     {`(local $i i32) (loop (br_if 0 (i32.ne (i32.const 5) (local.tee $i (i32.add (local.get $i) (i32.const 1)))))) (drop (i32.const 1))`, 5*7 + 2},
		"table, first":      {`(block $b (block $a (br_table $a $b (i32.const 0))) ` + long + `) (drop (i32.const 0))`, 2 + 40 + 2},
		"table, second":     {`(block $b (block $a (br_table $a $b (i32.const 1))) ` + long + `) (drop (i32.const 0))`, 2 + 2},
		"dead code":         {`(return) (drop (i32.const 0))`, 3},
		"call":              {`(call $g) (call $g)`, 2 + 2*5},
		"fill":              {`(memory.fill (i32.const 0) (i32.const 0) (i32.const 807))`, 4 + 100},
		"copy":              {`(memory.copy (i32.const 0) (i32.const 0) (i32.const 16))`, 4 + 2},
		"init":              {`(memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))`, 4 + 1},
		"grow":              {`(drop (memory.grow (i32.const 2)))`, 3 + 2*8192},
		"grow too far":      {`(drop (memory.grow (i32.const -1)))`, 3 + 0xffffffff*8192},
		"table.grow":        {`(drop (table.grow 0 (ref.null func) (i32.const 3)))`, 4 + 3},
		"table.fill":        {`(table.fill 0 (i32.const 0) (ref.null func) (i32.const 3))`, 4 + 3},
		"table.copy":        {`(table.copy 0 0 (i32.const 0) (i32.const 0) (i32.const 2))`, 4 + 2},
		"table.init":        {`(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))`, 4 + 1},
		"v128":              {`(drop (i16x8.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))`, 4},
	} {
		metered := rewrite(t, assemble(t, `(module (memory 2) (table 4 funcref) (data $d "passive!") (elem $e func $g)
			(func $g (drop (i32.eqz (i32.const 0))) nop (drop (i32.const 0)))
			(func (export "f") `+c.text+`))`))
		validate(t, metered)
		if used, err := call(t, compiler(t), metered, 1<<60); err != nil || used != c.want {
			t.Errorf("%s: %d fuel, want %d; %v", name, used, c.want, err)
		}
	}
}

// call calls f, and says what it used.
func call(t testing.TB, e engine, metered []byte, budget int64) (int64, error) {
	t.Helper()
	instance, err := e.rt.InstantiateWithConfig(t.Context(), metered, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return meter.Allowance, err
	}
	defer instance.Close(t.Context())
	counter := instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
	if left := int64(counter.Get()); left != meter.Allowance {
		t.Errorf("starts with %d", left)
	}
	counter.Set(uint64(budget))
	_, err = instance.ExportedFunction("f").Call(t.Context())
	return budget - int64(counter.Get()), err
}

// TestStops: programs that never end are stopped, and not long after their
// budget.
func TestStops(t *testing.T) {
	chain := ""
	for i := range 60 {
		chain += fmt.Sprintf(`(func $c%d (call $c%d) (call $c%d))`, i, i+1, i+1)
	}
	e := compiler(t)
	for name, text := range map[string]string{
		"empty loop":          `(func (export "f") (loop (br 0)))`,
		"loop by table":       `(func (export "f") (loop (br_table 0 0 (i32.const 3))))`,
		"outer by table":      `(func (export "f") (loop $o (block $b (loop (br_table 0 $b $o $o (i32.const 2))))))`,
		"loop by br_if":       `(func (export "f") (loop (br_if 0 (i32.const 1))))`,
		"loop in an arm":      `(func (export "f") (loop (if (i32.const 1) (then (br 1)))))`,
		"calls":               chain + `(func $c60) (func (export "f") (call $c0))`,
		"calls by table":      `(table funcref (elem $g)) (func $g (call_indirect (i32.const 0)) (call_indirect (i32.const 0))) (func (export "f") (call $g))`,
		"long fills":          `(memory 1000) (func (export "f") ` + strings.Repeat(`(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536000))`, 1000) + `)`,
		"long code in a loop": `(func (export "f") (loop ` + strings.Repeat(`(drop (i32.const 1))`, 3000) + ` (br 0)))`,
		"growth":              `(memory 1) (func (export "f") (loop (drop (memory.grow (i32.const 0))) (br 0)))`,
	} {
		const budget = 1_000_000
		metered := rewrite(t, assemble(t, "(module "+text+")"))
		used, err := call(t, e, metered, budget)
		if err == nil || used <= budget || used > budget+1<<24 {
			t.Errorf("%s: used %d, %v", name, used, err)
		}
	}
}

// TestStart: a start function runs before there is a budget, and stops too.
func TestStart(t *testing.T) {
	metered := rewrite(t, assemble(t, `(module (func $s (loop `+strings.Repeat("(drop (i32.const 1))", 1000)+` (br 0))) (start $s))`))
	if _, err := call(t, compiler(t), metered, 0); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Error(err)
	}
}

// TestNames: traces keep the names of functions, and other custom sections go.
func TestNames(t *testing.T) {
	wasm := assemble(t, `(module (func $inner unreachable) (func (export "f") (call $inner)))`)
	wasm = append(wasm, 0, 6, 4)
	wasm = append(wasm, "debugx"[:4]...)
	wasm = append(wasm, 'x')
	metered := rewrite(t, wasm)
	if bytes.Contains(metered, []byte("debu")) {
		t.Error("a section of debug data is kept")
	}
	if _, err := call(t, compiler(t), metered, 100); err == nil || !strings.Contains(err.Error(), "inner") {
		t.Error(err)
	}
}

// TestDeterministic: a hundred runs use the same fuel.
func TestDeterministic(t *testing.T) {
	metered := rewrite(t, built(t, workloads()["C"]))
	e := compiler(t)
	m := e.compile(t, metered)
	input := podLines(20)
	first := e.start(t, m, 1<<60, "pods", bytes.NewReader(input))
	for range 99 {
		if o := e.start(t, m, 1<<60, "pods", bytes.NewReader(input)); o != first || o.err != nil {
			t.Fatalf("%+v, at first %+v", o, first)
		}
	}
}
