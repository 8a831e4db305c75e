package pseudonym

import "testing"

func testKey() Key {
	var k Key
	for i := range k {
		k[i] = byte(i + 1)
	}
	return k
}

func TestTry(t *testing.T) {
	m, err := New(testKey(), []Name{{KindObject, "web"}, {KindNamespace, "shop"}, {KindNode, "n1.prod.acme.corp"}, {KindNode, "cf-n1"}, {KindObject, "status"}, {KindUser, "jane@acme.example"}, {KindNode, "ip-10-0-1-23.eu-west-1.compute.internal"},
		{KindObject, "web-7d9c6b8f5-bcdfg"}, {KindObject, "kube-apiserver-cf-n1"}, {KindObject, "agent"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"GET http://web.shop.svc.cluster.local:8080/x from 10.244.3.7:51234 and [2001:db8::1]:443 fe80::1%eth0 v1.2.3 1.2.3 12:34:56.789",
		"web-7d9c6b8f5-bcdfg web-7d9c6b8f5-xxxxx web web2 Web_x n1 n1.prod.acme.corp cf-n1 kube-apiserver-cf-n1 status agent-57hxs agent",
		`\nweb \u001b[31mweb \\nweb 10.244.0.0/16 10.0.0.0/255.255.255.0 255.255.255.0 0.0.0.0`,
		"52:54:00:12:34:56 52-54-00-12-34-56 5254.0012.3456 ff:ff:ff:ff:ff:ff 01:00:5e:00:00:16",
		"mail jane@acme.example jane.doe@mail.acme.com git@github.com:foo image@sha256:abcd root@cf-n1 postgres://app:[REDACTED:url]@db:5432/x",
		"lookup mydb on 10.96.0.10:53: no such host; dial tcp db.acme.de:80; lookup failed: x; /home/jane/x server.go:123 metadata.name k8s.io/api node.kubernetes.io/not-ready",
		"nodes: ip-10-0-1-23.eu-west-1.compute.internal ip-10-0-1-23 7.3.244.10.in-addr.arpa com.acme.foo.Bar acme.com.crt web.shop.svc kube-dns.kube-system.svc.cluster.local",
		"2f6f5b0c-8a3e-4d0e-9b7c-111111111111 sha256:9f86d081884c7d659a2feaa0c55ad015 std::string a::b abc::def 1.3.6.1.4.1 10.0.0.1.53 Chrome/120.0.6099.109",
	} {
		found := map[string]int{}
		out := m.Text(nil, []byte(s), found)
		again := m.Text(nil, out, map[string]int{})
		t.Logf("\n%s\n%s\n%s\n%v\n", s, out, m.Reveal(nil, again[:0:0]), found)
		t.Logf("%s", m.Reveal(nil, out))
	}
	t.Log(m.Path("cluster/logs/shop/web-7d9c6b8f5-bcdfg/c.log"), m.Path("nodes/cf-n1/0/proc/net/tcp"), m.Path("captures/pod_shop_web-0/cf-n1__4026532807.pcapng"), m.Path("cluster/resources/core/v1/pods/shop.ndjson"))
}
