package probe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of resolv.conf, those of glibc.
const (
	maxResolv      = 64 << 10 // bytes of the file
	maxNameservers = 3
	maxSearch      = 32 // glibc has none since 2.26
	maxNDots       = 15
	maxDNSTimeout  = 30
	maxAttempts    = 5
	maxName        = 253
	maxHosts       = 1 << 20 // bytes of a hosts file
)

// Resolv is a resolv.conf as glibc understands it.
type Resolv struct {
	Servers  []netip.AddrPort
	Search   []string
	NDots    int
	Timeout  time.Duration
	Attempts int
	Options  []string // as written
	Single   bool     // single-request, single-request-reopen: A and AAAA one after the other
	TCP      bool     // use-vc
	EDNS     bool     // edns0
	NoAAAA   bool     // no-aaaa
	Rotate   bool     // noted, not followed: each server is asked for itself
}

// ParseResolv reads the text of a resolv.conf; what it does not understand it
// passes over, as a resolver does.
func ParseResolv(text string) Resolv {
	r := Resolv{NDots: 1, Timeout: 5 * time.Second, Attempts: 2}
	for line := range strings.Lines(text[:min(len(text), maxResolv)]) {
		fields := strings.Fields(line)
		if len(fields) < 2 || line[0] == '#' || line[0] == ';' {
			continue
		}
		switch args := fields[1:]; fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(args[0]); err == nil && len(r.Servers) < maxNameservers {
				r.Servers = append(r.Servers, netip.AddrPortFrom(a.Unmap(), 53))
			}
		case "domain":
			r.Search = searchList(args[:1])
		case "search":
			r.Search = searchList(args)
		case "options":
			for _, o := range args {
				r.option(o)
			}
		}
	}
	if len(r.Servers) == 0 {
		r.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return r
}

func searchList(args []string) []string {
	var list []string
	for _, d := range args {
		if d[0] == '#' || d[0] == ';' {
			break
		}
		if d = strings.TrimSuffix(d, "."); len(d) <= maxName && len(list) < maxSearch && strings.ToValidUTF8(d, "") == d {
			list = append(list, d)
		}
	}
	return list
}

func (r *Resolv) option(o string) {
	if len(o) > 64 || len(r.Options) == 32 || strings.ToValidUTF8(o, "") != o {
		return
	}
	r.Options = append(r.Options, o)
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	number := err == nil && n >= 0
	switch {
	case name == "ndots" && number:
		r.NDots = min(n, maxNDots)
	case name == "timeout" && number:
		r.Timeout = time.Duration(min(max(n, 1), maxDNSTimeout)) * time.Second
	case name == "attempts" && number:
		r.Attempts = min(max(n, 1), maxAttempts)
	case o == "single-request", o == "single-request-reopen":
		r.Single = true
	case o == "use-vc":
		r.TCP = true
	case o == "edns0":
		r.EDNS = true
	case o == "no-aaaa":
		r.NoAAAA = true
	case o == "rotate":
		r.Rotate = true
	}
}

// Names are what glibc asks for, in this order, until one answers. They have
// no dot at their end.
func (r Resolv) Names(name string) []string {
	bare, absolute := strings.CutSuffix(name, ".")
	if absolute {
		return []string{bare}
	}
	dots := strings.Count(name, ".")
	var names []string
	if dots >= r.NDots {
		names = append(names, name)
	}
	names = append(names, r.searched(name)...)
	if dots < r.NDots {
		names = append(names, name)
	}
	return unique(names)
}

// MuslNames are what musl asks for: a name with ndots dots or more is never
// looked for in the search list.
func (r Resolv) MuslNames(name string) []string {
	bare, absolute := strings.CutSuffix(name, ".")
	if absolute || strings.Count(name, ".") >= r.NDots {
		return []string{bare}
	}
	return unique(append(r.searched(name), name))
}

func (r Resolv) searched(name string) []string {
	var names []string
	for _, d := range r.Search {
		if d == "" { // "search ." stands for the name itself
			names = append(names, name)
		} else {
			names = append(names, name+"."+d)
		}
	}
	return names
}

// unique drops names that were there before, and those that are none.
func unique(names []string) []string {
	var out []string
	for _, n := range names {
		if len(n) <= maxName && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// hostsFile finds the addresses that a hosts file has for a name.
func hostsFile(text, name string) []string {
	name = strings.TrimSuffix(name, ".")
	var found []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(f string) bool { return strings.EqualFold(f, name) }) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil && len(found) < maxSearch {
			found = append(found, addrText(a))
		}
	}
	return found
}
