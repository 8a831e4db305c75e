package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// checkFlags belong to bundle redact --check.
func checkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "check", Usage: "make nothing: look for secrets that are still in the bundle; exit status 1 when there are any"},
		&cli.StringFlag{Name: "canary", Usage: "with --check: also look for each line of `FILE` (- is stdin), plain or encoded"},
		&cli.StringSliceFlag{Name: "canary-value", Usage: "with --check: also look for `VALUE`, may be repeated; it is better not to have it in the shell's history"},
	}
}

// checkBundle is bundle redact --check FILE.
func checkBundle(*cli.Context) error {
	return errors.New("bundle redact --check is not there yet")
}
