package sdk_test

import (
	"os"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk"
)

type examplePod struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

func stuck() sdk.Rule {
	pods := sdk.Resource[examplePod]("pods", "v1/pods")
	return sdk.Rule{
		ID: "demo/stuck", Severity: sdk.Low, Layer: sdk.LayerWorkload,
		Text:   map[string]sdk.Text{"en": {Title: "Pod is pending", Message: "{pod} waits for a node"}},
		Inputs: []sdk.Source{pods},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for p, at := range pods.Rows(in) {
				if p.Status.Phase == "Pending" {
					out.Find(sdk.Finding{
						Subject:  sdk.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name},
						Params:   map[string]any{"pod": p.Metadata.Name},
						Evidence: []sdk.Evidence{sdk.At(at)},
					})
				}
			}
			return nil
		},
	}
}

// An analyzer is run as the host runs it: over the files of its inputs.
func Example() {
	a := sdk.Analyzer{Name: "demo", Version: "1.0.0", Rules: []sdk.Rule{stuck()}}
	files := fstest.MapFS{
		"in/pods.ndjson": {Data: []byte(`{"_at":1,"metadata":{"namespace":"shop","name":"web-1"},"status":{"phase":"Pending"}}`)},
		"in/pods.index":  {Data: []byte(`{"complete":true,"rows":1}`)},
	}
	if err := a.Analyze(files, os.Stdout, os.Stderr); err != nil {
		panic(err)
	}
	// Output:
	// {"rule":"demo/stuck","subject":{"kind":"Pod","namespace":"shop","name":"web-1"},"params":{"pod":"web-1"},"evidence":[{"at":1}]}
	// {"rule":"demo/stuck","outcome":"found"}
}
