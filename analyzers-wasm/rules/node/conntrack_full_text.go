package node

import "github.com/casefile-io/casefile/sdk"

func conntrackFullEN() sdk.Text {
	return sdk.Text{
		Title:   "Connection tracking table is full or nearly so",
		Message: "{where}: {count} of {max} connection entries in use ({percent} %), {drop} dropped and {early} evicted within {seconds} s.",
		Remediation: []string{
			"See who holds the entries, on node {node}: conntrack -L -o extended | awk by source, or this bundle's sockets of each pod",
			"Raise the limit for the node: kube-proxy's conntrack.maxPerCore (32768) and conntrack.min (131072), kubectl -n kube-system edit configmap kube-proxy, or sysctl net.netfilter.nf_conntrack_max where kube-proxy does not run; each entry takes about 300 bytes",
			"Fewer entries: reuse connections (keep-alive, pools), shorten net.netfilter.nf_conntrack_tcp_timeout_time_wait, serve DNS by NodeLocal DNSCache, which is not tracked",
		},
		References: []string{
			"https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
			"https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/",
		},
		Variants: map[string]sdk.Text{
			"dropping": {
				Title:   "Connection tracking table is full: new connections are dropped",
				Message: "{where}: the kernel dropped {drop} packets within {seconds} s because the connection table was full ({count} of {max} entries now, {percent} %; {early} evicted early; {lines} lines \"table full\" in its log).",
			},
			"logged": {
				Title:   "Connection tracking table was full minutes ago",
				Message: "{where}: the kernel logged that its connection table was full and packets were dropped ({lines} lines in the last 15 minutes, the last at {when}); now {count} of {max} entries are in use ({percent} %).",
			},
			"evicting": {
				Title:   "Connection tracking table is so full that entries are evicted",
				Message: "{where}: the kernel threw {early} entries out of the connection table early within {seconds} s to make room ({count} of {max} now, {percent} %): those connections may break.",
			},
			"near-full": {
				Title:   "Connection tracking table is nearly full",
				Message: "{where}: {count} of {max} connection entries are in use ({percent} %); when it is full, new connections are dropped.",
			},
		},
		Doc: `Symptom: new connections and DNS queries time out now and then while old connections go on; the node's log says "nf_conntrack: table full, dropping packet".

How it is checked: nf_conntrack_count against nf_conntrack_max in every network namespace of every node: 80 % is high, 95 % critical. The counters drop and early_drop that grow between two samples, or a line "table full" in the kernel's log within the 15 minutes before the last sample, mean that it happens now. Newer kernels name the network namespace in that line, so the finding names the pod.

Folklore: the count says nothing without the maximum. The count is per network namespace: read inside a pod it is nearly 0, however full the node is. nf_conntrack_max is one value for the whole node; it is no limit per pod, and "sysctl -w net.netfilter.nf_conntrack_max=100000" often lowers it, because kube-proxy sets max(32768 × cores, 131072). It has nothing to do with "Cannot assign requested address", which is a lack of local ports.`,
	}
}

func conntrackFullZH() sdk.Text {
	return sdk.Text{
		Title:   "连接跟踪表已满或接近用满",
		Message: "{where}：连接跟踪表已用 {count}/{max} 条（{percent}%），{seconds} 秒内丢弃 {drop} 个、提前淘汰 {early} 条。",
		Remediation: []string{
			"在节点 {node} 上查看是谁占用了表项：conntrack -L -o extended 并按源地址统计，或查看本案卷中各 Pod 的套接字",
			"提高节点上限：kube-proxy 的 conntrack.maxPerCore（32768）与 conntrack.min（131072），kubectl -n kube-system edit configmap kube-proxy；没有 kube-proxy 时用 sysctl net.netfilter.nf_conntrack_max。每条约占 300 字节",
			"减少表项：复用连接（长连接、连接池），缩短 net.netfilter.nf_conntrack_tcp_timeout_time_wait，DNS 改用 NodeLocal DNSCache（不经连接跟踪）",
		},
		References: []string{
			"https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
			"https://kubernetes.io/zh-cn/docs/reference/config-api/kube-proxy-config.v1alpha1/",
		},
		Variants: map[string]sdk.Text{
			"dropping": {
				Title:   "连接跟踪表已满，新连接被丢弃",
				Message: "{where}：因连接跟踪表已满，内核在 {seconds} 秒内丢弃了 {drop} 个包（当前 {count}/{max} 条，{percent}%；提前淘汰 {early} 条；内核日志中有 {lines} 行 \"table full\"）。",
			},
			"logged": {
				Title:   "连接跟踪表几分钟前曾用满",
				Message: "{where}：内核日志显示连接跟踪表曾用满并丢包（最近 15 分钟内 {lines} 行，最后一次 {when}）；当前已用 {count}/{max} 条（{percent}%）。",
			},
			"evicting": {
				Title:   "连接跟踪表过满，表项被提前淘汰",
				Message: "{where}：为腾出空间，内核在 {seconds} 秒内提前淘汰了 {early} 条连接跟踪表项（当前 {count}/{max} 条，{percent}%），相应的连接可能中断。",
			},
			"near-full": {
				Title:   "连接跟踪表接近用满",
				Message: "{where}：连接跟踪表已用 {count}/{max} 条（{percent}%）；一旦用满，新连接会被丢弃。",
			},
		},
		Doc: `症状：新建连接与 DNS 查询时不时超时，而已有连接正常；节点内核日志出现 "nf_conntrack: table full, dropping packet"。

检查方法：在每个节点的每个网络命名空间里比较 nf_conntrack_count 与 nf_conntrack_max：达到 80% 为高，95% 为严重。两次采样之间 drop 或 early_drop 计数增长，或者最后一次采样之前 15 分钟内内核日志出现 "table full"，说明正在发生。较新的内核会在该行写出网络命名空间，因此可以定位到 Pod。

常见误区：只看条数不看上限没有意义。条数按网络命名空间统计：在 Pod 里读到的几乎是 0，不管节点有多满。nf_conntrack_max 是整个节点的值，并不是每个 Pod 的限制；执行 sysctl -w net.netfilter.nf_conntrack_max=100000 往往是调低了它，因为 kube-proxy 设置的是 max(32768 × 核数, 131072)。它与 "Cannot assign requested address" 无关，后者是本地端口耗尽。`,
	}
}
