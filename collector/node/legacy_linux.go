package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	xtGetInfo    = 64 // IPT_SO_GET_INFO, and IP6T_
	xtGetEntries = 65
	maxXTBlob    = 32 << 20 // of one table, which the kernel gives in one piece
)

// legacy stores the tables of iptables-legacy that this namespace has. Asking
// for any other would make it, and switch its hooks on: so nothing is asked
// before the kernel has named it.
func (g *gatherer) legacy(ctx context.Context, prefix string, again bool) {
	if !g.wantsAny(prefix+"iptables.ndjson", prefix+"iptables-legacy.txt", prefix+"ip6tables-legacy.txt") {
		return
	}
	tables := map[string][]string{}
	var denied error
	for _, family := range []string{"ip", "ip6"} {
		text, _, err := readFile(g.o.ProcRoot+"/thread-self/net/"+family+"_tables_names", g.buffer(4<<10))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			denied = err
		}
		tables[family] = strings.Fields(string(text))
	}
	if denied != nil {
		g.recordErr(prefix+"iptables.ndjson", denied, 0, time.Now())
		return
	}
	g.stream(ctx, prefix+"iptables.ndjson", func(enc *json.Encoder) error { return writeLegacy(enc, tables) })
	if again {
		return
	}
	for _, tool := range []struct{ family, word string }{{"ip", "iptables"}, {"ip6", "ip6tables"}} {
		if len(tables[tool.family]) > 0 { // it, too, asks only for those named
			g.nodeTool(ctx, prefix+tool.word+"-legacy.txt", []string{"xtables-legacy-multi " + tool.word + "-save", tool.word + "-legacy-save", "xtables-multi " + tool.word + "-save"}, "-c")
		}
	}
}

func writeLegacy(enc *json.Encoder, tables map[string][]string) error {
	var failed []string
	for _, family := range []string{"ip", "ip6"} {
		for _, name := range tables[family] {
			t, err := readLegacy(family, name)
			if err == nil {
				err = t.rows(func(row xtRow) error { return enc.Encode(row) })
			}
			var errno unix.Errno
			switch {
			case err == nil:
			case errors.Is(err, errLegacy), errors.Is(err, errPartial), errors.As(err, &errno):
				failed = append(failed, fmt.Sprintf("%s table %s: %v", family, name, err))
			default: // of the sink
				return err
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%w: %s", errPartial, strings.Join(failed, "; "))
	}
	return nil
}

// readLegacy gets a table that exists.
func readLegacy(family, name string) (*xtTable, error) {
	domain, level := unix.AF_INET, unix.SOL_IP
	if family == "ip6" {
		domain, level = unix.AF_INET6, unix.SOL_IPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	t := &xtTable{family: family, name: name}
	for range 5 { // it may change between the two calls
		info := make([]byte, xtInfoSize)
		copy(info[:31], name)
		if err := getsockopt(fd, level, xtGetInfo, info); err != nil {
			return nil, err
		}
		size := t.readInfo(info)
		if size > maxXTBlob {
			return nil, fmt.Errorf("%w: %d bytes are too many", errPartial, size)
		}
		blob := make([]byte, xtEntries+int(size))
		copy(blob[:31], name)
		binary.NativeEndian.PutUint32(blob[32:], size)
		if err = getsockopt(fd, level, xtGetEntries, blob); err == nil {
			t.blob = blob[xtEntries:]
			return t, nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the table changes too often", errPartial)
}

// getsockopt is the bare call: the answer goes where the question was.
func getsockopt(fd, level, name int, b []byte) error {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
