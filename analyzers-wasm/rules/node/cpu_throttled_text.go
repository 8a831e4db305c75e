package node

import "github.com/casefile-io/casefile/sdk"

func cpuThrottledEN() sdk.Text {
	return sdk.Text{
		Title:   "Container is throttled by its CPU limit",
		Message: "Container {container} of pod {namespace}/{pod} on node {node} was stopped in {throttled} of {periods} scheduling periods ({percent} %) within {seconds} s, {stoppedSeconds} s of its threads' time in all; its limit is {limit} CPUs and it used {used}.",
		Remediation: []string{
			"Raise the limit or take it away (a request still guarantees its share): kubectl -n {namespace} get pod {pod} -o yaml | grep -A6 resources:",
			"Tell the runtime how many CPUs it has, so that it does not spend a period's quota with many threads at once: GOMAXPROCS (Go before 1.25), -XX:ActiveProcessorCount, worker counts",
			"Requests that time out while the average CPU looks low are the usual sign: compare latency percentiles with the counter container_cpu_cfs_throttled_periods_total",
		},
		References: []string{
			"https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
			"https://docs.kernel.org/scheduler/sched-bwc.html",
		},
		Variants: map[string]sdk.Text{"cgroup": {
			Title:   "A pod's processes are throttled by their CPU limit",
			Message: "Cgroup {cgroup} on node {node} was stopped in {throttled} of {periods} scheduling periods ({percent} %) within {seconds} s, {stoppedSeconds} s in all; its limit is {limit} CPUs and it used {used}. The bundle does not say which pod it is.",
			Remediation: []string{
				"Find the pod by the uid in the path: kubectl get pods -A -o yaml | grep -B20 UID; then raise its CPU limit or take it away",
			},
		}},
		Doc: `Symptom: slow or timed-out requests, failing probes, slow DNS (a throttled CoreDNS slows everybody), while the average CPU usage looks harmless.

How it is checked: the counters nr_periods and nr_throttled of every container's cgroup are read twice. Stopped in 25 % or more of at least ten periods between the two readings is found; below fifty periods the confidence is medium, since it may be a short burst. Totals since the start are not used: they say nothing about now.

Folklore: container_cpu_usage_seconds_total is usage, not throttling, and "kubectl describe pod | grep -i throttling" never prints anything. Throttling needs no full node: the quota is spent per period of 100 ms, so eight busy threads with a limit of 1 stand still for 87 ms of each.`,
	}
}

func cpuThrottledZH() sdk.Text {
	return sdk.Text{
		Title:   "容器受 CPU 上限限流",
		Message: "节点 {node} 上，Pod {namespace}/{pod} 的容器 {container} 在 {seconds} 秒内的 {periods} 个调度周期中有 {throttled} 个被限流（{percent}%），各线程累计停顿 {stoppedSeconds} 秒；上限为 {limit} 个 CPU，实际用了 {used} 个。",
		Remediation: []string{
			"提高或去掉上限（requests 仍会保证其份额）：kubectl -n {namespace} get pod {pod} -o yaml | grep -A6 resources:",
			"让运行时知道自己有几个 CPU，避免大量线程瞬间用完配额：GOMAXPROCS（Go 1.25 之前）、-XX:ActiveProcessorCount、工作进程数",
			"平均 CPU 不高却频繁超时，是典型征兆：把延迟分位数与计数器 container_cpu_cfs_throttled_periods_total 对照",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/concepts/configuration/manage-resources-containers/",
			"https://docs.kernel.org/scheduler/sched-bwc.html",
		},
		Variants: map[string]sdk.Text{"cgroup": {
			Title:   "某个 Pod 的进程受 CPU 上限限流",
			Message: "节点 {node} 上的 cgroup {cgroup} 在 {seconds} 秒内的 {periods} 个调度周期中有 {throttled} 个被限流（{percent}%），累计停顿 {stoppedSeconds} 秒；上限为 {limit} 个 CPU，实际用了 {used} 个。案卷中没有信息表明它属于哪个 Pod。",
			Remediation: []string{
				"按路径中的 uid 找到 Pod：kubectl get pods -A -o yaml | grep -B20 UID；然后提高或去掉它的 CPU 上限",
			},
		}},
		Doc: `症状：请求变慢或超时、探针失败、DNS 变慢（CoreDNS 被限流会拖慢所有人），而平均 CPU 使用率看上去并不高。

检查方法：对每个容器的 cgroup 读取两次 nr_periods 与 nr_throttled。两次读取之间至少有 10 个周期、且其中 25% 以上被限流即为命中；不足 50 个周期时可信度为中，可能只是短暂的突发。不使用自启动以来的累计值，因为它说明不了当前的情况。

常见误区：container_cpu_usage_seconds_total 是用量而不是限流；kubectl describe pod | grep -i throttling 永远不会有输出。限流与节点是否繁忙无关：配额按每 100 毫秒的周期计算，上限为 1 而有 8 个忙碌线程时，每个周期会停顿 87 毫秒。`,
	}
}
