// Command builtin is the WebAssembly module of the built-in rules:
//
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o builtin.wasm ./analyzers-wasm/builtin
package main

import (
	"github.com/casefile-io/casefile/analyzers-wasm/rules"
	"github.com/casefile-io/casefile/sdk"
)

const version = "0.1.0"

func main() { sdk.Main(rules.Analyzer("builtin", version)) }
