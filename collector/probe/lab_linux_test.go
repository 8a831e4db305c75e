package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/casefile-io/casefile/collector"
)

// lab is three network namespaces in a row: near (10.91.1.2), a router, and
// far (10.91.2.2), with IPv6 beside it. The second link takes 1400 bytes.
type lab struct {
	near, router, far string // names of the namespaces
}

const (
	far4, far6       = "10.91.2.2", "fd91:2::2"
	router4, router6 = "10.91.1.1", "fd91:1::1"
)

func newLab(t testing.TB) lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("needs root to make network namespaces")
		}
		t.Skip("needs root to make network namespaces")
	}
	needTool(t, "ip")
	tag := fmt.Sprintf("cfprobe-%d-%s-", os.Getpid(), strings.ToLower(t.Name()[4:min(len(t.Name()), 12)]))
	l := lab{tag + "near", tag + "router", tag + "far"}
	for _, ns := range []string{l.near, l.router, l.far} {
		run(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		run(t, "ip", "-n", ns, "link", "set", "lo", "up")
		l.in(t, ns, func() error {
			for _, kv := range [][2]string{{"net/ipv6/conf/all/accept_dad", "0"}, {"net/ipv6/conf/default/accept_dad", "0"}, {"net/ipv4/icmp_ratelimit", "0"},
				{"net/ipv6/icmp/ratelimit", "0"}, {"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"}} {
				if err := os.WriteFile("/proc/sys/"+kv[0], []byte(kv[1]), 0); err != nil {
					return err
				}
			}
			return nil
		})
	}
	run(t, "ip", "-n", l.near, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", l.router)
	run(t, "ip", "-n", l.far, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1", "netns", l.router)
	for _, a := range [][3]string{{l.near, "eth0", "10.91.1.2/24"}, {l.router, "eth0", router4 + "/24"}, {l.router, "eth1", "10.91.2.1/24"}, {l.far, "eth0", far4 + "/24"},
		{l.near, "eth0", "fd91:1::2/64"}, {l.router, "eth0", router6 + "/64"}, {l.router, "eth1", "fd91:2::1/64"}, {l.far, "eth0", far6 + "/64"}} {
		run(t, "ip", "-n", a[0], "link", "set", a[1], "up")
		run(t, append([]string{"ip", "-n", a[0], "addr", "add", a[2], "dev", a[1]}, map[bool][]string{true: {"nodad"}}[strings.Contains(a[2], ":")]...)...)
	}
	run(t, "ip", "-n", l.router, "link", "set", "eth1", "mtu", "1400")
	run(t, "ip", "-n", l.far, "link", "set", "eth0", "mtu", "1400")
	for _, r := range [][3]string{{l.near, "-4", router4}, {l.near, "-6", router6}, {l.far, "-4", "10.91.2.1"}, {l.far, "-6", "fd91:2::1"}} {
		run(t, "ip", "-n", r[0], r[1], "route", "add", "default", "via", r[2])
	}
	return l
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// in runs a function in a namespace.
func (l lab) in(t testing.TB, ns string, f func() error) {
	t.Helper()
	if err := l.place(ns).do(f); err != nil {
		t.Fatal(err)
	}
}

func (l lab) place(ns string) Place { return Place{NetnsPath: "/run/netns/" + ns} }

// nft makes rules the only ones of a namespace.
func (l lab) nft(t testing.TB, ns, hook string, rules ...string) {
	t.Helper()
	needTool(t, "nft")
	cmd := exec.Command("ip", "netns", "exec", ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("flush ruleset\ntable inet t {\nchain c {\ntype filter hook %s priority 0\n%s\n}\n}\n", hook, strings.Join(rules, "\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
}

// listen serves TCP connections in a namespace.
func (l lab) listen(t testing.TB, ns, addr string, serve func(net.Conn)) {
	t.Helper()
	var lis net.Listener
	l.in(t, ns, func() (err error) {
		lis, err = net.Listen("tcp", addr)
		return err
	})
	t.Cleanup(func() { lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// root makes a folder with a resolv.conf.
func root(t testing.TB, resolv string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/resolv.conf"), []byte(resolv), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rows runs probes in near and returns what was observed, by kind.
func (l lab) rows(t testing.TB, specs ...Spec) map[string][]json.RawMessage {
	t.Helper()
	for i := range specs {
		specs[i].From, specs[i].Place = "pod/shop/web-0", l.place(l.near)
	}
	var mu sync.Mutex
	rows := map[string][]json.RawMessage{}
	out := collector.NewOutput(nil, collector.Options{Observed: func(o collector.Observation) {
		mu.Lock()
		defer mu.Unlock()
		rows[o.Kind] = append(rows[o.Kind], o.Row)
	}})
	if err := New(Options{Node: "n1", Specs: specs}).Collect(context.Background(), out); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Results() {
		if r.Status != collector.StatusOK {
			t.Errorf("result %+v", r)
		}
	}
	if n := len(rows[collector.ActionKind]); n != 2*len(specs) {
		t.Errorf("%d lines of actions for %d probes", n, len(specs))
	}
	return rows
}

// row runs one probe that gives one row.
func row[T any](t testing.TB, l lab, s Spec) T {
	t.Helper()
	rows := l.rows(t, s)[s.Kind]
	if len(rows) != 1 {
		t.Fatalf("%d rows of %s: %s", len(rows), s.Kind, rows)
	}
	return decoded[T](t, rows[0])
}

func decoded[T any](t testing.TB, raw json.RawMessage) T {
	t.Helper()
	var r T
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return r
}

// needTool skips without a tool, but fails where the tools are promised.
func needTool(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if os.Getenv("CASEFILE_STRICT") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func commandIn(ns string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", ns}, args...)...)
}
