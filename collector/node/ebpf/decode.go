package ebpf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Keys and values as the programs write them, in native byte order but for
// what comes from packets and sockets in network order.
const (
	valueSize = 32 // count, bytes, first, last

	dropKeySize  = 40 // location 8, reason 4, netns 4, ifindex 4, protocol 2 (network order), 2 free, device 16
	flowKeySize  = 48 // netns 4, family 2, state 1, direction 1, sport 2, dport 2 (network order), reason 4, src 16, dst 16
	stateKeySize = 32 // netns 4, family 2, old 1, new 1, port 2, side 1, 5 free, address 16

	directionSent     = 1
	directionReceived = 2
	sideLocal         = 0
	sideRemote        = 1

	familyINET  = 2
	familyINET6 = 10
)

var errKey = errors.New("a key of unknown size")

// clock turns the kernel's monotonic nanoseconds into wall time.
type clock struct {
	wall time.Time
	mono int64
}

func (c clock) at(ns uint64) time.Time {
	return c.wall.Add(time.Duration(int64(ns) - c.mono)).Round(time.Microsecond).UTC()
}

func (c clock) seen(v []byte) (seen, error) {
	if len(v) != valueSize {
		return seen{}, errKey
	}
	n := binary.NativeEndian
	return seen{Count: n.Uint64(v), Bytes: n.Uint64(v[8:]), First: c.at(n.Uint64(v[16:])), Last: c.at(n.Uint64(v[24:]))}, nil
}

// dropKey is what drops are told apart by.
type dropKey struct {
	location uint64
	reason   uint32
	row      dropRow
}

func parseDropKey(k []byte) (dropKey, error) {
	if len(k) != dropKeySize {
		return dropKey{}, errKey
	}
	n := binary.NativeEndian
	d := dropKey{location: n.Uint64(k), reason: n.Uint32(k[8:])}
	d.row = dropRow{Netns: n.Uint32(k[12:]), Index: n.Uint32(k[16:]), Protocol: protocolName(binary.BigEndian.Uint16(k[20:])), Dev: text(k[24:40])}
	return d, nil
}

func parseFlowKey(k []byte) (row flowRow, reason uint32, err error) {
	if len(k) != flowKeySize {
		return flowRow{}, 0, errKey
	}
	n := binary.NativeEndian
	family := n.Uint16(k[4:])
	row = flowRow{Netns: n.Uint32(k), Family: familyName(family), State: stateName(k[6]), Sport: n.Uint16(k[8:]), Dport: binary.BigEndian.Uint16(k[10:]),
		Src: address(family, k[16:32]), Dst: address(family, k[32:48])}
	switch k[7] {
	case directionSent:
		row.Direction = "sent"
	case directionReceived:
		row.Direction = "received"
	}
	return row, n.Uint32(k[12:]), nil
}

func parseStateKey(k []byte) (stateRow, error) {
	if len(k) != stateKeySize {
		return stateRow{}, errKey
	}
	n := binary.NativeEndian
	family := n.Uint16(k[4:])
	row := stateRow{Netns: n.Uint32(k), Family: familyName(family), Old: stateName(k[6]), New: stateName(k[7]), Port: n.Uint16(k[8:]),
		Side: "local", Addr: address(family, k[16:32])}
	if k[10] == sideRemote {
		row.Side = "remote"
	}
	return row, nil
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(s, "?")
}

func familyName(f uint16) string {
	switch f {
	case familyINET:
		return "inet"
	case familyINET6:
		return "inet6"
	case 0:
		return ""
	}
	return "family-" + strconv.Itoa(int(f))
}

// address reads 16 bytes; IPv4 is in the first four, or mapped.
func address(family uint16, b []byte) string {
	switch family {
	case familyINET:
		return netip.AddrFrom4([4]byte(b)).String()
	case familyINET6:
		return netip.AddrFrom16([16]byte(b)).Unmap().String()
	}
	return ""
}

func protocolName(ethertype uint16) string {
	switch ethertype {
	case 0:
		return ""
	case 0x0800:
		return "ipv4"
	case 0x86dd:
		return "ipv6"
	case 0x0806:
		return "arp"
	}
	return fmt.Sprintf("0x%04x", ethertype)
}

// stateName names a TCP state as ss does.
func stateName(s uint8) string {
	names := [...]string{0: "", 1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
		7: "CLOSE", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "NEW-SYN-RECV"}
	if int(s) >= len(names) {
		return "STATE-" + strconv.Itoa(int(s))
	}
	return names[s]
}

// reasonName names a drop reason. The upper half is the subsystem, whose
// modules have names of their own that the kernel's type information lacks.
func reasonName(reason uint32, names map[uint32]string) string {
	if name, ok := names[reason]; ok {
		return name
	}
	if sub := reason >> 16; sub != 0 {
		return fmt.Sprintf("SUBSYSTEM_%d:%d", sub, reason&0xffff)
	}
	return fmt.Sprintf("REASON_%d", reason)
}

// symbols finds the functions that hold the addresses, in the text of
// /proc/kallsyms, without keeping it. Hidden addresses give an empty map.
func symbols(kallsyms io.Reader, addrs []uint64) (map[uint64]string, error) {
	addrs = slices.Compact(slices.Sorted(slices.Values(addrs)))
	type symbol struct {
		addr uint64
		name string
	}
	before := make([]symbol, len(addrs)) // the last symbol at or below addrs[i] and above addrs[i-1]
	s := bufio.NewScanner(kallsyms)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 3 || f[1] != "t" && f[1] != "T" {
			continue
		}
		at, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil || at == 0 {
			continue
		}
		if i := sort.Search(len(addrs), func(i int) bool { return addrs[i] >= at }); i < len(addrs) && at >= before[i].addr {
			before[i] = symbol{at, f[2]}
		}
	}
	names := map[uint64]string{}
	last := symbol{}
	for i, a := range addrs {
		if before[i].addr > last.addr {
			last = before[i]
		}
		if last.name != "" {
			names[a] = strings.ToValidUTF8(last.name, "?")
		}
	}
	return names, s.Err()
}
