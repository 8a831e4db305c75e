// Package dns holds the rules about name resolution.
package dns

import (
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

const maxEvidence = 4

// CoreDNSUnavailable finds a cluster whose DNS answers nobody, or with fewer
// replicas than it should.
func CoreDNSUnavailable() sdk.Rule {
	return sdk.Rule{
		ID: "dns/coredns-unavailable", Severity: sdk.Critical, Layer: sdk.LayerDNS,
		Text: map[string]sdk.Text{"en": coreDNSUnavailableEN(), "zh": coreDNSUnavailableZH()},
		Inputs: []sdk.Source{kube.ServicesInput(), kube.SlicesInput(), kube.DeploymentsInput(), sdk.Optional(kube.PodsInput()),
			sdk.Optional(unansweredInput())},
		Run: coreDNSUnavailable,
	}
}

// unansweredInput is the queries in captures that nobody answered.
func unansweredInput() sdk.RowSource[sdk.Query] {
	return sdk.DNS("unanswered", "captures/*/*.pcapng").Where("!has(row.answerPacket)")
}

// clusterDNS is what serves names in kube-system.
type clusterDNS struct {
	service    *sdk.Row[kube.Service]
	deployment *sdk.Row[kube.Deployment]
	slices     []sdk.Row[kube.EndpointSlice]
}

func coreDNSUnavailable(in *sdk.Input, out *sdk.Reporter) error {
	var d clusterDNS
	for s, at := range kube.ServicesInput().Rows(in) {
		if s.IsClusterDNS() && (d.service == nil || s.Metadata.Name == "kube-dns") {
			d.service = &sdk.Row[kube.Service]{V: s, At: at}
			d.slices = kube.SlicesOf(in).Of(s)
		}
	}
	for dep, at := range kube.DeploymentsInput().Rows(in) {
		m := dep.Metadata
		if m.Namespace == "kube-system" && (m.Name == "coredns" || d.deployment == nil && m.Labels["k8s-app"] == "kube-dns") {
			d.deployment = &sdk.Row[kube.Deployment]{V: dep, At: at}
		}
	}
	_, noServices := in.Missing(kube.ServicesInput())
	_, noDeployments := in.Missing(kube.DeploymentsInput())
	if d.service == nil && noServices {
		return nil
	}
	if d.service == nil && d.deployment == nil {
		if noDeployments {
			return nil
		}
		out.Unknown("no Service kube-dns and no Deployment coredns in kube-system: this cluster resolves names in another way")
		return nil
	}
	if _, missing := in.Missing(kube.SlicesInput()); missing && d.wanted() <= d.available() {
		return nil
	}
	if f, broken := d.finding(in); broken {
		out.Find(f)
	}
	return nil
}

func (d clusterDNS) wanted() int {
	if d.deployment == nil {
		return 0
	}
	return d.deployment.V.Spec.Replicas
}

func (d clusterDNS) available() int {
	if d.deployment == nil {
		return 0
	}
	return d.deployment.V.Status.Available
}

func (d clusterDNS) finding(in *sdk.Input) (sdk.Finding, bool) {
	all, serving := kube.Count(d.slices)
	f := sdk.Finding{
		Owner:   "Deployment kube-system/coredns",
		Subject: sdk.Subject{Kind: "Deployment", Namespace: "kube-system", Name: "coredns"},
		Params:  map[string]any{"wanted": d.wanted(), "available": d.available(), "endpoints": all, "ready": serving, "service": "kube-dns", "deployment": "coredns"},
	}
	if d.service != nil {
		f.Params["service"] = d.service.V.Metadata.Name
		f.Evidence = append(f.Evidence, sdk.At(d.service.At))
		f.Subject = d.service.V.Subject()
	}
	if d.deployment != nil {
		f.Params["deployment"] = d.deployment.V.Metadata.Name
		f.Evidence = append(f.Evidence, sdk.At(d.deployment.At))
		f.Subject = sdk.Subject{Kind: "Deployment", Namespace: "kube-system", Name: d.deployment.V.Metadata.Name, UID: d.deployment.V.Metadata.UID}
	}
	for _, s := range d.slices[:min(len(d.slices), maxEvidence)] {
		f.Evidence = append(f.Evidence, sdk.At(s.At))
	}
	switch {
	case d.service == nil:
		f.Variant = "no-service"
	case serving == 0 && d.deployment != nil && d.wanted() == 0:
		f.Variant = "scaled-to-zero"
	case serving == 0:
		f.Variant = "none-ready"
	case d.deployment != nil && d.available() < d.wanted():
		f.Variant, f.Severity = "degraded", sdk.High
	case d.deployment != nil && d.wanted() == 0 && d.managed(in):
		f.Variant, f.Severity = "scaled-to-zero", sdk.High // the last replicas are on their way out
	default:
		return f, false
	}
	f.Evidence = append(append(f.Evidence, d.unready(in)...), d.unanswered(in)...)
	return f, true
}

// managed says whether the Service's pods would be the Deployment's, rather
// than those of a DaemonSet beside one that was scaled down on purpose.
func (d clusterDNS) managed(in *sdk.Input) bool {
	for _, p := range kube.PodsOf(in).Selected("kube-system", d.service.V.Spec.Selector) {
		if p.V.Owner() != "Deployment kube-system/"+d.deployment.V.Metadata.Name {
			return false
		}
	}
	return kube.Matches(d.service.V.Spec.Selector, d.deployment.V.Spec.Template.Metadata.Labels)
}

func (d clusterDNS) unready(in *sdk.Input) []sdk.Evidence {
	var es []sdk.Evidence
	if d.service == nil {
		return nil
	}
	for _, p := range kube.PodsOf(in).Selected("kube-system", d.service.V.Spec.Selector) {
		if !p.V.Ready() && len(es) < maxEvidence {
			es = append(es, sdk.At(p.At))
		}
	}
	return es
}

// unanswered cites queries to the Service that were sent more than once, for
// nothing: the last ones of a capture may just have been answered after it.
func (d clusterDNS) unanswered(in *sdk.Input) []sdk.Evidence {
	var es []sdk.Evidence
	if d.service == nil {
		return nil
	}
	for q, at := range unansweredInput().Rows(in) {
		if q.Server == d.service.V.Spec.ClusterIP && q.Tries > 1 {
			es = append(es, sdk.At(at))
		}
		if len(es) == maxEvidence {
			break
		}
	}
	return es
}
