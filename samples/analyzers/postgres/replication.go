package main

import (
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

// replicaNotStreaming finds replicas that have no connection to their primary.
func replicaNotStreaming() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/replica-not-streaming", Severity: sdk.High, Layer: sdk.LayerApp,
		Text:   replicaText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), logInput(), nodesInput(), socketsInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			w := wiresOf(in)
			for _, g := range groups(in) {
				primary, ok := g.primary()
				if !ok {
					out.Unknown("cluster "+g.name()+": the pod of its primary, "+g.V.Status.Primary+", is not among the pods", podsInput())
					continue
				}
				for _, p := range g.pods {
					if p.V.Metadata.Name == primary.V.Metadata.Name || p.V.Status.Phase != "Running" {
						continue
					}
					if f, ok := cutOff(in, w, g, primary, p); ok {
						out.Find(f)
					} else if !w.known[p.V.Metadata.UID] {
						out.Unknown("the network namespace of "+p.V.name()+" was not collected: is its node among those of --nodes?", nodesInput())
					}
				}
			}
			return nil
		},
	}
}

// cutOff looks for the connection on which a replica gets its WAL. Where its
// namespace is not known, the operator's word stands alone.
func cutOff(in *sdk.Input, w *wires, g group, primary, p sdk.Row[Pod]) (sdk.Finding, bool) {
	said, told := g.instance(p.V.Metadata.Name)
	sockets := append(w.asks(p.V), w.servedFrom(primary.V, p.V)...)
	open := slices.ContainsFunc(sockets, func(s sdk.Row[Socket]) bool { return s.V.State == "ESTAB" })
	trying := slices.ContainsFunc(sockets, func(s sdk.Row[Socket]) bool { return s.V.State == "SYN-SENT" })
	lines := linesOf(in, p.V, "stream")
	f := sdk.Finding{Subject: p.V.subject(), Owner: g.owner(), Params: g.params()}
	switch known := w.known[p.V.Metadata.UID]; {
	case known && trying && !open:
		f.Variant = "blocked"
	case known && !open:
		if said.Streaming && len(lines) == 0 { // it may be about to connect again
			f.Confidence = "medium"
		}
	case known && open && told && !said.Streaming:
		f.Variant, f.Confidence = "stalled", "medium"
	case !known && told && !said.Streaming:
		f.Variant, f.Confidence = "reported", "medium"
	default:
		return f, false
	}
	f.Params["pod"], f.Params["primary"], f.Params["lines"] = p.V.Metadata.Name, primary.V.Metadata.Name, len(lines)
	f.Params["address"] = "?"
	if ips := primary.V.Status.PodIPs; len(ips) > 0 {
		f.Params["address"] = ips[0].IP
	}
	peer := primary.V.subject()
	f.Peer = &peer
	f.FirstSeen, f.LastSeen = span(lines)
	f.Evidence = append(append(cite(sockets, 3), ends(lines)...), sdk.At(g.At), sdk.At(p.At))
	return f, true
}

// synchronousStandbyMissing finds clusters whose commits wait for standbys
// that are not there.
func synchronousStandbyMissing() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/synchronous-standby-missing", Severity: sdk.Critical, Layer: sdk.LayerApp,
		Text:   synchronousText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), sdk.Optional(nodesInput()), sdk.Optional(socketsInput())},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			w := wiresOf(in)
			for _, g := range groups(in) {
				if f, ok := waiting(w, g); ok {
					out.Find(f)
				}
			}
			return nil
		},
	}
}

func waiting(w *wires, g group) (sdk.Finding, bool) {
	wanted := g.V.Spec.Synchronous.Number
	var there, missing []string
	f := sdk.Finding{Subject: g.subject(), Owner: g.owner(), Params: g.params(), Evidence: []sdk.Evidence{sdk.At(g.At)}}
	for _, x := range g.V.Status.Instances {
		switch {
		case x.Name == g.V.Status.Primary:
		case x.Streaming && x.Synchronous:
			there = append(there, x.Name)
		default:
			missing = append(missing, x.Name)
			if p, ok := g.pod(x.Name); ok {
				f.Affected = append(f.Affected, p.V.subject())
				f.Evidence = append(f.Evidence, sdk.At(p.At))
				f.Evidence = append(f.Evidence, cite(w.asks(p.V), 2)...)
			}
		}
	}
	if g.V.Spec.Synchronous.FallBack == "async" || len(there) >= wanted {
		return f, false
	}
	f.Params["wanted"], f.Params["there"], f.Params["primary"] = wanted, len(there), g.V.Status.Primary
	f.Params["missing"] = strings.Join(missing, ", ")
	if len(missing) == 0 {
		f.Params["missing"] = "-"
	}
	return f, true
}
