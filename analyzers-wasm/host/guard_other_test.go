//go:build !linux || !(amd64 || arm64)

package host

import "io"

const probeVerb = "sandbox-probe"

func probe(io.Reader, io.Writer) int { return 1 }
