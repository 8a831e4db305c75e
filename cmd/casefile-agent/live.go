package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/node"
)

// live sends the captures of the plan as they come, and nothing else. They are
// cut by the payload policy before they leave the node, as in a bundle.
func live(ctx context.Context, plan agent.Plan, s agent.Session, redactor *redact.Redactor, spool string) (agent.End, error) {
	spaces, unknown := node.Namespaces("/proc", nodePods(plan.Pods))
	list := captures(plan, spaces, unknown, func() {}, spool, s.Trigger())
	collector.Run(ctx, liveSink{&pieces{w: s.Frames()}, redactor}, list, collector.Options{Progress: s.Progress, Recorded: s.Record})
	return agent.End{Redaction: redactor.Counts()}, nil
}

// liveSink sends captures in pieces. Their summaries are in the results, too.
type liveSink struct {
	pieces   *pieces
	redactor *redact.Redactor
}

func (s liveSink) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	if !strings.HasSuffix(path, ".pcapng") {
		return io.Copy(io.Discard, r)
	}
	out := capture.NewLive(piece{s.pieces, path})
	n, err := io.Copy(out, s.redactor.Reader(path, r))
	return n, errors.Join(err, out.Close())
}

func (s liveSink) Frames([]string, io.Reader) error {
	return errors.New("an agent takes no frames of others")
}

// pieces go out one behind the other.
type pieces struct {
	mu sync.Mutex
	w  io.Writer
}

// piece writes those of one capture.
type piece struct {
	*pieces
	path string
}

func (p piece) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := agent.WritePiece(p.w, p.path, b); err != nil {
		return 0, err
	}
	return len(b), nil
}
