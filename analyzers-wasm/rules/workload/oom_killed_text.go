package workload

import "github.com/casefile-io/casefile/sdk"

func oomKilledEN() sdk.Text {
	return sdk.Text{
		Title:   "Container was killed for memory",
		Message: "The kernel killed container {container} of pod {namespace}/{pod} on node {node} because it reached its memory limit of {limit} (last at {when}; {restarts} restarts). Pods of the workload hit: {pods}.",
		Remediation: []string{
			"Compare the limit with what it needs: kubectl -n {namespace} top pod {pod} --containers; kubectl -n {namespace} describe pod {pod} | grep -A3 Limits",
			"Raise resources.limits.memory, or bound the process below it: GOMEMLIMIT for Go, -XX:MaxRAMPercentage for Java, --max-old-space-size for Node.js",
			"Growing without end is a leak: take a heap profile before the next kill instead of raising the limit again",
		},
		References: []string{
			"https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-limits-are-run",
			"https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files",
		},
		Variants: map[string]sdk.Text{
			"child": {
				Title:   "A process inside a container was killed for memory, unnoticed",
				Message: "The kernel killed {kills} process(es) for memory inside container {container} of pod {namespace}/{pod} on node {node} (limit {limit}, last victim {task}), but the container lives on, so Kubernetes shows nothing.",
				Remediation: []string{
					"Look for workers that vanish: kubectl -n {namespace} logs {pod} -c {container} --since=1h",
					"Raise resources.limits.memory, or run fewer worker processes in the container",
					"With cgroup v2 the whole container is killed together (memory.oom.group) since Kubernetes 1.28 unless the kubelet's singleProcessOOMKill is set",
				},
			},
			"node": {
				Title:   "The node ran out of memory and a container was killed",
				Message: "Node {node} itself ran out of memory and the kernel chose container {container} of pod {namespace}/{pod} (process {task}; its limit {limit} was not the cause; last at {when}). Pods of the workload hit: {pods}.",
				Remediation: []string{
					"See who uses the node's memory: kubectl describe node {node}; kubectl top pod -A --sort-by=memory",
					"Give pods requests near what they use, so that the scheduler does not overfill nodes, and reserve memory for the system (kubelet: systemReserved, evictionHard memory.available)",
				},
			},
		},
		Doc: `Symptom: connections reset, restarts with exit code 137, or workers that vanish without a word.

How it is checked: a container whose state or last state is OOMKilled is found, or one that ended with 137 while the kernel's log names its cgroup. Beyond what Kubernetes shows, the counter oom_kill of every running container's cgroup is read: when only a child process was killed, the container lives on and its status stays clean. The kernel's lines "oom-kill:" and "Killed process" are cited, and tell whether the container's limit or the whole node was exhausted. A kill more than 24 hours old is reported as low.

Folklore: 137 alone is SIGKILL, which a failed liveness probe sends as well. "kubectl top" shows an average and misses the peak that killed.`,
	}
}

func oomKilledZH() sdk.Text {
	return sdk.Text{
		Title:   "容器因内存不足被杀死",
		Message: "节点 {node} 上，Pod {namespace}/{pod} 的容器 {container} 达到内存上限 {limit}，被内核杀死（最近一次 {when}，已重启 {restarts} 次）。该工作负载受影响的 Pod 数：{pods}。",
		Remediation: []string{
			"对比上限与实际用量：kubectl -n {namespace} top pod {pod} --containers；kubectl -n {namespace} describe pod {pod} | grep -A3 Limits",
			"提高 resources.limits.memory，或让进程自身不超过上限：Go 用 GOMEMLIMIT，Java 用 -XX:MaxRAMPercentage，Node.js 用 --max-old-space-size",
			"内存只涨不跌就是泄漏：不要一再提高上限，应在下次被杀之前采集堆剖析",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/concepts/configuration/manage-resources-containers/",
			"https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files",
		},
		Variants: map[string]sdk.Text{
			"child": {
				Title:   "容器内的进程因内存不足被杀死，却无人察觉",
				Message: "节点 {node} 上，Pod {namespace}/{pod} 的容器 {container} 内有 {kills} 个进程因内存不足被内核杀死（上限 {limit}，最近被杀的是 {task}），但容器仍在运行，Kubernetes 中看不到任何痕迹。",
				Remediation: []string{
					"检查是否有工作进程消失：kubectl -n {namespace} logs {pod} -c {container} --since=1h",
					"提高 resources.limits.memory，或减少容器内的工作进程数",
					"在 cgroup v2 上，Kubernetes 1.28 起会整体杀死容器（memory.oom.group），除非 kubelet 设置了 singleProcessOOMKill",
				},
			},
			"node": {
				Title:   "节点内存耗尽，容器被杀死",
				Message: "节点 {node} 自身内存耗尽，内核选中了 Pod {namespace}/{pod} 的容器 {container}（进程 {task}；并非因为其上限 {limit}；最近一次 {when}）。该工作负载受影响的 Pod 数：{pods}。",
				Remediation: []string{
					"查看节点内存被谁占用：kubectl describe node {node}；kubectl top pod -A --sort-by=memory",
					"让 Pod 的 requests 接近实际用量，避免调度过满；并为系统预留内存（kubelet 的 systemReserved 与 evictionHard memory.available）",
				},
			},
		},
		Doc: `症状：连接被重置、以退出码 137 重启，或工作进程无声无息地消失。

检查方法：容器当前或上一次状态为 OOMKilled，或者以 137 退出且内核日志点名了它的 cgroup，即为命中。此外还会读取每个运行中容器的 cgroup 计数 oom_kill：只有子进程被杀时容器照常运行，Kubernetes 的状态里看不出来。报告引用内核的 "oom-kill:" 与 "Killed process" 两行，据此区分是容器上限不足还是整个节点内存耗尽。24 小时以前的记录按低（low）报告。

常见误区：137 只说明收到了 SIGKILL，存活探针失败也会如此。kubectl top 给出的是平均值，看不到致命的峰值。`,
	}
}
