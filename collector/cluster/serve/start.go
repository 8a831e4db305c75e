package serve

import (
	"context"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Host is the address under which an in-memory server is known.
const Host = "http://casefile.invalid"

// Server is a bundle served in memory: no port, no loopback, no network.
type Server struct {
	listener *pipeListener
	http     *http.Server
}

// Start serves a bundle until Close.
func Start(fsys fs.FS) (*Server, error) {
	h, err := New(fsys)
	if err != nil {
		return nil, err
	}
	s := &Server{
		listener: &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})},
		http:     &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)},
	}
	go s.http.Serve(s.listener) //nolint:errcheck // ends with Close
	return s, nil
}

// Config is a client configuration that leads here.
func (s *Server) Config() *rest.Config {
	return &rest.Config{Host: Host, Dial: s.Dial, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
}

// Dial connects to the server, whatever the address.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.listener.dial(ctx)
}

// Close ends the server and its connections.
func (s *Server) Close() error {
	_ = s.listener.Close() // always nil
	return s.http.Close()
}

// pipeListener is a net.Listener over net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	var err error
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	ours.Close()
	theirs.Close()
	return nil, err
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "casefile.invalid" }
