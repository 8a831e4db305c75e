package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels and annotations of what is created.
const (
	LabelName = "app.kubernetes.io/name"
	AgentName = "casefile-agent"
	LabelRun  = "casefile.dev/run"
	NodeNote  = "casefile.dev/node"
)

// Where things are in the agent's container.
const (
	ImageBinary = "/casefile-agent" // in the agent's own image
	RunDir      = "/run/casefile"   // the emptyDir: socket, spool, and a streamed agent
	shellBinary = RunDir + "/casefile-agent"
)

const (
	deadlineSlack = 60 * time.Second // the Job outlives the work by this
	startSlack    = 30 * time.Second // the same for the start
	timeToLive    = 60               // seconds from the Job's end to its removal
	memoryLimit   = "256Mi"          // packet rings count too
	spoolLimit    = "1Gi"
)

// rung is one way to run the agent.
type rung struct {
	images []string // more than one: containers side by side, the first that runs is taken
	pull   corev1.PullPolicy
	shell  bool // the images only lend their shell
}

func (r rung) binary() string {
	if r.shell {
		return shellBinary
	}
	return ImageBinary
}

// jobName is unique for the run and node, and a valid name for any node.
func jobName(run, node string) string {
	sum := sha256.Sum256([]byte(node))
	return AgentName + "-" + run + "-" + hex.EncodeToString(sum[:5])
}

func containerName(i int) string { return "agent-" + string(rune('a'+i)) }

// meta names and labels what is made for a node.
func (l *Launcher) meta(node string) metav1.ObjectMeta {
	labels := maps.Clone(l.opts.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelName], labels["app.kubernetes.io/managed-by"], labels[LabelRun] = AgentName, "casefile", l.opts.RunID
	return metav1.ObjectMeta{Name: jobName(l.opts.RunID, node), Namespace: l.opts.Namespace, Labels: labels, Annotations: map[string]string{NodeNote: node}}
}

// podSpec describes the pod that runs the agent on a node. It asks for no cpu
// and memory, so that a full node takes it, and has no priority class, so that
// it pushes nothing out; what it may use is bounded.
func (l *Launcher) podSpec(node string, r rung) corev1.PodSpec {
	spec := corev1.PodSpec{
		NodeName:                      node,
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		HostPID:                       true,
		HostNetwork:                   true,
		DNSPolicy:                     corev1.DNSDefault,
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  ptr(false),
		EnableServiceLinks:            ptr(false),
		TerminationGracePeriodSeconds: ptr(int64(1)),
		Volumes: []corev1.Volume{{Name: "run", VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr(resource.MustParse(spoolLimit))}}}},
	}
	for i, image := range r.images {
		spec.Containers = append(spec.Containers, l.container(containerName(i), image, r))
	}
	return spec
}

// job describes the Job that runs the agent on a node.
//
// Until a container runs its deadline is short, so that a Job whose image is
// missing does not stay for long when the command line is killed meanwhile.
func (l *Launcher) job(node string, r rung) *batchv1.Job {
	meta := l.meta(node)
	return &batchv1.Job{
		ObjectMeta: meta,
		Spec: batchv1.JobSpec{
			BackoffLimit:            ptr(int32(0)),
			ActiveDeadlineSeconds:   ptr(l.deadline(r)),
			TTLSecondsAfterFinished: ptr(int32(timeToLive)),
			Template:                corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels, Annotations: meta.Annotations}, Spec: l.podSpec(node, r)},
		},
	}
}

// deadline is the Job's first one, in seconds.
func (l *Launcher) deadline(r rung) int64 {
	if l.fixed.Load() {
		return l.fullDeadline()
	}
	return min(int64((l.startLimit(r)+startSlack)/time.Second), l.fullDeadline())
}

// fullDeadline is the one of a Job whose agent runs.
func (l *Launcher) fullDeadline() int64 { return int64((l.opts.Timeout + deadlineSlack) / time.Second) }

// startLimit is how long a node may take to run the agent.
func (l *Launcher) startLimit(r rung) time.Duration {
	if r.pull == corev1.PullNever {
		return min(l.opts.Start, localStart)
	}
	return l.opts.Start
}

func (l *Launcher) container(name, image string, r rung) corev1.Container {
	command := []string{ImageBinary, "wait"}
	if r.shell {
		command = []string{"sh", "-c", strings.ReplaceAll(waitScript, "@NAME@", name)}
	}
	return corev1.Container{
		Name: name, Image: image, ImagePullPolicy: r.pull, Command: command,
		WorkingDir: "/",
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0"), corev1.ResourceMemory: resource.MustParse("0")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse(memoryLimit)},
		},
		SecurityContext:          l.security(),
		VolumeMounts:             []corev1.VolumeMount{{Name: "run", MountPath: RunDir}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

func ptr[T any](v T) *T { return &v }
