package underlay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of a capture file as it is read here.
const (
	maxBlock      = 1 << 20
	maxInterfaces = 4096
	maxPackets    = 20_000_000
)

// Block types and options of pcapng.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6
	byteOrderMagic = 0x1a2b3c4d
	optResolution  = 9
	optFlags       = 2
)

var errPcapng = errors.New("not a pcapng file")

// packet is one enhanced packet block. Data is valid until the next one.
type packet struct {
	number    int // from 1
	iface     uint32
	direction uint8 // 1 inbound, 2 outbound, 0 not said
	linkType  uint16
	nanos     int64
	data      []byte
	length    int // on the wire
}

type captureInterface struct {
	linkType uint16
	perSec   float64 // units of a timestamp
}

// pcapngReader reads blocks one after the other.
type pcapngReader struct {
	r          *bufio.Reader
	order      binary.ByteOrder
	interfaces []captureInterface
	buf        []byte
	packets    int
}

// readPackets calls each for every packet of a pcapng stream. A file that was
// cut off yields its whole packets and then io.ErrUnexpectedEOF.
func readPackets(r io.Reader, each func(*packet)) error {
	p := &pcapngReader{r: bufio.NewReaderSize(r, 256<<10)}
	for {
		kind, body, err := p.block()
		if errors.Is(err, io.EOF) && p.order != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case blockSection:
			p.interfaces = p.interfaces[:0]
		case blockInterface:
			err = p.addInterface(body)
		case blockPacket:
			if p.packets++; p.packets > maxPackets {
				return fmt.Errorf("more than %d packets", maxPackets)
			}
			var pkt packet
			if pkt, err = p.packet(body); err == nil {
				each(&pkt)
			}
		}
		if err != nil {
			return err
		}
	}
}

// block reads one block and returns its body without lengths.
func (p *pcapngReader) block() (kind uint32, body []byte, err error) {
	var head [12]byte
	if _, err := io.ReadFull(p.r, head[:8]); err != nil {
		return 0, nil, err // io.EOF between blocks is the end
	}
	have := 8
	if binary.LittleEndian.Uint32(head[:]) == blockSection { // the same in both orders
		if _, err := io.ReadFull(p.r, head[8:]); err != nil {
			return 0, nil, noEOF(err)
		}
		have = 12
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(head[8:]):
			p.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:]):
			p.order = binary.BigEndian
		default:
			return 0, nil, errPcapng
		}
	}
	if p.order == nil {
		return 0, nil, errPcapng
	}
	size := int(p.order.Uint32(head[4:]))
	if size < have+4 || size%4 != 0 || size > maxBlock {
		return 0, nil, fmt.Errorf("%w: a block of %d bytes", errPcapng, size)
	}
	if cap(p.buf) < size {
		p.buf = make([]byte, size)
	}
	body = p.buf[:size-have]
	if _, err := io.ReadFull(p.r, body); err != nil {
		return 0, nil, noEOF(err)
	}
	return p.order.Uint32(head[:]), body[:len(body)-4], nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p *pcapngReader) addInterface(body []byte) error {
	if len(body) < 8 || len(p.interfaces) == maxInterfaces {
		return fmt.Errorf("%w: bad interface block", errPcapng)
	}
	i := captureInterface{p.order.Uint16(body), 1e6}
	p.options(body[8:], func(code uint16, value []byte) {
		if code == optResolution && len(value) > 0 {
			base := 10.0
			if value[0]&0x80 != 0 {
				base = 2
			}
			i.perSec = math.Pow(base, float64(value[0]&0x7f))
		}
	})
	p.interfaces = append(p.interfaces, i)
	return nil
}

func (p *pcapngReader) packet(body []byte) (packet, error) {
	if len(body) < 20 {
		return packet{}, fmt.Errorf("%w: bad packet block", errPcapng)
	}
	index, captured := p.order.Uint32(body), int(p.order.Uint32(body[12:]))
	if captured > len(body)-20 || int(index) >= len(p.interfaces) {
		return packet{}, fmt.Errorf("%w: packet %d is out of bounds", errPcapng, p.packets)
	}
	i := p.interfaces[index]
	stamp := uint64(p.order.Uint32(body[4:]))<<32 | uint64(p.order.Uint32(body[8:]))
	pkt := packet{number: p.packets, iface: index, linkType: i.linkType, data: body[20 : 20+captured], length: int(p.order.Uint32(body[16:])),
		nanos: int64(float64(stamp) / i.perSec * 1e9)}
	if i.perSec == 1e9 {
		pkt.nanos = int64(stamp)
	}
	p.options(body[20+min((captured+3)&^3, len(body)-20):], func(code uint16, value []byte) {
		if code == optFlags && len(value) == 4 {
			pkt.direction = uint8(p.order.Uint32(value) & 3)
		}
	})
	return pkt, nil
}

func (p *pcapngReader) options(b []byte, each func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := p.order.Uint16(b), int(p.order.Uint16(b[2:]))
		if code == 0 || 4+n > len(b) {
			return
		}
		each(code, b[4:4+n])
		b = b[min(4+(n+3)&^3, len(b)):]
	}
}
