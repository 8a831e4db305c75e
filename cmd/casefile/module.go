package main

import (
	"github.com/urfave/cli/v2"
)

const moduleHelp = `A module is an analyzer as one WebAssembly file. Anybody can write one, in Go, Rust, C,
AssemblyScript or TinyGo, and anybody can run it: it sees nothing but the inputs that it
declares, and its memory, time and output are bounded.

For authors, from an empty folder to a signed module:
   casefile module new acme-queues && cd acme-queues
   make test build                       go test, then the same cases as WebAssembly
   casefile module check acme-queues.wasm
   casefile keygen -o acme
   casefile module sign acme-queues.wasm --key acme.key
   casefile analyze bundle.tar.zst --module acme-queues.wasm

For those who run modules of others, a policy says whose rules may run. It is
casefile/modules.json in the config folder, or --module-policy FILE:
   {"version": 1, "keys": [
     {"name": "acme", "key": "acme.pub", "rules": ["acme-queues/*"], "memoryMiB": 256}
   ]}
A key is a file beside the policy, or the PEM itself, or a "fingerprint" of the trust folder.
"rules" are topic/name, topic/* or *; "modules" (names), "memoryMiB" and "fuel" bound it
further. Where there is a policy, what it does not let in is not run, and analyze ends with 5.`

func moduleCommand() *cli.Command {
	return &cli.Command{
		Name:            "module",
		Usage:           "write, test, sign and check analyzers of your own",
		Description:     moduleHelp,
		HideHelpCommand: true,
		Action:          noSubVerb,
		Subcommands: []*cli.Command{
			moduleNewCommand(),
			moduleDescribeCommand(),
			moduleCheckCommand(),
			moduleTestCommand(),
			moduleSignCommand(),
			moduleVerifyCommand(),
			modulePushCommand(),
			modulePullCommand(),
		},
	}
}
