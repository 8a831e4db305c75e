package flow

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16

	noRetransmission = flagSYN | flagFIN | flagRST
)

// marks are what the analysis says of a segment.
type marks uint16

const (
	markRetrans marks = 1 << iota
	markFast
	markSpurious
	markOutOfOrder
	markLost
	markDuplicateACK
	markZeroWindow
	markWindowFull
	markKeepAlive
	markKeepAliveACK
	markProbe
	markProbeACK
)

// Times of the analysis, in nanoseconds.
const (
	fastWithin      = 20e6 // a fast retransmission comes so soon after the last ACK
	reorderedWithin = 3e6  // out of order, when the round-trip time is not known
)

// scaling of windows, as far as it is known.
const (
	scaleUnknown int8 = -1
	scaleNone    int8 = -2
)

// direction is what one end of a connection has sent so far, as the analysis
// needs it. Zero stands for "nothing yet" in sequence numbers, as in tshark.
type direction struct {
	next     uint32 // highest sequence number seen, and when
	nextTime int64
	acked    uint32 // last acknowledgement sent, and when
	ackTime  int64
	expected uint32 // highest number that the peer may acknowledge
	window   uint32
	repeats  int32 // duplicate ACKs in a row
	last     marks // of the last segment
	scale    int8  // see scaleUnknown
	fromSYN  bool  // window is that of a SYN, and never scaled
	seen     bool  // base is known
	base     uint32
}

func after(a, b uint32) bool  { return int32(a-b) > 0 }
func before(a, b uint32) bool { return int32(a-b) < 0 }

// analyse says what a segment is, and remembers it. fwd is the direction of
// the segment, rev the other; rtt is of the handshake, 0 when not known. The
// rules are those that Wireshark's manual gives for tcp.analysis, in their order.
func analyse(fwd, rev *direction, h *headers, now, rtt int64) marks {
	length, flags, window := uint32(h.length), h.tcpFlags, uint32(h.window)
	if !fwd.seen {
		fwd.seen, fwd.base = true, h.seq-1
		if flags&flagSYN != 0 {
			fwd.base = h.seq
		}
	}
	if !rev.seen && flags&flagACK != 0 {
		rev.seen, rev.base = true, h.ack-1
	}
	m, stop := fwd.window1(rev, h, length, window)
	if !stop {
		m |= fwd.acknowledgement(rev, h, length, window)
	}
	if h.ack != fwd.acked {
		fwd.repeats = 0
	}
	if rev.expected != 0 && flags&flagACK != 0 && after(h.ack, rev.expected) {
		if rev.expected > rev.next {
			rev.expected = rev.next
		} else {
			rev.repeats = -1
		}
	}
	if (length > 0 || flags&(flagSYN|flagFIN) != 0) && m&markKeepAlive == 0 {
		m |= fwd.again(rev, h, length, now, rtt)
	}
	fwd.advance(h, length, now, m)
	fwd.window, fwd.acked, fwd.ackTime, fwd.last = window, h.ack, now, m
	fwd.fromSYN = flags&flagSYN != 0
	if flags&flagSYN != 0 {
		fwd.scaling(rev, h)
	}
	return m
}

// window1 looks at windows, gaps and keep-alives; stop when the segment can be
// no acknowledgement of interest.
func (fwd *direction) window1(rev *direction, h *headers, length, window uint32) (m marks, stop bool) {
	plain := h.tcpFlags&noRetransmission == 0
	if length == 1 && h.seq == fwd.next && rev.window == 0 {
		return markProbe, true
	}
	if window == 0 && plain {
		m |= markZeroWindow
	}
	if fwd.next != 0 && after(h.seq, fwd.next) && h.tcpFlags&flagRST == 0 {
		m |= markLost
	}
	if length <= 1 && h.seq == fwd.next-1 && plain {
		m |= markKeepAlive
	}
	if length > 0 && plain && rev.scale != scaleUnknown {
		shift := max(rev.scale, 0)
		if rev.fromSYN {
			shift = 0
		}
		if h.seq+length == rev.acked+rev.window<<shift {
			m |= markWindowFull
		}
	}
	return m, false
}

// acknowledgement looks at segments without data that repeat the last one.
func (fwd *direction) acknowledgement(rev *direction, h *headers, length, window uint32) marks {
	if length != 0 || window != fwd.window || h.seq != fwd.next || h.tcpFlags&noRetransmission != 0 {
		return 0
	}
	if window == 0 {
		if rev.last&markProbe != 0 && (h.ack == fwd.acked || h.ack == fwd.acked+1) {
			if h.ack == fwd.acked+1 { // the receiver kept the byte of the probe
				rev.next, rev.expected = h.ack, h.ack
			}
			return markProbeACK
		}
		return 0
	}
	if h.ack != fwd.acked {
		return 0
	}
	if rev.last&markKeepAlive != 0 {
		return markKeepAliveACK
	}
	if fwd.repeats++; fwd.repeats == 0 {
		fwd.repeats = 1
	}
	return markDuplicateACK
}

// again says whether a segment that takes up sequence numbers was seen before,
// or was overtaken.
func (fwd *direction) again(rev *direction, h *headers, length uint32, now, rtt int64) marks {
	behind := fwd.next != 0 && before(h.seq, fwd.next)
	if length > 1 && fwd.next-1 == h.seq {
		behind = false // new data after a byte that probed a window
	}
	end := h.seq + length
	if length > 0 && rev.acked != 0 && !after(end, rev.acked) {
		return markSpurious
	}
	if !behind {
		return 0
	}
	if rev.repeats >= 2 && now-rev.ackTime < fastWithin && rev.acked == h.seq {
		return markFast
	}
	if h.tcpFlags&(flagSYN|flagFIN) != 0 {
		end++
	}
	within := rtt
	if within == 0 {
		within = reorderedWithin
	}
	if now-fwd.nextTime < within && fwd.next != end {
		return markOutOfOrder
	}
	return markRetrans
}

// advance moves the numbers on.
func (fwd *direction) advance(h *headers, length uint32, now int64, m marks) {
	end := h.seq + length
	if h.tcpFlags&(flagSYN|flagFIN) != 0 {
		end++
	}
	if m&markProbe != 0 {
		return
	}
	if fwd.next == 0 || after(end, fwd.next) {
		fwd.next, fwd.nextTime = end, now
	}
	if fwd.expected == 0 || h.seq == fwd.expected {
		fwd.expected = fwd.next
	}
}

// scaling learns from a SYN whether windows are scaled: only when both sides
// said so.
func (fwd *direction) scaling(rev *direction, h *headers) {
	if h.scale >= 0 {
		fwd.scale = h.scale
	}
	if h.tcpFlags&flagACK != 0 && (fwd.scale == scaleUnknown || rev.scale == scaleUnknown) {
		fwd.scale, rev.scale = scaleNone, scaleNone
	}
}
