// Command pods reads all pods and finds the one that restarts: a module of the
// benchmarks, which put another number into its name.
package main

import "github.com/casefile-io/casefile/sdk"

const name = "pods-00"

type pod struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase             string `json:"phase"`
		ContainerStatuses []struct {
			Name         string `json:"name"`
			RestartCount int    `json:"restartCount"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

func main() {
	pods := sdk.Resource[pod]("pods", "v1/pods")
	sdk.Main(sdk.Analyzer{Name: name, Version: "1.0.0", Rules: []sdk.Rule{{
		ID: name + "/restarts", Severity: sdk.Medium, Layer: sdk.LayerWorkload,
		Text:   map[string]sdk.Text{"en": {Title: "It restarts", Message: "{container} was started {count} times"}},
		Inputs: []sdk.Source{pods},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for p, at := range pods.Rows(in) {
				for _, c := range p.Status.ContainerStatuses {
					if p.Status.Phase == "Running" && c.RestartCount > 100 {
						out.Find(sdk.Finding{
							Subject:  sdk.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, Node: p.Spec.NodeName},
							Params:   map[string]any{"container": c.Name, "count": c.RestartCount},
							Evidence: []sdk.Evidence{sdk.At(at)},
						})
					}
				}
			}
			return nil
		},
	}}})
}
