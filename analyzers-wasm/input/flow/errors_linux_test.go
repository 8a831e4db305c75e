package flow

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// sameErrors holds ICMP errors against tshark: their packet, what they say,
// and whose packet they quote.
func sameErrors(t *testing.T, peer []map[string]string, flows []Row, total *totals) {
	t.Helper()
	got := map[string]string{}
	for _, r := range flows {
		for _, e := range r.ICMP {
			whose, other := r.A, r.B
			if e.About == "b" {
				whose, other = r.B, r.A
			}
			got[strconv.Itoa(e.Packet)] = fmt.Sprintf("%s %d %d %d %s %d %s %d", e.From, e.Type, e.Code, e.MTU, whose.IP, whose.Port, other.IP, other.Port)
		}
	}
	for _, r := range peer {
		src, dst := strings.Split(r["ip.src"]+r["ipv6.src"], ";"), strings.Split(r["ip.dst"]+r["ipv6.dst"], ";")
		number := func(names ...string) int {
			n := 0
			for _, name := range names {
				v, _ := strconv.Atoi(r[name])
				n += v
			}
			return n
		}
		if !quoted(r) || len(src) != 2 || number("tcp.srcport", "udp.srcport") == 0 {
			continue
		}
		total.add("icmp", 1)
		head := fmt.Sprintf("%s %d %d %d", src[0], number("icmp.type", "icmpv6.type"), number("icmp.code", "icmpv6.code"), number("icmp.mtu", "icmpv6.mtu"))
		want := fmt.Sprintf("%s %s %d %s %d", head, src[1], number("tcp.srcport", "udp.srcport"), dst[1], number("tcp.dstport", "udp.dstport"))
		if g := got[r["frame.number"]]; g != want {
			t.Errorf("packet %s: got %q, tshark has %q", r["frame.number"], g, want)
		}
	}
}
