package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is a probe as the user wrote it: KIND:ARG[,OPTION…][@FROM].
type Request struct {
	Text string
	Kind string // dns, tcp, mtu, path, http, clock
	// Host is a name or an address, or pod/NS/NAME, node/NAME, service/NS/NAME,
	// or, for tcp, mesh and podmesh.
	Host    string
	Port    uint16 // 0: none was given
	URL     string // http
	From    string // pod/NS/NAME or node/NAME; empty: not said
	Count   int
	Timeout time.Duration
	EDNS    int
	TCP     bool
	Fanout  int // mesh: peers beside the neighbours of the ring
}

// Limits of a request.
const (
	maxRequest    = 2 << 10
	maxCount      = 100
	maxTimeout    = 15 * time.Second
	DefaultFanout = 3
	maxFanout     = 16
	DefaultMesh   = 10250 // the kubelet's port: refused is an answer, too
)

const howto = "a probe is dns:NAME, tcp:HOST:PORT, mtu:HOST[:PORT], path:HOST[:PORT], http://…, https://… or clock, then perhaps ,n=3,timeout=2s and @pod/NS/NAME or @node/NAME"

// ParseRequest reads one probe and checks all of it that can be checked
// without sending anything.
func ParseRequest(text string) (Request, error) {
	r := Request{Text: text}
	bad := func(format string, a ...any) (Request, error) {
		return Request{}, fmt.Errorf("%q: %s (%s)", shorten(text), fmt.Sprintf(format, a...), howto)
	}
	if len(text) > maxRequest {
		return bad("more than %d bytes", maxRequest)
	}
	rest := text
	if i := strings.LastIndex(text, "@"); i >= 0 && (strings.HasPrefix(text[i+1:], "pod/") || strings.HasPrefix(text[i+1:], "node/")) {
		rest, r.From = text[:i], text[i+1:]
		if why := place(r.From); why != "" {
			return bad("%s", why)
		}
	}
	kind, arg, _ := strings.Cut(rest, ":")
	if kind == "http" || kind == "https" {
		return r.http(kind, arg, bad)
	}
	r.Kind = kind
	arg, options, _ := strings.Cut(arg, ",")
	if why := r.options(options); why != "" {
		return bad("%s", why)
	}
	var why string
	switch kind {
	case "dns":
		why = r.dnsName(arg)
	case "tcp", "mtu", "path":
		why = r.hostPort(arg)
	case "clock":
		if arg != "" || r.From != "" && !strings.HasPrefix(r.From, "node/") {
			why = "clock takes nothing, or @node/NAME"
		}
	default:
		why = fmt.Sprintf("there is no probe %q", kind)
	}
	if why != "" {
		return bad("%s", why)
	}
	return r, nil
}

func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

func (r *Request) dnsName(arg string) string {
	if why := hostName(strings.TrimSuffix(arg, ".")); why != "" {
		return why
	}
	if _, err := netip.ParseAddr(arg); err == nil {
		return "dns wants a name, and this is an address"
	}
	r.Host = arg
	return ""
}

func (r *Request) hostPort(arg string) string {
	host, port := arg, ""
	if _, err := netip.ParseAddr(arg); err != nil { // an IPv6 address has colons of its own
		if i := strings.LastIndex(arg, ":"); i >= 0 {
			host, port = arg[:i], arg[i+1:]
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return fmt.Sprintf("%q is no port", port)
			}
			r.Port = uint16(n)
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	r.Host = host
	kind, _, object := strings.Cut(host, "/")
	switch _, err := netip.ParseAddr(host); {
	case object && kind == "service":
		if n := len(strings.Split(host, "/")); n != 3 {
			return "a service is service/NAMESPACE/NAME"
		}
	case object:
		if why := place(host); why != "" {
			return why
		}
	case err != nil:
		if why := hostName(strings.TrimSuffix(host, ".")); why != "" {
			return why
		}
	}
	if r.Mesh() {
		if r.Kind != "tcp" {
			return "only tcp knows a mesh"
		}
		if r.From != "" {
			return "a mesh goes from every node"
		}
		if r.Port == 0 {
			r.Port = DefaultMesh
		}
	}
	if r.Kind == "tcp" && r.Port == 0 && kind != "service" {
		return "the port is missing: tcp:HOST:PORT"
	}
	return ""
}

// Mesh says whether every node, or a pod of each, goes to some of the others.
func (r Request) Mesh() bool { return r.Host == "mesh" || r.Host == "podmesh" }

// Object says whether the host is to be found in the cluster.
func (r Request) Object() bool { return strings.Contains(r.Host, "/") }

// To is what a probe of the request goes to, once its host is an address.
func (r Request) To(host string, port uint16) string {
	switch {
	case r.Kind == "http":
		return r.URL
	case port == 0:
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func (r *Request) options(list string) string {
	if list == "" {
		return ""
	}
	for o := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(o, "=")
		n, err := strconv.Atoi(value)
		switch {
		case name == "n" && err == nil && n >= 1 && n <= maxCount:
			r.Count = n
		case name == "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Millisecond || d > maxTimeout {
				return fmt.Sprintf("timeout is 1ms to %s", maxTimeout)
			}
			r.Timeout = d
		case name == "edns" && r.Kind == "dns" && err == nil && n >= 512 && n <= 4096:
			r.EDNS = n
		case o == "tcp" && r.Kind == "dns":
			r.TCP = true
		case name == "k" && r.Kind == "tcp" && err == nil && n >= 1 && n <= maxFanout:
			r.Fanout = n
		default:
			return fmt.Sprintf("the option %q: there are n=1…%d, timeout=2s, for dns edns=512…4096 and tcp, for a mesh k=1…%d", o, maxCount, maxFanout)
		}
	}
	return ""
}

func (r Request) http(kind, arg string, bad func(string, ...any) (Request, error)) (Request, error) {
	r.Kind, r.URL = "http", kind+":"+arg
	if rest := strings.TrimPrefix(arg, "//"); rest == arg { // http:https://…
		r.URL = arg
	}
	u, err := ParseURL(r.URL)
	if err != nil {
		return bad("%v", err)
	}
	r.Host = u.Hostname()
	return r, nil
}

// ParseURL reads a URL that http may be sent to.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("this is no URL")
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("a URL begins with http:// or https:// and a host")
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		if why := hostName(u.Hostname()); why != "" {
			return nil, errors.New(why)
		}
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no port", p)
		}
	}
	return u, nil
}

// Masked is the request without user, password and query of a URL.
func (r Request) Masked() string {
	if r.Kind != "http" {
		return r.Text
	}
	text := maskURL(r.URL)
	if r.From != "" {
		text += "@" + r.From
	}
	return text
}

func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "http"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// actionOf says what a probe will do.
func actionOf(s Spec, h Head) Action {
	a := Action{Head: h, Kind: s.Kind, Host: s.To}
	if s.Kind == "http" {
		if u, err := ParseURL(s.To); err == nil {
			a.Host, a.Port, a.Scheme, a.URLPath = u.Hostname(), portOf(u), u.Scheme, u.EscapedPath()
		}
	} else if host, port, err := net.SplitHostPort(s.To); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16)
		a.Host, a.Port = host, uint16(n)
	}
	return a
}

func portOf(u *url.URL) uint16 {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err == nil:
		return uint16(n)
	case u.Scheme == "https":
		return 443
	}
	return 80
}

// place says what is wrong with pod/NS/NAME or node/NAME.
func place(s string) string {
	parts := strings.Split(s, "/")
	want := map[string]int{"pod": 3, "node": 2}[parts[0]]
	if len(parts) != want {
		return fmt.Sprintf("%q is neither pod/NAMESPACE/NAME nor node/NAME", shorten(s))
	}
	for _, p := range parts[1:] {
		if why := hostName(p); why != "" {
			return why
		}
	}
	return ""
}

// hostName says what is wrong with a name.
func hostName(s string) string {
	if s == "" || len(s) > maxName {
		return "a name is 1 to 253 bytes long"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return fmt.Sprintf("%q is no name", shorten(s))
		}
		for _, c := range label {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return fmt.Sprintf("%q is no name", shorten(s))
			}
		}
	}
	return ""
}
