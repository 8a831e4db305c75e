package workload

import "github.com/casefile-io/casefile/sdk"

func crashLoopEN() sdk.Text {
	return sdk.Text{
		Title:   "Container crashes over and over",
		Message: "Container {container} of pod {namespace}/{pod} has restarted {restarts} times; its last run took {ranSeconds} s and ended with exit code {exitCode} ({reason}). Pods of the workload in this state: {pods}.",
		Remediation: []string{
			"Read what it said before it died: kubectl -n {namespace} logs {pod} -c {container} --previous (in this bundle: cluster/logs/{namespace}/{pod}/{container}.previous.log)",
			"See events and probes: kubectl -n {namespace} describe pod {pod}",
			"Exit code 1 or 2: its own error, often configuration. 126 or 127: the command is not there or not executable. 137: SIGKILL, by a failed liveness probe if not for memory. 139: segmentation fault. 143: SIGTERM, somebody asked it to stop",
			"Killed by its liveness probe while it still starts: give it a startupProbe instead of a longer initialDelaySeconds",
		},
		References: []string{
			"https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts",
			"https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/",
		},
		Variants: map[string]sdk.Text{"completes": {
			Title:   "Container ends at once, and is started again and again",
			Message: "Container {container} of pod {namespace}/{pod} has restarted {restarts} times although it ends without an error (exit code {exitCode}) after {ranSeconds} s: it is no server, but its restartPolicy is Always. Pods of the workload in this state: {pods}.",
			Remediation: []string{
				"Work that ends belongs in a Job or an init container",
				"A server that goes to the background must stay in the foreground (nginx -g 'daemon off;'); a shell needs something to do: kubectl -n {namespace} get pod {pod} -o yaml | grep -A6 command",
			},
		}},
		Doc: `Symptom: restarts climb, the Service flaps, clients see refused connections between two starts.

How it is checked: a container that waits in CrashLoopBackOff is found. So is one between two starts: at least two restarts, the last end not longer than ten minutes before the collection (that is when the kubelet forgets) and not with exit code 0, and not running again for twice as long as the run before (at least 30 s). One or two restarts from the boot of the cluster are therefore not reported. Containers killed for memory belong to workload/oom-killed.

Folklore: "kubectl get pods | grep -v Running" misses this fault half of the time, because a crashing pod says Running or Error between its back-offs, and lists completed Jobs instead. A postStart hook with "curl … || exit 1" is not a health check: it runs beside the entry point and its failure kills the container.`,
	}
}

func crashLoopZH() sdk.Text {
	return sdk.Text{
		Title:   "容器反复崩溃",
		Message: "Pod {namespace}/{pod} 的容器 {container} 已重启 {restarts} 次；最近一次运行了 {ranSeconds} 秒，退出码 {exitCode}（{reason}）。该工作负载处于此状态的 Pod 数：{pods}。",
		Remediation: []string{
			"查看退出前的日志：kubectl -n {namespace} logs {pod} -c {container} --previous（本案卷中：cluster/logs/{namespace}/{pod}/{container}.previous.log）",
			"查看事件与探针：kubectl -n {namespace} describe pod {pod}",
			"退出码 1 或 2：程序自身报错，多为配置问题；126 或 127：命令不存在或不可执行；137：收到 SIGKILL，若非内存原因，多为存活探针失败；139：段错误；143：收到 SIGTERM，被要求停止",
			"启动过程中被存活探针杀死：请配置 startupProbe，而不是一味加大 initialDelaySeconds",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts",
			"https://kubernetes.io/zh-cn/docs/tasks/debug/debug-application/debug-pods/",
		},
		Variants: map[string]sdk.Text{"completes": {
			Title:   "容器启动后随即正常退出，被反复拉起",
			Message: "Pod {namespace}/{pod} 的容器 {container} 并未出错（退出码 {exitCode}），但运行 {ranSeconds} 秒便结束，已被重启 {restarts} 次：它不是常驻服务，而 restartPolicy 是 Always。该工作负载处于此状态的 Pod 数：{pods}。",
			Remediation: []string{
				"会结束的任务应当用 Job 或 init 容器",
				"会转入后台的服务必须保持前台运行（如 nginx -g 'daemon off;'）；检查启动命令：kubectl -n {namespace} get pod {pod} -o yaml | grep -A6 command",
			},
		}},
		Doc: `症状：重启次数不断上升，Service 时好时坏，两次启动之间客户端连接被拒绝。

检查方法：处于 CrashLoopBackOff 的容器即为命中。处于两次启动之间的也算：至少重启 2 次，最近一次退出距采集不超过 10 分钟（kubelet 的退避计时在此后清零）、退出码不为 0，并且当前这次运行的时长不到上一次的两倍（至少 30 秒）。因此集群刚启动时的一两次重启不会误报。因内存被杀的容器归 workload/oom-killed。

常见误区：kubectl get pods | grep -v Running 有一半时间看不到这个故障，因为崩溃的 Pod 在两次退避之间显示 Running 或 Error，反而会列出已完成的 Job。在 postStart 里写 "curl … || exit 1" 也不是健康检查：它与主进程并行执行，失败就会杀死容器。`,
	}
}
