package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// strictReplay stands in for agents under strict redaction. The recorded
// streams were redacted by the standard policy and say what the nodes are
// called: what they hold passes strict redaction here, as on the node.
type strictReplay struct {
	files fs.FS
	top   string // that was recorded
}

// Dial implements [agent.Dialer].
func (r strictReplay) Dial(ctx context.Context, node string) (io.ReadWriteCloser, error) {
	b, err := fs.ReadFile(r.files, node+".stream")
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	caller, callee := net.Pipe()
	go func() {
		defer callee.Close()
		_ = agent.Serve(ctx, callee, callee, agent.Hello{Agent: version}, func(ctx context.Context, p agent.Plan, s agent.Session) (agent.End, error) {
			return r.work(ctx, b, p, s)
		}) // the caller hears of what goes wrong
	}()
	return caller, nil
}

// work is that of an agent, done on what one sent before.
func (r strictReplay) work(ctx context.Context, stream []byte, plan agent.Plan, s agent.Session) (agent.End, error) {
	key, names, err := agentSecrets(plan)
	if err != nil {
		return agent.End{}, err
	}
	redactor, err := redact.New(redact.PolicyStrict, redact.Options{Payload: plan.Payload, Key: key, Names: names})
	if err != nil {
		return agent.End{}, err
	}
	fragment, err := bundle.NewFragment(s.Frames(), bundle.Options{Top: plan.Top, Time: plan.Time, Redactor: redactor})
	if err != nil {
		return agent.End{}, err
	}
	frames, recorded, err := readStream(bytes.NewReader(stream), s)
	if err != nil {
		return agent.End{}, err
	}
	old, err := r.open(frames, plan)
	if err != nil {
		return agent.End{}, err
	}
	for _, f := range old.Files() {
		if ctx.Err() != nil {
			return agent.End{}, context.Cause(ctx)
		}
		if err := copyEntry(fragment, old, f.Path); err != nil {
			return agent.End{}, err
		}
	}
	redactor.Add(recorded.Redaction)
	end := agent.End{Redaction: redactor.Counts()}
	end.SetPseudonyms(redactor.Pseudonyms())
	return end, fragment.Close()
}

func copyEntry(dst *bundle.Fragment, src *bundle.Reader, name string) error {
	f, err := src.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	class := bundle.ClassNodes
	if strings.HasPrefix(name, "captures/") {
		class = bundle.ClassCaptures
	} else if strings.Contains(name, "/logs/") {
		class = bundle.ClassLogs
	}
	_, err = dst.Put(name, class, f)
	return err
}

// readStream takes a recorded stream apart: frames are gathered, results go
// to s.
func readStream(r io.Reader, s agent.Session) (frames []byte, end agent.End, err error) {
	for {
		kind, payload, err := agent.ReadRecord(r)
		if err != nil {
			return nil, end, fmt.Errorf("sample: %w", err)
		}
		switch kind {
		case agent.KindFrames:
			frames = append(frames, payload...)
		case agent.KindResult:
			var res collector.Result
			if err := json.Unmarshal(payload, &res); err != nil {
				return nil, end, fmt.Errorf("sample: %w", err)
			}
			s.Record(res)
		case agent.KindEnd:
			return frames, end, json.Unmarshal(payload, &end)
		default: // hello, progress, keepalives
		}
	}
}

// open makes the recorded frames readable.
func (r strictReplay) open(frames []byte, plan agent.Plan) (*bundle.Reader, error) {
	standard, err := redact.New(redact.PolicyStandard, redact.Options{Payload: plan.Payload})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := bundle.NewWriter(&b, bundle.Options{Top: r.top, Time: plan.Time, Redactor: standard})
	if err != nil {
		return nil, err
	}
	if err := w.Frames(plan.Prefixes, bytes.NewReader(frames)); err != nil {
		return nil, err
	}
	if _, err := w.Close(bundle.Info{}, nil); err != nil {
		return nil, err
	}
	return bundle.OpenUnverified(bytes.NewReader(b.Bytes()), int64(b.Len()))
}

// agentSecrets reads what strict redaction needs out of a plan.
func agentSecrets(plan agent.Plan) (pseudonym.Key, []pseudonym.Name, error) {
	var key pseudonym.Key
	if len(plan.Key) != len(key) {
		return key, nil, errors.New("the plan asks for strict redaction without its key")
	}
	key = pseudonym.Key(plan.Key)
	var names []pseudonym.Name
	for kind, values := range plan.Names {
		for _, v := range values {
			names = append(names, pseudonym.Name{Kind: pseudonym.Kind(kind), Value: v})
		}
	}
	return key, names, nil
}
