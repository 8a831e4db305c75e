package capture

import (
	"encoding/binary"
	"errors"
)

// frame is a packet as the kernel's ring holds it.
type frame struct {
	nanos   int64 // since 1970
	data    []byte
	orig    uint32 // length on the wire, tag taken off
	status  uint32
	tci     uint32 // VLAN tag that was taken off
	tpid    uint16
	ifindex int
	hatype  uint16
	pkttype uint8
}

// Bits of a frame's status, and types of packets.
const (
	statusVLAN     = 0x10
	statusVLANTPID = 0x40

	packetHost      = 0
	packetBroadcast = 1
	packetMulticast = 2
	packetOtherHost = 3
	packetOutgoing  = 4
)

// Layout of a TPACKET_V3 block and of the frames in it, in native byte order.
const (
	blockStatusOffset = 8
	blockPackets      = 12
	blockFirst        = 16
	blockHeader       = 48
	frameHeader       = 48 // then a sockaddr_ll
	frameAddress      = 20
)

var errRing = errors.New("the kernel's packet ring makes no sense")

// eachFrame calls fn for every frame of a block; data is only valid during
// the call, and so is the frame. It trusts no offset.
func eachFrame(block []byte, fn func(*frame) error) error {
	if len(block) < blockHeader {
		return errRing
	}
	native := binary.NativeEndian
	at := uint64(native.Uint32(block[blockFirst:]))
	var f frame
	for n := native.Uint32(block[blockPackets:]); n > 0; n-- {
		if at+frameHeader+frameAddress > uint64(len(block)) {
			return errRing
		}
		b := block[at:]
		h := (*[frameHeader + frameAddress]byte)(b)
		f = frame{
			nanos:   int64(native.Uint32(h[4:]))*1e9 + int64(native.Uint32(h[8:])),
			orig:    native.Uint32(h[16:]),
			status:  native.Uint32(h[20:]),
			tci:     native.Uint32(h[32:]),
			tpid:    native.Uint16(h[36:]),
			ifindex: int(int32(native.Uint32(h[frameHeader+4:]))),
			hatype:  native.Uint16(h[frameHeader+8:]),
			pkttype: h[frameHeader+10],
		}
		start := uint64(native.Uint16(h[24:]))
		end := start + uint64(native.Uint32(h[12:]))
		if end > uint64(len(b)) {
			return errRing
		}
		f.data = b[start:end]
		if err := fn(&f); err != nil {
			return err
		}
		next := uint64(native.Uint32(h[:]))
		if next == 0 && n > 1 {
			return errRing
		}
		at += next
	}
	return nil
}

// flags of the packet block: direction and kind of reception.
func (f *frame) flags() uint32 {
	const inbound, outbound = 1, 2
	switch f.pkttype {
	case packetHost:
		return inbound | 1<<2
	case packetMulticast:
		return inbound | 2<<2
	case packetBroadcast:
		return inbound | 3<<2
	case packetOtherHost:
		return inbound | 4<<2
	case packetOutgoing:
		return outbound
	}
	return 0
}

// tagged appends the frame's data to buf with the VLAN tag put back that
// hardware or the kernel had taken off, and returns it with the length on the wire.
func (f *frame) tagged(buf []byte, snaplen int) ([]byte, uint32) {
	const addresses = 12
	if f.status&statusVLAN == 0 || len(f.data) < addresses {
		return append(buf, f.data...), f.orig
	}
	tpid := uint16(0x8100)
	if f.status&statusVLANTPID != 0 {
		tpid = f.tpid
	}
	start := len(buf)
	buf = append(buf, f.data[:addresses]...)
	buf = binary.BigEndian.AppendUint16(buf, tpid)
	buf = binary.BigEndian.AppendUint16(buf, uint16(f.tci))
	buf = append(buf, f.data[addresses:]...)
	return buf[:min(len(buf), start+snaplen)], f.orig + 4
}
