package report

import "github.com/casefile-io/casefile/sdk/abi"

// words are those of the report itself, in one language.
type words struct {
	severity, layer                                 map[string]string
	cluster, created, signature, complete           string
	redaction, labels, note                         string
	verified, signedBy, unverified, whole, notWhole string
	nothing, finding, findings                      string
	evidence, remedy, see                           string
	deltaIn, packet, sep, peer, affected, more      string
	unknown, clear, failed, moduleLog               string
	missing                                         map[string]string // by need
	symptom, variants                               string
}

func wordsOf(lang string) words {
	if lang == "zh" {
		return chinese()
	}
	return english()
}

func english() words {
	return words{
		severity: map[string]string{abi.SeverityCritical: "critical", abi.SeverityHigh: "high", abi.SeverityMedium: "medium", abi.SeverityLow: "low", abi.SeverityInfo: "info"},
		layer: map[string]string{abi.LayerUnderlay: "Underlay", abi.LayerCNI: "Pod network (CNI)", abi.LayerService: "Service", abi.LayerDNS: "DNS",
			abi.LayerApp: "Application", abi.LayerControlPlane: "Control plane", abi.LayerNode: "Node", abi.LayerWorkload: "Workload", "": "Other"},
		cluster: "cluster", created: "created", signature: "signature", complete: "complete", redaction: "redaction", labels: "labels", note: "note",
		verified: "verified", signedBy: "by key %s", unverified: "UNVERIFIED: nobody vouches for these bytes",
		whole: "yes", notWhole: "NO: something that was asked for is lacking, see collection/results.ndjson",
		nothing: "No findings", finding: "%d finding: %s", findings: "%d findings: %s", evidence: "evidence", remedy: "what to do", see: "see",
		deltaIn: "%+d in %s s", packet: "#%d", sep: ", ", peer: "peer", affected: "affects", more: "and %d more",
		unknown: "Could not tell (%d)", clear: "Clear (%d): %s", failed: "MODULE FAILED: %s", moduleLog: "log",
		missing: map[string]string{needCaptures: "no capture", needNodes: "kernel data of nodes", needSamples: "a second sample of the nodes",
			needCluster: "cluster objects", needLogs: "logs", needOther: "other"},
		symptom: "What it is about", variants: "Ways to be broken",
	}
}

func chinese() words {
	return words{
		severity: map[string]string{abi.SeverityCritical: "紧急", abi.SeverityHigh: "严重", abi.SeverityMedium: "中等", abi.SeverityLow: "轻微", abi.SeverityInfo: "提示"},
		layer: map[string]string{abi.LayerUnderlay: "底层网络", abi.LayerCNI: "容器网络（CNI）", abi.LayerService: "Service", abi.LayerDNS: "DNS",
			abi.LayerApp: "应用", abi.LayerControlPlane: "控制平面", abi.LayerNode: "节点", abi.LayerWorkload: "工作负载", "": "其他"},
		cluster: "集群", created: "采集时间", signature: "签名", complete: "完整性", redaction: "脱敏", labels: "标签", note: "备注",
		verified: "已验证", signedBy: "密钥 %s", unverified: "未验证：无人为这些数据担保",
		whole: "完整", notWhole: "不完整：部分数据未能采集，见 collection/results.ndjson",
		nothing: "没有发现问题", finding: "发现 %d 个问题：%s", findings: "发现 %d 个问题：%s", evidence: "证据", remedy: "处理办法", see: "参见",
		deltaIn: "%[2]s 秒内 %+[1]d", packet: "#%d", sep: "，", peer: "对端", affected: "影响", more: "等 %d 个",
		unknown: "无法判断（%d）", clear: "正常（%d）：%s", failed: "模块失败：%s", moduleLog: "日志",
		missing: map[string]string{needCaptures: "没有抓包", needNodes: "缺少节点内核数据", needSamples: "缺少节点的第二次采样",
			needCluster: "当前用户无权读取的集群对象", needLogs: "缺少日志", needOther: "其他"},
		symptom: "说明", variants: "几种情形",
	}
}

// What a rule may lack.
const (
	needCaptures = "captures"
	needNodes    = "nodes"
	needSamples  = "samples"
	needCluster  = "cluster"
	needLogs     = "logs"
	needOther    = "other"
)

// supply is the command that would bring what is lacking.
func supply(need string) string {
	return map[string]string{
		needCaptures: "casefile collect --capture pod/NS/NAME",
		needNodes:    "casefile collect --nodes all",
		needSamples:  "casefile collect --nodes all --samples 2",
		needCluster:  "casefile collect --kubeconfig FILE",
		needLogs:     "casefile collect",
	}[need]
}
