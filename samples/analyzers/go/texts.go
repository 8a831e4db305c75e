package main

import "github.com/casefile-io/casefile/sdk"

func texts() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "Connections that the other side has closed pile up",
			Message: "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; {process} has read to their end and does not close them",
			Remediation: []string{
				"Find where {process} gives up a connection at {end} without closing it: a response body that is not closed, a connection that is not given back to its pool. On the node: ss -Htnp state close-wait",
				"Until it is mended, restart {process} before it runs out of file descriptors",
			},
			Doc: "CLOSE-WAIT has no timeout in the kernel: only the process can end it, and keepalive does not. The rule counts the sockets that were there in the first and in the last sample; the setting close-wait is the number from which on it speaks (20).",
			Variants: map[string]sdk.Text{
				"unread": {
					Message:     "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; {process} has not even read what had arrived",
					Remediation: []string{"{process} hangs: look at what its threads wait for (a stack dump), and whether it has a bound on the time of a request"},
				},
				"unaccepted": {
					Message:     "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; no process has accepted them, and their clients have given up",
					Remediation: []string{"The server at {end} does not call accept(): look at what its threads wait for, then at its backlog. On the node: ss -ltn"},
				},
			},
		},
		"zh": {
			Title:   "对端已关闭的连接不断堆积",
			Message: "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；{process} 已读到末尾却没有关闭",
			Remediation: []string{
				"找出 {process} 在 {end} 上放弃连接而未关闭的代码：未关闭的响应体、未归还连接池的连接。在节点上执行：ss -Htnp state close-wait",
				"修复之前，在文件描述符耗尽前重启 {process}",
			},
			Variants: map[string]sdk.Text{
				"unread": {
					Message:     "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；{process} 连已到达的数据都没有读取",
					Remediation: []string{"{process} 已卡住：查看其线程在等待什么（堆栈转储），以及请求是否有时限"},
				},
				"unaccepted": {
					Message:     "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；没有进程接受它们，客户端已放弃",
					Remediation: []string{"位于 {end} 的服务器没有调用 accept()：先看其线程在等待什么，再看 backlog。在节点上执行：ss -ltn"},
				},
			},
		},
	}
}
