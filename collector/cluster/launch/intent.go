package launch

import (
	"context"
	"fmt"
	"strings"
)

// Intent is what the user is asked to agree to.
type Intent struct {
	Namespace string
	RunID     string
	Nodes     []string
	Images    []string // to be tried in this order; empty when Borrow is not
	Via       string   // ViaJob, ViaPod or ViaDebug
	Limited   bool     // to capabilities: not privileged
	// Borrow holds images of the node whose shell would run as root on it,
	// which none of its system pods does so far.
	Borrow []string
}

// String says it in a sentence.
func (i Intent) String() string {
	if len(i.Borrow) > 0 {
		return fmt.Sprintf("No agent image is on node %s. Its images %s may have a shell to start the agent with; that shell would run as root on the node, so agree only if you trust the image.",
			strings.Join(i.Nodes, ", "), strings.Join(i.Borrow, ", "))
	}
	nodes := strings.Join(i.Nodes, ", ")
	if len(i.Nodes) > 8 {
		nodes = strings.Join(i.Nodes[:8], ", ") + ", …"
	}
	may := "privileged"
	if i.Limited {
		may = "capable (CAP_SYS_ADMIN and others)"
	}
	switch i.Via {
	case ViaPod:
		return fmt.Sprintf("In namespace %s, one %s pod (host network and processes, read-only root) for each of %d nodes: %s. All have the label %s=%s and are deleted at the end; if casefile is killed they end within minutes, but are listed until casefile agent cleanup.",
			i.Namespace, may, len(i.Nodes), nodes, LabelRun, i.RunID)
	case ViaDebug:
		return fmt.Sprintf("In namespace %s, one %s debug container in a running pod of each of %d nodes: %s. It ends by itself, but Kubernetes cannot take it out of the pod's description again until the pod is replaced. It sees the node's network, and where the pod does not share them, neither its processes nor the namespaces of its pods.",
			i.Namespace, may, len(i.Nodes), nodes)
	}
	return fmt.Sprintf("In namespace %s, one %s Job (host network and processes, read-only root) for each of %d nodes: %s. All have the label %s=%s and are deleted at the end.",
		i.Namespace, may, len(i.Nodes), nodes, LabelRun, i.RunID)
}

func (l *Launcher) confirm(ctx context.Context, i Intent) error {
	if l.opts.Confirm == nil {
		return nil
	}
	yes, err := l.opts.Confirm(ctx, i)
	if err == nil && !yes {
		err = ErrDeclined
	}
	return err
}

// help says how to get the agent's image onto nodes, for the node's own
// runtime first.
func (l *Launcher) help(n node) string {
	image := l.opts.DefaultImage
	lines := []string{
		"containerd:  ctr -n k8s.io images import casefile-agent.tar",
		"CRI-O:       skopeo copy oci-archive:casefile-agent.tar containers-storage:" + image + "   (or: podman load -i casefile-agent.tar)",
		"docker:      docker load -i casefile-agent.tar",
	}
	first := 0
	switch {
	case strings.Contains(n.kubelet, "+k3s"):
		lines[0] = "k3s:         k3s ctr images import casefile-agent.tar"
	case strings.Contains(n.kubelet, "+rke2"):
		lines[0] = "rke2:        /var/lib/rancher/rke2/bin/ctr -a /run/k3s/containerd/containerd.sock -n k8s.io images import casefile-agent.tar"
	case strings.HasPrefix(n.runtime, "cri-o"):
		first = 1
	case strings.HasPrefix(n.runtime, "docker"):
		first = 2
	}
	lines[0], lines[first] = lines[first], lines[0]
	return "Make the agent's image here:\n  casefile agent image save -o casefile-agent.tar\n" +
		"copy it to every node and load it there, as root:\n  " + strings.Join(lines, "\n  ") +
		"\nOr push it to a registry that the nodes reach and name it with --agent-image, or leave the nodes out with --nodes none."
}
