package node

import "testing"

func TestHasLog(t *testing.T) {
	for name, want := range map[string]bool{"kubelet": true, "kernel": true, "containerd": true, "syslog": true, "k3s-agent": true, "etcd": true,
		"postgres": false, "": false, "coredns": false, "*": false} {
		if HasLog(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
