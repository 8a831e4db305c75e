package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/probe"
)

// town is a cluster of three nodes with a client on the first and a web server
// on each.
func town() (nodes []cluster.Node, pods map[string][]agent.Pod, web []cluster.Member, client cluster.Member) {
	pods = map[string][]agent.Pod{}
	pod := func(node, name, ip string) agent.Pod {
		p := agent.Pod{UID: name, Namespace: "shop", Name: name, IPs: []string{ip}, Containers: map[string]string{name: "c"}}
		pods[node] = append(pods[node], p)
		return p
	}
	for i := 1; i <= 3; i++ {
		n := fmt.Sprintf("n%d", i)
		nodes = append(nodes, cluster.Node{Name: n, Ready: true, IPs: []string{fmt.Sprintf("192.0.2.%d", i)}})
		web = append(web, cluster.Member{Node: n, Pod: pod(n, "web-"+n, fmt.Sprintf("10.1.%d.2", i)), Ready: true, Port: 8080})
	}
	return nodes, pods, web, cluster.Member{Node: "n1", Pod: pod("n1", "client", "10.1.1.9"), Ready: true}
}

func end(t *testing.T, text string) cluster.End {
	t.Helper()
	s, err := cluster.ParseEnd(text)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.End{EndSpec: s}
}

// ids are the cells that are tried, and those that are not with their reasons.
func ids(p *pair) string {
	var out []string
	for _, c := range p.cells {
		if c.Reason != "" {
			out = append(out, c.ID+" ("+c.Reason+")")
			continue
		}
		out = append(out, fmt.Sprintf("%s %s:%d", c.ID, c.Host, c.Port))
	}
	return strings.Join(out, "\n")
}

func TestPairOfPodAndService(t *testing.T) {
	nodes, pods, web, client := town()
	a, b := end(t, "pod/shop/client"), end(t, "service/shop/web")
	a.Members = []cluster.Member{client}
	b.Members, b.Service = web, &cluster.ServiceEnd{Namespace: "shop", Name: "web", Addresses: []string{"10.2.0.1"}, Port: 80}
	p, err := newPair(a, b, nodes, pods)
	if err != nil {
		t.Fatal(err)
	}
	if want := `pod-to-pod-same 10.1.1.2:8080
node-to-pod-same 10.1.1.2:8080
pod-to-pod-other 10.1.2.2:8080
node-to-pod-other 10.1.2.2:8080
pod-to-service 10.2.0.1:80
node-to-service 10.2.0.1:80
pod-to-service-name web.shop.svc:80
node-to-service-name web.shop.svc:80`; ids(p) != want {
		t.Errorf("%s", ids(p))
	}
	if got := strings.Join(p.nodes(), " "); got != "n1 n2" {
		t.Errorf("nodes %s", got)
	}
	if err := capture.Check(p.filter()); err != nil {
		t.Errorf("%s: %v", p.filter(), err)
	}
	for _, want := range []string{"host 10.1.1.9", "host 10.1.2.2", "host 10.2.0.1", "host 192.0.2.1"} {
		if !strings.Contains(p.filter(), want) {
			t.Errorf("%s lacks %s", p.filter(), want)
		}
	}
	var points []string
	for _, c := range p.targets([]cluster.Target{{Spec: cluster.Spec{Text: "node/n2"}}}) {
		points = append(points, c.Text)
	}
	if got := strings.Join(points, " "); got != "node/n1 pod/shop/client pod/shop/web-n1 pod/shop/web-n2" {
		t.Errorf("captures at %s", got)
	}
	last := p.probes[len(p.probes)-1].probe
	if last.Cell != "node-to-service-name" || last.PodUID != "" || last.ResolvUID != "client" {
		t.Errorf("a node asks the cluster's DNS: %+v", last)
	}
}

func TestPairsThatLack(t *testing.T) {
	nodes, pods, web, client := town()
	// A is the only pod of B on its node, no service, one node less.
	a, b := end(t, "pod/shop/web-n1"), end(t, "pod/shop/web-n1:9000")
	a.Members, b.Members = web[:1], web[:1]
	p, err := newPair(a, b, nodes, pods)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pod-to-pod-same (the only pod of B on this node is A itself)", "node-to-pod-same 10.1.1.2:8080", "pod-to-pod-other (pod/shop/web-n1 has no pod on another node than n1)", "pod-to-service (no service leads"} {
		if !strings.Contains(ids(p), want) {
			t.Errorf("no %s in\n%s", want, ids(p))
		}
	}
	// Nobody knows a port.
	mute := client
	b = end(t, "pod/shop/client")
	b.Members = []cluster.Member{mute}
	if _, err := newPair(a, b, nodes, pods); err == nil || !strings.Contains(err.Error(), "say pod/shop/client:PORT") {
		t.Errorf("%v", err)
	}
	// Outside, by name and by address; a pod in its node's network.
	hostNet := client
	hostNet.Pod.HostNet = true
	a.Members = []cluster.Member{hostNet}
	if p, err = newPair(a, end(t, "tcp://db.example:5432"), nodes, pods); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pod-to-name (the pod uses the network of its node)", "node-to-name db.example:5432", "node-to-address (B is given by its name", "other-node-name db.example:5432"} {
		if !strings.Contains(ids(p), want) {
			t.Errorf("no %s in\n%s", want, ids(p))
		}
	}
	if err := capture.Check(p.filter()); err != nil || !strings.Contains(p.filter(), "port 5432") {
		t.Errorf("%s: %v", p.filter(), err)
	}
	a.Members = []cluster.Member{client}
	if p, err = newPair(a, end(t, "tcp://[2001:db8::1]:443"), nodes[:1], pods); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pod-to-address 2001:db8::1:443", "pod-to-name (B is given by its address)", "other-node-address (there is no other node that is ready)"} {
		if !strings.Contains(ids(p), want) {
			t.Errorf("no %s in\n%s", want, ids(p))
		}
	}
	if err := capture.Check(p.filter()); err != nil || !strings.Contains(p.filter(), "host 2001:db8::1") {
		t.Errorf("%s: %v", p.filter(), err)
	}
}

func TestPairOfNodes(t *testing.T) {
	nodes, pods, _, _ := town()
	a, b := end(t, "node/n1"), end(t, "node/n3:22")
	a.Node, b.Node, b.Port = "n1", "n3", 22
	p, err := newPair(a, b, nodes, pods)
	if err != nil {
		t.Fatal(err)
	}
	if want := `pod-to-node-same 192.0.2.1:22
node-to-node-same 192.0.2.1:22
pod-to-node-other 192.0.2.3:22
node-to-node-other 192.0.2.3:22`; ids(p) != want {
		t.Errorf("%s", ids(p))
	}
	rows := []json.RawMessage{json.RawMessage(`{"cell":"pod-to-node-other","outcome":"timeout"}`), json.RawMessage(`{"cell":"pod-to-node-same","outcome":"connected"}`),
		json.RawMessage(`{"outcome":"refused"}`), json.RawMessage(`nonsense`)}
	c := p.contrasts(rows)
	if c.Reading.Outcome != "mixed" || len(c.Reading.Differs) != 1 || c.Reading.Differs[0].Axis != "node" || c.Cells[1].Reason == "" {
		t.Errorf("%+v", c)
	}
	if got := readingText(c); got != "between node/n1 and node/n3:22: mixed (timeout); differs by node: pod-to-node-other fails, pod-to-node-same works" {
		t.Errorf("%s", got)
	}
}

// TestLay lays probes out: where they go from, a mesh that grows with the nodes
// and not with their square, and the limit on them all.
func TestLay(t *testing.T) {
	nodes, pods, _, _ := town()
	lay := func(nodes []string, all []cluster.Node, texts ...string) (*probing, error) {
		x := &probing{byNode: map[string][]agent.Probe{}}
		for _, text := range texts {
			r, err := probe.ParseRequest(text)
			if err != nil {
				t.Fatal(err)
			}
			x.asked = append(x.asked, askedProbe{Request: r})
		}
		return x, x.lay(nodes, all, pods, "casefile-x", false)
	}
	x, err := lay([]string{"n1", "n2"}, nodes, "dns:web", "tcp:db:5432", "clock", "tcp:podmesh:8080")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range x.byNode["n1"] {
		got = append(got, p.Kind+" "+p.To+" from "+p.From)
	}
	if want := "dns web from node/n1, dns web from pod/shop/client, tcp db:5432 from node/n1, clock  from node/n1, tcp 10.1.2.2:8080 from pod/shop/client, tcp 10.1.3.2:8080 from pod/shop/client"; strings.Join(got, ", ") != want {
		t.Errorf("%s", strings.Join(got, ", "))
	}
	if s := x.sends(); !strings.Contains(s, "dns web from node/n1 and 3 more") || !strings.Contains(s, "tcp pod/shop/web-n2 (10.1.2.2:8080) from") {
		t.Errorf("%s", s)
	}
	var many []cluster.Node
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("m%03d", i))
		many = append(many, cluster.Node{Name: names[i], IPs: []string{fmt.Sprintf("192.0.2.%d", i)}})
	}
	once, err := lay(names, many, "tcp:mesh")
	again, _ := lay(names, many, "tcp:mesh")
	if err != nil || fmt.Sprint(once.byNode) != fmt.Sprint(again.byNode) || len(once.byNode) != 200 || len(once.byNode["m007"]) != 1+probe.DefaultFanout {
		t.Errorf("%v, %d nodes, %v", err, len(once.byNode), once.byNode["m007"])
	}
	if to := once.byNode["m199"][0]; to.Target != "node/m000" {
		t.Errorf("the ring is open: %+v", to)
	}
	if _, err := lay(names, many, strings.Split(strings.Repeat("dns:web ", 30)+"tcp:a:1", " ")...); err == nil || !strings.Contains(err.Error(), "at most 5000") {
		t.Errorf("%v", err)
	}
}
