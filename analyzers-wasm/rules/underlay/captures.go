package underlay

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

func flowsInput() sdk.RowSource[sdk.Flow] {
	return sdk.Flows("flows", "captures/*/*.pcapng").Where("row.proto == 'tcp' || has(row.icmp)")
}

// captures is what all captures show.
type captures struct {
	files  []*capture
	gaps   map[direction]gap // where packets vanish
	tooBig []*tooBig
	index  map[tooBigKey]*tooBig
}

// capture is what one file says of segments that were sent again.
type capture struct {
	source
	name                 string
	segments, again, syn int64
	worst                []*sent // of those with segments sent again
}

// source is a file and where it was taken.
type source struct {
	path  string
	space kernel.Space
}

// direction is one direction of connections, by their ends.
type direction struct{ src, dst string }

func (d direction) String() string     { return d.src + " → " + d.dst }
func (d direction) reverse() direction { return direction{d.dst, d.src} }

// sent is what was seen of one direction of one connection.
type sent struct {
	direction
	first, last          float64
	segments, again, syn int64
	packets              []int          // the first that were sent again
	icmp                 *abi.ICMPError // that came back
}

// gap is two places, of which the second lacks packets that the first saw.
type gap struct {
	abi.Vanished
	path string
}

// packets are some of the segments that were sent again: of each connection
// the first, and more where there is room.
func (c *capture) packets() []int {
	var list []int
	for i := 0; len(list) < maxEvidence; i++ {
		before := len(list)
		for _, s := range c.worst {
			if i < len(s.packets) && len(list) < maxEvidence {
				list = append(list, s.packets[i])
			}
		}
		if len(list) == before {
			break
		}
	}
	slices.Sort(list)
	return list
}

// capturesOf reads the captures once for all rules.
func capturesOf(in *sdk.Input) *captures {
	return sdk.Memo(in, "underlay.captures", func(in *sdk.Input) *captures {
		c := &captures{gaps: map[direction]gap{}, index: map[tooBigKey]*tooBig{}}
		r := &reading{}
		for f := range flowsInput().Rows(in) { // those of a file stand together
			if r.path != f.Path {
				c.end(r)
				r = &reading{capture{source: source{f.Path, kernel.Space{Node: f.Node, Inode: f.Netns}}, name: f.Capture}, map[direction]*sent{}}
			}
			a, b := endpoint(&f.A), endpoint(&f.B)
			r.take(&f, direction{a, b}, "a", &f.A)
			r.take(&f, direction{b, a}, "b", &f.B)
			c.errors(&f, r.source)
			for _, v := range f.Vanished {
				d := map[string]direction{"a": {a, b}, "b": {b, a}}[v.From]
				if v.Packets > c.gaps[d].Packets {
					c.gaps[d] = gap{v, f.Path}
				}
			}
		}
		c.end(r)
		return c
	})
}

func endpoint(e *abi.End) string {
	ip := e.IP
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return ip + ":" + strconv.Itoa(e.Port)
}

// reading is a file while its rows come, in the order in which they begin. A
// connection has a row for each device that saw it: the one that saw most counts.
type reading struct {
	capture
	sent map[direction]*sent // the newest of its ports
}

func (r *reading) take(f *sdk.Flow, d direction, whose string, e *abi.End) {
	if f.Proto != "tcp" || e.Segments == 0 {
		return
	}
	s := &sent{d, f.First, f.Last, e.Segments, e.Retransmissions, max(e.SYN-1, 0), e.Retransmitted, nil}
	for i := range f.ICMP {
		if s.icmp == nil && f.ICMP[i].About == whose {
			s.icmp = &f.ICMP[i]
		}
	}
	if o := r.sent[d]; o == nil {
		r.sent[d] = s
	} else if s.first > o.last || s.last < o.first {
		r.add(o) // an earlier connection of the same ports
		r.sent[d] = s
	} else if s.first, s.last = min(s.first, o.first), max(s.last, o.last); s.segments > o.segments {
		*o = *s
	} else {
		o.first, o.last = s.first, s.last
	}
}

func (r *reading) add(s *sent) {
	r.segments, r.again, r.syn = r.segments+s.segments, r.again+s.again, r.syn+min(s.syn, s.again)
	if s.again > 0 {
		r.worst = append(r.worst, s)
	}
}

// end sums a file up.
func (c *captures) end(r *reading) {
	if r.path == "" {
		return
	}
	for _, s := range r.sent {
		r.add(s)
	}
	slices.SortFunc(r.worst, func(a, b *sent) int {
		return cmp.Or(cmp.Compare(b.again, a.again), slices.Compare(a.packets, b.packets))
	})
	r.worst = r.worst[:min(len(r.worst), maxEvidence)]
	c.files = append(c.files, &r.capture)
}

// gap finds where the packets of the worst connections vanish, or those that
// acknowledge them.
func (c *captures) gap(worst []*sent) (d direction, g gap, ok bool) {
	for _, s := range worst {
		for _, d := range []direction{s.direction, s.reverse()} {
			if g, ok := c.gaps[d]; ok {
				return d, g, true
			}
		}
	}
	return direction{}, gap{}, false
}

// whose tells whose packets a capture holds: the pod's of the network
// namespace, else what its name says.
func (c *capture) whose(in *sdk.Input, m *kernel.Machines) (sdk.Subject, string, int64) {
	node := c.space.Node
	if r, ok := m.PodIn(c.space); ok && c.space.Inode != 0 {
		return r.V.Subject(), r.V.Owner(), r.At
	}
	if p := strings.Split(c.name, "_"); len(p) == 3 && p[0] == "pod" {
		if r, ok := kube.PodsOf(in).ByName(p[1], p[2]); ok {
			return r.V.Subject(), r.V.Owner(), r.At
		}
		return sdk.Subject{Kind: "Pod", Namespace: p[1], Name: p[2], Node: node}, "Pod " + p[1] + "/" + p[2], 0
	}
	return sdk.Subject{Kind: "Node", Name: node, Node: node}, "Node " + node, 0
}

// place names a place of [abi.Vanished], "n1/4026532501 eth0", by its pod.
func place(m *kernel.Machines, text string) string {
	at, device, _ := strings.Cut(text, " ")
	node, netns, _ := strings.Cut(at, "/")
	inode, _ := strconv.ParseUint(netns, 10, 64)
	if !m.Has(node) {
		return text
	}
	subject, _, _ := m.Who(kernel.Space{Node: node, Inode: inode})
	return kernel.NameOf(subject) + " " + device
}
