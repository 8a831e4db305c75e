package probe

import (
	"strings"
	"testing"
)

// table makes the eight cells of a pair in the cluster; outcomes go by the ids
// that are named, all others connect.
func table(outcomes map[string]string) []Cell {
	var cells []Cell
	for _, source := range []string{"pod", "node"} {
		for _, c := range []Cell{{ID: "same", Peer: "same-node", Via: "pod-address"}, {ID: "other", Peer: "other-node", Via: "pod-address"},
			{ID: "service", Peer: "any", Via: "service-address"}, {ID: "name", Peer: "any", Via: "service-name"}} {
			c.ID, c.Source, c.Outcome = source+"-"+c.ID, source, "connected"
			if o, ok := outcomes[c.ID]; ok {
				c.Outcome = o
			}
			cells = append(cells, c)
		}
	}
	return cells
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes map[string]string
		want     string
	}{
		"healthy":         {nil, "all-connected"},
		"dead":            {map[string]string{"pod-same": "refused", "pod-other": "refused", "pod-service": "refused", "pod-name": "refused", "node-same": "refused", "node-other": "refused", "node-service": "refused", "node-name": "refused"}, "none-connected refused"},
		"overlay":         {map[string]string{"pod-other": "timeout", "node-other": "timeout", "pod-service": "mixed", "node-service": "mixed", "pod-name": "mixed", "node-name": "mixed"}, "mixed node:pod-other,node-other"},
		"service":         {map[string]string{"pod-service": "timeout", "node-service": "timeout", "pod-name": "timeout", "node-name": "timeout"}, "mixed timeout service:pod-service,node-service"},
		"dns":             {map[string]string{"pod-name": "unresolved", "node-name": "unresolved"}, "mixed unresolved name:pod-name,node-name"},
		"policy":          {map[string]string{"pod-same": "timeout", "pod-other": "timeout", "pod-service": "timeout", "pod-name": "timeout"}, "mixed timeout source:pod-same,pod-other,pod-service,pod-name"},
		"nothing is said": {map[string]string{"pod-same": "", "pod-other": "", "pod-service": "", "pod-name": "", "node-same": "", "node-other": "", "node-service": "", "node-name": ""}, "unknown"},
	} {
		r := Read(table(c.outcomes))
		got := strings.TrimSpace(r.Outcome + " " + r.All)
		for _, d := range r.Differs {
			got += " " + d.Axis + ":" + strings.Join(d.Fails, ",")
			if len(d.Works) == 0 || !d.Always {
				t.Errorf("%s: %+v", name, d)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestFill(t *testing.T) {
	var c Cell
	c.Fill([]TCPRow{{Outcome: "connected", Lookup: &Lookup{Outcome: "ok"}, Attempts: []Attempt{{Resent: 1}}}, {Outcome: "timeout", Attempts: []Attempt{{Resent: 2}}}})
	if c.Outcome != "mixed" || c.Lookup != "ok" || c.Resent != 3 {
		t.Errorf("%+v", c)
	}
	c = Cell{}
	c.Fill([]TCPRow{{Outcome: "\x1b[31mhostile"}})
	if c.Outcome != "failed" {
		t.Errorf("%+v", c)
	}
	c = Cell{}
	if c.Fill(nil); c.Reason == "" {
		t.Error("a cell without a row has no reason")
	}
}
