package launch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ways to bring an agent onto a node.
const (
	ViaAuto  = "auto"  // Jobs, or pods where those are forbidden
	ViaJob   = "job"   // one Job a node, which the cluster removes even when nobody else does
	ViaPod   = "pod"   // one pod a node; it ends by itself, but stays listed until it is deleted
	ViaDebug = "debug" // a debug container in a pod that is there; it cannot be removed, and sees less
)

var errNoJobs = errors.New("not allowed")

// enforceLabel is what a namespace says of the pods that it lets in.
const enforceLabel = "pod-security.kubernetes.io/enforce"

// way is the one in use; auto begins with Jobs.
func (l *Launcher) way() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.via == ViaAuto {
		return ViaJob
	}
	return l.via
}

func (l *Launcher) setWay(via string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.via = via
}

// needs are the verbs that a way takes.
func needs(via string) []authorizationv1.ResourceAttributes {
	exec := authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "exec"}
	list := authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods"}
	switch via {
	case ViaPod:
		return []authorizationv1.ResourceAttributes{{Verb: "create", Resource: "pods"}, {Verb: "get", Resource: "pods"}, {Verb: "delete", Resource: "pods"}, list, exec}
	case ViaDebug:
		return []authorizationv1.ResourceAttributes{{Verb: "patch", Resource: "pods", Subresource: "ephemeralcontainers"}, {Verb: "get", Resource: "pods"}, list, exec}
	}
	return []authorizationv1.ResourceAttributes{{Verb: "create", Group: "batch", Resource: "jobs"}, {Verb: "delete", Group: "batch", Resource: "jobs"}, list, exec}
}

// allowed asks the API server what it would refuse, before anything is made,
// and settles the way.
func (l *Launcher) allowed(ctx context.Context) error {
	missing := l.missing(ctx, l.way())
	if len(missing) > 0 && l.opts.Via == ViaAuto && len(l.missing(ctx, ViaPod)) == 0 {
		l.opts.Announce("Jobs may not be made in namespace " + l.opts.Namespace + ", but pods may: so it is done")
		l.setWay(ViaPod)
		return nil
	}
	if len(missing) > 0 {
		hint := ""
		if l.opts.Via == ViaAuto && len(l.missing(ctx, ViaDebug)) == 0 {
			hint = ", or see less through debug containers with --agent-via debug"
		}
		return denied("you may not %s in namespace %s; ask for these rights, or name another namespace with --agent-namespace, or leave the nodes out with --nodes none%s",
			strings.Join(missing, ", "), l.opts.Namespace, hint)
	}
	l.fixed.Store(!l.may(ctx, authorizationv1.ResourceAttributes{Verb: "patch", Group: "batch", Resource: "jobs"}))
	return nil
}

func (l *Launcher) missing(ctx context.Context, via string) []string {
	var missing []string
	for _, a := range needs(via) {
		if !l.may(ctx, a) {
			missing = append(missing, strings.TrimSuffix(a.Verb+" "+a.Resource+"/"+a.Subresource, "/"))
		}
	}
	return missing
}

// may asks whether the user may do it in the agents' namespace. Who cannot
// ask finds out by trying.
func (l *Launcher) may(ctx context.Context, a authorizationv1.ResourceAttributes) bool {
	ctx, cancel := call(ctx)
	defer cancel()
	a.Namespace = l.opts.Namespace
	r, err := l.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}, metav1.CreateOptions{})
	return err != nil || r.Status.Allowed
}

// withoutJobs goes on with pods when the making of a Job was refused, which
// the user agrees to first: later nobody watches the terminal.
func (l *Launcher) withoutJobs(ctx context.Context, n node, refusal error) error {
	l.mu.Lock()
	asking := l.asking
	l.mu.Unlock()
	if !asking && l.opts.Confirm != nil {
		return refusal
	}
	l.opts.Announce(fmt.Sprintf("node %s: %v", n.name, refusal))
	if err := l.confirm(ctx, Intent{Namespace: l.opts.Namespace, RunID: l.opts.RunID, Nodes: []string{n.name}, Via: ViaPod, Limited: l.opts.Unprivileged}); err != nil {
		return err
	}
	l.setWay(ViaPod)
	return nil
}

// createPod makes the pod of a node without a Job.
func (l *Launcher) createPod(ctx context.Context, node string, r rung) error {
	p := &corev1.Pod{ObjectMeta: l.meta(node), Spec: l.podSpec(node, r)}
	p.Spec.ActiveDeadlineSeconds = ptr(l.fullDeadline()) // it could only be shortened later
	return l.insist(ctx, "creating the agent's pod", func() error {
		ctx, cancel := call(ctx)
		defer cancel()
		_, err := l.client.CoreV1().Pods(l.opts.Namespace).Create(ctx, p, metav1.CreateOptions{})
		if err == nil || touches(err) {
			l.touched.Store(true)
		}
		return err
	})
}

// level is the pod security level that a refusal speaks of, or empty.
func level(message string) string {
	_, after, ok := strings.Cut(message, `violates PodSecurity "`)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(after, `"`)
	name, _, _ = strings.Cut(name, ":")
	return printable(name)
}

// restricted says what a namespace with a pod security level needs.
func (l *Launcher) restricted(level, message string) error {
	if message != "" {
		message = " (" + printable(message) + ")"
	}
	return denied("namespace %s keeps the agent's pod out: it has the label %s=%s and the pod must be privileged; name a namespace without that label with --agent-namespace, such as kube-system, or have it set to privileged%s",
		l.opts.Namespace, enforceLabel, level, message)
}
