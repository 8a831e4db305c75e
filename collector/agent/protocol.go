// Package agent is the conversation between the command line and the agent on
// a node: a plan goes in on the agent's stdin, records come out on its stdout.
//
// # Protocol
//
// Both directions carry records: one byte of kind, four bytes of length (big
// endian, at most [MaxRecord]), the payload.
//
//	CLI   → agent   J plan (JSON)   K keepalive   C cancel   T time (JSON)   G trigger (JSON)
//	agent → CLI     H hello   P progress   R result   O observation   F frames   E end   K keepalive   T time   G trigger   (JSON but for F and K)
//
// The agent speaks first (H). Both sides send a keepalive every five seconds
// and give up on a peer that is silent for three minutes: the connection
// beneath, that of package link, may be cut and made again meanwhile. The payloads of the F records, joined, are a bundle fragment: finished
// frames and their index lines. A stream without its E record is partial. The
// agent ends when the CLI is gone for good before E is out, so that a killed
// CLI leaves nothing running.
//
// When the plan asks for the clock, the CLI sends a few T records with its
// time, and the agent answers each with the times at which it came and went,
// as NTP does; the exchange with the shortest way there and back gives the
// offset of the clocks, and half that way its bound.
//
// When the plan has triggers, an agent that sees one sends a G record, and the
// CLI passes it on to all others of the run: their recorders end together. The
// CLI may send one by itself.
package agent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Version of the protocol; both sides must speak the same.
const Version = 1

// MaxRecord bounds the payload of a record, in bytes.
const MaxRecord = 4 << 20

// Kind of a record.
type Kind byte

// The kinds of records.
const (
	KindPlan      Kind = 'J'
	KindKeepalive Kind = 'K'
	KindCancel    Kind = 'C'
	KindHello     Kind = 'H'
	KindProgress  Kind = 'P'
	KindResult    Kind = 'R'
	KindFrames    Kind = 'F'
	KindEnd       Kind = 'E'
	KindObserved  Kind = 'O'
	KindTime      Kind = 'T'
	KindTrigger   Kind = 'G'
)

// Plan says what the agent of one node gathers.
type Plan struct {
	Version     int       `json:"version"`
	Node        string    `json:"node"`
	Top         string    `json:"top"`  // top folder of the bundle
	Time        time.Time `json:"time"` // time stamp of all members
	Policy      string    `json:"policy"`
	Payload     string    `json:"payload"` // none, default, full
	Samples     int       `json:"samples"`
	IntervalMS  int64     `json:"intervalMillis"`
	TimeoutMS   int64     `json:"timeoutMillis"`
	MaxBytes    int64     `json:"maxBytes"`
	Prefixes    []string  `json:"prefixes"` // all that the agent may write below
	Pods        []Pod     `json:"pods,omitempty"`
	Captures    []Capture `json:"captures,omitempty"`
	Probes      []Probe   `json:"probes,omitempty"`
	EBPFMS      int64     `json:"ebpfMillis,omitempty"`  // how long to watch kernel events; 0 is not at all
	HostProcess bool      `json:"hostProcess,omitempty"` // --host: this machine, no Kubernetes
	Guest       bool      `json:"guest,omitempty"`       // the agent sees the node's network, but not its processes and files
	SinceMS     int64     `json:"sinceMillis,omitempty"` // how far back the machine's logs go; 0: as far as the profile's bytes reach
	Profile     string    `json:"profile,omitempty"`     // quick, standard or full; empty is standard

	Only collector.Only `json:"only,omitempty"` // what of the machine is wanted; empty is all

	// Of the captures. Any of the triggers, on any node, ends them all.
	Until     []string           `json:"until,omitempty"`
	AfterMS   int64              `json:"afterMillis,omitempty"` // from the trigger to the end
	Addresses map[string]string  `json:"addresses,omitempty"`   // address → name, for the files
	Live      bool               `json:"live,omitempty"`        // captures only, and the F records are pieces of them ([ReadPieces]) and no fragment
	Trigger   *collector.Trigger `json:"-"`                     // shared by the plans of a run with Until

	Rules []byte `json:"rules,omitempty"` // the user's own rules of redaction, as their file has them

	// For strict redaction; they go over stdin and nowhere else.
	Key   []byte              `json:"key,omitempty"`   // of the pseudonyms
	Names map[string][]string `json:"names,omitempty"` // kind → what the cluster calls its own
}

// Pod is what the API server knows of a pod on the node.
type Pod struct {
	UID        string            `json:"uid"`
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	IPs        []string          `json:"ips,omitempty"`
	HostNet    bool              `json:"hostNetwork,omitempty"`
	Containers map[string]string `json:"containers,omitempty"` // 64-hex id → name
}

// Capture is one capture point of the node.
type Capture struct {
	Name       string `json:"name"`             // folder below captures/
	Target     string `json:"target"`           // as the user wrote it
	PodUID     string `json:"podUID,omitempty"` // empty: the node's own namespace
	Filter     string `json:"filter,omitempty"` // tcpdump syntax
	Snaplen    int    `json:"snaplen"`
	DurationMS int64  `json:"durationMillis"`
	MaxBytes   int64  `json:"maxBytes"`
	RingBytes  int64  `json:"ringBytes,omitempty"` // keep the last so many bytes only
	Interface  string `json:"interface,omitempty"` // empty: all
}

// Probe is something that the node sends, because the user asked for it.
type Probe struct {
	Kind      string `json:"kind"`                // dns, tcp, mtu, path, http, clock
	To        string `json:"to,omitempty"`        // a name, host:port or URL
	Target    string `json:"target,omitempty"`    // what To stands for: pod/NS/NAME, node/NAME, service/NS/NAME
	From      string `json:"from"`                // pod/NS/NAME or node/NAME
	PodUID    string `json:"podUID,omitempty"`    // empty: the node's own namespace
	ResolvUID string `json:"resolvUID,omitempty"` // the pod whose resolv.conf is used; empty: that of the place itself
	Cell      string `json:"cell,omitempty"`      // of the table of contrasts
	Count     int    `json:"count,omitempty"`     // repetitions; 0 is the kind's own
	TimeoutMS int64  `json:"timeoutMillis,omitempty"`
	EDNS      int    `json:"edns,omitempty"`        // bytes that a DNS answer over UDP may have
	TCP       bool   `json:"tcp,omitempty"`         // DNS over TCP from the start
	AfterMS   int64  `json:"afterMillis,omitempty"` // from the start of the node's captures
}

// Source is what the results of p are filed under.
func (p Probe) Source() string { return "probe/" + p.Kind + "/" + p.From }

// Hello is the agent's first record.
type Hello struct {
	Version int    `json:"version"`
	Agent   string `json:"agent"` // version of the binary
	Kernel  string `json:"kernel"`
	Arch    string `json:"arch"`
}

// End is the agent's last record.
type End struct {
	Results   int            `json:"results"`
	Redaction map[string]int `json:"redaction,omitempty"` // redactions by rule
	Error     string         `json:"error,omitempty"`

	Pseudonyms map[string]string `json:"pseudonyms,omitempty"`        // token → value, of what cannot be computed back
	Omitted    int               `json:"pseudonymsOmitted,omitempty"` // beyond [MaxPseudonyms] or their bytes
}

// What an agent may say of its pseudonyms; the end record has to hold it.
const (
	MaxPseudonyms     = 50_000
	MaxPseudonymBytes = 2 << 20 // tokens and values together
	maxPseudonym      = 1 << 10 // of one token or value
)

// SetPseudonyms puts as many into e as fit, in order of their tokens.
func (e *End) SetPseudonyms(all map[string]string) {
	e.Pseudonyms, e.Omitted = make(map[string]string, len(all)), 0
	room := MaxPseudonymBytes
	for _, token := range slices.Sorted(maps.Keys(all)) {
		if value := all[token]; len(e.Pseudonyms) < MaxPseudonyms && len(token)+len(value) <= room && isPseudonym(token) && isPseudonym(value) {
			room -= len(token) + len(value)
			e.Pseudonyms[token] = value
		} else {
			e.Omitted++
		}
	}
}

// isPseudonym says whether s is text that may stand on either side of a map of
// pseudonyms.
func isPseudonym(s string) bool {
	return s != "" && len(s) <= maxPseudonym && clean(s, maxPseudonym) == s
}

// Errors of a conversation.
var (
	ErrProtocol   = errors.New("agent protocol")
	ErrIncomplete = errors.New("the agent's stream ended without its end record")
	ErrAgent      = errors.New("the agent failed")
)

// WriteRecord writes one record.
func WriteRecord(w io.Writer, kind Kind, payload []byte) error {
	if len(payload) > MaxRecord {
		return fmt.Errorf("%w: record %c of %d bytes", ErrProtocol, kind, len(payload))
	}
	buf := make([]byte, 5, 5+len(payload))
	buf[0] = byte(kind)
	binary.BigEndian.PutUint32(buf[1:], uint32(len(payload)))
	_, err := w.Write(append(buf, payload...))
	return err
}

// WriteJSON writes v as the payload of one record.
func WriteJSON(w io.Writer, kind Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return WriteRecord(w, kind, b)
}

// ReadRecord reads one record; io.EOF only at a border between records.
func ReadRecord(r io.Reader) (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("%w: truncated record", ErrProtocol)
		}
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxRecord {
		return 0, nil, fmt.Errorf("%w: record %q of %d bytes", ErrProtocol, head[0], n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("%w: truncated record: %w", ErrProtocol, err)
	}
	return Kind(head[0]), payload, nil
}

// Session is what the agent's work writes to. Safe for concurrent use.
type Session interface {
	Record(collector.Result)
	Progress(collector.Progress)
	Observe(collector.Observation)
	Frames() io.Writer // a bundle fragment
	Trigger() *collector.Trigger
}
