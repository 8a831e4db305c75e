package node

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Layouts of include/uapi/linux/{unix_diag,packet_diag}.h.
const (
	unixDiagLen   = 16 // struct unix_diag_msg
	packetDiagLen = 16 // struct packet_diag_msg
	familyUNIX    = 1
	familyPacket  = 17
)

// parseUnixDiag reads struct unix_diag_msg and its attributes.
func parseUnixDiag(b []byte) (unixRow, error) {
	if len(b) < unixDiagLen || b[0] != familyUNIX {
		return unixRow{}, fmt.Errorf("%w: unix_diag_msg of %d bytes", errNetlink, len(b))
	}
	r := unixRow{Type: socketType(b[1]), State: stateName(b[2]), Inode: binary.NativeEndian.Uint32(b[4:])}
	return r, eachAttr(b[unixDiagLen:], func(typ uint16, v []byte) {
		switch typ {
		case 0: // UNIX_DIAG_NAME
			r.SocketPath = unixName(v)
		case 1: // VFS
			r.FileInode, r.FileDevice = at32(v, 0), at32(v, 4)
		case 2: // PEER
			r.PeerInode = at32(v, 0)
		case 3: // ICONS
			r.Pending = uint32(len(v) / 4)
		case 4: // RQLEN
			r.Rqueue, r.Wqueue = at32(v, 0), at32(v, 4)
		case 5: // MEMINFO
			r.memFields.parse(v)
		case 6: // SHUTDOWN
			r.Shutdown = at8(v, 0)
		case 7: // UID
			r.UID = at32(v, 0)
		}
	})
}

// unixName writes a name as ss does: @ stands for a null byte.
func unixName(v []byte) string {
	s := string(v)
	if len(s) > 0 && s[0] != 0 {
		s = strings.TrimRight(s, "\x00")
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "@"), "?")
}

func socketType(t uint8) string {
	switch t {
	case 1:
		return "stream"
	case 2:
		return "dgram"
	case 3:
		return "raw"
	case 5:
		return "seqpacket"
	case 10:
		return "packet"
	}
	return "type-" + strconv.Itoa(int(t))
}

// parsePacketDiag reads struct packet_diag_msg and its attributes. Of a filter
// only the length is kept.
func parsePacketDiag(b []byte) (packetRow, error) {
	if len(b) < packetDiagLen || b[0] != familyPacket {
		return packetRow{}, fmt.Errorf("%w: packet_diag_msg of %d bytes", errNetlink, len(b))
	}
	r := packetRow{Type: socketType(b[1]), Inode: binary.NativeEndian.Uint32(b[4:])}
	if proto := binary.NativeEndian.Uint16(b[2:]); proto != 0 {
		r.Protocol = fmt.Sprintf("0x%04x", proto)
	}
	return r, eachAttr(b[packetDiagLen:], func(typ uint16, v []byte) {
		switch typ {
		case 0: // PACKET_DIAG_INFO
			version := at32(v, 4)
			r.Ifindex, r.Version, r.Flags = at32(v, 0), &version, packetFlags(at32(v, 20))
		case 1: // MCLIST
			r.Memberships = memberships(v)
		case 2:
			r.RxRing = parseRing(v)
		case 3:
			r.TxRing = parseRing(v)
		case 4: // FANOUT
			r.Fanout = &fanoutRow{ID: uint16(at32(v, 0)), Type: uint16(at32(v, 0) >> 16)}
		case 5:
			r.UID = at32(v, 0)
		case 6:
			r.memFields.parse(v)
		case 7: // FILTER, struct sock_filter
			r.Filter = len(v) / 8
		}
	})
}

func parseRing(v []byte) *packetRing {
	return &packetRing{BlockSize: at32(v, 0), Blocks: at32(v, 4), FrameSize: at32(v, 8), Frames: at32(v, 12),
		TimeoutMs: at32(v, 16), PrivSize: at32(v, 20), Features: at32(v, 24)}
}

func packetFlags(bits uint32) []string {
	var list []string
	for i, name := range [...]string{"running", "auxdata", "origdev", "vnethdr", "loss"} {
		if bits&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// memberships reads struct packet_diag_mclist, of 48 bytes each.
func memberships(v []byte) []mcastRow {
	var list []mcastRow
	types := [...]string{"multicast", "promisc", "allmulti", "unicast"}
	for ; len(v) >= 48; v = v[48:] {
		m := mcastRow{Ifindex: at32(v, 0)}
		if t := binary.NativeEndian.Uint16(v[8:]); int(t) < len(types) {
			m.Type = types[t]
		}
		list = append(list, m)
	}
	return list
}
