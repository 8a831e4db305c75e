package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const (
	diagByFamily = 20     // SOCK_DIAG_BY_FAMILY
	allStates    = 0x2fff // TCP_ESTABLISHED to TCP_BOUND_INACTIVE, but for the request sockets that SYN_RECV stands for
	netlinkWait  = 5      // seconds without an answer
	maxSockets   = 2_000_000
)

// sockets stores every socket of the calling thread's namespace.
func (g *gatherer) sockets(ctx context.Context, prefix string) {
	d := newDump(ctx, unix.NETLINK_SOCK_DIAG)
	g.rowsOf(ctx, prefix+"sockets.ndjson", func(w *rowWriter) error { return g.inetSockets(d, w) })
	g.rowsOf(ctx, prefix+"unix.ndjson", func(w *rowWriter) error { return g.unixSockets(d, w) })
	g.stream(ctx, prefix+"packet.ndjson", func(enc *json.Encoder) error { return g.packetSockets(d, enc) })
}

// rowsOf stores the rows that fill writes, as stream does.
func (g *gatherer) rowsOf(ctx context.Context, path string, fill func(*rowWriter) error) {
	if !g.o.Only.Wants(path) {
		return
	}
	p, err := g.pipe(ctx, path, collector.ClassNodes, func(w io.Writer) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		rows := newRowWriter(w)
		filled := fill(rows)
		if filled != nil && !errors.Is(filled, errPartial) {
			return filled
		}
		if err := rows.flush(); err != nil {
			return err
		}
		return filled
	})
	g.recordErr(path, err, p.bytes, p.start)
}

// inetSockets dumps TCP, UDP and raw sockets, of both families.
func (g *gatherer) inetSockets(d *dump, w *rowWriter) error {
	var partial, missing []string
	for _, table := range inetTables() {
		err := g.inetTable(d, w, table)
		switch {
		case err == nil:
		case errors.Is(err, errNotOffered):
			missing = append(missing, table.name)
		case w.n == 0 && !errors.Is(err, errPartial):
			return fmt.Errorf("%s: %w", table.name, err)
		default: // keep what came
			partial = append(partial, table.name+": "+err.Error())
		}
	}
	if len(missing) == len(inetTables()) {
		return fmt.Errorf("sockets: %w", unix.EOPNOTSUPP)
	}
	if g.owners.err != nil {
		partial = append(partial, g.owners.err.Error())
	}
	if len(partial) > 0 {
		return fmt.Errorf("%w: %s", errPartial, strings.Join(append(partial, missing...), "; "))
	}
	return nil
}

// inetTable is one table of sockets, and what the kernel calls it in /proc/net.
type inetTable struct {
	name          string
	family, proto uint8
}

func inetTables() []inetTable {
	return []inetTable{{"tcp", familyINET, protoTCP}, {"tcp6", familyINET6, protoTCP}, {"udp", familyINET, protoUDP},
		{"udp6", familyINET6, protoUDP}, {"raw", familyINET, protoRaw}, {"raw6", familyINET6, protoRaw}}
}

// errNotOffered says that the kernel has neither way to a table.
var errNotOffered = errors.New("not offered by this kernel")

func (g *gatherer) inetTable(d *dump, w *rowWriter, table inetTable) error {
	add := func(row *socketRow) error {
		if w.n >= maxSockets {
			return fmt.Errorf("%w: more than %d sockets", errPartial, maxSockets)
		}
		row.PID, row.Comm = g.owners.of(row.Inode)
		return w.add(row)
	}
	p := newInetParser(table.proto)
	err := d.run(diagByFamily, inetRequest(table), func(m nlmsg) error {
		row, err := p.parse(m.body)
		if err != nil {
			return err
		}
		return add(row)
	})
	if noDiag(err) {
		return readProcSockets(g.o.ProcRoot+"/thread-self/net/"+table.name, table.proto, add)
	}
	return err
}

// noDiag says that the kernel has no such protocol, or no module that tells of
// it.
func noDiag(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL)
}

// inetRequest is an inet_diag_req_v2 that asks for all.
func inetRequest(t inetTable) []byte {
	req := make([]byte, 56)
	req[0], req[1] = t.family, t.proto
	for _, ext := range []int{diagInfo, diagCong, diagTOS, diagTClass, diagMemory} {
		req[2] |= 1 << (ext - 1)
	}
	binary.NativeEndian.PutUint32(req[4:], allStates)
	return req
}

// readProcSockets reads a table of /proc/net.
func readProcSockets(path string, proto uint8, add func(*socketRow) error) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return errNotOffered
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for first := true; lines.Scan(); first = false {
		if first {
			continue // the header
		}
		row, err := parseProcSocket(lines.Bytes(), proto)
		if err != nil {
			return err
		}
		if err := add(row); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (g *gatherer) unixSockets(d *dump, w *rowWriter) error {
	req := make([]byte, 24)
	req[0] = familyUNIX
	binary.NativeEndian.PutUint32(req[4:], allStates)
	binary.NativeEndian.PutUint32(req[12:], 0x7f) // UDIAG_SHOW_*: all
	err := d.run(diagByFamily, req, func(m nlmsg) error {
		row, err := parseUnixDiag(m.body)
		if err != nil {
			return err
		}
		if w.n >= maxSockets {
			return fmt.Errorf("%w: more than %d sockets", errPartial, maxSockets)
		}
		row.PID, row.Comm = g.owners.of(row.Inode)
		return w.add(&row)
	})
	if noDiag(err) {
		return fmt.Errorf("UNIX sockets: %w", unix.EOPNOTSUPP)
	}
	return err
}

func (g *gatherer) packetSockets(d *dump, enc *json.Encoder) error {
	req := make([]byte, 20)
	req[0] = familyPacket
	binary.NativeEndian.PutUint32(req[8:], 0x3f) // PACKET_SHOW_*: all
	err := d.run(diagByFamily, req, func(m nlmsg) error {
		row, err := parsePacketDiag(m.body)
		if err != nil {
			return err
		}
		row.PID, row.Comm = g.owners.of(row.Inode)
		return enc.Encode(row)
	})
	if noDiag(err) {
		return fmt.Errorf("packet sockets: %w", unix.EOPNOTSUPP)
	}
	return err
}
