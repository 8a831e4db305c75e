package main

import "github.com/casefile-io/casefile/sdk"

func replicaText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "A replica has no replication connection to its primary",
			Message: "{pod} of cluster {namespace}/{cluster} has no connection to its primary {primary} ({address}:5432), and its log tells of it {lines} times: what it serves grows old, and it cannot take over without loss.",
			Remediation: []string{
				"See why in its log: kubectl -n {namespace} logs {pod} -c postgres | grep -E 'WAL stream|primary server|requested WAL segment'",
				"\"requested WAL segment … has already been removed\" means that it fell too far behind: let the operator rebuild it with kubectl -n {namespace} delete pod {pod} after its volume claim, and give replicas a replication slot",
				"A password or certificate that was changed on the primary alone: compare the Secret that both mount",
				"Whether the way is free: casefile collect -n {namespace} --between 'pod/{namespace}/{pod} pod/{namespace}/{primary}:5432'",
			},
			References: []string{"https://www.postgresql.org/docs/current/warm-standby.html"},
			Variants: map[string]sdk.Text{
				"blocked": {
					Title:   "A replica's connection attempts get no answer from its primary",
					Message: "{pod} of cluster {namespace}/{cluster} sends SYN to its primary {primary} ({address}:5432) and gets no answer; its log tells of it {lines} times. Something on the way drops the packets.",
					Remediation: []string{
						"A NetworkPolicy that was made after the cluster: kubectl -n {namespace} get networkpolicies -o wide; pods of the cluster must reach each other on port 5432",
						"Find the hop: casefile collect -n {namespace} --between 'pod/{namespace}/{pod} pod/{namespace}/{primary}:5432'",
					},
				},
				"stalled": {
					Title:   "A replica is connected but does not stream",
					Message: "{pod} of cluster {namespace}/{cluster} has a connection to its primary {primary} ({address}:5432), but the operator says that it does not stream; its log tells of it {lines} times.",
				},
				"reported": {
					Title:   "The operator says that a replica does not stream",
					Message: "The operator says that {pod} of cluster {namespace}/{cluster} does not stream from {primary} ({address}:5432); its log tells of it {lines} times. Its connections were not collected.",
				},
			},
			Doc: `Symptom: reads from replicas are old; a failover loses transactions or is refused; pg_wal grows on the primary, since a slot holds it.

How it is checked: in the network namespace of each replica's pod there must be an established connection to the primary's port 5432. SYN-SENT there means that nobody answers. Where the namespace was not collected, the operator's own status is taken.

Folklore: a replica that is Ready need not be replicating; readiness asks only whether it answers queries.`,
		},
		"zh": {
			Title:   "副本没有到主库的复制连接",
			Message: "集群 {namespace}/{cluster} 的 {pod} 没有到主库 {primary}（{address}:5432）的连接，日志中提到 {lines} 次：它提供的数据越来越旧，也无法无损接管。",
			Remediation: []string{
				"从日志看原因：kubectl -n {namespace} logs {pod} -c postgres | grep -E 'WAL stream|primary server|requested WAL segment'",
				"\"requested WAL segment … has already been removed\" 表示它落后太多：删除其卷声明后执行 kubectl -n {namespace} delete pod {pod}，由 operator 重建，并为副本设置复制槽",
				"只在主库上改过密码或证书：比较两者挂载的 Secret",
				"检查道路是否畅通：casefile collect -n {namespace} --between 'pod/{namespace}/{pod} pod/{namespace}/{primary}:5432'",
			},
			References: []string{"https://www.postgresql.org/docs/current/warm-standby.html"},
			Variants: map[string]sdk.Text{
				"blocked": {
					Title:   "副本连接主库的请求得不到应答",
					Message: "集群 {namespace}/{cluster} 的 {pod} 向主库 {primary}（{address}:5432）发出 SYN 而无应答，日志中提到 {lines} 次。途中有东西丢弃了数据包。",
					Remediation: []string{
						"集群建立之后新增的 NetworkPolicy：kubectl -n {namespace} get networkpolicies -o wide；集群的 Pod 之间必须能访问 5432 端口",
						"找出是哪一跳：casefile collect -n {namespace} --between 'pod/{namespace}/{pod} pod/{namespace}/{primary}:5432'",
					},
				},
				"stalled": {
					Title:   "副本已连接但没有在流复制",
					Message: "集群 {namespace}/{cluster} 的 {pod} 有到主库 {primary}（{address}:5432）的连接，但 operator 说它没有在流复制；日志中提到 {lines} 次。",
				},
				"reported": {
					Title:   "operator 报告副本没有在流复制",
					Message: "operator 报告集群 {namespace}/{cluster} 的 {pod} 没有从 {primary}（{address}:5432）流复制；日志中提到 {lines} 次。未采集到它的连接。",
				},
			},
			Doc: `症状：从副本读到旧数据；切换丢失事务或被拒绝；复制槽占住 WAL，使主库的 pg_wal 不断增长。

检查方法：每个副本 Pod 的网络命名空间中应有一条到主库 5432 端口的已建立连接；SYN-SENT 表示无人应答。若未采集该命名空间，则以 operator 的状态为准。

常见误区：副本 Ready 并不代表在复制；就绪检查只问它是否应答查询。`,
		},
	}
}

func synchronousText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "Commits wait: a synchronous standby is missing",
			Message: "Cluster {namespace}/{cluster} wants {wanted} synchronous standbys and has {there}: every commit on {primary} waits until one returns. Not streaming: {missing}.",
			Remediation: []string{
				"See what waits: kubectl -n {namespace} exec {primary} -c postgres -- psql -c \"select pid, wait_event, query from pg_stat_activity where wait_event = 'SyncRep'\"",
				"Bring the standby back: kubectl -n {namespace} get pods -l postgres.example.com/cluster={cluster} -o wide; look at its node, its disk and its log",
				"To let commits through now, at the price of what a failover may lose: kubectl -n {namespace} patch clusters.postgres.example.com {cluster} --type merge -p '{\"spec\":{\"synchronous\":{\"fallBack\":\"async\"}}}'",
			},
			References: []string{"https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION"},
			Doc: `Symptom: reads work, every write hangs; clients time out on COMMIT; no error stands in any log.

How it is checked: spec.synchronous.number against the instances that the operator says stream synchronously. A cluster that may fall back to asynchronous commits is left alone.

Folklore: a commit that was interrupted while it waited is durable on the primary all the same: it was not rolled back.`,
		},
		"zh": {
			Title:   "提交在等待：缺少同步备库",
			Message: "集群 {namespace}/{cluster} 要求 {wanted} 个同步备库，而现有 {there} 个：{primary} 上的每次提交都要等到其中一个恢复。未在流复制：{missing}。",
			Remediation: []string{
				"查看什么在等待：kubectl -n {namespace} exec {primary} -c postgres -- psql -c \"select pid, wait_event, query from pg_stat_activity where wait_event = 'SyncRep'\"",
				"恢复备库：kubectl -n {namespace} get pods -l postgres.example.com/cluster={cluster} -o wide；检查其节点、磁盘与日志",
				"若要立即放行提交（代价是切换时可能丢失数据）：kubectl -n {namespace} patch clusters.postgres.example.com {cluster} --type merge -p '{\"spec\":{\"synchronous\":{\"fallBack\":\"async\"}}}'",
			},
			References: []string{"https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION"},
			Doc: `症状：读正常，写全部卡住；客户端在 COMMIT 上超时；任何日志里都没有错误。

检查方法：将 spec.synchronous.number 与 operator 所说正在同步流复制的实例数相比。允许退回异步提交的集群不在此列。

常见误区：等待中被打断的提交在主库上仍然有效，并没有回滚。`,
		},
	}
}
