package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Call makes the caller's end. dial opens a connection, again and again when
// one breaks; a [Final] error is the last. The stream ends with
// Close or when the connection is lost for good; ctx only ends a dial.
func Call(ctx context.Context, o Options, dial func(context.Context) (io.ReadWriteCloser, error)) *Stream {
	s := newStream(o.filled(90 * time.Second))
	_, _ = rand.Read(s.name[:]) // never fails
	s.named = true
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		s.keep(ctx, dial)
	}()
	go func() { // a stream that is over has no use for a dial
		s.mu.Lock()
		defer s.mu.Unlock()
		for s.err == nil {
			s.changed.Wait()
		}
		cancel()
	}()
	return s
}

// Final marks an error of dial, or of a connection, as one after which no other
// try makes sense. Its text stays.
func Final(err error) error { return final{err} }

type final struct{ error }

func (f final) Unwrap() error { return f.error }

// keep makes connections until the stream is over.
func (s *Stream) keep(ctx context.Context, dial func(context.Context) (io.ReadWriteCloser, error)) {
	pause := s.opts.Backoff
	var err error
	for {
		began := time.Now()
		err = s.once(ctx, dial, err)
		if s.over() != nil {
			return
		}
		var last final
		if errors.Is(err, ErrProtocol) || errors.As(err, &last) || ctx.Err() != nil {
			s.end(err)
			return
		}
		if d, late := s.outage(); late {
			s.end(fmt.Errorf("%w: not back within %s: %w", ErrLost, d.Round(time.Second), err))
			return
		}
		if time.Since(began) > s.opts.Silence {
			pause = s.opts.Backoff
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			continue // the stream is over, or the next dial says why not
		}
		pause = min(2*pause, 8*s.opts.Backoff)
	}
}

// once makes a connection and uses it until it breaks. cause is why the last
// one did.
func (s *Stream) once(ctx context.Context, dial func(context.Context) (io.ReadWriteCloser, error), cause error) error {
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := s.connection(conn)
	defer c.quiet.Stop()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := writeFrame(conn, c.opening()); err != nil {
		_, readErr := c.next() // it may say why
		return errors.Join(err, readErr)
	}
	if err := c.opened(); err != nil {
		return err
	}
	again := s.wasAttached()
	if err := c.claim(); err != nil {
		return err
	}
	defer c.release()
	stop() // from here on the stream's end closes it
	if again && s.opts.Resumed != nil {
		s.opts.Resumed(c.told, cause)
	}
	return c.run()
}

// socket is the name of the callee's socket in its folder.
const socket = "agent.sock"

// Serve is the callee: it lets callers in through a socket in dir, holds one
// stream with them, and gives it to work. It returns when work has and the
// caller took all that was written, and when nobody calls for too long.
func Serve(ctx context.Context, dir string, o Options, work func(context.Context, io.ReadWriter) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, socket)
	_ = os.Remove(path) // of a predecessor in the same container
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	o.Dir = dir
	s := newStream(o.filled(60 * time.Second))
	defer s.end(ErrClosed)
	defer context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })()
	go s.watch()
	go s.accept(listener)
	err = work(ctx, s)
	s.flush()
	return err
}

// watch ends a stream that nobody calls for.
func (s *Stream) watch() {
	every := max(s.opts.Outage/60, time.Millisecond)
	for s.over() == nil {
		time.Sleep(every)
		if d, late := s.outage(); late {
			s.end(fmt.Errorf("%w: nobody called for %s", ErrLost, d.Round(time.Second)))
		}
	}
}

func (s *Stream) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go s.answer(conn)
	}
}

// answer serves one connection of the caller; who is not the caller is sent
// away.
func (s *Stream) answer(conn net.Conn) {
	defer conn.Close()
	c := s.connection(conn)
	defer c.quiet.Stop()
	if c.opened() != nil || c.claim() != nil {
		return
	}
	defer c.release()
	if writeFrame(conn, c.opening()) == nil {
		_ = c.run()
	}
}

// Bridge carries one connection between a pair of pipes and the socket of the
// callee in dir, until either ends.
func Bridge(dir string, stdin io.Reader, stdout io.Writer) error {
	conn, err := net.Dial("unix", filepath.Join(dir, socket))
	for range 50 { // it may just be starting
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		conn, err = net.Dial("unix", filepath.Join(dir, socket))
	}
	if err != nil {
		return fmt.Errorf("the agent does not run: %w", err)
	}
	defer conn.Close()
	var out sync.WaitGroup
	out.Go(func() {
		_, err = io.Copy(stdout, conn)
	})
	go func() {
		_, _ = io.Copy(conn, stdin)
		conn.Close()
	}()
	out.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
