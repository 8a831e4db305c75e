//go:build linux

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// manyRules is a proxy's table of n services, each with a rule and an element.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("table ip kube-proxy {\n map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = {\n")
	for i := range n {
		fmt.Fprintf(&b, "10.%d.%d.%d . tcp . 80 comment \"shop/svc-%d:http\" : goto c%d,\n", 96+i>>16, i>>8&255, i&255, i, i%8)
	}
	b.WriteString("} }\n")
	for c := range 8 {
		fmt.Fprintf(&b, "chain c%d {\n", c)
		for i := range n / 8 {
			fmt.Fprintf(&b, "ip saddr 10.200.%d.%d tcp dport %d counter packets 1 bytes 2 accept comment \"shop/svc-%d\"\n", i>>8&255, i&255, 1+i%60000, i)
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// heapSink discards what it gets and remembers the largest live heap.
type heapSink struct{ bytes, heap, lines int }

func (h *heapSink) Put(_ string, _ collector.Class, r io.Reader) (int64, error) {
	buf := make([]byte, 32<<10)
	for next := 0; ; {
		n, err := r.Read(buf)
		h.bytes += n
		h.lines += strings.Count(string(buf[:n]), "\n")
		if h.bytes >= next {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			h.heap, next = max(h.heap, int(m.HeapAlloc)), next+1<<20
		}
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (h *heapSink) Frames([]string, io.Reader) error { return errors.New("no frames here") }

func TestLargeRulesetIsStreamed(t *testing.T) {
	ns, pid := oneNamespace(t, "l")
	const n = 20_000
	feed(t, ns, manyRules(n), "nft", "-f", "-")
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	sink := &heapSink{}
	results := collector.Run(t.Context(), sink, []collector.Collector{spaceCollector{inodeOf(t, pid), pid, func(g *gatherer) { g.netfilter(t.Context(), "", false, false) }}}, collector.Options{})
	if sink.lines != 1+8+1+n+n {
		t.Errorf("%d rows", sink.lines)
	}
	if grown := sink.heap - int(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d bytes of rows grew the heap by %d", sink.bytes, grown)
	}
	for _, r := range results {
		if r.Path == "nftables.txt" && (r.Status != collector.StatusSkipped || !strings.Contains(r.Reason, "40000 rules and elements")) {
			t.Errorf("%+v", r)
		}
	}
	if len(results) != 3 {
		t.Errorf("%+v", results)
	}
}

// A dump in a namespace that is cancelled half-way says that it is not whole.
func TestRulesetCancelled(t *testing.T) {
	ns, pid := oneNamespace(t, "k")
	feed(t, ns, manyRules(800), "nft", "-f", "-")
	ctx, cancel := context.WithCancel(t.Context())
	_, results := inSpace(t, pid, func(g *gatherer) {
		g.stream(ctx, "cut.ndjson", func(enc *json.Encoder) error {
			rs := ruleset{dump: newDump(ctx, unix.NETLINK_NETFILTER), dec: newNFTDecoder(), enc: enc, compat: map[string]bool{}}
			cancel()
			return rs.write()
		})
	})
	if len(results) != 1 || results[0].Status != collector.StatusPartial {
		t.Errorf("%+v", results)
	}
}

// BenchmarkRuleset reads 20,000 rules and as many elements, and has nft do so.
func BenchmarkRuleset(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("makes network namespaces: needs root")
	}
	ns := fmt.Sprintf("cfnode-bench%d", os.Getpid())
	run := func(stdin string, args ...string) *os.ProcessState {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		if err := cmd.Run(); err != nil {
			b.Fatal(args, err)
		}
		return cmd.ProcessState
	}
	run("", "ip", "netns", "add", ns)
	b.Cleanup(func() { run("", "ip", "netns", "del", ns) })
	run(manyRules(20_000), "ip", "netns", "exec", ns, "nft", "-f", "-")
	b.Run("casefile", func(b *testing.B) {
		collector.OnOwnThread(func() {
			fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = unix.Setns(fd, unix.CLONE_NEWNET)
			}
			if err != nil {
				b.Error(err)
				return
			}
			for b.Loop() {
				rs := ruleset{dump: newDump(b.Context(), unix.NETLINK_NETFILTER), dec: newNFTDecoder(), enc: json.NewEncoder(io.Discard), compat: map[string]bool{}}
				if err := rs.write(); err != nil || rs.rules != 20_000 || rs.elements != 20_000 {
					b.Error(err, rs.rules, rs.elements)
				}
			}
		})
	})
	for _, args := range []string{"nft -j list ruleset", "nft -a list ruleset"} {
		b.Run(args, func(b *testing.B) {
			var rss int64
			for b.Loop() {
				usage := run("", append(strings.Fields("ip netns exec "+ns), strings.Fields(args)...)...).SysUsage().(*syscall.Rusage)
				rss = max(rss, usage.Maxrss)
			}
			b.ReportMetric(float64(rss)/1024, "MiB-RSS")
		})
	}
}

func FuzzNFTables(f *testing.F) {
	body := append([]byte{2, 0, 0, 0}, attrText(1, "t")...)
	expr := attr(4, attr(1, append(attrText(1, "payload"), attr(2, append(attr(1, []byte{0, 0, 0, 1}), attr(2, []byte{0, 0, 0, 1})...))...)))
	f.Add("rule", append(append(body, attrText(2, "c")...), expr...))
	f.Add("set", append(append(body, attrText(2, "s")...), attr(4, []byte{0, 0, 0, 7})...))
	f.Add("elements", append(append(body, attrText(2, "s")...), attr(3, attr(1, attr(1, attr(1, []byte{10, 0, 0, 1}))))...))
	f.Add("object", append(append(body, attrText(2, "o")...), attr(3, []byte{0, 0, 0, 1})...))
	f.Add("flowtable", append(append(body, attrText(2, "f")...), attr(3, append(attr(1, []byte{0, 0, 0, 0}), attr(3, attrText(1, "eth0"))...))...))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		d := newNFTDecoder()
		d.sets["ip t"] = map[string]setTypes{"s": {key: newKeyType(7<<12|12<<6|13, d.types), data: newKeyType(7, d.types)}}
		if kind == "elements" {
			r := ranges{types: d.sets["ip t"]["s"], emit: func(nftRow) error { return nil }}
			_ = d.elements(nlmsg{body: body}, r.add)
			_ = r.close()
			return
		}
		row, ok := d.row(nlmsg{body: body}, kind)
		if !ok {
			return
		}
		if _, err := json.Marshal(row); err != nil {
			t.Error(err)
		}
	})
}

// What this kernel cannot make, from its bytes.
func TestFlowtableAndMergedLoads(t *testing.T) {
	d := newNFTDecoder()
	hook := append(append(attr(1, []byte{0, 0, 0, 0}), attr(2, []byte{255, 255, 255, 246})...), attr(3, append(attrText(1, "eth0"), attrText(1, "eth1")...))...)
	body := append([]byte{1, 0, 0, 0}, append(append(attrText(1, "filter"), attrText(2, "ft")...), attr(3, hook)...)...)
	row, _ := d.row(nlmsg{body: body}, "flowtable")
	if row.Name != "ft" || row.Hook != "ingress" || row.Priority == nil || *row.Priority != -10 || strings.Join(row.Devices, " ") != "eth0 eth1" {
		t.Errorf("%+v", row)
	}
	for _, c := range []struct {
		h            header
		offset, size int
		bytes        []byte
		field, text  string
	}{
		{ip4Header(), 12, 8, []byte{10, 0, 0, 1, 10, 0, 0, 2}, "ip saddr . ip daddr", "10.0.0.1 . 10.0.0.2"},
		{portHeader(), 0, 4, []byte{0, 80, 1, 187}, "th sport . th dport", "80 . 443"},
		{ip4Header(), 10, 6, []byte{1, 2, 10, 0, 0, 1}, "ip saddr", "258 . 10.0.0.1"},
		{linkHeader(), 0, 12, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, "ether daddr . ether saddr", "02:00:00:00:00:01 . 02:00:00:00:00:02"},
		{ip4Header(), 13, 2, []byte{1, 2}, "", "258"},
	} {
		if h := c.h.at(c.offset, c.size); h.field != c.field || h.text(c.bytes) != c.text {
			t.Errorf("%d+%d is %q, %q", c.offset, c.size, h.field, h.text(c.bytes))
		}
	}
}

// What is beyond the bounds is named in the result, and the rest still comes.
func TestLargeSetIsCut(t *testing.T) {
	ns, pid := oneNamespace(t, "c")
	var b strings.Builder
	b.WriteString("table ip t {\nset big { type ipv4_addr; elements = {\n")
	for i := range maxSetElements + 5 {
		fmt.Fprintf(&b, "10.%d.%d.%d,\n", i>>16, i>>8&255, i&255)
	}
	b.WriteString("} }\nset small { type ipv4_addr; elements = { 10.0.0.1 } }\nchain c {\ncounter\n}\n}\n")
	feed(t, ns, b.String(), "nft", "-f", "-")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.netfilter(t.Context(), "", false, true) })
	counts := map[string]int{}
	for _, r := range rows[nftRow](t, sink, "nftables.ndjson") {
		counts[r.Kind+" "+r.Set]++
	}
	if counts["element big"] != maxSetElements || counts["element small"] != 1 || counts["rule "] != 1 {
		t.Errorf("%v", counts)
	}
	for _, r := range results {
		if r.Path == "nftables.ndjson" && (r.Status != collector.StatusPartial || !strings.Contains(r.Reason, "set big of table t has more than 50000 elements")) {
			t.Errorf("%+v", r)
		}
	}
}
