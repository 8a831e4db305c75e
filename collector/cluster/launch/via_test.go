package launch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster/apitest"
)

// grant makes a user with just these rights in kube-system, and waits until
// the authorizer has heard of it.
func grant(t *testing.T, s *apitest.Server, admin kubernetes.Interface, user, via string) *rest.Config {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: "kube-system"}}
	for _, a := range needs(via) {
		resource := strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/")
		role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: []string{a.Verb}, APIGroups: []string{a.Group}, Resources: []string{resource}})
	}
	if _, err := admin.RbacV1().Roles("kube-system").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}}
	if _, err := admin.RbacV1().RoleBindings("kube-system").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	config := s.Config(apitest.Admin)
	config.Impersonate.UserName = user
	l, err := New(config, Options{Via: via})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); len(l.missing(t.Context(), via)) > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	return config
}

// testPods: who may make pods but no Jobs is served with pods.
func testPods(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	var asked []Intent
	l, err := New(grant(t, s, admin, "podder", ViaPod), Options{DefaultImage: present, Labels: map[string]string{"alone": "yes"},
		Confirm: func(_ context.Context, i Intent) (bool, error) { asked = append(asked, i); return true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"alive"}); err != nil {
		t.Fatal(err)
	}
	p, err := admin.CoreV1().Pods("kube-system").Get(t.Context(), jobName(l.RunID(), "alive"), metav1.GetOptions{})
	if err != nil || len(p.OwnerReferences) > 0 || *p.Spec.ActiveDeadlineSeconds != 660 || p.Spec.NodeName != "alive" {
		t.Fatalf("%+v %v", p, err)
	}
	if len(asked) != 1 || asked[0].Via != ViaPod || !strings.Contains(asked[0].String(), "one privileged pod") {
		t.Errorf("asked %v", asked)
	}
	if err := l.Finish(t.Context()); err == nil || !strings.Contains(err.Error(), "Jobs") { // it may not list them, and says so
		t.Errorf("got %v", err)
	}
	if _, err := admin.CoreV1().Pods("kube-system").Get(t.Context(), p.Name, metav1.GetOptions{}); err == nil {
		t.Error("the pod is still there")
	}
	if l, err = New(grant(t, s, admin, "jobless", ViaDebug), Options{DefaultImage: present}); err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"alive"}); !errors.Is(err, collector.ErrDenied) || !strings.Contains(err.Error(), "--agent-via debug") {
		t.Errorf("debug containers without being asked for, or not even named: %v", err)
	}
}

// testDebug: the pod that shares most is taken, and static pods are not.
func testDebug(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	add := func(name string, change func(*corev1.Pod)) {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "kube-system"},
			Spec: corev1.PodSpec{NodeName: "alive", HostNetwork: true, Containers: []corev1.Container{{Name: "main", Image: "example.com/proxy:1"}}}}
		change(p)
		p, err := admin.CoreV1().Pods(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = admin.CoreV1().Pods(p.Namespace).Delete(context.Background(), p.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))})
		})
		p.Status.Phase = corev1.PodRunning
		if _, err := admin.CoreV1().Pods(p.Namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := New(grant(t, s, admin, "debugger", ViaDebug), Options{DefaultImage: present, Via: ViaDebug})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context(), []string{"alive"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Dial(t.Context(), "alive"); !errors.Is(err, ErrNode) || !strings.Contains(err.Error(), "--agent-namespace") {
		t.Errorf("without a pod: %v", err)
	}
	add("inside", func(p *corev1.Pod) { p.Spec.HostNetwork = false })
	add("static", func(p *corev1.Pod) {
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		p.Spec.HostPID = true
	})
	for i, c := range []struct {
		name    string
		hostPID bool
	}{{"proxy", false}, {"watcher", true}} {
		add(c.name, func(p *corev1.Pod) { p.Spec.HostPID = c.hostPID })
		p, err := l.climb(t.Context(), "alive")
		if err != nil || p.name != c.name || p.guest == c.hostPID || p.job != "" {
			t.Fatalf("%d: %+v %v", i, p, err)
		}
		found, err := admin.CoreV1().Pods("kube-system").Get(t.Context(), c.name, metav1.GetOptions{})
		if err != nil || len(found.Spec.EphemeralContainers) != 1 || !*found.Spec.EphemeralContainers[0].SecurityContext.Privileged {
			t.Errorf("%+v %v", found.Spec.EphemeralContainers, err)
		}
		l.remove(t.Context(), p)
		if _, err := admin.CoreV1().Pods("kube-system").Get(t.Context(), c.name, metav1.GetOptions{}); err != nil {
			t.Errorf("somebody else's pod was removed: %v", err)
		}
	}
}

// testSecurity: a namespace that lets no privileged pods in is named with its
// label and what to do, whichever way they would come.
func testSecurity(t *testing.T, s *apitest.Server, admin kubernetes.Interface) {
	for _, level := range []string{"baseline", "restricted"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "only-" + level, Labels: map[string]string{enforceLabel: level}}}
		if _, err := admin.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, via := range []string{ViaPod, ViaJob} {
			l, err := New(s.Config(apitest.Admin), Options{DefaultImage: present, Via: via, Namespace: ns.Name})
			if err != nil {
				t.Fatal(err)
			}
			err = l.Prepare(t.Context(), []string{"alive"})
			if !errors.Is(err, collector.ErrDenied) {
				t.Errorf("%s %s: %v", level, via, err)
				continue
			}
			for _, want := range []string{"namespace " + ns.Name, enforceLabel + "=" + level, "--agent-namespace", "kube-system"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s %s does not say %q: %v", level, via, want, err)
				}
			}
		}
	}
}
