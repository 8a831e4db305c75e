package flow

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// traffic makes connections of every kind from space 0 to the last one, whose
// address is given ("10.77.0.2" or "[fd77:0::2]").
type traffic struct {
	*lab
	server int
	host   string
}

// all runs everything side by side.
func (tr traffic) all() {
	var wg sync.WaitGroup
	for _, f := range []func(){tr.bulk, tr.slowReader, tr.resets, tr.closedPort, tr.keepAlive, tr.tls, tr.dns, tr.reusedPort, tr.chatter} {
		wg.Go(f)
	}
	wg.Wait()
}

func (tr traffic) serve(port int, handle func(net.Conn)) {
	ln := tr.listen(tr.server, "tcp", fmt.Sprintf("%s:%d", tr.host, port))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
}

func (tr traffic) connect(port int) net.Conn {
	c, err := tr.dial(0, "tcp", fmt.Sprintf("%s:%d", tr.host, port), net.Dialer{})
	if err != nil {
		tr.t.Logf("port %d: %v", port, err)
		return nil
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// bulk sends much, both ways.
func (tr traffic) bulk() {
	data := bytes.Repeat([]byte("some bytes of a page "), 12_000)
	tr.serve(7001, func(c net.Conn) {
		defer c.Close()
		n, _ := io.Copy(io.Discard, io.LimitReader(c, int64(len(data))))
		_, _ = c.Write(data[:n])
	})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c := tr.connect(7001)
			if c == nil {
				return
			}
			defer c.Close()
			_, _ = c.Write(data)
			_, _ = io.Copy(io.Discard, c)
		})
	}
	wg.Wait()
}

// chatter asks and answers with small segments.
func (tr traffic) chatter() {
	tr.serve(7002, func(c net.Conn) { defer c.Close(); _, _ = io.Copy(c, c) })
	for range 8 {
		c := tr.connect(7002)
		if c == nil {
			continue
		}
		buf := make([]byte, 300)
		for range 10 {
			if _, err := c.Write(buf[:100+len(buf)/3]); err != nil {
				break
			}
			if _, err := io.ReadFull(c, buf[:100+len(buf)/3]); err != nil {
				break
			}
		}
		c.Close()
	}
}

// slowReader lets the window of the server close, twice.
func (tr traffic) slowReader() {
	tr.serve(7003, func(c net.Conn) {
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		time.Sleep(900 * time.Millisecond)
		_, _ = io.CopyN(io.Discard, c, 60_000)
		time.Sleep(700 * time.Millisecond)
		_, _ = io.Copy(io.Discard, c)
	})
	if c := tr.connect(7003); c != nil {
		_, _ = c.Write(make([]byte, 200_000))
		c.Close()
	}
}

// resets ends connections the hard way, from either side.
func (tr traffic) resets() {
	tr.serve(7004, func(c net.Conn) {
		buf := make([]byte, 10)
		_, _ = io.ReadFull(c, buf)
		if buf[0] == 's' {
			_ = c.(*net.TCPConn).SetLinger(0)
		} else {
			_, _ = c.Read(buf)
		}
		c.Close()
	})
	for _, who := range []byte{'s', 'c', 's'} {
		c := tr.connect(7004)
		if c == nil {
			continue
		}
		_, _ = c.Write(bytes.Repeat([]byte{who}, 10))
		if who == 'c' {
			_ = c.(*net.TCPConn).SetLinger(0)
		} else {
			_, _ = c.Read(make([]byte, 1))
		}
		c.Close()
	}
}

func (tr traffic) closedPort() {
	for range 3 {
		if c, err := tr.dial(0, "tcp", tr.host+":7999", net.Dialer{}); err == nil {
			c.Close()
			tr.t.Error("somebody listens on port 7999")
		}
		if c, err := tr.dial(0, "udp", tr.host+":7998", net.Dialer{}); err == nil {
			_, _ = c.Write([]byte("anybody there?"))
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	}
}

func (tr traffic) keepAlive() {
	tr.serve(7005, func(c net.Conn) { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
	c, err := tr.dial(0, "tcp", tr.host+":7005", net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 5}})
	if err != nil {
		return
	}
	_, _ = c.Write([]byte("hello"))
	time.Sleep(3200 * time.Millisecond)
	_, _ = c.Write([]byte("bye"))
	c.Close()
}

// reusedPort connects twice from the same port.
func (tr traffic) reusedPort() {
	tr.serve(7006, func(c net.Conn) { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
	for range 2 {
		local := &net.TCPAddr{Port: 33333}
		d := net.Dialer{LocalAddr: local, Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
		}}
		c, err := tr.dial(0, "tcp", tr.host+":7006", d)
		if err != nil {
			tr.t.Logf("reused port: %v", err)
			continue
		}
		_, _ = c.Write([]byte("hello"))
		time.Sleep(200 * time.Millisecond)
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
		time.Sleep(200 * time.Millisecond)
	}
}

func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tls makes handshakes that succeed and handshakes that fail with a plain alert.
func (tr traffic) tls() {
	cert := certificate(tr.t)
	tr.serve(8443, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		_, _ = io.Copy(s, io.LimitReader(s, 30000))
		s.Close()
	})
	tr.serve(8444, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
		_ = s.Handshake()
		s.Close()
	})
	for i, conf := range []*tls.Config{
		{ServerName: "shop.example", InsecureSkipVerify: true},
		{ServerName: "long.name.of.a.service.in.the.cluster.example", InsecureSkipVerify: true, NextProtos: manyProtos()},
		{ServerName: "old.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		{ServerName: "distrusts.example", MaxVersion: tls.VersionTLS12},
		{ServerName: "tooold.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
	} {
		port := 8443
		if i == 4 {
			port = 8444
		}
		c := tr.connect(port)
		if c == nil {
			continue
		}
		s := tls.Client(c, conf)
		if err := s.Handshake(); err == nil {
			_, _ = s.Write(make([]byte, 30000))
			_, _ = io.Copy(io.Discard, s)
		}
		s.Close()
		c.Close()
	}
}

// manyProtos makes a ClientHello that fills several segments.
func manyProtos() []string {
	var protos []string
	for i := range 100 {
		protos = append(protos, fmt.Sprintf("a-protocol-with-a-long-name-%d", i))
	}
	return protos
}

// dns asks a small server that answers, refuses, truncates, and keeps silent.
func (tr traffic) dns() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tr.serve(53, func(c net.Conn) {
		defer c.Close()
		for {
			var n [2]byte
			if _, err := io.ReadFull(c, n[:]); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(n[:]))
			if _, err := io.ReadFull(c, q); err != nil {
				return
			}
			if a := answer(q, true, 0); a != nil {
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		}
	})
	var pc net.PacketConn
	tr.enter(tr.server, func() { pc, _ = net.ListenPacket("udp", tr.host+":53") })
	go func() {
		<-ctx.Done()
		pc.Close()
	}()
	go func() {
		buf := make([]byte, 1500)
		for n := 0; ; n++ {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if a := answer(buf[:size], false, n); a != nil {
				_, _ = pc.WriteTo(a, from)
			}
		}
	}()
	for i, name := range []string{"good.example.", "missing.example.", "big.example.", "silent.example.", "second.example.", "fails.example.", "alias.example.", "srv.example."} {
		tr.ask("udp", uint16(1000+i), name)
		if name == "big.example." || name == "alias.example." {
			tr.ask("tcp", uint16(2000+i), name)
		}
	}
}

// ask sends a query, and sends it again when no answer comes.
func (tr traffic) ask(network string, id uint16, name string) {
	c, err := tr.dial(0, network, tr.host+":53", net.Dialer{})
	if err != nil {
		return
	}
	defer c.Close()
	typ := dnsmessage.TypeA
	if name == "srv.example." {
		typ = dnsmessage.TypeSRV
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET})
	q, _ := b.Finish()
	if network == "tcp" {
		q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	for range 3 {
		_, _ = c.Write(q)
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 4096)); err == nil || network == "tcp" {
			return
		}
	}
}

// answer makes the server's answer to the nth query; nil for none.
func answer(q []byte, tcp bool, n int) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(q)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	name := question.Name.String()
	r := dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true}
	count := 2
	switch name {
	case "silent.example.":
		return nil
	case "second.example.":
		if n%2 == 0 {
			return nil
		}
	case "missing.example.":
		r.RCode, count = dnsmessage.RCodeNameError, 0
	case "fails.example.":
		r.RCode, count = dnsmessage.RCodeServerFailure, 0
	case "big.example.":
		count = 40
		if !tcp {
			r.Truncated, count = true, 0
		}
	}
	b := dnsmessage.NewBuilder(nil, r)
	b.EnableCompression()
	_ = b.StartQuestions()
	_ = b.Question(question)
	_ = b.StartAnswers()
	rh := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 5}
	if name == "alias.example." {
		_ = b.CNAMEResource(rh, dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("real.example.")})
		rh.Name = dnsmessage.MustNewName("real.example.")
	}
	for i := range count {
		if question.Type == dnsmessage.TypeSRV {
			_ = b.SRVResource(rh, dnsmessage.SRVResource{Priority: 1, Weight: uint16(i), Port: 5060, Target: dnsmessage.MustNewName("sip.example.")})
			continue
		}
		_ = b.AResource(rh, dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i)}})
		_ = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}})
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}
