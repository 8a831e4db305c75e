// Package link makes a byte stream that outlives its connections, so that a
// conversation goes on when the exec stream beneath it is cut by the very
// fault that is looked for.
//
// Each end keeps what it wrote until the other says that it has it, and both
// count the bytes of the two directions. When a connection breaks, the caller
// ([Call]) makes another and the two ends tell each other how far they are;
// what is missing is sent again. The callee ([Serve]) waits a minute for that,
// and then all is over.
//
// # On the wire
//
// Frames of a kind, a number (8 bytes) and a length (4 bytes), big endian, and
// a payload:
//
//	O   number: bytes received so far; payload: version, and the caller's random name of the stream
//	D   number: offset of the payload in the stream
//	A   number: bytes received so far; also says that the sender lives
//
// The caller sends its O first and the callee answers with its own. Nothing is
// believed: a D that does not go on exactly where the last one ended, an A for
// what was not sent, and an O of another stream end it all.
package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	version   = 2 // 1 were records without a link beneath
	chunk     = 64 << 10
	window    = 1 << 20 // bytes on the way, and bytes received but not read
	nameSize  = 16
	headSize  = 13
	lingerFor = 60 * time.Second // for the peer to take the last bytes
	sayLast   = 500 * time.Millisecond
)

// The kinds of frames.
const (
	kindOpen = 'O'
	kindData = 'D'
	kindAck  = 'A'
)

// Errors of a stream.
var (
	// ErrProtocol: the peer does not speak the protocol, or lies.
	ErrProtocol = errors.New("link protocol")
	// ErrLost: the connection broke and could not be made again in time.
	ErrLost = errors.New("the connection was lost")
	// ErrClosed: this end closed the stream.
	ErrClosed = errors.New("the connection to the agent was closed")
)

// Options of a stream; the zero Options are the usual ones.
type Options struct {
	Dir     string        // where the callee keeps what does not fit into memory
	Ping    time.Duration // default 3 s
	Silence time.Duration // a connection without a byte for so long is dead; default 20 s
	Outage  time.Duration // how long a stream lives without a connection; default 60 s for the callee, 90 s for the caller
	First   time.Duration // the same until the first connection; default 60 s
	Backoff time.Duration // the caller's pause before it tries again, doubled each time up to 8 times; default 500 ms

	// Resumed tells the caller that the stream goes on, how many bytes it had,
	// and why it broke; may be nil.
	Resumed func(at int64, cause error)
}

func (o Options) filled(outage time.Duration) Options {
	for _, d := range []struct {
		at     *time.Duration
		normal time.Duration
	}{{&o.Ping, 3 * time.Second}, {&o.Silence, 20 * time.Second}, {&o.Outage, outage}, {&o.First, 60 * time.Second}, {&o.Backoff, 500 * time.Millisecond}} {
		if *d.at <= 0 {
			*d.at = d.normal
		}
	}
	return o
}

// Stream is one end. Read and Write may be called from different goroutines.
type Stream struct {
	opts Options

	mu       sync.Mutex
	changed  *sync.Cond
	out      queue
	in       []byte // received and not read
	got      int64  // bytes received
	err      error  // why it is over
	name     [nameSize]byte
	named    bool
	conn     *connection // the one in use
	heard    time.Time   // when a connection last was alive
	attached bool        // there was one
}

func newStream(o Options) *Stream {
	s := &Stream{opts: o, heard: time.Now(), out: queue{dir: o.Dir}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Read implements [io.Reader].
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.in) == 0 && s.err == nil {
		s.changed.Wait()
	}
	if len(s.in) == 0 {
		return 0, s.err
	}
	n := copy(p, s.in)
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil
	}
	s.changed.Broadcast()
	return n, nil
}

// Write implements [io.Writer]. It returns when all bytes are kept, which is
// before they are sent, and waits while too many are.
func (s *Stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := 0
	for s.err == nil {
		n := s.out.append(p[done:])
		if done += n; n > 0 {
			s.changed.Broadcast()
		}
		if done == len(p) {
			return done, nil
		}
		s.changed.Wait()
	}
	return done, s.err
}

// Close ends the stream; what was not sent is lost. The peer hears what came,
// so that it need not wait to send it again.
func (s *Stream) Close() error {
	s.wait(sayLast, func() bool { return s.conn == nil || s.conn.told == s.got })
	s.end(ErrClosed)
	return nil
}

// end makes err the stream's last word, unless it had one.
func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	s.out.close()
	if s.conn != nil {
		s.conn.Close()
	}
	s.changed.Broadcast()
}

func (s *Stream) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// flush waits, bounded, until the peer has all that was written.
func (s *Stream) flush() { s.wait(lingerFor, func() bool { return s.out.start == s.out.end }) }

// wait waits until something is so, the stream is over, or d has passed.
func (s *Stream) wait(d time.Duration, so func() bool) {
	late := false
	timer := time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && !late && !so() {
		s.changed.Wait()
	}
}

func (s *Stream) wasAttached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached
}

// outage says for how long there was no living connection.
func (s *Stream) outage() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.opts.Outage
	if !s.attached {
		limit = s.opts.First
	}
	if s.conn != nil {
		return 0, false
	}
	d := time.Since(s.heard)
	return d, d > limit
}

// frame is one frame.
type frame struct {
	kind    byte
	number  int64
	payload []byte
}

func writeFrame(w io.Writer, f frame) error {
	buf := make([]byte, headSize, headSize+len(f.payload))
	buf[0] = f.kind
	binary.BigEndian.PutUint64(buf[1:], uint64(f.number))
	binary.BigEndian.PutUint32(buf[9:], uint32(len(f.payload)))
	_, err := w.Write(append(buf, f.payload...))
	return err
}

func readFrame(r *bufio.Reader) (frame, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[0]}
	if f.kind != kindOpen && f.kind != kindData && f.kind != kindAck {
		return f, fmt.Errorf("%w: the peer says %q, which no link does; is it the agent of this casefile?", ErrProtocol, f.kind)
	}
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return f, err
	}
	f.number = int64(binary.BigEndian.Uint64(head[1:]))
	n := binary.BigEndian.Uint32(head[9:])
	if n > chunk || f.number < 0 || f.kind == kindAck && n > 0 {
		return f, fmt.Errorf("%w: frame %q with the number %d and %d bytes", ErrProtocol, f.kind, f.number, n)
	}
	f.payload = make([]byte, n)
	_, err := io.ReadFull(r, f.payload)
	return f, err
}
