package probe

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tcpSettle = 5 // time-outs of a datagram for full-size segments to be acknowledged
	minMSS    = 500

	tcpTimestamps = 1 // TCPI_OPT_TIMESTAMPS
)

// mtuTCP connects and sends full-size segments; those that are not acknowledged
// vanished. Smaller ones are tried until the border is found.
func (p *prober) mtuTCP(ctx context.Context, to netip.AddrPort, row *MTURow) error {
	head := 40
	if to.Addr().Is6() {
		head = 60
	}
	row.Method, row.Outcome = "tcp", "failed"
	full, arrived, err := p.segments(ctx, to, 0, head, row)
	if err != nil || full == 0 {
		return err
	}
	if arrived {
		row.MTU, row.Outcome = full, "ok"
		if full < row.LinkMTU {
			row.Outcome = "reduced"
		}
		return nil
	}
	low, high := minMSS+head, full
	if _, arrived, err = p.segments(ctx, to, low, head, row); err != nil {
		return err
	}
	if !arrived {
		row.Outcome = "silent"
		return nil
	}
	for high-low > 8 {
		mid := (low + high) / 2
		size, arrived, err := p.segments(ctx, to, mid, head, row)
		if err != nil {
			return err
		}
		if arrived && size > low {
			low = size
		} else {
			high = mid
		}
	}
	row.Outcome, row.MTU, row.LostFrom = "blackhole", low, high
	return nil
}

// segments sends four full segments over a connection of its own, of packets
// that are limit bytes long at most, and returns their size and whether all
// arrived; 0 when nothing could be sent.
func (p *prober) segments(ctx context.Context, to netip.AddrPort, limit, head int, row *MTURow) (int, bool, error) {
	mss := 0
	if limit > 0 {
		mss = limit - head
	}
	d, err := p.dial(ctx, dialing{to: to, mss: mss, timeout: 3 * time.Second})
	if err != nil {
		return 0, false, err
	}
	if d.outcome != "connected" {
		row.Outcome, row.Error = "unreachable", "the port is not open: "+d.outcome
		return 0, false, nil
	}
	defer d.close()
	size := int(d.info.Snd_mss)
	t := SizeTry{Bytes: size + head}
	if d.info.Options&tcpTimestamps != 0 {
		t.Bytes += 12
	}
	data := make([]byte, 4*size)
	for i := range data {
		data[i] = '\n'
	}
	if err := p.spend(ctx, len(data)); err != nil {
		return 0, false, err
	}
	start := time.Now()
	if err := d.send(data); err != nil {
		row.Error = errnoName(err)
		return 0, false, nil
	}
	arrived, pmtu, err := d.acknowledged(ctx, start.Add(tcpSettle*p.spec.Timeout))
	if err != nil {
		return 0, false, err
	}
	t.Outcome, t.Micros = "lost", time.Since(start).Microseconds()
	if arrived {
		t.Outcome = "arrived"
		t.Bytes = min(t.Bytes, pmtu)
	}
	row.Tries = append(row.Tries, t)
	return t.Bytes, arrived, nil
}

// acknowledged waits until all that was sent is acknowledged, and returns what
// the kernel then takes for the path MTU. A far end that closes the connection
// has heard enough.
func (d dialed) acknowledged(ctx context.Context, deadline time.Time) (bool, int, error) {
	for {
		info, err := unix.GetsockoptTCPInfo(d.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return false, 0, err
		}
		const established, closed = 1, 7
		done := info.Unacked == 0 && info.Notsent_bytes == 0
		if done || info.State == closed {
			return done || info.Bytes_acked > 1, int(info.Pmtu), nil
		}
		if time.Now().After(deadline) {
			return false, int(info.Pmtu), nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return false, 0, err
		}
	}
}
