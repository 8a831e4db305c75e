package flow

import (
	"encoding/binary"
	"fmt"
)

// TLS is looked at in the plain parts of a connection: the ClientHello, which
// may come in several segments, and alerts that are not encrypted.
const (
	recordAlert     = 21
	recordHandshake = 22
	maxHello        = 16 << 10
	maxName         = 255
	maxRecord       = 16384 + 2048
)

// tlsState is where one direction stands.
type tlsState struct {
	began bool    // a record was seen
	next  uint32  // where the next record begins
	hello *stream // while it is put together
}

// tls looks at a segment with data. Whatever does not look like records costs
// nothing but that look.
func (t *tracker) tls(f *flow, from uint8, h *headers) {
	b := h.payload
	looks := len(b) >= 5 && b[0]-20 < 4 && b[1] == 3 && b[2] <= 4 && binary.BigEndian.Uint16(b[3:]) <= maxRecord
	if f.extra == nil && !looks {
		return
	}
	x := f.more()
	st := &x.tls[from]
	if st.hello != nil {
		t.hello(x, st, h)
	} else if !st.began && looks && b[0] == recordHandshake && x.sni == "" && len(b) > 5 && b[5] == 1 {
		t.firstHello(x, st, h)
	}
	switch skip := int32(st.next - h.seq); {
	case st.began && skip >= 0 && int(skip) < h.length:
		t.records(x, st, h, int(skip))
	case looks && (!st.began || skip < 0): // what lies between was not seen: the segment begins a record, so it seems
		st.began = true
		t.records(x, st, h, 0)
	}
}

// records walks over the records that begin in a segment.
func (t *tracker) records(x *extra, st *tlsState, h *headers, at int) {
	for at < h.length {
		if at+5 > len(h.payload) {
			st.next = h.seq + uint32(at) - 1 // its head is not all here: wait for one that begins a segment
			return
		}
		b := h.payload[at:]
		n := int(binary.BigEndian.Uint16(b[3:]))
		if b[0]-20 >= 4 || b[1] != 3 || n > maxRecord {
			st.next = h.seq + uint32(at) - 1
			return
		}
		if b[0] == recordAlert && n == 2 && len(b) >= 7 && x.alert == "" {
			x.alert = alertName(b[5], b[6])
		}
		at += 5 + n
	}
	st.next = h.seq + uint32(at)
}

// firstHello begins with a ClientHello.
func (t *tracker) firstHello(x *extra, st *tlsState, h *headers) {
	if name, whole := serverName(h.payload); whole || len(h.payload) < h.length {
		x.sni = name // a segment that was cut gives what it has
		return
	}
	st.hello = newStream(h.seq, maxHello)
	t.hello(x, st, h)
}

func (t *tracker) hello(x *extra, st *tlsState, h *headers) {
	st.hello.push(h.seq, h.payload, h.length, &t.buffers)
	name, whole := serverName(st.hello.data)
	if whole || name != "" || st.hello.broken() {
		x.sni = name
		st.hello.free(&t.buffers)
		st.hello = nil
	}
}

func (t *tracker) closeTLS(x *extra) {
	for i := range x.tls {
		if x.tls[i].hello != nil {
			x.sni, _ = serverName(x.tls[i].hello.data)
			x.tls[i].hello.free(&t.buffers)
			x.tls[i].hello = nil
		}
	}
}

// serverName finds the name in records of a ClientHello; whole when there is
// nothing to wait for.
func serverName(records []byte) (name string, whole bool) {
	if len(records) > 5 && records[0] != recordHandshake {
		return "", true
	}
	var msg []byte
	single := len(records) >= 5 && int(binary.BigEndian.Uint16(records[3:]))+5 >= len(records)
	if single { // nearly always: one record, perhaps not all of it
		msg = records[5:]
	}
	for b := records; !single && len(b) >= 5 && b[0] == recordHandshake; {
		n := min(int(binary.BigEndian.Uint16(b[3:]))+5, len(b))
		msg = append(msg, b[5:n]...)
		b = b[n:]
	}
	if len(msg) < 4 {
		return "", false
	}
	if msg[0] != 1 {
		return "", true
	}
	length := int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3])
	whole = len(msg) >= 4+length
	return extension(msg[4:min(len(msg), 4+length)]), whole
}

// extension walks a ClientHello up to server_name.
func extension(b []byte) string {
	skip := func(n int) bool {
		if n > len(b) {
			b = nil
			return false
		}
		b = b[n:]
		return true
	}
	if !skip(34) || len(b) < 1 || !skip(1+int(b[0])) || len(b) < 2 || !skip(2+int(be16(b))) || len(b) < 1 || !skip(1+int(b[0])) || !skip(2) {
		return ""
	}
	for len(b) >= 4 {
		typ, n := be16(b), int(be16(b[2:]))
		b = b[4:]
		if typ == 0 {
			b = b[:min(n, len(b))]
			if len(b) < 5 || b[2] != 0 {
				return ""
			}
			if n = int(be16(b[3:])); n > len(b)-5 || n > maxName {
				return ""
			}
			return clean(b[5 : 5+n])
		}
		if !skip(n) {
			return ""
		}
	}
	return ""
}

// clean keeps what can stand in a name.
func clean(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c <= ' ' || c >= 0x7f {
			out[i] = '?'
		}
	}
	return string(out)
}

func alertName(level, code byte) string {
	severity := "warning"
	if level == 2 {
		severity = "fatal"
	} else if level != 1 {
		severity = fmt.Sprintf("level-%d", level)
	}
	name, ok := map[byte]string{
		0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
		30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate", 43: "unsupported_certificate",
		44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
		49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction", 70: "protocol_version",
		71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
		109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
		113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
	}[code]
	if !ok {
		name = fmt.Sprintf("alert_%d", code)
	}
	return severity + " " + name
}
