package node

import (
	"context"
	"fmt"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// netfilter stores the rules of the calling thread's namespace: typed in each
// sample, as text in the first.
func (g *gatherer) netfilter(ctx context.Context, prefix string, again bool) {
	var rs ruleset
	g.legacy(ctx, prefix, again)
	g.stream(ctx, prefix+"nftables.ndjson", g.nftables(ctx, &rs))
	if again || rs.tables == 0 {
		return
	}
	if n := rs.rules + rs.elements; n > maxRulesAsText {
		g.record(prefix+"nftables.txt", collector.StatusSkipped,
			fmt.Sprintf("%d rules and elements: nft would take too much of the node's memory; nftables.ndjson has them", n), 0, time.Now())
		return
	}
	g.nodeTool(ctx, prefix+"nftables.txt", []string{"nft"}, "-a", "list", "ruleset")
	for _, word := range []string{"iptables", "ip6tables"} {
		if rs.compat[map[string]string{"iptables": "ip", "ip6tables": "ip6"}[word]] {
			g.nodeTool(ctx, prefix+word+"-nft.txt", []string{"xtables-nft-multi " + word + "-save", word + "-nft-save"}, "-c")
		}
	}
}
