package flow

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// scan reads files with default limits.
func scan(t testing.TB, names ...string) result {
	t.Helper()
	s := New(Limits{})
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Read(t.Context(), Capture{Path: name, Name: "test"}, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return finish(s)
}

// peerFields is all that tshark is asked for.
func peerFields() []string {
	return append([]string{"frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tcp.len", "tcp.flags",
		"tcp.analysis.initial_rtt", "tls.handshake.extensions_server_name", "tls.alert_message.level", "tls.alert_message.desc",
		"dns.id", "dns.qry.name", "dns.time", "dns.response_to", "dns.retransmit_request_in", "dns.flags.response", "dns.flags.rcode", "dns.flags.truncated",
		"dns.a", "dns.aaaa", "dns.cname", "icmp.type", "icmp.code", "icmp.mtu", "icmpv6.type", "icmpv6.code", "icmpv6.mtu", "udp.srcport", "udp.dstport"},
		counted[1:len(counted)-3]...)
}

// tshark gives the fields of every packet of a file.
func tshark(t testing.TB, file string) []map[string]string {
	t.Helper()
	fields := peerFields()
	args := []string{"-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-r", file, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var rows []map[string]string
	for line := range strings.Lines(string(out)) {
		row := map[string]string{}
		for i, cell := range strings.Split(strings.TrimRight(line, "\n"), "|") {
			row[fields[i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

// quoted says that a packet is an ICMP message, whose fields may be those of
// a packet in it.
func quoted(r map[string]string) bool { return r["icmp.type"]+r["icmpv6.type"] != "" }

// counted are the fields that both sides count for each sender.
var counted = []string{"packets", "tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission",
	"tcp.analysis.duplicate_ack", "tcp.analysis.out_of_order", "tcp.analysis.lost_segment", "tcp.analysis.zero_window", "tcp.analysis.window_full",
	"tcp.analysis.keep_alive", "bytes", "syn", "segments"}

// stream is a connection as tshark sees it, from the same values as a row.
func describe(first int, ends [2]string, counts [2]map[string]int64, again [2][]int, rtt, sni, alert, reset string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %s-%s rtt=%s sni=%s alert=%s reset=%s", first, ends[0], ends[1], rtt, sni, alert, reset)
	for i, c := range counts {
		fmt.Fprintf(&b, "\n   %c: again %v", "ab"[i], again[i])
		for _, f := range counted {
			if c[f] != 0 {
				fmt.Fprintf(&b, " %s=%d", strings.TrimPrefix(f, "tcp.analysis."), c[f])
			}
		}
	}
	return b.String()
}

// wantTCP asks tshark for every connection of a file.
func wantTCP(peer []map[string]string) []string {
	type conn struct {
		first           int
		ends            [2]string
		counts          [2]map[string]int64
		again           [2][]int
		rtt, sni, alert string
		reset           string
	}
	byStream := map[string]*conn{}
	var order []*conn
	for _, r := range peer {
		if r["tcp.stream"] == "" || quoted(r) {
			continue
		}
		src, dst := inner(r, "src")+":"+r["tcp.srcport"], inner(r, "dst")+":"+r["tcp.dstport"]
		flags, _ := strconv.ParseUint(strings.TrimPrefix(r["tcp.flags"], "0x"), 16, 32)
		c := byStream[r["tcp.stream"]]
		if c == nil {
			c = &conn{ends: [2]string{src, dst}, counts: [2]map[string]int64{{}, {}}}
			if flags&0x12 == 0x12 {
				c.ends = [2]string{dst, src}
			}
			c.first, _ = strconv.Atoi(r["frame.number"])
			byStream[r["tcp.stream"]] = c
			order = append(order, c)
		}
		from := 0
		if src != c.ends[0] {
			from = 1
		}
		for _, f := range counted[1 : len(counted)-3] {
			if r[f] != "" {
				c.counts[from][f]++
			}
		}
		if number, _ := strconv.Atoi(r["frame.number"]); r["tcp.analysis.retransmission"] != "" && len(c.again[from]) < 5 {
			c.again[from] = append(c.again[from], number)
		}
		n, _ := strconv.ParseInt(r["tcp.len"], 10, 64)
		c.counts[from]["packets"]++
		c.counts[from]["bytes"] += n
		if flags&2 != 0 {
			c.counts[from]["syn"]++
		}
		if n > 0 || flags&3 != 0 {
			c.counts[from]["segments"]++
		}
		if flags&4 != 0 && c.reset == "" {
			c.reset = string("ab"[from]) + r["frame.number"]
		}
		if c.rtt == "" {
			c.rtt = trimmed(r["tcp.analysis.initial_rtt"])
		}
		if c.sni == "" {
			c.sni = r["tls.handshake.extensions_server_name"]
		}
		if c.alert == "" && r["tls.alert_message.desc"] != "" {
			level, _ := strconv.Atoi(strings.Split(r["tls.alert_message.level"], ";")[0])
			desc, _ := strconv.Atoi(strings.Split(r["tls.alert_message.desc"], ";")[0])
			c.alert = alertName(byte(level), byte(desc))
		}
	}
	var out []string
	for _, c := range order {
		out = append(out, describe(c.first, c.ends, c.counts, c.again, c.rtt, c.sni, c.alert, c.reset))
	}
	return out
}

// inner is the address that is innermost, should there be tunnels.
func inner(r map[string]string, end string) string {
	for _, family := range []string{"ipv6.", "ip."} {
		if all := strings.Split(r[family+end], ";"); all[0] != "" && (family == "ipv6." || r["ipv6."+end] == "") {
			return all[len(all)-1]
		}
	}
	return ""
}

func trimmed(seconds string) string {
	v, err := strconv.ParseFloat(seconds, 64)
	if err != nil || v == 0 {
		return ""
	}
	return fmt.Sprintf("%.9f", v)
}

// gotTCP describes the rows of TCP.
func gotTCP(rows []Row) []string {
	var out []string
	for _, r := range rows {
		if r.Proto != "tcp" || r.A.Packets+r.B.Packets == 0 {
			continue
		}
		var counts [2]map[string]int64
		var ends [2]string
		for i, e := range []struct{ *endView }{{viewOf(r, 0)}, {viewOf(r, 1)}} {
			counts[i], ends[i] = e.counts, e.name
		}
		reset := ""
		if r.ResetBy != "" {
			reset = r.ResetBy + strconv.Itoa(r.ResetPacket)
		}
		out = append(out, describe(r.Packet, ends, counts, [2][]int{r.A.Retransmitted, r.B.Retransmitted}, trimmed(strconv.FormatFloat(r.HandshakeRTT, 'f', 9, 64)), r.SNI, r.Alert, reset))
	}
	return out
}

type endView struct {
	name   string
	counts map[string]int64
}

func viewOf(r Row, i int) *endView {
	e := r.A
	if i == 1 {
		e = r.B
	}
	values := []int64{e.Packets, e.Retransmissions, e.FastRetrans, e.SpuriousRetrans, e.DuplicateACKs, e.OutOfOrder, e.LostSegments, e.ZeroWindow, e.WindowFull,
		e.KeepAlive, e.Bytes, e.SYN, e.Segments}
	v := &endView{name: e.IP + ":" + strconv.Itoa(e.Port), counts: map[string]int64{}}
	for i, f := range counted {
		v.counts[f] = values[i]
	}
	return v
}

// sameTCP holds a file's rows against tshark.
func sameTCP(t *testing.T, peer []map[string]string, flows []Row, whole bool, total *totals) {
	t.Helper()
	want, got := wantTCP(peer), gotTCP(flows)
	if !whole { // of segments that were cut tshark reads no TLS
		tlsWords := regexp.MustCompile(`sni=\S* alert=.*? reset=`)
		for _, list := range [][]string{want, got} {
			for i := range list {
				list[i] = tlsWords.ReplaceAllString(list[i], "reset=")
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("tshark has\n%s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("we have\n%s", g)
		}
		for _, word := range strings.Fields(g) {
			if name, n, ok := strings.Cut(word, "="); ok {
				v, err := strconv.ParseInt(n, 10, 64)
				if err == nil {
					total.add(name, v)
				} else if n != "" {
					total.add(name, 1)
				}
			}
		}
	}
}

// sameDNS holds the queries of a file against tshark: who answers whom and
// when, codes, addresses, tries. Of messages that were cut tshark tells no time.
func sameDNS(t *testing.T, peer []map[string]string, got []abi.DNS, whole bool, total *totals) {
	t.Helper()
	byPacket := map[string]map[string]string{}
	retries := map[string]int{}
	queries, answers := 0, 0
	for _, r := range peer {
		if r["dns.id"] == "" || quoted(r) {
			continue
		}
		byPacket[r["frame.number"]] = r
		switch {
		case r["dns.retransmit_request_in"] != "":
			retries[r["dns.retransmit_request_in"]]++
		case r["dns.flags.response"] == "0":
			queries++
		case r["dns.response_to"] != "":
			answers++
		}
	}
	for _, q := range got {
		first := byPacket[strconv.Itoa(q.Packet)]
		if first["dns.qry.name"] != q.Name || first["dns.flags.response"] != "0" || fmt.Sprintf("0x%04x", q.ID) != first["dns.id"] {
			t.Errorf("%+v is %v for tshark", q, first)
		}
		if n := retries[strconv.Itoa(q.Packet)] + 1; q.Tries != n {
			t.Errorf("%s: %d tries, for tshark %d", q.Name, q.Tries, n)
		}
		total.add("dns.retry", int64(q.Tries-1))
		if q.Answer == 0 {
			continue
		}
		answers--
		a := byPacket[strconv.Itoa(q.Answer)]
		if a["dns.response_to"] == "" && !whole {
			continue
		}
		total.add("dns.answer", 1)
		var text [3][]string
		for _, s := range q.Answers {
			kind, value, _ := strings.Cut(s, " ")
			if i := slices.Index([]string{"A", "AAAA", "CNAME"}, kind); i >= 0 {
				text[i] = append(text[i], value)
			}
		}
		g := []string{strconv.Itoa(q.Packet), trimmed(strconv.FormatFloat(q.Time, 'f', 9, 64)), q.Rcode, strconv.FormatBool(q.Truncated),
			strings.Join(text[0], ";"), strings.Join(text[1], ";"), strings.Join(text[2], ";")}
		rcode, _ := strconv.Atoi(a["dns.flags.rcode"])
		w := []string{a["dns.response_to"], trimmed(a["dns.time"]), dnsRcode(uint8(rcode)), strconv.FormatBool(a["dns.flags.truncated"] == "1"),
			a["dns.a"], a["dns.aaaa"], a["dns.cname"]}
		if len(q.Answers) == maxAnswers {
			w[4], w[5] = g[4], g[5]
		}
		if !slices.Equal(g, w) {
			t.Errorf("%s: got %q, tshark has %q", q.Name, g, w)
		}
	}
	if whole && (len(got) != queries || answers != 0) {
		t.Errorf("%d queries, tshark has %d; %d answers are not ours", len(got), queries, answers)
	}
}

// sameAll compares a file, of which the packets may have been cut.
func sameAll(t *testing.T, file string, whole bool, total *totals) {
	t.Helper()
	peer, ours := tshark(t, file), scan(t, file)
	sameTCP(t, peer, ours.Flows, whole, total)
	sameDNS(t, peer, ours.DNS, whole, total)
	sameErrors(t, peer, ours.Flows, total)
}

// totals says how much there was to compare.
type totals struct {
	sync.Mutex
	n map[string]int64
}

func (s *totals) add(name string, n int64) {
	s.Lock()
	defer s.Unlock()
	s.n[name] += n
}

func (s *totals) check(t *testing.T, more ...string) {
	t.Logf("compared: %v", s.n)
	for _, f := range append(more, counted...) {
		if f = strings.TrimPrefix(f, "tcp.analysis."); s.n[f] == 0 {
			t.Errorf("nothing to compare: no %s", f)
		}
	}
}

// TestSameAsTshark captures real traffic at both ends of links of several
// kinds, and compares every connection, query and error with tshark.
func TestSameAsTshark(t *testing.T) {
	t.Parallel()
	total := &totals{n: map[string]int64{}}
	var running sync.WaitGroup
	var stops [][2]func() string
	for i, w := range []*wire{
		nil,
		{delay: 5 * time.Millisecond, jitter: 2 * time.Millisecond, loss: 0.03, seed: 1},
		{delay: 10 * time.Millisecond, overtake: 0.1, double: 0.02, seed: 2},
		{delay: 2 * time.Millisecond, jitter: 6 * time.Millisecond, loss: 0.05, double: 0.01, seed: 3},
	} {
		l := newLab(t, 2, w)
		snap := []string{"-s", "0", "--nano"}
		if i == 3 {
			snap = []string{"-s", "100"}
		}
		stops = append(stops, [2]func() string{l.capture(0, "east", snap...), l.capture(1, "west", snap...)})
		host := "10.77.0.2"
		if i == 2 {
			host = "[fd77:0::2]"
		}
		running.Go(traffic{l, 1, host}.all)
	}
	running.Wait()
	for i, pair := range stops {
		for _, stop := range pair {
			file := stop()
			t.Run(fmt.Sprintf("%d/%s", i, filepath.Base(file)), func(t *testing.T) {
				sameAll(t, file, i != 3, total)
			})
		}
	}
	total.check(t, "dns.answer", "dns.retry", "icmp")
}
