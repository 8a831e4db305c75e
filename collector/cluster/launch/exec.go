package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent/link"
)

const (
	helloLimit = 20 * time.Second // from the exec to the agent's first byte
	stderrCap  = 4 << 10
	outputCap  = 64 << 10 // of commands whose output is read as a whole
)

var errMute = fmt.Errorf("%w: the exec stream opened, but nothing came for %s; its kubelet does not answer", ErrNode, helloLimit)

// executor opens an exec stream: WebSocket, or SPDY where that is not spoken.
func (l *Launcher) executor(p *pod, command []string, stdin bool) (remotecommand.Executor, error) {
	req := l.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(l.opts.Namespace).Name(p.name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: p.container, Command: command, Stdin: stdin, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	config := rest.CopyConfig(l.config)
	ws, err := remotecommand.NewWebSocketExecutor(config, "GET", req.URL().String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(config, "POST", req.URL())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(ws, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// run runs a command in the container and returns its stdout.
func (l *Launcher) run(ctx context.Context, p *pod, command []string, stdin []byte) ([]byte, error) {
	ex, err := l.executor(p, command, stdin != nil)
	if err != nil {
		return nil, err
	}
	out, stderr := &capped{limit: outputCap}, &capped{limit: stderrCap}
	o := remotecommand.StreamOptions{Stdout: out, Stderr: stderr}
	if stdin != nil {
		o.Stdin = bytes.NewReader(stdin)
	}
	err = ex.StreamWithContext(quiet(ctx), o)
	return out.Bytes(), explain(err, stderr)
}

// quiet keeps the executors from logging that a stream was closed.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, klog.Logger{}) }

// conn is the conversation with one agent: a stream that goes on over as many
// exec streams as it takes.
type conn struct {
	*link.Stream
	guest  bool
	remove func()
	once   sync.Once
}

// open makes the conversation with the agent in the container. It lives until
// it is closed: the end of ctx leaves it to the caller to say goodbye first.
func (l *Launcher) open(ctx context.Context, p *pod) *conn {
	first := true
	stream := link.Call(context.WithoutCancel(ctx), link.Options{Resumed: func(at int64, cause error) {
		l.opts.Announce(fmt.Sprintf("node %s: the stream goes on at byte %d; it broke: %v", p.node, at, cause))
	}}, func(ctx context.Context) (io.ReadWriteCloser, error) {
		if !first {
			if err := l.lives(ctx, p); err != nil {
				return nil, err
			}
		}
		first = false
		return l.exec(ctx, p)
	})
	return &conn{Stream: stream, guest: p.guest, remove: func() { l.remove(context.Background(), p) }}
}

// Guest says that the agent does not see the node's processes.
func (c *conn) Guest() bool { return c.guest }

// Close ends the conversation and deletes the agent's Job. It may be called
// from several goroutines; all wait for the first.
func (c *conn) Close() error {
	c.once.Do(func() {
		_ = c.Stream.Close()
		c.remove()
	})
	return nil
}

// lives says why no other exec makes sense, if so: the container is gone.
func (l *Launcher) lives(ctx context.Context, p *pod) error {
	found, err := l.get(ctx, p)
	switch {
	case apierrors.IsNotFound(err):
		return link.Final(errors.New("the agent's pod is gone"))
	case err != nil:
		return nil // it may be there
	}
	if found.Status.Phase == corev1.PodFailed && found.Status.Reason != "" && !p.debug { // evicted, or past its deadline
		return link.Final(fmt.Errorf("the agent's pod ended: %s: %s", found.Status.Reason, printable(found.Status.Message)))
	}
	for _, c := range slices.Concat(found.Status.ContainerStatuses, found.Status.EphemeralContainerStatuses) {
		if t := c.State.Terminated; c.Name == p.container && t != nil {
			return link.Final(fmt.Errorf("the agent's container ended: %s, exit code %d %s", t.Reason, t.ExitCode, printable(t.Message)))
		}
	}
	if found.Status.Phase == corev1.PodFailed || found.Status.Phase == corev1.PodSucceeded {
		return link.Final(fmt.Errorf("the agent's pod ended: %s", found.Status.Phase))
	}
	return nil
}

// execStream is one exec stream.
type execStream struct {
	stdin  *io.PipeWriter
	stdout *io.PipeReader
	stop   context.CancelCauseFunc
}

// exec runs the agent's collect in the container.
func (l *Launcher) exec(ctx context.Context, p *pod) (io.ReadWriteCloser, error) {
	ex, err := l.executor(p, []string{p.rung.binary(), "collect"}, true)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	mute := time.AfterFunc(helloLimit, func() { stop(errMute) })
	go func() {
		stderr := &capped{limit: stderrCap}
		err := ex.StreamWithContext(quiet(ctx), remotecommand.StreamOptions{Stdin: inR, Stdout: &heard{w: outW, timer: mute}, Stderr: stderr})
		mute.Stop()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err = explain(err, stderr); errors.Is(err, collector.ErrDenied) {
			err = link.Final(err)
		}
		outW.CloseWithError(err) // nil: io.EOF
		inR.CloseWithError(errors.Join(io.ErrClosedPipe, err))
	}()
	return &execStream{stdin: inW, stdout: outR, stop: stop}, nil
}

func (c *execStream) Read(b []byte) (int, error)  { return c.stdout.Read(b) }
func (c *execStream) Write(b []byte) (int, error) { return c.stdin.Write(b) }

// Close may be called from several goroutines.
func (c *execStream) Close() error {
	c.stop(link.ErrClosed)
	c.stdout.Close()
	c.stdin.Close()
	return nil
}

// heard stops the timer at the first byte.
type heard struct {
	w     io.Writer
	timer *time.Timer
}

func (h *heard) Write(b []byte) (int, error) {
	if len(b) > 0 {
		h.timer.Stop()
	}
	return h.w.Write(b)
}

// capped keeps the first limit bytes and swallows the rest.
type capped struct {
	limit int
	mu    sync.Mutex
	buf   bytes.Buffer
}

func (c *capped) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.Write(b[:min(len(b), c.limit-c.buf.Len())])
	return len(b), nil
}

func (c *capped) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf.Bytes())
}

// explain adds what the command said to the error that it ended with.
func explain(err error, stderr *capped) error {
	if err == nil {
		return nil
	}
	if apierrors.IsForbidden(err) {
		return denied("exec into the agent's pod: %w; grant create on pods/exec", err)
	}
	if text := printable(string(stderr.Bytes())); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// printable makes text of a node fit for one line on a terminal.
func printable(s string) string {
	const limit = 600
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
	if s = strings.TrimSpace(s); len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + " …"
	}
	return s
}
