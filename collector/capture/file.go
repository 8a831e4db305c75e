package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/casefile-io/casefile/collector/capture/filter"
)

// errFull ends a capture that has reached its size.
var errFull = errors.New("the capture has reached its size")

// file writes one capture. Its memory is one ring block of packets, whatever
// the length of the capture.
type file struct {
	spec   Spec
	w      io.Writer
	out    blocks
	late   *blocks   // where blocks of interfaces go
	ring   *recorder // nil: all packets are kept
	seen   []int64   // with a ring: packets of each interface, those that were let go included
	tag    []byte
	stats  Stats
	ids    map[int]int // ifindex → index in stats.Interfaces
	blocks []int       // index in stats.Interfaces → number of its block, -1 for none
	known  int         // blocks of interfaces so far
	lookup func(ifindex int) string
	first  int64 // time of the first packet, and of the last
	final  int64
	last   struct{ index, place int }
}

const (
	flushAt       = 256 << 10 // bytes gathered before a write
	trailerSize   = 200       // bytes kept free for the statistics of one interface
	maxInterfaces = 1 << 16
)

// newFile starts a file: section, the interfaces there are, names. lookup
// names interfaces that turn up later.
func newFile(s Spec, w io.Writer, ifs []Interface, lookup func(int) string) *file {
	f := &file{spec: s, w: w, ids: map[int]int{}, lookup: lookup}
	f.late = &f.out
	f.out.section(s.App, s.comment())
	for _, i := range ifs {
		f.add(i)
	}
	byAddr := map[netip.Addr]string{}
	var addrs []netip.Addr
	for text, name := range s.names {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			byAddr[a] = name
			addrs = append(addrs, a)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	f.out.names(addrs, func(a netip.Addr) string { return byAddr[a] })
	return f
}

// add takes in an interface and returns its place in the stats.
func (f *file) add(i Interface) int {
	place := len(f.stats.Interfaces)
	number := -1
	i.LinkType = "unsupported"
	if link, ok := filter.LinkOf(i.HardwareType); ok {
		typ := uint16(linkEthernet)
		i.LinkType = "ethernet"
		if link == filter.RawIP {
			typ, i.LinkType = linkRaw, "raw"
		}
		f.late.iface(i.Name, f.spec.Description, f.spec.Filter, typ, uint32(f.snaplen()))
		number = f.known
		f.known++
	}
	f.ids[i.Index] = place
	f.blocks = append(f.blocks, number)
	f.stats.Interfaces = append(f.stats.Interfaces, i)
	return place
}

// place looks up an interface; packets come in runs of the same.
func (f *file) place(ifindex int) (int, bool) {
	if f.last.index == ifindex && f.last.index != 0 {
		return f.last.place, true
	}
	place, ok := f.ids[ifindex]
	if ok {
		f.last.index, f.last.place = ifindex, place
	}
	return place, ok
}

func (f *file) snaplen() int {
	if f.spec.Snaplen <= 0 || f.spec.Snaplen > filter.MaxSnaplen {
		return filter.MaxSnaplen
	}
	return f.spec.Snaplen
}

// write appends a packet; errFull if there is no room for it.
func (f *file) write(p *frame) error {
	place, ok := f.place(p.ifindex)
	if !ok && len(f.stats.Interfaces) >= maxInterfaces {
		return errFull
	}
	if !ok {
		place = f.add(Interface{Name: f.lookup(p.ifindex), Index: p.ifindex, HardwareType: p.hatype})
	}
	number := f.blocks[place]
	if number < 0 {
		return nil
	}
	data, orig := p.data, p.orig
	if p.status&statusVLAN != 0 && f.stats.Interfaces[place].LinkType == "ethernet" {
		f.tag, orig = p.tagged(f.tag[:0], f.snaplen())
		data = f.tag
	}
	if f.spec.MaxBytes > 0 && f.ring == nil && f.size()+int64(packetSize(len(data))+trailerSize*f.known) > f.spec.MaxBytes {
		return errFull
	}
	f.out.packet(number, p.nanos, orig, p.flags(), data)
	f.took(place, p.nanos)
	if len(f.out.buf) >= flushAt || f.ring != nil && len(f.out.buf) >= flushChunk {
		return f.flush()
	}
	return nil
}

// took counts a packet.
func (f *file) took(place int, nanos int64) {
	f.stats.Packets++
	f.stats.Interfaces[place].Packets++
	if f.stats.Packets == 1 || nanos < f.first {
		f.first = nanos
	}
	f.final = max(f.final, nanos)
}

func (f *file) size() int64 { return f.stats.Bytes + int64(len(f.out.buf)) }

func (f *file) flush() error {
	if len(f.out.buf) == 0 {
		return nil
	}
	w := f.w
	if f.ring != nil && f.seen == nil {
		w = f.ring
	}
	n, err := w.Write(f.out.buf)
	f.stats.Bytes += int64(n)
	f.out.buf = f.out.buf[:0]
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// close ends the file with its counters. The kernel counts drops per socket,
// not per device: they stand at the first interface, and the comment says so.
func (f *file) close(now time.Time) (Stats, error) {
	dropped, first := uint64(f.stats.Dropped), true
	for place, i := range f.stats.Interfaces {
		if f.blocks[place] < 0 {
			continue
		}
		comment := ""
		if first && f.known > 1 {
			comment = "drops are those of all interfaces together: the kernel counts them per socket"
		}
		received := i.Packets
		if f.seen != nil {
			received = f.seen[place]
		}
		f.out.statistics(f.blocks[place], now.UnixNano(), uint64(received)+dropped, dropped, comment)
		dropped, first = 0, false
	}
	err := f.flush()
	if f.stats.Packets > 0 {
		from, to := time.Unix(0, f.first).UTC(), time.Unix(0, f.final).UTC()
		f.stats.FirstPacket, f.stats.LastPacket = &from, &to
	}
	f.stats.Interfaces = slices.Clone(f.stats.Interfaces)
	slices.SortFunc(f.stats.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return f.stats, err
}
