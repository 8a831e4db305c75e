// Command bad is a module that breaks the ABI in the way it was built for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

var fault string // set by the linker

func main() {
	if os.Args[1] == "describe" {
		fmt.Println(`{"abi":[1,1],"name":"bad","version":"1","inputs":[{"name":"rows","table":"nodes/*/x.ndjson"}],"rules":[{"id":"bad/rule","severity":"low","layer":"app","text":{"en":{"title":"t","message":"{a}"},"zh":{"title":"t","message":"{b}"}}}]}`)
		return
	}
	switch fault {
	case "rubbish":
		fmt.Println("hello")
	case "strict":
		text, _ := os.ReadFile("/in/rows.ndjson")
		for line := range strings.Lines(string(text)) {
			var row struct {
				At   int    `json:"_at"`
				Node string `json:"_node"`
				N    int    `json:"n"`
			}
			dec := json.NewDecoder(strings.NewReader(line))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&row); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		fmt.Println(`{"rule":"bad/rule","outcome":"clear"}`)
	}
}
