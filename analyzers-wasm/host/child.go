package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// child is the state of a sandbox process.
type child struct {
	s       setup
	out     io.Writer
	spool   *os.File
	memory  *memory
	engine  wazero.Runtime
	program wazero.CompiledModule
	counter api.MutableGlobal // what is left of fuel; nil before a run
	fuel    int64             // that the run was given
}

const maxFileList = 256 << 20 // bytes of the list of virtual files

// Child is the body of the hidden verb that a sandbox process runs: it takes
// commands on stdin and answers on stdout, in frames, until stdin ends. It
// limits its own process, so it is of no use but as a whole process.
func Child(stdin io.Reader, stdout io.Writer) int {
	var buf []byte
	c, code := enter(stdin, stdout, &buf)
	if c == nil {
		return code
	}
	for {
		kind, payload, err := readFrame(stdin, &buf)
		if errors.Is(err, io.EOF) {
			return 0
		}
		var cmd command
		if err != nil || kind != frameCommand || json.Unmarshal(payload, &cmd) != nil {
			return 1
		}
		if err := writeJSON(stdout, frameDone, c.do(cmd)); err != nil {
			return 1
		}
	}
}

// enter reads the setup and puts the limits on this process; nil when it
// cannot, with the exit code.
func enter(stdin io.Reader, stdout io.Writer, buf *[]byte) (*child, int) {
	kind, payload, err := readFrame(stdin, buf)
	if err != nil || kind != frameSetup {
		fmt.Fprintln(os.Stderr, "this verb is for casefile itself")
		return nil, 2
	}
	c := &child{out: stdout}
	if err := json.Unmarshal(payload, &c.s); err != nil {
		fmt.Fprintln(os.Stderr, "bad setup of the sandbox")
		return nil, 2
	}
	runtime.GOMAXPROCS(2)
	lacks, err := guardSelf(c.s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the sandbox cannot limit itself:", err)
		return nil, 1
	}
	debug.SetMemoryLimit(int64(c.s.MemoryMiB+childMiB/2) << 20)
	c.spool = os.NewFile(c.s.Spool, "spool")
	c.memory = newMemory(c.s.MemoryMiB)
	if err := writeJSON(stdout, frameReady, ready{Lacks: lacks}); err != nil {
		return nil, 1
	}
	return c, 0
}

// do runs one command; a panic of the engine is the module's failure.
func (c *child) do(cmd command) (e ending) {
	c.counter = nil
	defer func() {
		if p := recover(); p != nil && c.memory.denied > 0 {
			e = c.ending(errMemory)
		} else if p != nil {
			e = ending{Status: abi.ModuleFailed, Reason: shortReason(fmt.Sprintf("the engine gave up on it: %v", p))}
		}
		e.Fuel = c.used()
	}()
	ctx := context.Background()
	if cmd.Verb == verbPrepare {
		return c.prepare(ctx)
	}
	if c.program == nil || len(cmd.Seed) != 32 || cmd.Verb != abi.VerbDescribe && cmd.Verb != abi.VerbAnalyze {
		return ending{Status: abi.ModuleFailed, Reason: "no such command"}
	}
	return c.execute(ctx, cmd)
}

// prepare takes a module from bytes to native code, and then closes the way to
// files for good.
func (c *child) prepare(ctx context.Context) ending {
	start := c.startCold
	if c.s.Warm {
		start = c.startWarm
	}
	if e := start(ctx); e.Status != abi.ModuleOK {
		return e
	}
	if err := closeFiles(); err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "the sandbox cannot limit itself: " + err.Error()}
	}
	return ending{Status: abi.ModuleOK}
}

func (c *child) startWarm(ctx context.Context) ending {
	shell, err := os.ReadFile(filepath.Join(c.s.Scratch, hollowFile))
	if err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "read the module: " + err.Error()}
	}
	return c.compile(ctx, shell)
}

func (c *child) startCold(ctx context.Context) ending {
	wasm, err := os.ReadFile(filepath.Join(c.s.Scratch, moduleFile))
	if err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "read the module: " + err.Error()}
	}
	if _, err := inspect(wasm); err != nil {
		return ending{Status: abi.ModuleRefused, Reason: shortReason(input.Clean(err.Error()))}
	}
	if wasm, err = meter.Rewrite(wasm); err != nil {
		return ending{Status: abi.ModuleRefused, Reason: shortReason(input.Clean(err.Error()))}
	}
	if e := c.compile(ctx, wasm); e.Status != abi.ModuleOK {
		return e
	}
	if err := c.keepHollow(ctx, wasm); err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "keep what was compiled: " + err.Error()}
	}
	debug.FreeOSMemory() // compiling leaves garbage that would count against the guest
	return ending{Status: abi.ModuleOK}
}

// compile makes native code of the module, or takes it from the scratch folder.
func (c *child) compile(ctx context.Context, wasm []byte) ending {
	cache, err := wazero.NewCompilationCacheWithDir(c.s.Scratch)
	if err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "the folder of compiled code: " + err.Error()}
	}
	c.engine = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
	wasi, err := wasi_snapshot_preview1.NewBuilder(c.engine).Compile(ctx)
	if err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "WASI: " + err.Error()}
	}
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	if c.program, err = c.engine.CompileModule(ctx, wasm); err != nil {
		return ending{Status: abi.ModuleRefused, Reason: shortReason(err.Error())}
	}
	for _, f := range c.program.ImportedFunctions() {
		_, name, _ := f.Import()
		switch has := wasi.ExportedFunctions()[name]; {
		case has == nil:
			return ending{Status: abi.ModuleRefused, Reason: fmt.Sprintf("imports %s.%s, which does not exist", wasiModule, input.Clean(name))}
		case !slices.Equal(f.ParamTypes(), has.ParamTypes()) || !slices.Equal(f.ResultTypes(), has.ResultTypes()):
			return ending{Status: abi.ModuleRefused, Reason: fmt.Sprintf("imports %s.%s with the wrong parameters", wasiModule, name)}
		}
	}
	if pages := c.program.ExportedMemories()["memory"].Min(); uint64(pages)*pageBytes > uint64(c.s.MemoryMiB)<<20 {
		return ending{Status: abi.ModuleRefused, Reason: fmt.Sprintf("wants %d MiB of memory at the start; it may have %d", uint64(pages)*pageBytes>>20, c.s.MemoryMiB)}
	}
	if _, err := c.engine.InstantiateModule(ctx, wasi, wazero.NewModuleConfig()); err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "WASI: " + err.Error()}
	}
	return ending{Status: abi.ModuleOK}
}

// execute runs the module once.
func (c *child) execute(ctx context.Context, cmd command) ending {
	files, err := c.fileSystem(cmd)
	if err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "its inputs: " + err.Error()}
	}
	c.memory.reset(cmd.MemoryMiB)
	name := cmd.Name
	if name == "" {
		name = "module"
	}
	clock := &clock{now: cmd.Clock}
	config := wazero.NewModuleConfig().WithName("").WithArgs(name, cmd.Verb).
		WithStdin(strings.NewReader("")).
		WithStdout(frameWriter{c, frameStdout}).WithStderr(frameWriter{c, frameStderr}).
		WithFSConfig(wazero.NewFSConfig().WithFSMount(files, "/")).
		WithWalltime(clock.wall, sys.ClockResolution(time.Millisecond)).
		WithNanotime(clock.nano, sys.ClockResolution(time.Millisecond)).
		WithNanosleep(clock.sleep).WithOsyield(func() {}).
		WithRandSource(paidReader{c, rand.NewChaCha8([32]byte(cmd.Seed))}).
		WithStartFunctions()
	return c.ending(c.start(experimental.WithMemoryAllocator(ctx, c.memory), config, cmd.Fuel))
}

// start makes an instance, whose own start function has the meter's fixed
// allowance, gives it fuel and calls _start.
func (c *child) start(ctx context.Context, config wazero.ModuleConfig, fuel int64) error {
	m, err := c.engine.InstantiateModule(ctx, c.program, config)
	if err != nil && strings.HasPrefix(err.Error(), "start function[") {
		return fmt.Errorf("its start section, which may take %d steps of fuel: %w", meter.Allowance, err)
	} else if err != nil {
		return err
	}
	defer func() { _ = m.Close(ctx) }() // ends with the process at the latest
	counter, ok := m.ExportedGlobal(meter.Global).(api.MutableGlobal)
	if !ok {
		return errors.New("it was not metered")
	}
	counter.Set(uint64(fuel))
	c.counter, c.fuel = counter, fuel
	_, err = m.ExportedFunction("_start").Call(ctx)
	return err
}

// used is the fuel of the run, at most all that it was given.
func (c *child) used() int64 {
	if c.counter == nil {
		return 0
	}
	return c.fuel - max(int64(c.counter.Get()), 0)
}

// ending maps what the engine says to a status.
func (c *child) ending(err error) ending {
	var exit *sys.ExitError
	switch {
	case c.memory.denied > 0:
		return ending{Status: abi.ModuleMemory, Reason: fmt.Sprintf("wanted %d MiB of memory; it may have %d", (c.memory.denied+1<<20-1)>>20, len(c.memory.buf)>>20)}
	case err == nil, errors.As(err, &exit) && exit.ExitCode() == 0:
		return ending{Status: abi.ModuleOK}
	case exit != nil:
		return ending{Status: abi.ModuleFailed, Reason: fmt.Sprintf("exit code %d", exit.ExitCode())}
	case c.counter != nil && int64(c.counter.Get()) < 0:
		return ending{Status: abi.ModuleFuel, Reason: fmt.Sprintf("used up the %d steps of fuel that it may take", c.fuel)}
	}
	return ending{Status: abi.ModuleFailed, Reason: strings.TrimPrefix(shortReason(err.Error()), "module[] ")}
}

// shortReason is the first line of an engine's error, bounded.
func shortReason(s string) string {
	s = firstLine(s)
	return s[:min(len(s), 500)]
}

// fileSystem lays the spool out as the guest's root; empty for describe.
func (c *child) fileSystem(cmd command) (*spoolFS, error) {
	var files []input.File
	if list := cmd.Files; list.Len > 0 {
		if list.Len > maxFileList {
			return nil, errors.New("too many files")
		}
		if err := json.NewDecoder(io.NewSectionReader(c.spool, list.Off, list.Len)).Decode(&files); err != nil {
			return nil, err
		}
	}
	return newSpoolFS(c.spool, files, time.Unix(0, cmd.Clock), c.charge)
}

// charge takes the fuel for a buffer that the host reads, writes or fills for
// the guest, by the words of sdk/ABI.md. It hangs on nothing but the guest's
// call: not on where the bytes lie in the spool.
func (c *child) charge(bytes int) {
	if c.counter != nil {
		c.counter.Set(c.counter.Get() - hostCall - uint64(bytes)/8)
	}
}

const hostCall = 1000

// frameWriter sends what a guest prints.
type frameWriter struct {
	c    *child
	kind byte
}

func (f frameWriter) Write(p []byte) (int, error) {
	f.c.charge(len(p))
	if len(p) == 0 {
		return 0, nil
	}
	if err := writeFrame(f.c.out, f.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// paidReader charges a guest for what it reads.
type paidReader struct {
	c *child
	r io.Reader
}

func (p paidReader) Read(b []byte) (int, error) {
	p.c.charge(len(b))
	return p.r.Read(b)
}

// clock is the guest's time: it moves 1 ms with every look, and by what the
// guest sleeps, which takes no time at all.
type clock struct{ now int64 }

func (c *clock) nano() int64 {
	c.now += int64(time.Millisecond)
	return c.now
}

func (c *clock) wall() (sec int64, nsec int32) {
	now := c.nano()
	return now / int64(time.Second), int32(now % int64(time.Second))
}

func (c *clock) sleep(ns int64) {
	if ns > 0 && c.now < 1<<62-ns {
		c.now += ns
	}
}
