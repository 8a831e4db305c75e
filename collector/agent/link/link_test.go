package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quick are options for faults that come every few milliseconds.
func quick() Options {
	return Options{Ping: 5 * time.Millisecond, Silence: 200 * time.Millisecond, Outage: 5 * time.Second, First: 5 * time.Second, Backoff: time.Millisecond}
}

// cutter is a connection that ends after some bytes in either direction, or
// stalls there.
type cutter struct {
	net.Conn
	left  *atomic.Int64
	stall bool
}

func (c cutter) cut(n int) error {
	if c.left.Add(-int64(n)) > 0 {
		return nil
	}
	if !c.stall {
		c.Conn.Close()
	}
	return io.ErrUnexpectedEOF
}

func (c cutter) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p[:min(len(p), 1+rand.IntN(4096))])
		if err != nil || c.cut(n) == nil {
			return n, err
		}
		if !c.stall {
			return 0, io.ErrUnexpectedEOF
		} // stalled: it is as if it had got lost
	}
}

func (c cutter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, 1+rand.IntN(4096))
		if c.cut(n) != nil {
			if !c.stall {
				return done, io.ErrUnexpectedEOF
			}
		} else if _, err := c.Conn.Write(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

// TestCutAnywhere: whatever is cut wherever, both directions arrive whole.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	down, up := random(6<<20), random(200<<10) // more than memory holds; a plan
	var calls atomic.Int64
	served := make(chan error, 1)
	go func() {
		served <- Serve(t.Context(), dir, quick(), func(_ context.Context, s io.ReadWriter) error {
			got := make([]byte, len(up))
			var reading sync.WaitGroup
			reading.Go(func() {
				if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, up) {
					t.Errorf("the callee got something else: %v", err)
				}
			})
			for rest := down; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(300<<10))
				if _, err := s.Write(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			reading.Wait()
			return nil
		})
	}()
	var resumed atomic.Int64
	o := quick()
	o.Resumed = func(int64, error) { resumed.Add(1) }
	s := Call(t.Context(), o, func(context.Context) (io.ReadWriteCloser, error) {
		conn, err := net.Dial("unix", filepath.Join(dir, socket))
		if err != nil {
			return nil, err
		}
		var left atomic.Int64
		n := calls.Add(1)
		left.Store(rand.Int64N(100 << (n % 13))) // some end in the handshake, some take a while
		return cutter{conn, &left, n%11 == 0}, nil
	})
	defer s.Close()
	go func() { _, _ = s.Write(up) }()
	got := make([]byte, len(down))
	if _, err := io.ReadFull(s, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, down) {
		t.Error("the caller got something else")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	t.Logf("%d connections, %d resumed", calls.Load(), resumed.Load())
	if resumed.Load() < 24 {
		t.Error("that is not dozens")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestQueue: what is kept is what was written, in memory and on disk, whose
// files hold none of it in the clear.
func TestQueue(t *testing.T) {
	text := bytes.Repeat([]byte("what the disk must not hold. "), 1<<15)
	at := func(from int64, n int) []byte { return text[from%29:][:n] }
	for _, dir := range []string{t.TempDir(), "", "/no/such/folder"} {
		q := queue{dir: dir}
		most := 0
		for range 300 {
			n := 1 + rand.IntN(300<<10)
			took := q.append(at(q.end, n))
			if room := q.end - q.start; took < n && room < memorySegment*(memorySegments-1) {
				t.Fatalf("full with %d bytes", room)
			}
			if q.start < q.end {
				from := q.start + rand.Int64N(q.end-q.start)
				buf := make([]byte, 1+rand.IntN(100<<10))
				n, err := q.readAt(buf, from)
				if err != nil || n == 0 || !bytes.Equal(buf[:n], at(from, n)) {
					t.Fatalf("%q: at %d of %d to %d: %d bytes, %v", dir, from, q.start, q.end, n, err)
				}
			}
			files, _ := filepath.Glob(filepath.Join(dir, "unsent-*"))
			most = max(most, len(files))
			for _, name := range files {
				if b, _ := os.ReadFile(name); bytes.Contains(b, []byte("must not hold")) {
					t.Fatal("it is in the file as it is")
				}
			}
			if rand.IntN(30) == 0 {
				q.discard(q.start + rand.Int64N(q.end-q.start+1))
			}
		}
		if _, err := q.readAt(make([]byte, 1), q.end); err == nil {
			t.Error("there is something behind the end")
		}
		q.close()
		files, _ := filepath.Glob(filepath.Join(dir, "unsent-*"))
		if len(files) > 0 || (most > 0) != (dir != "" && dir != "/no/such/folder") {
			t.Errorf("%q: %d files at most, left behind %v", dir, most, files)
		}
	}
}

// TestLiars: each of these ends the stream for good, and nothing of it is taken.
func TestLiars(t *testing.T) {
	named := func(s *Stream, number int64) frame {
		return frame{kindOpen, number, append([]byte{version}, s.name[:]...)}
	}
	for name, say := range map[string]func(*Stream) []frame{
		"another stream":  func(*Stream) []frame { return []frame{{kindOpen, 0, make([]byte, 1+nameSize)}} },
		"another version": func(s *Stream) []frame { return []frame{{kindOpen, 0, append([]byte{9}, s.name[:]...)}} },
		"no opening":      func(*Stream) []frame { return []frame{{kindData, 0, []byte("x")}} },
		"has what is not": func(s *Stream) []frame { return []frame{named(s, 1<<40)} },
		"a gap":           func(s *Stream) []frame { return []frame{named(s, 0), {kindData, 1, []byte("x")}} },
		"again": func(s *Stream) []frame {
			return []frame{named(s, 0), {kindData, 0, []byte("x")}, {kindData, 0, []byte("x")}}
		},
		"acknowledges all": func(s *Stream) []frame { return []frame{named(s, 0), {kindAck, 1 << 30, nil}} },
		"opens twice":      func(s *Stream) []frame { return []frame{named(s, 0), named(s, 0)} },
		"negative":         func(s *Stream) []frame { return []frame{named(s, 0), {kindData, -1, []byte("x")}} },
		"too much at once": func(s *Stream) []frame { return []frame{named(s, 0), {kindData, 0, make([]byte, chunk+1)}} },
		"a record":         func(s *Stream) []frame { return []frame{{'H', 0, nil}} },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			s := newStream(quick())
			s.name, s.named = [nameSize]byte{1, 2, 3}, true
			defer s.Close()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			go func() {
				for _, f := range say(s) {
					if writeFrame(theirs, f) != nil {
						return
					}
				}
			}()
			s.keep(t.Context(), func(context.Context) (io.ReadWriteCloser, error) { return ours, nil })
			if err := s.over(); !errors.Is(err, ErrProtocol) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestGivesUp: the caller after an outage, and at once when there is nobody to
// call any more; the callee when nobody calls.
func TestGivesUp(t *testing.T) {
	o := quick()
	o.Outage, o.First = 100*time.Millisecond, 100*time.Millisecond
	for want, dial := range map[error]error{ErrLost: io.ErrUnexpectedEOF, io.ErrNoProgress: Final(io.ErrNoProgress)} {
		s := Call(t.Context(), o, func(context.Context) (io.ReadWriteCloser, error) { return nil, dial })
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if _, err := s.Write(nil); !errors.Is(err, want) {
			t.Errorf("a write: got %v, want %v", err, want)
		}
	}
	err := Serve(t.Context(), t.TempDir(), o, func(_ context.Context, s io.ReadWriter) error {
		_, err := s.Read(make([]byte, 1))
		return err
	})
	if !errors.Is(err, ErrLost) {
		t.Errorf("the callee: %v", err)
	}
}

// TestSlowReader: what is not read waits at the writer, in bounded memory.
func TestSlowReader(t *testing.T) {
	a, b := net.Pipe()
	from, to := newStream(quick()), newStream(quick())
	defer from.Close()
	defer to.Close()
	from.named, to.named = true, true
	go from.keep(t.Context(), func(context.Context) (io.ReadWriteCloser, error) { return a, nil })
	go to.answer(b)
	wrote := make(chan int, 1)
	go func() {
		n, _ := from.Write(make([]byte, 64<<20))
		wrote <- n
	}()
	time.Sleep(3 * quick().Silence) // it lives through this without a byte read
	to.mu.Lock()
	unread, err := len(to.in), to.err
	to.mu.Unlock()
	if unread > window+chunk || err != nil {
		t.Errorf("%d bytes wait, %v", unread, err)
	}
	from.Close()
	if n := <-wrote; n > memorySegment*memorySegments+window+chunk {
		t.Errorf("%d bytes were taken", n)
	}
}

func FuzzPeer(f *testing.F) {
	var b bytes.Buffer
	_ = writeFrame(&b, frame{kindOpen, 0, append([]byte{version}, make([]byte, nameSize)...)})
	_ = writeFrame(&b, frame{kindData, 0, []byte("hello")})
	_ = writeFrame(&b, frame{kindAck, 0, nil})
	f.Add(b.Bytes())
	f.Add([]byte("OAAAAAAA"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := newStream(quick())
		s.named = true
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		go func() {
			_, _ = theirs.Write(raw)
			theirs.Close()
		}()
		_ = s.once(t.Context(), func(context.Context) (io.ReadWriteCloser, error) { return ours, nil }, nil)
		if int64(len(s.in)) != s.got || len(s.in) > len(raw) {
			t.Fatalf("%d bytes, counted %d, of %d", len(s.in), s.got, len(raw))
		}
	})
}
