// Command bad is a module that breaks the ABI in the way it was built for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

var fault string // set by the linker

func main() {
	if os.Args[1] == "describe" {
		scope := "cluster"
		if fault == "node" {
			scope = "node"
		}
		fmt.Println(`{"abi":[1,1],"name":"bad","version":"1","scope":"` + scope + `","inputs":[{"name":"rows","table":"nodes/*/x.ndjson"}],"rules":[{"id":"bad/rule","severity":"low","layer":"app","text":{"en":{"title":"t","message":"{a}"},"zh":{"title":"t","message":"{b}"}}}]}`)
		return
	}
	switch fault {
	case "rubbish":
		fmt.Println("hello")
	case "node": // looks at one node, and trips over its row
		text, _ := os.ReadFile("/in/rows.ndjson")
		if strings.Contains(string(text), `"_node":"n1"`) {
			os.Exit(3)
		}
	case "tags": // wants the number of a row to be a number
		text, _ := os.ReadFile("/in/rows.rows")
		if strings.Contains(string(text), "\x06\x011") {
			os.Exit(4)
		}
	case "strict":
		if time.Now().Year() != 2026 { // not what config.json says
			os.Exit(5)
		}
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
