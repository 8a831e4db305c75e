package app

import "github.com/casefile-io/casefile/sdk"

func acceptQueueEN() sdk.Text {
	return sdk.Text{
		Title:   "Accept queue overflows: new connections are dropped",
		Message: "{where}: a full accept queue made the kernel drop {overflows} connections (ListenDrops {drops}) within {seconds} s; ports by queue length (process waiting/backlog): {ports}; somaxconn {somaxconn}.",
		Remediation: []string{
			"Find out why the application does not accept: blocked or too few threads, CPU throttling, garbage collection, a dependency that hangs",
			"If bursts are normal, raise the backlog that the application gives to listen() (nginx: listen … backlog=, Java: acceptCount, Node.js: server.listen backlog, Gunicorn: --backlog)",
			"A backlog above somaxconn is cut to it; somaxconn belongs to the pod's own network namespace: securityContext.sysctls net.core.somaxconn (an unsafe sysctl, the kubelet must allow it). Raising it on the node does not reach pods",
			"More replicas spread the connections",
		},
		References: []string{
			"https://man7.org/linux/man-pages/man2/listen.2.html",
			"https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/",
		},
		Variants: map[string]sdk.Text{
			"full": {
				Title:   "Accept queue is full",
				Message: "{where}: more connections wait to be accepted than the backlog allows, so the next one is dropped; ports by queue length (process waiting/backlog): {ports}; somaxconn {somaxconn}. No drop was counted within {seconds} s.",
			},
			"drops": {
				Title:   "Connection attempts are dropped at the listener",
				Message: "{where}: the kernel dropped {drops} connection attempts at listening sockets within {seconds} s, though not for a full accept queue (ListenOverflows {overflows}): memory or a full SYN queue; ports by queue length: {ports}.",
			},
		},
		Doc: `Symptom: connecting takes 1, 3 or 7 seconds or times out, while connections that exist work well; the server sees no error at all.

How it is checked: the counters ListenOverflows and ListenDrops of every network namespace are read twice; growth is found. A listening socket with more waiting connections than its backlog is found as well. The sockets of that namespace tell the port and the process.

Folklore: the default of somaxconn is 4096 since Linux 5.4, not 128. It is per network namespace, so a value in the node's /etc/sysctl.conf does not reach pods. The queue's length is the smaller of somaxconn and what the application asked for: raising somaxconn alone often changes nothing. In "ss -ltn" Recv-Q is the queue and Send-Q the backlog; on other sockets they mean something else.`,
	}
}

func acceptQueueZH() sdk.Text {
	return sdk.Text{
		Title:   "接受队列溢出，新连接被丢弃",
		Message: "{where}：接受队列已满，内核在 {seconds} 秒内丢弃了 {overflows} 个连接（ListenDrops {drops}）；按队列长度列出的端口（进程 等待数/backlog）：{ports}；somaxconn 为 {somaxconn}。",
		Remediation: []string{
			"查明应用为何来不及 accept：线程阻塞或不足、CPU 限流、垃圾回收、依赖的服务卡住",
			"如果突发流量属于正常，请提高应用传给 listen() 的 backlog（nginx：listen … backlog=；Java：acceptCount；Node.js：server.listen 的 backlog；Gunicorn：--backlog）",
			"超过 somaxconn 的 backlog 会被截断；somaxconn 属于 Pod 自己的网络命名空间：通过 securityContext.sysctls 设置 net.core.somaxconn（属于不安全 sysctl，需 kubelet 放行）。在节点上调大对 Pod 无效",
			"增加副本以分摊连接",
		},
		References: []string{
			"https://man7.org/linux/man-pages/man2/listen.2.html",
			"https://kubernetes.io/zh-cn/docs/tasks/administer-cluster/sysctl-cluster/",
		},
		Variants: map[string]sdk.Text{
			"full": {
				Title:   "接受队列已满",
				Message: "{where}：等待 accept 的连接数超过了 backlog，下一个连接将被丢弃；按队列长度列出的端口（进程 等待数/backlog）：{ports}；somaxconn 为 {somaxconn}。{seconds} 秒内尚未统计到丢弃。",
			},
			"drops": {
				Title:   "监听端口丢弃了连接请求",
				Message: "{where}：内核在 {seconds} 秒内于监听套接字上丢弃了 {drops} 个连接请求，但并非接受队列已满（ListenOverflows {overflows}），可能是内存不足或 SYN 队列已满；按队列长度列出的端口：{ports}。",
			},
		},
		Doc: `症状：建立连接要花 1、3 或 7 秒甚至超时，而已建立的连接一切正常；服务端看不到任何错误。

检查方法：对每个网络命名空间读取两次 ListenOverflows 与 ListenDrops，增长即为命中；监听套接字上等待的连接数超过 backlog 也为命中。通过该命名空间的套接字得知端口与进程。

常见误区：自 Linux 5.4 起 somaxconn 默认为 4096 而不是 128。它按网络命名空间生效，写在节点 /etc/sysctl.conf 里对 Pod 无效。实际队列长度取 somaxconn 与应用所请求值中较小者，只调大 somaxconn 往往没有作用。在 ss -ltn 里 Recv-Q 是队列长度、Send-Q 是 backlog；对其他套接字则是别的含义。`,
	}
}
