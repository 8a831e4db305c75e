package redact

import "encoding/binary"

// tlsRecords says how many bytes of a TCP payload are TLS records before any
// application data: handshakes, alerts, changes of cipher. A record that the
// packet has the beginning of only is kept as far as it goes.
func tlsRecords(b []byte) int {
	const (
		header           = 5
		changeCipher     = 20
		alert            = 21
		handshake        = 22
		maxRecord        = 1<<14 + 2048
		major, lastMinor = 3, 4
	)
	n := 0
	for len(b)-n >= header {
		r := b[n:]
		size := int(binary.BigEndian.Uint16(r[3:]))
		if r[1] != major || r[2] > lastMinor || size == 0 || size > maxRecord {
			return n
		}
		switch {
		case r[0] == changeCipher && size == 1, r[0] == alert && size <= 64:
		case r[0] == handshake && handshakeType(r[header:]):
		case r[0] == handshake: // encrypted
			return n + header
		default:
			return n
		}
		n = min(len(b), n+header+size)
	}
	return n
}

// handshakeType says whether a record begins with a handshake message in the
// clear.
func handshakeType(b []byte) bool {
	const maxMessage = 1 << 17
	if len(b) < 4 || int(b[1])<<16|int(b[2])<<8|int(b[3]) > maxMessage {
		return false
	}
	switch b[0] {
	case 0, 1, 2, 4, 5, 8, 11, 12, 13, 14, 15, 16, 20, 21, 22, 24:
		return true
	}
	return false
}

// dnsStream says how many bytes of a TCP payload are whole DNS messages, each
// after its length, or the beginning of one.
func dnsStream(b []byte) int {
	n := 0
	for len(b)-n >= 2 {
		size := int(binary.BigEndian.Uint16(b[n:]))
		body := b[n+2 : min(len(b), n+2+size)]
		kept := dnsMessage(body)
		if kept == 0 {
			return n
		}
		n += 2 + kept
		if kept < size {
			return n
		}
	}
	return n
}

// dnsMessage says how many bytes of b are a DNS message: 0 if it is none. What
// follows the last record is not part of it; a message that the snaplen cut is
// kept as far as it parses.
func dnsMessage(b []byte) int {
	const header, maxRecords = 12, 512
	if len(b) < header {
		return 0
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	questions, records := count(4), count(6)+count(8)+count(10)
	if b[3]&0x40 != 0 || questions > 4 || records > maxRecords || questions+records == 0 {
		return 0
	}
	n := header
	for i := range questions + records {
		end, ok := dnsName(b, n)
		if !ok {
			return 0
		}
		tail := 4
		if i >= questions {
			tail = 10
			if end+tail <= len(b) {
				tail += int(binary.BigEndian.Uint16(b[end+8:]))
			}
		}
		if end+tail > len(b) {
			return len(b)
		}
		n = end + tail
	}
	return n
}

// dnsName steps over a name; not ok when it is none. A name that the end of b
// cuts ends there.
func dnsName(b []byte, n int) (int, bool) {
	const maxName = 255
	for start := n; n < len(b) && n-start <= maxName; {
		switch size := int(b[n]); {
		case size == 0:
			return n + 1, true
		case size >= 0xC0:
			return min(len(b), n+2), true
		case size > 63:
			return 0, false
		default:
			n += 1 + size
		}
	}
	return len(b), n >= len(b)
}
