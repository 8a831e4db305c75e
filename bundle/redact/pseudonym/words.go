package pseudonym

import (
	_ "embed" // the lists
	"strings"
)

// words.txt holds ordinary words, sorted: names of fields of Kubernetes objects
// and of files and counters of the kernel, words of logs, programs that
// everybody runs. An object that is called like one is mapped only where a name
// is known to stand.
//
//go:embed words.txt
var wordList string

// suffixes.txt holds how DNS names end, with how much that says of the name.
//
//go:embed suffixes.txt
var suffixList string

// wellKnown returns names that nearly every cluster has: they identify nobody,
// and rules look for them.
func wellKnown() []string {
	return strings.Fields(`default kube-system kube-public kube-node-lease kubernetes localhost
		kube-dns coredns node-local-dns kube-proxy kube-apiserver kube-scheduler kube-controller-manager cloud-controller-manager etcd
		kube-flannel kube-flannel-ds kube-flannel-cfg calico-node calico-kube-controllers calico-typha calico-apiserver calico-system tigera-operator cilium cilium-operator cilium-envoy cilium-config
		kube-router kube-multus-ds antrea-agent antrea-controller weave-net aws-node azure-cni ebs-csi-node ebs-csi-controller
		metrics-server kube-state-metrics node-exporter local-path-provisioner istio-system istio-proxy istiod linkerd-proxy ingress-nginx-controller ingress-nginx kubernetes-dashboard
		kube-root-ca.crt extension-apiserver-authentication kubeadm-config kubelet-config cluster-info cluster-admin kubernetes-admin kube-api-access
		attachdetach-controller bootstrap-signer certificate-controller cloud-provider clusterrole-aggregation-controller cronjob-controller daemon-set-controller
		deployment-controller device-taint-eviction-controller disruption-controller endpoint-controller endpointslice-controller endpointslicemirroring-controller
		ephemeral-volume-controller expand-controller generic-garbage-collector horizontal-pod-autoscaler job-controller leader-election-controller
		legacy-service-account-token-cleaner kube-apiserver-legacy-service-account-token-tracking kube-apiserver-kubelet-client namespace-controller node-controller
		persistent-volume-binder pod-garbage-collector pv-protection-controller pvc-protection-controller replicaset-controller replication-controller
		resource-claim-controller resourcequota-controller root-ca-cert-publisher route-controller selinux-warning-controller service-account-controller
		service-cidrs-controller service-controller statefulset-controller token-cleaner ttl-after-finished-controller ttl-controller
		validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller storage-version-migrator-controller
		root nobody anonymous unauthenticated git`)
}

// vocabulary is what New looks names up in.
type vocabulary struct {
	words    map[string]struct{}
	suffixes map[string]suffix
}

// suffix says what the end of a DNS name tells.
type suffix uint8

const (
	strong suffix = iota + 1 // what ends so is a host
	weak                     // unless all else in it is ordinary
	rare                     // only with three labels or more, none ordinary
	public                   // of a public project: the whole name stays
)

func newVocabulary() vocabulary {
	v := vocabulary{words: map[string]struct{}{}, suffixes: map[string]suffix{}}
	for w := range strings.FieldsSeq(wordList) {
		v.words[w] = struct{}{}
	}
	kinds := map[string]suffix{"strong": strong, "weak": weak, "rare": rare, "public": public}
	for line := range strings.Lines(suffixList) {
		fields := strings.Fields(line)
		for _, s := range fields[1:] {
			v.suffixes[s] = kinds[fields[0]]
		}
	}
	return v
}

// ordinary says whether a name, in lower case, might as well be a word of free
// text, a number, an interface or a version.
func (v *vocabulary) ordinary(name []byte) bool {
	if _, ok := v.words[string(name)]; ok || len(name) <= 1 {
		return true
	}
	digits, hex := 0, 0
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f':
			hex++
		case c < 'a' || c > 'z':
			return false
		}
	}
	if digits+hex == len(name) && len(name) <= 12 || len(name) == 2 && digits == 0 {
		return true
	}
	stem := name
	for len(stem) > 0 && stem[len(stem)-1] <= '9' {
		stem = stem[:len(stem)-1]
	}
	switch string(stem) {
	case "eth", "ens", "eno", "wlan", "br", "bond", "cni", "docker", "tun", "tap", "vxlan", "dummy", "lo", "v", "cpu", "ipv", "tcp", "udp", "inet", "tty", "sda", "vda", "l":
		return len(stem) < len(name)
	}
	return false
}
