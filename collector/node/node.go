// Package node reads what one Linux machine knows of its network: raw kernel
// text, netlink tables, sockets, cgroups, processes and the kernel log, for
// the node's own network namespace and for every other one on it.
//
// # Files
//
// Below nodes/<node>/ (k is the sample, 0 to Samples-1; zero values are left
// out of the .ndjson rows; the shapes are the types of rows.go):
//
//	node.json                     the machine, its clocks, its namespaces
//	kmsg.ndjson mounts.ndjson bpf.ndjson certificates.ndjson (public parts)  once
//	processes.ndjson              whole; after the first sample <k>/processes.ndjson has what moves
//	etc/ run/ kubelet/ runtime/ boot/  configuration of the machine, by an allow-list
//	cni/net.d/ cni/{flannel,calico}/  cni/{state,plugins,leases,results}.ndjson
//	pods/<uid>/<container>/{limits,etc/{resolv.conf,hosts,nsswitch.conf}}
//	logs/<unit>.log logs/kernel.log   the journal's newest entries (or the tail of files below /var/log):
//	                                  2026-11-28T16:00:00.123456Z host kubelet[812]: message
//	logs/pods/<ns>/<pod>/<container>[.previous].log   Host only; as cluster/logs: time, blank, line
//	static-pods/<file>.json           manifests that the kubelet starts by itself
//	<k>/…                         the node's own network namespace
//	<k>/proc/{loadavg,stat,…}     and what is one per machine; proc/config.txt is config.gz
//	<k>/proc/sys/{kernel,vm,fs,user,debug}/** <k>/sys/**  settings in the first sample, numbers in each
//	<k>/cgroups.ndjson <k>/clock.json
//	netns/<inode>/<k>/…           every other network namespace, also one that only a mount keeps
//
// and for each namespace and sample
//
//	proc/net/*  proc/net/stat/*   raw
//	proc/sys/net/**               raw, a file each; after the first sample only net/netfilter
//	net/{links,addrs,routes,rules,neighbors,fdb,qdiscs,sockets}.ndjson
//	net/{nexthops,neightables,netconf,vlans,mdb,classes,filters,xfrm,wireguard,netnsids}.ndjson
//	                              where there is something in them
//	net/{unix,packet}.ndjson      sockets too; sockets.ndjson has TCP with tcp_info, UDP and raw IP
//	net/ethtool.ndjson
//	net/{nftables,iptables,ipsets,ipvs}.ndjson  typed; iptables is the legacy back end
//	net/conntrack-{summary.json,stats.ndjson}  numbers of the whole table, counters by processor
//	net/conntrack{,-expect}.ndjson  in the first sample alone; a table that is too large is sampled evenly
//	net/{nftables,ip{,6}tables-{nft,legacy}}.txt  once, by the node's own tools
//
// # Care
//
// Reading must not change the machine. Parts of the kernel that are not loaded
// are not asked, since that would load them. Of the legacy iptables only tables that
// the kernel names are queried, since the query creates others; programs are
// run from the node's own root alone, never from a pod's; sysctls whose reading logs a
// deprecation, and those that hold keys, are passed over. Namespaces are
// entered on threads that end afterwards, and are not held open between the
// samples. Files of pods and of the machine are opened below their root, whatever
// links say, and only regular ones; file systems that may not answer are not
// waited for. Each source that fails costs only itself and leaves a result.
// PRIVILEGES.md says what each source needs.
//
// With [Options.Only] a source is not touched unless one of its files is
// wanted, and a namespace is not entered unless something below it is.
package node

import (
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Options of [New].
type Options struct {
	Node     string
	Pods     []Pod
	Samples  int            // at least 1
	Interval time.Duration  // from the start of one sample to that of the next
	ProcRoot string         // default /proc
	SysRoot  string         // default /sys
	Host     bool           // this machine, not from within a pod
	Root     string         // the machine's own root folder; default / for Host, else that of process 1
	Since    time.Duration  // how far back logs go; 0: as far as the profile's bytes reach
	Profile  string         // quick, standard (default) or full: how many bytes of logs
	Only     collector.Only // what of all this is wanted; node.json always is
}

// Pod is what is known beforehand of a pod on the node.
type Pod struct {
	UID        string
	Namespace  string
	Name       string
	HostNet    bool
	Containers map[string]string // 64-hex id → name
}

// Netns is one network namespace.
type Netns struct {
	Inode        uint64   `json:"inode"`
	Host         bool     `json:"host,omitempty"`
	PID          int      `json:"pid"`            // a process in it; 0 if there is none, but a mount
	Path         string   `json:"path,omitempty"` // of the mount that keeps it then
	PodUID       string   `json:"podUID,omitempty"`
	PodNamespace string   `json:"podNamespace,omitempty"`
	PodName      string   `json:"podName,omitempty"`
	Containers   []string `json:"containers,omitempty"` // 64-hex ids

	pids   []int  // others in it, should PID end
	uid    string // of the first pod's cgroup
	shared bool   // by several pods, so that it is none's own

	mounted string // where to open Path
}

// PIDs are some processes in the namespace, the oldest first.
func (ns Netns) PIDs() []int { return ns.pids }

// New returns the collector of this machine.
func New(o Options) collector.Collector {
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	o.Samples = max(o.Samples, 1)
	if o.Root == "" {
		o.Root = MachineRoot(o.ProcRoot, o.Host)
	}
	return &node{o}
}

type node struct{ o Options }

// Name implements [collector.Collector].
func (n *node) Name() string { return "node/" + n.o.Node }
