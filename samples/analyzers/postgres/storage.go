package main

import (
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

// archiveFailing finds clusters whose WAL does not get into the archive.
func archiveFailing() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/archive-failing", Severity: sdk.High, Layer: sdk.LayerApp,
		Text:   archiveText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), logInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for _, g := range groups(in) {
				if f, ok := unarchived(in, g); ok {
					out.Find(f)
				}
			}
			return nil
		},
	}
}

// archiveTries is how often PostgreSQL tries at once. What it got over before
// that is not told.
const archiveTries = 3

// unarchived holds what the operator says against the log: what failed before
// the last success is over.
func unarchived(in *sdk.Input, g group) (sdk.Finding, bool) {
	a := g.V.Status.Archive
	var lines []sdk.Row[sdk.LogLine]
	for _, p := range g.pods {
		for _, l := range linesOf(in, p.V, "archive") {
			if after(l.V.Time, a.LastSuccess) {
				lines = append(lines, l)
			}
		}
	}
	f := sdk.Finding{Subject: g.subject(), Owner: g.owner(), Params: g.params(), Evidence: append(ends(lines), sdk.At(g.At))}
	failing := len(lines) >= archiveTries
	for _, c := range g.V.Status.Conditions {
		if c.Type == "Archiving" && c.Status == "False" {
			failing = true
			f.FirstSeen = c.Since
		}
	}
	if !failing {
		return f, false
	}
	if first, last := span(lines); last != "" {
		f.LastSeen = last
		if f.FirstSeen == "" {
			f.FirstSeen = first
		}
	}
	f.Params["failures"], f.Params["pending"], f.Params["code"], f.Params["pod"] = len(lines), a.Pending, "?", g.V.Status.Primary
	f.Params["success"] = "never"
	if a.LastSuccess != "" {
		f.Params["success"] = a.LastSuccess
	}
	if len(lines) == 0 {
		f.Variant = "said"
		return f, true
	}
	f.Params["code"] = lines[len(lines)-1].V.Groups["code"]
	return f, true
}

// Mount is a row of mounts.ndjson.
type Mount struct {
	sdk.Place
	Point   string `json:"point"`
	PodUID  string `json:"podUID"`
	Bytes   *Usage `json:"bytes"`
	Inodes  *Usage `json:"inodes"`
	Unasked string `json:"unasked"`
}

// Usage is how full a file system is.
type Usage struct {
	Total     uint64 `json:"total"`
	Available uint64 `json:"available"` // to others than root
}

// percent is how much of it is taken; false when it does not count such.
func (u *Usage) percent() (int, bool) {
	if u == nil || u.Total == 0 || u.Available > u.Total {
		return 0, false
	}
	return int((u.Total - u.Available) * 100 / u.Total), true
}

const (
	dataVolume   = "pgdata" // what the operator calls the volume
	diskFull     = 90       // percent
	diskCritical = 97
)

// dataDiskFull finds disks below PGDATA that run out of space or inodes.
func dataDiskFull() sdk.Rule {
	return sdk.Rule{
		ID: "postgres/data-disk-full", Severity: sdk.High, Layer: sdk.LayerNode,
		Text:   diskText(),
		Inputs: []sdk.Source{clustersInput(), podsInput(), claimsInput(), mountsInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for _, g := range groups(in) {
				for _, p := range g.pods {
					if p.V.Status.Phase != "Running" {
						continue
					}
					m, ok := dataMount(in, p.V)
					_, bytes := m.V.Bytes.percent()
					switch {
					case !ok:
						out.Unknown("no mount of "+p.V.name()+" for its volume "+dataVolume+" was collected: is its node among those of --nodes?", mountsInput())
					case !bytes:
						out.Unknown("how full "+m.V.Point+" is was not asked: "+m.V.Unasked, mountsInput())
					default:
						fullness(g, p, m, out)
					}
				}
			}
			return nil
		},
	}
}

func fullness(g group, p sdk.Row[Pod], m sdk.Row[Mount], out *sdk.Reporter) {
	bytes, _ := m.V.Bytes.percent()
	inodes, _ := m.V.Inodes.percent()
	if max(bytes, inodes) < diskFull {
		return
	}
	f := sdk.Finding{Subject: p.V.subject(), Owner: g.owner(), Params: g.params(), Evidence: []sdk.Evidence{sdk.At(m.At), sdk.At(p.At)}}
	f.Params["pod"], f.Params["node"], f.Params["percent"], f.Params["inodes"] = p.V.Metadata.Name, m.V.Node, bytes, inodes
	f.Params["freeMiB"] = m.V.Bytes.Available >> 20
	if inodes > bytes {
		f.Variant = "inodes"
	}
	if max(bytes, inodes) >= diskCritical {
		f.Severity = sdk.Critical
	}
	out.Find(f)
}

// dataMount is where the kubelet mounted the volume of PGDATA: under the name
// of the persistent volume, or of the pod's volume where there is no claim.
func dataMount(in *sdk.Input, p Pod) (sdk.Row[Mount], bool) {
	name := dataVolume
	for _, v := range p.Spec.Volumes {
		if v.Name != dataVolume || v.Claim.Name == "" {
			continue
		}
		for _, c := range claimsInput().All(in) {
			if c.V.Metadata.Namespace == p.Metadata.Namespace && c.V.Metadata.Name == v.Claim.Name {
				name = c.V.Spec.VolumeName
			}
		}
	}
	for _, m := range mountsInput().All(in) {
		if m.V.PodUID == p.Metadata.UID && strings.Contains(m.V.Point+"/", "/"+name+"/") {
			return m, true
		}
	}
	return sdk.Row[Mount]{}, false
}
