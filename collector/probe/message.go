package probe

import (
	"errors"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const maxAnswers = 16 // kept of one message

var errNotOurs = errors.New("not an answer to this question")

// question is what one query asks.
type question struct {
	name string // without a dot at its end
	typ  dnsmessage.Type
	id   uint16
}

// query is the message of a question; edns are the bytes that the answer may
// have, 0 for no EDNS.
func (q question) query(edns int) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name + ".")
	if err != nil {
		return nil, err
	}
	b := dnsmessage.NewBuilder(make([]byte, 0, 512), dnsmessage.Header{ID: q.id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: q.typ, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if edns > 0 {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(edns, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// reply is what an answer says.
type reply struct {
	rcode     string
	truncated bool
	answers   []string // addresses, and names that stand for the name
	cut       bool     // there were more, or they made no sense
	addresses int
	minTTL    uint32
}

// parseReply reads an answer to q. It returns errNotOurs for a message that
// answers something else, and another error for one that is none.
func parseReply(b []byte, q question) (reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return reply{}, err
	}
	if !h.Response || h.ID != q.id {
		return reply{}, errNotOurs
	}
	r := reply{rcode: rcodeName(h.RCode), truncated: h.Truncated}
	asked, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone):
		if h.RCode == dnsmessage.RCodeSuccess { // some servers leave it out of an error
			return reply{}, errNotOurs
		}
	case err != nil:
		return reply{}, err
	case asked.Type != q.typ || asked.Class != dnsmessage.ClassINET || !strings.EqualFold(strings.TrimSuffix(asked.Name.String(), "."), q.name):
		return reply{}, errNotOurs
	}
	if p.SkipAllQuestions() != nil {
		r.cut = true
		return r, nil
	}
	r.read(&p)
	return r, nil
}

// read takes the answers until their end or their first nonsense.
func (r *reply) read(p *dnsmessage.Parser) {
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return
		}
		if err != nil {
			r.cut = true
			return
		}
		text, err := answerText(p, h.Type)
		if err != nil {
			r.cut = true
			return
		}
		if h.Type == dnsmessage.TypeA || h.Type == dnsmessage.TypeAAAA {
			r.addresses++
		}
		if len(r.answers) == 0 || h.TTL < r.minTTL {
			r.minTTL = h.TTL
		}
		if len(r.answers) == maxAnswers {
			r.cut = true
			return
		}
		r.answers = append(r.answers, text)
	}
}

func answerText(p *dnsmessage.Parser, t dnsmessage.Type) (string, error) {
	switch t {
	case dnsmessage.TypeA:
		a, err := p.AResource()
		return addressText(a.A[:]), err
	case dnsmessage.TypeAAAA:
		a, err := p.AAAAResource()
		return addressText(a.AAAA[:]), err
	case dnsmessage.TypeCNAME:
		c, err := p.CNAMEResource()
		return strings.ToValidUTF8(c.CNAME.String(), "?"), err
	}
	return t.String(), p.SkipAnswer()
}

func rcodeName(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeSuccess:
		return "NOERROR"
	case dnsmessage.RCodeFormatError:
		return "FORMERR"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeNameError:
		return "NXDOMAIN"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	}
	return strings.TrimPrefix(c.String(), "RCode")
}

func typeName(t dnsmessage.Type) string { return strings.TrimPrefix(t.String(), "Type") }

// checkQuestion asks for the addresses of one name.
func checkQuestion(name string) []question {
	return []question{{strings.TrimSuffix(name, "."), dnsmessage.TypeA, uint16(rand.Uint32())}}
}
