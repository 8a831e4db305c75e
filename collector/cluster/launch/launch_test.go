package launch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector/cluster"
)

func newLauncher(t *testing.T, o Options) *Launcher {
	t.Helper()
	l, err := New(&rest.Config{Host: "https://127.0.0.1:1"}, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRunID(t *testing.T) {
	for _, bad := range []string{"abc", "UPPER", "a-b-c", strings.Repeat("a", 17), "a b c d"} {
		if _, err := New(&rest.Config{}, Options{RunID: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if a, b := NewRunID(), NewRunID(); a == b || !runID.MatchString(a) {
		t.Errorf("%q %q", a, b)
	}
}

func TestJobName(t *testing.T) {
	long := strings.Repeat("very-long-node-name.", 12) + "example"
	seen := map[string]bool{}
	for _, node := range []string{"n1", "n2", long, long + "2"} {
		name := jobName("0123456789abcdef", node)
		if errs := validation.IsDNS1123Label(name); len(errs) > 0 || len(name) > 57 { // the pod's name gets six more
			t.Errorf("%s: %v", name, errs)
		}
		if seen[name] {
			t.Errorf("%s for two nodes", name)
		}
		seen[name] = true
	}
}

// TestJob holds the Job against the promises about it.
func TestJob(t *testing.T) {
	l := newLauncher(t, Options{Timeout: 90 * time.Second, Labels: map[string]string{"team": "x", LabelName: "not mine"}})
	j := l.job("n1", rung{images: []string{"a", "b"}, pull: corev1.PullNever, shell: true})
	s, p := j.Spec, j.Spec.Template.Spec
	for what, ok := range map[string]bool{
		"namespace":       j.Namespace == "kube-system",
		"labels":          j.Labels["team"] == "x" && j.Labels[LabelName] == AgentName && j.Labels[LabelRun] == l.RunID(),
		"pod labels":      s.Template.Labels[LabelRun] == l.RunID(),
		"backoff":         *s.BackoffLimit == 0,
		"first deadline":  *s.ActiveDeadlineSeconds == 60,
		"full deadline":   l.fullDeadline() == 150,
		"ttl":             *s.TTLSecondsAfterFinished == 60,
		"node":            p.NodeName == "n1",
		"tolerations":     len(p.Tolerations) == 1 && p.Tolerations[0].Operator == corev1.TolerationOpExists && p.Tolerations[0].Key == "",
		"host":            p.HostPID && p.HostNetwork && !p.HostIPC,
		"restart":         p.RestartPolicy == corev1.RestartPolicyNever,
		"no token":        !*p.AutomountServiceAccountToken,
		"no priority":     p.PriorityClassName == "",
		"two containers":  len(p.Containers) == 2 && p.Containers[1].Image == "b",
		"emptyDir capped": p.Volumes[0].EmptyDir.SizeLimit != nil,
	} {
		if !ok {
			t.Errorf("%s is wrong", what)
		}
	}
	for _, c := range p.Containers {
		if !*c.SecurityContext.ReadOnlyRootFilesystem || !*c.SecurityContext.Privileged || *c.SecurityContext.RunAsUser != 0 {
			t.Errorf("%+v", c.SecurityContext)
		}
		if c.Resources.Limits.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() || !c.Resources.Requests.Memory().IsZero() {
			t.Errorf("%+v", c.Resources)
		}
		if c.VolumeMounts[0].MountPath != "/run/casefile" || c.ImagePullPolicy != corev1.PullNever {
			t.Errorf("%+v", c)
		}
	}
	l.fixed.Store(true)
	if d := *l.job("n1", rung{images: []string{"a"}}).Spec.ActiveDeadlineSeconds; d != 150 {
		t.Errorf("who may not patch gets a Job of %d s", d)
	}
}

func TestRungs(t *testing.T) {
	l := newLauncher(t, Options{Image: "reg.example/agent:1", DefaultImage: "casefile.local/agent:v1"})
	given := rung{images: []string{"reg.example/agent:1"}, pull: corev1.PullIfNotPresent}
	loaded := rung{images: []string{"casefile.local/agent:v1"}, pull: corev1.PullNever}
	opt := cmp.AllowUnexported(rung{})
	if d := cmp.Diff([]rung{given, loaded}, l.rungs(), opt); d != "" {
		t.Error(d)
	}
	l.choice = &loaded
	if d := cmp.Diff([]rung{loaded, given}, l.rungs(), opt); d != "" {
		t.Error(d)
	}
	l.choice = &rung{images: []string{"busybox"}, shell: true}
	if rs := l.rungs(); rs != nil {
		t.Errorf("%+v", rs)
	}
}

func waiting(name, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func TestJudge(t *testing.T) {
	running := corev1.ContainerStatus{Name: "agent-b", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	dead := corev1.ContainerStatus{Name: "agent-a", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError", ExitCode: 128,
		Message: "failed to create task: runc create failed: unable to start container process: exec: \"sh\": not found"}}}
	missing := waiting("agent-b", "ErrImageNeverPull", "not present")
	for what, c := range map[string]struct {
		status  corev1.PodStatus
		running []string
		err     string // empty: none
		image   bool
	}{
		"nothing yet":        {status: corev1.PodStatus{Phase: corev1.PodPending}},
		"one still creating": {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{dead, waiting("agent-b", "ContainerCreating", "")}}},
		"one runs":           {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{dead, running}}, running: []string{"agent-b"}},
		"none can run": {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{dead, missing}}, image: true,
			err: `img-a: StartError (exit code 128) exec: "sh": not found; img-b: ErrImageNeverPull not present`},
		"one of two failed, the other unknown": {status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{missing}}},
		"evicted":                              {status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "DiskPressure"}, err: "Evicted: DiskPressure"},
		"ended":                                {status: corev1.PodStatus{Phase: corev1.PodSucceeded}, err: "ended at once", image: true},
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent-a", Image: "img-a"}, {Name: "agent-b", Image: "img-b"}}}, Status: c.status}
		got, err := judge(p)
		if d := cmp.Diff(c.running, got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || isImage(err) != c.image {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && !c.image && !errors.Is(err, ErrNode) {
			t.Errorf("%s: %v is not the node's", what, err)
		}
	}
}

func TestFinal(t *testing.T) {
	for message, want := range map[string]bool{
		`pods "x" is forbidden: violates PodSecurity "baseline:latest": privileged`:                     true,
		`pods "x" is forbidden: exceeded quota: q, requested: pods=1`:                                   true,
		`admission webhook "validate.kyverno" denied the request: no`:                                   true,
		`pods "x" is forbidden: unable to validate against any security context constraint: []`:         true,
		`pods "x" is forbidden: error looking up service account kube-system/default: not found`:        false,
		`Internal error occurred: failed calling webhook "x": Post "https://x": context deadline`:       false,
		`pods "x" is forbidden: User "system:serviceaccount:kube-system:job-controller" cannot do that`: true,
	} {
		if final(message) != want {
			t.Errorf("%s: %v", message, !want)
		}
	}
}

func TestRankShells(t *testing.T) {
	images := []string{"registry.k8s.io/pause:3.10", "registry.k8s.io/coredns/coredns:v1.12", "example.com/shop/app:1", "docker.io/evil/busybox:1",
		"registry.k8s.io/kube-proxy:v1.36", "docker.io/library/busybox:1.37", "docker.io/flannel/flannel:v1", "docker.io/flannel/flannel:v1", "",
		"casefile.local/agent:v0", "gcr.io/distroless/base"}
	known, foreign := rankShells(images, map[string]bool{"docker.io/flannel/flannel:v1": true})
	if d := cmp.Diff([]string{"docker.io/library/busybox:1.37", "registry.k8s.io/kube-proxy:v1.36", "docker.io/flannel/flannel:v1"}, known); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"docker.io/evil/busybox:1", "example.com/shop/app:1"}, foreign); d != "" {
		t.Error(d)
	}
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("example.com/tool%d:1", i))
	}
	if _, foreign := rankShells(many, nil); len(foreign) != maxCandidates {
		t.Errorf("%d candidates", len(foreign))
	}
}

func TestBestName(t *testing.T) {
	if got := bestName([]string{"a@sha256:1", "a:v1"}); got != "a:v1" {
		t.Error(got)
	}
	if got := bestName([]string{"a@sha256:1"}); got != "a@sha256:1" {
		t.Error(got)
	}
	if got := bestName(nil); got != "" {
		t.Error(got)
	}
}

func TestCheckUpload(t *testing.T) {
	binary := bytes.Repeat([]byte("x"), 1234)
	sum := sha256.Sum256(binary)
	for out, ok := range map[string]bool{
		"size 1234\nv1\n":                         true,
		"size  1234 \nv1\n":                       true,
		"v1 sha256:" + hex.EncodeToString(sum[:]): true,
		"size 1233\nv1\n":                         false,
		"size \nv1\n":                             false,
		"1234":                                    false,
		"":                                        false,
	} {
		if err := checkUpload([]byte(out), binary); (err == nil) != ok {
			t.Errorf("%q: %v", out, err)
		}
	}
}

// TestScripts runs what a borrowed shell runs, by the shells of this machine.
func TestScripts(t *testing.T) {
	found := false
	for _, shell := range [][]string{{"dash", "-c"}, {"bash", "-c"}, {"busybox", "sh", "-c"}} {
		path, err := exec.LookPath(shell[0])
		if err != nil {
			continue
		}
		found = true
		t.Run(shell[0], func(t *testing.T) { testScripts(t, append([]string{path}, shell[1:]...)) })
	}
	if !found {
		t.Skip("no dash, bash or busybox here")
	}
}

func testScripts(t *testing.T, shell []string) {
	dir := t.TempDir()
	here := func(script, name string) *exec.Cmd {
		script = strings.ReplaceAll(strings.ReplaceAll(script, "@NAME@", name), RunDir, dir)
		return exec.Command(shell[0], append(shell[1:len(shell):len(shell)], script)...)
	}
	chosen, other := here(waitScript, "agent-a"), here(waitScript, "agent-b")
	var said bytes.Buffer
	chosen.Stdout = &said
	for _, cmd := range []*exec.Cmd{chosen, other} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	agent := []byte("#!/bin/sh\necho agent $1\n")
	upload := here(uploadScript, "agent-a")
	upload.Stdin = bytes.NewReader(agent)
	out, err := upload.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("agent version")) {
		t.Fatalf("%v: %s", err, out)
	}
	if err := checkUpload(out, agent); err != nil {
		t.Error(err)
	}
	if out, err := here(startScript, "agent-a").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, cmd := range []*exec.Cmd{chosen, other} {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if said.String() != "agent wait\n" {
		t.Errorf("the waiting shell became %q", &said)
	}
	bad := here(uploadScript, "agent-a")
	bad.Stdin = strings.NewReader("\x7fELF no program")
	if err := bad.Run(); err == nil || noexecHint(exitStatus{err}) == "" {
		t.Errorf("a broken agent was taken: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "ready")); err != nil {
		t.Fatal(err)
	}
	noDir := exec.Command(shell[0], append(shell[1:len(shell):len(shell)], strings.ReplaceAll(waitScript, RunDir, dir+"/missing"))...)
	if err := noDir.Run(); err == nil {
		t.Error("a container without the volume waits")
	}
}

type exitStatus struct{ error }

func (e exitStatus) ExitStatus() int {
	var x *exec.ExitError
	if errors.As(e.error, &x) {
		return x.ExitCode()
	}
	return -1
}

func TestHelpNamesTheNodesRuntimeFirst(t *testing.T) {
	l := newLauncher(t, Options{DefaultImage: "casefile.local/agent:v1"})
	for first, n := range map[string]node{
		"containerd:": {runtime: "containerd://2.1"}, "CRI-O:": {runtime: "cri-o://1.30"}, "docker:": {runtime: "docker://24"},
		"k3s:": {runtime: "containerd://2.0-k3s1", kubelet: "v1.33.1+k3s1"},
	} {
		lines := strings.Split(l.help(n), "\n")
		if got := strings.Fields(lines[3])[0]; got != first {
			t.Errorf("%s first, not %s", got, first)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31m\nb\u009bc\xff  "); got != "a [31m b c?" {
		t.Errorf("%q", got)
	}
	if got := printable(strings.Repeat("ä", 1000)); len(got) > 610 || !strings.HasSuffix(got, "ä …") {
		t.Errorf("%q", got)
	}
}

func TestCapped(t *testing.T) {
	c := &capped{limit: 4}
	for range 3 {
		if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if string(c.Bytes()) != "abca" {
		t.Errorf("%q", c.Bytes())
	}
}

func nodeNamed(name string, status corev1.ConditionStatus, labels ...string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		n.Labels[k] = v
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	return n
}

func pickable(name string, ready bool, label, value string) cluster.Node {
	return cluster.Node{Name: name, Ready: ready, Labels: map[string]string{label: value}}
}

func TestPickNodes(t *testing.T) {
	var large []cluster.Node
	for i := range 100 {
		large = append(large, pickable(fmt.Sprintf("w%03d", i), true, "zone", "a"))
	}
	large = append(large, cluster.Node{Name: "cp", Ready: true, ControlPlane: true}, pickable("sick", false, "", ""),
		pickable("win", true, "kubernetes.io/os", "windows"), pickable("s390", true, "kubernetes.io/arch", "s390x"))
	small := large[:3]
	for _, c := range []struct {
		all     []cluster.Node
		by      string
		targets []string
		want    []string
		err     string
	}{
		{all: small, by: "auto", want: []string{"w000", "w001", "w002"}},
		{all: large, by: "auto", targets: []string{"w077"}, want: []string{"cp", "sick", "w000", "w019", "w039", "w059", "w077", "w080"}},
		{all: large, by: "none"},
		{all: large[98:], by: "all", want: []string{"cp", "sick", "w098", "w099"}},
		{all: small, by: "zone in (a,b),!x", want: []string{"w000", "w001", "w002"}},
		{all: small, by: "zone=b", err: "matches none"},
		{all: small, by: "=!", err: "neither"},
	} {
		got, err := PickNodes(c.all, c.by, c.targets)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.by, err)
			}
			continue
		}
		if d := cmp.Diff(c.want, got.Nodes); d != "" || err != nil {
			t.Errorf("%s: %v %s", c.by, err, d)
		}
		if len(got.Nodes)+len(got.Skipped) != len(c.all) {
			t.Errorf("%s: %d picked, %d skipped of %d", c.by, len(got.Nodes), len(got.Skipped), len(c.all))
		}
		if len(c.all) > 50 && got.Skipped["win"] != "there is no agent for windows/" {
			t.Errorf("%q", got.Skipped["win"])
		}
	}
}

// TestUnprivileged: capabilities instead, none of them by default, and what is
// asked of the user says so.
func TestUnprivileged(t *testing.T) {
	l := &Launcher{opts: Options{Unprivileged: true, RunID: "abcd"}}
	s := l.job("n1", rung{images: []string{"x"}}).Spec.Template.Spec.Containers[0].SecurityContext
	if s.Privileged != nil || len(s.Capabilities.Add) != len(capabilities()) || s.Capabilities.Drop[0] != "ALL" || !*s.ReadOnlyRootFilesystem {
		t.Errorf("%+v", s)
	}
	for _, via := range []string{ViaJob, ViaPod, ViaDebug} {
		if text := (Intent{Via: via, Limited: true, Nodes: []string{"n1"}}).String(); strings.Contains(text, "privileged") || !strings.Contains(text, "CAP_SYS_ADMIN") {
			t.Error(text)
		}
	}
	l.opts.Unprivileged = false
	if s := l.job("n1", rung{images: []string{"x"}}).Spec.Template.Spec.Containers[0].SecurityContext; !*s.Privileged || s.Capabilities != nil {
		t.Errorf("%+v", s)
	}
}
