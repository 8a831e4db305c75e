package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	maxCandidates = 4 // images tried side by side in one pod
	maxPodsAsked  = 500
)

// borrow runs the agent in a container of an image that the node has and that
// has a shell. The shell runs as root on the node, so that images which run so
// already come first, and others are only taken after Confirm.
func (l *Launcher) borrow(ctx context.Context, n node) (*pod, error) {
	if l.opts.Binary == nil {
		return nil, imageError{"images with a shell: this casefile was built without agents to stream into them"}
	}
	binary, err := l.opts.Binary(n.arch)
	if err != nil {
		return nil, imageError{"images with a shell: " + err.Error()}
	}
	known, foreign, err := l.shells(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("%w: looking for an image with a shell: %w", ErrNode, err)
	}
	var notes []string
	for i, images := range [][]string{known, foreign} {
		if len(images) == 0 {
			continue
		}
		if i == 1 {
			if err := l.mayBorrow(ctx, n, images); isImage(err) {
				notes = append(notes, err.Error())
				break
			} else if err != nil {
				return nil, err
			}
		}
		p, err := l.borrowOne(ctx, n, images, binary)
		if err == nil || !isImage(err) {
			return p, err
		}
		notes = append(notes, err.Error())
	}
	if notes == nil {
		return nil, imageError{"images with a shell: the node has none that is likely to have one"}
	}
	return nil, imageError{"images with a shell: " + strings.Join(notes, "; ")}
}

// mayBorrow asks while Prepare runs. Later nobody watches the terminal for
// questions, and what was not agreed to is not done.
func (l *Launcher) mayBorrow(ctx context.Context, n node, images []string) error {
	l.mu.Lock()
	asking := l.asking
	l.mu.Unlock()
	if l.opts.Confirm != nil && !asking {
		return imageError{"nobody agreed to use the shell of " + strings.Join(images, ", ") + " (--yes agrees)"}
	}
	err := l.confirm(ctx, Intent{Namespace: l.opts.Namespace, RunID: l.opts.RunID, Nodes: []string{n.name}, Borrow: images})
	if errors.Is(err, ErrDeclined) { // this rung alone: the next says how to load the agent's image
		return imageError{"nobody agreed to use the shell of " + strings.Join(images, ", ") + " (--yes agrees)"}
	}
	return err
}

// borrowOne tries the images side by side and takes the first whose container
// runs and takes the agent.
func (l *Launcher) borrowOne(ctx context.Context, n node, images []string, binary []byte) (*pod, error) {
	l.opts.Announce(fmt.Sprintf("node %s: trying the shell of %s", n.name, strings.Join(images, ", ")))
	p, running, err := l.start(ctx, n, rung{images: images, pull: corev1.PullNever, shell: true})
	if err != nil {
		return nil, err
	}
	var failed []string
	for _, name := range running {
		p.container = name
		image := images[int(name[len(name)-1]-'a')]
		if err := l.upload(ctx, p, binary); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", image, err))
			continue
		}
		l.opts.Announce(fmt.Sprintf("node %s: the agent runs in a container of %s", n.name, image))
		p.rung.images = []string{image}
		return p, nil
	}
	l.remove(ctx, p)
	return nil, imageError{strings.Join(failed, "; ")}
}

// nodeShells gives the images of the node that may have a shell, best first:
// those that run as root on nodes already, or come from a publisher whose
// names nobody can take, apart from others.
func (l *Launcher) nodeShells(ctx context.Context, n node) (known, foreign []string, err error) {
	l.mu.Lock()
	choice := l.choice
	l.mu.Unlock()
	ctx, cancel := call(ctx)
	defer cancel()
	pods, err := l.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.name, Limit: maxPodsAsked, ResourceVersion: "0"})
	if err != nil {
		pods = &corev1.PodList{} // who may not list them has the node's own list
	}
	trusted := map[string]bool{}
	images := slices.Clone(n.images)
	for i := range pods.Items {
		if pods.Items[i].Labels[LabelName] == AgentName {
			continue
		}
		for _, c := range pods.Items[i].Spec.Containers {
			images = append(images, c.Image)
			if pods.Items[i].Namespace == l.opts.Namespace || privileged(&pods.Items[i], c) {
				trusted[c.Image] = true
			}
		}
	}
	if choice != nil && choice.shell && slices.Contains(images, choice.images[0]) {
		return choice.images, nil, nil // agreed to before
	}
	known, foreign = rankShells(images, trusted)
	return known, foreign, nil
}

func privileged(p *corev1.Pod, c corev1.Container) bool {
	return p.Spec.HostPID && c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
}

// rankShells sorts out images that are known to have no shell, splits the rest
// by trust, and puts those first whose names promise a shell.
func rankShells(images []string, trusted map[string]bool) (known, foreign []string) {
	images = slices.Clone(images)
	sort.SliceStable(images, func(i, j int) bool { return promise(images[i]) < promise(images[j]) })
	for _, image := range images {
		switch {
		case image == "" || promise(image) == never:
		case trusted[image] || published(image):
			known = appendNew(known, image)
		default:
			foreign = appendNew(foreign, image)
		}
	}
	return known[:min(len(known), maxCandidates)], foreign[:min(len(foreign), maxCandidates)]
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// published names can only be pushed by their well-known publisher.
func published(image string) bool {
	first, _, slash := strings.Cut(image, "/")
	return strings.HasPrefix(image, "docker.io/library/") || first == "registry.k8s.io" || !slash
}

const never = 3

// promise ranks an image by its name: 0 surely has a shell, 1 mostly has one,
// 2 is not known, never has none.
func promise(image string) int {
	base := image[strings.LastIndexByte(image, '/')+1:]
	if i := strings.IndexAny(base, ":@"); i > 0 {
		base = base[:i]
	}
	switch {
	case has(image, "distroless", "-static") || has(base, "pause", "coredns", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
		"metrics-server", "kube-state-metrics", "csi-", "livenessprobe", "cert-manager", AgentName) || strings.HasPrefix(image, localHost):
		return never
	case has(base, "busybox", "alpine", "debian", "ubuntu", "nettool", "netshoot", "toolbox", "toolkit", "dnsutils", "debug", "ubi", "rocky", "centos",
		"fedora", "suse", "amazonlinux", "bash"):
		return 0
	case has(base, "kube-proxy", "flannel", "calico", "node", "cilium", "weave", "kube-router", "antrea", "ovn", "multus", "kindnet", "klipper", "k8s-dns",
		"exporter", "nginx", "redis", "postgres", "mysql", "mariadb", "httpd", "haproxy", "python", "php", "ceph", "rook", "longhorn", "fluentd"):
		return 1
	}
	return 2
}

func has(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}

// bestName picks a tag over a digest, since people read it.
func bestName(names []string) string {
	for _, name := range names {
		if !strings.Contains(name, "@") {
			return name
		}
	}
	if len(names) > 0 {
		return names[0]
	}
	return ""
}
