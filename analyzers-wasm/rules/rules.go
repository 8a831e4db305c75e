// Package rules is the list of the built-in rules. Each stands in a folder of
// its topic, a rule a file with its texts beside it; kube and kernel hold what
// they read. To add one, write it and add its line here.
package rules

import (
	"github.com/casefile-io/casefile/analyzers-wasm/rules/app"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/dns"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/node"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/service"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/underlay"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/workload"
	"github.com/casefile-io/casefile/sdk"
)

// All lists the built-in rules, from the network below up to the workload.
func All() []sdk.Rule {
	return []sdk.Rule{
		underlay.MTUMismatch(),
		underlay.Retransmissions(),
		service.NoReadyEndpoints(),
		dns.CoreDNSUnavailable(),
		app.AcceptQueueOverflow(),
		app.ListensOnLoopback(),
		node.ConntrackFull(),
		node.CPUThrottled(),
		workload.CrashLoop(),
		workload.OOMKilled(),
	}
}

// Analyzer is the module of all of them.
func Analyzer(name, version string) sdk.Analyzer {
	return sdk.Analyzer{
		Name: name, Version: version, Rules: All(),
		Doc: "Finds what is wrong with pods, Services, DNS, nodes and the network between them.",
	}
}
