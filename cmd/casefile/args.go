package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// reorder puts flags before arguments, so that both orders work: cli v2 alone
// stops looking for flags at the first argument. It also turns down unknown
// flags with a hint, before anything runs.
func reorder(app *cli.App, argv []string) ([]string, error) {
	if len(argv) == 0 {
		return argv, nil
	}
	out := append([]string(nil), argv[0])
	rest := argv[1:]
	commands, flags := app.Commands, append([]cli.Flag{cli.HelpFlag, cli.VersionFlag}, app.Flags...)
	var path []string
	for len(rest) > 0 {
		next := findCommand(commands, rest[0])
		if next == nil {
			break
		}
		path = append(path, next.Name)
		out = append(out, rest[0])
		rest = rest[1:]
		commands, flags = next.Subcommands, append([]cli.Flag{cli.HelpFlag}, next.Flags...)
	}
	options, arguments, err := splitFlags(flags, rest, strings.Join(path, " "))
	if err != nil {
		return nil, err
	}
	out = append(out, options...)
	if len(arguments) > 0 && strings.HasPrefix(arguments[0], "-") {
		out = append(out, "--")
	}
	return append(out, arguments...), nil
}

// verbOf is how the running verb is called, "bundle info".
func verbOf(c *cli.Context) string { return strings.TrimPrefix(c.Command.HelpName, "casefile ") }

func findCommand(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func splitFlags(flags []cli.Flag, args []string, verb string) (options, arguments []string, err error) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return options, append(arguments, args[i+1:]...), nil
		}
		if len(a) < 2 || a[0] != '-' {
			arguments = append(arguments, a)
			continue
		}
		name, _, inline := strings.Cut(strings.TrimLeft(a, "-"), "=")
		f := findFlag(flags, name)
		if f == nil {
			return nil, nil, usagef("unknown flag %s; see casefile %s", a, strings.TrimSpace(verb+" --help"))
		}
		options = append(options, a)
		if inline || !takesValue(f) {
			continue
		}
		if i++; i == len(args) {
			return nil, nil, usagef("flag %s needs a value; see casefile %s", a, strings.TrimSpace(verb+" --help"))
		}
		options = append(options, args[i])
	}
	return options, arguments, nil
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}
