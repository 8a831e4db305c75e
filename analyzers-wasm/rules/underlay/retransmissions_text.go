package underlay

import "github.com/casefile-io/casefile/sdk"

func retransmissionsEN() sdk.Text {
	return sdk.Text{
		Title:   "TCP segments are sent again",
		Message: "{where} sent {again} of {sent} TCP segments again within {seconds} s ({percent} %; {syn} of them SYN): packets, or their acknowledgements, are lost on the way.",
		Remediation: []string{
			"Find where they are lost: capture both ends at once (casefile collect --capture pod/NS/A --capture pod/NS/B); what left one end and never reached the other was lost between them",
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
		},
		Doc: `Symptom: requests that now and then take 200 ms, 1 s or 3 s longer, slow transfers, time-outs that come and go.

How it is checked: RetransSegs against all segments sent, in every network namespace, between two samples: 1 % is medium, 5 % high, if at least 20 segments were sent and 5 of them again. In captures each direction of a connection is followed by sequence number: data that was seen before on the same interface, or that fills a gap more than 20 ms old, was sent again; so was a SYN with the same number. Keep-alives are not counted, nor a packet that crosses two interfaces of one file. The packets are cited by number.

Folklore: a few retransmissions are TCP at work, not a fault. tcp.analysis.retransmission in Wireshark shows the same packets, but does not "analyse the handshake": look at tcp.flags.syn==1, too. A counter since boot says nothing about now. Ping may be answered while TCP is dropped, and the other way round.`,
	}
}

func retransmissionsZH() sdk.Text {
	return sdk.Text{
		Title:   "TCP 报文段重传",
		Message: "{where} 在 {seconds} 秒内发送的 {sent} 个 TCP 报文段中有 {again} 个是重传（{percent}%，其中 SYN {syn} 个）：数据包或其确认在途中丢失。",
		Remediation: []string{
			"确定在哪里丢失：同时抓取两端（casefile collect --capture pod/NS/A --capture pod/NS/B），一端发出而另一端未收到的，就丢在两者之间",
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
		},
		Doc: `症状：请求偶尔慢 200 毫秒、1 秒或 3 秒，传输缓慢，超时时有时无。

检查方法：在每个网络命名空间里，用两次采样之间的 RetransSegs 与全部发送的报文段相比：1% 为中，5% 为高，且至少发送 20 个、重传 5 个。对抓包则按序列号跟踪连接的每个方向：在同一接口上已经出现过的数据，或填补 20 毫秒以前的空缺的数据，就是重传；序列号相同的 SYN 也是。保活报文不计入，同一文件中经过两个接口的同一个包也不会重复计算。报告按包号引用。

常见误区：少量重传是 TCP 的正常工作方式，不是故障。Wireshark 的 tcp.analysis.retransmission 能显示同样的包，但它并不“分析握手”，还应查看 tcp.flags.syn==1。开机以来的累计值说明不了当前的情况。ping 通而 TCP 被丢弃是可能的，反之亦然。`,
	}
}
