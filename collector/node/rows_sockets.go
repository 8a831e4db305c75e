package node

import "net/netip"

// socketRow is one socket of TCP, UDP or of raw IP. Of a LISTEN socket rqueue
// is the length of the accept queue and wqueue the backlog. IPv4 addresses on
// an IPv6 socket are written as IPv4. A raw socket has no ports.
type socketRow struct {
	Family      string     `json:"family"` // inet, inet6
	Proto       string     `json:"proto"`  // tcp, udp, raw
	State       string     `json:"state"`  // as ss prints it: LISTEN, ESTAB, TIME-WAIT, UNCONN …
	Src         netip.Addr `json:"src"`
	Sport       uint16     `json:"sport"`
	Dst         netip.Addr `json:"dst"`
	Dport       uint16     `json:"dport"`
	Rqueue      uint32     `json:"rqueue,omitempty"`
	Wqueue      uint32     `json:"wqueue,omitempty"`
	Inode       uint32     `json:"inode,omitempty"`
	UID         uint32     `json:"uid,omitempty"`
	PID         int        `json:"pid,omitempty"`
	Comm        string     `json:"comm,omitempty"`
	RawProtocol uint8      `json:"rawProtocol,omitempty"` // of a raw socket: 1 ICMP, 89 OSPF …
	Ifindex     uint32     `json:"ifindex,omitempty"`     // bound to this device
	Mark        uint32     `json:"mark,omitempty"`
	CgroupID    uint64     `json:"cgroupID,omitempty"` // inode of its cgroup, version 2
	V6Only      bool       `json:"v6only,omitempty"`
	TOS         uint8      `json:"tos,omitempty"`
	TClass      uint8      `json:"tclass,omitempty"`
	Shutdown    uint8      `json:"shutdown,omitempty"` // 1 receiving, 2 sending, 3 both
	Timer       string     `json:"timer,omitempty"`    // as ss: on (a retransmission), keepalive, timewait, persist
	TimerMs     uint32     `json:"timerMs,omitempty"`
	Retransmits uint32     `json:"retransmits,omitempty"` // of the segment now in flight; with keepalive, unanswered probes
	tcpFields
	memFields
}

// tcpFields is struct tcp_info, but for what says nothing to a reader.
type tcpFields struct {
	Cong          string `json:"cong,omitempty"`    // the congestion control
	CAState       string `json:"caState,omitempty"` // disorder, cwr, recovery, loss; open is left out
	Options       string `json:"options,omitempty"` // ts sack ecn ecnseen fastopen
	SndWScale     uint8  `json:"sndWScale,omitempty"`
	RcvWScale     uint8  `json:"rcvWScale,omitempty"`
	Ulp           string `json:"ulp,omitempty"`     // tls, mptcp …
	MD5           bool   `json:"md5,omitempty"`     // has keys, which are not read
	Probes        uint8  `json:"probes,omitempty"`  // unanswered window or keepalive probes
	Backoff       uint8  `json:"backoff,omitempty"` // of the retransmission timer, a power of two
	AppLimited    bool   `json:"appLimited,omitempty"`
	RTOUsec       uint32 `json:"rtoUsec,omitempty"`
	SndMSS        uint32 `json:"sndMSS,omitempty"`
	RcvMSS        uint32 `json:"rcvMSS,omitempty"`
	Unacked       uint32 `json:"unacked,omitempty"`
	Sacked        uint32 `json:"sacked,omitempty"`
	Lost          uint32 `json:"lost,omitempty"`
	Retrans       uint32 `json:"retrans,omitempty"` // retransmitted and not yet acknowledged
	TotalRetrans  uint32 `json:"totalRetrans,omitempty"`
	LastDataSent  uint32 `json:"lastDataSentMs,omitempty"`
	LastDataRecv  uint32 `json:"lastDataRecvMs,omitempty"`
	LastAckRecv   uint32 `json:"lastAckRecvMs,omitempty"`
	PMTU          uint32 `json:"pmtu,omitempty"`
	RTTUsec       uint32 `json:"rttUsec,omitempty"`
	RTTVarUsec    uint32 `json:"rttvarUsec,omitempty"`
	MinRTTUsec    uint32 `json:"minRTTUsec,omitempty"`
	RcvRTTUsec    uint32 `json:"rcvRTTUsec,omitempty"`
	Cwnd          uint32 `json:"cwnd,omitempty"`
	Ssthresh      uint32 `json:"ssthresh,omitempty"` // left out as long as it is infinite
	AdvMSS        uint32 `json:"advMSS,omitempty"`
	Reordering    uint32 `json:"reordering,omitempty"` // left out if 3
	RcvSpace      uint32 `json:"rcvSpace,omitempty"`
	RcvSsthresh   uint32 `json:"rcvSsthresh,omitempty"`
	SndWnd        uint32 `json:"sndWnd,omitempty"`
	RcvWnd        uint32 `json:"rcvWnd,omitempty"`
	NotSent       uint32 `json:"notSent,omitempty"` // bytes
	DSackDups     uint32 `json:"dsackDups,omitempty"`
	ReordSeen     uint32 `json:"reordSeen,omitempty"`
	RcvOOO        uint32 `json:"rcvOOO,omitempty"` // packets out of order
	SegsOut       uint32 `json:"segsOut,omitempty"`
	SegsIn        uint32 `json:"segsIn,omitempty"`
	DataSegsOut   uint32 `json:"dataSegsOut,omitempty"`
	DataSegsIn    uint32 `json:"dataSegsIn,omitempty"`
	DeliveredCE   uint32 `json:"deliveredCE,omitempty"`
	BytesSent     uint64 `json:"bytesSent,omitempty"`
	BytesRetrans  uint64 `json:"bytesRetrans,omitempty"`
	BytesAcked    uint64 `json:"bytesAcked,omitempty"`
	BytesReceived uint64 `json:"bytesReceived,omitempty"`
	PacingRate    uint64 `json:"pacingRate,omitempty"` // bytes a second, as the next one
	DeliveryRate  uint64 `json:"deliveryRate,omitempty"`
	BusyUsec      uint64 `json:"busyUsec,omitempty"` // with data to send; of this, held up by the next two
	RwndLimited   uint64 `json:"rwndLimitedUsec,omitempty"`
	SndbufLimited uint64 `json:"sndbufLimitedUsec,omitempty"`
}

// memFields is what the kernel's SK_MEMINFO says of a socket, in bytes.
type memFields struct {
	Rmem       uint32 `json:"rmem,omitempty"`
	Rcvbuf     uint32 `json:"rcvbuf,omitempty"`
	Wmem       uint32 `json:"wmem,omitempty"`
	Sndbuf     uint32 `json:"sndbuf,omitempty"`
	FwdAlloc   uint32 `json:"fwdAlloc,omitempty"`
	WmemQueued uint32 `json:"wmemQueued,omitempty"`
	Optmem     uint32 `json:"optmem,omitempty"`
	Backlog    uint32 `json:"backlog,omitempty"`
	Drops      uint32 `json:"drops,omitempty"` // packets
}

func (r *socketRow) appendJSON(b []byte) []byte {
	b = appendWord(b, `{"family":`, r.Family)
	b = appendWord(b, `,"proto":`, r.Proto)
	b = appendWord(b, `,"state":`, r.State)
	b = appendAddr(b, `,"src":`, r.Src)
	b = appendInt(b, `,"sport":`, r.Sport)
	b = appendAddr(b, `,"dst":`, r.Dst)
	b = appendInt(b, `,"dport":`, r.Dport)
	b = appendSome(b, `,"rqueue":`, r.Rqueue)
	b = appendSome(b, `,"wqueue":`, r.Wqueue)
	b = appendSome(b, `,"inode":`, r.Inode)
	b = appendSome(b, `,"uid":`, r.UID)
	b = appendSome(b, `,"pid":`, r.PID)
	b = appendText(b, `,"comm":`, r.Comm)
	b = appendSome(b, `,"rawProtocol":`, r.RawProtocol)
	b = appendSome(b, `,"ifindex":`, r.Ifindex)
	b = appendSome(b, `,"mark":`, r.Mark)
	b = appendSome(b, `,"cgroupID":`, r.CgroupID)
	b = appendTrue(b, `,"v6only":`, r.V6Only)
	b = appendSome(b, `,"tos":`, r.TOS)
	b = appendSome(b, `,"tclass":`, r.TClass)
	b = appendSome(b, `,"shutdown":`, r.Shutdown)
	b = appendSomeWord(b, `,"timer":`, r.Timer)
	b = appendSome(b, `,"timerMs":`, r.TimerMs)
	b = appendSome(b, `,"retransmits":`, r.Retransmits)
	if r.Proto == "tcp" {
		b = r.appendTCP(b)
		b = r.appendTCPVolume(b)
	}
	return append(r.memFields.append(b), '}')
}

func (r *tcpFields) appendTCP(b []byte) []byte {
	b = appendText(b, `,"cong":`, r.Cong)
	b = appendSomeWord(b, `,"caState":`, r.CAState)
	b = appendSomeWord(b, `,"options":`, r.Options)
	b = appendSome(b, `,"sndWScale":`, r.SndWScale)
	b = appendSome(b, `,"rcvWScale":`, r.RcvWScale)
	b = appendText(b, `,"ulp":`, r.Ulp)
	b = appendTrue(b, `,"md5":`, r.MD5)
	b = appendSome(b, `,"probes":`, r.Probes)
	b = appendSome(b, `,"backoff":`, r.Backoff)
	b = appendTrue(b, `,"appLimited":`, r.AppLimited)
	b = appendSome(b, `,"rtoUsec":`, r.RTOUsec)
	b = appendSome(b, `,"sndMSS":`, r.SndMSS)
	b = appendSome(b, `,"rcvMSS":`, r.RcvMSS)
	b = appendSome(b, `,"unacked":`, r.Unacked)
	b = appendSome(b, `,"sacked":`, r.Sacked)
	b = appendSome(b, `,"lost":`, r.Lost)
	b = appendSome(b, `,"retrans":`, r.Retrans)
	b = appendSome(b, `,"totalRetrans":`, r.TotalRetrans)
	b = appendSome(b, `,"lastDataSentMs":`, r.LastDataSent)
	b = appendSome(b, `,"lastDataRecvMs":`, r.LastDataRecv)
	b = appendSome(b, `,"lastAckRecvMs":`, r.LastAckRecv)
	b = appendSome(b, `,"pmtu":`, r.PMTU)
	b = appendSome(b, `,"rttUsec":`, r.RTTUsec)
	b = appendSome(b, `,"rttvarUsec":`, r.RTTVarUsec)
	b = appendSome(b, `,"minRTTUsec":`, r.MinRTTUsec)
	b = appendSome(b, `,"rcvRTTUsec":`, r.RcvRTTUsec)
	b = appendSome(b, `,"cwnd":`, r.Cwnd)
	b = appendSome(b, `,"ssthresh":`, r.Ssthresh)
	b = appendSome(b, `,"advMSS":`, r.AdvMSS)
	b = appendSome(b, `,"reordering":`, r.Reordering)
	return b
}

func (r *tcpFields) appendTCPVolume(b []byte) []byte {
	b = appendSome(b, `,"rcvSpace":`, r.RcvSpace)
	b = appendSome(b, `,"rcvSsthresh":`, r.RcvSsthresh)
	b = appendSome(b, `,"sndWnd":`, r.SndWnd)
	b = appendSome(b, `,"rcvWnd":`, r.RcvWnd)
	b = appendSome(b, `,"notSent":`, r.NotSent)
	b = appendSome(b, `,"dsackDups":`, r.DSackDups)
	b = appendSome(b, `,"reordSeen":`, r.ReordSeen)
	b = appendSome(b, `,"rcvOOO":`, r.RcvOOO)
	b = appendSome(b, `,"segsOut":`, r.SegsOut)
	b = appendSome(b, `,"segsIn":`, r.SegsIn)
	b = appendSome(b, `,"dataSegsOut":`, r.DataSegsOut)
	b = appendSome(b, `,"dataSegsIn":`, r.DataSegsIn)
	b = appendSome(b, `,"deliveredCE":`, r.DeliveredCE)
	b = appendSome(b, `,"bytesSent":`, r.BytesSent)
	b = appendSome(b, `,"bytesRetrans":`, r.BytesRetrans)
	b = appendSome(b, `,"bytesAcked":`, r.BytesAcked)
	b = appendSome(b, `,"bytesReceived":`, r.BytesReceived)
	b = appendSome(b, `,"pacingRate":`, r.PacingRate)
	b = appendSome(b, `,"deliveryRate":`, r.DeliveryRate)
	b = appendSome(b, `,"busyUsec":`, r.BusyUsec)
	b = appendSome(b, `,"rwndLimitedUsec":`, r.RwndLimited)
	b = appendSome(b, `,"sndbufLimitedUsec":`, r.SndbufLimited)
	return b
}

func (r *memFields) append(b []byte) []byte {
	b = appendSome(b, `,"rmem":`, r.Rmem)
	b = appendSome(b, `,"rcvbuf":`, r.Rcvbuf)
	b = appendSome(b, `,"wmem":`, r.Wmem)
	b = appendSome(b, `,"sndbuf":`, r.Sndbuf)
	b = appendSome(b, `,"fwdAlloc":`, r.FwdAlloc)
	b = appendSome(b, `,"wmemQueued":`, r.WmemQueued)
	b = appendSome(b, `,"optmem":`, r.Optmem)
	b = appendSome(b, `,"backlog":`, r.Backlog)
	return appendSome(b, `,"drops":`, r.Drops)
}

// unixRow is one line of net/unix.ndjson. Of a LISTEN socket rqueue and wqueue
// are its queue and backlog, of others bytes.
type unixRow struct {
	Type       string `json:"type"` // stream, dgram, seqpacket
	State      string `json:"state"`
	SocketPath string `json:"socketPath,omitempty"` // "@" begins an abstract name
	Inode      uint32 `json:"inode"`
	PeerInode  uint32 `json:"peerInode,omitempty"`
	Pending    uint32 `json:"pending,omitempty"` // connections of a LISTEN socket not yet accepted, by their inodes
	Rqueue     uint32 `json:"rqueue,omitempty"`
	Wqueue     uint32 `json:"wqueue,omitempty"`
	Shutdown   uint8  `json:"shutdown,omitempty"`
	UID        uint32 `json:"uid,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Comm       string `json:"comm,omitempty"`
	FileInode  uint32 `json:"fileInode,omitempty"` // of the path
	FileDevice uint32 `json:"fileDevice,omitempty"`
	memFields
}

func (r *unixRow) appendJSON(b []byte) []byte {
	b = appendWord(b, `{"type":`, r.Type)
	b = appendWord(b, `,"state":`, r.State)
	b = appendText(b, `,"socketPath":`, r.SocketPath)
	b = appendInt(b, `,"inode":`, r.Inode)
	b = appendSome(b, `,"peerInode":`, r.PeerInode)
	b = appendSome(b, `,"pending":`, r.Pending)
	b = appendSome(b, `,"rqueue":`, r.Rqueue)
	b = appendSome(b, `,"wqueue":`, r.Wqueue)
	b = appendSome(b, `,"shutdown":`, r.Shutdown)
	b = appendSome(b, `,"uid":`, r.UID)
	b = appendSome(b, `,"pid":`, r.PID)
	b = appendText(b, `,"comm":`, r.Comm)
	b = appendSome(b, `,"fileInode":`, r.FileInode)
	b = appendSome(b, `,"fileDevice":`, r.FileDevice)
	return append(r.memFields.append(b), '}')
}

// packetRow is one line of net/packet.ndjson: a packet socket, that is, a
// capture or a DHCP client. There are few, so encoding/json writes them.
type packetRow struct {
	Type        string      `json:"type"`               // raw, dgram, packet
	Protocol    string      `json:"protocol,omitempty"` // Ethernet type: 0x0003 is all
	Inode       uint32      `json:"inode"`
	UID         uint32      `json:"uid,omitempty"`
	PID         int         `json:"pid,omitempty"`
	Comm        string      `json:"comm,omitempty"`
	Ifindex     uint32      `json:"ifindex,omitempty"`
	Version     *uint32     `json:"tpacket,omitempty"` // less one
	Flags       []string    `json:"flags,omitempty"`   // running, auxdata, origdev, vnethdr, loss
	RxRing      *packetRing `json:"rxRing,omitempty"`
	TxRing      *packetRing `json:"txRing,omitempty"`
	Fanout      *fanoutRow  `json:"fanout,omitempty"`
	Memberships []mcastRow  `json:"memberships,omitempty"`
	Filter      int         `json:"filterLength,omitempty"` // instructions; 0 also where the kernel does not tell
	memFields
}

type packetRing struct {
	BlockSize uint32 `json:"blockSize"`
	Blocks    uint32 `json:"blocks"`
	FrameSize uint32 `json:"frameSize"`
	Frames    uint32 `json:"frames"`
	TimeoutMs uint32 `json:"timeoutMs,omitempty"`
	PrivSize  uint32 `json:"privSize,omitempty"`
	Features  uint32 `json:"features,omitempty"`
}

type fanoutRow struct {
	ID   uint16 `json:"id"`
	Type uint16 `json:"type"`
}

type mcastRow struct {
	Ifindex uint32 `json:"ifindex"`
	Type    string `json:"type"` // multicast, promisc, allmulti, unicast
}
