package ebpf

import (
	"net"
	"testing"
	"time"
)

// BenchmarkDroppedPacket sends packets that the kernel drops, without and with
// the window open beside it, and reports what one costs more.
func BenchmarkDroppedPacket(b *testing.B) {
	needRoot(b)
	a, _, _, _ := pair(b)
	flood := func() (each time.Duration) {
		inside(b, a, func() {
			c, err := net.ListenUDP("udp", nil)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			to := &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 5003}
			start := time.Now()
			for range b.N {
				_, _ = c.WriteTo([]byte("x"), to)
			}
			each = time.Since(start) / time.Duration(b.N)
		})
		return each
	}
	without := flood()
	var with time.Duration
	watch(b, func() { b.ResetTimer(); with = flood(); b.StopTimer() })
	b.ReportMetric(float64(with-without), "ns-more/drop")
	b.ReportMetric(float64(with)/float64(without), "x-without")
}
