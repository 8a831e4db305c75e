package host

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
	"github.com/casefile-io/casefile/sdk/abi"
)

// hostCalls are modules that try what WASI offers. A module that prints its
// outcome at the end has got nowhere.
func hostCalls() map[string]attack {
	made := map[string]attack{}
	add := func(name, status, reason string, s spec, code ...[]byte) {
		s.declare = declares(name)
		clear := fmt.Sprintf(`{"rule":"%s/rule","outcome":"clear"}`+"\n", name)
		s.print, s.analyze = "", cat(cat(code...), printLater())
		made[name] = attack{s.later(clear).bytes(), status, reason}
	}
	paths := []string{"..", "../etc/passwd", "/etc/passwd", "/proc/self/mem", "in/../../etc/passwd", "./../x", "\x00", "in\x00", "in/../..", "C:\\x", strings.Repeat("a/", 900)}
	s := spec{wasi: []string{"path_open", "path_symlink", "path_link", "path_readlink", "path_create_directory", "path_unlink_file", "path_rename", "path_filestat_get"}}
	var code [][]byte
	at := int64(placeAt)
	for _, p := range paths {
		n := int64(len(p))
		s.places = append(s.places, p)
		for _, oflags := range []int64{0, 1, 2, 9} { // nothing, create, directory, create and truncate
			code = append(code, s.ask("path_open", 3, 1, at, n, oflags, -1, -1, 0, written), opEqz, opIf, opUnreachable, opEnd)
		}
		code = append(code, s.invoke("path_symlink", at, n, 3, at, n), s.invoke("path_link", 3, 0, at, n, 3, at, n), s.invoke("path_readlink", 3, at, n, 0, 64, written),
			s.invoke("path_create_directory", 3, at, n), s.invoke("path_unlink_file", 3, at, n), s.invoke("path_rename", 3, at, n, 3, at, n), s.invoke("path_filestat_get", 3, 1, at, n, 0))
		at += n
	}
	add("paths", abi.ModuleOK, "", s, code...)

	s = spec{wasi: []string{"sock_accept", "sock_recv", "sock_send", "sock_shutdown", "fd_prestat_get", "fd_prestat_dir_name", "fd_allocate", "fd_filestat_set_size", "fd_fdstat_set_flags", "fd_pwrite", "fd_seek", "fd_readdir", "environ_sizes_get", "environ_get"}}
	code = nil
	for _, fd := range []int64{0, 3, 4, 5, 100, -1, 1 << 30} {
		code = append(code, s.invoke("sock_accept", fd, 0, written), s.invoke("sock_recv", fd, 0, 1, 0, written, written), s.invoke("sock_send", fd, 0, 1, 0, written), s.invoke("sock_shutdown", fd, 3),
			s.invoke("fd_prestat_get", fd, 0), s.invoke("fd_prestat_dir_name", fd, 0, 1<<30), s.invoke("fd_allocate", fd, 0, 1<<40), s.invoke("fd_filestat_set_size", fd, 1<<40),
			s.invoke("fd_fdstat_set_flags", fd, 1), s.invoke("fd_pwrite", fd, 0, 1, 0, written), s.invoke("fd_seek", fd, -1, 2, written), s.invoke("fd_readdir", fd, 0, 1<<30, -1, written))
	}
	code = append(code, s.invoke("environ_sizes_get", 0, 4), s.invoke("environ_get", -1, -1))
	add("descriptors", abi.ModuleOK, "", s, code...)

	s = spec{wasi: []string{"fd_renumber", "fd_close"}}
	add("renumber", abi.ModuleOK, "", s, s.invoke("fd_renumber", 3, 1), s.invoke("fd_renumber", 1, 2), s.invoke("fd_close", 2), s.invoke("fd_close", 0), s.invoke("fd_renumber", 0, 1<<30))
	s = spec{wasi: []string{"random_get"}, pages: 961}
	add("random-flood", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", s, loop(s.invoke("random_get", 0, 60<<20)))
	s = spec{wasi: []string{"clock_time_get", "clock_res_get", "sched_yield"}}
	add("clock", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", s, loop(s.invoke("clock_time_get", 0, 1, 0), s.invoke("clock_time_get", 1, 1, 0), s.invoke("clock_time_get", 99, 1, -1), s.invoke("clock_res_get", 3, 0), s.invoke("sched_yield")))
	s = spec{wasi: []string{"fd_read", "fd_readdir"}}
	add("read-flood", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", s, loop(s.invoke("fd_read", 0, 0, 1, written), s.invoke("fd_readdir", 3, 0, 4096, 0, written)))
	add("poll-many", abi.ModuleOK, "", spec{}, i32(0), i32(0), i32(-1), i32(written), call(pollOneoff), opDrop, i32(-48), i32(-8), i32(1<<20), i32(-1), call(pollOneoff), opDrop)
	add("vectors", abi.ModuleOK, "", spec{}, i32(1), i32(0), i32(-1), i32(written), call(fdWrite), opDrop, i32(1), i32(-8), i32(1), i32(-1), call(fdWrite), opDrop, i32(-1), i32(-1), call(argsGet), opDrop)
	return made
}

// engineAttacks go against the engine itself.
func engineAttacks() map[string]attack {
	const first = ownFunctions + 1
	made := map[string]attack{}
	add := func(name, status, reason string, s spec) {
		if s.declare == "" {
			s.declare = declares(name)
		}
		made[name] = attack{s.bytes(), status, reason}
	}
	f32 := []byte{0x43, 0xff, 0xff, 0xff, 0x7f}
	add("divide", abi.ModuleFailed, "integer divide by zero", spec{analyze: cat(i32(1), i32(0), []byte{0x6d}, opDrop)})
	add("overflow", abi.ModuleFailed, "integer overflow", spec{analyze: cat(i32(-1<<31), i32(-1), []byte{0x6d}, opDrop)})
	add("out-of-bounds", abi.ModuleFailed, "out of bounds memory access", spec{analyze: cat(i32(-4), opLoad, opDrop)})
	add("far-offset", abi.ModuleFailed, "out of bounds memory access", spec{analyze: cat(i32(-1), []byte{0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x0f}, opDrop)})
	add("conversion", abi.ModuleFailed, "invalid conversion", spec{analyze: cat(f32, []byte{0xa8}, opDrop)})
	add("null-call", abi.ModuleFailed, "", spec{table: true, analyze: cat(i32(0), []byte{0x11, 0, 0})})
	add("wild-call", abi.ModuleFailed, "", spec{table: true, analyze: cat(i32(-1), []byte{0x11, 0, 0})})
	add("mutual", abi.ModuleFailed+"|"+abi.ModuleFuel, "", spec{analyze: call(first), more: [][]byte{plain(call(first + 1)), plain(call(first))}})
	add("big-frames", abi.ModuleFailed+"|"+abi.ModuleMemory, "", spec{analyze: call(first), more: [][]byte{cat(vec(cat(uleb(900), []byte{0x7e})), call(first), opEnd)}})
	add("grow-nothing", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", spec{analyze: loop(i32(0), opGrow, opDrop)})
	add("grow-pages", abi.ModuleMemory, "it may have 64", spec{analyze: loop(i32(1), opGrow, opDrop)})
	add("table-steps", abi.ModuleMemory+"|"+abi.ModuleFuel+"|"+abi.ModuleTimeout, "", spec{table: true, analyze: loop([]byte{0xd0, 0x70}, i32(1), []byte{0xfc, 15, 0}, opDrop)})
	add("small-writes", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", spec{print: "x", analyze: loop(fdWriteCode(2, iovPrint))})
	add("no-instructions", abi.ModuleFuel, "used up the", spec{analyze: loop()})
	add("own-fuel", abi.ModuleFuel, "by its own declaration", spec{analyze: loop(), declare: declares("own-fuel", func(d *abi.Declaration) { d.Limits.Fuel = 12345 })})
	add("more-fuel", abi.ModuleFuel, "--fuel", spec{analyze: loop(), declare: declares("more-fuel", func(d *abi.Declaration) { d.Limits.Fuel = 1 << 62 })})
	add("leaves", abi.ModuleOK, "", spec{analyze: cat(i32(0), call(procExit), opUnreachable)})
	add("exit-code", abi.ModuleFailed, "exit code 4294967295", spec{analyze: cat(i32(-1), call(procExit))})
	deep := strings.Repeat("[", 100_000)
	line := func(name, rest string) string {
		return `{"rule":"` + name + `/rule","subject":{"kind":"Node","name":"n"}` + rest + "}\n"
	}
	add("deep-line", abi.ModuleFailed, "line 1 of its output", spec{print: line("deep-line", `,"params":{"x":`+deep)})
	add("nested-param", abi.ModuleFailed, "param x", spec{print: line("nested-param", `,"params":{"x":[[1]]}`)})
	add("long-line", abi.ModuleFailed, "more than 262144 bytes", spec{print: line("long-line", `,"owner":"`+strings.Repeat("x", 300<<10)+`"`), pages: 16})
	add("much-evidence", abi.ModuleFailed, "more than 64 pieces", spec{print: line("much-evidence", `,"evidence":[`+strings.Repeat(`{"at":1},`, 64)+`{"at":1}]`)})
	add("many-findings", abi.ModuleFailed, "more than 10000 findings", spec{print: strings.Repeat(line("many-findings", ""), 100), analyze: repeat(fdWriteCode(1, iovPrint), 100)})
	add("twice-a-key", abi.ModuleFailed, "is not declared", spec{print: `{"rule":"twice-a-key/rule","rule":"loop/rule","subject":{"kind":"Node","name":"n"}}` + "\n"})
	add("huge-number", abi.ModuleFailed, "out of range", spec{print: line("huge-number", `,"params":{"x":1e999}`)})
	add("proc-path", abi.ModuleFailed, "in no input", spec{print: line("proc-path", `,"evidence":[{"path":"/proc/self/environ"}]`)})
	add("up-path", abi.ModuleFailed, "in no input", spec{print: line("up-path", `,"evidence":[{"path":"nodes/../cluster/secret"}]`)})
	return made
}

// structures are modules of a shape that costs a compiler dear, or that is not
// to be run at all.
func structures() map[string]attack {
	const first = ownFunctions + 1
	nest := func(op []byte, n int) []byte { return plain(repeat(op, n), repeat(opEnd, n)) }
	ifs := func(n int) []byte { return cat(repeat(cat(i32(1), opIf, opEnd), n)) }
	locals := func(n uint64, code ...[]byte) []byte {
		return cat(vec(cat(uleb(n), []byte{0x7f})), cat(code...), opEnd)
	}
	targets := func(n int) []byte { return cat(i32(0), []byte{0x0e}, uleb(uint64(n)), repeat([]byte{0}, n), []byte{0}) }
	good := spec{declare: declares("good")}.bytes()
	some := spec{declare: declares("some")}
	more := func(f ...[]byte) []byte { s := some; s.more = f; return s.bytes() }
	with := func(change func(*spec)) []byte { s := some; change(&s); return s.bytes() }
	raw := func(parts ...[]byte) []byte { return cat([]byte("\x00asm\x01\x00\x00\x00"), cat(parts...)) }
	fuel := cat([]byte("\x00asm\x01\x00\x00\x00"), section(1, vec([]byte{0x60, 0, 0})), section(3, vec([]byte{0})), section(5, vec([]byte{0, 1})),
		section(6, vec(cat([]byte{0x7e, 1, 0x42, 0}, opEnd))), section(7, vec(cat(text("_start"), []byte{0, 0}), cat(text("memory"), []byte{2, 0}), cat(text(meter.Global), []byte{3, 0}))),
		section(10, vec(function(nil, nil))))
	return map[string]attack{
		"nesting":         {more(nest([]byte{0x02, 0x40}, maxNesting+1)), abi.ModuleRefused, "blocks in each other"},
		"loops":           {more(nest(opLoop, maxLoops+1)), abi.ModuleRefused, "loops in each other"},
		"thousand-loops":  {more(nest(opLoop, 5000)), abi.ModuleRefused, "loops in each other"},
		"blocks":          {more(plain(ifs(maxBlocks + 1))), abi.ModuleRefused, "blocks and branches"},
		"work":            {more(locals(900, ifs(3000))), abi.ModuleRefused, "blocks times variables"},
		"locals-1":        {more(locals(maxLocals + 1)), abi.ModuleRefused, "local variables"},
		"locals-50000":    {more(repeatBody(locals(50_000), 1000)...), abi.ModuleRefused, "local variables"},
		"locals-overflow": {more(cat(vec(cat(uleb(0xffffffff), []byte{0x7f}), cat(uleb(0xffffffff), []byte{0x7f})), opEnd)), abi.ModuleRefused, "local variables"},
		"br-table":        {more(plain(targets(100_000))), abi.ModuleRefused, "targets of br_table"},
		"br-tables":       {more(plain(repeat(cat([]byte{0x02, 0x40}, targets(2000), opEnd), 6))), abi.ModuleRefused, "targets of br_table"},
		"giant-body":      {more(plain(repeat([]byte{1}, maxBody))), abi.ModuleRefused, "bytes in function"},
		"giant-code":      {more(repeatBody(plain(repeat([]byte{1}, maxBody-100)), 200)...), abi.ModuleRefused, "bytes of code"},
		"globals":         {with(func(s *spec) { s.globals = maxGlobals + 1 }), abi.ModuleRefused, "globals"},
		"exports":         {with(func(s *spec) { s.exports = maxExports }), abi.ModuleRefused, "exports"},
		"segments":        {with(func(s *spec) { s.data2 = maxSegments }), abi.ModuleRefused, "data segments"},
		"tables":          {with(func(s *spec) { s.extra = vec(repeatBody([]byte{0x70, 0, 0}, 65)...) }), abi.ModuleRefused, "tables"},
		"table-entries":   {with(func(s *spec) { s.extra = vec(cat([]byte{0x70, 0}, uleb(maxTableSize+1))) }), abi.ModuleRefused, "table entries"},
		"imports":         {with(func(s *spec) { s.imports = slices.Repeat([][2]string{{wasi, "x"}}, maxImports) }), abi.ModuleRefused, "imports"},
		"huge-memory":     {with(func(s *spec) { s.pages = 65536 }), abi.ModuleRefused, "wants 4096 MiB"},
		"huger-memory":    {with(func(s *spec) { s.pages = 1 << 31 }), abi.ModuleRefused, ""},
		"import-memory":   {raw(section(2, vec(cat(text(wasi), text("memory"), []byte{2, 0, 1})))), abi.ModuleRefused, "which is no function"},
		"import-global":   {raw(section(2, vec(cat(text(wasi), text("g"), []byte{3, 0x7f, 1})))), abi.ModuleRefused, "which is no function"},
		"two-memories":    {raw(section(5, vec([]byte{0, 1}, []byte{0, 1}))), abi.ModuleRefused, "more than one memory"},
		"shared-memory":   {raw(section(5, vec([]byte{3, 1, 1}))), abi.ModuleRefused, "shared or 64-bit"},
		"fuel-gauge":      {fuel, abi.ModuleRefused, meter.Global},
		"no-memory":       {raw(), abi.ModuleRefused, "exports no function _start"},
		"cut-in-code":     {good[:len(good)-len(declares("good"))-60], abi.ModuleRefused, "cut off or damaged"},
		"cut-in-head":     {good[:9], abi.ModuleRefused, "cut off or damaged"},
		"length-lies":     {raw([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}), abi.ModuleRefused, "cut off or damaged"},
		"sections-twice":  {raw(section(1, vec()), section(1, vec())), abi.ModuleRefused, "out of order"},
		"start-trap":      {with(func(s *spec) { s.start, s.more = true, [][]byte{plain(opUnreachable)} }), abi.ModuleFailed, "its start section"},
		"start-chain": {with(func(s *spec) {
			s.start, s.more = true, append([][]byte{plain(call(first + 60))}, chain(first+1, 60)...)
		}), abi.ModuleFailed + "|" + abi.ModuleTimeout, ""},
		"start-type":       {with(func(s *spec) { s.name = "x"; s.exports = 0 }), abi.ModuleRefused, "exports no function _start"},
		"atomics":          {more(plain([]byte{0xfe, 3, 0})), abi.ModuleRefused, "not supported"},
		"exceptions":       {more(plain([]byte{0x06, 0x40}, opEnd)), abi.ModuleRefused, "not supported"},
		"tail-call":        {more(plain([]byte{0x12, 5})), abi.ModuleRefused, "not supported"},
		"describe-deep":    {spec{declare: strings.Repeat("[", 1_000_000), pages: 32}.bytes(), abi.ModuleRefused, "no declaration"},
		"describe-big":     {spec{declare: strings.Repeat(" ", maxDescribe+1), pages: 80}.bytes(), abi.ModuleOutput, "printed more than"},
		"describe-rules":   {spec{declare: declares("x", func(d *abi.Declaration) { d.Rules = slices.Repeat(d.Rules, 5000) }), pages: 40}.bytes(), abi.ModuleRefused, "describe:"},
		"describe-keys":    {spec{declare: `{"abi":[1,1],"abi":[9,9],"name":"x"}`}.bytes(), abi.ModuleRefused, "speaks ABI 9"},
		"describe-utf8":    {spec{declare: strings.Replace(declares("x"), `"name":"x"`, "\"name\":\"x\xff\"", 1)}.bytes(), abi.ModuleRefused, "describe:"},
		"describe-numbers": {spec{declare: strings.Replace(declares("x"), `[1,1]`, "[1e999,1]", 1)}.bytes(), abi.ModuleRefused, "no declaration"},
		"describe-name":    {spec{declare: declares(strings.Repeat("x", 1<<20)), pages: 80}.bytes(), abi.ModuleRefused, "describe:"},
	}
}

const hostileFuel = 100_000_000

func repeatBody(f []byte, n int) [][]byte { return slices.Repeat([][]byte{f}, n) }

// TestHostile runs every attack, in batches with two innocent modules beside
// each: all are stopped within their limits and reported, the innocent ones
// find what they find, and this process stays small and does not hang.
func TestHostile(t *testing.T) {
	o := testOptions(t)
	o.CacheDir, o.Fuel = privateDir(t), hostileFuel
	if _, r := Describe(t.Context(), Module{Name: "guest", Wasm: guest(t)}, o); r.Status != abi.ModuleOK { // compiled once for all
		t.Fatalf("%+v", r)
	}
	o.DescribeTimeout, o.AnalyzeTimeout = 5*time.Second, 3*time.Second
	distinct := map[string]bool{}
	for _, set := range []struct {
		name    string
		attacks map[string]attack
	}{{"analyze", analyzeAttacks()}, {"early", earlyAttacks()}, {"host", hostCalls()}, {"engine", engineAttacks()}, {"structure", structures()}, {"wild", wildCalls()}, {"flood", floods()}, {"bomb", bombs()}} {
		for _, a := range set.attacks {
			distinct[digest(a.wasm)] = true
		}
		t.Run(set.name, func(t *testing.T) {
			small := watchSelf(t)
			within(t, 2*time.Minute, func() { hostileBatch(t, o, set.attacks) })
			small()
		})
	}
	t.Logf("%d hostile modules", len(distinct))
	if len(distinct) < 180 {
		t.Errorf("%d hostile modules", len(distinct))
	}
}

func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hostileBatch(t *testing.T, o Options, attacks map[string]attack) {
	modules := []Module{{Name: "guest", Wasm: guest(t)}}
	for name, a := range attacks {
		modules = append(modules, Module{Name: name, Wasm: a.wasm})
	}
	slices.SortFunc(modules[1:], func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	modules = append(modules, Module{Name: "innocent", Wasm: spec{declare: declares("innocent"), print: `{"rule":"innocent/rule","subject":{"kind":"Node","name":"n"}}` + "\n"}.bytes()})
	for i, run := range Run(context.Background(), modules, o) {
		switch name := modules[i].Name; name {
		case "guest":
			checkGuest(t, run)
		case "innocent":
			if run.Result.Status != abi.ModuleOK || len(run.Findings) != 1 {
				t.Errorf("the innocent module: %+v", run)
			}
		default:
			checkAttack(t, name, run.Result, attacks[name])
			checkContained(t, name, run)
			if _, ok := analyzeAttacks()[name]; ok {
				checkKept(t, name, run)
			}
		}
	}
}

// checkContained: no module that failed has a clear rule, and one that was
// stopped says so for every rule.
func checkContained(t *testing.T, name string, run abi.ModuleRun) {
	t.Helper()
	for _, o := range run.Outcomes {
		if run.Result.Status != abi.ModuleOK && o.Outcome == abi.OutcomeClear {
			t.Errorf("%s: %s, but %+v", name, run.Result.Status, o)
		}
	}
	if run.Result.Fuel > hostileFuel || run.Result.Fuel < 0 {
		t.Errorf("%s: fuel %d", name, run.Result.Fuel)
	}
}

// within fails the test at once when f hangs.
func within(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		panic("the host hangs")
	}
}

// maxParent is what this process may take more while modules run, two at a time.
const maxParent = 128 << 20

// watchSelf measures this process until the returned function is called.
func watchSelf(t *testing.T) func() {
	t.Helper()
	debug.FreeOSMemory()
	base := restartPeak(t)
	return func() {
		t.Helper()
		peak := peakSelf(t)
		t.Logf("resident %d MiB before, %d MiB at most", base>>20, peak>>20)
		if peak-base > maxParent {
			t.Errorf("resident %d MiB before, %d MiB at most", base>>20, peak>>20)
		}
	}
}
