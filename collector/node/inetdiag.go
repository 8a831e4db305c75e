package node

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// Layouts of include/uapi/linux/{inet_diag,tcp}.h.
const (
	diagLen     = 72 // struct inet_diag_msg
	familyINET  = 2
	familyINET6 = 10
	protoTCP    = 6
	protoUDP    = 17
	protoRaw    = 255
	tcpListen   = 10

	// INET_DIAG_*
	diagInfo     = 2
	diagCong     = 4
	diagTOS      = 5
	diagTClass   = 6
	diagMemory   = 7
	diagShutdown = 8
	diagProtocol = 10
	diagV6Only   = 11
	diagMark     = 15
	diagMD5      = 18 // with the keys, which are never looked at
	diagULP      = 19
	diagCgroup   = 21
)

// inetParser reads struct inet_diag_msg and the attributes behind it. Its row
// and its names are used again and again: a node has 100,000 sockets.
type inetParser struct {
	proto uint8
	row   socketRow
	names map[string]string
}

func newInetParser(proto uint8) *inetParser {
	return &inetParser{proto: proto, names: map[string]string{}}
}

// parse returns a row that is good until the next call.
func (p *inetParser) parse(b []byte) (*socketRow, error) {
	if len(b) < diagLen {
		return nil, fmt.Errorf("%w: inet_diag_msg of %d bytes", errNetlink, len(b))
	}
	r := &p.row
	*r = socketRow{
		Proto: protoName(p.proto), State: stateName(b[1]), Timer: timerName(b[2]), Retransmits: uint32(b[3]),
		Sport: binary.BigEndian.Uint16(b[4:]), Dport: binary.BigEndian.Uint16(b[6:]),
		Ifindex: binary.NativeEndian.Uint32(b[40:]), TimerMs: binary.NativeEndian.Uint32(b[52:]),
		Rqueue: binary.NativeEndian.Uint32(b[56:]), Wqueue: binary.NativeEndian.Uint32(b[60:]),
		UID: binary.NativeEndian.Uint32(b[64:]), Inode: binary.NativeEndian.Uint32(b[68:]),
	}
	switch b[0] {
	case familyINET:
		r.Family = "inet"
		r.Src, r.Dst = netip.AddrFrom4([4]byte(b[8:12])), netip.AddrFrom4([4]byte(b[24:28]))
	case familyINET6:
		r.Family = "inet6"
		r.Src, r.Dst = netip.AddrFrom16([16]byte(b[8:24])).Unmap(), netip.AddrFrom16([16]byte(b[24:40])).Unmap()
	default:
		return nil, fmt.Errorf("%w: family %d", errNetlink, b[0])
	}
	if p.proto == protoRaw { // the kernel puts the protocol into the port
		r.RawProtocol, r.Sport, r.Dport = uint8(r.Sport), 0, 0
	}
	if r.Timer == "" {
		r.TimerMs = 0
	}
	return r, eachAttr(b[diagLen:], p.attribute)
}

func (p *inetParser) attribute(typ uint16, v []byte) {
	r := &p.row
	switch typ {
	case diagInfo:
		if p.proto == protoTCP && r.State != "LISTEN" { // whose tcp_info repeats the queue
			if len(v) > 2 {
				r.Retransmits = uint32(v[2])
			}
			r.tcpInfo(v)
		}
	case diagCong:
		r.Cong = p.name(v)
	case diagMemory:
		r.memFields.parse(v)
	case diagTOS:
		r.TOS = at8(v, 0)
	case diagTClass:
		r.TClass = at8(v, 0)
	case diagShutdown:
		r.Shutdown = at8(v, 0)
	case diagProtocol:
		r.RawProtocol = at8(v, 0)
	case diagV6Only:
		r.V6Only = at8(v, 0) != 0
	case diagMark:
		r.Mark = at32(v, 0)
	case diagCgroup:
		r.CgroupID = at64(v, 0)
	case diagMD5:
		r.MD5 = len(v) > 0
	case diagULP:
		_ = eachAttr(v, func(typ uint16, v []byte) {
			if typ == 1 { // INET_ULP_INFO_NAME
				r.Ulp = p.name(v)
			}
		})
	}
}

// name keeps one copy of each name.
func (p *inetParser) name(v []byte) string {
	if n := len(v); n > 0 && v[n-1] == 0 {
		v = v[:n-1]
	}
	s, ok := p.names[string(v)]
	if !ok && len(p.names) < 1000 {
		s = strings.ToValidUTF8(string(v), "?")
		p.names[string(v)] = s
	}
	return s
}

// at8, at32 and at64 read from what an old kernel may send less of.
func at8(v []byte, at int) uint8 {
	if len(v) <= at {
		return 0
	}
	return v[at]
}

func at32(v []byte, at int) uint32 {
	if len(v) < at+4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v[at:])
}

func at64(v []byte, at int) uint64 {
	if len(v) < at+8 {
		return 0
	}
	return binary.NativeEndian.Uint64(v[at:])
}

// tcpInfo reads struct tcp_info.
func (r *tcpFields) tcpInfo(v []byte) {
	caStates := [...]string{"", "disorder", "cwr", "recovery", "loss"}
	if s := int(at8(v, 1)); s < len(caStates) {
		r.CAState = caStates[s]
	}
	r.Probes, r.Backoff, r.Options = at8(v, 3), at8(v, 4), tcpOptions(at8(v, 5))
	if at8(v, 5)&tcpWScale != 0 {
		r.SndWScale, r.RcvWScale = at8(v, 6)&15, at8(v, 6)>>4
	}
	r.AppLimited = at8(v, 7)&1 != 0
	r.RTOUsec, r.SndMSS, r.RcvMSS, r.Unacked, r.Sacked = at32(v, 8), at32(v, 16), at32(v, 20), at32(v, 24), at32(v, 28)
	r.Lost, r.Retrans, r.LastDataSent = at32(v, 32), at32(v, 36), at32(v, 44)
	r.LastDataRecv, r.LastAckRecv, r.PMTU, r.RcvSsthresh = at32(v, 52), at32(v, 56), at32(v, 60), at32(v, 64)
	r.RTTUsec, r.RTTVarUsec, r.Ssthresh, r.Cwnd = at32(v, 68), at32(v, 72), at32(v, 76), at32(v, 80)
	if r.Ssthresh == math.MaxInt32 { // not reached yet
		r.Ssthresh = 0
	}
	r.AdvMSS, r.Reordering, r.RcvRTTUsec, r.RcvSpace = at32(v, 84), at32(v, 88), at32(v, 92), at32(v, 96)
	if r.Reordering == 3 { // as it begins
		r.Reordering = 0
	}
	r.TotalRetrans, r.PacingRate, r.BytesAcked, r.BytesReceived = at32(v, 100), at64(v, 104), at64(v, 120), at64(v, 128)
	if r.PacingRate == math.MaxUint64 { // not paced
		r.PacingRate = 0
	}
	r.SegsOut, r.SegsIn, r.NotSent, r.MinRTTUsec = at32(v, 136), at32(v, 140), at32(v, 144), at32(v, 148)
	if r.MinRTTUsec == math.MaxUint32 { // not measured yet
		r.MinRTTUsec = 0
	}
	r.DataSegsIn, r.DataSegsOut, r.DeliveryRate = at32(v, 152), at32(v, 156), at64(v, 160)
	r.BusyUsec, r.RwndLimited, r.SndbufLimited = at64(v, 168), at64(v, 176), at64(v, 184)
	r.DeliveredCE, r.BytesSent, r.BytesRetrans = at32(v, 196), at64(v, 200), at64(v, 208)
	r.DSackDups, r.ReordSeen, r.RcvOOO, r.SndWnd, r.RcvWnd = at32(v, 216), at32(v, 220), at32(v, 224), at32(v, 228), at32(v, 232)
}

const tcpWScale = 4 // TCPI_OPT_WSCALE

// tcpOptions names what the two ends agreed on; window scaling has a field of
// its own.
func tcpOptions(bits uint8) string {
	if bits&^tcpWScale == 3 { // nearly always
		return "ts sack"
	}
	var list []string
	for _, o := range [...]struct {
		bit  uint8
		name string
	}{{1, "ts"}, {2, "sack"}, {8, "ecn"}, {16, "ecnseen"}, {32, "fastopen"}, {64, "usec_ts"}} {
		if bits&o.bit != 0 {
			list = append(list, o.name)
		}
	}
	return strings.Join(list, " ")
}

// parse reads the array of SK_MEMINFO_*.
func (r *memFields) parse(v []byte) {
	r.Rmem, r.Rcvbuf, r.Wmem, r.Sndbuf = at32(v, 0), at32(v, 4), at32(v, 8), at32(v, 12)
	r.FwdAlloc, r.WmemQueued, r.Optmem, r.Backlog, r.Drops = at32(v, 16), at32(v, 20), at32(v, 24), at32(v, 28), at32(v, 32)
}

func protoName(proto uint8) string {
	switch proto {
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	}
	return "raw"
}

func timerName(t uint8) string {
	names := [...]string{"", "on", "keepalive", "timewait", "persist"}
	if int(t) >= len(names) {
		return fmt.Sprintf("timer-%d", t)
	}
	return names[t]
}

// stateName names a state as ss does; of UDP sockets only ESTAB and UNCONN
// occur. A TCP socket that is bound, and neither listens nor has a peer, is
// BOUND: it takes up a port.
func stateName(s uint8) string {
	names := [...]string{1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
		7: "UNCONN", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECV", 13: "BOUND"}
	if int(s) >= len(names) || names[s] == "" {
		return fmt.Sprintf("STATE-%d", s)
	}
	return names[s]
}
