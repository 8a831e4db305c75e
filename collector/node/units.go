package node

import (
	"path"
	"slices"
	"strings"
)

// logUnits are the units whose logs tell of a node's network.
func logUnits() []string {
	return []string{"kubelet.service", "containerd.service", "crio.service", "docker.service", "cri-docker.service", "k3s*.service", "rke2*.service",
		"k0s*.service", "snap.microk8s.*.service", "etcd*.service", "kube-*.service", "NetworkManager.service", "systemd-networkd.service",
		"systemd-resolved.service", "dnsmasq.service", "firewalld.service", "nftables.service", "chronyd.service", "chrony.service", "ntpd.service",
		"systemd-timesyncd.service", "keepalived.service", "haproxy.service"}
}

// logFiles are files below /var/log for machines without a journal: the first
// are of one program each, and are read unless the journal has its log.
func logFiles() (own, common []string) {
	return []string{"kubelet.log", "containerd.log", "crio.log", "docker.log", "kube-proxy.log", "etcd.log", "k3s.log", "k3s-agent.log"},
		[]string{"kern.log", "syslog", "messages", "daemon.log"}
}

// kernelLog is the name of the kernel's messages in the journal.
const kernelLog = "kernel"

// HasLog says whether a machine's own logs, below nodes/<node>/logs/, may have
// one of that name.
func HasLog(name string) bool {
	own, common := logFiles()
	return name == kernelLog || slices.Contains(own, name+".log") || slices.Contains(common, name+".log") || slices.Contains(common, name) || isLogUnit(name+".service")
}

func isLogUnit(unit string) bool {
	return slices.ContainsFunc(logUnits(), func(pattern string) bool {
		ok, err := path.Match(pattern, unit)
		return ok && err == nil && !strings.Contains(unit, "/")
	})
}
