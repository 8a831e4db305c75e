//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const setsOfAllKinds = `create a hash:ip hashsize 1024 maxelem 500 counters comment
add a 10.0.0.1 packets 5 bytes 300 comment "shop/web"
add a 10.0.0.2
create b hash:net timeout 3000
add b 10.1.0.0/16 timeout 0
add b 10.2.0.0/16 nomatch timeout 0
create c hash:ip,port
add c 10.0.0.3,tcp:80
add c 10.0.0.3,udp:53
add c 10.0.0.3,icmp:ping
create d hash:ip,port,ip family inet6
add d fd00::1,tcp:443,fd00::2
create e hash:net,iface
add e 10.3.0.0/16,eth0
create f hash:ip,port,net
add f 10.0.0.4,tcp:8080,10.4.0.0/16
create g bitmap:port range 0-1000
add g 80
add g 443
create h bitmap:ip range 10.5.0.0-10.5.0.255
add h 10.5.0.7
create i list:set size 8
add i a
add i b
create k hash:net family inet6
add k fd00:1::/48
create l bitmap:ip,mac range 10.6.0.0/24
add l 10.6.0.1,02:00:00:00:00:01
create m hash:net,port
add m 10.7.0.0/16,tcp:22
`

func TestIPSetsAgainstTool(t *testing.T) {
	ns, pid := oneNamespace(t, "s")
	feed(t, ns, setsOfAllKinds, "ipset", "restore")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.netfilter(t.Context(), "", false, false) })
	allOK(t, results)
	var want []string
	for line := range strings.Lines(sh(t, "ip netns exec "+ns+" ipset list -o save")) {
		f := strings.Fields(line)
		if f[0] == "create" {
			want = append(want, f[1]+" "+f[2])
			continue
		}
		s := "  " + f[1] + " " + strings.Replace(f[2], "icmp:echo-request", "icmp:8/0", 1)
		for i := 3; i < len(f); i++ {
			switch f[i] {
			case "packets", "bytes", "comment":
				s += " " + f[i] + " " + strings.Trim(f[i+1], `"`)
			case "nomatch":
				s += " nomatch"
			}
		}
		want = append(want, s)
	}
	refs := map[string]uint64{}
	got := lines(rows[ipsetRow](t, sink, "ipsets.ndjson"), func(r ipsetRow) string {
		if r.Kind == "set" {
			refs[r.Set] = r.References
			if r.Set == "a" && (r.Elements != 2 || r.MaxElements != 500 || r.HashSize != 1024 || r.MemBytes == 0) || r.Set == "g" && r.Range != "0-1000" || r.Set == "h" && r.Range != "10.5.0.0-10.5.0.255" {
				t.Errorf("%+v", r)
			}
			return r.Set + " " + r.Type
		}
		s := "  " + r.Set + " " + r.Key
		if len(r.Flags) > 0 {
			s += " " + strings.Join(r.Flags, " ")
		}
		switch {
		case r.Counter != nil:
			s += fmt.Sprintf(" packets %d bytes %d", r.Counter.Packets, r.Counter.Bytes)
		case r.Set == "a":
			s += " packets 0 bytes 0"
		}
		if r.Comment != "" {
			s += " comment " + r.Comment
		}
		return s
	})
	compare(t, "sets", want, got)
	if refs["a"] != 1 || refs["c"] != 0 {
		t.Errorf("references %v", refs)
	}
}

func TestLargeIPSet(t *testing.T) {
	ns, pid := oneNamespace(t, "e")
	var b strings.Builder
	b.WriteString("create big hash:ip maxelem 70000\ncreate after hash:ip\nadd after 10.0.0.1\n")
	for i := range maxSetElements + 5 {
		fmt.Fprintf(&b, "add big 10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	feed(t, ns, b.String(), "ipset", "restore")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.stream(t.Context(), "ipsets.ndjson", ipsets(t.Context())) })
	if n := len(rows[ipsetRow](t, sink, "ipsets.ndjson")); n != maxSetElements+3 {
		t.Errorf("%d rows", n)
	}
	if len(results) != 1 || results[0].Status != "partial" || !strings.Contains(results[0].Reason, "set big has more than") {
		t.Errorf("%+v", results)
	}
}

// A kernel without a part is not asked for it.
func TestKernelParts(t *testing.T) {
	parts, err := readSymbols(strings.NewReader("0000000000000000 T nft_register_chain_type\t[nf_tables]\n0000000000000000 t other\n"))
	if err != nil || !parts["nf_tables"] || parts["ip_set"] || len(parts) != 1 {
		t.Errorf("%v, %v", parts, err)
	}
	parts.readModules([]byte("ip_set 65536 1 ip_set_hash_net, Live 0x0\nother 1 0 - Live 0x0\n"))
	if !parts["ip_set"] || len(parts) != 2 {
		t.Errorf("%v", parts)
	}
	_, pid := oneNamespace(t, "o")
	sink, results := inSpace(t, pid, func(g *gatherer) {
		g.parts = kernelParts{"nf_tables": true}
		g.netfilter(t.Context(), "", true, false)
	})
	if _, asked := sink.files["ipsets.ndjson"]; asked || len(results) != 4 || !strings.Contains(fmt.Sprint(results), "asking would load it") {
		t.Errorf("%+v", results)
	}
}

func FuzzIPSet(f *testing.F) {
	f.Add(append([]byte{2, 0, 0, 0}, append(append(attrText(2, "a"), attrText(3, "hash:ip,port")...), attr(8, attr(7, append(attr(1, attr(1, []byte{10, 0, 0, 1})), attr(4, []byte{0, 80})...)))...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = newIPSetDecoder().rows(b, func(r ipsetRow) error {
			_, err := json.Marshal(r)
			return err
		})
	})
}
