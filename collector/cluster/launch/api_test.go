package launch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster/apitest"
)

const present = "example.com/agent:1" // the one image that the nodes of these tests have

// TestAPIServer runs against a real API server whose nodes, kubelets and Job
// controller are played by the test.
func TestAPIServer(t *testing.T) {
	s := apitest.Start(t)
	admin, err := kubernetes.NewForConfig(s.Config(apitest.Admin))
	if err != nil {
		t.Fatal(err)
	}
	addNode(t, admin, "alive", corev1.ConditionTrue)
	addNode(t, admin, "lost", corev1.ConditionUnknown)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go playCluster(ctx, admin)
	for name, test := range map[string]func(*testing.T, *apitest.Server, kubernetes.Interface){
		"ladder": testLadder, "silent": testSilent, "limited": testLimited, "cleanup": testCleanup,
		"pods": testPods, "debug": testDebug, "security": testSecurity,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, admin) })
	}
}

func addNode(t *testing.T, c kubernetes.Interface, name string, status corev1.ConditionStatus) {
	t.Helper()
	n := nodeNamed(name, status)
	n.Status.NodeInfo.Architecture = "amd64"
	made, err := c.CoreV1().Nodes().Create(t.Context(), &n, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Status = n.Status
	if _, err := c.CoreV1().Nodes().UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// playCluster makes the pods of Jobs, and is the kubelet of the node "alive"
// to them.
func playCluster(ctx context.Context, c kubernetes.Interface) {
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		jobs, err := c.BatchV1().Jobs("").List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for _, j := range jobs.Items {
			p := &corev1.Pod{ObjectMeta: j.Spec.Template.ObjectMeta, Spec: j.Spec.Template.Spec}
			p.Name, p.Namespace = j.Name+"-"+string(j.UID[:8]), j.Namespace
			p.Labels["controller-uid"] = string(j.UID)
			if p, err = c.CoreV1().Pods(j.Namespace).Create(ctx, p, metav1.CreateOptions{}); err == nil && p.Spec.NodeName == "alive" {
				startContainers(ctx, c, p)
			}
		}
		pods, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=alive"})
		if err != nil {
			continue
		}
		for _, p := range pods.Items {
			playKubelet(ctx, c, &p)
			if p.DeletionTimestamp != nil && (p.Labels["controller-uid"] != "" || p.Labels["alone"] != "") { // what failed, the test sees
				_ = c.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))})
			}
		}
	}
}

// playKubelet starts pods that no Job made, and debug containers.
func playKubelet(ctx context.Context, c kubernetes.Interface, p *corev1.Pod) {
	if p.Labels["alone"] != "" && p.Status.StartTime == nil {
		startContainers(ctx, c, p)
	}
	if len(p.Status.EphemeralContainerStatuses) < len(p.Spec.EphemeralContainers) {
		for _, e := range p.Spec.EphemeralContainers[len(p.Status.EphemeralContainerStatuses):] {
			p.Status.EphemeralContainerStatuses = append(p.Status.EphemeralContainerStatuses,
				corev1.ContainerStatus{Name: e.Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
		}
		_, _ = c.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
	}
}

func startContainers(ctx context.Context, c kubernetes.Interface, p *corev1.Pod) {
	p.Status.StartTime = ptr(metav1.Now())
	for _, container := range p.Spec.Containers {
		status := waiting(container.Name, "ErrImageNeverPull", "not there")
		if container.Image == present {
			status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status)
	}
	_, _ = c.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{}) // what failed, the test sees
}

func jobsOf(t *testing.T, c kubernetes.Interface, l *Launcher) []batchv1.Job {
	t.Helper()
	list, err := c.BatchV1().Jobs("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: Filter{RunID: l.RunID()}.selector()})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func testLadder(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	l, err := New(s.Config(apitest.Admin), Options{Image: "example.com/gone:1", DefaultImage: present})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"lost", "alive"}); err != nil {
		t.Fatal(err)
	}
	if l.choice == nil || !slices.Equal(l.choice.images, []string{present}) || l.warm["alive"] == nil {
		t.Errorf("choice %+v, warm %v", l.choice, l.warm)
	}
	jobs := jobsOf(t, admin, l)
	if len(jobs) != 1 || *jobs[0].Spec.ActiveDeadlineSeconds != 660 || jobs[0].Spec.Template.Spec.NodeName != "alive" {
		t.Fatalf("%d Jobs: %+v", len(jobs), jobs)
	}
	if err := l.Finish(t.Context()); err != nil || len(jobsOf(t, admin, l)) != 0 {
		t.Errorf("%v, %d Jobs left", err, len(jobsOf(t, admin, l)))
	}
	none, err := New(s.Config(apitest.Admin), Options{DefaultImage: "casefile.local/agent:v1", Binary: func(string) ([]byte, error) { return []byte("x"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := none.Prepare(t.Context(), []string{"alive"}); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "none that is likely to have one") {
		t.Error(err)
	}
	if left := jobsOf(t, admin, none); len(left) != 0 {
		t.Errorf("%d Jobs left", len(left))
	}
}

func testSilent(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	l, err := New(s.Config(apitest.Admin), Options{DefaultImage: present})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = l.Dial(t.Context(), "lost")
	if took := time.Since(start); !errors.Is(err, ErrNode) || !strings.Contains(err.Error(), "kubelet") || took > deadSilent+2*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	if _, err := l.Dial(t.Context(), "nowhere"); !errors.Is(err, ErrNode) || !strings.Contains(err.Error(), "not found") {
		t.Error(err)
	}
	pods, err := admin.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: Filter{RunID: l.RunID()}.selector()})
	if err != nil || len(pods.Items) != 0 || len(jobsOf(t, admin, l)) != 0 {
		t.Errorf("left behind: %v %v", pods.Items, err)
	}
}

// testLimited: who may do just enough is served, who may not is told what is
// missing.
func testLimited(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	l, err := New(s.Config(apitest.Limited), Options{DefaultImage: present})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"alive"}); !errors.Is(err, collector.ErrDenied) || !strings.Contains(err.Error(), "create jobs") {
		t.Error(err)
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "agents", Namespace: "kube-system"}, Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"create", "delete", "list"}, APIGroups: []string{"batch"}, Resources: []string{"jobs"}},
		{Verbs: []string{"list", "delete"}, APIGroups: []string{""}, Resources: []string{"pods"}},
		{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{"pods/exec"}}}}
	if _, err := admin.RbacV1().Roles("kube-system").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: apitest.Limited}}}
	if _, err := admin.RbacV1().RoleBindings("kube-system").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(5 * time.Second) // until the authorizer heard of it
	for !l.may(t.Context(), authorizationv1.ResourceAttributes{Verb: "delete", Group: "batch", Resource: "jobs"}) && time.Now().Before(end) {
		time.Sleep(50 * time.Millisecond)
	}
	if l, err = New(s.Config(apitest.Limited), Options{DefaultImage: present}); err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"alive"}); err != nil {
		t.Fatal(err)
	}
	if jobs := jobsOf(t, admin, l); len(jobs) != 1 || *jobs[0].Spec.ActiveDeadlineSeconds != 660 {
		t.Errorf("%+v", jobs)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Error(err)
	}
}

// testCleanup: pods whose kubelets do not end them are deleted by force, at
// once where the kubelet is known to be lost.
func testCleanup(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	l, err := New(s.Config(apitest.Admin), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for node, limits := range map[string][2]time.Duration{"lost": {0, 2 * time.Second}, "alive": {graceLimit, graceLimit + 3*time.Second}} {
		p := &corev1.Pod{Spec: l.job(node, rung{images: []string{present}}).Spec.Template.Spec}
		p.Name, p.Labels = "left-"+node, map[string]string{LabelName: AgentName, LabelRun: "another"}
		p, err := admin.CoreV1().Pods("kube-system").Create(t.Context(), p, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.StartTime = ptr(metav1.Now())
		if _, err := admin.CoreV1().Pods("kube-system").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		removed, err := l.Cleanup(t.Context(), Filter{})
		took := time.Since(start)
		if err != nil || !slices.Equal(removed, []string{"kube-system/pod/left-" + node}) || took < limits[0] || took > limits[1] {
			t.Errorf("%s: %v %v after %s", node, removed, err, took)
		}
	}
	poor, err := New(s.Config(apitest.Nobody), Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := poor.Cleanup(t.Context(), Filter{}); err == nil || !strings.Contains(err.Error(), "forbidden") || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
