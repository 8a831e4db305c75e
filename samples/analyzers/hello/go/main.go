// Command hello is the smallest module: one rule, always clear.
//
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o hello.wasm .
package main

import "github.com/casefile-io/casefile/sdk"

func main() {
	sdk.Main(sdk.Analyzer{Name: "hello", Version: "1.0.0", Rules: []sdk.Rule{{
		ID: "hello/world", Severity: sdk.Info, Layer: sdk.LayerApp,
		Text: map[string]sdk.Text{"en": {Title: "Hello", Message: "Hello"}},
		Run:  func(*sdk.Input, *sdk.Reporter) error { return nil },
	}}})
}
