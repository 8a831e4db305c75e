// Package apitest starts a real Kubernetes API server with its etcd for tests:
// plain processes on loopback, on free ports, in a folder that goes away.
//
// The binaries etcd and kube-apiserver come from the folder $CASEFILE_KUBE_BIN,
// else ${CASEFILE_CLUSTER:-/var/tmp/casefile-cluster}/bin, where
// samples/cluster builds them. Without them the test is skipped, or fails when
// E2E=1.
package apitest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	readyTimeout = 2 * time.Minute // also on a machine that is busy with other tests
	endTimeout   = 5 * time.Second
)

// The users that the server knows. Admin may do everything; the others have
// no rights but those that a test grants them.
const (
	Admin   = "admin"
	Limited = "limited"
	Nobody  = "nobody"
)

// Server is a running API server.
type Server struct {
	URL    string
	dir    string
	tokens map[string]string // by user
	api    *process
}

type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

// Start starts etcd and an API server and waits until it is ready. Both end
// with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	etcdBinary, apiBinary := Binary(t, "etcd"), Binary(t, "kube-apiserver")
	dir := t.TempDir()
	s := &Server{dir: dir, tokens: map[string]string{Admin: secret(t), Limited: secret(t), Nobody: secret(t)}}
	ports := freePorts(t, 3)
	etcd, peer := loopback(ports[0]), loopback(ports[1])
	start(t, dir, etcdBinary, "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://"+etcd, "--advertise-client-urls", "http://"+etcd,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster", "default=http://"+peer)
	s.URL = "https://" + loopback(ports[2])
	s.api = start(t, dir, apiBinary, "--etcd-servers=http://"+etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--cert-dir="+filepath.Join(dir, "certs"), "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+s.accountKey(t),
		"--service-account-signing-key-file="+s.accountKey(t), "--token-auth-file="+s.tokenFile(t),
		"--authorization-mode=RBAC", "--allow-privileged=true",
		"--disable-admission-plugins=ServiceAccount", // no controller manager makes accounts
		"--endpoint-reconciler-type=none")            // loopback cannot be advertised
	s.wait(t)
	return s
}

// Binary finds one of the cluster's binaries, such as "kubectl", or skips the
// test (fails it when E2E=1).
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("CASEFILE_KUBE_BIN")
	if dir == "" {
		root := os.Getenv("CASEFILE_CLUSTER")
		if root == "" {
			root = "/var/tmp/casefile-cluster"
		}
		dir = filepath.Join(root, "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		reason := fmt.Sprintf("no %s in %s: build it with samples/cluster or set CASEFILE_KUBE_BIN", name, dir)
		if os.Getenv("E2E") == "1" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	return path
}

func start(t testing.TB, dir, path string, args ...string) *process {
	t.Helper()
	name := filepath.Base(path)
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{}), log: filepath.Join(dir, name+".log")}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = dir
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in its log
		out.Close()
	}()
	t.Cleanup(p.end)
	return p
}

func (p *process) end() {
	_ = p.cmd.Process.Signal(os.Interrupt) // may have ended already
	select {
	case <-p.done:
	case <-time.After(endTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends the API server at once, as a crash would.
func (s *Server) Kill() {
	_ = s.api.cmd.Process.Kill() // may have ended already
	<-s.api.done
}

// Config is the client configuration of a user.
func (s *Server) Config(user string) *rest.Config {
	return &rest.Config{Host: s.URL, BearerToken: s.tokens[user], QPS: -1, WarningHandler: rest.NoWarnings{}, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

// Kubeconfig writes a kubeconfig for a user and returns its path.
func (s *Server) Kubeconfig(t testing.TB, user string) string {
	t.Helper()
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["apitest"] = &clientcmdapi.Cluster{Server: s.URL, InsecureSkipTLSVerify: true}
	cfg.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: s.tokens[user]}
	cfg.Contexts["apitest"] = &clientcmdapi.Context{Cluster: "apitest", AuthInfo: user}
	cfg.CurrentContext = "apitest"
	path := filepath.Join(t.TempDir(), user+".conf")
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *Server) wait(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for {
		err := ready(ctx, client, s.URL, s.tokens[Admin])
		if err == nil {
			return
		}
		select {
		case <-s.api.done:
			t.Fatalf("the API server ended:\n%s", lastOf(s.api.log))
		case <-ctx.Done():
			t.Fatalf("the API server is not ready: %v\n%s", err, lastOf(s.api.log))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, client *http.Client, url, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

func (s *Server) accountKey(t testing.TB) string {
	t.Helper()
	path := filepath.Join(s.dir, "sa.key")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	return path
}

func (s *Server) tokenFile(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for user, token := range s.tokens {
		fmt.Fprintf(&b, "%s,%s,%s", token, user, user)
		if user == Admin {
			b.WriteString(`,"system:masters"`)
		}
		b.WriteByte('\n')
	}
	path := filepath.Join(s.dir, "tokens.csv")
	write(t, path, []byte(b.String()))
	return path
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func secret(t testing.TB) string {
	t.Helper()
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// freePorts returns ports that were free a moment ago, all different.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skipf("no loopback network: %v", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func lastOf(path string) string {
	const most = 4 << 10
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd) // from the start is fine too
	}
	b, _ := io.ReadAll(io.LimitReader(f, most)) //nolint:forbidigo // bounded; what can be read is enough for a message
	return string(b)
}
