package redact

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of the lab's two ends, over the wire and through a tunnel.
const (
	near4, far4, near6, far6   = "198.51.100.77", "203.0.113.153", "2001:db8:dead:beef:216:3eff:fea1:b2c3", "2001:db8:cafe:babe:216:3eff:fed4:e5f6"
	vxNear4, vxFar4, vxFarName = "198.51.100.33", "198.51.100.34", "vault.acme.com"
)

// lab is two network namespaces with a wire and a VXLAN between them.
type lab struct{ near, far string }

func newLab(t *testing.T) lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	tag := fmt.Sprintf("pkt-%d-", os.Getpid())
	l := lab{tag + "a", tag + "b"}
	for _, ns := range []string{l.near, l.far} {
		ipCommand(t, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ipCommand(t, "-n", ns, "link", "set", "lo", "up")
	}
	ipCommand(t, "-n", l.near, "link", "add", "pkt0", "address", "00:16:3e:a1:b2:c3", "type", "veth", "peer", "name", "pkt0", "address", "00:16:3e:d4:e5:f6", "netns", l.far)
	for _, end := range [][6]string{{l.near, near4, near6, far4, far6, vxNear4}, {l.far, far4, far6, near4, near6, vxFar4}} {
		ipCommand(t, "-n", end[0], "addr", "add", end[1]+"/32", "dev", "pkt0")
		ipCommand(t, "-n", end[0], "addr", "add", end[2]+"/128", "dev", "pkt0", "nodad")
		ipCommand(t, "-n", end[0], "link", "set", "pkt0", "up")
		ipCommand(t, "-n", end[0], "route", "add", end[3], "dev", "pkt0")
		ipCommand(t, "-n", end[0], "route", "add", end[4], "dev", "pkt0")
		ipCommand(t, "-n", end[0], "link", "add", "vx0", "type", "vxlan", "id", "42", "local", end[1], "remote", end[3], "dstport", "4789", "dev", "pkt0", "udpcsum")
		ipCommand(t, "-n", end[0], "addr", "add", end[5]+"/30", "dev", "vx0")
		ipCommand(t, "-n", end[0], "link", "set", "vx0", "up")
	}
	return l
}

func ipCommand(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// within runs f on a thread in a namespace; the thread ends with it.
func within(t *testing.T, ns string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		fd, err := os.Open("/run/netns/" + ns)
		if err == nil {
			err = errors.Join(unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET), fd.Close())
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// record captures what passes the wire while f runs.
func (l lab) record(t *testing.T, f func()) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	path := filepath.Join(t.TempDir(), "wire.pcapng")
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", l.near, "dumpcap", "-q", "-i", "pkt0", "-w", path, "--capture-comment", "for acme.com at "+near4)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		if s, err := os.Stat(path); err == nil {
			return s.Size()
		}
		return 0
	}
	for range 100 { // the head of the file is written once it captures
		if size() > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	f()
	time.Sleep(1500 * time.Millisecond) // dumpcap writes in rounds
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("dumpcap: %v\n%s", err, &talk)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve answers in the far namespace until the test ends: TCP and TLS with a
// greeting, DNS with one message.
func (l lab) serve(t *testing.T) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MaxVersion: tls.VersionTLS12}
	within(t, l.far, func() error {
		plain, err := net.Listen("tcp", ":8080")
		if err != nil {
			return err
		}
		secure, err := tls.Listen("tcp", ":8443", config)
		if err != nil {
			return err
		}
		names, err := net.ListenPacket("udp", ":53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = errors.Join(plain.Close(), secure.Close(), names.Close()) })
		go greet(plain)
		go greet(secure)
		go answerAll(names)
		return nil
	})
}

func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.ReadFull(c, make([]byte, 5))
		_, _ = c.Write(bytes.Repeat([]byte("hello from acme "), 500))
		_ = c.Close()
	}
}

func answerAll(c net.PacketConn) {
	b := make([]byte, 512)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil || n < 2 {
			return
		}
		_, _ = c.WriteTo(slices.Concat(b[:2], answer()[2:]), from)
	}
}

func certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: vxFarName}, DNSNames: []string{vxFarName}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// talk makes traffic from the near end: to what is served, and to ports that
// are closed, in packets and in fragments.
func (l lab) talk(t *testing.T) {
	t.Helper()
	within(t, l.near, func() error {
		for _, host := range []string{far4, "[" + far6 + "]", vxFar4} {
			if err := visit(host); err != nil {
				return err
			}
		}
		return nil
	})
}

func visit(host string) error {
	dial := net.Dialer{Timeout: 5 * time.Second}
	plain, err := dial.Dial("tcp", host+":8080")
	if err != nil {
		return err
	}
	defer plain.Close()
	_, _ = plain.Write([]byte("hello"))
	if _, err := io.Copy(io.Discard, io.LimitReader(plain, 1<<20)); err != nil {
		return err
	}
	secure, err := tls.DialWithDialer(&dial, "tcp", host+":8443", &tls.Config{ServerName: vxFarName, InsecureSkipVerify: true, NextProtos: []string{"acme/1"}}) //nolint:gosec // nothing is secret
	if err != nil {
		return err
	}
	defer secure.Close()
	_, _ = secure.Write([]byte("hello"))
	_, _ = io.Copy(io.Discard, io.LimitReader(secure, 1<<20))
	names, err := dial.Dial("udp", host+":53")
	if err != nil {
		return err
	}
	defer names.Close()
	_, _ = names.Write([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04acme\x03com\x00\x00\x01\x00\x01"))
	if _, err := names.Read(make([]byte, 1500)); err != nil {
		return err
	}
	for _, size := range []int{100, 4000} {
		closed, err := dial.Dial("udp", host+":9999")
		if err != nil {
			return err
		}
		_, _ = closed.Write(bytes.Repeat([]byte("x"), size))
		_ = closed.Close()
	}
	return nil
}

// send puts whole frames on the wire.
func (l lab) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	within(t, l.near, func() error {
		i, err := net.InterfaceByName("pkt0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
				return err
			}
		}
		return nil
	})
}
