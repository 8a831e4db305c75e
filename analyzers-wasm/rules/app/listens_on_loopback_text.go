package app

import "github.com/casefile-io/casefile/sdk"

func listensOnLoopbackEN() sdk.Text {
	return sdk.Text{
		Title:   "Application listens on localhost only",
		Message: "Service {namespace}/{service} port {port} sends to port {target} of pod {namespace}/{pod}, but there {process} listens on {address} only: every connection from outside the pod is refused. Pods in this state: {pods}.",
		Remediation: []string{
			"Let the application bind to all addresses (0.0.0.0 or ::), often --host 0.0.0.0, --bind-address, HOST=0.0.0.0 or server.address in its configuration",
			"Test it from another pod against the pod's own address, not from within against localhost: kubectl -n {namespace} get pod {pod} -o wide",
		},
		References: []string{
			"https://kubernetes.io/docs/concepts/workloads/pods/#pod-networking",
			"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#are-the-pods-working",
		},
		Doc: `Symptom: "connection refused" through the Service and at the pod's address, although the process runs and answers "kubectl exec … curl localhost".

How it is checked: for each Service with a selector and each of its TCP ports, the targetPort (number or name) is looked for among the listening sockets of the selected pods' network namespaces, as the kernel of the node lists them. Found is a port with listeners on 127.0.0.0/8 or ::1 and none on 0.0.0.0, :: or an address of the pod. A pod on the host's network is looked for there. In a pod with a mesh proxy the confidence is medium, since the proxy may hand connections on over loopback.

Folklore: a test with kubectl exec and localhost is no test: it takes the one way that works. Port-forwarding is none either, since it connects to localhost within the pod. The containerPort in the pod's spec opens or closes nothing.`,
	}
}

func listensOnLoopbackZH() sdk.Text {
	return sdk.Text{
		Title:   "应用只监听本机回环地址",
		Message: "Service {namespace}/{service} 的端口 {port} 转发到 Pod {namespace}/{pod} 的 {target} 端口，但该端口上的 {process} 只监听 {address}：来自 Pod 外部的连接都会被拒绝。处于此状态的 Pod 数：{pods}。",
		Remediation: []string{
			"让应用监听所有地址（0.0.0.0 或 ::），常见配置为 --host 0.0.0.0、--bind-address、HOST=0.0.0.0 或配置文件中的 server.address",
			"请从另一个 Pod 访问该 Pod 的 IP 来验证，不要在容器内访问 localhost：kubectl -n {namespace} get pod {pod} -o wide",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/concepts/workloads/pods/#pod-networking",
			"https://kubernetes.io/zh-cn/docs/tasks/debug/debug-application/debug-service/",
		},
		Doc: `症状：通过 Service 或 Pod IP 访问均被拒绝（connection refused），而进程在运行，kubectl exec … curl localhost 也正常。

检查方法：对每个带选择器的 Service 的每个 TCP 端口，在所选 Pod 的网络命名空间里（以节点内核列出的套接字为准）查找 targetPort（数字或名称）上的监听。若只有 127.0.0.0/8 或 ::1 上的监听，而 0.0.0.0、:: 与 Pod 自身地址上都没有，即为命中。使用主机网络的 Pod 在主机命名空间里查找。Pod 内有服务网格代理时可信度为中，因为代理可能经回环地址转交连接。

常见误区：用 kubectl exec 访问 localhost 不算验证，那恰好是唯一走得通的路；kubectl port-forward 也一样，它连接的就是 Pod 内的 localhost。Pod 规约中的 containerPort 并不会打开或关闭任何端口。`,
	}
}
