package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testCollect checks the shape of a bundle of a real cluster: every node and
// every pod's namespace is in it, the capture opens in tshark, the seal holds,
// and nothing is left behind in the cluster.
func testCollect(t *testing.T, k *kit) {
	pod := strings.TrimSpace(k.kubectl(t, "-n", "cf-demo", "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName=cf-n2", "-o", "jsonpath={.items[0].metadata.name}"))
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.tar.zst")
	t.Setenv("CASEFILE_KEY_PASSWORD", "e2e")
	k.run(t, time.Minute, 0, "keygen", "-o", filepath.Join(dir, "site"))
	key := filepath.Join(dir, "site")

	traffic, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for traffic.Err() == nil {
			_ = exec.CommandContext(traffic, filepath.Join(k.scripts, "workload.sh"), "check").Run()
		}
	}()
	k.run(t, 5*time.Minute, 0, "collect", "-o", file, "--key", key+".key", "--yes", "--sample-interval", "3s",
		"--capture", "pod/cf-demo/"+pod, "--capture-duration", "8s", "--label", "ticket=4711", "--note", "e2e")
	stop()

	k.run(t, time.Minute, 0, "verify", file, "--key", key+".pub")
	assertWholeNodes(t, k, file, key+".pub")
	assertCapture(t, k, file, key+".pub", dir)
	assertNothingLeft(t, k)
}

func assertWholeNodes(t *testing.T, k *kit, file, key string) {
	t.Helper()
	how := []string{"--key", key}
	if key == "" {
		how = []string{"--unverified"}
	}
	listing, _ := k.run(t, time.Minute, 0, append([]string{"bundle", "ls", file}, how...)...)
	var pods struct {
		Items []struct {
			Metadata struct{ UID, Name string }
			Spec     struct {
				NodeName    string
				HostNetwork bool
			}
		}
	}
	if err := json.Unmarshal([]byte(k.kubectl(t, "get", "pods", "-A", "-o", "json")), &pods); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"cf-n1", "cf-n2", "cf-n3"} {
		info, _ := k.run(t, time.Minute, 0, append([]string{"bundle", "cat", file, "nodes/" + node + "/node.json"}, how...)...)
		var n struct {
			Netns []struct {
				Inode  uint64
				PodUID string
			}
		}
		if err := json.Unmarshal([]byte(info), &n); err != nil {
			t.Fatalf("%s: %v", node, err)
		}
		known := map[string]bool{}
		for _, ns := range n.Netns {
			known[ns.PodUID] = true
		}
		for _, p := range pods.Items {
			if p.Spec.NodeName == node && !p.Spec.HostNetwork && !known[p.Metadata.UID] {
				t.Errorf("%s: no network namespace of pod %s (%s)", node, p.Metadata.Name, p.Metadata.UID)
			}
			if p.Spec.HostNetwork && known[p.Metadata.UID] {
				t.Errorf("%s: the node's own namespace is said to be that of pod %s", node, p.Metadata.Name)
			}
		}
		for _, want := range []string{"/0/proc/net/netstat", "/1/proc/net/netstat", "/1/net/sockets.ndjson", "/1/net/routes.ndjson", "/1/cgroups.ndjson", "/kmsg.ndjson"} {
			if !strings.Contains(listing, "nodes/"+node+want) {
				t.Errorf("%s: no %s", node, want)
			}
		}
	}
}

func assertCapture(t *testing.T, k *kit, file, key, dir string) {
	t.Helper()
	k.run(t, time.Minute, 0, "bundle", "extract", file, "-C", filepath.Join(dir, "x"), "--key", key)
	found, _ := filepath.Glob(filepath.Join(dir, "x", "*", "captures", "*", "*.pcapng"))
	if len(found) == 0 {
		found, _ = filepath.Glob(filepath.Join(dir, "x", "captures", "*", "*.pcapng"))
	}
	if len(found) != 1 {
		t.Fatalf("want one capture, have %q", found)
	}
	out, err := exec.Command("tshark", "-n", "-r", found[0], "-T", "fields", "-e", "ip.src", "-Y", "tcp").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "10.244.") {
		t.Errorf("tshark: %v\n%s", err, out)
	}
}

func assertNothingLeft(t *testing.T, k *kit) {
	t.Helper()
	if out := k.agents(t); out != "" {
		t.Errorf("left behind:\n%s", out)
	}
}

// agents lists what of Casefile exists in the cluster.
func (k *kit) agents(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(k.kubectl(t, "get", "jobs,pods", "-A", "-l", "app.kubernetes.io/name=casefile-agent", "-o", "name"))
}

// testKilled kills the command line at a random moment: the agents notice, and
// the cluster forgets their Jobs.
func testKilled(t *testing.T, k *kit) {
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		cmd := k.command(ctx, t, "collect", "--no-sign", "--yes", "-o", filepath.Join(t.TempDir(), "b.tar.zst"), "--sample-interval", "20s")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + time.Duration(rand.Int64N(int64(10*time.Second))))
		cancel() // SIGKILL
		_ = cmd.Wait()
		if k.agents(t) == "" {
			t.Log("killed before a Job was made")
		}
	}
	deadline := time.Now().Add(4 * time.Minute)
	for k.agents(t) != "" {
		if time.Now().After(deadline) {
			t.Fatalf("still there four minutes after the kill:\n%s", k.agents(t))
		}
		time.Sleep(2 * time.Second)
	}
}

// testDenied collects as a user who may read next to nothing: the bundle is
// partial, the exit code says so, and every denial is listed.
func testDenied(t *testing.T, k *kit) {
	k.kubectl(t, "create", "clusterrolebinding", "e2e-nobody", "--clusterrole=system:discovery", "--user=nobody")
	k.kubectl(t, "create", "rolebinding", "-n", "cf-demo", "e2e-nobody", "--clusterrole=view", "--user=nobody")
	file := filepath.Join(t.TempDir(), "b.tar.zst")
	k.run(t, 2*time.Minute, 4, "collect", "--as", "nobody", "--no-sign", "--nodes", "none", "-o", file)
	results, _ := k.run(t, time.Minute, 0, "bundle", "cat", file, "collection/results.ndjson", "--unverified")
	for _, want := range []string{`"status":"denied"`, "cluster/resources/core/v1/nodes"} {
		if !strings.Contains(results, want) {
			t.Errorf("results lack %s", want)
		}
	}
	file = filepath.Join(t.TempDir(), "nodes.tar.zst")
	k.run(t, 2*time.Minute, 4, "collect", "--as", "nobody", "--no-sign", "--yes", "-o", file)
	results, _ = k.run(t, time.Minute, 0, "bundle", "cat", file, "collection/results.ndjson", "--unverified")
	if !strings.Contains(results, `"source":"nodes","status":"denied"`) {
		t.Error("the refusal to list nodes is not in the results")
	}
}

// testMistaken gives targets that are not there: exit 2, and what comes close.
func testMistaken(t *testing.T, k *kit) {
	for target, want := range map[string]string{
		"pod/cf-demo/nope": "nope", "service/cf-demo/wep": "web", "node/cf-n9": "cf-n", "pod/nope": "namespace is missing", "pod/a/b=port port": "port",
	} {
		file := filepath.Join(t.TempDir(), "b.tar.zst")
		_, log := k.run(t, time.Minute, 2, "collect", "--no-sign", "--yes", "-o", file, "--capture", target)
		if !strings.Contains(log, want) {
			t.Errorf("--capture %s: %s", target, log)
		}
	}
	if _, log := k.run(t, time.Minute, 0, "agent", "cleanup", "-A"); !strings.Contains(log, "nothing to remove") {
		t.Errorf("cleanup: %s", log)
	}
	assertNothingLeft(t, k)
}

// testCosign holds the seal and every attestation against the field's own
// verifier, without network.
func testCosign(t *testing.T, k *kit) {
	dir := t.TempDir()
	t.Setenv("CASEFILE_KEY_PASSWORD", "")
	key, public := filepath.Join(dir, "site.key"), filepath.Join(dir, "site.pub")
	k.run(t, time.Minute, 0, "keygen", "-o", filepath.Join(dir, "site"))
	file := filepath.Join(dir, "b.tar.zst")
	k.run(t, 2*time.Minute, 0, "collect", "--nodes", "none", "-o", file, "--key", key)
	k.run(t, time.Minute, 0, "bundle", "review", file, "--key", public, "--approve", "--sign-key", key)
	if out, err := exec.Command("tar", "--zstd", "-xf", file, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	manifests, _ := filepath.Glob(filepath.Join(dir, "casefile-*", "manifest.json"))
	if len(manifests) != 1 {
		t.Fatalf("manifests: %q", manifests)
	}
	in := func(name string) string { return filepath.Join(filepath.Dir(manifests[0]), name) }
	text, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Tree struct{ Root []byte } }
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	approval, err := os.ReadFile(in("approvals.jsonl")) // one line, so that it is one attestation
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("approval.json"), approval, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"verify-blob", "--bundle", in("manifest.sigstore.json"), in("manifest.json")},
		{"verify-blob-attestation", "--type", "https://casefile.dev/provenance/v1", "--bundle", in("provenance.sigstore.json"), in("index.jsonl")},
		{"verify-blob-attestation", "--type", "https://casefile.dev/tree/v1", "--bundle", in("tree.sigstore.json"), "--digest", fmt.Sprintf("%x", m.Tree.Root), "--digestAlg", "sha256"},
		{"verify-blob-attestation", "--type", "https://casefile.dev/approval/v1", "--bundle", in("approval.json"), in("manifest.json")},
	} {
		out, err := cosign(k, public, args)
		if err != nil || !strings.Contains(out, "Verified OK") {
			t.Errorf("cosign %q: %v\n%s", args, err, out)
		}
	}
	if out, err := cosign(k, public, []string{"verify-blob-attestation", "--type", "https://casefile.dev/provenance/v1", "--bundle", in("provenance.sigstore.json"), in("manifest.json")}); err == nil {
		t.Errorf("cosign takes the provenance for that of another file:\n%s", out)
	}
}

func cosign(k *kit, public string, args []string) (string, error) {
	args = append([]string{"-n", filepath.Join(k.home, "bin", "cosign"), args[0], "--key", public, "--insecure-ignore-tlog"}, args[1:]...)
	out, err := exec.Command("unshare", args...).CombinedOutput()
	return string(out), err
}
