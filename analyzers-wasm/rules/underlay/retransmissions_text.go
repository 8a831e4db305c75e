package underlay

import "github.com/casefile-io/casefile/sdk"

func retransmissionsEN() sdk.Text {
	return sdk.Text{
		Title:   "TCP segments are sent again",
		Message: "{where} sent {again} of {sent} TCP segments again within {seconds} s ({percent} %; {syn} of them SYN): packets, or their acknowledgements, are lost on the way.",
		Remediation: []string{
			"Find where they are lost: capture both ends at once (casefile collect --capture pod/NS/A --capture pod/NS/B); this finding then names the two places between which they vanish",
			"On node {node} look at drops of devices and queues: ip -s link; tc -s qdisc; nstat -az | grep -i drop; and at rules that drop: nft list ruleset; iptables-save -c",
			"SYNs sent again: nobody answers at that address: a policy or security group that drops, a full accept queue, a missing route back",
			"Only large segments sent again: the MTU of the path, see underlay/mtu-mismatch",
		},
		References: []string{
			"https://www.rfc-editor.org/rfc/rfc6298",
			"https://www.wireshark.org/docs/wsug_html_chunked/ChAdvTCPAnalysis.html",
		},
		Variants: map[string]sdk.Text{
			"capture": {
				Title:   "A capture shows TCP segments sent again",
				Message: "The capture of {where} holds {packets} segments that were sent again among {segments} ({capturePercent} %; {synPackets} of them SYN), most of them of {flow}. The counters of the same place did not stand out while they were read.",
			},
			"both": {
				Title:   "TCP segments are sent again, and a capture shows which",
				Message: "{where} sent {again} of {sent} TCP segments again within {seconds} s ({percent} %; {syn} of them SYN). The capture holds {packets} such segments among {segments} ({capturePercent} %; {synPackets} of them SYN), most of them of {flow}.",
			},
			"hop": {
				Title:   "Packets vanish between two places, and TCP segments are sent again",
				Message: "The captures of {where} hold {packets} segments that were sent again among {segments} ({capturePercent} %; {synPackets} of them SYN), most of them of {flow}. Of {of} packets of {lost}, {gone} were seen at {at} and never at {before}: they are lost between the two.",
				Remediation: []string{
					"Look at what lies between {at} and {before}, and at nothing else. On one node that is its rules and queues: nft list ruleset; iptables-save -c; tc -s qdisc; ip -s link",
					"Between two nodes it is the network: a security group, a switch, a firewall, the MTU; and on both ends the device's own drops: ethtool -S",
					"Capture at a place between the two to halve the way: casefile collect --capture node/NODE",
				},
			},
			"icmp": {
				Title:   "TCP segments are sent again, and an ICMP error says why",
				Message: "The captures of {where} hold {packets} segments that were sent again among {segments} ({capturePercent} %; {synPackets} of them SYN). {from} answered {flow} with the ICMP error \"{icmp}\".",
				Remediation: []string{
					"Ask {from}, which sent the error: \"administratively prohibited\" is a firewall or policy that rejects; \"host unreachable\" an address without a neighbour on its link: ip neigh; \"net unreachable\" and \"no route\" a missing route: ip route get ADDRESS; \"TTL exceeded\" a routing loop",
					"\"fragmentation needed\" and \"packet too big\": the MTU of the path, see underlay/mtu-mismatch",
				},
			},
		},
		Doc: `Symptom: requests that now and then take 200 ms, 1 s or 3 s longer, slow transfers, time-outs that come and go.

How it is checked: RetransSegs against all segments sent, in every network namespace, between two samples: 1 % is medium, 5 % high, if at least 20 segments were sent and 5 of them again. In captures each direction of a connection is followed by sequence number, as Wireshark does for tcp.analysis.retransmission: keep-alives are not counted, nor what was overtaken on its way, nor a packet that crosses two devices of one file. Where several places were captured at once, packets are matched one by one, and the hop after which they are missing is named. The packets are cited by number.

Folklore: a few retransmissions are TCP at work, not a fault. A counter since boot says nothing about now. Ping may be answered while TCP is dropped, and the other way round.`,
	}
}

func retransmissionsZH() sdk.Text {
	return sdk.Text{
		Title:   "TCP 报文段重传",
		Message: "{where} 在 {seconds} 秒内发送的 {sent} 个 TCP 报文段中有 {again} 个是重传（{percent}%，其中 SYN {syn} 个）：数据包或其确认在途中丢失。",
		Remediation: []string{
			"确定在哪里丢失：同时抓取两端（casefile collect --capture pod/NS/A --capture pod/NS/B），结论就会指出数据包在哪两处之间消失",
			"在节点 {node} 上查看设备与队列的丢包：ip -s link；tc -s qdisc；nstat -az | grep -i drop；以及会丢包的规则：nft list ruleset；iptables-save -c",
			"重传的是 SYN：对端无人应答，可能是策略或安全组丢弃、接受队列已满、缺少回程路由",
			"只有大的报文段被重传：路径 MTU 问题，参见 underlay/mtu-mismatch",
		},
		References: []string{
			"https://www.rfc-editor.org/rfc/rfc6298",
			"https://www.wireshark.org/docs/wsug_html_chunked/ChAdvTCPAnalysis.html",
		},
		Variants: map[string]sdk.Text{
			"capture": {
				Title:   "抓包显示 TCP 报文段被重传",
				Message: "{where} 的抓包里 {segments} 个报文段中有 {packets} 个是重传（{capturePercent}%，其中 SYN {synPackets} 个），多数属于 {flow}。读取计数器期间，同一位置的计数并不突出。",
			},
			"both": {
				Title:   "TCP 报文段重传，抓包可见",
				Message: "{where} 在 {seconds} 秒内发送的 {sent} 个 TCP 报文段中有 {again} 个是重传（{percent}%，其中 SYN {syn} 个）。抓包里 {segments} 个报文段中有 {packets} 个是重传（{capturePercent}%，其中 SYN {synPackets} 个），多数属于 {flow}。",
			},
			"hop": {
				Title:   "数据包在两处之间消失，TCP 报文段被重传",
				Message: "{where} 的抓包里 {segments} 个报文段中有 {packets} 个是重传（{capturePercent}%，其中 SYN {synPackets} 个），多数属于 {flow}。{lost} 的 {of} 个数据包中有 {gone} 个出现在 {at}，却从未到达 {before}：它们丢失在这两处之间。",
				Remediation: []string{
					"只需检查 {at} 与 {before} 之间的部分。若在同一节点上，检查规则与队列：nft list ruleset；iptables-save -c；tc -s qdisc；ip -s link",
					"若在两个节点之间，检查网络：安全组、交换机、防火墙、MTU；以及两端网卡自身的丢包：ethtool -S",
					"在两处之间再抓一点，把路径缩短一半：casefile collect --capture node/NODE",
				},
			},
			"icmp": {
				Title:   "TCP 报文段被重传，ICMP 错误说明了原因",
				Message: "{where} 的抓包里 {segments} 个报文段中有 {packets} 个是重传（{capturePercent}%，其中 SYN {synPackets} 个）。{from} 用 ICMP 错误 “{icmp}” 回应了 {flow}。",
				Remediation: []string{
					"检查发出该错误的 {from}：administratively prohibited 是防火墙或策略拒绝；host unreachable 是链路上没有该地址的邻居（ip neigh）；net unreachable 与 no route 是缺少路由（ip route get 地址）；TTL exceeded 是路由环路",
					"fragmentation needed 与 packet too big：路径 MTU 问题，参见 underlay/mtu-mismatch",
				},
			},
		},
		Doc: `症状：请求偶尔慢 200 毫秒、1 秒或 3 秒，传输缓慢，超时时有时无。

检查方法：在每个网络命名空间里，用两次采样之间的 RetransSegs 与全部发送的报文段相比：1% 为中，5% 为高，且至少发送 20 个、重传 5 个。对抓包则与 Wireshark 的 tcp.analysis.retransmission 一样，按序列号跟踪连接的每个方向：保活报文、途中乱序的报文不计入，同一文件中经过两个设备的同一个包也不会重复计算。若同时在多处抓包，则逐包比对，指出数据包在哪一跳之后消失。报告按包号引用。

常见误区：少量重传是 TCP 的正常工作方式，不是故障。开机以来的累计值说明不了当前的情况。ping 通而 TCP 被丢弃是可能的，反之亦然。`,
	}
}
