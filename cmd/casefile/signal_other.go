//go:build !unix

package main

import (
	"context"
	"errors"
	"io"
)

// onSignal has no signal to wait for here.
func onSignal(context.Context, func()) {}

func ignoreBrokenPipe() {}

func isBrokenPipe(err error) bool { return errors.Is(err, io.ErrClosedPipe) }
