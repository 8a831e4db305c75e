package launch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// startDebug adds a debug container to a pod of the node that is in the node's
// network namespace. Since it stays in the pod's description for ever, only
// one image is tried, and none that is known to be missing.
func (l *Launcher) startDebug(ctx context.Context, n node, r rung) (*pod, []string, error) {
	r.images = r.images[:1]
	if r.pull == corev1.PullNever && n.images != nil && !n.has(r.images[0]) {
		return nil, nil, imageError{r.images[0] + ": it is not on the node"}
	}
	host, err := l.hostPod(ctx, n)
	if err != nil {
		return nil, nil, err
	}
	p := &pod{node: n.name, name: host.Name, rung: r, born: time.Now(), debug: true, guest: !host.Spec.HostPID}
	p.container = fmt.Sprintf("casefile-%s-%d-a", l.opts.RunID, len(host.Spec.EphemeralContainers))
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{l.debugContainer(p.container, r)}}})
	if err != nil {
		return nil, nil, err
	}
	err = l.insist(ctx, "adding a debug container to pod "+host.Name, func() error {
		ctx, cancel := call(ctx)
		defer cancel()
		_, err := l.client.CoreV1().Pods(l.opts.Namespace).Patch(ctx, host.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "ephemeralcontainers")
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	l.opts.Announce(fmt.Sprintf("node %s: the agent is a debug container of pod %s", n.name, host.Name))
	running, err := l.awaitDebug(ctx, p)
	return p, running, err
}

// debugContainer has no volume of its own: the socket is in its root folder.
func (l *Launcher) debugContainer(name string, r rung) corev1.EphemeralContainer {
	c := l.container(name, r.images[0], r)
	if r.shell {
		c.Command[len(c.Command)-1] = "mkdir -p " + RunDir + "\n" + c.Command[len(c.Command)-1]
	}
	c.SecurityContext.ReadOnlyRootFilesystem = nil
	return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, Command: c.Command, WorkingDir: c.WorkingDir,
		TerminationMessagePolicy: c.TerminationMessagePolicy,
		SecurityContext:          c.SecurityContext,
	}}
}

// hostPod picks the pod of the node that shares most with it. Those that the
// kubelet made from files take no debug containers.
func (l *Launcher) hostPod(ctx context.Context, n node) (*corev1.Pod, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	list, err := l.client.CoreV1().Pods(l.opts.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.name, Limit: maxPodsAsked})
	if err != nil {
		return nil, fmt.Errorf("%w: looking for a pod to debug: %w", ErrNode, err)
	}
	var best *corev1.Pod
	for i := range list.Items {
		p := &list.Items[i]
		if !p.Spec.HostNetwork || p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil || p.Annotations[corev1.MirrorPodAnnotationKey] != "" || p.Labels[LabelName] == AgentName {
			continue
		}
		if best == nil || p.Spec.HostPID && !best.Spec.HostPID {
			best = p
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no running pod of namespace %s on it is in the node's network namespace and takes debug containers; kube-proxy and network plugins mostly are: name their namespace with --agent-namespace", ErrNode, l.opts.Namespace)
	}
	return best, nil
}

// awaitDebug polls the container until it runs or it is clear that it will not.
func (l *Launcher) awaitDebug(ctx context.Context, p *pod) ([]string, error) {
	for {
		if err := sleep(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNode, err)
		}
		found, err := l.get(ctx, p)
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%w: pod %s is gone", ErrNode, p.name)
		}
		if err == nil {
			alone := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: p.container, Image: p.rung.images[0]}}}}
			for _, s := range found.Status.EphemeralContainerStatuses {
				if s.Name == p.container {
					alone.Status.ContainerStatuses = []corev1.ContainerStatus{s}
				}
			}
			if running, err := judge(&alone); err != nil || len(running) > 0 {
				return running, err
			}
		}
		if limit := l.startLimit(p.rung); time.Since(p.born) > limit {
			return nil, fmt.Errorf("%w: the debug container in pod %s did not run within %s", ErrNode, p.name, limit)
		}
	}
}

func (l *Launcher) get(ctx context.Context, p *pod) (*corev1.Pod, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	return l.client.CoreV1().Pods(l.opts.Namespace).Get(ctx, p.name, metav1.GetOptions{})
}
