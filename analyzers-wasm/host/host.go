// Package host runs analyzer modules: untrusted WebAssembly over the evidence
// of a bundle, each in a process of its own that can be killed.
//
// [Run] takes modules and a bundle and returns, for each module, what it found
// and how it ended; one module never takes another, or the caller, down.
//
//	parent                                child (one per module)
//	size of the module ≤ 64 MiB
//	start, killable, empty environment ─► limits itself (RLIMIT_DATA, RLIMIT_CPU …)
//	prepare ────────────────────────────► inspect structure and imports, compile
//	describe ───────────────────────────► run "describe"
//	check the declaration
//	project the inputs into a spool
//	analyze ────────────────────────────► run "analyze" over the spool
//	check every line, resolve evidence
//
// The child inherits a read-only spool that holds nothing but the declared
// inputs, has a folder for itself until its module is compiled, and talks over
// stdin and stdout in frames.
// The parent parses neither the module nor, before it is checked and counted,
// anything that comes back.
//
// # What bounds a module
//
// Wall time of each phase (the whole process group is killed), size of its
// linear memory (a growth beyond it ends the module), the child's resident
// memory, watched by the parent, RLIMIT_DATA and RLIMIT_CPU, bytes on stdout
// and stderr, number and size of findings. Resident memory and the rlimits
// are bounded on Linux only; elsewhere wall time, linear memory and output
// are. wazero's own stop on context end is not used: it costs five times the
// speed and misses calls without loops.
//
// A module sees a clock that starts at the capture time and moves 1 ms with
// every look (and by what it sleeps), random bytes seeded from the bundle and
// itself, no environment, and a read-only file system: it cannot tell two
// runs apart, so that their results are the same.
package host

import (
	"context"
	"io/fs"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of a module and of what it prints.
const (
	MaxModule    = 64 << 20
	maxStdout    = 32 << 20
	maxDescribe  = 4 << 20
	maxLog       = 64 << 10 // kept of stderr
	maxLogTotal  = 32 << 20 // printed on stderr
	maxIdle      = 4        // children kept between describe and analyze
	maxNameBytes = 200
)

// Fuel that a run may use.
const (
	DefaultFuel  = 2_000_000_000_000
	describeFuel = 100_000_000_000
)

// describeClock is the time at which every module describes itself, so that
// what it says hangs on nothing but the module.
const describeClock = 1640995200e9

// Module is one WebAssembly file. Name is what to call it until it has
// described itself; the rest may be left out.
type Module struct {
	Name string
	Wasm []byte

	Refuse     string                      // why it may not run, not even to describe itself
	Admit      func(abi.Declaration) error // asked once it has described itself: an error refuses it
	Signer     string                      // fingerprint of the key that signed it, for the result
	MemoryMiB  int                         // a bound of its own, below that of Options
	Fuel       int64                       // as above
	OwnsTopics bool                        // no other module may declare a rule below the topics of its rules
}

// Options say how to run modules, and over what.
type Options struct {
	Exec            []string          // command line that runs [Child], such as {os.Executable(), "sandbox-child"}
	MemoryMiB       int               // linear memory of a module; 256
	DescribeTimeout time.Duration     // wall time to compile, and to describe; 30 s each
	AnalyzeTimeout  time.Duration     // wall time to analyze; 2 min
	Fuel            int64             // steps of one run of analyze; DefaultFuel
	Jobs            int               // modules, and nodes of a module, at a time; 2
	Bundle          fs.FS             // paths without the top folder
	BundleID        string            // seeds the random numbers of a module
	CaptureTime     time.Time         // where the clock of a module starts
	Settings        map[string]string // for /config.json
	TempDir         string            // for spools; the system's when empty
	CacheDir        string            // keeps compiled modules; for this set only when empty, or not private
	Limits          input.Limits
}

func (o Options) withDefaults() Options {
	if o.MemoryMiB <= 0 {
		o.MemoryMiB = 256
	}
	if o.DescribeTimeout <= 0 {
		o.DescribeTimeout = 30 * time.Second
	}
	if o.AnalyzeTimeout <= 0 {
		o.AnalyzeTimeout = 2 * time.Minute
	}
	if o.Fuel <= 0 {
		o.Fuel = DefaultFuel
	}
	if o.Jobs <= 0 {
		o.Jobs = 2
	}
	return o
}

// Describe runs a module's describe only. The declaration holds when the
// result's status is [abi.ModuleOK].
func Describe(ctx context.Context, m Module, o Options) (abi.Declaration, abi.ModuleResult) {
	s := Load(ctx, []Module{m}, o)
	defer s.Close()
	<-s.ready
	u := s.units[0]
	if !u.ended() {
		u.result.Status = abi.ModuleOK
	}
	return u.decl, u.result
}

// Run runs the modules over the bundle and returns one run for each, in their
// order. It never fails as a whole: a module that cannot be run says so in
// its status.
func Run(ctx context.Context, modules []Module, o Options) []abi.ModuleRun {
	s := Load(ctx, modules, o)
	defer s.Close()
	return s.Run(ctx, o)
}
