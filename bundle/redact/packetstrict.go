package redact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// pseudonymous appends what stays of a packet under the strict policy, after
// the fixed part of its block. When a DNS message gets longer or shorter, so
// does the packet that was on the wire, of which the snaplen may cut the end.
func (p *packets) pseudonymous(out []byte, from iface, data []byte) []byte {
	start := len(out)
	out = append(out, data...)
	m := message{}
	r := rewriter{names: p.names, payload: p.payload, message: &m}
	n, ok := r.link(from.link, part{old: data, new: out[start:]})
	p.count(ok, n+len(m.old) < len(data))
	if !bytes.Equal(out[start:start+n], data[:n]) || !bytes.Equal(m.old, m.new) {
		p.counts[rulePacket]++
	}
	out = append(out[:start+n], m.new...)
	if grown := m.grown(); grown != 0 {
		wire := out[start-4 : start]
		was := int64(binary.LittleEndian.Uint32(wire))
		binary.LittleEndian.PutUint32(wire, uint32(max(was+int64(grown), 0)))
		if limit := int64(from.snaplen); limit != 0 && int64(len(out)-start) > limit {
			out = out[:start+max(n, int(limit))]
		}
	}
	return out
}

// How an option or a record of a pcapng block becomes a pseudonym. What is not
// listed is dropped: it may hold anything.
type treatment int

const (
	treatDrop treatment = iota
	treatKeep           // numbers
	treatText
	treatHost
	treatIPv4 // and what follows, a mask
	treatIPv6 // and what follows, the length of the prefix
	treatMAC
	treatFilter
)

// least is how many bytes an option needs to have.
func (t treatment) least() int {
	switch t {
	case treatIPv4:
		return 4
	case treatIPv6:
		return 16
	case treatMAC:
		return 6
	case treatFilter:
		return 1
	}
	return 0
}

// treat says what is done with an option of a block, by their numbers in the
// format.
func treat(block uint32, code uint16) treatment {
	if code == 1 { // a comment, in every block
		return treatText
	}
	switch block {
	case blockSection:
		if code <= 4 { // hardware, system, application
			return treatText
		}
	case blockInterface:
		switch code {
		case 2, 3, 12, 15: // name, description, system, hardware
			return treatText
		case 4:
			return treatIPv4
		case 5:
			return treatIPv6
		case 6:
			return treatMAC
		case 8, 9, 10, 13, 14, 16, 17: // speeds, times, length of checksums
			return treatKeep
		case 11:
			return treatFilter
		}
	case blockPacket:
		switch code {
		case 2, 4, 5, 6: // flags, drops, number, queue
			return treatKeep
		}
	case blockStatistics:
		if code <= 8 { // times and counters
			return treatKeep
		}
	case blockNames:
		switch code {
		case 2:
			return treatHost
		case 3:
			return treatIPv4
		case 4:
			return treatIPv6
		}
	}
	return treatDrop
}

// rename appends a block that is no packet, of its fixed part and its options.
func (p *packets) rename(out []byte, kind uint32, fixed, options []byte) ([]byte, error) {
	head := len(out)
	out = append(append(out, 0, 0, 0, 0, 0, 0, 0, 0), fixed...)
	if kind == blockNames {
		var err error
		if out, options, err = p.renameRecords(out, options); err != nil {
			return out, failf("%w", err)
		}
	}
	return p.endBlock(out, head, kind, options)
}

// endBlock appends options and closes the block that begins at head.
func (p *packets) endBlock(out []byte, head int, kind uint32, options []byte) ([]byte, error) {
	for len(options) >= 4 {
		code, value, rest := cutOption(options)
		if code == 0 {
			out = append(out, 0, 0, 0, 0)
			break
		}
		options = rest
		var err error
		if out, err = p.option(out, treat(kind, code), code, value); err != nil {
			return out, failf("%w", err)
		}
	}
	if len(out)-head+4 > maxBlock {
		return out, failf("pcapng block of more than %d bytes", maxBlock)
	}
	return closeBlock(out, head, kind), nil
}

// cutOption takes the first option, or record of names, of those that check
// has been through.
func cutOption(options []byte) (code uint16, value, rest []byte) {
	n := int(binary.LittleEndian.Uint16(options[2:]))
	return binary.LittleEndian.Uint16(options), options[4 : 4+n], options[4+(n+3)/4*4:]
}

func (p *packets) option(out []byte, how treatment, code uint16, value []byte) ([]byte, error) {
	if how == treatKeep {
		return appendOption(out, code, value)
	}
	if how == treatDrop || len(value) < how.least() {
		return out, nil
	}
	mapped := bytes.Clone(value)
	both := part{old: value, new: mapped}
	switch how {
	case treatText:
		mapped = p.names.mapper.Text(nil, value, p.counts)
	case treatHost:
		mapped = p.names.host(value, p.counts)
	case treatIPv4:
		p.names.ipv4(both, 0)
	case treatIPv6:
		p.names.ipv6(both, 0)
	case treatMAC:
		p.names.mac(both, 0)
	case treatFilter:
		if value[0] != 0 { // not in text but as a program, with addresses in it
			return out, nil
		}
		mapped = p.names.mapper.Text(mapped[:1], value[1:], p.counts)
	}
	return appendOption(out, code, mapped)
}

func appendOption(out []byte, code uint16, value []byte) ([]byte, error) {
	const maxOption = 1<<16 - 1
	if len(value) > maxOption {
		return out, fmt.Errorf("pcapng option %d would be longer than %d bytes", code, maxOption)
	}
	out = binary.LittleEndian.AppendUint16(out, code)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(value)))
	out = append(out, value...)
	return append(out, make([]byte, (4-len(value)%4)%4)...), nil
}

// renameRecords appends the records of a block of names: an address and its
// names each. What comes after them are options.
func (p *packets) renameRecords(out, records []byte) (_, options []byte, err error) {
	for len(records) >= 4 {
		kind, value, rest := cutOption(records)
		if kind == 0 {
			return append(out, 0, 0, 0, 0), rest, nil
		}
		records = rest
		n := map[uint16]int{1: 4, 2: 16, 3: 6}[kind]
		if n == 0 {
			continue // an address of another kind
		}
		if len(value) < n {
			return out, nil, errors.New("pcapng record of names is too short")
		}
		if out, err = appendOption(out, kind, p.renameRecord(value, n)); err != nil {
			return out, nil, err
		}
	}
	return out, nil, nil
}

// renameRecord maps a record with an address of n bytes. A name may be a path,
// of a namespace and a pod.
func (p *packets) renameRecord(value []byte, n int) []byte {
	mapped := bytes.Clone(value[:n])
	both := part{old: value, new: mapped}
	switch n {
	case 4:
		p.names.ipv4(both, 0)
	case 6:
		p.names.mac(both, 0)
	default:
		p.names.ipv6(both, 0)
	}
	for name := range bytes.SplitSeq(value[n:], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		for i, word := range bytes.Split(name, []byte{'/'}) {
			if i > 0 {
				mapped = append(mapped, '/')
			}
			mapped = append(mapped, p.names.host(word, p.counts)...)
		}
		mapped = append(mapped, 0)
	}
	return mapped
}
