package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testCapture watches a pod while megabytes go through it: live into a file,
// until a counter moves, and in a bundle that runs out of its budget. What the
// captures say they hold is what tshark counts in them.
func testCapture(t *testing.T, k *kit) {
	one := func(jsonpath string) string {
		return strings.TrimSpace(k.kubectl(t, "-n", "cf-demo", "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName=cf-n2", "-o", "jsonpath="+jsonpath))
	}
	target, ip := "pod/cf-demo/"+one("{.items[0].metadata.name}"), one("{.items[0].status.podIP}")
	client := strings.TrimSpace(k.kubectl(t, "-n", "cf-demo", "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName=cf-n1", "-o", "jsonpath={.items[0].metadata.name}"))
	flood, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for flood.Err() == nil { // a megabyte each
			_ = exec.CommandContext(flood, filepath.Join(k.home, "bin", "kubectl"), "--kubeconfig", filepath.Join(k.home, "admin.conf"),
				"-n", "cf-demo", "exec", client, "--", "nettool", "get", "http://"+ip+":8080/big", "5s").Run()
		}
	}()
	dir := t.TempDir()

	live := filepath.Join(dir, "live.pcapng")
	k.run(t, time.Minute, 0, "capture", target, "--yes", "--filter", "tcp port 8080", "--duration", "4s", "-w", live)
	if n := frames(t, live); n < 50 {
		t.Errorf("the live capture holds %d packets", n)
	}
	shot := filepath.Join(dir, "shot.pcapng")
	k.run(t, time.Minute, 0, "capture", target, "--yes", "--ring", "128MiB", "--until", "counter Tcp.PassiveOpens +5", "--after", "1s", "--duration", "40s", "-w", shot)
	if n := frames(t, shot); n < 20 {
		t.Errorf("the flight recorder holds %d packets", n)
	}

	file := filepath.Join(dir, "full.tar.zst")
	k.run(t, 3*time.Minute, 4, "collect", "--no-sign", "--yes", "-o", file, "--nodes", "kubernetes.io/hostname=cf-n2", "--samples", "1", "--max-size", "9MB",
		"--capture", target+"=tcp port 8080", "--capture-duration", "15s", "--payload", "full", "--snaplen", "65535")
	k.run(t, time.Minute, 0, "verify", file, "--unverified")
	k.run(t, time.Minute, 0, "bundle", "extract", file, "--unverified", "-C", dir)
	assertTold(t, dir)
	stop()
	assertNothingLeft(t, k)
}

// assertTold holds what a capture's summary says against the file beside it.
func assertTold(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "captures", "*", "*.pcapng"))
	if err != nil || len(files) == 0 {
		files, _ = filepath.Glob(filepath.Join(dir, "captures", "*", "*.pcapng"))
	}
	if len(files) != 1 {
		t.Fatalf("captures: %v %v", files, err)
	}
	b, err := os.ReadFile(strings.TrimSuffix(files[0], ".pcapng") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Packets, Received, Dropped int
		Stopped                    string
	}
	if err := json.Unmarshal(b, &said); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if n := frames(t, files[0]); n != said.Packets || n == 0 || said.Received < n || said.Stopped != "size" {
		t.Errorf("%d packets in the file, its summary says %s", n, b)
	}
}

// frames counts the packets of a capture.
func frames(t *testing.T, file string) int {
	t.Helper()
	out, err := exec.Command("tshark", "-r", file, "-T", "fields", "-e", "frame.number").Output()
	if err != nil {
		t.Fatalf("tshark cannot read %s: %v", file, err)
	}
	return strings.Count(string(out), "\n")
}
