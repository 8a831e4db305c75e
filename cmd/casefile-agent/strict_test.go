//go:build linux

package main

import (
	"bytes"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

const (
	strictNode = "acme-rack7-n1"
	strictNS   = "acme-payments"
	strictPod  = "checkout-acme"
)

// grantedSink maps the prefixes as the command line does.
type grantedSink struct {
	writerSink
	r *redact.Redactor
}

func (s grantedSink) Frames(prefixes []string, r io.Reader) error {
	var stored []string
	for _, p := range prefixes {
		stored = append(stored, s.r.Path(p))
	}
	return s.writerSink.Frames(stored, r)
}

func strictPlan(host string, own net.IP) agent.Plan {
	p := testPlan()
	p.Node, p.Policy, p.Prefixes, p.IntervalMS = strictNode, "strict", []string{"nodes/" + strictNode + "/"}, 1500
	p.Key = bytes.Repeat([]byte{7}, 32)
	p.Names = map[string][]string{"node": {strictNode, host}, "ns": {strictNS}, "obj": {strictPod}}
	p.Pods = []agent.Pod{{UID: "0b7c1f2e-1111-4222-8333-444455556666", Namespace: strictNS, Name: strictPod, IPs: []string{own.String()}}}
	if os.Geteuid() == 0 {
		folder := "node_" + strictNode
		p.Captures = []agent.Capture{{Name: folder, Target: "node/" + strictNode, Filter: "udp port 5353 or icmp", Snaplen: 256, DurationMS: 1200, MaxBytes: 1 << 20}}
		p.Prefixes = append(p.Prefixes, "captures/"+folder+"/"+strictNode+"__")
	}
	return p
}

// TestStrict: nothing that the agent sends says where it was: no path, no text
// and no packet.
func TestStrict(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	own := ownAddress(t)
	plan := strictPlan(host, own)
	redactor, err := redactorOf(plan)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	w, err := bundle.NewWriter(&file, bundle.Options{Top: plan.Top, Time: plan.Time, Redactor: redactor})
	if err != nil {
		t.Fatal(err)
	}
	conn := start(t).call(t, nil)
	stop := make(chan struct{})
	go talkTo(own, stop)
	out := collector.NewOutput(grantedSink{writerSink{w}, redactor}, collector.Options{})
	end, err := agent.Converse(t.Context(), conn, plan, out)
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(bundle.Info{}, nil); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.OpenUnverified(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files()) < 100 {
		t.Errorf("only %d files", len(r.Files()))
	}
	token := strings.TrimPrefix(redactor.Path("nodes/"+strictNode), "nodes/")
	if end.Pseudonyms[token] != strictNode {
		t.Errorf("the agent does not say what %s stands for: %v", token, end.Pseudonyms)
	}
	if _, err := fs.Stat(r, "nodes/"+token+"/node.json"); err != nil {
		t.Error(err)
	}
	secrets := map[string][]byte{}
	for _, s := range []string{strictNode, strictNS, strictPod, host} {
		if len(s) > 3 { // "vm" stands in much that is no name
			secrets[s] = []byte(s)
		}
	}
	addOwnAddresses(t, secrets)
	leaks := findAll(t, r, secrets)
	for _, l := range leaks {
		t.Error(l)
	}
	if os.Geteuid() == 0 {
		names, err := fs.Glob(r, "captures/node_"+token+"/"+token+"__*.pcapng")
		if err != nil || len(names) != 1 {
			t.Fatalf("captures: %v %v", names, err)
		}
		if b, err := fs.ReadFile(r, names[0]); err != nil || len(b) < 500 {
			t.Errorf("%d bytes of packets, %v", len(b), err)
		}
	}
}

// findAll searches paths and contents; in packets also for addresses as bytes.
func findAll(t *testing.T, r *bundle.Reader, secrets map[string][]byte) (leaks []string) {
	t.Helper()
	for _, f := range r.Files() {
		b, err := fs.ReadFile(r, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for text, raw := range secrets {
			word := regexp.MustCompile(`(?i)(^|[^0-9a-z.])` + regexp.QuoteMeta(text) + `($|[^0-9a-z])`)
			if word.MatchString(f.Path) {
				leaks = append(leaks, f.Path+": the path holds "+text)
			}
			if at := word.FindIndex(b); at != nil {
				leaks = append(leaks, f.Path+" holds "+text+": "+string(b[max(0, at[0]-60):min(len(b), at[1]+40)]))
			}
			if strings.HasSuffix(f.Path, ".pcapng") && len(raw) >= 4 && bytes.Contains(b, raw) {
				leaks = append(leaks, f.Path+" holds the bytes of "+text)
			}
		}
	}
	return leaks
}

func ownAddress(t *testing.T) net.IP {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.To4()
		}
	}
	t.Skip("this machine has no IPv4 address of its own")
	return nil
}

func addOwnAddresses(t *testing.T, secrets map[string][]byte) {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if len(i.HardwareAddr) == 6 && i.Flags&net.FlagLoopback == 0 {
			secrets[i.HardwareAddr.String()] = i.HardwareAddr
		}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				raw := n.IP.To4()
				if raw == nil {
					raw = n.IP
				}
				secrets[n.IP.String()] = raw
			}
		}
	}
}

// talkTo makes packets for the capture.
func talkTo(own net.IP, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		if c, err := net.DialUDP("udp", &net.UDPAddr{IP: own}, &net.UDPAddr{IP: own, Port: 5353}); err == nil {
			_, _ = c.Write([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0d" + strictNode + "\x04acme\x07example\x00\x00\x01\x00\x01"))
			c.Close()
		}
	}
}

// TestStrictNeedsAKey: a plan without its key is refused, not done by half.
func TestStrictNeedsAKey(t *testing.T) {
	plan := testPlan()
	plan.Policy, plan.Key = "strict", make([]byte, 31)
	if _, err := redactorOf(plan); err == nil || !strings.Contains(err.Error(), "without its key") {
		t.Errorf("got %v", err)
	}
	plan.Key = make([]byte, 32) // zeros
	if _, err := redactorOf(plan); err == nil {
		t.Error("a key of zeros is taken")
	}
}
