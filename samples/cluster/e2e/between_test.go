package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// contrasts is what the test reads of probes/contrasts.json.
type contrasts struct {
	Cells   []struct{ ID, From, Outcome, Reason, Lookup string }
	Reading struct {
		Outcome, Failures string
		Differs           []struct {
			Axis         string
			Works, Fails []string
		}
	}
}

func (c contrasts) String() string {
	var b strings.Builder
	for _, x := range c.Cells {
		fmt.Fprintf(&b, "\n  %-24s %-12s %s %s", x.ID, x.Outcome, x.Lookup, x.Reason)
	}
	return fmt.Sprintf("%+v%s", c.Reading, b.String())
}

// axis returns the cells that fail along an axis where others work.
func (c contrasts) axis(name string) []string {
	for _, d := range c.Reading.Differs {
		if d.Axis == name {
			return d.Fails
		}
	}
	return nil
}

// testBetween holds the four contrasts of a pair to a healthy cluster, and to
// faults that each show along one of them.
func testBetween(t *testing.T, k *kit) {
	k.apply(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"client","namespace":"cf-demo"},"spec":{"nodeName":"cf-n1","terminationGracePeriodSeconds":1,`+
		`"containers":[{"name":"c","image":"cf.local/nettool:1","args":["sleep"]}]}}`)
	defer k.kubectl(t, "-n", "cf-demo", "delete", "pod", "client", "--grace-period=1")
	k.kubectl(t, "-n", "cf-demo", "wait", "--for=condition=Ready", "pod/client", "--timeout=15s")
	web := k.kubectl(t, "-n", "cf-demo", "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName=cf-n2", "-o", "jsonpath={.items[0].metadata.name}")
	a, b := "pod/cf-demo/client", "pod/cf-demo/"+web

	healthy := k.between(t, a, b, "--probe", "clock", "--probe", "dns:web.cf-demo.svc", "--probe", "tcp:mesh", "--probe", "mtu:node/cf-n2@node/cf-n1", "--probe", "http://web.cf-demo.svc/@"+a)
	if healthy.Reading.Outcome != "all-connected" || len(healthy.Reading.Differs) != 0 || len(healthy.Cells) != 8 {
		t.Errorf("a healthy cluster: %s", healthy)
	}
	for _, c := range []struct {
		fault, node, axis, fails string
	}{
		{"syn-drop", "2", "node", "pod-to-pod-other"},
		{"service-blackhole", "1", "service", "pod-to-service"},
		{"coredns-down", "", "name", "pod-to-service-name"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			script := filepath.Join("faults", c.fault+".sh")
			if c.node != "" {
				t.Setenv("NODE", c.node)
			}
			defer k.script(t, 3*time.Minute, script, "undo")
			k.script(t, 3*time.Minute, script, "inject")
			got := k.between(t, a, b)
			if !slices.Contains(got.axis(c.axis), c.fails) {
				t.Errorf("want %s to fail along the axis %s: %s", c.fails, c.axis, got)
			}
		})
	}
}

// between collects with --between and checks that both ends were captured.
func (k *kit) between(t *testing.T, a, b string, more ...string) contrasts {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	args := append([]string{"collect", "--no-sign", "--yes", "-o", file, "--samples", "1", "--capture-duration", "15s", "--between", a + " " + b}, more...)
	_, log := k.run(t, 3*time.Minute, 0, args...)
	if !strings.Contains(log, "They will send, as asked for") {
		t.Errorf("what is sent was not shown:\n%s", log)
	}
	list, _ := k.run(t, time.Minute, 0, "bundle", "ls", "--unverified", file, "captures/*/*")
	for _, folder := range []string{strings.ReplaceAll(a, "/", "_"), strings.ReplaceAll(b, "/", "_"), "node_cf-n1", "node_cf-n2"} {
		if !strings.Contains(list, "captures/"+folder+"/") {
			t.Errorf("%s was not captured:\n%s", folder, list)
		}
	}
	if len(more) > 0 {
		k.assertProbes(t, file)
	}
	text, _ := k.run(t, time.Minute, 0, "bundle", "cat", "--unverified", file, "probes/contrasts.json")
	var c contrasts
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Logf("%s", c)
	return c
}

// assertProbes holds the rows of a healthy cluster's probes to what they must
// say.
func (k *kit) assertProbes(t *testing.T, file string) {
	t.Helper()
	for path, wants := range map[string][]string{
		"probes/clock.ndjson":       {`"node":"cf-n1","peer":"node","method":"stream"`, `"node":"cf-n3"`, `"peer":"api-server","method":"http-date"`},
		"probes/dns.ndjson":         {`"row":"summary","host":"web.cf-demo.svc"`, `"from":"pod/`, `"outcome":"ok"`, `"cluster.local"`},
		"probes/tcp.ndjson":         {`"target":"node/cf-n3"`, `"cell":"pod-to-service-name"`, `"outcome":"connected"`},
		"probes/mtu.ndjson":         {`"from":"node/cf-n1"`, `"outcome":"ok"`, `"mtu":1500`},
		"probes/http.ndjson":        {`"from":"pod/cf-demo/client"`, `"status":200`},
		"collection/actions.ndjson": {`"node":"cf-n1"`, `"node":"cf-n2"`, `"kind":"http"`, `"ended":true`},
	} {
		text, _ := k.run(t, time.Minute, 0, "bundle", "cat", "--unverified", file, path)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%.3000s", path, want, text)
			}
		}
	}
}

func (k *kit) apply(t *testing.T, manifest string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(k.home, "bin", "kubectl"), "--kubeconfig", filepath.Join(k.home, "admin.conf"), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}
