// Package kernel holds the rows of node data that several rules read, and
// tells which pod a network namespace or a container belongs to.
package kernel

import (
	"fmt"
	"math"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

// Node is nodes/<node>/node.json.
type Node struct {
	sdk.Place
	Name    string `json:"name"`
	Samples []struct {
		Wall      time.Time `json:"wall"`
		Monotonic float64   `json:"monotonic"`
	} `json:"samples"`
	Netns []Netns `json:"netns"`
}

// Netns is a network namespace of a node.
type Netns struct {
	Inode        uint64   `json:"inode"`
	Host         bool     `json:"host"`
	PodUID       string   `json:"podUID"`
	PodNamespace string   `json:"podNamespace"`
	PodName      string   `json:"podName"`
	Containers   []string `json:"containers"`
}

// NodesInput is the declared input of node.json.
func NodesInput() sdk.RowSource[Node] { return sdk.Table[Node]("nodes", "nodes/*/node.json") }

// Socket is a line of sockets.ndjson. Of a listener Rqueue is the length of
// its accept queue and Wqueue the backlog.
type Socket struct {
	sdk.Place
	Proto  string `json:"proto"`
	State  string `json:"state"`
	Src    string `json:"src"`
	Sport  int    `json:"sport"`
	Rqueue int64  `json:"rqueue"`
	Wqueue int64  `json:"wqueue"`
	Comm   string `json:"comm"`
}

// SocketsInput is the declared input of sockets, of every sample.
func SocketsInput() Tables[Socket] { return everywhere[Socket]("sockets", "*/net/sockets.ndjson") }

// Space names a network namespace: 0 is the node's own.
type Space struct {
	Node  string
	Inode uint64
}

// Listeners reads the listening TCP sockets of every namespace once.
func Listeners(in *sdk.Input) map[Space][]sdk.Row[Socket] {
	return sdk.Memo(in, "kernel.Listeners", func(in *sdk.Input) map[Space][]sdk.Row[Socket] {
		m := map[Space][]sdk.Row[Socket]{}
		for s, at := range SocketsInput().RowsHaving(in, "LISTEN") {
			if s.State == "LISTEN" && s.Proto == "tcp" {
				m[s.space()] = append(m[s.space()], sdk.Row[Socket]{V: s, At: at})
			}
		}
		return m
	})
}

func (s Socket) space() Space { return Space{s.Node, s.Netns} }

// Machines is what is known of the nodes with data.
type Machines struct {
	Rows   []sdk.Row[Node]
	byName map[string]int
	spaces map[Space]Netns
	pods   *kube.Pods
}

// MachinesOf reads the nodes once for all rules. Their rules declare
// [NodesInput], and [kube.PodsInput], which may be optional.
func MachinesOf(in *sdk.Input) *Machines {
	return sdk.Memo(in, "kernel.Machines", func(in *sdk.Input) *Machines {
		m := &Machines{Rows: NodesInput().All(in), byName: map[string]int{}, spaces: map[Space]Netns{}, pods: kube.PodsOf(in)}
		for i, r := range m.Rows {
			m.byName[r.V.Node] = i
			for _, n := range r.V.Netns {
				s := Space{r.V.Node, n.Inode}
				if n.Host {
					s.Inode = 0
				}
				m.spaces[s] = n
			}
		}
		return m
	})
}

// Has says whether there is data of a node.
func (m *Machines) Has(node string) bool {
	_, ok := m.byName[node]
	return ok
}

// Seconds is the time from the first to the last sample of a node.
func (m *Machines) Seconds(node string) float64 {
	i, ok := m.byName[node]
	if !ok || len(m.Rows[i].V.Samples) < 2 {
		return 0
	}
	s := m.Rows[i].V.Samples
	return s[len(s)-1].Monotonic - s[0].Monotonic
}

// Sampled is when the last sample of a node began; zero when unknown.
func (m *Machines) Sampled(node string) time.Time {
	i, ok := m.byName[node]
	if !ok || len(m.Rows[i].V.Samples) == 0 {
		return time.Time{}
	}
	s := m.Rows[i].V.Samples
	return s[len(s)-1].Wall
}

// Where resolves an inode that the kernel printed to the namespace of a node;
// elsewhere is true when it is one of another node (machines that share one
// kernel share its log).
func (m *Machines) Where(node string, inode uint64) (s Space, elsewhere bool) {
	if _, ok := m.spaces[Space{node, inode}]; ok {
		return Space{node, inode}, false
	}
	for _, r := range m.Rows {
		for _, n := range r.V.Netns {
			if n.Inode == inode && !(n.Host && r.V.Node == node) {
				return Space{r.V.Node, inode}, true
			}
		}
	}
	return Space{Node: node}, false
}

// Who is what a finding about a network namespace is about, its owner, and the
// row that says so (0 when there is none). The node's own namespace is the
// node; one without a pod is the node, too, with the inode in its name.
func (m *Machines) Who(s Space) (subject sdk.Subject, owner string, at int64) {
	subject = sdk.Subject{Kind: "Node", Name: s.Node, Node: s.Node}
	n := m.spaces[s]
	if s.Inode == 0 || n.Host {
		return subject, "Node " + s.Node, 0
	}
	if r, ok := m.PodIn(s); ok {
		return r.V.Subject(), r.V.Owner(), r.At
	}
	if n.PodName != "" {
		subject = sdk.Subject{Kind: "Pod", Namespace: n.PodNamespace, Name: n.PodName, Node: s.Node, UID: n.PodUID}
		return subject, "Pod " + n.PodNamespace + "/" + n.PodName, 0
	}
	subject.Name = fmt.Sprintf("%s (network namespace %d)", s.Node, s.Inode)
	return subject, fmt.Sprintf("Node %s netns", s.Node), 0
}

// PodIn finds the pod of a network namespace: by its containers first, since
// the kernel side of a static pod has another uid than the API server's.
func (m *Machines) PodIn(s Space) (kube.PodRow, bool) {
	n, ok := m.spaces[s]
	if !ok {
		return kube.PodRow{}, false
	}
	for _, id := range n.Containers {
		if r, _, ok := m.pods.ByContainer(id); ok {
			return r, true
		}
	}
	if r, ok := m.pods.ByUID(n.PodUID); ok {
		return r, true
	}
	return m.pods.ByName(n.PodNamespace, n.PodName)
}

// SpacesOfPods lists the namespaces of pods by the pod's uid.
func (m *Machines) SpacesOfPods() map[string]Space {
	byUID := map[string]Space{}
	for _, r := range m.Rows {
		for _, n := range r.V.Netns {
			s := Space{r.V.Node, n.Inode}
			if p, ok := m.PodIn(s); ok && !n.Host {
				byUID[p.V.Metadata.UID] = s
			}
		}
	}
	return byUID
}

// NameOf names a subject within a sentence, the same in every language.
func NameOf(s sdk.Subject) string {
	if s.Namespace == "" {
		return s.Kind + " " + s.Name
	}
	return s.Kind + " " + s.Namespace + "/" + s.Name
}

// Tenths rounds to one digit after the point.
func Tenths(v float64) float64 { return math.Round(v*10) / 10 }
