// The declaration, a JSON text. A backslash in it would be written twice.
export const declaration = `{
  "abi": [1, 1], "name": "close-wait", "version": "1.0.0", "doc": "finds sockets that a process forgets to close",
  "rules": [{"id": "sample/close-wait-pileup", "severity": "high", "layer": "app", "text": {
    "en": {
      "title": "Connections that the other side has closed pile up",
      "message": "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; {process} has read to their end and does not close them",
      "remediation": [
        "Find where {process} gives up a connection at {end} without closing it: a response body that is not closed, a connection that is not given back to its pool. On the node: ss -Htnp state close-wait",
        "Until it is mended, restart {process} before it runs out of file descriptors"
      ],
      "doc": "CLOSE-WAIT has no timeout in the kernel: only the process can end it, and keepalive does not. The rule counts the sockets that were there in the first and in the last sample; the setting close-wait is the number from which on it speaks (20).",
      "variants": {
        "unaccepted": {
          "message": "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; no process has accepted them, and their clients have given up",
          "remediation": ["The server at {end} does not call accept(): look at what its threads wait for, then at its backlog. On the node: ss -ltn"]
        },
        "unread": {
          "message": "{where}: {count} TCP connections stood in CLOSE-WAIT for at least {seconds} s, {top} of them at {end}; {process} has not even read what had arrived",
          "remediation": ["{process} hangs: look at what its threads wait for (a stack dump), and whether it has a bound on the time of a request"]
        }
      }
    },
    "zh": {
      "title": "对端已关闭的连接不断堆积",
      "message": "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；{process} 已读到末尾却没有关闭",
      "remediation": [
        "找出 {process} 在 {end} 上放弃连接而未关闭的代码：未关闭的响应体、未归还连接池的连接。在节点上执行：ss -Htnp state close-wait",
        "修复之前，在文件描述符耗尽前重启 {process}"
      ],
      "variants": {
        "unaccepted": {
          "message": "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；没有进程接受它们，客户端已放弃",
          "remediation": ["位于 {end} 的服务器没有调用 accept()：先看其线程在等待什么，再看 backlog。在节点上执行：ss -ltn"]
        },
        "unread": {
          "message": "{where}：{count} 个 TCP 连接处于 CLOSE-WAIT 至少 {seconds} 秒，其中 {top} 个位于 {end}；{process} 连已到达的数据都没有读取",
          "remediation": ["{process} 已卡住：查看其线程在等待什么（堆栈转储），以及请求是否有时限"]
        }
      }
    }
  }}],
  "inputs": [
    {"name": "nodes", "table": "nodes/*/node.json", "fields": ["samples[].k", "samples[].monotonic", "netns[].inode", "netns[].host", "netns[].podUID", "netns[].podNamespace", "netns[].podName"], "form": "rows"},
    {"name": "sockets", "table": "nodes/*/*/net/sockets.ndjson", "fields": ["src", "sport", "dst", "dport", "rqueue", "inode", "comm"], "where": "row.proto == 'tcp' && row.state == 'CLOSE-WAIT'", "form": "rows"},
    {"name": "pod-sockets", "table": "nodes/*/netns/*/*/net/sockets.ndjson", "fields": ["src", "sport", "dst", "dport", "rqueue", "inode", "comm"], "where": "row.proto == 'tcp' && row.state == 'CLOSE-WAIT'", "form": "rows"},
    {"name": "pods", "resource": "v1/pods", "fields": ["metadata.namespace", "metadata.name", "metadata.uid", "metadata.labels.pod-template-hash", "metadata.ownerReferences[].kind", "metadata.ownerReferences[].name", "metadata.ownerReferences[].controller"], "form": "rows"},
    {"name": "overflows", "counters": ["TcpExt.ListenOverflows"], "form": "ndjson"}
  ]
}`;
