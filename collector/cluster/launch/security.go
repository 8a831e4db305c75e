package launch

import corev1 "k8s.io/api/core/v1"

// capabilities are what an agent needs that is not privileged. Measured on
// Kubernetes 1.36 with containerd 2.4, what is lost without each:
//
//	SYS_ADMIN         entering the network namespaces of pods; BPF where the kernel asks for it
//	SYS_PTRACE        the node's own files (logs, journal, tools), cgroups, whose a namespace is
//	SYS_CHROOT        rules as text, by the node's own nft and iptables
//	NET_ADMIN         rules, conntrack, ipset
//	NET_RAW           captures
//	SYSLOG            where dmesg_restrict is set, the kernel's log
//	DAC_READ_SEARCH   files that not even root's bits open
//
// With all of them, what a privileged container has beyond is the device
// /dev/kmsg: the kernel's log. BPF and PERFMON are parts of SYS_ADMIN.
func capabilities() []corev1.Capability {
	return []corev1.Capability{"SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "NET_ADMIN", "NET_RAW", "SYSLOG", "DAC_READ_SEARCH"}
}

// security is that of an agent's container. What is not privileged must be let
// off seccomp and AppArmor by name.
func (l *Launcher) security() *corev1.SecurityContext {
	s := &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr(true), RunAsUser: ptr(int64(0)), RunAsGroup: ptr(int64(0))}
	if !l.opts.Unprivileged {
		s.Privileged = ptr(true)
		return s
	}
	s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: capabilities()}
	s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
	s.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	return s
}
