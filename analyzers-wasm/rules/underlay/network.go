package underlay

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/sdk"
)

const mainTable = 254

// network is the links, addresses and routes of all nodes and pods.
type network struct {
	nodes  []string       // with data, sorted
	pods   []kernel.Space // the namespaces that are not a node's own, sorted
	spaces map[kernel.Space]*space
	ends   map[string][]podEnd // of each node's pods
}

type link struct{ sdk.Row[kernel.Link] }

func (l link) up() bool { return slices.Contains(l.V.Flags, "UP") }

// address is an address with its subnet.
type address struct {
	prefix netip.Prefix
	index  int
	at     int64
}

type space struct {
	key     kernel.Space
	links   []link
	addrs   []address
	routes  []sdk.Row[kernel.Route]
	ordered map[netip.Prefix]int // of a node's routes, the best for each prefix
}

func readNetwork(in *sdk.Input) *network {
	n := &network{spaces: map[kernel.Space]*space{}}
	of := func(p sdk.Place) *space {
		key := kernel.Space{Node: p.Node, Inode: p.Netns}
		s := n.spaces[key]
		if s == nil {
			s = &space{key: key}
			if key.Inode == 0 {
				s.ordered = map[netip.Prefix]int{}
			}
			n.spaces[key] = s
		}
		return s
	}
	for l, at := range kernel.LinksInput().Rows(in) {
		s := of(l.Place)
		if l.Kind == "loopback" {
			continue
		}
		s.links = append(s.links, link{sdk.Row[kernel.Link]{V: l, At: at}})
	}
	for a, at := range kernel.AddrsInput().Rows(in) {
		if p, err := netip.ParsePrefix(a.Addr); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			s := of(a.Place)
			s.addrs = append(s.addrs, address{p, a.Index, at})
		}
	}
	for r, at := range kernel.RoutesInput().Rows(in) {
		of(r.Place).addRoute(sdk.Row[kernel.Route]{V: r, At: at})
	}
	for key := range n.spaces {
		if key.Inode != 0 {
			n.pods = append(n.pods, key)
		} else {
			n.nodes = append(n.nodes, key.Node)
		}
	}
	slices.Sort(n.nodes)
	slices.SortFunc(n.pods, func(a, b kernel.Space) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Inode, b.Inode))
	})
	n.ends = map[string][]podEnd{}
	for _, key := range n.pods {
		n.ends[key.Node] = append(n.ends[key.Node], n.spaces[key].podEnds()...)
	}
	return n
}

func (s *space) addRoute(r sdk.Row[kernel.Route]) {
	if r.V.Type != "" && r.V.Type != "unicast" || r.V.Table != 0 && r.V.Table != mainTable {
		return
	}
	dst := r.V.Dst
	if dst == "default" {
		dst = map[bool]string{true: "::/0", false: "0.0.0.0/0"}[r.V.Family == "inet6"]
	}
	if !strings.Contains(dst, "/") {
		dst += map[bool]string{true: "/128", false: "/32"}[strings.Contains(dst, ":")]
	}
	p, err := netip.ParsePrefix(dst)
	if err != nil {
		return
	}
	s.routes = append(s.routes, r)
	if s.ordered == nil {
		return
	}
	p = p.Masked()
	if old, ok := s.ordered[p]; !ok || r.V.Metric < s.routes[old].V.Metric {
		s.ordered[p] = len(s.routes) - 1
	}
}

func (s *space) link(index int) (link, bool) {
	i := slices.IndexFunc(s.links, func(l link) bool { return l.V.Index == index })
	if i < 0 || index == 0 {
		return link{}, false
	}
	return s.links[i], true
}

// lookup is the route with the longest prefix that holds the address.
func (s *space) lookup(ip netip.Addr) (sdk.Row[kernel.Route], bool) {
	for bits := ip.BitLen(); bits >= 0; bits-- {
		p, err := ip.Prefix(bits)
		if err != nil {
			break
		}
		if i, ok := s.ordered[p]; ok {
			return s.routes[i], true
		}
	}
	return sdk.Row[kernel.Route]{}, false
}

// carrier is the device below a tunnel, whether the outer packets are IPv6,
// and whether the kernel itself says so (else the default route's is taken). A
// tunnel that chooses its way packet by packet (Cilium's) has none: its MTU is
// set on routes.
func (s *space) carrier(l link) (under *link, v6, sure bool) {
	if v := l.V.Vxlan; v != nil {
		local, err := netip.ParseAddr(v.Local)
		v6 = err == nil && local.Is6()
		for i := range s.links {
			if v.Dev != "" && s.links[i].V.Name == v.Dev {
				return &s.links[i], v6, true
			}
		}
		for _, a := range s.addrs {
			if dev, ok := s.link(a.index); ok && err == nil && a.prefix.Addr() == local {
				return &dev, v6, true
			}
		}
	}
	if dev, ok := s.link(l.V.Link); ok && l.V.Link != l.V.Index {
		return &dev, v6, true
	}
	if l.V.Kind == "vxlan" || l.V.Kind == "geneve" {
		return nil, v6, false
	}
	for _, bare := range []string{"0.0.0.0/0", "::/0"} {
		if i, ok := s.ordered[netip.MustParsePrefix(bare)]; ok {
			if dev, ok := s.link(routeIndex(s.routes[i].V)); ok && dev.V.Index != l.V.Index {
				return &dev, bare == "::/0", false
			}
		}
	}
	return nil, v6, false
}

func routeIndex(r kernel.Route) int {
	if r.Index == 0 && len(r.Nexthops) > 0 {
		return r.Nexthops[0].Index
	}
	return r.Index
}

// segment is a subnet on which several nodes have a device.
type segment struct {
	prefix  netip.Prefix
	members []member
}

type member struct {
	node string
	ip   netip.Addr
	link link
	addr int64
}

// segments finds the subnets that nodes share: the same prefix with different
// addresses, so that a bridge that has one address on every node is none.
func (n *network) segments() []segment {
	byPrefix := map[netip.Prefix]*segment{}
	var order []netip.Prefix
	for _, node := range n.nodes {
		host := n.spaces[kernel.Space{Node: node}]
		for _, a := range host.addrs {
			dev, ok := host.link(a.index)
			if _, tunnel := overhead(dev.V.Kind, false); !ok || !dev.up() || tunnel || a.prefix.IsSingleIP() {
				continue
			}
			p := a.prefix.Masked()
			if byPrefix[p] == nil {
				byPrefix[p] = &segment{prefix: p}
				order = append(order, p)
			}
			s := byPrefix[p]
			if !slices.ContainsFunc(s.members, func(m member) bool { return m.node == node || m.ip == a.prefix.Addr() }) {
				s.members = append(s.members, member{node, a.prefix.Addr(), dev, a.at})
			}
		}
	}
	var list []segment
	seen := map[string]bool{} // a device is compared once, though it has IPv4 and IPv6
	for _, p := range order {
		s := byPrefix[p]
		key := ""
		for _, m := range s.members {
			key += m.node + " " + m.link.V.Name + ","
		}
		if len(s.members) > 1 && !seen[key] {
			seen[key] = true
			list = append(list, *s)
		}
	}
	return list
}

// commonMTU is a member with the MTU that most have, the larger one of two.
func (s segment) commonMTU() member {
	count := map[int]int{}
	for _, m := range s.members {
		count[m.link.V.MTU]++
	}
	best := s.members[0]
	for _, m := range s.members[1:] {
		a, b := m.link.V.MTU, best.link.V.MTU
		if count[a] > count[b] || count[a] == count[b] && a > b {
			best = m
		}
	}
	return best
}

// podEnd is the end of a way in a pod.
type podEnd struct {
	space kernel.Space
	ip    netip.Addr
	mtu   int
	at    int64
}

// podEnds finds the ends of a pod: the devices that its default routes leave by,
// or all when it has none (a second network of its own takes no part in the
// cluster's). A default route with an MTU of its own narrows what it sends.
func (s *space) podEnds() []podEnd {
	narrowed := map[int]int{} // device → MTU of its default route, 0 for none
	for _, r := range s.routes {
		if r.V.Dst == "default" {
			narrowed[routeIndex(r.V)] = r.V.MTU
		}
	}
	var list []podEnd
	for _, a := range s.addrs {
		l, ok := s.link(a.index)
		mtu, primary := narrowed[a.index]
		if !ok || !l.up() || len(narrowed) > 0 && !primary {
			continue
		}
		if mtu == 0 || mtu > l.V.MTU {
			mtu = l.V.MTU
		}
		list = append(list, podEnd{s.key, a.prefix.Addr(), mtu, l.At})
	}
	return list
}

func (n *network) largestPod(node string) *podEnd {
	var best *podEnd
	for _, e := range n.ends[node] {
		if best == nil || e.mtu > best.mtu {
			best = &e
		}
	}
	return best
}

func (n *network) largestPodMTU(nodes ...string) int {
	mtu := 0
	for _, node := range nodes {
		if e := n.largestPod(node); e != nil {
			mtu = max(mtu, e.mtu)
		}
	}
	return mtu
}

// hop is how a node sends to another node's pods.
type hop struct {
	route sdk.Row[kernel.Route]
	dev   link
}

func (h hop) mtu() int {
	if h.route.V.MTU > 0 {
		return min(h.route.V.MTU, h.dev.V.MTU)
	}
	return h.dev.V.MTU
}

func (n *network) hop(from *space, to string) (hop, bool) {
	for _, e := range n.ends[to] {
		r, ok := from.lookup(e.ip)
		if !ok {
			continue
		}
		if dev, ok := from.link(routeIndex(r.V)); ok {
			return hop{r, dev}, true
		}
	}
	return hop{}, false
}

// narrow says whether anything at all on the node takes less than mtu.
func (s *space) narrow(mtu int) bool {
	for _, l := range s.links {
		if l.V.MTU < mtu && l.up() {
			return true
		}
	}
	for _, r := range s.routes {
		if r.V.MTU > 0 && r.V.MTU < mtu {
			return true
		}
	}
	return false
}
