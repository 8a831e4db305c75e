package host

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/casefile-io/casefile/sdk/abi"
)

// A tiny assembler for modules that no compiler would make.

func uleb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func sleb(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func vec(items ...[]byte) []byte { return append(uleb(uint64(len(items))), cat(items...)...) }

func text(s string) []byte { return append(uleb(uint64(len(s))), s...) }

func section(id byte, body []byte) []byte {
	return cat([]byte{id}, uleb(uint64(len(body))), body)
}

func i32(n int64) []byte { return append([]byte{0x41}, sleb(n)...) }

func call(f int) []byte { return append([]byte{0x10}, uleb(uint64(f))...) }

func repeat(code []byte, n int) []byte { return slices.Repeat(code, n) }

var (
	opUnreachable = []byte{0x00}
	opLoop        = []byte{0x03, 0x40}
	opIf          = []byte{0x04, 0x40}
	opElse        = []byte{0x05}
	opEnd         = []byte{0x0b}
	opAgain       = []byte{0x0c, 0x00} // br 0
	opDrop        = []byte{0x1a}
	opLoad        = []byte{0x28, 2, 0}
	opLoadByte    = []byte{0x2d, 0, 0}
	opEq          = []byte{0x46}
	opEqz         = []byte{0x45}
	opAdd         = []byte{0x6a}
	opTimes       = []byte{0x6c}
	opGrow        = []byte{0x40, 0x00}
	opFill        = []byte{0xfc, 11, 0}
)

func loop(body ...[]byte) []byte { return cat(opLoop, cat(body...), opAgain, opEnd) }

// Functions that every assembled module imports, by index.
const (
	fdWrite = iota
	argsSizesGet
	argsGet
	procExit
	pollOneoff
	ownFunctions // the first function of the module's own is _start
)

const wasi = "wasi_snapshot_preview1"

// Types of functions.
const (
	typeNone = iota
	typeOne  // (i32)
	typeTwo  // (i32 i32) i32
	typeFour // (i32 i32 i32 i32) i32
)

// spec is a module to be assembled. It answers describe with declare and runs
// analyze otherwise.
type spec struct {
	declare string
	analyze []byte      // instructions
	print   string      // printed by analyze before its instructions
	more    [][]byte    // further functions () -> (), with their locals in front
	imports [][2]string // further imports, of type ()
	wasi    []string    // further functions of WASI, see wasiTypes
	globals int         // so many globals
	data2   int         // so many more segments of data
	exports int         // _start under so many more names
	extra   []byte      // of the table section, instead of table
	places  []string    // further texts, from placeAt on
	last    string      // printed by printLater
	pages   uint64      // memory at the start; 4
	start   bool        // a start function, which is the first of more
	name    string      // of the export of _start
	table   bool        // one table of functions, for table.grow
	entry   bool        // _start is in the table
}

const (
	iovDeclare = 1024
	iovPrint   = 1032
	iovFlood   = 1040
	written    = 1048
	iovLater   = 1056
	dataAt     = 2048
	placeAt    = 128 << 10
	laterAt    = 192 << 10
)

func fdWriteCode(fd, iov int64) []byte {
	return cat(i32(fd), i32(iov), i32(1), i32(written), call(fdWrite), opDrop)
}

func (s spec) bytes() []byte {
	if s.pages == 0 {
		s.pages = 4
	}
	if s.name == "" {
		s.name = "_start"
	}
	shift := len(s.imports) + len(s.wasi)
	functions := [][]byte{{0x60, 0, 0}, {0x60, 1, 0x7f, 0}, {0x60, 2, 0x7f, 0x7f, 1, 0x7f}, {0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f}}
	imports := [][]byte{}
	for _, f := range []struct {
		name string
		typ  byte
	}{{"fd_write", typeFour}, {"args_sizes_get", typeTwo}, {"args_get", typeTwo}, {"proc_exit", typeOne}, {"poll_oneoff", typeFour}} {
		imports = append(imports, cat(text(wasi), text(f.name), []byte{0, f.typ}))
	}
	for _, name := range s.wasi {
		imports = append(imports, cat(text(wasi), text(name), []byte{0, byte(len(functions))}))
		functions = append(functions, wasiType(name))
	}
	for _, f := range s.imports {
		imports = append(imports, cat(text(f[0]), text(f[1]), []byte{0, typeNone}))
	}
	main := cat(
		i32(0), i32(4), call(argsSizesGet), opDrop,
		i32(16), i32(64), call(argsGet), opDrop,
		i32(20), opLoad, opLoadByte, i32('d'), opEq, opIf,
		fdWriteCode(1, iovDeclare),
		opElse, s.printCode(), s.analyze, opEnd,
	)
	bodies := [][]byte{function(nil, main)}
	types := [][]byte{{typeNone}}
	for _, f := range s.more {
		bodies, types = append(bodies, cat(uleb(uint64(len(f))), f)), append(types, []byte{typeNone})
	}
	out := cat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vec(functions...)),
		section(2, vec(imports...)), section(3, vec(types...)))
	if s.table {
		s.extra = vec([]byte{0x70, 0, 1})
	}
	if s.extra != nil {
		out = append(out, section(4, s.extra)...)
	}
	out = append(out, section(5, vec(cat([]byte{0}, uleb(s.pages))))...)
	if s.globals > 0 {
		out = append(out, section(6, append(uleb(uint64(s.globals)), repeat(cat([]byte{0x7f, 1}, i32(0), opEnd), s.globals)...))...)
	}
	names := [][]byte{cat(text(s.name), []byte{0}, uleb(uint64(ownFunctions+shift))), cat(text("memory"), []byte{2, 0})}
	for i := range s.exports {
		names = append(names, cat(text(fmt.Sprint("e", i)), []byte{0}, uleb(uint64(ownFunctions+shift))))
	}
	out = append(out, section(7, vec(names...))...)
	if s.start {
		out = append(out, section(8, uleb(uint64(ownFunctions+shift+1)))...)
	}
	if s.entry {
		out = append(out, section(9, vec(cat([]byte{0}, i32(0), opEnd, vec(uleb(uint64(ownFunctions+shift))))))...)
	}
	data := s.data()
	for range s.data2 {
		data = append(data, cat([]byte{0}, i32(0), opEnd, text("")))
	}
	return cat(out, section(10, vec(bodies...)), section(11, vec(data...)))
}

// wasiFunctions are the functions that the engine offers, and their parameters:
// i and I stand for 32 and 64 bits.
var wasiFunctions = sync.OnceValue(func() map[string]string {
	ctx := context.Background()
	compiled, err := wasi_snapshot_preview1.NewBuilder(wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())).Compile(ctx)
	if err != nil {
		panic(err)
	}
	functions := map[string]string{}
	for name, f := range compiled.ExportedFunctions() {
		functions[name] = ""
		for _, p := range f.ParamTypes() {
			functions[name] += map[api.ValueType]string{api.ValueTypeI32: "i", api.ValueTypeI64: "I"}[p]
		}
	}
	return functions
})

// wasiType is the type of a function of WASI; all but proc_exit return 32 bits.
func wasiType(name string) []byte {
	params := wasiFunctions()[name]
	t := append([]byte{0x60}, uleb(uint64(len(params)))...)
	for _, p := range params {
		if p == 'i' {
			t = append(t, 0x7f)
		} else {
			t = append(t, 0x7e)
		}
	}
	return append(t, 1, 0x7f)
}

// invoke calls a function of s.wasi with constants, and drops the result.
func (s spec) invoke(name string, args ...int64) []byte {
	return append(s.ask(name, args...), opDrop...)
}

func (s spec) ask(name string, args ...int64) []byte {
	var code []byte
	t := wasiType(name)
	for i, a := range args {
		op := byte(0x41)
		if t[2+i] == 0x7e {
			op = 0x42
		}
		code = append(append(code, op), sleb(a)...)
	}
	return append(code, call(ownFunctions+slices.Index(s.wasi, name))...)
}

func (s spec) printCode() []byte {
	if s.print == "" {
		return nil
	}
	return fdWriteCode(1, iovPrint)
}

// data lays out the two texts and the vectors that point to them.
func (s spec) data() [][]byte {
	iov := func(at, n int) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(at)), uint32(n))
	}
	at := func(offset int, b []byte) []byte { return cat([]byte{0}, i32(int64(offset)), opEnd, text(string(b))) }
	printAt := dataAt + len(s.declare)
	return [][]byte{
		at(iovDeclare, iov(dataAt, len(s.declare))), at(iovPrint, iov(printAt, len(s.print))),
		at(iovFlood, iov(dataAt, 64<<10)), at(dataAt, []byte(s.declare+s.print)),
		at(iovLater, iov(laterAt, len(s.last))), at(laterAt, []byte(s.last)), at(placeAt, []byte(strings.Join(s.places, ""))),
	}
}

// printLater prints a text that comes after the other instructions.
func printLater() []byte { return fdWriteCode(1, iovLater) }

func (s spec) later(text string) spec {
	s.last = text
	return s
}

// function is a body with its size in front; locals are pairs of count and type.
func function(locals, code []byte) []byte {
	if locals == nil {
		locals = vec()
	}
	body := cat(locals, code, opEnd)
	return cat(uleb(uint64(len(body))), body)
}

// plain is a function of no locals, for spec.more.
func plain(code ...[]byte) []byte { return cat(vec(), cat(code...), opEnd) }

// declares is the declaration of a module of one rule.
func declares(name string, change ...func(*abi.Declaration)) string {
	d := abi.Declaration{ABI: [2]int{1, 1}, Name: name, Version: "1", Rules: []abi.Rule{{
		ID: name + "/rule", Severity: abi.SeverityLow, Layer: abi.LayerNode,
		Text: map[string]abi.Text{"en": {Title: "t", Message: "m"}}}}}
	for _, f := range change {
		f(&d)
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return string(text)
}
