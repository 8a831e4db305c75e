package underlay

import "github.com/casefile-io/casefile/sdk"

func mtuMismatchEN() sdk.Text {
	return sdk.Text{
		Title:   "MTUs along a path do not fit",
		Message: "Device {device} on node {node} does not fit the MTU {mtu} of what is sent over it (FragFails {fragFails}, ReasmFails {reasmFails}, OutDestUnreachs {unreachables} while collecting).",
		Remediation: []string{
			"Set one MTU along the whole path: in the CNI's configuration (flannel: net-conf.json and the cni-conf.json mtu, Calico: veth_mtu, Cilium: MTU), then restart the pods, since running ones keep theirs",
			"Never drop ICMP \"fragmentation needed\" (type 3 code 4) and ICMPv6 \"packet too big\": without them a path with a smaller MTU becomes a black hole",
			"Until then: sysctl net.ipv4.tcp_mtu_probing=1 in the sending network namespace, or clamp the MSS on the node: iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
		},
		References: []string{
			"https://docs.kernel.org/networking/ip-sysctl.html",
			"https://www.rfc-editor.org/rfc/rfc4459",
		},
		Variants: map[string]sdk.Text{
			"path-route": {
				Title:   "The route to other nodes' pods is narrower than the pods' MTU",
				Message: "Pods on node {node} send up to {mtu} bytes ({pod}), but the route {dst} via {device} to the pods of node {peer} takes {other}: larger packets are dropped on the way, and pass only if ICMP reaches the sender (FragFails {fragFails}, ReasmFails {reasmFails}, OutDestUnreachs {unreachables} while collecting).",
				Remediation: []string{
					"See who set it, on node {node}: ip route show {dst}; take the mtu off if the path carries more, else lower the pods' MTU to {other} in the CNI's configuration and restart them",
					"Let ICMP \"fragmentation needed\" through: iptables-save | grep -i icmp; nft list ruleset | grep -i icmp",
				},
			},
			"path-device": {
				Title:   "The device to other nodes' pods is narrower than the pods' MTU",
				Message: "Pods on node {node} send up to {mtu} bytes ({pod}), but device {device}, over which the route {dst} leads to the pods of node {peer}, takes {other}: larger packets are dropped on the way, and pass only if ICMP reaches the sender (FragFails {fragFails}, ReasmFails {reasmFails}, OutDestUnreachs {unreachables} while collecting).",
				Remediation: []string{
					"Lower the pods' MTU to {other} in the CNI's configuration and restart them, or raise the MTU of {device} on every node if the network below carries it",
					"Let ICMP \"fragmentation needed\" through: iptables-save | grep -i icmp; nft list ruleset | grep -i icmp",
				},
			},
			"tunnel": {
				Title:   "The tunnel's MTU does not leave room for its header",
				Message: "Tunnel {device} ({kind}) on node {node} has MTU {mtu}, but {under} below it has {underMTU}; with the tunnel's header of {overhead} bytes only {fits} fit (FragFails {fragFails}, ReasmFails {reasmFails}, OutDestUnreachs {unreachables} while collecting).",
				Remediation: []string{
					"Set the tunnel's MTU to {fits}: in the CNI's configuration; by hand for a test: ip link set {device} mtu {fits}. A tunnel does not shrink by itself when the device below it does",
					"Or raise {under} to {mtu} plus {overhead}, on every node and switch between",
				},
			},
			"segment": {
				Title:   "Nodes on one subnet have different MTUs",
				Message: "Node {node} has MTU {mtu} on {device}, node {peer} has {other} on {peerDevice}, both in {subnet}: what the one may send the other may not take, and on one link no ICMP tells (FragFails {fragFails}, ReasmFails {reasmFails}, OutDestUnreachs {unreachables} while collecting).",
				Remediation: []string{
					"Set the same MTU on all nodes of {subnet}; by hand for a test: ip link set {device} mtu {other}; for good in the network's configuration (netplan, NetworkManager, DHCP option 26)",
				},
			},
			"icmp": {
				Title:   "A path takes less than what is sent over it",
				Message: "{from} told {where} by ICMP that packets of {flow} are too large: the way takes {mtu} bytes. It went on saying so for {seconds} s; a sender that hears it sends smaller packets at once.",
				Remediation: []string{
					"If connections hang, see why the error does not reach the sender, or the sender does not heed it: iptables-save | grep -i icmp; nft list ruleset | grep -i icmp; ip route get ADDRESS (shows the mtu that was learned); sysctl net.ipv4.ip_no_pmtu_disc",
					"Lower the pods' MTU to {mtu} in the CNI's configuration and restart them, or raise it at {from}: to learn it, every new path loses a packet and a round trip",
				},
			},
			"veth": {
				Title:   "The two ends of a pod's cable have different MTUs",
				Message: "{pod}: {inside} has MTU {mtu} in the pod, its other end {device} on node {node} has {other}: larger packets vanish between them, without ICMP, and only rx_dropped or tx_dropped of the device counts them.",
				Remediation: []string{
					"Recreate the pod, so that the CNI plugin sets both ends; if it comes back so, correct the plugin's mtu in /etc/cni/net.d on node {node}",
				},
			},
		},
		Doc: `Symptom: small answers pass and large ones hang: a TLS handshake stalls, "kubectl exec" works but "logs" stops, a health check is green and a download is not.

How it is checked, on the node's tables of links, addresses and routes: both ends of every pod's veth pair; every tunnel against the device that carries it (VXLAN and Geneve take 50 bytes over IPv4 and 70 over IPv6, IPIP 20, WireGuard 60 or 80); the devices of nodes that share a subnet; and, for each pair of nodes, what the pods of the one may send against the MTU of the route, or of its device, to the pods of the other. Counters FragFails, ReasmFails and OutDestUnreachs that grow meanwhile raise the confidence, and so does an ICMP error in a capture that names the same MTU. An error that no table explains is told by itself: low while the sender heeds it, high when it goes on sending what does not fit.

Folklore: there is no magic number like 1420; the right MTU is the underlay's minus the overhead of the tunnel. Ping with its default size proves nothing: try ping -M do -s 1472. Between two ends of one link with different MTUs no ICMP is sent and no IP or TCP counter moves.`,
	}
}

func mtuMismatchZH() sdk.Text {
	return sdk.Text{
		Title:   "路径上的 MTU 不匹配",
		Message: "节点 {node} 上的设备 {device} 与经过它的流量的 MTU {mtu} 不匹配（采集期间 FragFails {fragFails}、ReasmFails {reasmFails}、OutDestUnreachs {unreachables}）。",
		Remediation: []string{
			"让整条路径使用一致的 MTU：在 CNI 配置中设置（flannel：net-conf.json 与 cni-conf.json 的 mtu；Calico：veth_mtu；Cilium：MTU），然后重启 Pod，因为运行中的 Pod 不会改变",
			"切勿丢弃 ICMP “需要分片”（type 3 code 4）和 ICMPv6 “包过大”：否则 MTU 较小的路径就成了黑洞",
			"临时缓解：在发送方的网络命名空间设置 net.ipv4.tcp_mtu_probing=1，或在节点上钳制 MSS：iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
		},
		References: []string{
			"https://docs.kernel.org/networking/ip-sysctl.html",
			"https://www.rfc-editor.org/rfc/rfc4459",
		},
		Variants: map[string]sdk.Text{
			"path-route": {
				Title:   "通往其他节点 Pod 的路由 MTU 小于 Pod 的 MTU",
				Message: "节点 {node} 上的 Pod 最多发送 {mtu} 字节的包（{pod}），但经 {device} 到节点 {peer} 上 Pod 的路由 {dst} 只容纳 {other} 字节：更大的包会在途中被丢弃，只有发送方能收到 ICMP 时才能通行（采集期间 FragFails {fragFails}、ReasmFails {reasmFails}、OutDestUnreachs {unreachables}）。",
				Remediation: []string{
					"在节点 {node} 上查看是谁设置的：ip route show {dst}；如果链路能承载更大的包就去掉 mtu，否则在 CNI 配置中把 Pod 的 MTU 降到 {other} 并重启 Pod",
					"放行 ICMP “需要分片”：iptables-save | grep -i icmp；nft list ruleset | grep -i icmp",
				},
			},
			"path-device": {
				Title:   "通往其他节点 Pod 的设备 MTU 小于 Pod 的 MTU",
				Message: "节点 {node} 上的 Pod 最多发送 {mtu} 字节的包（{pod}），但到节点 {peer} 上 Pod 的路由 {dst} 所用的设备 {device} 只容纳 {other} 字节：更大的包会在途中被丢弃，只有发送方能收到 ICMP 时才能通行（采集期间 FragFails {fragFails}、ReasmFails {reasmFails}、OutDestUnreachs {unreachables}）。",
				Remediation: []string{
					"在 CNI 配置中把 Pod 的 MTU 降到 {other} 并重启 Pod；若底层网络能承载，也可在所有节点上提高 {device} 的 MTU",
					"放行 ICMP “需要分片”：iptables-save | grep -i icmp；nft list ruleset | grep -i icmp",
				},
			},
			"tunnel": {
				Title:   "隧道的 MTU 没有为封装头留出空间",
				Message: "节点 {node} 上的隧道 {device}（{kind}）MTU 为 {mtu}，而承载它的 {under} 为 {underMTU}；除去 {overhead} 字节的封装头只能容纳 {fits} 字节（采集期间 FragFails {fragFails}、ReasmFails {reasmFails}、OutDestUnreachs {unreachables}）。",
				Remediation: []string{
					"在 CNI 配置中把隧道 MTU 设为 {fits}；手动试验：ip link set {device} mtu {fits}。底层设备变小时隧道不会自动跟随",
					"或者把 {under} 提高到 {mtu} 加 {overhead}，并且沿途所有节点和交换机都要一致",
				},
			},
			"segment": {
				Title:   "同一子网内各节点的 MTU 不同",
				Message: "节点 {node} 的 {device} MTU 为 {mtu}，节点 {peer} 的 {peerDevice} 为 {other}，两者同在 {subnet}：一方能发的包另一方可能收不下，而同一链路上不会有 ICMP 通知（采集期间 FragFails {fragFails}、ReasmFails {reasmFails}、OutDestUnreachs {unreachables}）。",
				Remediation: []string{
					"让 {subnet} 内所有节点使用相同的 MTU；手动试验：ip link set {device} mtu {other}；长期应写入网络配置（netplan、NetworkManager、DHCP 选项 26）",
				},
			},
			"icmp": {
				Title:   "路径能容纳的小于所发送的",
				Message: "{from} 通过 ICMP 告知 {where}：{flow} 的数据包过大，路径只容纳 {mtu} 字节。这样的通知持续了 {seconds} 秒；能收到它的发送方会立即改发更小的包。",
				Remediation: []string{
					"如果连接卡住，检查错误为何没有到达发送方或未被采纳：iptables-save | grep -i icmp；nft list ruleset | grep -i icmp；ip route get 地址（显示学到的 mtu）；sysctl net.ipv4.ip_no_pmtu_disc",
					"在 CNI 配置中把 Pod 的 MTU 降到 {mtu} 并重启 Pod，或在 {from} 处提高 MTU：否则每条新路径都要损失一个包和一次往返才能得知",
				},
			},
			"veth": {
				Title:   "Pod 网线两端的 MTU 不同",
				Message: "{pod}：Pod 内 {inside} 的 MTU 为 {mtu}，节点 {node} 上的另一端 {device} 为 {other}：更大的包会在两者之间无声消失，没有 ICMP，只有设备的 rx_dropped 或 tx_dropped 会计数。",
				Remediation: []string{
					"重建该 Pod，让 CNI 插件重新设置两端；如果仍然如此，请改正节点 {node} 上 /etc/cni/net.d 中插件的 mtu",
				},
			},
		},
		Doc: `症状：小的响应正常，大的卡住：TLS 握手停滞、kubectl exec 可用而 logs 卡住、健康检查正常而下载失败。

检查方法（依据节点的链路、地址与路由表）：每个 Pod 的 veth 两端；每条隧道与承载它的设备（VXLAN 与 Geneve 在 IPv4 上占 50 字节、IPv6 上占 70 字节，IPIP 占 20，WireGuard 占 60 或 80）；同一子网内各节点的设备；以及对每一对节点，一方 Pod 能发送的大小与到另一方 Pod 的路由（或其设备）的 MTU。期间 FragFails、ReasmFails、OutDestUnreachs 增长会提高可信度，抓包中指明同一 MTU 的 ICMP 错误也会。没有任何表能解释的 ICMP 错误单独报告：发送方采纳时为低，继续发送过大的包时为高。

常见误区：并没有 1420 这样的万能数字，正确的 MTU 是底层 MTU 减去隧道开销。默认大小的 ping 说明不了问题，应使用 ping -M do -s 1472。同一链路两端 MTU 不同时不会产生 ICMP，IP 与 TCP 计数也都不会变化。`,
	}
}
