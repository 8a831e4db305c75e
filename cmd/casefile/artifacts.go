package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
)

// artifacts holds what `make build` made: the built-in module and the agents.
// A plain `go build` embeds only the README beside them.
//
//go:embed artifacts
var artifacts embed.FS

const maxAgentBytes = 64 << 20

// builtinModule returns the built-in analyzer module.
func builtinModule() ([]byte, error) {
	b, err := artifacts.ReadFile("artifacts/builtin.wasm")
	if err != nil {
		return nil, fmt.Errorf("this casefile was built without the built-in rules; build it with make build, or give --no-builtin --module FILE")
	}
	return b, nil
}

// agentBinary returns the node agent for linux/arch.
func agentBinary(arch string) ([]byte, error) {
	b, err := artifacts.ReadFile("artifacts/agent-linux-" + arch + ".gz")
	if err != nil {
		return nil, fmt.Errorf("this casefile was built without the node agent for linux/%s; build it with make build, or give --nodes none", arch)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	agent, err := io.ReadAll(io.LimitReader(z, maxAgentBytes+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(agent) > maxAgentBytes {
		err = fmt.Errorf("the embedded agent for linux/%s is larger than %d bytes", arch, maxAgentBytes)
	}
	return agent, err
}
