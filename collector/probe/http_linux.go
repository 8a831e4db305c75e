package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxBody    = 1 << 20
	maxHeader  = 64 << 10
	maxHeaders = 256 // bytes kept of one
	maxCerts   = 8
	maxNames   = 32
)

// keptHeaders say how an answer was made, and nothing about who asked.
func keptHeaders() []string {
	return []string{"Server", "Date", "Via", "Age", "Content-Type", "Content-Length", "Connection", "Retry-After", "X-Envoy-Upstream-Service-Time"}
}

var errUnresolved = errors.New("the name has no address")

// http sends one request and times each step.
func (p *prober) http(ctx context.Context) error {
	u, err := ParseURL(p.spec.To)
	if err != nil {
		return err
	}
	h := &httpProbe{prober: p, url: u}
	h.row = HTTPRow{Head: p.now(), Method: http.MethodGet, Scheme: u.Scheme, Host: u.Hostname(), Port: portOf(u), URLPath: u.EscapedPath(), Outcome: "failed"}
	if u.User != nil {
		h.row.Masked = append(h.row.Masked, "user")
	}
	if u.RawQuery != "" {
		h.row.Masked = append(h.row.Masked, "query")
	}
	ctx, cancel := context.WithTimeout(ctx, p.spec.Timeout)
	defer cancel()
	err = h.send(ctx)
	h.row.Time = time.Now().UTC()
	if err != nil {
		h.failed(err)
	}
	p.observe(h.row)
	if errors.Is(err, errSpent) {
		return err
	}
	return nil
}

// httpProbe is one request under way.
type httpProbe struct {
	*prober
	url *url.URL
	row HTTPRow
}

// send does each step by itself, one after the other, so that none goes on
// when the time is over.
func (h *httpProbe) send(ctx context.Context) error {
	start := time.Now()
	defer func() { h.row.Times.Total = time.Since(start).Microseconds() }()
	addr, err := h.address(ctx)
	if err != nil {
		return err
	}
	conn, err := h.connect(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if h.url.Scheme == "https" {
		if conn, err = h.handshake(ctx, conn); err != nil {
			return err
		}
	}
	return h.request(ctx, conn)
}

// address resolves the host as the place does.
func (h *httpProbe) address(ctx context.Context) (netip.Addr, error) {
	host := h.url.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	l, err := h.lookup(ctx, host)
	if err != nil {
		return netip.Addr{}, err
	}
	h.row.Lookup, h.row.Times.DNS = &l, l.Micros
	if len(l.Answers) == 0 {
		h.row.Outcome = "unresolved"
		return netip.Addr{}, fmt.Errorf("%w: %s", errUnresolved, l.Outcome)
	}
	return netip.ParseAddr(l.Answers[0])
}

// connect makes the socket on a thread in the namespace: with one literal
// address and no fallback the dialer stays on it.
func (h *httpProbe) connect(ctx context.Context, addr netip.Addr) (conn net.Conn, err error) {
	if err := h.spend(ctx, 1500); err != nil {
		return nil, err
	}
	h.row.Address, h.row.Outcome = addrText(addr), "connect"
	start := time.Now()
	err = h.spec.Place.do(func() error {
		conn, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, h.row.Port).String())
		return err
	})
	h.row.Times.Connect = time.Since(start).Microseconds()
	if err != nil {
		return nil, err
	}
	h.row.Local = conn.LocalAddr().String()
	return conn, nil
}

// handshake goes on whatever the certificate is, and notes what verification
// says: that is what was asked for.
func (h *httpProbe) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	h.row.Outcome = "tls"
	start := time.Now()
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: h.url.Hostname(), NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS10})
	err := c.HandshakeContext(ctx)
	h.row.Times.TLS = time.Since(start).Microseconds()
	if err != nil {
		return nil, err
	}
	h.row.TLS = describeTLS(c.ConnectionState(), h.url.Hostname())
	return c, nil
}

// request sends the request over the connection that is there.
func (h *httpProbe) request(ctx context.Context, conn net.Conn) error {
	h.row.Outcome = "failed"
	var wrote, first atomic.Int64
	start := time.Now()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { wrote.Store(time.Since(start).Microseconds()) },
		GotFirstResponseByte: func() { first.Store(time.Since(start).Microseconds()) },
	})
	req, err := http.NewRequestWithContext(ctx, h.row.Method, h.url.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "casefile-probe")
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	tr := &http.Transport{DialContext: given, DialTLSContext: given, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h.row.Times.TTFB = max(first.Load()-wrote.Load(), 0)
	h.answered(resp)
	return nil
}

// answered keeps what the answer says of how it was made; its body is counted.
func (h *httpProbe) answered(resp *http.Response) {
	h.row.Outcome, h.row.Status, h.row.Proto = "answered", resp.StatusCode, resp.Proto
	for _, name := range keptHeaders() {
		if v := resp.Header.Get(name); v != "" {
			if h.row.Headers == nil {
				h.row.Headers = map[string]string{}
			}
			h.row.Headers[name] = strings.ToValidUTF8(v[:min(len(v), maxHeaders)], "?")
		}
	}
	if l, err := resp.Location(); err == nil {
		h.row.Redirect = l.Hostname()
	}
	var err error
	if h.row.BodyBytes, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		h.row.Error = "the body broke off: " + plain(err)
	}
}

func describeTLS(s tls.ConnectionState, host string) *TLSRow {
	t := &TLSRow{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), ALPN: s.NegotiatedProtocol, ServerName: host}
	between := x509.NewCertPool()
	for i, c := range s.PeerCertificates {
		if i > 0 {
			between.AddCert(c)
		}
		if i < maxCerts {
			t.Certificates = append(t.Certificates, TLSCert{CommonName: c.Subject.CommonName, Issuer: c.Issuer.CommonName,
				DNSNames: c.DNSNames[:min(len(c.DNSNames), maxNames)], NotBefore: c.NotBefore, NotAfter: c.NotAfter,
				KeyType: c.PublicKeyAlgorithm.String(), IsCA: c.IsCA})
		}
	}
	if len(s.PeerCertificates) == 0 {
		t.VerifyError = "no-certificate"
		return t
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between})
	t.Verified, t.VerifyError = err == nil, verifyError(err)
	return t
}

func verifyError(err error) string {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var roots x509.SystemRootsError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &roots):
		return "no-roots"
	case errors.As(err, &name):
		return "wrong-name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired"
	case errors.As(err, &unknown):
		return "unknown-authority"
	}
	return "other"
}

// failed says what the request ended with, without its URL.
func (h *httpProbe) failed(err error) {
	h.row.Error = plain(err)
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		h.row.Error = "time-out after step " + h.row.Outcome
		h.row.Outcome = "timeout"
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// plain is the innermost text of an error: the outer ones repeat addresses and
// URLs.
func plain(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil || errors.Is(err, errUnresolved) {
			return strings.ToValidUTF8(err.Error(), "?")
		}
		err = inner
	}
}
