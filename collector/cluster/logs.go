package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/casefile-io/casefile/collector"
)

const (
	logsPath      = "cluster/logs"
	logTimeout    = 20 * time.Second // of one log: a dead kubelet must not hold up the rest
	logSlack      = 4                // the server may send so many times what is kept, to reach the newest
	bytesPerLine  = 64               // guess that turns bytes into lines to ask for
	maxNodeErrors = 2                // then the node's other logs are left out
)

// The ranks of logs, most interesting first.
const (
	rankSuspect = iota // not ready, failed or restarted
	rankSystem         // kube-system
	rankOther
)

// logRef names one log.
type logRef struct {
	namespace, pod, container, node string
	previous                        bool
	rank                            int
}

func (r logRef) path() string {
	p := logsPath + "/" + r.namespace + "/" + r.pod + "/" + r.container
	if r.previous {
		p += ".previous"
	}
	return p + ".log"
}

// podLogs is what the list of pods says about logs.
type podLogs struct {
	only   collector.Only
	mu     sync.Mutex
	refs   []logRef
	silent []collector.Result // containers that never started
}

func (p *podLogs) add(it item) {
	pod, ok := it.object.(*corev1.Pod)
	if !ok {
		pod = new(corev1.Pod)
		if json.Unmarshal(it.raw, pod) != nil {
			return // a pod that is none has no logs; the object itself is kept as it is
		}
	}
	if !safeName(pod.Namespace) || !safeName(pod.Name) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for _, s := range statuses {
			p.addContainer(pod, s)
		}
	}
}

func (p *podLogs) addContainer(pod *corev1.Pod, s corev1.ContainerStatus) {
	if !safeName(s.Name) {
		return
	}
	ref := logRef{namespace: pod.Namespace, pod: pod.Name, container: s.Name, node: pod.Spec.NodeName, rank: rankOf(pod.Namespace, s)}
	before := ref
	before.previous = true
	if !p.only.Wants(ref.path()) && !p.only.Wants(before.path()) {
		return
	}
	if s.State.Running == nil && s.State.Terminated == nil && s.LastTerminationState.Terminated == nil {
		reason := "the container never started"
		if s.State.Waiting != nil && s.State.Waiting.Reason != "" {
			reason += ": " + s.State.Waiting.Reason
		}
		p.silent = append(p.silent, collector.Result{Source: Source, Path: ref.path(), Status: collector.StatusSkipped, Reason: reason})
		return
	}
	if p.only.Wants(ref.path()) {
		p.refs = append(p.refs, ref)
	}
	if s.RestartCount > 0 && p.only.Wants(before.path()) {
		p.refs = append(p.refs, before)
	}
}

func rankOf(namespace string, s corev1.ContainerStatus) int {
	finished := s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
	switch {
	case s.RestartCount > 0, !s.Ready && !finished:
		return rankSuspect
	case namespace == "kube-system":
		return rankSystem
	}
	return rankOther
}

// logRun is the state of one collection of logs.
type logRun struct {
	c   *Cluster
	out *collector.Output

	mu     sync.Mutex
	used   int64
	left   int            // logs left out for lack of room
	denied map[string]int // by namespace: logs not asked for after the first denial
	nodes  map[string]*nodeErrors
	over   bool
}

type nodeErrors struct {
	failures, left int
	last           string
}

func (c *Cluster) collectLogs(ctx context.Context, pods *podLogs, out *collector.Output) {
	run := &logRun{c: c, out: out, denied: map[string]int{}, nodes: map[string]*nodeErrors{}}
	refs := pods.refs
	slices.SortStableFunc(refs, func(a, b logRef) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.pod, b.pod))
	})
	if c.logs.suspectsOnly {
		refs = slices.DeleteFunc(refs, func(r logRef) bool { return r.rank > rankSystem })
	}
	for _, r := range pods.silent {
		out.Record(r)
	}
	var done int
	parallel(c.opts.Parallel, refs, func(ref logRef) {
		run.one(ctx, ref)
		run.mu.Lock()
		done++
		p := collector.Progress{Phase: "logs", Done: done, Total: len(refs), Bytes: run.used}
		run.mu.Unlock()
		out.Progress(p)
	})
	run.summarise(ctx)
}

// wanted says whether a log is still worth asking for, and counts it if not.
func (r *logRun) wanted(ctx context.Context, ref logRef) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || ctx.Err() != nil || r.used >= r.c.logs.total {
		r.left++
		return false
	}
	if _, ok := r.denied[ref.namespace]; ok {
		r.denied[ref.namespace]++
		return false
	}
	if n := r.nodes[ref.node]; n != nil && n.failures >= maxNodeErrors {
		n.left++
		return false
	}
	return true
}

func (r *logRun) one(ctx context.Context, ref logRef) {
	if !r.wanted(ctx, ref) {
		return
	}
	start := time.Now()
	text, cut, err := r.c.fetchLog(ctx, ref)
	if err != nil {
		r.failed(ctx, ref, err, time.Since(start))
		return
	}
	if err := r.out.Put(Source, ref.path(), collector.ClassLogs, bytes.NewReader(text)); err != nil {
		r.mu.Lock()
		r.over = r.over || errors.Is(err, collector.ErrOverBudget)
		r.mu.Unlock()
		return
	}
	if cut {
		r.out.Record(collector.Result{Source: Source, Path: ref.path(), Status: collector.StatusPartial, Reason: "the newest lines did not fit"})
	}
	r.mu.Lock()
	r.used += int64(len(text))
	r.mu.Unlock()
}

// failed sorts an error: one denial stands for a namespace, a kubelet that
// does not answer for its node.
func (r *logRun) failed(ctx context.Context, ref logRef, err error, took time.Duration) {
	if ctx.Err() != nil {
		r.mu.Lock()
		r.left++
		r.mu.Unlock()
		return
	}
	code := statusCode(err)
	res := failed(ref.path(), err)
	res.Millis = took.Milliseconds()
	switch {
	case res.Status == collector.StatusDenied:
		r.mu.Lock()
		_, known := r.denied[ref.namespace]
		r.denied[ref.namespace]++
		r.mu.Unlock()
		if known {
			return
		}
		res.Path = logsPath + "/" + ref.namespace
	case code == http.StatusBadRequest:
		res.Status = collector.StatusSkipped // no such instance of the container
	case code == 0 || code >= http.StatusInternalServerError:
		r.mu.Lock()
		n := r.nodes[ref.node]
		if n == nil {
			n = &nodeErrors{}
			r.nodes[ref.node] = n
		}
		n.failures, n.last = n.failures+1, err.Error()
		r.mu.Unlock()
	}
	r.out.Record(res)
}

// summarise records what was not asked for.
func (r *logRun) summarise(ctx context.Context) {
	for node, n := range r.nodes {
		if n.left > 0 {
			r.out.Record(collector.Result{Source: Source, Path: logsPath, Status: collector.StatusFailed,
				Reason: fmt.Sprintf("node %s: %d more logs left out, since its kubelet does not answer: %s", node, n.left, n.last)})
		}
	}
	if r.left == 0 {
		return
	}
	res := collector.Result{Source: Source, Path: logsPath, Status: collector.StatusOverBudget,
		Reason: fmt.Sprintf("%d logs left out after %d bytes of logs (the most interesting came first; -n NAMESPACE narrows, --profile full widens)", r.left, r.used)}
	if err := context.Cause(ctx); err != nil {
		res.Status, res.Reason = collector.StatusPartial, fmt.Sprintf("%d logs left out: %v", r.left, err)
	}
	r.out.Record(res)
}

// fetchLog returns the newest bytes of a log, from the start of a line. cut
// says that the server had more, and newer, than it may send.
func (c *Cluster) fetchLog(ctx context.Context, ref logRef) (text []byte, cut bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, logTimeout, errors.New("the log did not come in time"))
	defer cancel()
	keep := c.logs.perContainer
	most := logSlack * keep
	query := url.Values{
		"container":  {ref.container},
		"timestamps": {"true"},
		"tailLines":  {strconv.FormatInt(max(keep/bytesPerLine, 100), 10)},
		"limitBytes": {strconv.FormatInt(most, 10)},
	}
	if ref.previous {
		query.Set("previous", "true")
	} else if c.opts.Since > 0 {
		query.Set("sinceSeconds", strconv.FormatInt(max(int64(c.opts.Since/time.Second), 1), 10))
	}
	path := "/api/v1/namespaces/" + ref.namespace + "/pods/" + ref.pod + "/log"
	err = c.client.do(ctx, path, query, "text/plain, */*", func(resp *http.Response) error {
		t := tail{keep: int(keep)}
		n, err := io.Copy(&t, io.LimitReader(resp.Body, most))
		text, cut = t.bytes(), n >= most
		return err
	})
	return text, cut, err
}

// tail keeps the last bytes written to it.
type tail struct {
	keep int
	buf  []byte
	lost bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > t.keep+t.keep/4+64<<10 {
		t.trim()
	}
	return len(p), nil
}

func (t *tail) trim() {
	if over := len(t.buf) - t.keep; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.lost = true
	}
}

// bytes returns what was kept, less a line whose start was lost.
func (t *tail) bytes() []byte {
	t.trim()
	if i := bytes.IndexByte(t.buf, '\n'); t.lost && i >= 0 {
		return t.buf[i+1:]
	}
	return t.buf
}
