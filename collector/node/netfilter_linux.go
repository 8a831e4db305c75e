package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// netfilter stores the rules of the calling thread's namespace: typed in each
// sample, as text in the first. What the kernel does not offer is told once,
// of the node itself.
func (g *gatherer) netfilter(ctx context.Context, prefix string, host, again bool) {
	g.legacy(ctx, prefix, again)
	if g.offers("ip_set", prefix+"ipsets.ndjson", host && !again) {
		g.streamOffered(ctx, prefix+"ipsets.ndjson", host && !again, ipsets(ctx))
	}
	if g.offers("ip_vs", prefix+"ipvs.ndjson", host && !again) {
		g.streamOffered(ctx, prefix+"ipvs.ndjson", host && !again, ipvs(ctx))
	}
	typed := prefix + "nftables.ndjson" // the texts depend on what is in it
	if !g.wantsAny(typed, prefix+"nftables.txt", prefix+"iptables-nft.txt", prefix+"ip6tables-nft.txt") || !g.partThere("nf_tables", typed, host && !again) {
		return
	}
	var rs ruleset
	g.storeRows(ctx, typed, g.nftables(ctx, &rs))
	if again || rs.tables == 0 {
		return
	}
	if n := rs.rules + rs.elements; n > maxRulesAsText && g.o.Only.Wants(prefix+"nftables.txt") {
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

func (g *gatherer) wantsAny(paths ...string) bool { return slices.ContainsFunc(paths, g.o.Only.Wants) }

// offers says whether a part of the kernel is there to be asked for a file
// that is wanted.
func (g *gatherer) offers(part, path string, tell bool) bool {
	return g.o.Only.Wants(path) && g.partThere(part, path, tell)
}

func (g *gatherer) partThere(part, path string, tell bool) bool {
	start := time.Now()
	if g.parts == nil {
		g.parts = kernelParts{}
		if f, err := os.Open(g.o.ProcRoot + "/kallsyms"); err == nil {
			g.parts, _ = readSymbols(f)
			f.Close()
		}
		if text, _, err := readFile(g.o.ProcRoot+"/modules", g.buffer(maxModules)); err == nil {
			g.parts.readModules(text)
		}
	}
	if !g.parts[part] && tell {
		g.record(path, collector.StatusSkipped, "the kernel has no "+part+" loaded, and asking would load it", 0, start)
	}
	return g.parts[part]
}

const maxModules = 256 << 10
