package review

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Capture is one file of packets.
type Capture struct {
	Path    string   `json:"path"`
	Packets int      `json:"packets"`
	Wire    int64    `json:"wireBytes"`    // as the packets were
	Stored  int64    `json:"storedBytes"`  // as they are here
	Payload int64    `json:"payloadBytes"` // above TCP, UDP and ICMP, stored
	DNS     int64    `json:"dnsBytes"`     // of that
	Talkers []Talker `json:"talkers"`
	More    int      `json:"more"`  // talkers beyond the limit
	Error   string   `json:"error"` // why it could not be read to its end
}

// Talker is a pair of addresses and what they exchanged.
type Talker struct {
	A, B    string
	Packets int
	Bytes   int64 // on the wire
}

// capture reads one file of packets. A file that makes no sense is reported
// and does not stop the review.
func (s *scan) capture(path string, src io.Reader) error {
	c := Capture{Path: path}
	talk := map[[2]string]*Talker{}
	r, err := pcapgo.NewNgReader(src, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: false})
	for err == nil {
		var data []byte
		var info gopacket.CaptureInfo
		if data, info, err = r.ReadPacketData(); err != nil {
			break
		}
		link := r.LinkType()
		if iface, ierr := r.Interface(info.InterfaceIndex); ierr == nil {
			link = iface.LinkType
		}
		c.packet(talk, s.name, link, data, info)
	}
	if !errors.Is(err, io.EOF) {
		c.Error = err.Error()
	}
	list := slices.SortedFunc(maps.Values(talk), func(a, b *Talker) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.A+a.B, b.A+b.B))
	})
	for i, t := range list {
		if i == maxTalkers {
			c.More = len(list) - i
			break
		}
		c.Talkers = append(c.Talkers, *t)
	}
	s.Captures = append(s.Captures, c)
	return nil
}

const maxPairs = 100_000

func (c *Capture) packet(talk map[[2]string]*Talker, name func(kind, value string), link layers.LinkType, data []byte, info gopacket.CaptureInfo) {
	c.Packets++
	c.Wire += int64(info.Length)
	c.Stored += int64(len(data))
	p := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: false, NoCopy: true})
	if app := p.ApplicationLayer(); app != nil {
		c.Payload += int64(len(app.LayerContents()) + len(app.LayerPayload()))
		if dns, ok := app.(*layers.DNS); ok {
			c.DNS += int64(len(dns.Contents))
			for _, q := range dns.Questions {
				name("names asked for in DNS", string(q.Name))
			}
		}
	}
	net := p.NetworkLayer()
	if net == nil {
		return
	}
	a, b := net.NetworkFlow().Src().String(), net.NetworkFlow().Dst().String()
	for _, ip := range []string{a, b} {
		if kind, v := address(ip); kind != "" {
			name(kind, v)
		}
	}
	if a > b {
		a, b = b, a
	}
	t := talk[[2]string{a, b}]
	if t == nil {
		if len(talk) == maxPairs {
			return
		}
		t = &Talker{A: a, B: b}
		talk[[2]string{a, b}] = t
	}
	t.Packets++
	t.Bytes += int64(info.Length)
}

// String is one line about a talker.
func (t Talker) String() string {
	return fmt.Sprintf("%s ↔ %s  %d packets, %d bytes", t.A, t.B, t.Packets, t.Bytes)
}
