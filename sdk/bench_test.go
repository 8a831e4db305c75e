package sdk

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// benchPod is what a rule about pods reads of them.
type benchPod struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
		Owners    []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Node string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      string `json:"phase"`
		Containers []struct {
			Name     string `json:"name"`
			Restarts int    `json:"restartCount"`
			Ready    bool   `json:"ready"`
			Last     struct {
				Terminated *struct {
					Reason   string `json:"reason"`
					ExitCode int    `json:"exitCode"`
				} `json:"terminated"`
			} `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

// benchFiles lays out n pods in both forms.
func benchFiles(n int) (ndjson, rows fstest.MapFS) {
	paths, _ := fieldsOf(reflect.TypeFor[benchPod]())
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"_at":%d,"metadata":{"namespace":"team-%d","name":"web-5d9c7f6b8-%05d","uid":"6f1c2b3a-0000-4000-8000-%012d","ownerReferences":[{"kind":"ReplicaSet","name":"web-5d9c7f6b8"}]},"spec":{"nodeName":"worker-%d"},"status":{"phase":"Running","containerStatuses":[{"name":"app","restartCount":%d,"ready":true,"lastState":{"terminated":{"reason":"OOMKilled","exitCode":137}}},{"name":"proxy","ready":true}]}}`,
			i+1, i%50, i, i, i%100, i%7+1))
	}
	return fstest.MapFS{"in/pods.ndjson": {Data: []byte(strings.Join(lines, "\n") + "\n")}},
		fstest.MapFS{"in/pods.rows": {Data: encodeRows(shapeOf(paths), lines...)}}
}

// BenchmarkRows reads 20,000 pods from rows, and from JSON as the peer. Run it
// as a guest too: analyzers-wasm/rules does, BenchmarkGuestRows.
func BenchmarkRows(b *testing.B) {
	const pods = 20_000
	ndjson, rows := benchFiles(pods)
	for _, form := range []struct {
		name  string
		files fstest.MapFS
	}{{"rows", rows}, {"ndjson", ndjson}} {
		b.Run(form.name, func(b *testing.B) {
			for b.Loop() {
				in, n := &Input{shared: &shared{fsys: form.files}}, 0
				for p := range Resource[benchPod]("pods", "v1/pods").Rows(in) {
					n += p.Status.Containers[0].Restarts
				}
				if in.err != nil || n < pods {
					b.Fatal(n, in.err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pods, "ns/row")
		})
	}
}
