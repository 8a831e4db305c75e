//go:build !unix

package main

import "context"

// onSignal has no signal to wait for here.
func onSignal(context.Context, func()) {}
