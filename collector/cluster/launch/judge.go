package launch

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// hopeless are the reasons of a waiting container that waiting does not mend.
func hopeless(reason string) bool {
	switch reason {
	case "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable",
		"SignatureValidationFailed", "CreateContainerConfigError", "CreateContainerError", "PreCreateHookError", "PreStartHookError",
		"RunContainerError", "StartError", "CrashLoopBackOff":
		return true
	}
	return false
}

// judge tells from the pod which containers run, or why none ever will; both
// empty means wait.
func judge(p *corev1.Pod) (running []string, err error) {
	var waiting bool
	var failures []string
	for _, c := range p.Status.ContainerStatuses {
		switch s := c.State; {
		case s.Running != nil:
			running = append(running, c.Name)
		case s.Terminated != nil:
			failures = append(failures, fmt.Sprintf("%s: %s (exit code %d) %s", imageOf(p, c), s.Terminated.Reason, s.Terminated.ExitCode, brief(s.Terminated.Message)))
		case s.Waiting != nil && hopeless(s.Waiting.Reason):
			failures = append(failures, strings.TrimSpace(fmt.Sprintf("%s: %s %s", imageOf(p, c), s.Waiting.Reason, brief(s.Waiting.Message))))
		default:
			waiting = true
		}
	}
	switch {
	case len(running) > 0:
		return inOrder(p, running), nil
	case len(failures) > 0 && !waiting && len(failures) == len(p.Spec.Containers):
		return nil, imageError{printable(strings.Join(failures, "; "))}
	case p.Status.Phase == corev1.PodFailed: // the kubelet refused or evicted it
		return nil, fmt.Errorf("%w: %s: %s", ErrNode, p.Status.Reason, printable(p.Status.Message))
	case p.Status.Phase == corev1.PodSucceeded:
		return nil, imageError{"the agent ended at once"}
	}
	return nil, nil
}

// imageOf is the image as we named it; the status may have it otherwise.
func imageOf(p *corev1.Pod, status corev1.ContainerStatus) string {
	for _, c := range p.Spec.Containers {
		if c.Name == status.Name {
			return c.Image
		}
	}
	return status.Image
}

// brief leaves out through which layers a runtime's error came.
func brief(message string) string {
	const layers = "unable to start container process: "
	if _, after, ok := strings.Cut(message, layers); ok {
		return after
	}
	return message
}

// inOrder sorts names as the spec has them: the best candidate first.
func inOrder(p *corev1.Pod, names []string) []string {
	var sorted []string
	for _, c := range p.Spec.Containers {
		for _, name := range names {
			if c.Name == name {
				sorted = append(sorted, name)
			}
		}
	}
	return sorted
}

// state says in a few words how far a pod came.
func state(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return printable(strings.TrimSpace(w.Reason + " " + w.Message))
		}
	}
	if p.Status.Phase == "" {
		return "no pod"
	}
	return strings.TrimSpace(string(p.Status.Phase) + " " + p.Status.Reason)
}

// final tells a refusal by policy from a failure that a retry may mend.
func final(message string) bool {
	for _, s := range []string{"violates PodSecurity", "security context constraint", "denied the request", "exceeded quota"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return strings.Contains(message, "is forbidden") && !strings.Contains(message, "error looking up service account")
}
