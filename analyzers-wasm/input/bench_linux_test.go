//go:build linux

package input

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// The benchmarks read 20,000 pods and tell, beside bytes a second, the bytes of
// JSON for a second of CPU: that is the figure of a core, whoever else computes.

const benchPods = 20_000

// pod is what an API server lists, but for managed fields: most of it nobody
// asks for.
const pod = `{"metadata":{"name":"web-7c9d8b6f54-%05[1]d","generateName":"web-7c9d8b6f54-","namespace":"team-%02[2]d","uid":"5f0c2f4e-93a1-4c55-8a0e-%012[1]d","resourceVersion":"81%06[1]d","creationTimestamp":"2026-03-02T08:15:%02[3]dZ",` +
	`"labels":{"app.kubernetes.io/name":"web","app.kubernetes.io/instance":"web-%02[2]d","app.kubernetes.io/managed-by":"Helm","pod-template-hash":"7c9d8b6f54"},` +
	`"annotations":{"checksum/config":"b0f2d5ab9cd0a6ff7d8e41d7b4f92c9ee35e2fd2d7a2f10a7b1b6f4f5ee05bd5","prometheus.io/scrape":"true","prometheus.io/port":"9102","team.example/on-call":"платформа \u2013 \"web\""},` +
	`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7c9d8b6f54","uid":"d4e9b2a0-8a60-4d1e-9c70-3d8f0f4c1b11","controller":true,"blockOwnerDeletion":true}]},` +
	`"spec":{"volumes":[{"name":"config","configMap":{"name":"web-config","defaultMode":420}},{"name":"kube-api-access-x7k2p","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},{"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],"defaultMode":420}}],` +
	`"containers":[%[4]s],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"web","serviceAccount":"web","nodeName":"worker-%03[2]d","securityContext":{"runAsNonRoot":true,"fsGroup":2000},"schedulerName":"default-scheduler",` +
	`"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"},` +
	`"status":{"phase":"Running","conditions":[%[5]s],"hostIP":"10.0.%[2]d.7","podIP":"10.244.%[2]d.%[3]d","podIPs":[{"ip":"10.244.%[2]d.%[3]d"}],"startTime":"2026-03-02T08:15:%02[3]dZ","containerStatuses":[%[6]s],"qosClass":"Burstable"}}` + "\n"

const container = `{"name":"%[1]s","image":"registry.example/team/%[1]s:1.42.%[2]d","args":["--listen=:8080","--log-level=info"],"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}],` +
	`"env":[{"name":"POD_NAME","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"}}},{"name":"DATABASE_URL","value":"postgres://web@db.team.svc.cluster.local:5432/web?sslmode=verify-full"},{"name":"GOMEMLIMIT","value":"230MiB"},{"name":"OTEL_RESOURCE_ATTRIBUTES","value":"service.name=web,deployment.environment=production"}],` +
	`"resources":{"limits":{"cpu":"1","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"name":"config","readOnly":true,"mountPath":"/etc/web"},{"name":"kube-api-access-x7k2p","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],` +
	`"livenessProbe":{"httpGet":{"path":"/healthz","port":"http","scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}`

const containerStatus = `{"name":"%[1]s","state":{"running":{"startedAt":"2026-03-02T08:15:20Z"}},"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled","startedAt":"2026-03-02T08:15:01Z","finishedAt":"2026-03-02T08:15:19Z"}},"ready":true,"restartCount":%[2]d,` +
	`"image":"registry.example/team/%[1]s:1.42.%[2]d","imageID":"registry.example/team/%[1]s@sha256:3f1e0f5d1b0a4f8e5a7c9d2b6e4f1a0c8b7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f","containerID":"containerd://9b1c0a7d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b","started":true}`

func podLines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		var specs, conditions, statuses []string
		for _, name := range []string{"web", "sidecar"} {
			specs = append(specs, fmt.Sprintf(container, name, i%9))
			statuses = append(statuses, fmt.Sprintf(containerStatus, name, i%9))
		}
		for _, kind := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
			conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-03-02T08:15:20Z"}`, kind))
		}
		fmt.Fprintf(&b, pod, i, i%50, i%60, strings.Join(specs, ","), strings.Join(conditions, ","), strings.Join(statuses, ","))
	}
	return b.Bytes()
}

var podFields = []string{"metadata.{namespace,name}", "spec.nodeName", "status.phase", "status.containerStatuses[].{name,restartCount,lastState.terminated.{reason,exitCode}}"}

// podOfFields is a struct with the same fields.
type podOfFields struct {
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
			LastState    struct {
				Terminated struct {
					Reason   string `json:"reason"`
					ExitCode int    `json:"exitCode"`
				} `json:"terminated"`
			} `json:"lastState"`
		} `json:"containerStatuses"`
	} `json:"status"`
}

// perCore runs a benchmark over size bytes and reports them for a second of CPU.
func perCore(b *testing.B, size int, run func()) {
	b.SetBytes(int64(size))
	from := cpuTime()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/(cpuTime()-from).Seconds(), "MB/cpu-s")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // with these arguments it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// count is a spool that only counts.
type count struct{ n int64 }

func (c *count) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func (c *count) ReadAt([]byte, int64) (int, error) { panic("nothing is read back") }

func BenchmarkProject(b *testing.B) {
	text := podLines(benchPods)
	bundle := fstest.MapFS{"cluster/resources/core/v1/pods/a.ndjson": {Data: text}}
	for _, modules := range []int{1, 4, 20} {
		b.Run(fmt.Sprintf("modules=%d", modules), func(b *testing.B) {
			perCore(b, len(text), func() {
				var reqs []Request
				for range modules {
					reqs = append(reqs, Request{Inputs: []abi.Input{{Name: "pods", Resource: "v1/pods", Fields: podFields, Form: abi.FormRows}}, Spool: &count{}})
				}
				if ps, err := Project(context.Background(), bundle, reqs, Limits{}); err != nil || ps[0].Index()["pods"].Rows != benchPods {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkDecode is the peer: encoding/json into a struct of the same fields.
func BenchmarkDecode(b *testing.B) {
	text := podLines(benchPods)
	perCore(b, len(text), func() {
		n := 0
		for line := range bytes.Lines(text) {
			var p podOfFields
			if err := json.Unmarshal(line, &p); err != nil || p.Metadata.Name == "" {
				b.Fatal(err)
			}
			n++
		}
		if n != benchPods {
			b.Fatal(n)
		}
	})
}
