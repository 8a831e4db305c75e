package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// testStrict collects a broken cluster under strict redaction, with captures:
// nothing in the bundle says whose cluster it is, the fault is found all the
// same, and the report says where once it is revealed.
func testStrict(t *testing.T, k *kit) {
	f := faults()[slices.IndexFunc(faults(), func(f fault) bool { return f.name == "app-on-loopback" })]
	script := filepath.Join("faults", f.name+".sh")
	k.script(t, 3*time.Minute, script, "inject")
	defer k.script(t, 3*time.Minute, script, "undo")
	pod := strings.TrimSpace(k.kubectl(t, "-n", "cf-demo", "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName=cf-n2", "-o", "jsonpath={.items[0].metadata.name}"))
	home := t.TempDir()
	traffic, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		for traffic.Err() == nil {
			_ = exec.CommandContext(traffic, filepath.Join(k.scripts, "workload.sh"), "check").Run()
		}
	}()
	flags := []string{"collect", "--no-sign", "--yes", "--sample-interval", "3s", "--label", "where=cf-n2", "--note", "on cf-n2, pod " + pod,
		"--capture", "pod/cf-demo/" + pod, "--capture", "node/cf-n2=udp port 53 or arp or icmp or tcp port 80", "--capture-duration", "8s"}
	k.at(t, home, nil, append(flags, "--redact", "strict", "-o", "strict.tar.zst")...)
	k.at(t, home, nil, append(flags, "-o", "standard.tar.zst")...)
	stop()
	k.at(t, home, nil, "bundle", "extract", "standard.tar.zst", "-C", "standard", "--unverified")
	k.at(t, home, nil, "bundle", "extract", "strict.tar.zst", "-C", "strict", "--unverified")
	secrets := k.secrets(t, filepath.Join(home, "standard"))
	if seen := secrets.below(t, filepath.Join(home, "standard")); seen < len(secrets)*3/4 {
		t.Errorf("only %d of %d secrets are found in a standard bundle: the search proves little", seen, len(secrets))
	}
	assertNothingNamed(t, filepath.Join(home, "strict"), secrets)

	report := k.at(t, home, nil, "analyze", "strict.tar.zst", "--unverified", "--format", "json")
	for _, s := range secrets.in(report) {
		t.Errorf("the report holds %s", s)
	}
	var r abi.Report
	if err := json.Unmarshal(k.at(t, home, report, "bundle", "reveal", "--map", "strict.tar.zst.reveal.age"), &r); err != nil {
		t.Fatalf("the revealed report: %v", err)
	}
	if o := k.outcome(r, f.rule); !strings.HasPrefix(o, abi.OutcomeFound) {
		t.Errorf("%s under strict redaction: %s, want found", f.rule, o)
	}
	assertFinding(t, r, f)
}

// at runs casefile in a home of its own and returns its output.
func (k *kit) at(t *testing.T, home string, stdin []byte, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := k.command(ctx, t, args...)
	var out, log bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = home, bytes.NewReader(stdin), &out, &log
	cmd.Env = append(cmd.Env, "HOME="+home, "XDG_CONFIG_HOME=")
	if err := cmd.Run(); err != nil {
		t.Fatalf("casefile %s: %v\n%s", strings.Join(args, " "), err, &log)
	}
	return out.Bytes()
}

// secrets are what strict redaction must take out, with the bytes that they
// are in packets; nil where they are not.
type secrets map[string][]byte

// secrets gathers what is the cluster's own: its names from the API server, its
// addresses from what a standard bundle holds.
func (k *kit) secrets(t *testing.T, standard string) secrets {
	t.Helper()
	s := secrets{} // what kubeadm calls its own in every cluster (kubernetes-admin …) is nobody's secret
	for _, what := range []string{"nodes", "namespaces", "pods", "services", "daemonsets"} {
		for name := range strings.FieldsSeq(k.kubectl(t, "get", what, "-A", "-o", "jsonpath={.items[*].metadata.name}")) {
			if own := regexp.MustCompile(`^(kube-|coredns|kubernetes$|default$)`); !own.MatchString(name) && strings.ContainsAny(name, "-0123456789") {
				s[name] = []byte(name)
			}
		}
	}
	for ip := range strings.FieldsSeq(k.kubectl(t, "get", "pods", "-A", "-o", "jsonpath={.items[*].status.podIP} {.items[*].status.hostIP}")) {
		if four := net.ParseIP(ip).To4(); four != nil {
			s[ip] = four
			s[fmt.Sprintf("%02X%02X%02X%02X", four[3], four[2], four[1], four[0])] = nil // proc/net/tcp
		}
	}
	links, err := filepath.Glob(filepath.Join(standard, "*", "nodes", "*", "*", "net", "links.ndjson"))
	if more, err2 := filepath.Glob(filepath.Join(standard, "*", "nodes", "*", "netns", "*", "*", "net", "links.ndjson")); err == nil && err2 == nil {
		links = append(links, more...)
	}
	for _, name := range links {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"mac":"([0-9a-f:]{17})"`).FindAllSubmatch(b, -1) {
			if mac, err := net.ParseMAC(string(m[1])); err == nil && !bytes.Equal(mac, make([]byte, 6)) {
				s[string(m[1])] = mac
			}
		}
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 {
		s[host] = []byte(host)
	}
	if len(s) < 40 {
		t.Fatalf("only %d secrets are known: %v", len(s), s)
	}
	return s
}

// in finds the secrets that stand in b as words.
func (s secrets) in(b []byte) (found []string) {
	alnum := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	for text := range s {
		for from := 0; ; {
			i := bytes.Index(b[from:], []byte(text))
			if i < 0 {
				break
			}
			i += from
			end := i + len(text)
			if (i == 0 || !alnum(b[i-1]) && b[i-1] != '.') && (end == len(b) || !alnum(b[end])) {
				found = append(found, fmt.Sprintf("%s: %q", text, b[max(0, i-50):min(len(b), end+30)]))
				break
			}
			from = i + 1
		}
	}
	return found
}

// below counts the secrets that any file below dir holds.
func (s secrets) below(t *testing.T, dir string) int {
	t.Helper()
	left := maps.Clone(s)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		for text := range left {
			if len(secrets{text: nil}.in(b)) > 0 {
				delete(left, text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(s) - len(left)
}

// assertNothingNamed searches all paths and contents of an extracted bundle,
// packets as bytes and as tshark reads them.
func assertNothingNamed(t *testing.T, dir string, s secrets) {
	t.Helper()
	files, packets := 0, 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, dir)
		for _, found := range s.in([]byte(rel)) {
			t.Errorf("path %s", found)
		}
		if d.IsDir() {
			return nil
		}
		files++
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, found := range s.in(b) {
			t.Errorf("%s holds %s", rel, found)
		}
		if filepath.Ext(name) == ".pcapng" {
			packets++
			assertPackets(t, name, b, s)
		}
		return nil
	})
	if err != nil || files < 1000 || packets != 2 {
		t.Errorf("%d files, %d captures, %v", files, packets, err)
	}
}

func assertPackets(t *testing.T, name string, b []byte, s secrets) {
	t.Helper()
	for text, raw := range s {
		if len(raw) >= 4 && bytes.Contains(b, raw) {
			t.Errorf("%s holds the bytes of %s", filepath.Base(name), text)
		}
	}
	args := []string{"-n", "-r", name, "-T", "fields", "-o", "tcp.check_checksum:FALSE"}
	for _, field := range []string{"frame.number", "eth.src", "eth.dst", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "arp.src.hw_mac", "arp.src.proto_ipv4",
		"arp.dst.proto_ipv4", "dns.qry.name", "dns.resp.name", "dns.a", "tls.handshake.extensions_server_name"} {
		args = append(args, "-e", field)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil || bytes.Count(out, []byte("\n")) < 5 {
		t.Errorf("tshark reads %d packets of %s: %v", bytes.Count(out, []byte("\n")), filepath.Base(name), err)
	}
	for _, found := range s.in(out) {
		t.Errorf("tshark finds in %s: %s", filepath.Base(name), found)
	}
}
