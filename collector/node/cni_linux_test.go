package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact"
)

const (
	cniConflist = `{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"flannel"}]}`
	cniCached   = `{"kind":"cniCacheV1","containerId":"` + id + `","config":"eyJ0b2tlbiI6IlNFQ1JFVCJ9","ifName":"eth0","networkName":"cbr0",
"netns":"/var/run/netns/cni-1234","cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-0"],["K8S_POD_UID","` + uid + `"]],
"result":{"interfaces":[{"mac":"02:00:00:00:00:01","name":"eth0","sandbox":"/var/run/netns/cni-1234"}],"ips":[{"address":"10.244.0.7/24","gateway":"10.244.0.1","interface":0}],"routes":[{"dst":"0.0.0.0/0"}]}}`
	containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
  username = "robot"
  password = "PLANTED-pass"
  auth = "cm9ib3Q6UExBTlRFRC1wYXNz"
  identitytoken = "PLANTED-identity"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
`
)

func cniRoot(t *testing.T) string {
	t.Helper()
	root := tree(t, map[string]string{
		"etc/cni/net.d/10-flannel.conflist":            cniConflist,
		"etc/cni/net.d/calico-kubeconfig":              "token: PLANTED",
		"etc/cni/net.d/.calico-kubeconfig.yaml":        "token: PLANTED",
		"opt/cni/bin/bridge":                           "ELF",
		"var/lib/cni/networks/cbr0/10.244.0.7":         id + "\r\neth0",
		"var/lib/cni/networks/cbr0/fd00__7":            id,
		"var/lib/cni/networks/cbr0/last_reserved_ip.0": "10.244.0.7",
		"var/lib/cni/networks/cbr0/lock":               "",
		"var/lib/cni/results/cbr0-" + id + "-eth0":     cniCached,
		"var/lib/cni/results/broken":                   "{",
		"run/flannel/subnet.env":                       "FLANNEL_MTU=1450\n",
		"var/lib/calico/nodename":                      "n1",
		"var/lib/kubelet/config.yaml":                  "kind: KubeletConfiguration\nclusterDNS: [10.96.0.10]\n",
		"etc/containerd/config.toml":                   containerdConfig,
		"etc/resolv.conf":                              "nameserver 127.0.0.53\n",
		"run/systemd/resolve/resolv.conf":              "nameserver 192.0.2.1\n",
		"etc/sysctl.d/99-k8s.conf":                     "net.ipv4.ip_forward=1\n",
	})
	if err := os.Symlink("../../../etc/shadow", root+"/etc/cni/net.d/evil.conf"); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCNIState(t *testing.T) {
	root := cniRoot(t)
	sink, results := runSource(t, Options{Root: root}, func(g *gatherer) {
		r, err := openRoot(root)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.close()
		g.machineFiles(t.Context(), r)
		g.cniFiles(t.Context(), r)
	})
	for name, want := range map[string]string{
		"cni/net.d/10-flannel.conflist": cniConflist, "cni/flannel/subnet.env": "FLANNEL_MTU=1450\n", "cni/calico/nodename": "n1",
		"kubelet/config.yaml": "kind: KubeletConfiguration\nclusterDNS: [10.96.0.10]\n", "etc/resolv.conf": "nameserver 127.0.0.53\n",
		"run/systemd/resolve/resolv.conf": "nameserver 192.0.2.1\n", "etc/sysctl.d/99-k8s.conf": "net.ipv4.ip_forward=1\n",
	} {
		if got := string(sink.files["nodes/n1/"+name]); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, text := range sink.files {
		if strings.Contains(name, "kubeconfig") || strings.Contains(name, "evil") || bytes.Contains(text, []byte("token")) && !strings.Contains(name, "runtime") {
			t.Errorf("%s should not have been read", name)
		}
	}
	config := string(sink.files["nodes/n1/runtime/containerd/config.toml"])
	if want := strings.Replace(containerdConfig, `"cm9ib3Q6UExBTlRFRC1wYXNz"`, `"[REDACTED:password]"`, 1); config != want {
		t.Errorf("config.toml: %s", config)
	}
	want := []leaseRow{{Network: "cbr0", IP: "10.244.0.7", ContainerID: id, Interface: "eth0"}, {Network: "cbr0", IP: "fd00::7", ContainerID: id}}
	if diff := cmp.Diff(want, rows[leaseRow](t, sink, "nodes/n1/cni/leases.ndjson")); diff != "" {
		t.Error(diff)
	}
	zero := 0
	result := []cniResult{{Network: "cbr0", ContainerID: id, Dev: "eth0", NetnsPath: "/var/run/netns/cni-1234", PodUID: uid, PodNamespace: "shop", PodName: "web-0",
		Interfaces: []cniInterface{{Name: "eth0", MAC: "02:00:00:00:00:01", Sandbox: "/var/run/netns/cni-1234"}},
		IPs:        []cniAddress{{Address: "10.244.0.7/24", Gateway: "10.244.0.1", Interface: &zero}}, Routes: []cniRoute{{Dst: "0.0.0.0/0"}}}}
	if diff := cmp.Diff(result, rows[cniResult](t, sink, "nodes/n1/cni/results.ndjson")); diff != "" {
		t.Error(diff)
	}
	if _, reason := reasonOf(results, "nodes/n1/cni/results.ndjson"); !strings.Contains(reason, "1 results could not be read") {
		t.Errorf("the broken result: %q", reason)
	}
	sum := sha256.Sum256([]byte("ELF"))
	plugins := rows[fileRow](t, sink, "nodes/n1/cni/plugins.ndjson")
	if len(plugins) != 1 || plugins[0].SHA256 != hex.EncodeToString(sum[:]) || plugins[0].Bytes != 3 || plugins[0].Mode != "0644" {
		t.Errorf("%+v", plugins)
	}
	if state := rows[fileRow](t, sink, "nodes/n1/cni/state.ndjson"); len(state) < 5 {
		t.Errorf("%+v", state)
	}
}

// The redactor of the bundle must know the shapes that passwords have there.
func TestRuntimeConfigurationIsRedacted(t *testing.T) {
	r, err := redact.New(redact.PolicyStandard, redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Reader("nodes/n1/runtime/containerd/config.toml", bytes.NewReader(hideLogins([]byte(containerdConfig)))))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("PLANTED")) || bytes.Contains(text, []byte("cm9ib3Q6")) || !bytes.Contains(text, []byte("SystemdCgroup = true")) {
		t.Errorf("%s", text)
	}
}

func TestSandbox(t *testing.T) {
	for name, text := range map[string]string{
		"containerd": `{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-uid":"u","io.kubernetes.cri.sandbox-namespace":"ns","io.kubernetes.cri.sandbox-name":"p"},"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/cni-1"}]}}`,
		"CRI-O":      `{"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox","io.kubernetes.pod.uid":"u","io.kubernetes.pod.namespace":"ns","io.kubernetes.pod.name":"p"},"linux":{"namespaces":[{"type":"network","path":"/var/run/netns/cni-1"}]}}`,
	} {
		if s, ok := parseSandbox([]byte(text)); !ok || s != (sandbox{"u", "ns", "p", "/var/run/netns/cni-1"}) {
			t.Errorf("%s: %+v %v", name, s, ok)
		}
	}
	for _, text := range []string{"", "{}", `{"annotations":{"io.kubernetes.cri.container-type":"container"}}`, `{"annotations":{"io.kubernetes.cri.container-type":"sandbox"}}`} {
		if s, ok := parseSandbox([]byte(text)); ok {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func FuzzCNI(f *testing.F) {
	f.Add("10.0.0.1", []byte(cniCached))
	f.Add("fd00__7", []byte("x\ny"))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if row, ok := parseLease(name, text); ok {
			encodable(t, row)
		}
		if row, err := parseResult(text); err == nil {
			encodable(t, row)
		}
		parseSandbox(text)
		hideLogins(text)
	})
}
