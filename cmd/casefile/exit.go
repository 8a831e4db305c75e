package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/casefile-io/casefile/bundle"
)

// Exit codes; the first of failed, usage, forged, finding, incomplete that
// applies wins.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitFinding    = 3
	exitIncomplete = 4
	exitForged     = 5
)

// exitError carries an exit code; its text may be empty when all was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, a ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, a...)}
}

// incompletef ends a run that is done but lacks something.
func incompletef(format string, a ...any) error {
	return &exitError{exitIncomplete, fmt.Errorf(format, a...)}
}

// exitCode gives the code that an error stands for.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrSignature), errors.Is(err, bundle.ErrUnknownSigner):
		return exitForged
	}
	return exitFailed
}

// worst picks the code that wins out of several.
func worst(a, b int) int {
	for _, c := range []int{exitFailed, exitUsage, exitForged, exitFinding, exitIncomplete} {
		if a == c || b == c {
			return c
		}
	}
	return exitOK
}

// printError prints an error as one line for a person and returns the exit code.
func printError(ctx context.Context, w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	text := oneLine(err.Error())
	switch {
	case ctx.Err() != nil && code == exitFailed:
		fmt.Fprintf(w, "casefile: interrupted: %s\n", text)
	case text == "":
	case code == exitIncomplete || code == exitFinding:
		fmt.Fprintf(w, "casefile: %s\n", text)
	default:
		fmt.Fprintf(w, "casefile: error: %s\n", text)
	}
	return code
}

// oneLine keeps what libraries say from breaking the line or the terminal.
// An error that is meant to have lines keeps them by beginning with a newline
// in its tail: only control characters other than newline are taken out.
func oneLine(s string) string { return visible(strings.TrimSpace(s)) }

// visible takes out what could move the cursor, and keeps lines and indents.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, s)
}
