package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// sockError is a struct sock_extended_err with its offender, as a socket's
// error queue has it.
type sockError struct {
	errno      uint32
	origin     uint8 // 1 this machine, 2 ICMP, 3 ICMPv6
	kind, code uint8 // of ICMP
	info       uint32
	offender   netip.Addr // who sent the ICMP error
}

const (
	originLocal = 1
	originICMP  = 2
	originICMP6 = 3
)

// parseSockError reads the data of an IP_RECVERR or IPV6_RECVERR message.
func parseSockError(b []byte) (sockError, bool) {
	if len(b) < 16 {
		return sockError{}, false
	}
	e := sockError{errno: binary.NativeEndian.Uint32(b), origin: b[4], kind: b[5], code: b[6], info: binary.NativeEndian.Uint32(b[8:])}
	from := b[16:]
	if len(from) >= 8 {
		switch family := binary.NativeEndian.Uint16(from); {
		case family == 2:
			e.offender = netip.AddrFrom4([4]byte(from[4:8]))
		case family == 10 && len(from) >= 24:
			e.offender = netip.AddrFrom16([16]byte(from[8:24]))
		}
	}
	return e, true
}

// tooBig says that the packet was larger than e.info bytes may be there.
func (e sockError) tooBig() bool {
	return e.origin == originICMP && e.kind == 3 && e.code == 4 || e.origin == originICMP6 && e.kind == 2
}

// expired says that the packet's life ended on the way.
func (e sockError) expired() bool {
	return e.origin == originICMP && e.kind == 11 || e.origin == originICMP6 && e.kind == 3
}

// closedPort says that the packet arrived where nobody listens.
func (e sockError) closedPort() bool {
	return e.origin == originICMP && e.kind == 3 && e.code == 3 || e.origin == originICMP6 && e.kind == 1 && e.code == 4
}

func (e sockError) isICMP() bool { return e.origin == originICMP || e.origin == originICMP6 }

// text names the ICMP error.
func (e sockError) text() string {
	names := map[[3]uint8]string{
		{2, 3, 0}: "net-unreachable", {2, 3, 1}: "host-unreachable", {2, 3, 2}: "protocol-unreachable", {2, 3, 3}: "port-unreachable",
		{2, 3, 4}: "fragmentation-needed", {2, 3, 9}: "net-prohibited", {2, 3, 10}: "host-prohibited", {2, 3, 13}: "admin-prohibited",
		{2, 11, 0}: "time-exceeded",
		{3, 1, 0}:  "no-route", {3, 1, 1}: "admin-prohibited", {3, 1, 3}: "address-unreachable", {3, 1, 4}: "port-unreachable",
		{3, 1, 5}: "policy-failed", {3, 1, 6}: "route-rejected", {3, 2, 0}: "packet-too-big", {3, 3, 0}: "time-exceeded",
	}
	if n, ok := names[[3]uint8{e.origin, e.kind, e.code}]; ok {
		return n
	}
	if !e.isICMP() {
		return "local"
	}
	return fmt.Sprintf("icmp-%d-%d", e.kind, e.code)
}

func (e sockError) by() string {
	if !e.offender.IsValid() {
		return ""
	}
	return addrText(e.offender)
}

func addrText(a netip.Addr) string { return a.Unmap().WithZone("").String() }

func addressText(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return addrText(a)
}
