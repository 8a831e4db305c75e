package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/casefile-io/casefile/collector"
)

// Caps on what one agent may say.
const (
	maxResults   = 20_000
	maxProgress  = 100_000
	maxUnknown   = 1_000 // records of unknown kind or with bad JSON
	maxJSON      = 64 << 10
	maxReason    = 1 << 10
	maxPath      = 4 << 10
	maxRules     = 1_000    // of End.Redaction
	framesMargin = 16 << 20 // frames may exceed the plan's bytes by their own overhead
	maxObserved  = 20_000   // rows of probes
	maxObservedB = 16 << 20 // and their bytes
)

// router takes the records of one agent to where they belong.
type router struct {
	plan Plan
	out  *collector.Output

	pipe    *io.PipeWriter // nil until the first frames
	frames  chan error     // what out.Frames returned
	refused chan struct{}  // closed when out.Frames failed

	results                                  []collector.Result
	dropped, progress, unknown, resultsHeard int
	frameBytes, observedBytes                int64
	observed                                 int
}

func newRouter(plan Plan, out *collector.Output) *router {
	return &router{plan: plan, out: out, frames: make(chan error, 1), refused: make(chan struct{})}
}

// route handles one record; an error ends the conversation.
func (r *router) route(kind Kind, payload []byte) error {
	switch kind {
	case KindKeepalive:
		return nil
	case KindFrames:
		return r.feed(payload)
	case KindResult:
		var res collector.Result
		if len(payload) > maxJSON || json.Unmarshal(payload, &res) != nil {
			return r.junk(kind)
		}
		r.result(res)
		return nil
	case KindObserved:
		return r.observe(payload)
	case KindProgress:
		var p collector.Progress
		if len(payload) > maxJSON || json.Unmarshal(payload, &p) != nil {
			return r.junk(kind)
		}
		r.report(p)
		return nil
	default:
		return r.junk(kind) // maybe of a later version
	}
}

func (r *router) junk(kind Kind) error {
	r.unknown++
	if r.unknown > maxUnknown {
		return fmt.Errorf("%w: more than %d records that make no sense, the last of kind %q", ErrProtocol, maxUnknown, byte(kind))
	}
	return nil
}

// feed passes frames on. Whatever happens to them, they are read to the end,
// so that the agent is never stuck.
func (r *router) feed(payload []byte) error {
	r.frameBytes += int64(len(payload))
	if r.plan.MaxBytes > 0 && r.frameBytes > r.plan.MaxBytes+framesMargin {
		return fmt.Errorf("%w: the agent sent more than the %d bytes of its plan", collector.ErrOverBudget, r.plan.MaxBytes)
	}
	if r.pipe == nil {
		var pr *io.PipeReader
		pr, r.pipe = io.Pipe()
		go r.consume(pr)
	}
	_, err := r.pipe.Write(payload)
	return err
}

func (r *router) consume(pr *io.PipeReader) {
	err := r.storeFrames(pr)
	if err != nil {
		close(r.refused)
	}
	if n, _ := io.Copy(io.Discard, pr); n > 0 && err == nil {
		err = fmt.Errorf("%w: %d bytes after the last frame", ErrProtocol, n)
	}
	r.frames <- err
}

func (r *router) storeFrames(pr *io.PipeReader) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("agent frames: panic: %v", p)
		}
	}()
	return r.out.Frames(r.plan.Prefixes, pr)
}

func (r *router) result(res collector.Result) {
	r.resultsHeard++
	if len(r.results) >= maxResults {
		r.dropped++
		return
	}
	r.results = append(r.results, r.vet(res))
}

// vet makes a result of a hostile agent harmless.
func (r *router) vet(res collector.Result) collector.Result {
	res.Reason = clean(res.Reason, maxReason)
	res.Path = clean(res.Path, maxPath)
	if !r.ownSource(res.Source) {
		res.Source = "node/" + r.plan.Node
	}
	if res.Path != "" && !below(r.plan.Prefixes, res.Path) {
		res.Path, res.Status, res.Reason = "", collector.StatusFailed, "the agent named a path outside its own folders"
	}
	switch res.Status {
	case collector.StatusOK, collector.StatusPartial, collector.StatusDenied, collector.StatusFailed, collector.StatusSkipped, collector.StatusOverBudget:
	default:
		res.Status, res.Reason = collector.StatusFailed, "the agent gave no known status: "+clean(string(res.Status), 32)
	}
	res.Bytes, res.Millis = max(res.Bytes, 0), max(res.Millis, 0)
	return res
}

func (r *router) ownSource(s string) bool {
	if s == "node/"+r.plan.Node {
		return true
	}
	for _, c := range r.plan.Captures {
		if s == "capture/"+c.Target || s == "capture/"+c.Name {
			return true
		}
	}
	for _, p := range r.plan.Probes {
		if s == p.Source() {
			return true
		}
	}
	return false
}

// below says whether path is, or lies below, one of the prefixes: folders, or,
// ending in __, beginnings of file names.
func below(prefixes []string, path string) bool {
	for _, p := range prefixes {
		if strings.HasSuffix(p, "__") && strings.HasPrefix(path, p) && !strings.Contains(path[len(p):], "/") {
			return true
		}
		if path == strings.TrimSuffix(p, "/") || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") {
			return true
		}
	}
	return false
}

func (r *router) report(p collector.Progress) {
	r.progress++
	if r.progress > maxProgress || p.Phase != "captures" {
		return
	}
	p.Note = clean(p.Note, 200)
	p.Done, p.Total, p.Bytes = max(p.Done, 0), max(p.Total, 0), max(p.Bytes, 0)
	p.Phase += " " + r.plan.Node // each node counts for itself
	r.out.Progress(p)
}

// end reads the end record.
func (r *router) end(payload []byte) (End, error) {
	var e End
	if err := json.Unmarshal(payload, &e); err != nil {
		return End{}, fmt.Errorf("%w: end record: %w", ErrProtocol, err)
	}
	e.Error = clean(e.Error, maxReason)
	if len(e.Redaction) > maxRules {
		return End{}, fmt.Errorf("%w: end record: redactions by %d rules", ErrProtocol, len(e.Redaction))
	}
	rules := make(map[string]int, len(e.Redaction))
	for rule, n := range e.Redaction {
		rules[clean(rule, 100)] += max(n, 0)
	}
	e.Redaction = rules
	omitted := max(e.Omitted, 0)
	e.SetPseudonyms(e.Pseudonyms) // an agent is held to what it should have kept to itself
	e.Omitted += omitted
	if len(e.Pseudonyms) == 0 {
		e.Pseudonyms = nil
	}
	if e.Results > r.resultsHeard {
		return e, fmt.Errorf("%w: %d of its %d results came", ErrIncomplete, r.resultsHeard, e.Results)
	}
	return e, nil
}

// finish ends the frames, records the results and returns the error of the
// frames. talk is what the conversation itself ended with.
func (r *router) finish(talk error) error {
	var frames error
	if r.pipe != nil {
		refused := isClosed(r.refused)
		if talk != nil {
			r.pipe.CloseWithError(io.ErrUnexpectedEOF)
		} else {
			r.pipe.Close()
		}
		if frames = <-r.frames; talk != nil && !refused {
			frames = nil // only the echo of a broken stream
		}
	}
	for _, res := range r.results {
		if res.Status == collector.StatusOK && frames != nil {
			res.Status, res.Reason = collector.StatusFailed, "the agent's frames were refused: "+clean(frames.Error(), maxReason)
		} else if res.Status == collector.StatusOK && talk != nil {
			res.Status, res.Reason = collector.StatusPartial, "the agent's stream broke; this may not have arrived"
		}
		r.out.Record(res)
	}
	if r.dropped > 0 {
		r.out.Record(collector.Result{Source: "node/" + r.plan.Node, Status: collector.StatusPartial,
			Reason: fmt.Sprintf("%d more results than the %d that an agent may give", r.dropped, maxResults)})
	}
	return frames
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// clean bounds a text of the agent and takes out what could steer a terminal.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Bidi_Control, c) {
			return ' '
		}
		return c
	}, s), "")
}
