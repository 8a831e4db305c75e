package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// tables are the netlink tables of the calling thread's namespace.
type tables struct {
	dump    *dump
	names   map[int]string // of the devices
	links   []linkRow
	linkErr error
	queued  []queued
}

const maxDevices = 20_000 // of one namespace

// tables stores every table at prefix.
func (g *gatherer) tables(ctx context.Context, ns Netns, prefix string, again bool) {
	if sys := strings.TrimSuffix(prefix, "net/") + "sys/class/net"; !g.o.Only.WantsBelow(prefix) && !(ns.Host && g.o.Only.WantsBelow(sys)) {
		return
	}
	t := &tables{dump: newDump(ctx, unix.NETLINK_ROUTE), names: map[int]string{}}
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

// load lists the devices, whose names all the tables need; once more when they
// changed meanwhile.
func (t *tables) load() {
	if t.list(); errors.Is(t.linkErr, errPartial) && len(t.links) < maxDevices {
		t.links = nil
		t.list()
	}
}

func (t *tables) list() {
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

func (t *tables) writeLinks(enc *json.Encoder) error {
	if t.linkErr != nil && !errors.Is(t.linkErr, errPartial) {
		return t.linkErr
	}
	for _, l := range t.links {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return t.linkErr
}

// stream asks for a table and writes the row that parse makes of each message.
// A family that the kernel does not have is an empty table.
func stream[T any](t *tables, enc *json.Encoder, typ uint16, request []byte, parse func([]byte) (T, bool)) error {
	err := t.dump.run(typ, request, func(m nlmsg) error {
		row, ok := parse(m.body)
		if !ok {
			return nil
		}
		return enc.Encode(row)
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// request is the fixed part of one for a family.
func request(family byte, size int) []byte {
	b := make([]byte, size)
	b[0] = family
	return b
}

func (t *tables) writeAddrs(enc *json.Encoder) error {
	s := addrSchema()
	return stream(t, enc, unix.RTM_GETADDR, request(0, addrHeader), func(b []byte) (addrRow, bool) { return parseAddr(s, b, t.names) })
}

func (t *tables) writeRoutes(enc *json.Encoder) error {
	d := newRouteDecoder(t.names)
	for _, family := range []byte{familyINET, familyINET6} {
		if err := stream(t, enc, unix.RTM_GETROUTE, request(family, routeHeader), d.row); err != nil {
			return err
		}
	}
	return nil
}

func (t *tables) writeRules(enc *json.Encoder) error {
	s := ruleDecoder()
	for _, family := range []byte{familyINET, familyINET6} {
		if err := stream(t, enc, unix.RTM_GETRULE, request(family, ruleHeader), func(b []byte) (ruleRow, bool) { return parseRule(s, b) }); err != nil {
			return err
		}
	}
	return nil
}

func (t *tables) writeNeighbors(enc *json.Encoder) error {
	for _, family := range []byte{familyINET, familyINET6} {
		if err := t.neighbours(enc, family); err != nil {
			return err
		}
	}
	return nil
}

func (t *tables) writeFDB(enc *json.Encoder) error { return t.neighbours(enc, unix.AF_BRIDGE) }

func (t *tables) neighbours(enc *json.Encoder, family byte) error {
	s := neighSchema()
	return stream(t, enc, unix.RTM_GETNEIGH, request(family, neighHeader), func(b []byte) (neighRow, bool) { return parseNeigh(s, b, t.names) })
}
