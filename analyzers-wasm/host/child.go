package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

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
}

const maxFileList = 256 << 20 // bytes of the list of virtual files

// Child is the body of the hidden verb that a sandbox process runs: it takes
// commands on stdin and answers on stdout, in frames, until stdin ends. It
// limits its own process, so it is of no use but as a whole process.
func Child(stdin io.Reader, stdout io.Writer) int {
	var buf []byte
	kind, payload, err := readFrame(stdin, &buf)
	if err != nil || kind != frameSetup {
		fmt.Fprintln(os.Stderr, "this verb is for casefile itself")
		return 2
	}
	c := &child{out: stdout}
	if err := json.Unmarshal(payload, &c.s); err != nil || len(c.s.Seed) != 32 {
		fmt.Fprintln(os.Stderr, "bad setup of the sandbox")
		return 2
	}
	if err := limitSelf(c.s); err != nil {
		fmt.Fprintln(os.Stderr, "the sandbox cannot limit itself:", err)
		return 1
	}
	runtime.GOMAXPROCS(2)
	debug.SetMemoryLimit(int64(c.s.MemoryMiB+childMiB/2) << 20)
	c.spool = os.NewFile(c.s.Spool, "spool")
	c.memory = newMemory(c.s.MemoryMiB)
	if err := writeFrame(stdout, frameReady, nil); err != nil {
		return 1
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

// do runs one command; a panic of the engine is the module's failure.
func (c *child) do(cmd command) (e ending) {
	defer func() {
		if p := recover(); p == nil {
			return
		} else if c.memory.denied > 0 {
			e = c.ending(errMemory)
		} else {
			e = ending{abi.ModuleFailed, shortReason(fmt.Sprintf("the engine gave up on it: %v", p))}
		}
	}()
	ctx := context.Background()
	if cmd.Verb == verbPrepare {
		return c.prepare(ctx)
	}
	if c.program == nil || cmd.Verb != abi.VerbDescribe && cmd.Verb != abi.VerbAnalyze {
		return ending{abi.ModuleFailed, "no such command"}
	}
	return c.execute(ctx, cmd)
}

// prepare takes a module from bytes to native code. Its steps are inspect and
// compile; a rewrite of the module, for metering, belongs between them.
func (c *child) prepare(ctx context.Context) ending {
	wasm := make([]byte, c.s.ModuleSize)
	// By offset: a second child shares the place in the file with the first.
	if _, err := io.ReadFull(io.NewSectionReader(os.NewFile(c.s.Module, "module"), 0, c.s.ModuleSize), wasm); err != nil {
		return ending{abi.ModuleFailed, "read the module: " + err.Error()}
	}
	o, err := inspect(wasm)
	if err != nil {
		return ending{abi.ModuleRefused, err.Error()}
	}
	if limit := uint64(c.s.MemoryMiB) << 20 / pageBytes; o.pages > limit {
		return ending{abi.ModuleRefused, fmt.Sprintf("wants %d MiB of memory at the start; it may have %d", o.pages*pageBytes>>20, c.s.MemoryMiB)}
	}
	c.engine = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
	wasi, err := wasi_snapshot_preview1.NewBuilder(c.engine).Compile(ctx)
	if err != nil {
		return ending{abi.ModuleFailed, "WASI: " + err.Error()}
	}
	for _, name := range o.imports {
		if wasi.ExportedFunctions()[name] == nil {
			return ending{abi.ModuleRefused, fmt.Sprintf("imports %s.%s, which does not exist", wasiModule, input.Clean(name))}
		}
	}
	if c.program, err = c.engine.CompileModule(ctx, wasm); err != nil {
		return ending{abi.ModuleRefused, shortReason(err.Error())}
	}
	for _, f := range c.program.ImportedFunctions() {
		_, name, _ := f.Import()
		if has := wasi.ExportedFunctions()[name]; !slices.Equal(f.ParamTypes(), has.ParamTypes()) || !slices.Equal(f.ResultTypes(), has.ResultTypes()) {
			return ending{abi.ModuleRefused, fmt.Sprintf("imports %s.%s with the wrong parameters", wasiModule, name)}
		}
	}
	if _, err := c.engine.InstantiateModule(ctx, wasi, wazero.NewModuleConfig()); err != nil {
		return ending{abi.ModuleFailed, "WASI: " + err.Error()}
	}
	runtime.GC()
	debug.FreeOSMemory() // compiling leaves garbage that would count against the guest
	return ending{Status: abi.ModuleOK}
}

// execute runs the module once.
func (c *child) execute(ctx context.Context, cmd command) ending {
	files, err := c.fileSystem(cmd.Files)
	if err != nil {
		return ending{abi.ModuleFailed, "its inputs: " + err.Error()}
	}
	c.memory.reset(cmd.MemoryMiB)
	name := cmd.Name
	if name == "" {
		name = "module"
	}
	clock := &clock{now: c.s.Clock}
	config := wazero.NewModuleConfig().WithName("").WithArgs(name, cmd.Verb).
		WithStdin(strings.NewReader("")).
		WithStdout(frameWriter{c.out, frameStdout}).WithStderr(frameWriter{c.out, frameStderr}).
		WithFSConfig(wazero.NewFSConfig().WithFSMount(files, "/")).
		WithWalltime(clock.wall, sys.ClockResolution(time.Millisecond)).
		WithNanotime(clock.nano, sys.ClockResolution(time.Millisecond)).
		WithNanosleep(clock.sleep).WithOsyield(func() {}).
		WithRandSource(rand.NewChaCha8([32]byte(c.s.Seed))).
		WithStartFunctions("_start")
	_, err = c.engine.InstantiateModule(experimental.WithMemoryAllocator(ctx, c.memory), c.program, config)
	return c.ending(err)
}

// ending maps what the engine says to a status.
func (c *child) ending(err error) ending {
	var exit *sys.ExitError
	switch {
	case c.memory.denied > 0:
		return ending{abi.ModuleMemory, fmt.Sprintf("wanted %d MiB of memory; it may have %d", (c.memory.denied+1<<20-1)>>20, len(c.memory.buf)>>20)}
	case err == nil, errors.As(err, &exit) && exit.ExitCode() == 0:
		return ending{Status: abi.ModuleOK}
	case exit != nil:
		return ending{abi.ModuleFailed, fmt.Sprintf("exit code %d", exit.ExitCode())}
	}
	return ending{abi.ModuleFailed, strings.TrimPrefix(shortReason(err.Error()), "module[] ")}
}

// shortReason is the first line of an engine's error, bounded.
func shortReason(s string) string {
	s = firstLine(s)
	return s[:min(len(s), 500)]
}

// fileSystem lays the spool out as the guest's root; empty for describe.
func (c *child) fileSystem(list input.Extent) (*spoolFS, error) {
	var files []input.File
	if list.Len > 0 {
		if list.Len > maxFileList {
			return nil, errors.New("too many files")
		}
		if err := json.NewDecoder(io.NewSectionReader(c.spool, list.Off, list.Len)).Decode(&files); err != nil {
			return nil, err
		}
	}
	return newSpoolFS(c.spool, files, time.Unix(0, c.s.Clock))
}

// frameWriter sends what a guest prints.
type frameWriter struct {
	w    io.Writer
	kind byte
}

func (f frameWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := writeFrame(f.w, f.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
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
