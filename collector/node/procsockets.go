package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

var errProcSocket = errors.New("not a line of the kernel's table of sockets")

// parseProcSocket reads a line of /proc/net/{tcp,udp,raw}{,6}. It is for
// kernels without sock_diag; the header line is an error.
func parseProcSocket(line []byte, proto uint8) (*socketRow, error) {
	f := bytes.Fields(line)
	if len(f) < 10 {
		return nil, errProcSocket
	}
	r := &socketRow{Proto: protoName(proto)}
	var err error
	if r.Src, r.Sport, r.Family, err = procAddr(f[1]); err != nil {
		return nil, err
	}
	if r.Dst, r.Dport, _, err = procAddr(f[2]); err != nil {
		return nil, err
	}
	tx, rx, _ := bytes.Cut(f[4], []byte(":"))
	timer, _, _ := bytes.Cut(f[5], []byte(":"))
	for _, n := range []struct {
		text []byte
		base int
		set  func(uint64)
	}{
		{f[3], 16, func(n uint64) { r.State = stateName(uint8(n)) }},
		{tx, 16, func(n uint64) { r.Wqueue = uint32(n) }},
		{rx, 16, func(n uint64) { r.Rqueue = uint32(n) }},
		{timer, 16, func(n uint64) { r.Timer = timerName(uint8(n)) }},
		{f[6], 16, func(n uint64) { r.Retransmits = uint32(n) }},
		{f[7], 10, func(n uint64) { r.UID = uint32(n) }},
		{f[9], 10, func(n uint64) { r.Inode = uint32(n) }},
	} {
		v, err := strconv.ParseUint(string(n.text), n.base, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errProcSocket, err)
		}
		n.set(v)
	}
	if proto != protoTCP && len(f) > 12 {
		if drops, err := strconv.ParseUint(string(f[12]), 10, 32); err == nil {
			r.Drops = uint32(drops)
		}
	}
	if proto == protoRaw { // as in sock_diag
		r.RawProtocol, r.Sport, r.Dport = uint8(r.Sport), 0, 0
	}
	return r, nil
}

// procAddr reads an address of four-byte words in the machine's order, and a
// port: 0100007F:1F90.
func procAddr(b []byte) (a netip.Addr, port uint16, family string, err error) {
	host, portText, _ := bytes.Cut(b, []byte(":"))
	p, err := strconv.ParseUint(string(portText), 16, 16)
	if err != nil || len(host) != 8 && len(host) != 32 {
		return a, 0, "", fmt.Errorf("%w: address %q", errProcSocket, b)
	}
	var raw [16]byte
	for i := 0; i < len(host); i += 8 {
		word, err := strconv.ParseUint(string(host[i:i+8]), 16, 32)
		if err != nil {
			return a, 0, "", fmt.Errorf("%w: %w", errProcSocket, err)
		}
		binary.NativeEndian.PutUint32(raw[i/2:], uint32(word))
	}
	if len(host) == 8 {
		return netip.AddrFrom4([4]byte(raw[:4])), uint16(p), "inet", nil
	}
	return netip.AddrFrom16(raw).Unmap(), uint16(p), "inet6", nil
}
