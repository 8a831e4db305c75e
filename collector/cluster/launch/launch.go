// Package launch brings the node agent onto nodes of a cluster and opens the
// conversations with it.
//
// # How an agent gets onto a node
//
// One Job a node, in a namespace that is there already; no namespace,
// ServiceAccount or RBAC object is ever made. The image is found by a ladder
// that is tried on one node before all the others ([Launcher.Prepare]):
//
//  1. the image that was given,
//  2. the default name, which somebody loaded onto the nodes,
//  3. an image that is on the node already and has a shell: the agent is
//     streamed into an emptyDir of its pod and started from there,
//  4. else it stops within seconds, with the commands that load the image.
//
// Where Jobs are forbidden but pods are not, it is a pod a node (Options.Via).
// Where only debug containers are allowed, and the user asked for them, the
// agent is one, in a pod that shares the node's network: it sees neither the
// node's processes nor, with that, the namespaces of its pods, which the
// node's result says.
//
// # How it goes away
//
// Closing a connection deletes its Job, and [Launcher.Cleanup] whatever else
// carries the label of the run. When nobody can do that any more, because the
// command line was killed, the agent ends a minute after the last connection
// to it broke, and the Job's time to live removes the rest a minute later. Pods
// bound to a kubelet that is dead are deleted by force.
//
// # When the way to a node breaks
//
// The agent keeps what was not acknowledged yet, and the exec stream is made
// again for as long as its container lives: see collector/agent/link.
//
// # Bounds
//
// A node has [silentLimit] to say anything at all and Options.Start to run the
// agent; then it alone has failed. Nothing waits for all nodes together.
package launch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
)

// Errors of this package. A refusal by the API server also is a
// [collector.ErrDenied].
var (
	// ErrNoAgent: no rung of the ladder holds. Its text ends with what to do.
	ErrNoAgent = errors.New("no agent image")
	// ErrNode: this node did not start the agent; others may.
	ErrNode = errors.New("the node did not start the agent")
	// ErrDeclined: the user did not want agents.
	ErrDeclined = errors.New("declined: no agents on nodes")
)

// Options of [New].
type Options struct {
	Image        string                            // --agent-image; may be empty
	DefaultImage string                            // the name that loaded images have, casefile.local/agent:<version>
	Namespace    string                            // default kube-system
	Binary       func(arch string) ([]byte, error) // the agent for amd64 or arm64; nil: no third rung
	Timeout      time.Duration                     // for the work on a node; default 10 minutes
	Start        time.Duration                     // for a node to run the agent, pulling included; default 60 s
	RunID        string                            // [a-z0-9]{4,16}; default random
	Via          string                            // ViaAuto (default), ViaJob, ViaPod or ViaDebug
	Unprivileged bool                              // capabilities rather than privileged containers; the kernel's log is lost
	Labels       map[string]string                 // further labels of Jobs and pods

	// Confirm is asked once before anything is created; nil means yes.
	Confirm func(context.Context, Intent) (bool, error)
	// Announce hears what the ladder does, a line a time; may be nil.
	Announce func(string)
}

// Launcher starts agents. It is an agent.Dialer, safe for concurrent use.
type Launcher struct {
	client clients
	config *rest.Config
	opts   Options
	shells func(context.Context, node) (known, foreign []string, err error) // candidates of the third rung, best first

	touched  atomic.Bool // something may have been created
	fixed    atomic.Bool // Jobs may not be patched
	prepare  sync.Once
	prepared error

	mu     sync.Mutex
	choice *rung            // what worked on the node that was tried first
	warm   map[string]*pod  // started by a probe and not yet dialed
	broken map[string]error // nodes whose probe failed
	asking bool             // Prepare is under way: the user may still be asked
	via    string           // the way in use
}

var runID = regexp.MustCompile(`^[a-z0-9]{4,16}$`)

// New makes a Launcher. config is copied.
func New(config *rest.Config, o Options) (*Launcher, error) {
	if o.Namespace == "" {
		o.Namespace = "kube-system"
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Minute
	}
	if o.Start <= 0 {
		o.Start = 60 * time.Second
	}
	switch o.Via {
	case "":
		o.Via = ViaAuto
	case ViaAuto, ViaJob, ViaPod, ViaDebug:
	default:
		return nil, fmt.Errorf("there is no way %q to bring agents onto nodes: want %s, %s, %s or %s", o.Via, ViaAuto, ViaJob, ViaPod, ViaDebug)
	}
	if o.RunID == "" {
		o.RunID = NewRunID()
	}
	if !runID.MatchString(o.RunID) {
		return nil, fmt.Errorf("run id %q: want 4 to 16 of a-z and 0-9", o.RunID)
	}
	if o.Announce == nil {
		o.Announce = func(string) {}
	}
	c := rest.CopyConfig(config)
	c.Timeout = 0                                                          // would cut conversations; each call has a deadline of its own
	c.WarningHandler, c.WarningHandlerWithContext = rest.NoWarnings{}, nil // what matters comes back as an error
	if c.QPS == 0 {
		c.QPS, c.Burst = 50, 100
	}
	client, err := newClients(c)
	if err != nil {
		return nil, err
	}
	l := &Launcher{client: client, config: c, opts: o, via: o.Via, warm: map[string]*pod{}, broken: map[string]error{}}
	l.shells = l.nodeShells
	return l, nil
}

// clients are the three API groups that launching needs. client-go's own
// clientset holds all forty, and weighs on every binary that links it.
type clients struct {
	core          *corev1.CoreV1Client
	batch         *batchv1.BatchV1Client
	authorization *authorizationv1.AuthorizationV1Client
}

func newClients(c *rest.Config) (clients, error) {
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		return clients{}, err
	}
	var k clients
	var errs [3]error
	k.core, errs[0] = corev1.NewForConfigAndClient(c, h)
	k.batch, errs[1] = batchv1.NewForConfigAndClient(c, h)
	k.authorization, errs[2] = authorizationv1.NewForConfigAndClient(c, h)
	return k, errors.Join(errs[:]...)
}

func (k clients) CoreV1() corev1.CoreV1Interface    { return k.core }
func (k clients) BatchV1() batchv1.BatchV1Interface { return k.batch }
func (k clients) AuthorizationV1() authorizationv1.AuthorizationV1Interface {
	return k.authorization
}

// NewRunID gives a random run id.
func NewRunID() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// RunID is the value of the label [LabelRun] of all that l creates.
func (l *Launcher) RunID() string { return l.opts.RunID }

// callTimeout bounds one call to the API server.
const callTimeout = 15 * time.Second

func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// detached outlives ctx for d: what cleans up must not end with what it cleans.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// sleep waits until it is time to ask again, or for the end of ctx, whose
// error it returns.
func sleep(ctx context.Context) error {
	t := time.NewTimer(pollEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// denied marks a refusal, so that the result of the node says denied.
func denied(format string, args ...any) error {
	return fmt.Errorf("%w: %w", collector.ErrDenied, fmt.Errorf(format, args...))
}
