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
// The child inherits two files, the module and a read-only spool that holds
// nothing but the declared inputs, and talks over stdin and stdout in frames.
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
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"sync"
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
	maxIdle      = 8        // children kept between describe and analyze
	maxNameBytes = 200
)

// Module is one WebAssembly file. Name is what to call it until it has
// described itself; the rest may be left out.
type Module struct {
	Name string
	Wasm []byte

	Refuse     string                      // why it may not run, not even to describe itself
	Admit      func(abi.Declaration) error // asked once it has described itself: an error refuses it
	Signer     string                      // fingerprint of the key that signed it, for the result
	MemoryMiB  int                         // a bound of its own, below that of Options
	OwnsTopics bool                        // no other module may declare a rule below the topics of its rules
}

// Options say how to run modules, and over what.
type Options struct {
	Exec            []string          // command line that runs [Child], such as {os.Executable(), "sandbox-child"}
	MemoryMiB       int               // linear memory of a module; 256
	DescribeTimeout time.Duration     // wall time to compile, and to describe; 30 s each
	AnalyzeTimeout  time.Duration     // wall time to analyze; 2 min
	Jobs            int               // modules at a time; 2
	Bundle          fs.FS             // paths without the top folder
	BundleID        string            // seeds the random numbers of a module
	CaptureTime     time.Time         // where the clock of a module starts
	Settings        map[string]string // for /config.json
	TempDir         string            // for spools; the system's when empty
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
	if o.Jobs <= 0 {
		o.Jobs = 2
	}
	return o
}

// Describe runs a module's describe only. The declaration holds when the
// result's status is [abi.ModuleOK].
func Describe(ctx context.Context, m Module, o Options) (abi.Declaration, abi.ModuleResult) {
	o = o.withDefaults()
	j := newJob(m, o)
	j.describe(ctx)
	j.close()
	return j.run.Declaration, j.result()
}

// Run runs the modules over the bundle and returns one run for each, in their
// order. It never fails as a whole: a module that cannot be run says so in
// its status.
func Run(ctx context.Context, modules []Module, o Options) []abi.ModuleRun {
	o = o.withDefaults()
	jobs := make([]*job, len(modules))
	for i, m := range modules {
		jobs[i] = newJob(m, o)
	}
	defer func() {
		for _, j := range jobs {
			j.close()
		}
	}()
	each(jobs, o.Jobs, func(i int, j *job) {
		j.describe(ctx)
		if i >= maxIdle {
			j.stop() // compiles again for analyze
		}
	})
	refuseDuplicates(jobs)
	project(ctx, jobs, o)
	each(jobs, o.Jobs, func(_ int, j *job) { j.analyze(ctx) })
	runs := make([]abi.ModuleRun, len(jobs))
	for i, j := range jobs {
		runs[i] = j.finish()
	}
	return runs
}

// each calls f for every job that has not ended, n at a time.
func each(jobs []*job, n int, f func(int, *job)) {
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, j := range jobs {
		if j.ended() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i, j)
		})
	}
	wg.Wait()
}

// refuseDuplicates ends every module that declares a rule, or bears the name,
// of one before it, or that declares a rule in a topic that another one owns.
func refuseDuplicates(jobs []*job) {
	rules, names, owners := map[string]string{}, map[string]bool{}, map[string]string{}
	for _, j := range jobs {
		for _, r := range j.run.Declaration.Rules {
			if j.m.OwnsTopics {
				owners[topic(r.ID)] = j.run.Declaration.Name
			}
		}
	}
	for _, j := range jobs {
		if j.ended() {
			continue
		}
		d := j.run.Declaration
		if names[d.Name] {
			j.disown(fmt.Sprintf("a module named %s is there already", d.Name))
			continue
		}
		for _, r := range d.Rules {
			if owner, taken := rules[r.ID]; taken {
				j.disown(fmt.Sprintf("rule %s is declared by module %s already", r.ID, owner))
				break
			}
			if owner, taken := owners[topic(r.ID)]; taken && !j.m.OwnsTopics {
				j.disown(fmt.Sprintf("rule %s: the topic %s is that of module %s; rules of others have topics of their own", r.ID, topic(r.ID), owner))
				break
			}
		}
		if j.ended() {
			continue
		}
		names[d.Name] = true
		for _, r := range d.Rules {
			rules[r.ID] = d.Name
		}
	}
}

func topic(rule string) string {
	t, _, _ := strings.Cut(rule, "/")
	return t
}

// project fills the spools of all modules that are still in, in one pass.
func project(ctx context.Context, jobs []*job, o Options) {
	var in []*job
	var reqs []input.Request
	for _, j := range jobs {
		if !j.ended() {
			in = append(in, j)
			reqs = append(reqs, input.Request{Inputs: j.run.Declaration.Inputs, Spool: j.files.spool})
		}
	}
	if len(in) == 0 {
		return
	}
	projections, err := input.Project(ctx, o.Bundle, reqs, o.Limits)
	for i, j := range in {
		if err != nil {
			j.end(abi.ModuleFailed, "its inputs could not be read: "+err.Error())
			continue
		}
		j.inputs = projections[i]
		if err := j.seal(o); err != nil {
			j.end(abi.ModuleFailed, err.Error())
		}
	}
}

// seal adds the configuration and the list of files to the spool.
func (j *job) seal(o Options) error {
	config, err := json.Marshal(abi.Config{ABI: abi.VersionMax, CaptureTime: o.CaptureTime.UTC().Format(time.RFC3339), Settings: o.Settings})
	if err != nil {
		return err
	}
	j.inputs.Add("config.json", append(config, '\n'))
	j.spooled, err = j.inputs.Seal()
	return err
}

// digest names a module by its bytes.
func digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// seed gives a module random numbers that are its own and the bundle's.
func seed(bundleID, digest string) []byte {
	sum := sha256.Sum256([]byte(bundleID + "\x00" + digest))
	return sum[:]
}
