package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tables are the netlink tables of the calling thread's namespace.
type tables struct {
	h       *netlink.Handle
	dump    *dump
	names   map[int]string // of the devices
	links   []linkRow
	linkErr error
	queued  []queued
}

const maxDevices = 20_000 // of one namespace

// tables stores every table at prefix.
func (g *gatherer) tables(ctx context.Context, ns Netns, prefix string, again bool) {
	start := time.Now()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		g.recordErr(prefix+"links.ndjson", fmt.Errorf("open netlink: %w", err), 0, start)
		return
	}
	defer h.Close()
	if err := h.SetSocketTimeout(netlinkWait * time.Second); err != nil {
		g.recordErr(prefix+"links.ndjson", err, 0, start)
		return
	}
	t := &tables{h: h, dump: newDump(ctx, unix.NETLINK_ROUTE), names: map[int]string{}}
	t.load()
	for _, table := range []struct {
		name  string
		write func(*json.Encoder) error
	}{
		{"links", t.writeLinks}, {"addrs", t.writeAddrs}, {"routes", t.writeRoutes}, {"rules", t.writeRules},
		{"neighbors", t.writeNeighbors}, {"fdb", t.writeFDB}, {"qdiscs", t.writeQdiscs},
	} {
		g.stream(ctx, prefix+table.name+".ndjson", table.write)
	}
	g.moreTables(ctx, t, prefix, ns.Host && !again)
	g.stream(ctx, prefix+"ethtool.ndjson", t.writeEthtool(again))
	if ns.Host {
		g.classNet(ctx, strings.TrimSuffix(prefix, "net/")+"sys/class/net", t.links, again)
	}
	g.streamOffered(ctx, prefix+"netnsids.ndjson", false, g.netnsIDs(ns, t))
}

// load lists the devices, whose names all the tables need.
func (t *tables) load() {
	d := newLinkDecoder()
	vxlans := map[int]object{}
	t.linkErr = t.dump.run(unix.RTM_GETLINK, make([]byte, ifinfoHeader), func(m nlmsg) error {
		row, vx, ok := d.row(m.body)
		if !ok || m.typ != unix.RTM_NEWLINK {
			return nil
		}
		if len(t.links) == maxDevices {
			return fmt.Errorf("%w: more than %d devices", errPartial, maxDevices)
		}
		t.names[row.Index] = row.Name
		if vx != nil {
			vxlans[len(t.links)] = vx
		}
		t.links = append(t.links, row)
		return nil
	})
	for i, vx := range vxlans {
		t.links[i].Vxlan = vxlan(vx, t.names)
	}
}

// twice lists once more when the table changed during the first dump, and
// keeps what there is when it did so again.
func twice[T any](list func() ([]T, error)) ([]T, error) {
	rows, err := list()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		rows, err = list()
	}
	return rows, interrupted(err)
}

func interrupted(err error) error {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("%w: the table changed during the dump, twice", errPartial)
	}
	return err
}

// encode writes a row for each item; err of the listing comes after them,
// when it only says that they are not all.
func encode[T any](enc *json.Encoder, items []T, err error, row func(T) any) error {
	if err != nil && !errors.Is(err, errPartial) {
		return err
	}
	for _, it := range items {
		if err := enc.Encode(row(it)); err != nil {
			return err
		}
	}
	return err
}

func (t *tables) writeLinks(enc *json.Encoder) error {
	return encode(enc, t.links, t.linkErr, func(l linkRow) any { return l })
}

func (t *tables) writeAddrs(enc *json.Encoder) error {
	addrs, err := twice(func() ([]netlink.Addr, error) { return t.h.AddrList(nil, netlink.FAMILY_ALL) })
	return encode(enc, addrs, err, func(a netlink.Addr) any {
		row := addrRow{Index: a.LinkIndex, Dev: t.names[a.LinkIndex], Addr: a.IPNet.String(), Family: "inet6", Scope: scopeName(uint8(a.Scope)), Flags: addrFlags(a.Flags)}
		if a.IP.To4() != nil {
			row.Family = "inet"
		}
		if a.Label != row.Dev {
			row.Label = a.Label
		}
		row.Broadcast, row.ValidSec, row.PreferredSec = ipText(a.Broadcast), lifetime(a.ValidLft), lifetime(a.PreferedLft)
		if a.Peer != nil && a.Peer.String() != row.Addr {
			row.Peer = a.Peer.String()
		}
		return row
	})
}

// lifetime is in seconds; for ever is left out.
func lifetime(sec int) int {
	if sec < 0 || sec >= 1<<32-1 {
		return 0
	}
	return sec
}

// writeRoutes streams: a router may hold a million of them.
func (t *tables) writeRoutes(enc *json.Encoder) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		var failed error
		err := t.h.RouteListFilteredIter(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			failed = enc.Encode(t.route(r))
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("%w: the table changed during the dump", errPartial)
		}
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}

func (t *tables) route(r netlink.Route) routeRow {
	row := routeRow{Dst: "default", GW: ipText(r.Gw), Dev: t.names[r.LinkIndex], Index: r.LinkIndex, Table: r.Table, Proto: r.Protocol.String(),
		Scope: scopeName(uint8(r.Scope)), Type: routeType(r.Type), Src: ipText(r.Src), Metric: r.Priority, MTU: r.MTU, Family: familyText(r.Family)}
	if r.Dst != nil {
		if ones, _ := r.Dst.Mask.Size(); ones > 0 || !r.Dst.IP.IsUnspecified() {
			row.Dst = r.Dst.String()
		}
	}
	if r.Via != nil {
		row.GW = r.Via.String()
	}
	row.Flags = flagNames(r.Flags, bitNames("dead pervasive onlink offload linkdown unresolved trap"))
	row.TOS, row.AdvMSS, row.Window, row.InitCwnd, row.Hoplimit, row.Congestion = r.Tos, r.AdvMSS, r.Window, r.InitCwnd, r.Hoplimit, r.Congctl
	if r.Encap != nil {
		row.Encap = r.Encap.String()
	}
	for _, n := range r.MultiPath {
		row.Nexthops = append(row.Nexthops, nexthopRow{GW: ipText(n.Gw), Dev: t.names[n.LinkIndex], Index: n.LinkIndex, Weight: n.Hops + 1})
	}
	return row
}

func (t *tables) writeRules(enc *json.Encoder) error {
	decoder := ruleDecoder()
	for _, family := range []byte{familyINET, familyINET6} {
		request := make([]byte, ruleHeader)
		request[0] = family
		err := t.dump.run(unix.RTM_GETRULE, request, func(m nlmsg) error {
			row, ok := parseRule(decoder, m.body)
			if !ok {
				return nil
			}
			return enc.Encode(row)
		})
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return nil
}

func (t *tables) writeNeighbors(enc *json.Encoder) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := t.neighbours(enc, family); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
	}
	return nil
}

func (t *tables) writeFDB(enc *json.Encoder) error { return t.neighbours(enc, unix.AF_BRIDGE) }

func (t *tables) neighbours(enc *json.Encoder, family int) error {
	rows, err := twice(func() ([]netlink.Neigh, error) { return t.h.NeighList(0, family) })
	return encode(enc, rows, err, func(n netlink.Neigh) any {
		return neighRow{IP: ipText(n.IP), MAC: n.HardwareAddr.String(), Dev: t.names[n.LinkIndex], Index: n.LinkIndex,
			State: neighState(n.State), Flags: neighFlags(n.Flags), Family: familyText(family), Vlan: n.Vlan, Master: n.MasterIndex}
	})
}

func ipText(ip net.IP) string {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return ""
	}
	return a.Unmap().String()
}

func familyText(f int) string {
	switch f {
	case unix.AF_INET:
		return "inet"
	case unix.AF_INET6:
		return "inet6"
	case unix.AF_BRIDGE:
		return "bridge"
	}
	return strconv.Itoa(f)
}

func routeType(t int) string {
	names := []string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "nat"}
	if t >= 0 && t < len(names) {
		return names[t]
	}
	return strconv.Itoa(t)
}

func addrFlags(v int) []string {
	return flagNames(v, strings.Fields("secondary nodad optimistic dadfailed home deprecated tentative permanent mngtmpaddr noprefixroute mcautojoin stable-privacy"))
}

func neighState(v int) []string {
	return flagNames(v, strings.Fields("INCOMPLETE REACHABLE STALE DELAY PROBE FAILED NOARP PERMANENT"))
}

func neighFlags(v int) []string {
	return flagNames(v, strings.Fields("use self master proxy extern_learn offload sticky router"))
}
