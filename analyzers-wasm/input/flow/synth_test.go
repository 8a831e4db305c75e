package flow

import (
	"encoding/binary"
	"math/rand/v2"
)

// pcapngHead is the blocks before the packets of a capture of Ethernet, as the
// capture engine writes them.
func pcapngHead(packets int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 0, 100+packets*144), blockSection)
	b = le.AppendUint32(le.AppendUint32(b, 28), byteOrderMagic)
	b = append(b, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, blockInterface), 32)
	return append(b, 1, 0, 0, 0, 100, 0, 0, 0, optIfTsresol, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0)
}

// synth makes a capture of packets of 100 bytes, of so many connections that
// are open side by side, send data both ways, and now and then lose a segment.
func synth(packets, open int) []byte { return synthOf(packets, open, 300) }

// synthOf makes connections of so many packets.
func synthOf(packets, open, steps int) []byte {
	chance, b := rand.New(rand.NewPCG(1, 2)), pcapngHead(packets)
	type conn struct {
		id       int
		step     int
		seq, ack uint32
	}
	conns := make([]conn, open)
	for i := range conns {
		conns[i] = conn{id: i, step: -3, seq: chance.Uint32(), ack: chance.Uint32()}
	}
	nanos, id := uint64(1.7e18), open
	for range packets {
		c := &conns[chance.IntN(open)]
		nanos += 1000
		p := segmentOf{sport: uint16(10000 + c.id%50000), id: c.id, flags: flagACK, seq: c.seq, ack: c.ack, now: uint32(nanos / 1e6)}
		switch c.step {
		case -3:
			p.flags, p.ack = flagSYN, 0
			c.seq++
		case -2:
			p.back, p.flags, p.seq, p.ack = true, flagSYN|flagACK, c.ack, c.seq
			c.ack++
		case -1:
		default:
			if c.step%3 == 2 {
				p.back, p.seq, p.ack = true, c.ack, c.seq
				break
			}
			p.length = 1448
			if c.seq += 1448; chance.IntN(500) == 0 {
				c.seq += 1448
			}
		}
		if c.step++; c.step > steps {
			id++
			*c = conn{id: id, step: -3, seq: chance.Uint32(), ack: chance.Uint32()}
		}
		b = p.block(b, nanos)
	}
	return b
}

type segmentOf struct {
	id            int
	back          bool
	sport         uint16
	flags         byte
	seq, ack, now uint32
	length        int
}

// block appends the packet block.
func (p segmentOf) block(b []byte, nanos uint64) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	b = le.AppendUint32(le.AppendUint32(b, blockPacket), 28+100+12+4)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(le.AppendUint32(b, uint32(nanos>>32)), uint32(nanos))
	b = le.AppendUint32(le.AppendUint32(b, 100), uint32(max(14+52+p.length, 100)))
	start := len(b)
	b = append(b, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0)
	b = be.AppendUint16(b, uint16(52+p.length))
	b = append(b, byte(nanos>>10), byte(nanos>>18), 0x40, 0, 64, 6, 0, 0)
	a, z := []byte{10, byte(p.id >> 16), byte(p.id >> 8), byte(p.id)}, []byte{10, 96, 0, 10}
	if p.back {
		b = append(append(b, z...), a...)
		b = be.AppendUint16(be.AppendUint16(b, 443), p.sport)
	} else {
		b = append(append(b, a...), z...)
		b = be.AppendUint16(be.AppendUint16(b, p.sport), 443)
	}
	b = be.AppendUint32(be.AppendUint32(b, p.seq), p.ack)
	b = append(b, 0x80, p.flags, 1, 0xf6, 0, 0, 0, 0, 1, 1, 8, 10)
	b = be.AppendUint32(be.AppendUint32(b, p.now), p.now)
	b = append(b, make([]byte, start+100-len(b))...)
	b = append(b, optPacketFlags, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0)
	if p.back {
		b[len(b)-8] = 2
	}
	return le.AppendUint32(b, 28+100+12+4)
}

// synthDNS makes queries of names of services over UDP, and their answers, from
// so many clients.
func synthDNS(packets, clients int) []byte {
	chance, b := rand.New(rand.NewPCG(1, 2)), pcapngHead(packets)
	var asked []datagramOf
	for i := range packets {
		d := datagramOf{client: chance.IntN(clients), id: uint16(i)}
		if len(asked) > 50 {
			d, asked = asked[0], asked[1:]
			d.back = true
		} else {
			asked = append(asked, d)
		}
		b = d.block(b, 1.7e18+uint64(i)*1000)
	}
	return b
}

type datagramOf struct {
	client int
	id     uint16
	back   bool
}

// block appends the packet block: a question of some services, or its answer.
func (d datagramOf) block(b []byte, nanos uint64) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	m := be.AppendUint16(nil, d.id)
	m = append(m, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	m = append(m, "\x04shop\x04prod\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"...)
	m[16] = 'a' + byte(d.id%26)
	a, z := []byte{10, 244, byte(d.client >> 8), byte(d.client)}, []byte{10, 96, 0, 10}
	sport, dport := uint16(20000+d.client), uint16(53)
	if d.back {
		m[2], m[3], m[7] = 0x85, 0, 1
		m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 7, byte(d.id))
		a, z, sport, dport = z, a, dport, sport
	}
	frame := append(make([]byte, 12), 8, 0, 0x45, 0)
	frame = be.AppendUint16(frame, uint16(28+len(m)))
	frame = append(frame, byte(nanos>>10), byte(nanos>>18), 0, 0, 64, 17, 0, 0)
	frame = append(append(frame, a...), z...)
	frame = be.AppendUint16(be.AppendUint16(frame, sport), dport)
	frame = append(be.AppendUint16(frame, uint16(8+len(m))), 0, 0)
	frame = append(frame, m...)
	size := uint32(32 + (len(frame)+3)&^3)
	b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, blockPacket), size), 0)
	b = le.AppendUint32(le.AppendUint32(b, uint32(nanos>>32)), uint32(nanos))
	b = le.AppendUint32(le.AppendUint32(b, uint32(len(frame))), uint32(len(frame)))
	b = append(append(b, frame...), make([]byte, -len(frame)&3)...)
	return le.AppendUint32(b, size)
}
