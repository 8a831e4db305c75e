package redact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of pcapng blocks.
const (
	blockSection    = 0x0A0D0D0A
	blockInterface  = 1
	blockNames      = 4
	blockStatistics = 5
	blockPacket     = 6
)

const (
	byteOrderMagic = 0x1A2B3C4D
	maxBlock       = 1 << 20 // bytes; the longest snaplen is 256 KiB
	maxInterfaces  = 4096

	rulePayload  = "packet-payload"
	ruleUnparsed = "packet-unparsed"
	rulePacket   = "packet-pseudonym"
)

// packets redacts a pcapng file, little endian as the capture writes it: every
// packet is cut to what the payload policy keeps. The original length stays.
// Under the strict policy, addresses and names in what is kept are pseudonyms.
// Blocks that it does not know are refused: some hold TLS keys.
type packets struct {
	src     io.Reader
	scanner *scanner
	payload string
	counts  counts
	head    [8]byte // type and length of a block
	block   []byte
	ifaces  []iface // of the section
	begun   bool
	spans   []span
	names   *pseudonyms // nil: addresses and names stay
}

type iface struct {
	link    uint16
	snaplen uint32 // zero: no limit
}

// mapper gives pseudonyms for what the strict policy hides.
type mapper interface {
	IPv4([4]byte) [4]byte
	IPv6([16]byte) [16]byte
	MAC([6]byte) [6]byte
	// Host appends the pseudonym of a DNS name without its last dot.
	Host(dst, name []byte) []byte
	// Text appends src with everything in it that it knows replaced.
	Text(dst, src []byte, found map[string]int) []byte
}

// newPackets redacts the capture src. With a mapper, every address and name
// that stays is a pseudonym.
func newPackets(src io.Reader, s *scanner, payload string, c counts, m mapper) *packets {
	p := &packets{src: src, scanner: s, payload: payload, counts: c}
	if m != nil {
		p.names = newPseudonyms(m)
	}
	return p
}

func (p *packets) next(out []byte) ([]byte, error) {
	kind, body, err := p.read()
	if err != nil {
		return out, err
	}
	if kind != blockSection && !p.begun {
		return out, failf("not a pcapng file")
	}
	if kind == blockPacket {
		return p.packet(out, body)
	}
	options, err := p.fixed(kind, body)
	if err != nil {
		return out, failf("%w", err)
	}
	if err := p.check(options); err != nil {
		return out, failf("%w", err)
	}
	if p.names != nil {
		return p.rename(out, kind, body[:len(body)-len(options)], options)
	}
	return appendBlock(out, kind, body), nil
}

// read reads one block, without its lengths. io.EOF only between blocks.
func (p *packets) read() (kind uint32, body []byte, err error) {
	head := p.head[:]
	if _, err := io.ReadFull(p.src, head); err != nil {
		if errors.Is(err, io.EOF) && p.begun {
			return 0, nil, io.EOF
		}
		return 0, nil, truncated(err)
	}
	kind, size := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
	if size < 12 || size%4 != 0 || size > maxBlock {
		return 0, nil, failf("pcapng block of %d bytes", size)
	}
	n := int(size) - 8
	if cap(p.block) < n {
		p.block = make([]byte, n)
	}
	p.block = p.block[:n]
	if _, err := io.ReadFull(p.src, p.block); err != nil {
		return 0, nil, truncated(err)
	}
	if binary.LittleEndian.Uint32(p.block[n-4:]) != size {
		return 0, nil, failf("pcapng block with two lengths")
	}
	return kind, p.block[:n-4], nil
}

// truncated turns an early end into a failure; other errors are the source's.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return failf("pcapng file is truncated")
	}
	return err
}

// fixed checks a block that is no packet and returns its options or, for
// names, its records, which have the same form.
func (p *packets) fixed(kind uint32, body []byte) ([]byte, error) {
	le := binary.LittleEndian
	length := map[uint32]int{blockSection: 16, blockInterface: 8, blockStatistics: 12, blockNames: 0}
	n, ok := length[kind]
	if !ok {
		return nil, fmt.Errorf("pcapng block type %#x is not known", kind)
	}
	if len(body) < n {
		return nil, errors.New("pcapng block is too short")
	}
	switch kind {
	case blockSection:
		if le.Uint32(body) != byteOrderMagic || le.Uint16(body[4:]) != 1 {
			return nil, errors.New("pcapng byte order or version is not ours")
		}
		le.PutUint64(body[8:], ^uint64(0)) // the section gets shorter: length not given
		p.begun, p.ifaces = true, p.ifaces[:0]
	case blockInterface:
		if len(p.ifaces) == maxInterfaces {
			return nil, fmt.Errorf("more than %d interfaces", maxInterfaces)
		}
		p.ifaces = append(p.ifaces, iface{le.Uint16(body), le.Uint32(body[4:])})
	}
	return body[n:], nil
}

// check walks options; they are kept as they are, so credentials in them, in a
// comment say, fail the entry.
func (p *packets) check(options []byte) error {
	for len(options) > 0 {
		if len(options) < 4 {
			return errors.New("pcapng option is truncated")
		}
		code, n := binary.LittleEndian.Uint16(options), int(binary.LittleEndian.Uint16(options[2:]))
		padded := 4 + (n+3)/4*4
		if padded > len(options) {
			return errors.New("pcapng option is truncated")
		}
		if p.spans = p.scanner.scan(options[4:4+n], p.spans); len(p.spans) > 0 {
			return fmt.Errorf("pcapng option %d holds a credential", code)
		}
		options = options[padded:]
	}
	return nil
}

// packet appends an enhanced packet block, cut.
func (p *packets) packet(out, body []byte) ([]byte, error) {
	const fixed = 20
	if len(body) < fixed {
		return out, failf("packet block is too short")
	}
	number, length := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[12:])
	padded := (int(length) + 3) / 4 * 4
	if int64(number) >= int64(len(p.ifaces)) || length > maxBlock || fixed+padded > len(body) {
		return out, failf("packet block is garbled")
	}
	data, options := body[fixed:fixed+int(length)], body[fixed+padded:]
	if err := p.check(options); err != nil {
		return out, failf("%w", err)
	}
	head := len(out)
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0)
	out = append(out, body[:fixed]...)
	start := len(out)
	if p.names == nil {
		out = append(out, data[:p.keep(p.ifaces[number].link, data)]...)
	} else {
		out = p.pseudonymous(out, p.ifaces[number], data)
	}
	binary.LittleEndian.PutUint32(out[start-8:], uint32(len(out)-start))
	out = append(out, make([]byte, (4-(len(out)-start)%4)%4)...)
	if p.names == nil {
		return closeBlock(append(out, options...), head, blockPacket), nil
	}
	return p.endBlock(out, head, blockPacket, options)
}

// keep says how many bytes of a packet stay.
func (p *packets) keep(link uint16, data []byte) int {
	if p.payload == PayloadFull {
		return len(data)
	}
	c := cutter{payload: p.payload}
	keep, ok := c.link(link, data)
	p.count(ok, keep < len(data))
	return keep
}

func (p *packets) count(parsed, cut bool) {
	if !parsed {
		p.counts[ruleUnparsed]++
	}
	if cut {
		p.counts[rulePayload]++
	}
}

func appendBlock(out []byte, kind uint32, body []byte) []byte {
	head := len(out)
	out = append(append(out, 0, 0, 0, 0, 0, 0, 0, 0), body...)
	return closeBlock(out, head, kind)
}

// closeBlock writes the type and both lengths of the block from out[head:] on.
func closeBlock(out []byte, head int, kind uint32) []byte {
	size := uint32(len(out) - head + 4)
	binary.LittleEndian.PutUint32(out[head:], kind)
	binary.LittleEndian.PutUint32(out[head+4:], size)
	return binary.LittleEndian.AppendUint32(out, size)
}
