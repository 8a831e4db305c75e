//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// onSignal calls f when SIGUSR1 comes.
func onSignal(ctx context.Context, f func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		defer signal.Stop(c)
		select {
		case <-c:
			f()
		case <-ctx.Done():
		}
	}()
}

// ignoreBrokenPipe makes writing to a pipe that nobody reads an error, so that
// what runs elsewhere can be ended.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
