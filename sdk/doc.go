// Package sdk is what the author of an analyzer writes against. It needs the
// standard library only and compiles for GOOS=wasip1 GOARCH=wasm as well as
// natively, so that go test runs a rule as the plain function it is.
//
// # A module
//
// A module is a main package of one line around a list of rules:
//
//	func main() { sdk.Main(sdk.Analyzer{Name: "mine", Version: "1.0.0", Rules: []sdk.Rule{stuck()}}) }
//
// A [Rule] names what it looks for, what it reads and a function:
//
//	type pod struct {
//		Metadata struct {
//			Namespace string `json:"namespace"`
//			Name      string `json:"name"`
//		} `json:"metadata"`
//		Status struct {
//			Phase string `json:"phase"`
//		} `json:"status"`
//	}
//
//	func stuck() sdk.Rule {
//		pods := sdk.Resource[pod]("pods", "v1/pods")
//		return sdk.Rule{
//			ID: "demo/stuck", Severity: sdk.Low, Layer: sdk.LayerWorkload,
//			Text:   map[string]sdk.Text{"en": {Title: "Pod is pending", Message: "{pod} waits for a node"}},
//			Inputs: []sdk.Source{pods},
//			Run: func(in *sdk.Input, out *sdk.Reporter) error {
//				for p, at := range pods.Rows(in) {
//					if p.Status.Phase == "Pending" {
//						out.Find(sdk.Finding{
//							Subject:  sdk.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name},
//							Params:   map[string]any{"pod": p.Metadata.Name},
//							Evidence: []sdk.Evidence{sdk.At(at)},
//						})
//					}
//				}
//				return nil
//			},
//		}
//	}
//
// # Inputs
//
// A module sees what its rules declare and nothing else. Which fields of an
// object or a table's line it needs follows from the json tags of the type:
// nested structs and slices of structs are walked, and a map, a slice of
// plain values, an any or a type that decodes itself takes the whole subtree
// at its place. The host leaves out what is zero, so an absent number is 0;
// where false and absent differ, declare the subtree (a map or a type with
// UnmarshalJSON). Embed [Place] in the type of a table below nodes/ to learn
// the row's node, network namespace and sample.
//
// Rules may declare the same input; equal declarations are merged. Rows
// streams and keeps nothing; All decodes once and keeps the rows for every
// rule of the run; [Memo] does the same for what is computed from them.
//
// # Outcomes
//
// A rule that reported is found. A rule that did not is clear, unless an
// input was incomplete, reading failed, Run returned an error or panicked, or
// the rule called [Reporter.Unknown]: then it is unknown, with the reason and
// the names of the inputs that were lacking. Inputs wrapped in [Optional] do
// not count. A failing rule costs only itself.
//
// Report in a fixed order (sort what comes out of maps): two runs over one
// bundle give the same bytes.
package sdk
