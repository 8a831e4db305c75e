package input

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A counter names a number in a kernel table:
//
//	Tcp.RetransSegs, TcpExt.ListenOverflows, IpExt.…   proc/net/snmp, proc/net/netstat
//	snmp6.Ip6InReceives                                proc/net/snmp6
//	nf_conntrack.drop, arp_cache.table_fulls, …        proc/net/stat/…, summed over CPUs
//	softnet.dropped, softnet.time_squeeze, …           proc/net/softnet_stat, summed over CPUs
//	sockstat.TCP.inuse, sockstat6.TCP6.inuse           proc/net/sockstat, sockstat6
//	sysctl.net.netfilter.nf_conntrack_max              proc/sys/net/netfilter/nf_conntrack_max
//
// In sysctl names a dot stands for a slash and the other way round, as sysctl(8) has it.
type counter struct {
	name  string   // as declared
	key   string   // within its table
	files []string // where it may stand, below a sample's folder
	gauge bool     // goes up and down: a smaller second value is no reset
}

// statTable knows the per-CPU tables of proc/net/stat; their column entries is
// one number for the whole machine, repeated on every line.
func statTable(name string) bool {
	switch name {
	case "nf_conntrack", "arp_cache", "ndisc_cache", "rt_cache":
		return true
	}
	return false
}

// softnetColumns of proc/net/softnet_stat, which has no header.
func softnetColumns() []string {
	return []string{0: "processed", 1: "dropped", 2: "time_squeeze", 9: "received_rps", 10: "flow_limit_count"}
}

// gauge knows those that go up and down in tables that otherwise count.
func gauge(name string) bool {
	switch name {
	case "Tcp.CurrEstab", "Tcp.RtoAlgorithm", "Tcp.RtoMin", "Tcp.RtoMax", "Tcp.MaxConn", "Ip.Forwarding", "Ip.DefaultTTL":
		return true
	}
	return false
}

const maxCounterName = 200

func parseCounter(name string) (counter, error) {
	bad := func(why string) (counter, error) { return counter{}, fmt.Errorf("counter %q: %s", name, why) }
	if len(name) > maxCounterName || !plainName(name) {
		return bad("not a counter's name")
	}
	table, key, ok := strings.Cut(name, ".")
	if !ok || table == "" || key == "" {
		return bad("write TABLE.NAME, like TcpExt.ListenOverflows")
	}
	c := counter{name: name, key: key}
	switch {
	case table == "sysctl":
		path := strings.NewReplacer(".", "/", "/", ".").Replace(key)
		if g, err := ParseGlob(path); err != nil || strings.ContainsAny(path, "*?") || len(g) < 2 {
			return bad("not a sysctl's name")
		}
		c.files, c.gauge = []string{"proc/sys/" + path}, true
	case table == "softnet":
		if !slices.Contains(softnetColumns(), key) {
			return bad("softnet has processed, dropped, time_squeeze, received_rps and flow_limit_count")
		}
		c.files = []string{"proc/net/softnet_stat"}
	case table == "sockstat" || table == "sockstat6":
		if strings.Count(key, ".") != 1 {
			return bad("write " + table + ".PROTOCOL.KEY")
		}
		c.files, c.gauge = []string{"proc/net/" + table}, true
	case strings.Contains(key, "."):
		return bad("too many dots")
	case table == "snmp6":
		c.files = []string{"proc/net/snmp6"}
	case statTable(table):
		c.files, c.gauge = []string{"proc/net/stat/" + table}, key == "entries"
	case table[0] >= 'A' && table[0] <= 'Z':
		c.key, c.gauge = name, gauge(name)
		c.files = []string{"proc/net/netstat", "proc/net/snmp"}
	default:
		return bad("no such table; see the names in the module ABI")
	}
	return c, nil
}

func plainName(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/", c) >= 0) {
			return false
		}
	}
	return true
}

// reading is a number in a kernel table.
type reading struct {
	value int64
	line  int
	cpus  int // lines it was summed over
}

// table is a kernel text as numbers by key.
type table map[string]reading

// parseTable reads the kernel text that stands at the path below a sample.
func parseTable(path string, text []byte) table {
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case strings.HasPrefix(path, "proc/sys/"):
		return parseSysctl(text)
	case strings.HasPrefix(path, "proc/net/stat/"):
		return parseStat(text)
	case name == "softnet_stat":
		return parseSoftnet(text)
	case name == "sockstat" || name == "sockstat6":
		return parseSockstat(text)
	case name == "snmp6":
		return parseSNMP6(text)
	}
	return parseSNMP(text)
}

func eachLine(text []byte, f func(nr int, fields []string)) {
	for nr := 1; len(text) > 0; nr++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if fields := strings.Fields(string(line)); len(fields) > 0 {
			f(nr, fields)
		}
		text = rest
	}
}

// parseSNMP reads pairs of lines, "Group: names…" over "Group: numbers…".
func parseSNMP(text []byte) table {
	t := table{}
	var names []string
	eachLine(text, func(nr int, f []string) {
		if names == nil || names[0] != f[0] || len(names) != len(f) {
			names = f
			return
		}
		group := strings.TrimSuffix(f[0], ":")
		for i := 1; i < len(f); i++ {
			if v, err := strconv.ParseInt(f[i], 10, 64); err == nil {
				t[group+"."+names[i]] = reading{value: v, line: nr}
			}
		}
		names = nil
	})
	return t
}

func parseSNMP6(text []byte) table {
	t := table{}
	eachLine(text, func(nr int, f []string) {
		if len(f) == 2 {
			if v, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				t[f[0]] = reading{value: v, line: nr}
			}
		}
	})
	return t
}

func parseSockstat(text []byte) table {
	t := table{}
	eachLine(text, func(nr int, f []string) {
		proto := strings.TrimSuffix(f[0], ":")
		for i := 1; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseInt(f[i+1], 10, 64); err == nil {
				t[proto+"."+f[i]] = reading{value: v, line: nr}
			}
		}
	})
	return t
}

func parseSysctl(text []byte) table {
	t := table{}
	if v, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
		t[""] = reading{value: v, line: 1}
	}
	return t
}

// parseStat reads a header and a line of hexadecimal numbers for each CPU.
func parseStat(text []byte) table {
	var header []string
	s := newSums()
	eachLine(text, func(nr int, f []string) {
		if header == nil {
			header = f
			return
		}
		for i := range min(len(f), len(header)) {
			s.add(header[i], f[i], nr, header[i] == "entries")
		}
	})
	return s.table()
}

func parseSoftnet(text []byte) table {
	s, columns := newSums(), softnetColumns()
	eachLine(text, func(nr int, f []string) {
		for i, name := range columns {
			if name != "" && i < len(f) {
				s.add(name, f[i], nr, false)
			}
		}
	})
	return s.table()
}

// sums adds hexadecimal numbers up over CPUs; the line that is cited is the
// one of the CPU with the most.
type sums struct {
	t    table
	most map[string]int64
}

func newSums() *sums { return &sums{t: table{}, most: map[string]int64{}} }

func (s *sums) add(key, hex string, nr int, once bool) {
	v, err := strconv.ParseInt(hex, 16, 64)
	if err != nil {
		return
	}
	r, seen := s.t[key]
	if seen && once {
		return
	}
	if !seen || v > s.most[key] {
		r.line, s.most[key] = nr, v
	}
	if r.value > math.MaxInt64-v {
		v = math.MaxInt64 - r.value
	}
	r.value += v
	r.cpus++
	s.t[key] = r
}

func (s *sums) table() table { return s.t }
