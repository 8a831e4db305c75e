package service

import "github.com/casefile-io/casefile/sdk"

func noReadyEndpointsEN() sdk.Text {
	return sdk.Text{
		Title:   "Service has no ready endpoints",
		Message: "Service {namespace}/{service} (selector {selector}) sends traffic to nobody: {selected} pods match, {ready} of them ready, {endpoints} endpoints in its EndpointSlices.",
		Remediation: []string{
			"See what the Service has: kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service} -o yaml",
			"See what its selector matches: kubectl -n {namespace} get pods -l {selector} -o wide",
		},
		References: []string{
			"https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/",
			"https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
		},
		Variants: map[string]sdk.Text{
			"no-pods": {
				Title:   "Service selects no pods",
				Message: "Service {namespace}/{service} has no endpoints because its selector {selector} matches no pod in namespace {namespace}.",
				Remediation: []string{
					"Compare labels with the selector: kubectl -n {namespace} get pods --show-labels",
					"Correct the side that is wrong: kubectl -n {namespace} edit service {service}, or the labels in the workload's pod template",
					"Is the workload there at all? kubectl -n {namespace} get deployments,statefulsets,daemonsets",
				},
			},
			"no-pod-data": {
				Message: "Service {namespace}/{service} (selector {selector}) sends traffic to nobody: none of the {endpoints} endpoints in its EndpointSlices is ready. The bundle does not hold the pods that would tell why.",
			},
			"scaled-to-zero": {
				Title:   "Service's workload is scaled to zero",
				Message: "Service {namespace}/{service} has no endpoints because {workload}, which its selector {selector} fits, has 0 replicas.",
				Remediation: []string{
					"If it should run: kubectl -n {namespace} scale {workload} --replicas=1",
					"If not, delete the Service or tell its clients; an autoscaler may have done it: kubectl -n {namespace} get hpa",
				},
			},
			"not-ready": {
				Title:   "None of the Service's pods is ready",
				Message: "Service {namespace}/{service} has no ready endpoint: {selected} pods match {selector} and {ready} are ready ({states}).",
				Remediation: []string{
					"Read why they are not ready: kubectl -n {namespace} describe pods -l {selector}",
					"Running but not ready: the readiness probe fails. Probe the pod IP, not localhost, from the node; an application bound to 127.0.0.1 answers only within the pod",
					"Waiting or restarting: kubectl -n {namespace} logs -l {selector} --all-containers --previous",
				},
			},
			"port-unknown": {
				Title:   "Service port leads nowhere",
				Message: "Service {namespace}/{service} has no endpoint for port {ports}: its targetPort is a name that the containers of the {selected} selected pods ({ready} ready) do not declare.",
				Remediation: []string{
					"Compare names: kubectl -n {namespace} get pods -l {selector} -o yaml | grep -A4 ports: and kubectl -n {namespace} get service {service} -o yaml",
					"Name the containerPort in the pod template, or write the number as targetPort",
				},
			},
		},
		Doc: `Symptom: connections to the Service are refused at once (kube-proxy rejects them) or its DNS name has no address.

How it is checked: for each Service with a selector (ExternalName and Services without selector are left out), the EndpointSlices with its label kubernetes.io/service-name are read, port by port. An endpoint counts if its condition ready is true or absent; one that is terminating but still serving counts too, because kube-proxy uses it as the last resort. When none is left, the selector is compared with the pods to tell why: no pod matches, the workload is scaled to zero, the pods are not ready, or a named targetPort is declared by no container.

Folklore: "kubectl get endpoints" is not the place to look any more: Endpoints are deprecated since 1.33 and cut off at 1000 addresses; kube-proxy reads EndpointSlices. A containerPort in the pod need not match for the Service to work: it is a label, except where targetPort is a name. A ClusterIP does not have to answer ping, so a failing ping proves nothing.`,
	}
}

func noReadyEndpointsZH() sdk.Text {
	return sdk.Text{
		Title:   "Service 没有就绪的端点",
		Message: "Service {namespace}/{service}（选择器 {selector}）的流量无处可去：匹配到 {selected} 个 Pod，其中 {ready} 个就绪；EndpointSlice 中共有 {endpoints} 个端点。",
		Remediation: []string{
			"查看该 Service 的端点：kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service} -o yaml",
			"查看选择器匹配到的 Pod：kubectl -n {namespace} get pods -l {selector} -o wide",
		},
		References: []string{
			"https://kubernetes.io/zh-cn/docs/concepts/services-networking/endpoint-slices/",
			"https://kubernetes.io/zh-cn/docs/tasks/debug/debug-application/debug-service/",
		},
		Variants: map[string]sdk.Text{
			"no-pods": {
				Title:   "Service 的选择器没有匹配到任何 Pod",
				Message: "Service {namespace}/{service} 没有端点：在命名空间 {namespace} 中，选择器 {selector} 匹配不到任何 Pod。",
				Remediation: []string{
					"对照 Pod 标签与选择器：kubectl -n {namespace} get pods --show-labels",
					"改正写错的一方：kubectl -n {namespace} edit service {service}，或修改工作负载 Pod 模板中的标签",
					"确认工作负载是否存在：kubectl -n {namespace} get deployments,statefulsets,daemonsets",
				},
			},
			"no-pod-data": {
				Message: "Service {namespace}/{service}（选择器 {selector}）的流量无处可去：EndpointSlice 中的 {endpoints} 个端点没有一个就绪。案卷中缺少 Pod 数据，无法判断原因。",
			},
			"scaled-to-zero": {
				Title:   "Service 对应的工作负载副本数为 0",
				Message: "Service {namespace}/{service} 没有端点：与选择器 {selector} 相符的 {workload} 副本数为 0。",
				Remediation: []string{
					"如果它应当运行：kubectl -n {namespace} scale {workload} --replicas=1",
					"如果不再需要，请删除该 Service 或通知调用方；也可能是自动伸缩所致：kubectl -n {namespace} get hpa",
				},
			},
			"not-ready": {
				Title:   "Service 后端的 Pod 全部未就绪",
				Message: "Service {namespace}/{service} 没有就绪的端点：选择器 {selector} 匹配到 {selected} 个 Pod，就绪 {ready} 个（{states}）。",
				Remediation: []string{
					"查看未就绪的原因：kubectl -n {namespace} describe pods -l {selector}",
					"已运行但未就绪：就绪探针失败。请从节点上探测 Pod IP，而不是在容器里探测 localhost：只监听 127.0.0.1 的应用仅在 Pod 内部可达",
					"处于等待或反复重启：kubectl -n {namespace} logs -l {selector} --all-containers --previous",
				},
			},
			"port-unknown": {
				Title:   "Service 端口没有对应的后端",
				Message: "Service {namespace}/{service} 的端口 {ports} 没有端点：targetPort 使用了名称，而选中的 {selected} 个 Pod（就绪 {ready} 个）的容器都没有声明这个端口名。",
				Remediation: []string{
					"核对端口名称：kubectl -n {namespace} get pods -l {selector} -o yaml | grep -A4 ports: 以及 kubectl -n {namespace} get service {service} -o yaml",
					"在 Pod 模板里为 containerPort 命名，或把 targetPort 直接写成端口号",
				},
			},
		},
		Doc: `症状：访问该 Service 时连接立即被拒绝（由 kube-proxy 拒绝），或者其域名解析不到地址。

检查方法：对每个带选择器的 Service（不含 ExternalName），按标签 kubernetes.io/service-name 找到它的 EndpointSlice，并逐个端口检查。ready 条件为 true 或缺省即视为就绪；正在终止但仍在服务（serving）的端点也算，因为 kube-proxy 会把它当作最后的选择。若一个都没有，再把选择器与 Pod 对照，判断原因：没有匹配的 Pod、工作负载副本数为 0、Pod 未就绪，或 targetPort 的名称没有任何容器声明。

常见误区：不要再看 kubectl get endpoints：Endpoints 自 1.33 起已弃用，且最多只含 1000 个地址，kube-proxy 读取的是 EndpointSlice。Pod 里的 containerPort 只是说明，除非 targetPort 用的是名称，否则不必一致。ClusterIP 不一定响应 ping，ping 不通不能说明问题。`,
	}
}
