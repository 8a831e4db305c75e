package sidecar

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

type memory struct {
	mu    sync.Mutex
	files map[string]string
}

func (m *memory) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = string(b)
	return int64(len(b)), nil
}

func (m *memory) Frames([]string, io.Reader) error { panic("no frames here") }

// namespace makes a network namespace and returns what a node's collector
// knows of it.
func namespace(t *testing.T, comms ...string) (name string, s Space) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	name = fmt.Sprintf("cfside%d", os.Getpid())
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	if out, err := exec.Command("bash", "-ec", "ip netns add "+name+" && ip -n "+name+" link set lo up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := "/run/netns/" + name
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	s = Space{Inode: st.Ino, Path: path}
	for _, comm := range append(comms, "sleep") {
		s.Net = "/proc/" + strconv.Itoa(running(t, name, comm)) + "/net"
	}
	return name, s
}

// running starts a process in a namespace that does nothing under a name.
func running(t *testing.T, ns, comm string) int {
	t.Helper()
	program := filepath.Join(t.TempDir(), comm)
	if out, err := exec.Command("cp", "/bin/sleep", program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("ip", "netns", "exec", ns, program, "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 500 { // ip enters the namespace before it becomes the program
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)); strings.HasPrefix(comm, strings.TrimSpace(string(b))) && len(b) > 3 {
			return cmd.Process.Pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s does not run", comm)
	return 0
}

// fakeAdmin serves recorded answers in the place of a proxy, which cannot be
// had here, and writes down what it was asked.
type fakeAdmin struct {
	answers map[string]string
	mu      sync.Mutex
	asked   []string
}

func (f *fakeAdmin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	f.mu.Unlock()
	if a, ok := f.answers[r.URL.Path]; ok {
		_, _ = io.WriteString(w, a)
		return
	}
	http.NotFound(w, r)
}

func (f *fakeAdmin) serve(t *testing.T, ns, addr string) {
	t.Helper()
	var ln net.Listener
	var err error
	collector.OnOwnThread(func() {
		var fd int
		if fd, err = unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(fd)
		if err = unix.Setns(fd, unix.CLONE_NEWNET); err == nil {
			ln, err = net.Listen("tcp", addr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: f}
	t.Cleanup(func() { srv.Close() })
	go func() { _ = srv.Serve(ln) }()
}

func recordedEnvoy() map[string]string {
	return map[string]string{
		"/server_info": `{"version":"d79f6e8d453ee260e9094093b8dd31af0056e67b/1.30.2/Clean/RELEASE/BoringSSL","state":"LIVE","uptime_current_epoch":"85s"}`,
		"/clusters":    `{"cluster_statuses":[{"name":"outbound|8080||web.shop.svc.cluster.local","host_statuses":[{"address":{"socket_address":{"address":"10.244.1.5","port_value":8080}},"health_status":{"failed_active_health_check":true}}]}]}`,
		"/stats":       `{"stats":[{"name":"cluster.xds-grpc.upstream_cx_active","value":1}]}`,
		"/certs":       `{"certificates":[{"cert_chain":[{"path":"<inline>","days_until_expiration":"0"}]}]}`,
		"/config_dump": `{"configs":[{"static_secrets":[{"secret":{"tls_certificate":{"private_key":{"inline_string":"-----BEGIN PRIVATE KEY-----"}}}}]}]}`,
	}
}

func TestFakeEnvoyAdmin(t *testing.T) {
	ns, s := namespace(t, "envoy", "pilot-discovery")
	envoy := &fakeAdmin{answers: recordedEnvoy()}
	envoy.serve(t, ns, "127.0.0.1:15000")
	app := &fakeAdmin{answers: map[string]string{"/metrics": "app_requests_total 1\n"}} // on Linkerd's port, but none of it
	app.serve(t, ns, "127.0.0.1:4191")
	pilot := &fakeAdmin{answers: map[string]string{"/version": "1.22.1-8a1f4c-Clean", "/metrics": "pilot_xds 3\n", "/debug/syncz": `[{"proxy":"web-1.shop","cluster_sent":"a","cluster_acked":"b"}]`}}
	pilot.serve(t, ns, "[::]:15014")

	m := &memory{files: map[string]string{}}
	out := collector.NewOutput(m, collector.Options{})
	if err := New(Options{Node: "n1", Spaces: []Space{s}}).Collect(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	dir := fmt.Sprintf("nodes/n1/netns/%d/", s.Inode)
	for file, want := range map[string]string{"envoy/server_info.json": "LIVE", "envoy/clusters.json": "failed_active_health_check", "envoy/stats.json": "upstream_cx_active",
		"envoy/certs.json": "days_until_expiration", "envoy/config_dump.json": `"private_key":"[REDACTED:envoy]"`, "istiod/syncz.json": "cluster_acked", "istiod/metrics.prom": "pilot_xds"} {
		if !strings.Contains(m.files[dir+file], want) {
			t.Errorf("%s: %q", file, m.files[dir+file])
		}
	}
	if len(m.files) != 7 {
		t.Errorf("%d files: %v", len(m.files), m.files)
	}
	for _, f := range []*fakeAdmin{envoy, app, pilot} {
		for _, a := range f.asked {
			if !strings.HasPrefix(a, "GET /") {
				t.Errorf("asked %s", a)
			}
		}
	}
	if len(app.asked) != 0 {
		t.Errorf("a program that is no proxy was asked %q", app.asked)
	}
	skipped := false
	for _, r := range out.Results() {
		skipped = skipped || strings.HasSuffix(r.Path, "envoy/listeners.json") && r.Status == collector.StatusSkipped
		if r.Status.Incomplete() {
			t.Errorf("%+v", r)
		}
	}
	if !skipped {
		t.Error("a page that this proxy lacks is not said to be skipped")
	}
}

// What a proxy says can be broken off, endless or no JSON at all: nothing of
// it is stored, and that is said.
func TestFakeBrokenEnvoyAdmin(t *testing.T) {
	ns, s := namespace(t, "envoy")
	answers := recordedEnvoy()
	answers["/clusters"] = `{"cluster_statuses":[`
	answers["/stats"] = `{"stats":["` + strings.Repeat("x", maxAnswer+1) + `"]}`
	answers["/certs"] = "<html>"
	(&fakeAdmin{answers: answers}).serve(t, ns, "127.0.0.1:9901")
	m := &memory{files: map[string]string{}}
	out := collector.NewOutput(m, collector.Options{})
	if err := New(Options{Node: "n1", Spaces: []Space{s}}).Collect(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	status := map[string]collector.Status{}
	for _, r := range out.Results() {
		status[r.Path[strings.LastIndex(r.Path, "/")+1:]] = r.Status
	}
	for file, want := range map[string]collector.Status{"clusters.json": collector.StatusFailed, "stats.json": collector.StatusOverBudget, "certs.json": collector.StatusFailed, "config_dump.json": collector.StatusOK} {
		if status[file] != want {
			t.Errorf("%s: %s, want %s", file, status[file], want)
		}
	}
	if len(m.files) != 2 {
		t.Errorf("%d files are stored", len(m.files))
	}
}

// A namespace without a proxy, though something listens where one would.
func TestNoProxy(t *testing.T) {
	ns, s := namespace(t)
	app := &fakeAdmin{answers: recordedEnvoy()}
	app.serve(t, ns, "127.0.0.1:15000")
	m := &memory{files: map[string]string{}}
	out := collector.NewOutput(m, collector.Options{})
	if err := New(Options{Node: "n1", Spaces: []Space{s, {Inode: 1, Path: "/proc/1/ns/none", Net: "/proc/none"}}}).Collect(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if len(m.files) != 0 || len(out.Results()) != 0 || len(app.asked) != 0 {
		t.Errorf("%v %v", m.files, out.Results())
	}
}
