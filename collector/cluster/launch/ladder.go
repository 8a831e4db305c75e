package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/casefile-io/casefile/collector"
)

const (
	maxProbes = 3                // nodes tried before each is left to itself
	warmLife  = 40 * time.Second // a probe's pod serves a dial this long; its agent waits 60 s
)

// localHost begins the names of images that no registry has: they are loaded
// onto nodes, and pulling them only wastes time.
const localHost = "casefile.local/"

// Prepare does once what comes before all nodes: it looks whether the API
// server would allow it, asks Confirm, and tries the ladder on one node
// (on a second and third when the first ones are broken themselves). After
// [ErrNoAgent], [ErrDeclined] or [collector.ErrDenied] no node can be
// dialed. Later calls return the result of the first.
func (l *Launcher) Prepare(ctx context.Context, nodes []string) error {
	l.prepare.Do(func() { l.prepared = l.prepareOnce(ctx, nodes) })
	return l.prepared
}

func (l *Launcher) prepareOnce(ctx context.Context, nodes []string) error {
	if len(nodes) == 0 {
		return nil
	}
	if err := l.allowed(ctx); err != nil {
		return err
	}
	if err := l.confirm(ctx, Intent{Namespace: l.opts.Namespace, RunID: l.opts.RunID, Nodes: nodes, Images: l.named(), Via: l.way(), Limited: l.opts.Unprivileged}); err != nil {
		return err
	}
	l.setAsking(true)
	defer l.setAsking(false)
	for _, name := range l.likely(ctx, nodes) {
		err := l.Probe(ctx, name)
		if err == nil || errors.Is(err, ErrNoAgent) || errors.Is(err, collector.ErrDenied) || errors.Is(err, ErrDeclined) || ctx.Err() != nil {
			return err
		}
		l.opts.Announce(fmt.Sprintf("node %s: %v", name, err))
		l.mu.Lock()
		l.broken[name] = err
		l.mu.Unlock()
	}
	return nil // each node is left to itself
}

func (l *Launcher) setAsking(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = on
}

// Probe climbs the ladder on one node. The agent that runs in the end waits
// for a Dial of that node.
func (l *Launcher) Probe(ctx context.Context, name string) error {
	p, err := l.climb(ctx, name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.choice == nil {
		l.choice = &p.rung
	}
	l.warm[name] = p
	return nil
}

// Dial starts the agent on a node and opens the conversation with it. Closing
// the connection deletes the node's Job. ctx bounds the start alone.
func (l *Launcher) Dial(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	l.mu.Lock()
	p, err := l.warm[name], l.broken[name]
	delete(l.warm, name)
	delete(l.broken, name)
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if p != nil && time.Since(p.born) > warmLife {
		l.remove(ctx, p)
		p = nil
	}
	if p == nil {
		if p, err = l.climb(ctx, name); err != nil {
			return nil, err
		}
	}
	return l.open(ctx, p), nil
}

// climb runs the agent on a node by the first rung that holds, beginning with
// the one that held before.
func (l *Launcher) climb(ctx context.Context, name string) (*pod, error) {
	n, err := l.node(ctx, name)
	if err != nil {
		return nil, err
	}
	var notes []string
	for _, r := range l.rungs() {
		p, _, err := l.start(ctx, n, r)
		if err == nil {
			return p, nil
		}
		if !isImage(err) {
			return nil, err
		}
		notes = append(notes, err.Error())
		l.opts.Announce(fmt.Sprintf("node %s: %v", name, err))
	}
	p, err := l.borrow(ctx, n)
	if err == nil || !isImage(err) {
		return p, err
	}
	return nil, fmt.Errorf("%w on node %s:\n  %s\n%s", ErrNoAgent, name, strings.Join(append(notes, err.Error()), "\n  "), l.help(n))
}

// rungs gives the named images, the one that held before first.
func (l *Launcher) rungs() []rung {
	l.mu.Lock()
	choice := l.choice
	l.mu.Unlock()
	if choice != nil && choice.shell {
		return nil // no named image is anywhere: nobody loads one meanwhile
	}
	var rs []rung
	if choice != nil {
		rs = append(rs, *choice)
	}
	for _, image := range l.named() {
		pull := corev1.PullIfNotPresent
		if strings.HasPrefix(image, localHost) {
			pull = corev1.PullNever
		}
		if choice == nil || !slices.Equal(choice.images, []string{image}) {
			rs = append(rs, rung{images: []string{image}, pull: pull})
		}
	}
	return rs
}

func (l *Launcher) named() []string {
	var names []string
	for _, image := range []string{l.opts.Image, l.opts.DefaultImage} {
		if image != "" && !slices.Contains(names, image) {
			names = append(names, image)
		}
	}
	return names
}

// likely picks the nodes to probe: those first that seem alive.
func (l *Launcher) likely(ctx context.Context, names []string) []string {
	ctx, cancel := call(ctx)
	defer cancel()
	list, err := l.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	var alive, rest []string
	if err == nil {
		for i := range list.Items {
			n := &list.Items[i]
			if slices.Contains(names, n.Name) && ready(n) == corev1.ConditionTrue && supported(n.Labels) {
				alive = append(alive, n.Name)
			}
		}
	}
	for _, name := range names {
		if !slices.Contains(alive, name) {
			rest = append(rest, name)
		}
	}
	all := append(alive, rest...)
	return all[:min(len(all), maxProbes)]
}

// node is what the ladder wants to know of a node.
type node struct {
	name, arch, runtime, kubelet string
	images                       []string
	unknown                      bool // the control plane hears nothing from it
	status                       string
}

func (l *Launcher) node(ctx context.Context, name string) (node, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	n, err := l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return node{name: name}, nil // the named images need no more than the name
	case err != nil:
		return node{}, fmt.Errorf("%w: %w", ErrNode, err)
	}
	if !supported(n.Labels) {
		return node{}, fmt.Errorf("%w: %w: there is no agent for %s/%s", ErrNode, collector.ErrUnsupported, n.Labels[corev1.LabelOSStable], n.Labels[corev1.LabelArchStable])
	}
	info := node{name: name, arch: n.Status.NodeInfo.Architecture, runtime: n.Status.NodeInfo.ContainerRuntimeVersion, kubelet: n.Status.NodeInfo.KubeletVersion,
		unknown: ready(n) == corev1.ConditionUnknown}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			info.status = printable(c.Reason + ": " + c.Message)
		}
	}
	for _, image := range n.Status.Images {
		info.images = append(info.images, bestName(image.Names))
	}
	return info, nil
}

func (n node) has(image string) bool { return slices.Contains(n.images, image) }

func ready(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// supported tells by the node's labels whether there is an agent for it.
func supported(labels map[string]string) bool {
	os, arch := labels[corev1.LabelOSStable], labels[corev1.LabelArchStable]
	return (os == "" || os == "linux") && (arch == "" || arch == "amd64" || arch == "arm64")
}
