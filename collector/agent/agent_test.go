package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/collector"
)

// memSink keeps frames; fail makes Frames refuse after so many bytes.
type memSink struct {
	mu       sync.Mutex
	frames   bytes.Buffer
	prefixes []string
	fail     error
	streamed error
}

func (m *memSink) Put(string, collector.Class, io.Reader) (int64, error) { panic("not used") }

func (m *memSink) Frames(prefixes []string, r io.Reader) error {
	if m.fail != nil {
		return m.fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.prefixes = prefixes
	_, m.streamed = io.Copy(&m.frames, r)
	return m.streamed
}

func testPlan() Plan {
	return Plan{Node: "n1", Prefixes: []string{"nodes/n1/", "captures/pod_a_b/"}, MaxBytes: 1 << 20,
		Captures: []Capture{{Name: "pod_a_b", Target: "pod/a/b"}}}
}

func work1(_ context.Context, p Plan, s Session) (End, error) {
	s.Progress(collector.Progress{Phase: "captures", Done: 1, Note: "half\x1b[31m"})
	if _, err := s.Frames().Write(bytes.Repeat([]byte("frame"), 100_000)); err != nil {
		return End{}, err
	}
	s.Record(collector.Result{Source: "node/" + p.Node, Path: "nodes/n1/node.json", Status: collector.StatusOK, Bytes: 7})
	s.Record(collector.Result{Source: "capture/pod/a/b", Path: "captures/pod_a_b/x", Status: collector.StatusDenied, Reason: "no"})
	return End{Redaction: map[string]int{"jwt": 3}}, nil
}

func TestConversation(t *testing.T) {
	cli, srv := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), srv, srv, Hello{Agent: "v1"}, work1) }()
	sink := &memSink{}
	var progress []collector.Progress
	out := collector.NewOutput(sink, collector.Options{Progress: func(p collector.Progress) { progress = append(progress, p) }})
	end, err := Converse(t.Context(), cli, testPlan(), out)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(End{Results: 2, Redaction: map[string]int{"jwt": 3}}, end); diff != "" {
		t.Error(diff)
	}
	if sink.frames.Len() != 500_000 || sink.streamed != nil {
		t.Errorf("frames: %d bytes, %v", sink.frames.Len(), sink.streamed)
	}
	want := []collector.Result{
		{Source: "capture/pod/a/b", Path: "captures/pod_a_b/x", Status: collector.StatusDenied, Reason: "no"},
		{Source: "node/n1", Path: "nodes/n1/node.json", Status: collector.StatusOK, Bytes: 7},
	}
	if diff := cmp.Diff(want, out.Results()); diff != "" {
		t.Error(diff)
	}
	if len(progress) != 1 || progress[0].Note != "half [31m" {
		t.Errorf("progress %+v", progress)
	}
}

// script plays an agent that writes raw bytes after reading the plan.
func script(t *testing.T, plan Plan, sink *memSink, raw []byte) (End, []collector.Result, error) {
	t.Helper()
	cli, srv := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, srv) })
	wg.Go(func() {
		_, _ = srv.Write(raw)
		srv.Close()
	})
	out := collector.NewOutput(sink, collector.Options{})
	end, err := Converse(t.Context(), cli, plan, out)
	wg.Wait()
	return end, out.Results(), err
}

type rec struct {
	kind Kind
	body any
}

func stream(recs ...rec) []byte {
	var b bytes.Buffer
	for _, r := range recs {
		raw, ok := r.body.([]byte)
		if !ok {
			raw, _ = json.Marshal(r.body)
		}
		_ = WriteRecord(&b, r.kind, raw)
	}
	return b.Bytes()
}

var hello = rec{KindHello, Hello{Version: Version}}

func TestTruncatedAnywhere(t *testing.T) {
	full := stream(hello, rec{KindFrames, []byte("some frames")},
		rec{KindResult, collector.Result{Source: "node/n1", Path: "nodes/n1/a", Status: collector.StatusOK}}, rec{KindEnd, End{Results: 1}})
	for n := range full {
		sink := &memSink{}
		_, results, err := script(t, testPlan(), sink, full[:n])
		if !errors.Is(err, ErrIncomplete) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		for _, r := range results {
			if r.Status == collector.StatusOK {
				t.Fatalf("cut at %d: result still ok: %+v", n, r)
			}
		}
		if sink.frames.Len() > 0 && !errors.Is(sink.streamed, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: the sink saw a clean end (%v)", n, sink.streamed)
		}
	}
	if _, results, err := script(t, testPlan(), &memSink{}, full); err != nil || len(results) != 1 || results[0].Status != collector.StatusOK {
		t.Fatalf("whole stream: %+v %v", results, err)
	}
}

func TestHostileAgent(t *testing.T) {
	ok := rec{KindEnd, End{}}
	many := func(n int, r rec) []rec {
		out := []rec{hello}
		for range n {
			out = append(out, r)
		}
		return append(out, ok)
	}
	huge := append(stream(hello), byte(KindFrames), 0xff, 0xff, 0xff, 0xff)
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"wrong version":    {stream(rec{KindHello, Hello{Version: 9, Agent: "old"}}), ErrProtocol},
		"no hello":         {stream(ok), ErrProtocol},
		"a shell's banner": {[]byte("Welcome to BusyBox v1.36, the login shell of this node\n"), ErrIncomplete},
		"hello no json":    {stream(rec{KindHello, []byte("{")}), ErrProtocol},
		"huge record":      {huge, ErrProtocol},
		"end no json":      {stream(hello, rec{KindEnd, []byte("[")}), ErrProtocol},
		"junk, a little":   {stream(many(maxUnknown, rec{'?', []byte("x")})...), nil},
		"junk, a flood":    {stream(many(maxUnknown+1, rec{KindResult, []byte("}")})...), ErrProtocol},
		"keepalives":       {stream(many(5000, rec{KindKeepalive, []byte{}})...), nil},
		"frames flood":     {stream(many(20, rec{KindFrames, make([]byte, 1<<20)})...), collector.ErrOverBudget},
		"says it failed":   {stream(hello, rec{KindEnd, End{Error: "no policy\x07"}}), ErrAgent},
		"results missing":  {stream(hello, rec{KindEnd, End{Results: 3}}), ErrIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := script(t, testPlan(), &memSink{}, c.raw); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestHostileResults(t *testing.T) {
	send := func(r collector.Result) collector.Result {
		_, got, err := script(t, testPlan(), &memSink{}, stream(hello, rec{KindResult, r}, rec{KindEnd, End{Results: 1}}))
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		return got[0]
	}
	for _, c := range []struct{ in, want collector.Result }{
		{collector.Result{Source: "cluster", Status: "ok"}, collector.Result{Source: "node/n1", Status: "ok"}},
		{collector.Result{Source: "node/n2", Status: "ok", Path: "nodes/n1"}, collector.Result{Source: "node/n1", Status: "ok", Path: "nodes/n1"}},
		{collector.Result{Source: "capture/pod/x/y", Status: "ok"}, collector.Result{Source: "node/n1", Status: "ok"}},
		{collector.Result{Source: "node/n1", Status: "ok", Path: "nodes/n10/a"}, collector.Result{Source: "node/n1", Status: "failed", Reason: "the agent named a path outside its own folders"}},
		{collector.Result{Source: "node/n1", Status: "fine"}, collector.Result{Source: "node/n1", Status: "failed", Reason: "the agent gave no known status: fine"}},
		{collector.Result{Source: "node/n1", Status: "denied", Reason: "a\x1b]0;x\x07\nb", Bytes: -5}, collector.Result{Source: "node/n1", Status: "denied", Reason: "a ]0;x  b"}},
	} {
		if diff := cmp.Diff(c.want, send(c.in)); diff != "" {
			t.Errorf("%+v: %s", c.in, diff)
		}
	}
	recs := []rec{hello}
	for range maxResults + 5 {
		recs = append(recs, rec{KindResult, collector.Result{Source: "node/n1", Status: "ok"}})
	}
	_, got, err := script(t, testPlan(), &memSink{}, stream(append(recs, rec{KindEnd, End{Results: maxResults + 5}})...))
	if err != nil || len(got) != maxResults+1 || !strings.HasPrefix(got[maxResults].Reason, "5 more results") {
		t.Errorf("%d results, %v", len(got), err)
	}
}

// The agent must not be wedged by refused frames: it is read to its end, told
// to stop, and what it claims is not taken for stored.
func TestRefusedFrames(t *testing.T) {
	cli, srv := net.Pipe()
	refused := errors.New("path outside")
	stopped := make(chan struct{})
	go Serve(context.Background(), srv, srv, Hello{}, func(ctx context.Context, p Plan, s Session) (End, error) {
		for range 3 {
			if _, err := s.Frames().Write(make([]byte, 200_000)); err != nil {
				return End{}, err
			}
		}
		s.Record(collector.Result{Source: "node/n1", Path: "nodes/n1/a", Status: collector.StatusOK})
		<-ctx.Done() // the cancel record
		close(stopped)
		return End{}, nil
	})
	out := collector.NewOutput(&memSink{fail: refused}, collector.Options{})
	_, err := Converse(t.Context(), cli, testPlan(), out)
	if !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	<-stopped
	if r := out.Results(); len(r) != 1 || r[0].Status != collector.StatusFailed || !strings.Contains(r[0].Reason, "path outside") {
		t.Errorf("results %+v", r)
	}
}

func TestCancelReachesTheAgent(t *testing.T) {
	cli, srv := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cause := make(chan error, 1)
	served := make(chan error, 1)
	go func() {
		served <- Serve(context.Background(), srv, srv, Hello{}, func(ctx context.Context, p Plan, s Session) (End, error) {
			cancel()
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return End{}, ctx.Err()
		})
	}()
	_, err := Converse(ctx, cli, testPlan(), collector.NewOutput(&memSink{}, collector.Options{}))
	if c := <-cause; !errors.Is(c, errCancelled) {
		t.Errorf("cause %v", c)
	}
	if !errors.Is(err, ErrAgent) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-served; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("served %v", err)
	}
}

func TestCancelClosesAStuckConnection(t *testing.T) {
	cli, srv := net.Pipe() // srv neither reads nor writes
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Converse(ctx, cli, testPlan(), collector.NewOutput(&memSink{}, collector.Options{}))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrIncomplete) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > cancelGrace+2*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestServeEndsWithStdin(t *testing.T) {
	stdin, feed := io.Pipe()
	served := make(chan error, 1)
	var stdout bytes.Buffer
	go func() {
		served <- Serve(t.Context(), stdin, &stdout, Hello{}, func(ctx context.Context, p Plan, s Session) (End, error) {
			<-ctx.Done()
			return End{}, nil
		})
	}()
	if err := WriteJSON(feed, KindPlan, Plan{Version: Version}); err != nil {
		t.Fatal(err)
	}
	if err := WriteRecord(feed, KindKeepalive, nil); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	if err := <-served; !errors.Is(err, errStdinEnded) {
		t.Errorf("got %v", err)
	}
	if k, _, err := ReadRecord(&stdout); k != KindHello || err != nil {
		t.Errorf("%q %v", k, err)
	}
	if _, _, err := ReadRecord(&stdout); !errors.Is(err, io.EOF) {
		t.Errorf("an end record for nobody: %v", err)
	}
}

func TestServeRefusesBadPlans(t *testing.T) {
	never := func(context.Context, Plan, Session) (End, error) { return End{}, errors.New("must not run") }
	for name, raw := range map[string][]byte{
		"empty": nil, "not a plan": stream(hello), "no json": stream(rec{KindPlan, []byte("x")}), "version": stream(rec{KindPlan, Plan{Version: 2}}),
	} {
		var out bytes.Buffer
		if err := Serve(t.Context(), bytes.NewReader(raw), &out, Hello{}, never); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		_, _, _ = ReadRecord(&out)
		var e End
		if k, b, err := ReadRecord(&out); err != nil || k != KindEnd || json.Unmarshal(b, &e) != nil || e.Error == "" {
			t.Errorf("%s: end record %q %s %v", name, k, b, err)
		}
	}
}

func TestServeReportsPanicsAndTimeouts(t *testing.T) {
	for want, run := range map[string]func(context.Context, Plan, Session) (End, error){
		"panic: boom":               func(context.Context, Plan, Session) (End, error) { panic("boom") },
		"context deadline exceeded": func(ctx context.Context, _ Plan, _ Session) (End, error) { <-ctx.Done(); return End{}, ctx.Err() },
	} {
		cli, srv := net.Pipe()
		go Serve(context.Background(), srv, srv, Hello{}, run)
		plan := testPlan()
		plan.TimeoutMS = 50
		_, err := Converse(t.Context(), cli, plan, collector.NewOutput(&memSink{}, collector.Options{}))
		if !errors.Is(err, ErrAgent) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add(stream(hello, rec{KindEnd, End{}}))
	f.Add([]byte{'F', 0, 0, 0, 9, 1})
	f.Add([]byte{'F', 0xff, 0, 0, 9, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		for at := 0; ; {
			k, p, err := ReadRecord(r)
			if err != nil {
				if errors.Is(err, io.EOF) != (at == len(raw)) && !errors.Is(err, ErrProtocol) {
					t.Fatalf("at %d of %d: %v", at, len(raw), err)
				}
				return
			}
			if want := int(binary.BigEndian.Uint32(raw[at+1:])); len(p) != want || byte(k) != raw[at] {
				t.Fatalf("%q %d, want %d", k, len(p), want)
			}
			at += 5 + len(p)
		}
	})
}

// Whatever an agent sends, the conversation ends, and nothing is filed under
// another source.
func FuzzConverse(f *testing.F) {
	f.Add(stream(hello, rec{KindResult, collector.Result{Source: "cluster"}}, rec{KindProgress, collector.Progress{Phase: "x"}}, rec{KindFrames, []byte("f")}, rec{KindEnd, End{Results: 1}}))
	f.Add(stream(hello, rec{KindResult, []byte(`{"path":"../x","status":"ok","bytes":-1}`)}, rec{'?', []byte("z")}))
	f.Add(stream(hello, rec{KindEnd, []byte(`{"redaction":{"a":-1},"error":"\u001b"}`)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		end, results, err := script(t, testPlan(), &memSink{}, raw)
		for _, r := range results {
			if r.Source != "node/n1" && r.Source != "capture/pod/a/b" && r.Source != "capture/pod_a_b" {
				t.Fatalf("source %q", r.Source)
			}
			if err != nil && r.Status == collector.StatusOK {
				t.Fatalf("ok after %v", err)
			}
			if strings.ContainsAny(r.Reason+r.Path, "\x1b\n") {
				t.Fatalf("control characters: %q", fmt.Sprint(r))
			}
		}
		for rule, n := range end.Redaction {
			if n < 0 {
				t.Fatalf("%s: %d", rule, n)
			}
		}
	})
}

// TestPseudonyms: what an agent says of its pseudonyms is text, and bounded.
func TestPseudonyms(t *testing.T) {
	many := map[string]string{"host-aaaaaaaa": "db.acme.example", "bad\x1b[31m": "x", "host-bbbbbbbb": "two\nlines", "host-cccccccc": ""}
	r := newRouter(testPlan(), collector.NewOutput(&memSink{}, collector.Options{}))
	payload, err := json.Marshal(End{Pseudonyms: many})
	if err != nil {
		t.Fatal(err)
	}
	end, err := r.end(payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(End{Redaction: map[string]int{}, Pseudonyms: map[string]string{"host-aaaaaaaa": "db.acme.example"}, Omitted: 3}, end); diff != "" {
		t.Error(diff)
	}
	for i := range MaxPseudonyms + 7 {
		many[fmt.Sprintf("host-%08d", i)] = strings.Repeat("v", 100)
	}
	var e End
	e.SetPseudonyms(many)
	if b, err := json.Marshal(e); err != nil || len(b) > MaxRecord || e.Omitted+len(e.Pseudonyms) != len(many) || len(e.Pseudonyms) < 10_000 {
		t.Errorf("%d bytes, %d kept, %d omitted of %d, %v", len(b), len(e.Pseudonyms), e.Omitted, len(many), err)
	}
}
