package flow

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Block types and options of pcapng, and the magic numbers of pcap.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockOldPacket  = 2
	blockSimple     = 3
	blockStatistics = 5
	blockPacket     = 6
	byteOrderMagic  = 0x1a2b3c4d

	optIfName       = 2
	optIfTsresol    = 9
	optIfTsoffset   = 14
	optPacketFlags  = 2
	optStatsStart   = 2
	optStatsEnd     = 3
	optStatsIfdrop  = 5
	optStatsOSdrop  = 7
	pcapMicros      = 0xa1b2c3d4
	pcapNanos       = 0xa1b23c4d
	pcapHeader      = 24
	maxBlock        = 512 << 10 // of a block that is looked into; a packet has at most 256 KiB
	maxInterfaces   = 4096      // of one file
	maxOptionString = 256
)

// ErrFormat marks a file that is no capture, or is damaged.
var ErrFormat = errors.New("not a capture that can be read")

// packet is what a file says of one packet. data is valid until the next one.
type packet struct {
	iface  *device
	number int // from 1
	nanos  int64
	wire   int   // bytes on the wire
	dir    uint8 // 0 unknown, 1 in, 2 out
	data   []byte
}

// device is one interface of a file.
type device struct {
	name   string
	link   uint16
	scale  timescale
	place  *place
	others map[int]*place // of SLL2, by their number
}

// timescale turns time stamps into nanoseconds.
type timescale struct {
	mul, div uint64
	shift    uint8 // units are 2^-shift s, when not 0
	offset   int64 // seconds
}

func (s timescale) nanos(t uint64) int64 {
	switch {
	case s.shift > 0:
		frac := t & (1<<s.shift - 1)
		hi, lo := bits.Mul64(frac, 1e9)
		return int64(t>>s.shift)*1e9 + int64(hi<<(64-s.shift)|lo>>s.shift) + s.offset*1e9
	case s.div > 1:
		t /= s.div
	}
	return int64(t*s.mul) + s.offset*1e9
}

// resolution reads the option if_tsresol.
func resolution(v byte) (timescale, bool) {
	exp := v & 0x7f
	if v&0x80 != 0 {
		return timescale{shift: exp}, exp > 0 && exp < 64
	}
	s := timescale{mul: 1, div: 1}
	for ; exp < 9; exp++ {
		s.mul *= 10
	}
	for ; exp > 9 && exp <= 18; exp-- {
		s.div *= 10
	}
	return s, exp == 9
}

// reader reads pcap and pcapng. It holds one block at a time.
type reader struct {
	in      *bufio.Reader
	order   binary.ByteOrder
	little  bool // order is little endian: the way of nearly every file
	devices []*device
	number  int

	drops    uint64 // told by statistics
	start    int64  // of the capture, as statistics say; 0 when they do not
	end      int64
	unread   int // packets in blocks that are not decoded
	badIface int
}

// each calls fn for every packet. What was read before an error counts.
func (r *reader) each(fn func(*packet) error) error {
	head, err := r.in.Peek(4)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, short(err))
	}
	magic := binary.LittleEndian.Uint32(head)
	if magic == blockSection {
		return r.blocks(fn)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if magic = order.Uint32(head); magic == pcapMicros || magic == pcapNanos {
			return r.records(order, magic == pcapNanos, fn)
		}
	}
	return fmt.Errorf("%w: it begins with %x", ErrFormat, head)
}

func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// records reads plain pcap.
func (r *reader) records(order binary.ByteOrder, nanos bool, fn func(*packet) error) error {
	head, err := r.in.Peek(pcapHeader)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, short(err))
	}
	unit := int64(1000)
	if nanos {
		unit = 1
	}
	d := &device{link: uint16(order.Uint32(head[20:]))}
	r.devices, r.order = []*device{d}, order
	_, _ = r.in.Discard(pcapHeader)
	p := packet{iface: d}
	for {
		head, err := r.in.Peek(16)
		if err != nil {
			if len(head) == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("cut off after packet %d: %w", r.number, short(err))
		}
		captured, wire := order.Uint32(head[8:]), order.Uint32(head[12:])
		if captured > maxBlock-16 {
			return fmt.Errorf("%w: packet %d has %d bytes", ErrFormat, r.number+1, captured)
		}
		p.nanos = int64(order.Uint32(head))*1e9 + int64(order.Uint32(head[4:]))*unit
		whole, err := r.in.Peek(16 + int(captured))
		if err != nil {
			return fmt.Errorf("cut off in packet %d: %w", r.number+1, short(err))
		}
		r.number++
		p.number, p.data, p.wire = r.number, whole[16:], wireLength(wire)
		if err := fn(&p); err != nil {
			return err
		}
		_, _ = r.in.Discard(len(whole))
	}
}

func wireLength(v uint32) int { return int(min(v, math.MaxInt32)) }

// blocks reads pcapng.
func (r *reader) blocks(fn func(*packet) error) error {
	var p packet
	for {
		head, err := r.in.Peek(12)
		if err != nil {
			if len(head) == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("cut off after packet %d: %w", r.number, short(err))
		}
		typ := binary.LittleEndian.Uint32(head)
		if typ == blockSection {
			if err := r.section(head[8:]); err != nil {
				return err
			}
		} else {
			typ = r.u32(head)
		}
		size := r.u32(head[4:])
		if size < 12 || size%4 != 0 {
			return fmt.Errorf("%w: a block of %d bytes after packet %d", ErrFormat, size, r.number)
		}
		if size > maxBlock {
			if err := r.skip(typ, int64(size)); err != nil {
				return err
			}
			continue
		}
		block, err := r.in.Peek(int(size))
		if err != nil {
			return fmt.Errorf("cut off after packet %d: %w", r.number, short(err))
		}
		if r.u32(block[size-4:]) != size {
			return fmt.Errorf("%w: a block with two lengths after packet %d", ErrFormat, r.number)
		}
		body := block[8 : size-4]
		if typ == blockPacket {
			if err = r.enhanced(body, &p); err == nil && p.iface != nil {
				err = fn(&p)
			}
		} else {
			err = r.other(typ, body)
		}
		if err != nil {
			return err
		}
		_, _ = r.in.Discard(int(size))
	}
}

func (r *reader) u32(b []byte) uint32 {
	if r.little {
		return binary.LittleEndian.Uint32(b)
	}
	return binary.BigEndian.Uint32(b)
}

func (r *reader) section(magic []byte) error {
	switch uint32(byteOrderMagic) {
	case binary.LittleEndian.Uint32(magic):
		r.little, r.order = true, binary.LittleEndian
	case binary.BigEndian.Uint32(magic):
		r.little, r.order = false, binary.BigEndian
	default:
		return fmt.Errorf("%w: byte order %x", ErrFormat, magic[:4])
	}
	return nil
}

// skip passes over a block that is too long to be looked into.
func (r *reader) skip(typ uint32, size int64) error {
	if typ == blockPacket || typ == blockSection || typ == blockInterface {
		return fmt.Errorf("%w: a block of %d bytes after packet %d", ErrFormat, size, r.number)
	}
	if _, err := io.CopyN(io.Discard, r.in, size); err != nil {
		return fmt.Errorf("cut off after packet %d: %w", r.number, short(err))
	}
	return nil
}

// enhanced reads a packet block; an interface that is not there loses just
// that packet.
func (r *reader) enhanced(b []byte, p *packet) error {
	r.number++
	p.iface = nil
	if len(b) < 20 {
		return fmt.Errorf("%w: packet %d is too short", ErrFormat, r.number)
	}
	iface, captured := r.u32(b), r.u32(b[12:])
	if captured > uint32(len(b)-20) {
		return fmt.Errorf("%w: packet %d is longer than its block", ErrFormat, r.number)
	}
	if iface >= uint32(len(r.devices)) {
		r.badIface++
		return nil
	}
	d := r.devices[iface]
	p.iface, p.number, p.wire = d, r.number, wireLength(r.u32(b[16:]))
	p.nanos = d.scale.nanos(uint64(r.u32(b[4:]))<<32 | uint64(r.u32(b[8:])))
	p.data, p.dir = b[20:20+captured], 0
	if rest := b[20+(captured+3)&^3:]; len(rest) >= 8 {
		p.dir = r.direction(rest)
	}
	return nil
}

// direction finds the packet's flags among its options.
func (r *reader) direction(b []byte) uint8 {
	if r.little && binary.LittleEndian.Uint32(b) == optPacketFlags|4<<16 { // the first, as nearly always
		return b[4] & 3
	}
	var dir uint8
	r.options(b, func(code uint16, v []byte) {
		if code == optPacketFlags && len(v) == 4 {
			dir = uint8(r.u32(v) & 3)
		}
	})
	return dir
}

func (r *reader) options(b []byte, each func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if code == 0 || 4+n > len(b) {
			return
		}
		each(code, b[4:4+n])
		b = b[min(4+(n+3)&^3, len(b)):]
	}
}

// other reads the blocks that are no packets.
func (r *reader) other(typ uint32, b []byte) error {
	switch typ {
	case blockSection:
		r.devices = nil
	case blockInterface:
		return r.device(b)
	case blockOldPacket, blockSimple:
		r.number++
		r.unread++
	case blockStatistics:
		r.statistics(b)
	}
	return nil
}

func (r *reader) device(b []byte) error {
	if len(b) < 8 || len(r.devices) == maxInterfaces {
		return fmt.Errorf("%w: interface %d", ErrFormat, len(r.devices))
	}
	d := &device{link: r.order.Uint16(b), scale: timescale{mul: 1000, div: 1}}
	good := true
	r.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == optIfName:
			d.name = string(v[:min(len(v), maxOptionString)])
		case code == optIfTsresol && len(v) == 1:
			offset := d.scale.offset
			d.scale, good = resolution(v[0])
			d.scale.offset = offset
		case code == optIfTsoffset && len(v) == 8:
			d.scale.offset = int64(r.order.Uint64(v))
		}
	})
	if !good {
		return fmt.Errorf("%w: the time resolution of interface %d", ErrFormat, len(r.devices))
	}
	r.devices = append(r.devices, d)
	return nil
}

// statistics takes the counters of drops, and the time of the block: that is
// when the capture ended.
func (r *reader) statistics(b []byte) {
	if len(b) < 12 || r.u32(b) >= uint32(len(r.devices)) {
		return
	}
	scale := r.devices[r.u32(b)].scale
	stamp := func(b []byte) int64 { return scale.nanos(uint64(r.u32(b))<<32 | uint64(r.u32(b[4:]))) }
	r.end = max(r.end, stamp(b[4:]))
	r.options(b[12:], func(code uint16, v []byte) {
		if len(v) != 8 {
			return
		}
		switch code {
		case optStatsIfdrop, optStatsOSdrop:
			if n := r.order.Uint64(v); n < math.MaxInt64-r.drops {
				r.drops += n
			}
		case optStatsStart:
			if s := stamp(v); r.start == 0 || s < r.start {
				r.start = s
			}
		case optStatsEnd:
			r.end = max(r.end, stamp(v))
		}
	})
}
