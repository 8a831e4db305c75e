package launch

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	pollEvery   = 250 * time.Millisecond
	silentLimit = 15 * time.Second // for a kubelet to take note of its pod, or the Job controller to make it
	deadSilent  = 8 * time.Second  // the same for a node whose status is unknown already
	localStart  = 30 * time.Second // for an image that need not be pulled
	removeLimit = 5 * time.Second
	maxEvents   = 200
	labelAfter  = 3 * time.Second // without a pod, and without an event that says why
)

// pod is an agent's pod.
type pod struct {
	node      string
	job       string // empty: the pod is not a Job's
	name      string // empty: the Job has no pod yet
	container string // the one that runs the agent
	rung      rung
	born      time.Time
	unseen    bool // its kubelet took no note of it: nothing runs
	debug     bool // a debug container of somebody else's pod
	guest     bool // it does not see the node's processes
}

// start makes what runs the rung and waits, bounded, until a container does;
// running holds the names of those that do. What failed is gone again.
func (l *Launcher) start(ctx context.Context, n node, r rung) (p *pod, running []string, err error) {
	via := l.way()
	if via == ViaDebug {
		return l.startDebug(ctx, n, r)
	}
	p = &pod{node: n.name, rung: r, born: time.Now(), unseen: true}
	uid := ""
	if via == ViaPod {
		p.name = jobName(l.opts.RunID, n.name)
		err = l.createPod(ctx, n.name, r)
	} else {
		p.job = jobName(l.opts.RunID, n.name)
		uid, err = l.create(ctx, l.job(n.name, r))
	}
	if errors.Is(err, errNoJobs) && l.opts.Via == ViaAuto {
		if err := l.withoutJobs(ctx, n, err); err != nil {
			return nil, nil, err
		}
		return l.start(ctx, n, r)
	}
	if err != nil {
		return nil, nil, err
	}
	if running, err = l.await(ctx, n, p, uid); err == nil {
		err = l.extend(ctx, p)
	}
	if err != nil {
		l.remove(ctx, p)
		return nil, nil, err
	}
	p.container = running[0]
	return p, running, nil
}

// create makes the Job; one of the same name is of an earlier rung and on its
// way out.
func (l *Launcher) create(ctx context.Context, job *batchv1.Job) (uid string, err error) {
	err = l.insist(ctx, "creating the agent's Job", func() error {
		made, err := l.createOnce(ctx, job)
		if err == nil {
			uid = string(made.UID)
		}
		return err
	})
	return uid, err
}

// insist makes an object, and puts a refusal into words.
func (l *Launcher) insist(ctx context.Context, what string, try func() error) error {
	for end := time.Now().Add(removeLimit); ; {
		err := try()
		switch {
		case err == nil:
			return nil
		case apierrors.IsAlreadyExists(err) && time.Now().Before(end):
			if err := sleep(ctx); err != nil {
				return err
			}
		case apierrors.IsForbidden(err) && level(err.Error()) != "":
			return l.restricted(level(err.Error()), err.Error())
		case apierrors.IsForbidden(err):
			return denied("%w: %s: %w; name a namespace where you may with --agent-namespace, or ask for the right to do it", errNoJobs, what, err)
		case apierrors.IsNotFound(err):
			return denied("%s: %w; casefile makes no namespace: name one that is there with --agent-namespace", what, err)
		case apierrors.IsInvalid(err):
			return denied("%s: %w", what, err)
		default:
			return fmt.Errorf("%w: %s: %w", ErrNode, what, err)
		}
	}
}

func (l *Launcher) createOnce(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	made, err := l.client.BatchV1().Jobs(l.opts.Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err == nil || touches(err) {
		l.touched.Store(true)
	}
	return made, err
}

// touches: an answer that got lost may have been a yes.
func touches(err error) bool {
	return !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err)
}

// await polls the Job's pod until a container runs or it is clear that none
// will.
func (l *Launcher) await(ctx context.Context, n node, p *pod, jobUID string) ([]string, error) {
	limit, silent := l.startLimit(p.rung), silentLimit
	if n.unknown {
		silent = deadSilent
	}
	var last corev1.Pod
	for {
		if err := sleep(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNode, err)
		}
		found, err := l.podOf(ctx, p, jobUID)
		if err != nil && ctx.Err() == nil && time.Since(p.born) < silent {
			continue // a hiccup of the API server
		} else if err != nil {
			return nil, fmt.Errorf("%w: asking for its pod: %w", ErrNode, err)
		}
		if found != nil {
			last, p.name, p.unseen = *found, found.Name, found.Status.StartTime == nil
			if running, err := judge(found); err != nil || len(running) > 0 {
				return running, err
			}
		} else if err := l.refused(ctx, p, jobUID); err != nil {
			return nil, err
		}
		age := time.Since(p.born)
		switch {
		case p.unseen && age > silent:
			return nil, l.silence(ctx, n, p, jobUID, silent)
		case age > limit:
			return nil, fmt.Errorf("%w within %s: %s%s", ErrNode, limit, state(&last), l.said(ctx, string(last.UID)))
		}
	}
}

// extend gives the Job of a running agent its full deadline.
func (l *Launcher) extend(ctx context.Context, p *pod) error {
	if l.fixed.Load() || p.job == "" {
		return nil
	}
	ctx, cancel := call(ctx)
	defer cancel()
	patch := fmt.Appendf(nil, `{"spec":{"activeDeadlineSeconds":%d}}`, l.fullDeadline())
	if _, err := l.client.BatchV1().Jobs(l.opts.Namespace).Patch(ctx, p.job, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("%w: extending its Job: %w", ErrNode, err)
	}
	return nil
}

// podOf finds the pod itself, or that of the Job, or nil.
func (l *Launcher) podOf(ctx context.Context, p *pod, jobUID string) (*corev1.Pod, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	if p.job == "" {
		return l.client.CoreV1().Pods(l.opts.Namespace).Get(ctx, p.name, metav1.GetOptions{})
	}
	list, err := l.client.CoreV1().Pods(l.opts.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "controller-uid=" + jobUID})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// silence says why a pod was never taken note of.
func (l *Launcher) silence(ctx context.Context, n node, p *pod, jobUID string, after time.Duration) error {
	if p.name == "" {
		return fmt.Errorf("%w: the Job controller made no pod within %s%s", ErrNode, after, l.said(ctx, jobUID))
	}
	hint := "its kubelet seems dead or cut off"
	if n.unknown {
		hint += " (" + n.status + ")"
	}
	return fmt.Errorf("%w: its kubelet took no note of the pod within %s: %s; on the node itself, casefile collect --host still works", ErrNode, after, hint)
}

// refused reports a pod that admission keeps from being made.
func (l *Launcher) refused(ctx context.Context, p *pod, jobUID string) error {
	for _, e := range l.events(ctx, jobUID) {
		if e.Reason != "FailedCreate" || !final(e.Message) {
			continue
		}
		if level := level(e.Message); level != "" {
			return l.restricted(level, e.Message)
		}
		return denied("the agent's pod is not admitted to namespace %s: %s; it must be privileged: name a namespace that allows it with --agent-namespace", l.opts.Namespace, printable(e.Message))
	}
	if time.Since(p.born) < labelAfter {
		return nil
	}
	// who may not read events can mostly read the namespace
	ctx, cancel := detached(ctx, 3*time.Second)
	defer cancel()
	ns, err := l.client.CoreV1().Namespaces().Get(ctx, l.opts.Namespace, metav1.GetOptions{})
	if level := ""; err == nil {
		if level = ns.Labels[enforceLabel]; level == "restricted" || level == "baseline" {
			return l.restricted(level, "")
		}
	}
	return nil
}

// said gives the last warnings about an object, to end a sentence with.
func (l *Launcher) said(ctx context.Context, uid string) string {
	events := l.events(ctx, uid)
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Type == corev1.EventTypeWarning {
			return ": " + printable(events[i].Message)
		}
	}
	return ""
}

// events are best effort: who may not read them gets shorter reasons.
func (l *Launcher) events(ctx context.Context, uid string) []corev1.Event {
	if uid == "" {
		return nil
	}
	ctx, cancel := detached(ctx, 3*time.Second)
	defer cancel()
	list, err := l.client.CoreV1().Events(l.opts.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid, Limit: maxEvents})
	if err != nil {
		return nil
	}
	return list.Items
}

// remove deletes the Job and its pod, best effort; [Launcher.Cleanup] makes
// sure of it.
func (l *Launcher) remove(ctx context.Context, p *pod) {
	ctx, cancel := detached(ctx, removeLimit)
	defer cancel()
	if p.debug {
		return // nobody can; it ends by itself
	}
	if p.job != "" {
		_ = l.deleteJob(ctx, l.opts.Namespace, p.job)
	}
	if p.name != "" {
		_ = l.deletePod(ctx, l.opts.Namespace, p.name, p.unseen)
	}
}

func (l *Launcher) deleteJob(ctx context.Context, namespace, name string) error {
	return ignoreGone(l.client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: ptr(metav1.DeletePropagationBackground), GracePeriodSeconds: ptr(int64(0))}))
}

func (l *Launcher) deletePod(ctx context.Context, namespace, name string, force bool) error {
	grace := int64(1)
	if force {
		grace = 0
	}
	return ignoreGone(l.client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &grace}))
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// imageError says why an image does not run the agent on a node; the next
// rung may.
type imageError struct{ text string }

func (e imageError) Error() string { return e.text }

func isImage(err error) bool {
	var e imageError
	return errors.As(err, &e)
}
