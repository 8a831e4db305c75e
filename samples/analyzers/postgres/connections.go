package main

import (
	"cmp"

	"github.com/casefile-io/casefile/sdk"
)

// connectionsExhausted finds servers that turn clients away, or soon will.
func connectionsExhausted() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/connections-exhausted", Severity: sdk.High, Layer: sdk.LayerApp,
		Text:   connectionsText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), logInput(), nodesInput(), socketsInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			w := wiresOf(in)
			for _, g := range groups(in) {
				for _, p := range g.pods {
					if f, ok := exhausted(in, w, g, p); ok {
						out.Find(f)
					}
				}
			}
			return nil
		},
	}
}

const nearly = 90 // percent of the connections

func exhausted(in *sdk.Input, w *wires, g group, p sdk.Row[Pod]) (sdk.Finding, bool) {
	refused := linesOf(in, p.V, "refused")
	served := w.clientsOf(g, p.V)
	most := g.connections()
	near := len(served) > 0 && len(served)*100 >= most*nearly
	if len(refused) == 0 && !near {
		return sdk.Finding{}, false
	}
	f := sdk.Finding{Subject: p.V.subject(), Owner: g.owner(), Params: g.params()}
	f.Params["pod"], f.Params["max"], f.Params["refused"] = p.V.Metadata.Name, most, len(refused)
	f.Params["used"], f.Params["clients"] = any("?"), "?"
	if w.known[p.V.Metadata.UID] {
		list := clients(served)
		f.Params["used"], f.Params["clients"] = len(served), cmp.Or(w.top(list), "none")
		if len(list) > 0 {
			f.Evidence = append(f.Evidence, cite(list[0].sockets, 3)...)
		}
	}
	f.FirstSeen, f.LastSeen = span(refused)
	f.Evidence = append(f.Evidence, ends(refused)...)
	f.Evidence = append(f.Evidence, sdk.At(g.At))
	switch {
	case len(refused) == 0:
		f.Variant, f.Severity = "near", sdk.Medium
	case !near && w.known[p.V.Metadata.UID]:
		f.Variant, f.Severity = "over", sdk.Medium // there is room again
	}
	return f, true
}

// idlePileUp finds clients that hold a good part of the connections and do
// nothing with them.
func idlePileUp() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/idle-pile-up", Severity: sdk.Medium, Layer: sdk.LayerApp,
		Text:   idleText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), nodesInput(), socketsInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			w := wiresOf(in)
			for _, g := range groups(in) {
				for _, p := range g.pods {
					served := w.clientsOf(g, p.V)
					for _, c := range clients(served) {
						if len(c.idle) < idleFew || len(c.idle)*100 < g.connections()*idleShare {
							continue
						}
						f := idleFinding(w, g, p, c)
						if len(served)*2 < g.connections() {
							f.Severity = sdk.Low // it is in nobody's way yet
						}
						out.Find(f)
					}
				}
			}
			return nil
		},
	}
}

const (
	idleFew   = 20 // fewer are a pool as pools are
	idleShare = 20 // percent of the connections
)

func idleFinding(w *wires, g group, p sdk.Row[Pod], c client) sdk.Finding {
	f := sdk.Finding{Subject: sdk.Subject{Kind: "Address", Name: c.address}, Owner: "Address " + c.address, Params: g.params()}
	if holder, ok := w.pods[c.address]; ok {
		f.Subject, f.Owner = holder.V.subject(), ""
	}
	server := p.V.subject()
	f.Peer = &server
	f.Params["client"], f.Params["pod"] = w.name(c.address), p.V.Metadata.Name
	f.Params["held"], f.Params["idle"], f.Params["max"] = len(c.sockets), len(c.idle), g.connections()
	f.Params["minutes"] = c.idle[len(c.idle)/2].V.quiet() / 60_000
	f.Evidence = append(cite(c.idle, 5), sdk.At(g.At))
	return f
}
