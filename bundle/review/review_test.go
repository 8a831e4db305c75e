package review

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// dns is a capture of one question.
func dns(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 53}}
	udp := &layers.UDP{SrcPort: 4000, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	q := &layers.DNS{ID: 1, RD: true, Questions: []layers.DNSQuestion{{Name: []byte("db.shop.example"), Type: layers.DNSTypeA, Class: layers.DNSClassIN}}}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, q); err != nil {
		t.Fatal(err)
	}
	if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const key = "q7Zt0LmXv93KpRsW2bYcN8dHgFjT5aEu"

func contents(t *testing.T) map[string]string {
	return map[string]string{
		"cluster/resources/core/v1/configmaps/shop.ndjson": `{"kind":"ConfigMap","metadata":{"name":"app","namespace":"shop"},"data":{"url":"[REDACTED:configmap-value]","mode":"fast"}}` + "\n",
		"cluster/logs/shop/web-0/web.log":                  "dial tcp 10.1.2.3:5432: lookup db.corp.example on fd00::53\nmail jane@corp.example\nkey " + key + "\nuid 2f6f5b0c-8a3e-4d0e-9b7c-111111111111 sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\x1b[31mred\n",
		"nodes/n1/0/proc/net/arp":                          "10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0\n",
		"captures/pod_a/n1__1.pcapng":                      dns(t),
		"captures/pod_b/n1__1.pcapng":                      "not packets",
		"collection/redaction.json":                        `{"policy":"standard","rules":{"configmap-value":1},"paths":{"cluster/resources/core/v1/configmaps/shop.ndjson":{"configmap-value":1}}}`,
		"collection/results.ndjson":                        `{"source":"x","status":"ok"}` + "\n" + `{"source":"node","path":"nodes/n1/x.bin","status":"failed","reason":"cannot be redacted: binary data"}` + "\n",
	}
}

func scanned(t *testing.T, files map[string]string) *Review {
	t.Helper()
	all := fstest.MapFS{}
	o := Options{Head: Head{Top: "casefile-x", Policy: "standard", Payload: "default"}}
	for path, text := range files {
		all[path] = &fstest.MapFile{Data: []byte(text)}
		o.Files = append(o.Files, File{path, int64(len(text))})
	}
	slices.SortFunc(o.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	rv, err := Scan(context.Background(), all, o)
	if err != nil {
		t.Fatal(err)
	}
	return rv
}

func (r *Review) list(kind string) []string {
	for _, l := range r.Names {
		if l.Kind == kind {
			return l.Names
		}
	}
	return nil
}

func TestScan(t *testing.T) {
	rv := scanned(t, contents(t))
	for kind, want := range map[string][]string{
		"nodes": {"n1"}, "namespaces": {"shop"}, kindIPv4: {"10.0.0.1", "10.0.0.53", "10.1.2.3"}, kindIPv6: {"fd00::53"}, kindMAC: {"02:00:00:00:00:01"},
		kindHost: {"db.corp.example"}, kindMail: {"jane@corp.example"}, "names asked for in DNS": {"db.shop.example"},
	} {
		if got := rv.list(kind); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	if len(rv.Suspects) != 1 || rv.Suspects[0].Begin != key[:shownOfSuspect] || rv.Suspects[0].Line != 3 {
		t.Errorf("suspects: %+v", rv.Suspects)
	}
	if len(rv.Config) != 1 || !slices.Equal(rv.Config[0].Kept, []string{"mode"}) || !slices.Equal(rv.Config[0].Masked, []string{"url"}) {
		t.Errorf("ConfigMaps: %+v", rv.Config)
	}
	if len(rv.Captures) != 2 || rv.Captures[0].Packets != 1 || rv.Captures[0].DNS == 0 || rv.Captures[0].Talkers[0].A != "10.0.0.1" || rv.Captures[1].Error == "" {
		t.Errorf("captures: %+v", rv.Captures)
	}
	if rv.Lacking != 1 || rv.Missing[0].Path != "nodes/n1/x.bin" {
		t.Errorf("missing: %+v", rv.Missing)
	}
	for _, c := range rv.Classes {
		if c.Name == "nodes: other" && c.Refused != 1 || c.Name == "cluster: configmaps" && c.Masked["configmap-value"] != 1 {
			t.Errorf("class %+v", c)
		}
	}
}

// TestRender: what comes from the bundle cannot steer a terminal or a page, a
// suspect is not shown whole, and two runs give the same bytes.
func TestRender(t *testing.T) {
	files := contents(t)
	files["cluster/logs/shop/web-0/<script>.log"] = "<script>alert(1)</script>\x1b]0;x\x07\n"
	for name, render := range map[string]func(*Review, *bytes.Buffer) error{
		"text": func(r *Review, b *bytes.Buffer) error { return r.Text(b) },
		"html": func(r *Review, b *bytes.Buffer) error { return r.HTML(b) },
	} {
		var first, second bytes.Buffer
		for _, out := range []*bytes.Buffer{&first, &second} {
			if err := render(scanned(t, files), out); err != nil {
				t.Fatal(err)
			}
		}
		text := first.String()
		if text != second.String() {
			t.Errorf("%s: two runs differ", name)
		}
		if strings.ContainsAny(text, "\x1b\x07") || name == "html" && strings.Contains(text, "<script>") {
			t.Errorf("%s: not escaped", name)
		}
		if !strings.Contains(text, key[:shownOfSuspect]+"…") || !strings.Contains(text, "jane@corp.example") {
			t.Errorf("%s lacks something: %s", name, text)
		}
	}
}

// TestBounds: lists end, and what they leave out is counted.
func TestBounds(t *testing.T) {
	var log strings.Builder
	for i := range maxNames + 500 {
		fmt.Fprintf(&log, "10.%d.%d.1 %s%04d\n", i/250, i%250, key, i)
	}
	rv := scanned(t, map[string]string{"cluster/logs/a/b/c.log": log.String(), "nodes/n/long.txt": strings.Repeat("x", maxScanned+10)})
	for _, l := range rv.Names {
		if l.Kind == kindIPv4 && (len(l.Names) != maxNames || l.More != 500) {
			t.Errorf("%d names and %d more", len(l.Names), l.More)
		}
	}
	if len(rv.Suspects) != maxSuspects || rv.Omitted != maxNames+500-maxSuspects {
		t.Errorf("%d suspects and %d more", len(rv.Suspects), rv.Omitted)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte("dial tcp [fd00::1]:53: a@b.com 02:00:00:00:00:01 " + key))
	f.Add([]byte(`{"a":"\nx.y.com\\","b":"%2F=="}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		tk := newTokens(func(_ string, _ int, kind, token string, _ float64) {
			if kind == "" && len(token) < suspectLength {
				t.Errorf("%q is too short", token)
			}
		})
		tk.line("p", 1, line)
	})
}

func FuzzCapture(f *testing.F) {
	f.Add([]byte(dns(&testing.T{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newScan(Options{})
		if err := s.capture("a.pcapng", bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	line := "I1121 09:00:00.123456 1 server.go:42] \"HTTP\" verb=\"GET\" URI=\"/api/v1/namespaces/shop/pods?limit=500\" srcIP=\"10.244.3.7:41234\" resp=200 audit-ID=\"2f6f5b0c-8a3e-4d0e-9b7c-111111111111\"\n"
	text := strings.Repeat(line, 8<<20/len(line))
	all := fstest.MapFS{"a.log": &fstest.MapFile{Data: []byte(text)}}
	b.SetBytes(int64(len(text)))
	for range b.N {
		if _, err := Scan(context.Background(), all, Options{Files: []File{{"a.log", int64(len(text))}}}); err != nil {
			b.Fatal(err)
		}
	}
}
