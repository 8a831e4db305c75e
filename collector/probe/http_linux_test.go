package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveHTTP serves in a namespace, over TLS if asked.
func (l lab) serveHTTP(t testing.TB, ns, addr string, secure bool, h http.HandlerFunc) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Listener.Close()
	l.in(t, ns, func() (err error) {
		s.Listener, err = net.Listen("tcp", addr)
		return err
	})
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
}

func TestHTTP(t *testing.T) {
	l := newLab(t)
	requests := make(chan string, 10)
	h := func(w http.ResponseWriter, r *http.Request) {
		requests <- r.Method + " " + r.URL.String()
		w.Header().Set("Set-Cookie", "session=s3cret")
		w.Header().Set("Server", "lab")
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://login.example.com/?state=s3cret", http.StatusFound)
			return
		}
		time.Sleep(20 * time.Millisecond)
		_, _ = w.Write([]byte("a body of s3cret"))
	}
	l.serveHTTP(t, l.far, far4+":8080", false, h)
	l.serveHTTP(t, l.far, "["+far6+"]:8443", true, h)
	r := row[HTTPRow](t, l, Spec{Kind: "http", To: "http://u:s3cret@" + far4 + ":8080/health?token=s3cret"})
	if r.Outcome != "answered" || r.Status != 200 || r.Proto != "HTTP/1.1" || r.URLPath != "/health" || r.BodyBytes != 16 || r.Headers["Server"] != "lab" ||
		strings.Join(r.Masked, " ") != "user query" || r.TLS != nil {
		t.Errorf("%+v", r)
	}
	if r.Times.TTFB < 20_000 || r.Times.Connect <= 0 || r.Times.Total < r.Times.TTFB+r.Times.Connect {
		t.Errorf("times %+v", r.Times)
	}
	if got := <-requests; got != "GET /health?token=s3cret" {
		t.Errorf("the server saw %s", got)
	}
	r = row[HTTPRow](t, l, Spec{Kind: "http", To: "http://" + far4 + ":8080/away"})
	if r.Status != 302 || r.Redirect != "login.example.com" {
		t.Errorf("%+v", r)
	}
	r = row[HTTPRow](t, l, Spec{Kind: "http", To: "https://[" + far6 + "]:8443/"})
	if r.Outcome != "answered" || r.Proto != "HTTP/2.0" || r.TLS == nil || r.TLS.Version != "TLS 1.3" || r.TLS.ALPN != "h2" || r.TLS.Verified || r.TLS.VerifyError == "" ||
		len(r.TLS.Certificates) != 1 || r.TLS.Certificates[0].NotAfter.IsZero() || r.Times.TLS <= 0 {
		t.Errorf("%+v %+v", r, r.TLS)
	}
	for to, want := range map[string]string{"http://" + far4 + ":81/": "connect", "https://" + far4 + ":8080/": "tls", "http://nowhere.test/": "unresolved"} {
		r = row[HTTPRow](t, l, Spec{Kind: "http", To: to, Root: root(t, "nameserver "+router4+"\noptions attempts:1")})
		if r.Outcome != want || r.Error == "" {
			t.Errorf("%s: want %s, got %+v", to, want, r)
		}
	}
	needTool(t, "curl")
	out, _ := toolAnswer(l, "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "https://["+far6+"]:8443/")
	if out != "200 2" {
		t.Errorf("curl says %s", out)
	}
}

// TestHTTPTimeout has a server that never answers.
func TestHTTPTimeout(t *testing.T) {
	l := newLab(t)
	l.listen(t, l.far, far4+":8080", drain)
	r := row[HTTPRow](t, l, Spec{Kind: "http", To: "http://" + far4 + ":8080/", Timeout: 200 * time.Millisecond})
	if r.Outcome != "timeout" || r.Address != far4 {
		t.Errorf("%+v", r)
	}
}
