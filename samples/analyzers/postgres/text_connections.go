package main

import "github.com/casefile-io/casefile/sdk"

func connectionsText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "PostgreSQL refuses connections: all slots are taken",
			Message: "{pod} of cluster {namespace}/{cluster} refused {refused} connections in its log; {used} of {max} slots are taken now, most by: {clients}.",
			Remediation: []string{
				"See who holds them: kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select client_addr, state, count(*) from pg_stat_activity group by 1, 2 order by 3 desc\"",
				"End sessions that hold a slot and do nothing: psql -c \"select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle' and state_change < now() - interval '10 min'\"",
				"Give the application a pool with an upper bound, or put PgBouncer before the cluster; replicas times pool size must stay below {max}",
				"Only then raise max_connections (kubectl -n {namespace} edit clusters.postgres.example.com {cluster}, spec.parameters): each backend costs memory, and the change restarts the server",
			},
			References: []string{"https://www.postgresql.org/docs/current/runtime-config-connection.html"},
			Variants: map[string]sdk.Text{
				"near": {
					Title:   "PostgreSQL is about to run out of connections",
					Message: "{pod} of cluster {namespace}/{cluster} has {used} of {max} slots taken, most by: {clients}; its log tells of no refusal yet.",
				},
				"over": {
					Title:   "PostgreSQL refused connections for a while",
					Message: "{pod} of cluster {namespace}/{cluster} refused {refused} connections in its log; now {used} of {max} slots are taken: {clients}.",
				},
			},
			Doc: `Symptom: clients fail at once with "FATAL: sorry, too many clients already" or "remaining connection slots are reserved", often all of them after a deployment or a failover.

How it is checked: the log of each instance, and the established connections to port 5432 in its pod's network namespace against max_connections less superuser_reserved_connections.

Folklore: a higher max_connections does not make the server faster. Idle backends cost memory and make every snapshot slower.`,
		},
		"zh": {
			Title:   "PostgreSQL 拒绝连接：连接槽已用尽",
			Message: "集群 {namespace}/{cluster} 的 {pod} 在日志中拒绝了 {refused} 个连接；目前 {max} 个槽中已占用 {used} 个，占用最多的是：{clients}。",
			Remediation: []string{
				"查看是谁占用：kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select client_addr, state, count(*) from pg_stat_activity group by 1, 2 order by 3 desc\"",
				"结束占着槽却什么也不做的会话：psql -c \"select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle' and state_change < now() - interval '10 min'\"",
				"为应用设置有上限的连接池，或在集群前放置 PgBouncer；副本数乘以池大小必须小于 {max}",
				"最后才考虑调大 max_connections（kubectl -n {namespace} edit clusters.postgres.example.com {cluster}，spec.parameters）：每个后端都占内存，且改动会重启服务器",
			},
			References: []string{"https://www.postgresql.org/docs/current/runtime-config-connection.html"},
			Variants: map[string]sdk.Text{
				"near": {
					Title:   "PostgreSQL 的连接即将用尽",
					Message: "集群 {namespace}/{cluster} 的 {pod} 的 {max} 个槽已占用 {used} 个，占用最多的是：{clients}；日志中还没有拒绝记录。",
				},
				"over": {
					Title:   "PostgreSQL 曾一度拒绝连接",
					Message: "集群 {namespace}/{cluster} 的 {pod} 在日志中拒绝了 {refused} 个连接；目前 {max} 个槽中占用 {used} 个：{clients}。",
				},
			},
			Doc: `症状：客户端立刻报 "FATAL: sorry, too many clients already" 或 "remaining connection slots are reserved"，常在发布或主备切换之后同时出现。

检查方法：读取每个实例的日志，并把其 Pod 网络命名空间中连到 5432 端口的已建立连接数与 max_connections 减 superuser_reserved_connections 相比。

常见误区：调大 max_connections 并不会让服务器更快。空闲后端也占内存，并拖慢每一次快照。`,
		},
	}
}

func idleText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "A client piles up idle connections to PostgreSQL",
			Message: "{client} holds {held} connections to {pod} of cluster {namespace}/{cluster} (of {max}), {idle} of which have been silent for a minute or more, half of them for {minutes} minutes.",
			Remediation: []string{
				"Look for a pool without an upper bound or an idle timeout in {client} (HikariCP: maximumPoolSize and idleTimeout; Go: SetMaxOpenConns and SetConnMaxIdleTime), or code that opens a pool for each request",
				"See whether they sit in a transaction: kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select state, count(*), max(now() - state_change) from pg_stat_activity group by 1\"",
				"Let the server end them: psql -c \"alter system set idle_session_timeout = '10min'\" -c \"select pg_reload_conf()\" (PostgreSQL 14 and later; pools must check connections before use)",
			},
			References: []string{"https://www.postgresql.org/docs/current/runtime-config-client.html"},
			Doc: `Symptom: connections rise with every deployment and never fall; now and then the server has none left.

How it is checked: the kernel knows for each connection when data last went either way. A client is found that holds at least 20 connections, and a fifth of max_connections, on which nothing moved for a minute.

Folklore: TCP keepalives do not end idle sessions, they only find dead peers.`,
		},
		"zh": {
			Title:   "某个客户端堆积了大量空闲的 PostgreSQL 连接",
			Message: "{client} 占有到集群 {namespace}/{cluster} 的 {pod} 的 {held} 个连接（上限 {max}），其中 {idle} 个至少一分钟没有任何数据，一半已静默 {minutes} 分钟。",
			Remediation: []string{
				"检查 {client} 中是否有没有上限或没有空闲超时的连接池（HikariCP：maximumPoolSize 与 idleTimeout；Go：SetMaxOpenConns 与 SetConnMaxIdleTime），或每个请求都新建连接池的代码",
				"查看它们是否停在事务中：kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select state, count(*), max(now() - state_change) from pg_stat_activity group by 1\"",
				"让服务器来结束：psql -c \"alter system set idle_session_timeout = '10min'\" -c \"select pg_reload_conf()\"（PostgreSQL 14 及以上；连接池须在使用前检查连接）",
			},
			References: []string{"https://www.postgresql.org/docs/current/runtime-config-client.html"},
			Doc: `症状：每次发布后连接数上升且从不下降；服务器偶尔一个连接也不剩。

检查方法：内核知道每个连接上次收发数据的时间。若一个客户端占有至少 20 个且不少于 max_connections 五分之一的连接，一分钟内没有任何数据，即为命中。

常见误区：TCP keepalive 不会结束空闲会话，它只能发现已死的对端。`,
		},
	}
}
