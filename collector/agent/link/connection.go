package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

var errSilent = errors.New("nothing came through it any more")

// connection is one of a stream's connections.
type connection struct {
	io.ReadWriteCloser
	s     *Stream
	r     *bufio.Reader
	quiet *time.Timer // closes it when nothing comes

	// Guarded by the stream's mu.
	sent   int64 // offset of the next byte to send
	told   int64 // bytes that the peer knows we have
	ping   bool  // it is time to say something
	dead   bool
	silent bool
}

func (s *Stream) connection(conn io.ReadWriteCloser) *connection {
	c := &connection{ReadWriteCloser: conn, s: s, r: bufio.NewReaderSize(conn, chunk)}
	c.quiet = time.AfterFunc(s.opts.Silence, func() {
		s.mu.Lock()
		c.silent = true
		s.mu.Unlock()
		conn.Close()
	})
	return c
}

// next reads a frame; a connection that says nothing is closed.
func (c *connection) next() (frame, error) {
	c.quiet.Reset(c.s.opts.Silence)
	f, err := readFrame(c.r)
	c.quiet.Stop()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err != nil && c.silent {
		err = errSilent
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // it has no clean end: the stream ends by what is said in it
	}
	return f, err
}

// opening is our O frame.
func (c *connection) opening() frame {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.told = c.s.got
	return frame{kindOpen, c.s.got, append([]byte{version}, c.s.name[:]...)}
}

// opened reads the peer's O frame. The callee learns the stream's name from
// the first.
func (c *connection) opened() error {
	f, err := c.next()
	if err != nil {
		return err
	}
	if f.kind != kindOpen || len(f.payload) != 1+nameSize {
		return fmt.Errorf("%w: the first frame is %q, not an O", ErrProtocol, f.kind)
	}
	if f.payload[0] != version {
		return fmt.Errorf("%w: the peer speaks version %d and we version %d; use the agent image of this casefile", ErrProtocol, f.payload[0], version)
	}
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	name := [nameSize]byte(f.payload[1:])
	if !s.named {
		s.name, s.named = name, true
	}
	if name != s.name {
		return fmt.Errorf("%w: it is for another stream", ErrProtocol)
	}
	if f.number < s.out.start || f.number > s.out.end {
		return fmt.Errorf("%w: the peer has %d bytes of %d", ErrProtocol, f.number, s.out.end)
	}
	s.out.discard(f.number)
	c.sent = f.number
	return nil
}

// claim makes c the connection of its stream. One in use is given up: there is
// one caller, and it would not call again if that were alive.
func (c *connection) claim() error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.conn != nil && s.err == nil {
		s.conn.Close()
		s.changed.Wait()
	}
	if s.err != nil {
		return s.err
	}
	s.conn, s.attached = c, true
	return nil
}

func (c *connection) release() {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.heard = nil, time.Now()
	s.changed.Broadcast()
}

// run carries the stream over the opened connection until it breaks.
func (c *connection) run() error {
	var writer sync.WaitGroup
	writer.Go(func() { c.send() })
	err := c.receive()
	c.Close()
	c.s.mu.Lock()
	c.dead = true
	c.s.changed.Broadcast()
	c.s.mu.Unlock()
	writer.Wait()
	return err
}

// receive takes frames; while too much is unread it takes none.
func (c *connection) receive() error {
	for {
		f, err := c.next()
		if err != nil {
			return err
		}
		if err := c.take(f); err != nil {
			return err
		}
	}
}

func (c *connection) take(f frame) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f.kind {
	case kindAck:
		if f.number < s.out.start || f.number > c.sent {
			return fmt.Errorf("%w: the peer has %d bytes of the %d that were sent", ErrProtocol, f.number, c.sent)
		}
		s.out.discard(f.number)
	case kindData:
		for len(s.in) >= window && s.err == nil && !c.dead {
			s.changed.Wait()
		}
		if s.err != nil {
			return s.err
		}
		if f.number != s.got {
			return fmt.Errorf("%w: bytes from %d on where %d is next", ErrProtocol, f.number, s.got)
		}
		s.in = append(s.in, f.payload...)
		s.got += int64(len(f.payload))
	default:
		return fmt.Errorf("%w: frame %q in the middle", ErrProtocol, f.kind)
	}
	s.changed.Broadcast()
	return nil
}

// send writes what is there to be sent until the connection breaks.
func (c *connection) send() {
	tick := time.NewTicker(c.s.opts.Ping)
	defer tick.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.s.mu.Lock()
				c.ping = true
				c.s.changed.Broadcast()
				c.s.mu.Unlock()
			}
		}
	}()
	for {
		f, err := c.due()
		if err == nil {
			err = writeFrame(c, f)
		}
		if err != nil {
			c.Close() // the reader sees it
			return
		}
		if f.kind == kindAck {
			c.s.mu.Lock()
			c.told = f.number
			c.s.changed.Broadcast()
			c.s.mu.Unlock()
		}
	}
}

// due waits for the next frame to send. What came is acknowledged before
// anything else is said.
func (c *connection) due() (frame, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case c.dead || s.err != nil:
			return frame{}, io.ErrClosedPipe
		case c.ping || c.told != s.got:
			c.ping = false
			return frame{kind: kindAck, number: s.got}, nil
		case c.sent < s.out.end && c.sent-s.out.start < window:
			buf := make([]byte, min(chunk, s.out.end-c.sent))
			n, err := s.out.readAt(buf, c.sent)
			if err != nil {
				return frame{}, err
			}
			f := frame{kindData, c.sent, buf[:n]}
			c.sent += int64(n)
			return f, nil
		}
		s.changed.Wait()
	}
}
