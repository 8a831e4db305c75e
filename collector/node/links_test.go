//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// variousLinks makes what this kernel offers.
func variousLinks(t *testing.T, ns string) {
	t.Helper()
	sh(t, fmt.Sprintf(`set -e
ip -n %[1]s link add br0 address 8a:11:22:33:44:55 type bridge stp_state 1 ageing_time 12300 forward_delay 200
ip -n %[1]s link add v0 type veth peer name v1
ip -n %[1]s link set v0 master br0 alias "to the pod" group 7
ip -n %[1]s link property add dev v0 altname altv
bridge -n %[1]s link set dev v0 isolated on hairpin on learning off
ip -n %[1]s link add link v1 name mv type macvlan mode bridge
ip -n %[1]s tuntap add tn mode tap multi_queue
ip -n %[1]s link add vx0 type vxlan id 42 dstport 8472 local 10.9.9.1 dev v1 nolearning ttl 5 gbp
ip -n %[1]s link add vx6 type vxlan id 43 dstport 4789 local fd00::1 group ff05::100 dev v1
ip -n %[1]s addr add 10.9.9.1/24 dev v1
ip -n %[1]s link set v1 up promisc on
ip -n %[1]s link set v0 up
ip -n %[1]s link set br0 up
ip -n %[1]s link set mv up
ip netns exec %[1]s ping -q -c 2 -W 1 -i 0.2 10.9.9.9 >/dev/null || true`, ns))
}

// ipLinks are the objects of ip -d -s -s -j link.
func ipLinks(t *testing.T, ns string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, l := range fromIP[map[string]any](t, "-n "+ns+" -d -s -s link") {
		if name, ok := l["ifname"].(string); ok {
			out[name] = l
		}
	}
	return out
}

// dig follows names and gives the value as text; "" when zero or missing.
func dig(o map[string]any, path string) string {
	var v any = o
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return plainValue(v)
}

func plainValue(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if !v {
			return ""
		}
	case float64:
		if v == 0 {
			return ""
		}
	}
	if s := strings.ToLower(fmt.Sprint(v)); s != "0" && s != "default" {
		return s
	}
	return ""
}

// sameFields are the names of a value in our rows and in the tool's.
func checkFields(t *testing.T, what string, tool map[string]any, ours any, fields string) {
	t.Helper()
	b, _ := json.Marshal(ours)
	var row map[string]any
	_ = json.Unmarshal(b, &row)
	seen := 0
	for pair := range strings.FieldsSeq(fields) {
		our, their, _ := strings.Cut(pair, "=")
		want, got := dig(tool, their), dig(row, our)
		if want != got && (want != "1" || got != "true") {
			t.Errorf("%s: %s is %q, the tool says %s %q", what, our, got, their, want)
		}
		if want != "" {
			seen++
		}
	}
	if seen == 0 {
		t.Errorf("%s: nothing compared: %v", what, tool)
	}
}

const (
	linkFields = "mtu=mtu alias=ifalias linkGroup=group promiscuity=promiscuity allmulti=allmulti minMTU=min_mtu maxMTU=max_mtu txQueues=num_tx_queues rxQueues=num_rx_queues " +
		"gsoMaxSize=gso_max_size gsoMaxSegs=gso_max_segs groMaxSize=gro_max_size tsoMaxSize=tso_max_size addrGenMode=inet6_addr_gen_mode altNames=altnames portKind=linkinfo.info_slave_kind " +
		"carrierChanges=stats64.tx.carrier_changes stats.rxPackets=stats64.rx.packets stats.rxBytes=stats64.rx.bytes stats.rxErrors=stats64.rx.errors stats.rxDropped=stats64.rx.dropped " +
		"stats.rxOverErrors=stats64.rx.over_errors stats.multicast=stats64.rx.multicast stats.rxLengthErrors=stats64.rx.length_errors stats.rxCRCErrors=stats64.rx.crc_errors " +
		"stats.rxFrameErrors=stats64.rx.frame_errors stats.rxFIFOErrors=stats64.rx.fifo_errors stats.rxMissedErrors=stats64.rx.missed_errors stats.rxNoHandler=stats64.rx.nohandler " +
		"stats.txPackets=stats64.tx.packets stats.txBytes=stats64.tx.bytes stats.txErrors=stats64.tx.errors stats.txDropped=stats64.tx.dropped stats.txCarrierErrors=stats64.tx.carrier_errors " +
		"stats.collisions=stats64.tx.collisions stats.txAbortedErrors=stats64.tx.aborted_errors stats.txFIFOErrors=stats64.tx.fifo_errors"
	bridgeFields = "forwardDelayCs=forward_delay helloTimeCs=hello_time maxAgeCs=max_age ageingTimeCs=ageing_time stp=stp_state priority=priority vlanFiltering=vlan_filtering " +
		"bridgeID=bridge_id rootID=root_id rootPort=root_port rootPathCost=root_path_cost topologyChange=topology_change groupAddr=group_addr mcastSnooping=mcast_snooping " +
		"mcastHashMax=mcast_hash_max nfCallIptables=nf_call_iptables nfCallIP6tables=nf_call_ip6tables nfCallArptables=nf_call_arptables igmpVersion=mcast_igmp_version mldVersion=mcast_mld_version"
	portFields = "state=state priority=priority cost=cost hairpin=hairpin bpduGuard=guard rootBlock=root_block fastLeave=fastleave learning=learning flood=flood proxyARP=proxy_arp " +
		"rootID=root_id bridgeID=bridge_id mcastRouter=multicast_router mcastFlood=mcast_flood bcastFlood=bcast_flood mcastToUnicast=mcast_to_unicast neighSuppress=neigh_suppress isolated=isolated locked=locked"
	vxlanFields = "id=id port=port local=local dev=link ttl=ttl learning=learning udpCsum=udp_csum gbp=gbp ageingSec=ageing"
)

func TestLinksAgainstTool(t *testing.T) {
	ns, pid := oneNamespace(t, "d")
	variousLinks(t, ns)
	var sink *memSink
	var tool map[string]map[string]any
	for range 20 { // until no packet came in between
		tool = ipLinks(t, ns)
		var results []collector.Result
		sink, results = inSpace(t, pid, func(g *gatherer) { g.tables(t.Context(), Netns{}, "", false) })
		allOK(t, results)
		if reflect.DeepEqual(tool, ipLinks(t, ns)) {
			break
		}
	}
	got := map[string]linkRow{}
	for _, l := range rows[linkRow](t, sink, "links.ndjson") {
		got[l.Name] = l
		if l.Name != "lo" { // whose limits the tool does not tell
			checkFields(t, l.Name, tool[l.Name], l, linkFields)
		}
	}
	info := func(name, part string) map[string]any {
		m, _ := tool[name]["linkinfo"].(map[string]any)
		m, _ = m[part].(map[string]any)
		return m
	}
	checkFields(t, "br0", info("br0", "info_data"), got["br0"].Info, bridgeFields)
	checkFields(t, "v0 of br0", info("v0", "info_slave_data"), got["v0"].Port, portFields)
	checkFields(t, "vx0", info("vx0", "info_data"), got["vx0"].Vxlan, vxlanFields)
	checkFields(t, "vx6", info("vx6", "info_data"), got["vx6"].Vxlan, strings.ReplaceAll(vxlanFields, "local=local", "local=local6")+" remote=group6")
	checkFields(t, "tn", info("tn", "info_data"), got["tn"].Info, "type=type multiQueue=multi_queue persist=persist packetInfo=pi vnetHdr=vnet_hdr")
	if mode := got["mv"].Info["mode"]; fmt.Sprint(mode) != "[bridge]" || dig(info("mv", "info_data"), "mode") != "bridge" {
		t.Errorf("mode of the macvlan: %v", mode)
	}
	if s := got["v1"].Stats; s == nil || s.TxPackets == 0 || got["v0"].Port["isolated"] != true || got["v1"].Link != got["v0"].Index {
		t.Errorf("v1: %+v, v0: %+v", got["v1"], got["v0"])
	}
}

// The kinds that this kernel cannot make are read from the layouts of its
// headers.
func TestLinkKindsByLayout(t *testing.T) {
	d := newLinkDecoder()
	message := func(kind string, data []byte, portKind string, port []byte) []byte {
		info := append(attrText(1, kind), attr(2, data)...)
		if portKind != "" {
			info = append(append(info, attrText(4, portKind)...), attr(5, port)...)
		}
		b := append(make([]byte, ifinfoHeader), attrText(3, "x")...)
		return append(b, attr(18|unix.NLA_F_NESTED, info)...)
	}
	row := func(b []byte) string {
		r, _, _ := d.row(b)
		out, _ := json.Marshal([]any{r.Kind, r.PortKind, r.Info, r.Port})
		return string(out)
	}
	for _, c := range []struct {
		kind     string
		data     []byte
		portKind string
		port     []byte
		want     string
	}{
		{"vlan", append(attr(1, []byte{100, 0}), attr(5, []byte{0x81, 0})...), "bond", append(attr(1, []byte{1}), attr(2, []byte{2})...),
			`["vlan","bond",{"vlanID":100,"vlanProtocol":"802.1Q"},{"miiStatus":"down","state":"backup"}]`},
		{"bond", append(attr(1, []byte{4}), append(attr(2, []byte{7, 0, 0, 0}), attr(3, []byte{100, 0, 0, 0})...)...), "", nil,
			`["bond","",{"activeSlave":7,"miimonMs":100,"mode":"802.3ad"},null]`},
		{"ipip", append(attr(2, []byte{10, 0, 0, 1}), attr(3, []byte{10, 0, 0, 2})...), "", nil, `["ipip","",{"localAddr":"10.0.0.1","remote":"10.0.0.2"},null]`},
		{"gre", append(attr(6, []byte{10, 0, 0, 1}), attr(7, []byte{10, 0, 0, 2})...), "", nil, `["gre","",{"localAddr":"10.0.0.1","remote":"10.0.0.2"},null]`},
		{"ipvlan", attr(1, []byte{1, 0}), "vrf", attr(1, []byte{5, 0, 0, 0}), `["ipvlan","vrf",{"mode":"l3"},{"table":5}]`},
		{"wireguard", nil, "", nil, `["wireguard","",null,null]`},
	} {
		got := row(message(c.kind, c.data, c.portKind, c.port))
		if want := strings.ReplaceAll(c.want, `"",null,null]`, `"",{},null]`); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzLinks(f *testing.F) {
	f.Add(append(append(make([]byte, ifinfoHeader), attrText(3, "eth0")...), attr(18, append(attrText(1, "bridge"), attr(2, attr(11, make([]byte, 8)))...))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		row, vx, _ := newLinkDecoder().row(b)
		if vx != nil {
			row.Vxlan = vxlan(vx, nil)
		}
		if _, err := json.Marshal(row); err != nil {
			t.Error(err)
		}
	})
}
