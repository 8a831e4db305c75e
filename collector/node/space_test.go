//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/collector"
)

// oneNamespace has a process in it and is named for the test.
func oneNamespace(t *testing.T, letter string) (name string, pid int) {
	t.Helper()
	needRoot(t, "ip", "nft", "iptables", "ip6tables", "ipset", "ethtool", "tc", "bridge")
	name = fmt.Sprintf("cfnode-%s%d", letter, os.Getpid())
	sh(t, "ip netns add "+name+" && ip -n "+name+" link set lo up")
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	return name, sitIn(t, name, "listen:127.0.0.1:7001")
}

// feed runs a program in a namespace with input.
func feed(t *testing.T, netns, input string, program ...string) {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", netns}, program...)...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", program, err, out)
	}
}

// inSpace runs fn in the namespace of a process, with a gatherer of its own.
func inSpace(t *testing.T, pid int, fn func(*gatherer)) (*memSink, []collector.Result) {
	t.Helper()
	sink := newMemSink()
	return sink, collector.Run(t.Context(), sink, []collector.Collector{spaceCollector{inodeOf(t, pid), pid, fn}}, collector.Options{})
}

type spaceCollector struct {
	inode uint64
	pid   int
	fn    func(*gatherer)
}

func (s spaceCollector) Name() string { return "space" }

func (s spaceCollector) Collect(_ context.Context, out *collector.Output) (err error) {
	g := &gatherer{o: Options{Node: "n1", Host: true, ProcRoot: "/proc", Root: "/"}, out: out}
	collector.OnOwnThread(func() {
		if err = enter("/proc", Netns{Inode: s.inode, pids: []int{s.pid}}); err == nil {
			s.fn(g)
		}
	})
	return err
}

// allOK fails for every result that is not.
func allOK(t *testing.T, results []collector.Result) {
	t.Helper()
	for _, r := range results {
		if r.Status != collector.StatusOK {
			t.Errorf("%s %s: %s", r.Path, r.Status, r.Reason)
		}
	}
}
