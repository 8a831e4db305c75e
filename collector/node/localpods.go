package node

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
)

// Names of objects and containers, as the API server allows them.
var dnsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// parsePodDir reads the name of a folder of /var/log/pods: NAMESPACE_NAME_UID.
func parsePodDir(name string) (Pod, bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 || !dnsName.MatchString(parts[0]) || !dnsName.MatchString(parts[1]) || len(parts[2]) > 64 || !isUID(parts[2]) {
		return Pod{}, false
	}
	return Pod{Namespace: parts[0], Name: parts[1], UID: parts[2]}, true
}

func isUID(s string) bool {
	hex := strings.ReplaceAll(s, "-", "")
	return len(hex) == 32 && isHex(hex)
}

// runtimeDirs are where runtimes keep the configuration of each container that
// runs, in a folder of its id.
func runtimeDirs() []struct{ dir, file string } {
	const task = "/io.containerd.runtime.v2.task/k8s.io"
	return []struct{ dir, file string }{
		{"/run/containerd" + task, "config.json"},
		{"/run/k3s/containerd" + task, "config.json"},
		{"/run/containers/storage/overlay-containers", "userdata/config.json"},
	}
}

const (
	maxRuntimeDirs   = 4000
	maxRuntimeConfig = 2 << 20
)

// podsIn finds the pods of the machine whose root is given: by the configurations
// that containerd and CRI-O keep of what runs, and by the names of the folders
// of /var/log/pods, whose pods may have ended. It returns what it could read.
func podsIn(root string) []Pod {
	pods := map[string]*Pod{}
	var order []string
	get := func(p Pod) *Pod {
		if known := pods[p.UID]; known != nil {
			return known
		}
		p.Containers = map[string]string{}
		pods[p.UID] = &p
		order = append(order, p.UID)
		return &p
	}
	for _, r := range runtimeDirs() {
		eachContainer(root, r.dir, r.file, func(id string, pod Pod, container string) {
			get(pod).Containers[id] = container
		})
	}
	if dir, err := openFolder(root, "/var/log/pods"); err == nil {
		if entries, _, err := list(dir, ".", maxRuntimeDirs); err == nil {
			for _, e := range entries {
				if p, ok := parsePodDir(e.Name()); ok {
					get(p)
				}
			}
		}
		dir.Close()
	}
	all := make([]Pod, 0, len(order))
	for _, uid := range order {
		all = append(all, *pods[uid])
	}
	return all
}

func eachContainer(root, name, file string, yield func(id string, pod Pod, container string)) {
	dir, err := openFolder(root, name)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _, err := list(dir, ".", maxRuntimeDirs)
	if err != nil {
		return
	}
	for _, e := range entries {
		if len(e.Name()) != 64 || !isHex(e.Name()) {
			continue
		}
		if pod, container, ok := readRuntimeConfig(dir, e.Name()+"/"+file); ok {
			yield(e.Name(), pod, container)
		}
	}
}

func readRuntimeConfig(dir *os.Root, name string) (Pod, string, bool) {
	f, info, err := openFile(dir, name)
	if err != nil {
		return Pod{}, "", false
	}
	defer f.Close()
	if info.Size() > maxRuntimeConfig {
		return Pod{}, "", false
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRuntimeConfig)) //nolint:forbidigo // limited
	if err != nil {
		return Pod{}, "", false
	}
	return parseRuntimeConfig(b)
}

// parseRuntimeConfig reads whose container an OCI configuration is of. The
// rest of it, the environment among it, is not looked at.
func parseRuntimeConfig(b []byte) (pod Pod, container string, ok bool) {
	var c struct {
		Annotations map[string]string `json:"annotations"`
		Linux       struct {
			Namespaces []struct {
				Type string `json:"type"`
			} `json:"namespaces"`
		} `json:"linux"`
	}
	if json.Unmarshal(b, &c) != nil {
		return Pod{}, "", false
	}
	pick := func(keys ...string) string {
		for _, k := range keys {
			if v := c.Annotations[k]; v != "" {
				return v
			}
		}
		return ""
	}
	pod = Pod{
		UID:       pick("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
		Namespace: pick("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
		Name:      pick("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
		HostNet:   true,
	}
	for _, ns := range c.Linux.Namespaces {
		pod.HostNet = pod.HostNet && ns.Type != "network"
	}
	container = pick("io.kubernetes.cri.container-name", "io.kubernetes.container.name")
	return pod, container, isUID(pod.UID) && dnsName.MatchString(pod.Name) && dnsName.MatchString(pod.Namespace)
}
