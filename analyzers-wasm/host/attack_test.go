package host

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// attack is a hostile or broken module and how it has to end.
type attack struct {
	wasm   []byte
	status string
	reason string // part of the reason
}

// chain makes functions that call the one before twice: without a loop, and
// without an end.
func chain(first, n int) [][]byte {
	fs := [][]byte{plain()}
	for i := 1; i < n; i++ {
		fs = append(fs, plain(call(first+i-1), call(first+i-1)))
	}
	return fs
}

func fill(bytes int64) []byte { return cat(i32(0), i32(1), i32(bytes), opFill) }

// analyzeAttacks describe themselves well and misbehave in analyze.
func analyzeAttacks() map[string]attack {
	const first = ownFunctions + 1
	made := map[string]attack{}
	add := func(name, status, reason string, s spec) {
		if s.declare == "" {
			s.declare = declares(name)
		}
		made[name] = attack{s.bytes(), status, reason}
	}
	finding := func(rule, rest string) string {
		return fmt.Sprintf(`{"rule":%q,"subject":{"kind":"Node","name":"n"}%s}`+"\n", rule, rest)
	}
	add("loop", abi.ModuleFuel, "used up the", spec{analyze: loop(), print: finding("loop/rule", "") + `{"rule":"loop/ru`})
	add("chain", abi.ModuleFuel, "used up the", spec{analyze: call(first + 59), more: chain(first, 60)})
	add("fill", abi.ModuleFuel, "used up the", spec{analyze: loop(repeat(fill(60<<20), 500)), pages: 961})
	add("sleeper", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", spec{analyze: loop(i32(4096), i32(4200), i32(1), i32(written), call(pollOneoff), opDrop)})
	add("grow", abi.ModuleMemory, "it may have 64", spec{analyze: loop(i32(16), opGrow, opDrop)})
	add("grow-at-once", abi.ModuleMemory+"|"+abi.ModuleFuel, "", spec{analyze: cat(i32(40000), opGrow, opDrop)})
	add("asked-little", abi.ModuleMemory, "it may have 1", spec{analyze: cat(i32(100), opGrow, opDrop),
		declare: declares("asked-little", func(d *abi.Declaration) { d.Limits.MemoryMiB = 1 })})
	add("table", abi.ModuleMemory, "its sandbox", spec{table: true, analyze: loop([]byte{0xd0, 0x70}, i32(10_000_000), []byte{0xfc, 15, 0}, opDrop)})
	add("stdout", abi.ModuleOutput, "printed more than 33554432 bytes (analyze)", spec{analyze: loop(fdWriteCode(1, iovFlood))})
	add("stderr", abi.ModuleOutput, "printed more than 33554432 bytes on stderr (analyze)", spec{analyze: loop(fdWriteCode(2, iovFlood))})
	add("recursion", abi.ModuleFailed, "stack overflow", spec{analyze: call(first), more: [][]byte{plain(call(first))}})
	add("trap", abi.ModuleFailed, "unreachable", spec{analyze: opUnreachable, print: `{"rule":"trap/rule","outcome":"clear"}` + "\n"})
	add("exit", abi.ModuleFailed, "exit code 3", spec{analyze: cat(i32(3), call(procExit))})
	add("utf8", abi.ModuleFailed, "line 2 of its output: not UTF-8", spec{print: finding("utf8/rule", "") + "{\"rule\":\"\xff\"}\n" + finding("utf8/rule", "")})
	add("json", abi.ModuleFailed, "line 1 of its output: not a JSON object", spec{print: "hello\n"})
	add("cut", abi.ModuleFailed, "line 1 of its output: not a JSON object", spec{print: `{"rule":"cut/rule"`})
	add("array", abi.ModuleFailed, "line 1 of its output: not a JSON object", spec{print: "[]\n"})
	add("forged-rule", abi.ModuleFailed, `line 1 of its output: rule "loop/rule" is not declared by this module`, spec{print: finding("loop/rule", "")})
	add("forged-outcome", abi.ModuleFailed, "is not declared by this module", spec{print: `{"rule":"loop/rule","outcome":"clear"}`})
	add("forged-at", abi.ModuleFailed, "line 2 of its output: evidence at 77: no row has that number",
		spec{print: finding("forged-at/rule", "") + finding("forged-at/rule", `,"evidence":[{"at":77}]`)})
	add("forged-path", abi.ModuleFailed, "in no input of the module", spec{print: finding("forged-path/rule", `,"evidence":[{"path":"cluster/secret","line":1}]`)})
	raw := func(name string) func(*abi.Declaration) {
		return func(d *abi.Declaration) { d.Inputs = []abi.Input{{Name: "raw", Files: name}} }
	}
	add("forged-line", abi.ModuleFailed, "evidence at line 3 of nodes/n1/0/proc/net/netstat", spec{declare: declares("forged-line", raw("nodes/**")),
		print: finding("forged-line/rule", `,"evidence":[{"path":"nodes/n1/0/proc/net/netstat","line":3}]`)})
	add("forged-packet", abi.ModuleFailed, "evidence at packet 3 of captures/c/n1__eth0.pcapng, which has 2", spec{declare: declares("forged-packet", raw("captures/**")),
		print: finding("forged-packet/rule", `,"evidence":[{"path":"captures/c/n1__eth0.pcapng","packet":3}]`)})
	add("severity", abi.ModuleFailed, "severity", spec{print: finding("severity/rule", `,"severity":"fatal"`)})
	add("fact", abi.ModuleFailed, "a fact", spec{print: `{"fact":1}`})
	return made
}

// TestTimeout: a module with fuel for ever is stopped by the clock, in the
// three ways to run without an end.
func TestTimeout(t *testing.T) {
	o := testOptions(t)
	o.AnalyzeTimeout, o.Fuel = time.Second, 1<<62
	attacks := analyzeAttacks()
	var modules []Module
	for _, name := range []string{"loop", "chain", "fill", "sleeper"} {
		modules = append(modules, Module{Name: name, Wasm: attacks[name].wasm})
	}
	for i, run := range Run(context.Background(), modules, o) {
		checkAttack(t, modules[i].Name, run.Result, attack{status: abi.ModuleTimeout, reason: "still running after 1s (analyze)"})
	}
	left, err := os.ReadDir(o.TempDir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// checkKept: findings before the end count, and no failed module clears a rule.
func checkKept(t *testing.T, name string, run abi.ModuleRun) {
	t.Helper()
	want := 0
	if name == "loop" || name == "utf8" || name == "forged-at" {
		want = 1
	}
	if len(run.Findings) != want {
		t.Errorf("%s: %d findings, want %d", name, len(run.Findings), want)
	}
	outcome := abi.OutcomeUnknown
	if want == 1 {
		outcome = abi.OutcomeFound
	}
	if len(run.Outcomes) != 1 || run.Outcomes[0].Outcome != outcome || want == 0 && !strings.Contains(run.Outcomes[0].Reason, run.Result.Status) {
		t.Errorf("%s: outcomes %+v", name, run.Outcomes)
	}
}

func checkAttack(t *testing.T, name string, r abi.ModuleResult, a attack) {
	t.Helper()
	if !slices.Contains(strings.Split(a.status, "|"), r.Status) || !strings.Contains(r.Reason, a.reason) {
		t.Errorf("%s: %s: %s; want %s: …%s…", name, r.Status, r.Reason, a.status, a.reason)
	}
	if testing.Verbose() {
		t.Logf("%-14s %-8s %5d ms  %s", name, r.Status, r.Millis, r.Reason)
	}
}

// bodies makes n functions of size bytes of nested ifs, which cost a compiler dear.
func bodies(n, size int) [][]byte {
	depth := size / 4
	one := plain(repeat(cat(i32(1), opIf, i32(1), opDrop), depth), repeat(opEnd, depth))
	var all [][]byte
	for range n {
		all = append(all, one)
	}
	return all
}

// earlyAttacks do not get as far as analyze.
func earlyAttacks() map[string]attack {
	const first = ownFunctions + 1
	good := spec{declare: declares("good")}.bytes()
	lies := func(f func(*abi.Declaration)) []byte { return spec{declare: declares("lies", f)}.bytes() }
	patch := func(version string) []byte { return append([]byte("\x00asm"+version), good[8:]...) }
	locals := cat(vec(cat(uleb(50_000), []byte{0x7f})), opEnd)
	return map[string]attack{
		"empty":            {nil, abi.ModuleRefused, "not a WebAssembly module"},
		"text":             {[]byte("#!/bin/sh\nexit 0\n"), abi.ModuleRefused, "not a WebAssembly module"},
		"garbage":          {append(good[:8:8], []byte("\x01\xff\xff\xff\xff\x0f garbage")...), abi.ModuleRefused, "cut off or damaged"},
		"truncated":        {good[:len(good)/2], abi.ModuleRefused, "cut off or damaged"},
		"component":        {patch("\x0d\x00\x01\x00"), abi.ModuleRefused, "component"},
		"version":          {patch("\x02\x00\x00\x00"), abi.ModuleRefused, "version"},
		"foreign":          {spec{imports: [][2]string{{"env", "system"}}}.bytes(), abi.ModuleRefused, `imports "system" from "env"`},
		"unknown-wasi":     {spec{imports: [][2]string{{wasi, "proc_exec"}}}.bytes(), abi.ModuleRefused, "proc_exec, which does not exist"},
		"wrong-wasi":       {spec{imports: [][2]string{{wasi, "fd_close"}}}.bytes(), abi.ModuleRefused, "fd_close with the wrong parameters"},
		"no-start":         {spec{name: "_initialize"}.bytes(), abi.ModuleRefused, "exports no function _start"},
		"locals":           {spec{more: [][]byte{locals}}.bytes(), abi.ModuleRefused, "more than 1000 local variables"},
		"body":             {spec{more: [][]byte{plain(repeat([]byte{1}, maxBody))}}.bytes(), abi.ModuleRefused, "bytes in function"},
		"functions":        {spec{more: make([][]byte, maxFunctions+1)}.bytes(), abi.ModuleRefused, "functions"},
		"memory":           {spec{pages: 2000}.bytes(), abi.ModuleRefused, "wants 125 MiB of memory at the start; it may have 64"},
		"invalid-code":     {spec{analyze: []byte{0x6a}}.bytes(), abi.ModuleRefused, ""},
		"start-loop":       {spec{more: [][]byte{plain(loop())}, start: true}.bytes(), abi.ModuleFailed + "|" + abi.ModuleTimeout, ""},
		"start-recursion":  {spec{more: [][]byte{plain(call(first))}, start: true}.bytes(), abi.ModuleFailed, "its start section"},
		"compile-bomb":     {spec{more: bodies(400, 3*maxNesting)}.bytes(), abi.ModuleTimeout + "|" + abi.ModuleMemory + "|" + abi.ModuleOK, ""},
		"silent":           {spec{}.bytes(), abi.ModuleRefused, "printed nothing"},
		"two-declarations": {spec{declare: declares("a") + declares("a")}.bytes(), abi.ModuleRefused, "more than one JSON value"},
		"no-declaration":   {spec{declare: "hello"}.bytes(), abi.ModuleRefused, "no declaration"},
		"future":           {lies(func(d *abi.Declaration) { d.ABI = [2]int{7, 9} }), abi.ModuleRefused, "speaks ABI 7 to 9"},
		"flows":            {lies(func(d *abi.Declaration) { d.Inputs = []abi.Input{{Name: "f", Flows: "all"}} }), abi.ModuleRefused, "ends in .pcapng"},
		"too-big":          {make([]byte, MaxModule+1), abi.ModuleRefused, "more than 67108864"},
	}
}

// TestUnavailable: a sandbox that cannot start is not the module's fault.
func TestUnavailable(t *testing.T) {
	module := []Module{{Name: "m", Wasm: spec{declare: declares("m")}.bytes()}}
	for _, exec := range [][]string{nil, {"/does/not/exist"}, {"/bin/true"}, {"/bin/cat"}} {
		o := testOptions(t)
		o.Exec = exec
		r := Run(context.Background(), module, o)[0].Result
		if r.Status != abi.ModuleUnavailable || r.Reason == "" {
			t.Errorf("%q: %+v", exec, r)
		}
	}
	o := testOptions(t)
	o.TempDir = "/does/not/exist"
	if r := Run(context.Background(), module, o)[0].Result; r.Status != abi.ModuleUnavailable {
		t.Errorf("no room for the spool: %+v", r)
	}
}

// TestDuplicates: each rule and each name has one owner, the first.
func TestDuplicates(t *testing.T) {
	same := func(d *abi.Declaration) { d.Rules[0].ID = "one/rule" }
	clear := `{"rule":"one/rule","outcome":"clear"}` + "\n"
	runs := Run(context.Background(), []Module{
		{Name: "a", Wasm: spec{declare: declares("one"), print: clear}.bytes()},
		{Name: "b", Wasm: spec{declare: declares("two", same), print: clear}.bytes()},
		{Name: "c", Wasm: spec{declare: declares("one", func(d *abi.Declaration) { d.Rules[0].ID = "other/rule" })}.bytes()},
	}, testOptions(t))
	if r := runs[0]; r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != abi.OutcomeClear {
		t.Errorf("first: %+v", r)
	}
	for _, r := range runs[1:] {
		if r.Result.Status != abi.ModuleRefused || !strings.Contains(r.Result.Reason, "already") || len(r.Outcomes) != 0 {
			t.Errorf("later: %+v", r)
		}
	}
}

// TestInterrupt: the caller's context ends everything at once.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := testOptions(t)
	o.AnalyzeTimeout = time.Hour
	time.AfterFunc(2*time.Second, cancel)
	start := time.Now()
	r := Run(ctx, []Module{{Name: "loop", Wasm: analyzeAttacks()["loop"].wasm}}, o)[0].Result
	if r.Status != abi.ModuleFailed || !strings.Contains(r.Reason, "interrupted") || time.Since(start) > 20*time.Second {
		t.Errorf("%+v after %v", r, time.Since(start))
	}
}
