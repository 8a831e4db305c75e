package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// graceLimit is how long a live kubelet has to end a pod before the pod is
// deleted by force.
const graceLimit = 5 * time.Second

const cleanupLimit = 30 * time.Second

// Filter says what [Launcher.Cleanup] removes. The zero Filter means agents of
// every run in the Launcher's namespace, those of other users too.
type Filter struct {
	RunID         string
	AllNamespaces bool
}

func (f Filter) selector() string {
	s := LabelName + "=" + AgentName + "," + LabelRun
	if f.RunID != "" {
		s += "=" + f.RunID
	}
	return s
}

// Cleanup deletes the Jobs and pods of agents, waits until they are gone, and
// deletes by force what a dead kubelet holds on to. It returns what it deleted
// ("namespace/job/name"); the error names what is left when ctx ends.
func (l *Launcher) Cleanup(ctx context.Context, f Filter) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit)
	defer cancel()
	c := cleaner{l: l, filter: f, namespace: l.opts.Namespace, asked: map[string]time.Time{}, dead: map[string]bool{}}
	if f.AllNamespaces {
		c.namespace = ""
	}
	err := c.jobs(ctx)
	for {
		left, podErr := c.pods(ctx)
		if podErr == nil && len(left) == 0 {
			break
		}
		if len(left) > 0 {
			podErr = errors.Join(podErr, fmt.Errorf("still there: %s; run casefile agent cleanup later", strings.Join(left, ", ")))
		}
		if apierrors.IsForbidden(podErr) || sleep(ctx) != nil {
			err = errors.Join(err, podErr)
			break
		}
	}
	sort.Strings(c.removed)
	return slices.Compact(c.removed), err
}

type cleaner struct {
	l         *Launcher
	filter    Filter
	namespace string
	asked     map[string]time.Time // when a pod's deletion was first asked for
	dead      map[string]bool      // nodes, as far as asked
	removed   []string
}

func (c *cleaner) jobs(ctx context.Context) error {
	ctx, cancel := call(ctx)
	defer cancel()
	list, err := c.l.client.BatchV1().Jobs(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: c.filter.selector()})
	if err != nil {
		return fmt.Errorf("listing the agents' Jobs: %w", err)
	}
	for _, j := range list.Items {
		if deleteErr := c.l.deleteJob(ctx, j.Namespace, j.Name); deleteErr != nil {
			err = errors.Join(err, deleteErr)
			continue
		}
		c.removed = append(c.removed, j.Namespace+"/job/"+j.Name)
	}
	return err
}

// pods asks for the deletion of what is left and returns its names.
func (c *cleaner) pods(ctx context.Context) (left []string, err error) {
	ctx, cancel := call(ctx)
	defer cancel()
	list, err := c.l.client.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: c.filter.selector()})
	if err != nil {
		return nil, fmt.Errorf("listing the agents' pods: %w", err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		name := p.Namespace + "/pod/" + p.Name
		left = append(left, name)
		first, again := c.asked[name]
		force := p.Status.StartTime == nil || c.isDead(ctx, p.Spec.NodeName) || again && time.Since(first) > graceLimit
		if again && !force {
			continue
		}
		if deleteErr := c.l.deletePod(ctx, p.Namespace, p.Name, force); deleteErr != nil {
			err = errors.Join(err, deleteErr)
			continue
		}
		if !again {
			c.asked[name] = time.Now()
			c.removed = append(c.removed, name)
		}
	}
	return left, err
}

// isDead tells whether nobody hears of the node's kubelet.
func (c *cleaner) isDead(ctx context.Context, name string) bool {
	dead, known := c.dead[name]
	if !known {
		n, err := c.l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		dead = err == nil && ready(n) == corev1.ConditionUnknown
		c.dead[name] = dead
	}
	return dead
}

// Finish removes what is left of this run, within a few seconds even when the
// run itself was cancelled.
func (l *Launcher) Finish(ctx context.Context) error {
	if !l.touched.Load() {
		return nil
	}
	ctx, cancel := detached(ctx, 2*graceLimit)
	defer cancel()
	_, err := l.Cleanup(ctx, Filter{RunID: l.opts.RunID})
	return err
}
