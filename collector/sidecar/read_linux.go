package sidecar

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// Collect implements [collector.Collector]. A namespace without a proxy leaves
// nothing, not even a result: most pods have none.
func (p *proxies) Collect(ctx context.Context, out *collector.Output) error {
	running := processes()
	for _, s := range p.o.Spaces {
		comms := running[s.Inode]
		if comms == nil {
			continue
		}
		ports := s.listening()
		for _, k := range kinds() {
			if !p.o.Only.WantsBelow(p.folder(s)+k.name) || !slices.ContainsFunc(k.comms, func(c string) bool { return comms[c] }) {
				continue
			}
			for _, port := range k.ports {
				if ctx.Err() != nil {
					return fmt.Errorf("%w: %w", collector.ErrOverBudget, context.Cause(ctx))
				}
				if ports[port] && p.read(ctx, out, s, k, port) {
					break // one of a kind in a pod
				}
			}
		}
	}
	return nil
}

// processes gives, for each network namespace, the names of the proxies'
// processes that run in it.
func processes() map[uint64]map[string]bool {
	proxy := map[string]bool{}
	for _, k := range kinds() {
		for _, c := range k.comms {
			proxy[c] = true
		}
	}
	found := map[uint64]map[string]bool{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is sound
	for _, dir := range dirs {
		comm, err := os.ReadFile(dir + "/comm") // of the kernel, 16 bytes at most
		name := strings.TrimSuffix(string(comm), "\n")
		var st unix.Stat_t
		if err != nil || !proxy[name] || unix.Stat(dir+"/ns/net", &st) != nil {
			continue
		}
		if found[st.Ino] == nil {
			found[st.Ino] = map[string]bool{}
		}
		found[st.Ino][name] = true
	}
	return found
}

// listening gives the ports that somebody listens on in the namespace.
func (s Space) listening() map[uint16]bool {
	ports := map[uint16]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(s.Net + "/" + name)
		if err != nil {
			continue // ended meanwhile, or no such family
		}
		b, _ := io.ReadAll(io.LimitReader(f, maxListening)) //nolint:forbidigo // limited
		f.Close()
		for port := range listening(b) {
			ports[port] = true
		}
	}
	return ports
}

// read asks one port; false when no proxy of this kind answers there.
func (p *proxies) read(ctx context.Context, out *collector.Output, s Space, k kind, port uint16) bool {
	c := s.client()
	defer c.CloseIdleConnections()
	base := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	hello, stop := context.WithTimeout(ctx, helloLimit)
	defer stop()
	body, err := get(hello, c, base+k.hello)
	if err != nil {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(body, maxListening)) //nolint:forbidigo // limited
	body.Close()
	if err != nil || !k.is(b) {
		return false
	}
	for _, page := range k.pages {
		if at := p.folder(s) + k.name + "/" + page.file; p.o.Only.Wants(at) {
			p.store(ctx, out, c, base+page.path, at, page.json)
		}
	}
	return true
}

func (p *proxies) folder(s Space) string {
	if s.Host {
		return "nodes/" + p.o.Node + "/"
	}
	return fmt.Sprintf("nodes/%s/netns/%d/", p.o.Node, s.Inode)
}

// store copies one answer into the bundle.
func (p *proxies) store(ctx context.Context, out *collector.Output, c *http.Client, url, path string, isJSON bool) {
	start := time.Now()
	ctx, stop := context.WithTimeout(ctx, answerLimit)
	defer stop()
	n, err := p.copy(ctx, out, c, url, path, isJSON)
	r := collector.Result{Source: p.Name(), Path: path, Status: collector.StatusOf(err), Bytes: n, Millis: time.Since(start).Milliseconds()}
	if err != nil {
		r.Reason = err.Error()
	}
	out.Record(r)
}

func (p *proxies) copy(ctx context.Context, out *collector.Output, c *http.Client, url, path string, isJSON bool) (int64, error) {
	body, err := get(ctx, c, url)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	limited := &limited{r: body, left: maxAnswer}
	if !isJSON {
		return out.Store(path, collector.ClassNodes, limited)
	}
	r, w := io.Pipe()
	go func() {
		bw := bufio.NewWriterSize(w, 32<<10)
		w.CloseWithError(errors.Join(mask(bw, limited), bw.Flush())) // nil is a clean end
	}()
	n, err := out.Store(path, collector.ClassNodes, r)
	r.CloseWithError(io.ErrClosedPipe)
	return n, err
}

// limited fails rather than end where there is more.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w: the answer is longer than %d bytes", collector.ErrOverBudget, maxAnswer)
	}
	return n, err
}

func get(ctx context.Context, c *http.Client, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "casefile")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		err = fmt.Errorf("%w: %s", collector.ErrUnsupported, resp.Status)
	case http.StatusForbidden, http.StatusUnauthorized:
		err = fmt.Errorf("%w: %s", collector.ErrDenied, resp.Status)
	default:
		err = fmt.Errorf("status %s", resp.Status)
	}
	resp.Body.Close()
	return nil, err
}

// client makes connections inside the namespace: a socket stays where the
// thread was that made it. It follows nothing and knows no proxy.
func (s Space) client() *http.Client {
	d := net.Dialer{Timeout: helloLimit, FallbackDelay: -1}
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = collector.InNetns(s.Path, s.Inode, func() (err error) {
			conn, err = d.DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, Proxy: nil, DisableCompression: true, MaxConnsPerHost: 1, ResponseHeaderTimeout: answerLimit, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
