package redact

import (
	"bytes"

	"golang.org/x/net/dns/dnsmessage"
)

// maxRenamed bounds a message with its names mapped, so that every length
// around it has room.
const maxRenamed = 32 << 10

// dns puts a message with pseudonyms in place of b, the rest of the packet. One
// that does not parse to its end is cut.
func (r rewriter) dns(b []byte) {
	if dnsMessage(b) != len(b) {
		return
	}
	if renamed, ok := r.names.rename(b); ok {
		*r.message = message{old: b, new: renamed}
	}
}

// rename gives the message with pseudonyms for names and addresses.
func (s *pseudonyms) rename(b []byte) ([]byte, bool) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return nil, false
	}
	ok := true
	for i := range m.Questions {
		ok = ok && s.name(&m.Questions[i].Name)
	}
	for _, records := range [][]dnsmessage.Resource{m.Answers, m.Authorities, m.Additionals} {
		for i := range records {
			ok = ok && s.name(&records[i].Header.Name) && s.record(&records[i])
		}
	}
	if !ok {
		return nil, false
	}
	const flags = 4 // identifier and flags, of which the library does not know all
	out, err := m.Pack()
	if err != nil || len(out) > maxRenamed {
		return nil, false
	}
	copy(out[:flags], b)
	return out, true
}

func (s *pseudonyms) record(record *dnsmessage.Resource) bool {
	switch body := record.Body.(type) {
	case *dnsmessage.AResource:
		body.A = remember(s.v4, body.A, s.mapper.IPv4)
	case *dnsmessage.AAAAResource:
		body.AAAA = remember(s.v6, body.AAAA, s.mapIPv6)
	case *dnsmessage.CNAMEResource:
		return s.name(&body.CNAME)
	case *dnsmessage.NSResource:
		return s.name(&body.NS)
	case *dnsmessage.PTRResource:
		return s.name(&body.PTR)
	case *dnsmessage.MXResource:
		return s.name(&body.MX)
	case *dnsmessage.SRVResource:
		return s.name(&body.Target)
	case *dnsmessage.SOAResource:
		return s.name(&body.NS) && s.name(&body.MBox)
	case *dnsmessage.HTTPSResource:
		body.Params = nil
		return s.name(&body.Target)
	case *dnsmessage.SVCBResource:
		body.Params = nil
		return s.name(&body.Target)
	case *dnsmessage.TXTResource:
		body.TXT = []string{""}
	case *dnsmessage.OPTResource:
		body.Options = extensions(body.Options)
	case *dnsmessage.UnknownResource:
		clear(body.Data) // of the same length, so that most still parse
	default:
		return false
	}
	return true
}

// extensions keeps the options of EDNS that have nothing in them about who
// asked or who answered.
func extensions(options []dnsmessage.Option) []dnsmessage.Option {
	const keepalive, padding, failure = 11, 12, 15
	kept := options[:0]
	for _, o := range options {
		switch o.Code {
		case keepalive:
		case padding:
			clear(o.Data)
		case failure: // the code without its text
			o.Data = o.Data[:min(len(o.Data), 2)]
		default:
			continue
		}
		kept = append(kept, o)
	}
	return kept
}

// name maps a name in place, without the last dot.
func (s *pseudonyms) name(n *dnsmessage.Name) bool {
	was, _ := bytes.CutSuffix(n.Data[:n.Length], []byte("."))
	if len(was) == 0 {
		return true
	}
	renamed := append(s.mapper.Host(nil, was), '.')
	if len(renamed) > len(n.Data) {
		return false
	}
	n.Length = uint8(copy(n.Data[:], renamed))
	return true
}
