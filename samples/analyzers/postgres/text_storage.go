package main

import "github.com/casefile-io/casefile/sdk"

func archiveText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "WAL does not get into the archive",
			Message: "Cluster {namespace}/{cluster}: the archive command failed {failures} times in the log (last exit code {code}), {pending} files wait, the last success was {success}. No restore reaches beyond that, and pg_wal grows until the disk is full.",
			Remediation: []string{
				"Read the command's own words: kubectl -n {namespace} logs {pod} -c postgres | grep -A2 'archive command'",
				"Exit code 127 means that the command is not there, 126 that it may not run; codes above 128 are 128 and the signal. Others are the archiver's own: most often credentials or a full bucket",
				"Watch it recover: kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select archived_count, failed_count, last_failed_wal, last_failed_time from pg_stat_archiver\"",
				"Never delete files in pg_wal to make room: make the archive work, or grow the volume",
			},
			References: []string{"https://www.postgresql.org/docs/current/continuous-archiving.html"},
			Variants: map[string]sdk.Text{
				"said": {
					Title:   "The operator says that WAL does not get into the archive",
					Message: "The operator says that archiving of cluster {namespace}/{cluster} fails: {pending} files wait, the last success was {success}. The log that was collected does not tell of it.",
				},
			},
			Doc: `Symptom: the disk of the primary fills slowly; backups are old; a point-in-time recovery ends days ago.

How it is checked: three lines "archive command failed" that are younger than the last success in the cluster's status, or its condition Archiving.

Folklore: PostgreSQL tries again for ever and stays up meanwhile, so that nobody notices before the disk is full.`,
		},
		"zh": {
			Title:   "WAL 没有进入归档",
			Message: "集群 {namespace}/{cluster}：日志中归档命令失败 {failures} 次（最近的退出码 {code}），{pending} 个文件在等待，上次成功为 {success}。恢复只能到那时为止，且 pg_wal 会一直增长到磁盘写满。",
			Remediation: []string{
				"看命令自己怎么说：kubectl -n {namespace} logs {pod} -c postgres | grep -A2 'archive command'",
				"退出码 127 表示命令不存在，126 表示无权执行；大于 128 为 128 加信号。其余是归档程序自己的，多为凭据或存储桶已满",
				"观察是否恢复：kubectl -n {namespace} exec {pod} -c postgres -- psql -c \"select archived_count, failed_count, last_failed_wal, last_failed_time from pg_stat_archiver\"",
				"切勿为腾空间而删除 pg_wal 中的文件：应修复归档，或扩大卷",
			},
			References: []string{"https://www.postgresql.org/docs/current/continuous-archiving.html"},
			Variants: map[string]sdk.Text{
				"said": {
					Title:   "operator 报告 WAL 没有进入归档",
					Message: "operator 报告集群 {namespace}/{cluster} 归档失败：{pending} 个文件在等待，上次成功为 {success}。已采集的日志中没有相关记录。",
				},
			},
			Doc: `症状：主库磁盘慢慢写满；备份陈旧；时间点恢复止于数天之前。

检查方法：三行比集群状态中上次成功更晚的 "archive command failed" 日志，或 Archiving 状况。

常见误区：PostgreSQL 会无休止地重试并照常运行，因此在磁盘写满之前没有人注意到。`,
		},
	}
}

func diskText() map[string]sdk.Text {
	return map[string]sdk.Text{
		"en": {
			Title:   "The disk below PGDATA is nearly full",
			Message: "The disk of {pod} (cluster {namespace}/{cluster}, node {node}) is {percent} % full, {freeMiB} MiB are left; inodes {inodes} %. At 100 % the server panics and does not come up again.",
			Remediation: []string{
				"See what takes it: kubectl -n {namespace} exec {pod} -c postgres -- du -xsh /var/lib/postgresql/data/pgdata/pg_wal /var/lib/postgresql/data/pgdata/base",
				"A large pg_wal is held by a failing archive or a replication slot that nobody reads: psql -c \"select slot_name, active, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) from pg_replication_slots\"",
				"Grow the volume: kubectl -n {namespace} patch clusters.postgres.example.com {cluster} --type merge -p '{\"spec\":{\"storage\":{\"size\":\"NEW\"}}}' (the storage class must allow expansion)",
			},
			References: []string{"https://www.postgresql.org/docs/current/disk-full.html"},
			Variants: map[string]sdk.Text{
				"inodes": {
					Title:   "The disk below PGDATA is nearly out of inodes",
					Message: "The disk of {pod} (cluster {namespace}/{cluster}, node {node}) has {inodes} % of its inodes taken, though only {percent} % of its space: the next new file fails with \"No space left on device\" while df shows room.",
					Remediation: []string{
						"Find the folder with the many files: kubectl -n {namespace} exec {pod} -c postgres -- find /var/lib/postgresql/data -xdev -type d -size +1M",
						"Old server logs and temporary files (base/pgsql_tmp of sessions that crashed) are the usual ones; let log_rotation and a restart take them away",
						"ext4 fixes the number of inodes when it is made: move to a new volume made with more (mkfs.ext4 -i 8192), or to XFS",
					},
				},
			},
			Doc: `Symptom: "could not write to file … No space left on device", PANIC in the log, the pod restarts and does not come up.

How it is checked: the node is asked how full the file system of each volume is, in bytes and inodes; the volume is found by the claim that the pod mounts as pgdata. From 90 % it is found, from 97 % it is critical.

Folklore: "df -h" shows bytes; a file system without inodes looks half empty there, and "df -i" shows it.`,
		},
		"zh": {
			Title:   "PGDATA 所在磁盘将满",
			Message: "{pod}（集群 {namespace}/{cluster}，节点 {node}）的磁盘已用 {percent} %，剩余 {freeMiB} MiB；inode 已用 {inodes} %。到 100 % 时服务器会 PANIC 且无法再启动。",
			Remediation: []string{
				"查看被什么占用：kubectl -n {namespace} exec {pod} -c postgres -- du -xsh /var/lib/postgresql/data/pgdata/pg_wal /var/lib/postgresql/data/pgdata/base",
				"pg_wal 很大是因为归档失败或有无人读取的复制槽：psql -c \"select slot_name, active, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) from pg_replication_slots\"",
				"扩大卷：kubectl -n {namespace} patch clusters.postgres.example.com {cluster} --type merge -p '{\"spec\":{\"storage\":{\"size\":\"NEW\"}}}'（存储类须允许扩容）",
			},
			References: []string{"https://www.postgresql.org/docs/current/disk-full.html"},
			Variants: map[string]sdk.Text{
				"inodes": {
					Title:   "PGDATA 所在磁盘的 inode 将用尽",
					Message: "{pod}（集群 {namespace}/{cluster}，节点 {node}）的磁盘已用 {inodes} % 的 inode，而空间只用了 {percent} %：下一个新文件会报 \"No space left on device\"，而 df 显示仍有空间。",
					Remediation: []string{
						"找出文件很多的目录：kubectl -n {namespace} exec {pod} -c postgres -- find /var/lib/postgresql/data -xdev -type d -size +1M",
						"常见的是旧日志与临时文件（崩溃会话留下的 base/pgsql_tmp）；用日志轮转与重启清除",
						"ext4 的 inode 数在创建时固定：迁移到 inode 更多的新卷（mkfs.ext4 -i 8192）或 XFS",
					},
				},
			},
			Doc: `症状："could not write to file … No space left on device"，日志中出现 PANIC，Pod 重启后无法启动。

检查方法：向节点询问每个卷的文件系统用了多少字节与 inode；卷由 Pod 以 pgdata 挂载的声明找到。90 % 起命中，97 % 起为严重。

常见误区：df -h 只显示字节；inode 用尽的文件系统在那里看起来还有一半空着，要用 df -i 才看得到。`,
		},
	}
}
