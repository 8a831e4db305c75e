// Package flow turns captures into rows: one for each connection and place
// ([abi.Flow]) and one for each DNS query ([abi.DNS]). It reads what the
// capture engine writes, and pcapng and pcap files of other tools.
//
// # A place
//
// is a device of a file. A packet that crosses a veth pair, a bridge and an
// uplink is three packets of three flows there, and no retransmission. When a
// device carries a packet in and out again (a router with one leg), the way in
// and the way out are two flows as well, told apart by the packets' directions.
//
// # What is counted
//
// The counters of TCP mean what tshark's tcp.analysis fields mean, rule for
// rule, with these differences:
//
//   - each place is a conversation of its own, where tshark takes all packets of
//     a file with the same addresses together;
//   - segments in IP fragments are counted, but not analysed: tshark reassembles
//     them;
//   - a DNS query that is sent again later than 5 seconds after the first is still
//     the same query: that is when resolvers try again.
//
// # Bounds
//
// Files are hostile. Memory is bounded by [Limits], whatever a file holds: what is
// too much is left out, and told by [Scanner.Finish], as is a file that is cut
// off or damaged; what came before counts.
package flow

import (
	"bufio"
	"context"
	"errors"
	"hash/maphash"
	"io"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Limits bound a [Scanner]; a zero is its default.
type Limits struct {
	Rows    int // flows of all files; 200,000
	Queries int // of DNS, of all files; 200,000
	Prints  int // packets of all files that are compared between places, the first ones; 3 million, and at most 4
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Rows, 200_000)
	def(&l.Queries, 200_000)
	def(&l.Prints, 3_000_000)
	l.Prints = min(l.Prints, 1<<indexBits)
	return l
}

// Capture says what a file is. Started and Ended are nanoseconds since 1970
// between which packets were captured for sure; zero when not known.
type Capture struct {
	Path    string // in the bundle
	Name    string // of the capture: the folder of the file
	Node    string
	Netns   uint64
	Device  string // for files that do not name devices
	Started int64
	Ended   int64
	Dropped int64 // by the kernel
}

// Row is a flow and its first packet.
type Row struct {
	abi.Flow
	Packet int
}

// Lacks is what is missing of connections, and of queries.
type Lacks struct{ Flows, DNS []abi.Missing }

// Scanner reads captures, one after the other, and compares them in the end.
type Scanner struct {
	lim    Limits
	seed   uint64
	files  []*file
	places []*place
	flows  []*flow // of all files, as they began
	dns    []*query
	names  map[string]string // of queries
	texts  int               // bytes of names and answers that there is still room for
	errors int               // of ICMP that are kept
	chunk  []flow            // room for the next ones
	asking []query
	in     *bufio.Reader
	prints prints
	twins  bool // some device carries packets in and out again
}

// file is one capture.
type file struct {
	Capture
	from, to int64 // the time in which it saw packets
	drops    int64
	blind    int64    // time from which its packets were too many to be compared; 0 for never
	missing  []string // of all rows
	unasked  []string // of DNS queries only
}

// place is a device of a file.
type place struct {
	number uint32
	file   *file
	device string
	loop   bool
}

// New makes a scanner.
func New(lim Limits) *Scanner {
	var h maphash.Hash
	return &Scanner{lim: lim.withDefaults(), seed: h.Sum64() | 1, names: map[string]string{}, texts: textRoom, in: bufio.NewReaderSize(nil, maxBlock)}
}

// Read takes in one capture. What is wrong with the file [Scanner.Finish]
// tells; the error is ctx's.
func (s *Scanner) Read(ctx context.Context, c Capture, in io.Reader) error {
	f := &file{Capture: c}
	s.files = append(s.files, f)
	t := newTracker(s, f, in)
	err := t.r.each(func(p *packet) error {
		if p.number&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		t.take(p)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		f.missing = append(f.missing, "could not be read to its end: "+err.Error())
	}
	t.finish(err == nil)
	return nil
}

// Count counts the packets of a capture, up to where it ends or is damaged. The
// error is that of reading, or that it is no capture at all.
func Count(in io.Reader) (int, error) {
	r := &reader{in: bufio.NewReaderSize(in, maxBlock)}
	err := r.each(func(*packet) error { return nil })
	if r.number > 0 && (errors.Is(err, ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = nil
	}
	return r.number, err
}

// Finish compares the places, and gives every row, in the order of the files
// and of the packets in them; a row is valid until the next. It says what is
// missing.
func (s *Scanner) Finish(flow func(*Row), dns func(*abi.DNS)) (lacks Lacks) {
	vanished := s.compare()
	s.prints = prints{}
	var row Row
	for _, f := range s.flows {
		row = f.row()
		row.Vanished = vanished[f]
		flow(&row)
	}
	var query abi.DNS
	for _, q := range s.dns {
		query = q.row()
		dns(&query)
	}
	for _, f := range s.files {
		for _, why := range f.missing {
			lacks.Flows = append(lacks.Flows, abi.Missing{Source: f.Path, Reason: why})
			lacks.DNS = append(lacks.DNS, abi.Missing{Source: f.Path, Reason: why})
		}
		for _, why := range f.unasked {
			lacks.DNS = append(lacks.DNS, abi.Missing{Source: f.Path, Reason: why})
		}
	}
	return lacks
}
