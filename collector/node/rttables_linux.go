package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const maxTableRows = 1_000_000

// moreTables stores what the kernel tells beside the tables that every
// namespace has. What it does not offer is told once, of the node itself.
func (g *gatherer) moreTables(ctx context.Context, t *tables, prefix string, tell bool) {
	for _, table := range []struct {
		name string
		fill func(*json.Encoder) error
	}{
		{"nexthops", t.each(nexthopTable())}, {"neightables", t.each(neighTables())}, {"netconf", t.each(netconfTable(familyINET), netconfTable(familyINET6))},
		{"vlans", t.each(vlanTable())}, {"mdb", t.each(mdbTable())}, {"classes", t.writeClasses}, {"filters", t.writeFilters},
	} {
		g.streamOffered(ctx, prefix+table.name+".ndjson", tell, table.fill)
	}
	if g.offers("wireguard", prefix+"wireguard.ndjson", tell) {
		g.streamOffered(ctx, prefix+"wireguard.ndjson", tell, t.wireguard)
	}
	if g.offers("xfrm_user", prefix+"xfrm.ndjson", tell) {
		x := *t
		x.dump = newDump(ctx, unix.NETLINK_XFRM)
		g.streamOffered(ctx, prefix+"xfrm.ndjson", tell, x.each(xfrmStates(), xfrmPolicies()))
	}
}

// streamOffered is stream for a table that a kernel may lack, and in many
// namespaces is empty: nothing is stored then, and nothing told unless tell.
func (g *gatherer) streamOffered(ctx context.Context, path string, tell bool, fill func(*json.Encoder) error) {
	if !g.o.Only.Wants(path) {
		return
	}
	if tell {
		g.stream(ctx, path, fill)
		return
	}
	rows := &firstRow{}
	if err := fill(json.NewEncoder(rows)); err == nil && !rows.any || unsupported(err) {
		return
	}
	g.stream(ctx, path, fill)
}

// firstRow ends a listing at its first row.
type firstRow struct{ any bool }

func (f *firstRow) Write([]byte) (int, error) {
	f.any = true
	return 0, errEnough
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ENOENT)
}

// each streams tables of one file behind each other.
func (t *tables) each(list ...rtTable) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		for _, table := range list {
			rows := 0
			err := t.dump.run(table.typ, table.body, func(m nlmsg) error {
				return table.rows(m.body, func(row object) error {
					if rows++; rows > maxTableRows {
						return fmt.Errorf("%w: more than %d rows", errPartial, maxTableRows)
					}
					t.name(row)
					return enc.Encode(row)
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// name adds the device that an index stands for.
func (t *tables) name(row object) {
	for _, at := range []struct{ index, name string }{{"index", "dev"}, {"bridge", "bridgeDev"}} {
		var n int
		switch i := row[at.index].(type) {
		case uint64:
			n = int(i)
		case int64:
			n = int(i)
		case int:
			n = i
		}
		row.setText(at.name, t.names[n])
	}
	if parms, ok := row["parms"].(object); ok {
		t.name(parms)
	}
}

// tc asks for the qdiscs, classes or filters of a device.
func (t *tables) tc(typ uint16, index int, parent uint32, fn func(nlmsg) error) error {
	body := make([]byte, tcHeader)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	binary.NativeEndian.PutUint32(body[12:], parent)
	return t.dump.run(typ, body, fn)
}

func (t *tables) writeQdiscs(enc *json.Encoder) error {
	d := newTCDecoder("qdiscs")
	return t.tc(unix.RTM_GETQDISC, 0, 0, func(m nlmsg) error {
		row := d.row(m.body)
		if row == nil {
			return nil
		}
		t.name(row)
		if index := row["index"].(int); row["kind"] != "noqueue" && len(t.queued) < maxDevices {
			t.queued = append(t.queued, queued{index, textOf(row, "kind"), binary.NativeEndian.Uint32(m.body[8:])})
		}
		return enc.Encode(row)
	})
}

// queued is a qdisc that may have classes or filters.
type queued struct {
	index  int
	kind   string
	handle uint32
}

// writeClasses tells the classes of disciplines that an administrator makes;
// those of mq are its queues, whose qdiscs are told already.
func (t *tables) writeClasses(enc *json.Encoder) error {
	d := newTCDecoder("classes")
	done := map[int]bool{}
	for _, q := range t.queued {
		if done[q.index] || !strings.Contains(" htb hfsc qfq drr cbq ets prio ", " "+q.kind+" ") {
			continue
		}
		done[q.index] = true
		err := t.tc(unix.RTM_GETTCLASS, q.index, 0, func(m nlmsg) error {
			row := d.row(m.body)
			if row == nil {
				return nil
			}
			t.name(row)
			return enc.Encode(row)
		})
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}

func (t *tables) writeFilters(enc *json.Encoder) error {
	d := newTCDecoder("filters")
	for _, q := range t.queued {
		parents := []uint32{q.handle}
		switch q.kind {
		case "clsact":
			parents = []uint32{tcClsactIn, tcClsactOut}
		case "ingress":
			parents = []uint32{0xffff0000}
		case "htb", "hfsc", "qfq", "drr", "cbq", "ets", "prio", "fq_codel", "sfq", "multiq":
		default:
			continue
		}
		for _, parent := range parents {
			err := t.tc(unix.RTM_GETTFILTER, q.index, parent, func(m nlmsg) error {
				row := d.row(m.body)
				if row == nil {
					return nil
				}
				filterHead(row, m.body)
				switch parent {
				case tcClsactIn:
					row["parent"] = "ingress"
				case tcClsactOut:
					row["parent"] = "egress"
				}
				t.name(row)
				return enc.Encode(row)
			})
			if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) { // EINVAL: no such qdisc any more
				return err
			}
		}
	}
	return nil
}

// netnsIDs says which namespace each linkNetnsID of this one's devices is.
func (g *gatherer) netnsIDs(ns Netns, t *tables) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		wanted := map[int]bool{}
		for _, l := range t.links {
			if l.LinkNetnsID != nil {
				wanted[*l.LinkNetnsID] = true
			}
		}
		s := attributes("id:raw", readers{"raw": rawValue})
		for _, other := range g.spaces {
			if len(wanted) == 0 || t.dump.ctx.Err() != nil {
				break
			}
			if other.Inode == ns.Inode || len(other.pids) == 0 {
				continue
			}
			var pid [4]byte
			binary.NativeEndian.PutUint32(pid[:], uint32(other.pids[0]))
			id := -1
			err := t.dump.one(unix.RTM_GETNSID, append(make([]byte, 4), attr(2, pid[:])...), func(m nlmsg) error {
				if len(m.body) >= 4 {
					if b, ok := s.decode(m.body[4:])["id"].(dataBytes); ok && len(b) == 4 {
						id = int(int32(binary.NativeEndian.Uint32(b)))
					}
				}
				return nil
			})
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			if id >= 0 && wanted[id] {
				delete(wanted, id)
				if err := enc.Encode(object{"id": id, "inode": other.Inode}); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
