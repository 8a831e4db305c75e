package dns

import "github.com/casefile-io/casefile/sdk"

func coreDNSUnavailableEN() sdk.Text {
	return sdk.Text{
		Title:   "Cluster DNS is not available",
		Message: "Service kube-system/{service} has {ready} ready endpoints of {endpoints}; Deployment {deployment} has {available} of {wanted} replicas available.",
		Remediation: []string{
			"See the pods: kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
			"Read why they are not ready: kubectl -n kube-system describe pods -l k8s-app=kube-dns; kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50",
		},
		References: []string{
			"https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
			"https://coredns.io/plugins/ready/",
		},
		Variants: map[string]sdk.Text{
			"none-ready": {
				Title:   "Cluster DNS answers nobody",
				Message: "No name resolves in the cluster: Service kube-system/{service} has no ready endpoint ({endpoints} in all), Deployment {deployment} has {available} of {wanted} replicas available.",
			},
			"scaled-to-zero": {
				Title:   "CoreDNS is scaled to zero",
				Message: "No name resolves in the cluster (or soon none will): Deployment kube-system/{deployment} has {wanted} replicas, Service {service} {ready} ready endpoints.",
				Remediation: []string{
					"Bring it back: kubectl -n kube-system scale deployment/{deployment} --replicas=2",
					"Find out who did it: kubectl -n kube-system get events --field-selector involvedObject.name={deployment}; the API server's audit log names the user",
				},
			},
			"no-service": {
				Title:   "The Service of the cluster's DNS is gone",
				Message: "kube-system has Deployment {deployment} ({available} of {wanted} available) but no Service kube-dns: the address in every pod's resolv.conf leads nowhere.",
				Remediation: []string{
					"With kubeadm: kubeadm init phase addon coredns writes the Service again, with the address that the kubelets hand out",
					"Its clusterIP must be the kubelets' clusterDNS: kubectl -n kube-system get configmap kubelet-config -o yaml | grep -A1 clusterDNS",
				},
			},
			"degraded": {
				Title:   "CoreDNS runs with fewer replicas than wanted",
				Message: "Deployment kube-system/{deployment} has {available} of {wanted} replicas available; Service {service} still has {ready} ready endpoints, so names resolve, but slowly or not at all when one more goes.",
			},
		},
		Doc: `Symptom: "Temporary failure in name resolution", "no such host", or pauses of 5 seconds before connections, for every workload at once.

How it is checked: the Service kube-dns in kube-system must have a ready endpoint, and the Deployment coredns as many available replicas as it wants. None ready is critical, fewer than wanted high. Queries to the Service that a capture shows sent again and never answered are cited. It is unknown in a cluster that has neither.

Folklore: "health { lameduck 5s }" and a larger cache in the Corefile are no cure for a CoreDNS that is down: the first only softens roll-outs, and kubeadm's Corefile caches for 30 seconds already. After a scale to zero lookups may still be answered for some seconds, by the lame duck. Many SYN_SENT sockets to port 53 do not mean "too many lookups": DNS uses UDP first, so they come from truncated answers or a forced TCP upstream.`,
	}
}

func coreDNSUnavailableZH() sdk.Text {
	return sdk.Text{
		Title:   "集群 DNS 不可用",
		Message: "Service kube-system/{service} 的 {endpoints} 个端点中有 {ready} 个就绪；Deployment {deployment} 期望 {wanted} 个副本，可用 {available} 个。",
		Remediation: []string{
			"查看 Pod：kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
			"查看未就绪的原因：kubectl -n kube-system describe pods -l k8s-app=kube-dns；kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/tasks/administer-cluster/dns-debugging-resolution/",
			"https://coredns.io/plugins/ready/",
		},
		Variants: map[string]sdk.Text{
			"none-ready": {
				Title:   "集群 DNS 完全不可用",
				Message: "集群内无法解析任何域名：Service kube-system/{service} 没有就绪的端点（共 {endpoints} 个），Deployment {deployment} 期望 {wanted} 个副本，可用 {available} 个。",
			},
			"scaled-to-zero": {
				Title:   "CoreDNS 副本数被缩为 0",
				Message: "集群内已经（或即将）无法解析任何域名：Deployment kube-system/{deployment} 的副本数为 {wanted}，Service {service} 还有 {ready} 个就绪端点。",
				Remediation: []string{
					"恢复副本：kubectl -n kube-system scale deployment/{deployment} --replicas=2",
					"查明是谁缩的：kubectl -n kube-system get events --field-selector involvedObject.name={deployment}；API Server 审计日志里有操作者",
				},
			},
			"no-service": {
				Title:   "集群 DNS 的 Service 不存在",
				Message: "kube-system 中有 Deployment {deployment}（期望 {wanted} 个副本，可用 {available} 个），却没有 Service kube-dns：各 Pod 的 resolv.conf 所写的地址无人应答。",
				Remediation: []string{
					"使用 kubeadm 的集群：kubeadm init phase addon coredns 会按 kubelet 下发的地址重建该 Service",
					"它的 clusterIP 必须等于 kubelet 的 clusterDNS：kubectl -n kube-system get configmap kubelet-config -o yaml | grep -A1 clusterDNS",
				},
			},
			"degraded": {
				Title:   "CoreDNS 可用副本不足",
				Message: "Deployment kube-system/{deployment} 期望 {wanted} 个副本，可用 {available} 个；Service {service} 仍有 {ready} 个就绪端点，目前尚可解析，但再少一个就会变慢甚至失败。",
			},
		},
		Doc: `症状：所有工作负载同时出现 "Temporary failure in name resolution"、"no such host"，或建立连接前停顿 5 秒。

检查方法：kube-system 中的 Service kube-dns 必须有就绪的端点，Deployment coredns 的可用副本数必须达到期望值。一个都没有为严重（critical），少于期望值为高（high）。抓包中反复发往该 Service 而从未得到应答的查询会被引用。两者都不存在的集群结果为未知。

常见误区：CoreDNS 宕机时，在 Corefile 里加 "health { lameduck 5s }" 或加大缓存都无济于事：前者只让滚动更新更平滑，而 kubeadm 的 Corefile 本来就缓存 30 秒。副本缩为 0 之后几秒内仍可能得到应答，那是尚未退出的实例。53 端口上大量 SYN_SENT 并不表示“解析过多”：DNS 首先走 UDP，出现 TCP 是因为应答被截断，或上游强制使用 TCP。`,
	}
}
