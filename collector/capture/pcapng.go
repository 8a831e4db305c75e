package capture

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// The blocks and options of pcapng that are used; everything is little endian.
const (
	blockSection     = 0x0a0d0d0a
	blockInterface   = 1
	blockNames       = 4
	blockStatistics  = 5
	blockPacket      = 6
	byteOrderMagic   = 0x1a2b3c4d
	optEnd           = 0
	optComment       = 1
	optSectionApp    = 4
	optIfName        = 2
	optIfDescription = 3
	optIfTsresol     = 9
	optIfFilter      = 11
	optPacketFlags   = 2
	optStatsReceived = 4
	optStatsDropped  = 5
	nameRecord4      = 1
	nameRecord6      = 2

	linkEthernet = 1
	linkRaw      = 101
)

// blocks appends pcapng blocks to a buffer.
type blocks struct{ buf []byte }

func (b *blocks) u16(v uint16) { b.buf = binary.LittleEndian.AppendUint16(b.buf, v) }
func (b *blocks) u32(v uint32) { b.buf = binary.LittleEndian.AppendUint32(b.buf, v) }
func (b *blocks) u64(v uint64) { b.buf = binary.LittleEndian.AppendUint64(b.buf, v) }

// padded appends data and fills up to a multiple of four.
func (b *blocks) padded(data []byte) {
	b.buf = append(b.buf, data...)
	b.buf = append(b.buf, "\x00\x00\x00"[:(4-len(data)%4)%4]...)
}

// block appends a block around what body appends.
func (b *blocks) block(typ uint32, body func()) {
	start := len(b.buf)
	b.u32(typ)
	b.u32(0)
	body()
	n := uint32(len(b.buf) - start + 4)
	b.u32(n)
	binary.LittleEndian.PutUint32(b.buf[start+4:], n)
}

func (b *blocks) option(code uint16, value []byte) {
	if value = value[:min(len(value), 65535)]; len(value) > 0 {
		b.u16(code)
		b.u16(uint16(len(value)))
		b.padded(value)
	}
}

func (b *blocks) option64(code uint16, v uint64) {
	b.u16(code)
	b.u16(8)
	b.u64(v)
}

func (b *blocks) endOptions() { b.u32(optEnd) }

// section begins a file; app and comment may be empty.
func (b *blocks) section(app, comment string) {
	if app == "" {
		app = "casefile"
	}
	b.block(blockSection, func() {
		b.u32(byteOrderMagic)
		b.u16(1)
		b.u16(0)
		b.u64(^uint64(0)) // length unknown: it is a stream
		b.option(optComment, []byte(comment))
		b.option(optSectionApp, []byte(app))
		b.endOptions()
	})
}

func (b *blocks) iface(name, description, filter string, link uint16, snaplen uint32) {
	b.block(blockInterface, func() {
		b.u16(link)
		b.u16(0)
		b.u32(snaplen)
		b.option(optIfName, []byte(name))
		b.option(optIfDescription, []byte(description))
		b.option(optIfTsresol, []byte{9})
		if filter != "" {
			b.option(optIfFilter, append([]byte{0}, filter...)) // 0: a filter in text
		}
		b.endOptions()
	})
}

// packetSize is what [blocks.packet] appends for so many bytes.
func packetSize(data int) int { return 28 + (data+3)/4*4 + 12 + 4 }

// packet appends a packet of which orig bytes were on the wire. It is where a
// capture spends its time, so it writes in place.
func (b *blocks) packet(iface int, nanos int64, orig uint32, flags uint32, data []byte) {
	size := packetSize(len(data))
	start := len(b.buf)
	b.buf = slices.Grow(b.buf, size)[:start+size]
	p, le := b.buf[start:], binary.LittleEndian
	head := (*[28]byte)(p)
	le.PutUint32(head[0:], blockPacket)
	le.PutUint32(head[4:], uint32(size))
	le.PutUint32(head[8:], uint32(iface))
	le.PutUint32(head[12:], uint32(uint64(nanos)>>32))
	le.PutUint32(head[16:], uint32(nanos))
	le.PutUint32(head[20:], uint32(len(data)))
	le.PutUint32(head[24:], orig)
	clear(p[28+copy(p[28:], data) : size-16]) // padding
	end := (*[16]byte)(p[size-16:])
	le.PutUint32(end[0:], optPacketFlags|4<<16)
	le.PutUint32(end[4:], flags)
	le.PutUint32(end[8:], optEnd)
	le.PutUint32(end[12:], uint32(size))
}

// maxNames bounds the addresses of one block of names.
const maxNames = 4096

// names appends addresses with their names, in the order given.
func (b *blocks) names(addrs []netip.Addr, name func(netip.Addr) string) {
	for len(addrs) > 0 {
		some := addrs[:min(len(addrs), maxNames)]
		addrs = addrs[len(some):]
		b.block(blockNames, func() {
			for _, a := range some {
				b.u16(nameRecord(a))
				value := append(a.AsSlice(), name(a)...)
				value = append(value[:min(len(value), 1024)], 0)
				b.u16(uint16(len(value)))
				b.padded(value)
			}
			b.u32(0) // end of the records
		})
	}
}

func nameRecord(a netip.Addr) uint16 {
	if a.Is4() {
		return nameRecord4
	}
	return nameRecord6
}

func (b *blocks) statistics(iface int, nanos int64, received, dropped uint64, comment string) {
	b.block(blockStatistics, func() {
		b.u32(uint32(iface))
		b.u32(uint32(uint64(nanos) >> 32))
		b.u32(uint32(nanos))
		b.option(optComment, []byte(comment))
		b.option64(optStatsReceived, received)
		b.option64(optStatsDropped, dropped)
		b.endOptions()
	})
}
