package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// vendorObjects are a cluster of the PostgreSQL operator, without operator and
// without PostgreSQL: its pods run fake-postgres. The second instance follows
// the first, the third asks where nobody listens; a client holds more
// connections than the ten that there are beside that of the replica.
const vendorObjects = `
apiVersion: v1
kind: Service
metadata: {name: main-rw, namespace: cf-pg}
spec: {selector: {postgres.example.com/cluster: main, role: primary}, ports: [{name: sql, port: 5432}, {name: nobody, port: 5433}]}
---
apiVersion: postgres.example.com/v1
kind: Cluster
metadata: {name: main, namespace: cf-pg}
spec: {instances: 3, parameters: {max_connections: "12", superuser_reserved_connections: "2"}}
status:
  primary: main-1
  instances:
  - {name: main-1, role: primary, ready: true}
  - {name: main-2, role: replica, ready: true, streaming: true}
  - {name: main-3, role: replica, ready: true}
  archive: {lastSuccess: "2026-01-01T00:00:00Z"}
`

// vendorPod is one of its pods, on node n.
func vendorPod(name, node string, labels, container string) string {
	return `
---
apiVersion: v1
kind: Pod
metadata: {name: ` + name + `, namespace: cf-pg, labels: {` + labels + `}}
spec:
  nodeName: ` + node + `
  terminationGracePeriodSeconds: 1
  volumes: [{name: pgdata, emptyDir: {medium: Memory, sizeLimit: 2Mi}}]
  containers: [{name: postgres, image: "cf.local/nettool:1", ` + container + `, volumeMounts: [{name: pgdata, mountPath: /var/lib/postgresql/data}]}]
`
}

// testVendor plays a vendor and a customer: a signed module of the vendor's,
// a bundle of just what it declares, and its findings in it.
func testVendor(t *testing.T, k *kit) {
	dir := t.TempDir()
	module := vendorModule(t, dir)
	k.kubectl(t, "apply", "-f", filepath.Join(k.scripts, "..", "analyzers", "postgres", "crd.yaml"))
	defer k.kubectl(t, "delete", "crd", "clusters.postgres.example.com", "--wait=false")
	k.kubectl(t, "create", "namespace", "cf-pg")
	defer k.kubectl(t, "delete", "namespace", "cf-pg", "--wait=false")
	k.kubectl(t, "wait", "--for=condition=Established", "crd/clusters.postgres.example.com", "--timeout=15s")
	member := "postgres.example.com/cluster: main"
	k.apply(t, vendorObjects+
		vendorPod("main-1", "cf-n1", member+", role: primary", `args: [fake-postgres, ":5432", "11"]`)+
		vendorPod("main-2", "cf-n2", member, `args: [fake-postgres, ":5432", "10", "main-rw.cf-pg:5432"]`)+
		vendorPod("main-3", "cf-n3", member, `args: [fake-postgres, ":5432", "10", "main-rw.cf-pg:5433"]`))
	k.kubectl(t, "-n", "cf-pg", "wait", "--for=condition=Ready", "pods", "--all", "--timeout=30s")
	k.waitFor(t, "main-2 to follow", func() bool {
		return strings.Contains(k.kubectl(t, "-n", "cf-pg", "logs", "main-2"), "started streaming")
	})
	k.apply(t, vendorPod("app", "cf-n3", "app: web", `args: [hold, "main-rw.cf-pg:5432", "14", "1h"]`))
	k.kubectl(t, "-n", "cf-pg", "exec", "main-1", "--", "dd", "if=/dev/zero", "of=/var/lib/postgresql/data/wal", "bs=65536", "count=31")
	k.waitFor(t, "main-1 to refuse", func() bool {
		return strings.Contains(k.kubectl(t, "-n", "cf-pg", "logs", "main-1"), "too many clients")
	})
	k.waitFor(t, "main-3 to complain", func() bool {
		return strings.Contains(k.kubectl(t, "-n", "cf-pg", "logs", "main-3"), "could not connect")
	})

	file := filepath.Join(dir, "for.tar.zst")
	_, log := k.run(t, 2*time.Minute, 0, "collect", "--no-sign", "--yes", "-o", file, "-n", "cf-pg", "--for", module, "--module-key", filepath.Join(dir, "vendor.pub"))
	if !strings.Contains(log, "collecting for postgres-operator@1.0.0 alone") {
		t.Errorf("it does not say for whom it collects:\n%s", log)
	}
	k.assertJustThat(t, file)
	out, _ := k.run(t, 2*time.Minute, 0, "analyze", file, "--unverified", "--format", "json", "--no-builtin", "--module", module)
	var r abi.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for rule, want := range map[string]string{
		"postgres/connections-exhausted": "found cf-pg/main-1", "postgres/replica-not-streaming": "found cf-pg/main-3",
		"postgres/data-disk-full": "found cf-pg/main-1", "postgres/idle-pile-up": "clear", "postgres/archive-failing": "clear",
		"postgres/synchronous-standby-missing": "clear",
	} {
		if got := told(r, rule); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
	assertNothingLeft(t, k)
}

// vendorModule builds the vendor's module and signs it.
func vendorModule(t *testing.T, dir string) string {
	t.Helper()
	module := filepath.Join(dir, "postgres.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", module, "../../analyzers/postgres")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"keygen", "-o", filepath.Join(dir, "vendor")}, {"module", "sign", module, "--key", filepath.Join(dir, "vendor.key")}} {
		cmd := exec.Command(os.Getenv("CASEFILE_BIN"), args...)
		cmd.Env = append(os.Environ(), "CASEFILE_KEY_PASSWORD=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return module
}

// told is a rule's outcome and whom it was found about.
func told(r abi.Report, rule string) string {
	out := "not run"
	for _, x := range r.Rules {
		if x.Rule == rule {
			out = x.Outcome
		}
	}
	for _, f := range r.Findings {
		if f.Rule == rule {
			out += " " + f.Subject.Namespace + "/" + f.Subject.Name
		}
	}
	return out
}

// assertJustThat: the bundle holds what the module declares, and nothing else.
func (k *kit) assertJustThat(t *testing.T, file string) {
	t.Helper()
	list, _ := k.run(t, time.Minute, 0, "bundle", "ls", file, "--unverified")
	wanted := []string{"collection/", "cluster/version.json", "cluster/resources/postgres.example.com/v1/clusters/", "cluster/resources/core/v1/pods/cf-pg.ndjson",
		"cluster/resources/core/v1/persistentvolumeclaims/", "cluster/logs/cf-pg/"}
	for _, path := range strings.Fields(list) {
		ok := strings.HasSuffix(path, "/node.json") || strings.HasSuffix(path, "/mounts.ndjson") || strings.HasSuffix(path, "/0/net/sockets.ndjson")
		for _, w := range wanted {
			ok = ok || strings.HasPrefix(path, w)
		}
		if !ok {
			t.Errorf("%s is in a bundle that nobody wants it in", path)
		}
	}
}

// waitFor waits up to half a minute.
func (k *kit) waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	for range 60 {
		if there() {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}
