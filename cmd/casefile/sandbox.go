package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
)

// sandboxVerb starts this binary as the killable child that runs one module.
// It stands outside the command line proper, since it is nobody's business.
const sandboxVerb = "sandbox-child"

func sandboxChild() int { return host.Child(os.Stdin, os.Stdout) }

// sandboxOptions say how modules run, for every verb that runs some. Compiled
// modules are kept in the user's cache folder.
func sandboxOptions() (host.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return host.Options{}, fmt.Errorf("cannot find this program to start the sandbox with: %w", err)
	}
	o := host.Options{Exec: []string{self, sandboxVerb}}
	if dir, err := os.UserCacheDir(); err == nil {
		o.CacheDir = filepath.Join(dir, "casefile", "modules")
	}
	return o, nil
}

// sandboxFlags bound the modules of analyze.
func sandboxFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Int64Flag{Name: "fuel", Usage: fmt.Sprintf("`STEPS` that one run of a module may take; %d if not given", int64(host.DefaultFuel))},
		&cli.IntFlag{Name: "memory", Value: 512, Usage: "`MIB` of memory for one module"},
		&cli.DurationFlag{Name: "module-timeout", Value: time.Minute, Usage: "stop a module after `DURATION`"},
		&cli.IntFlag{Name: "jobs", Value: 2, Usage: "run `N` modules, or nodes of a module, at a time"},
		&cli.BoolFlag{Name: "no-cache", Usage: "compile every module anew: neither use nor keep compiled ones (casefile/modules in the user's cache folder)"},
	}
}

const sandboxHelp = `A module is stopped by the steps it takes (fuel: the same count on every machine), by
memory, by time and by what it prints; it keeps the findings it printed before. On
Linux its process has also lost, by seccomp and Landlock, every file, the network and
other processes; a report names what a kernel lacks of that ("unguarded").`

func sandboxOptionsOf(c *cli.Context) (host.Options, error) {
	if c.Int("memory") < 16 || c.Int("memory") > 4096 || c.Int("jobs") < 1 || c.Int("jobs") > 64 || c.Duration("module-timeout") <= 0 {
		return host.Options{}, usagef("--memory is 16 to 4096 MiB, --jobs 1 to 64, --module-timeout longer than nothing")
	}
	if c.IsSet("fuel") && c.Int64("fuel") < 1 {
		return host.Options{}, usagef("--fuel is a number of steps, such as %d", int64(host.DefaultFuel))
	}
	o, err := sandboxOptions()
	if err != nil {
		return o, err
	}
	o.MemoryMiB, o.Jobs, o.AnalyzeTimeout, o.Fuel = c.Int("memory"), c.Int("jobs"), c.Duration("module-timeout"), c.Int64("fuel")
	if c.Bool("no-cache") {
		o.CacheDir = ""
	}
	return o, nil
}
