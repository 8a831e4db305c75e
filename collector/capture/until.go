package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kinds of [Until].
const (
	untilCounter = "counter"
	untilLog     = "log"
	untilSignal  = "signal"
	untilTime    = "time"
	untilPacket  = "packet"
)

// Until is something that ends captures when it happens.
type Until struct {
	text    string
	kind    string
	counter string // as TABLE.NAME
	above   bool   // the value itself, not its growth, must exceed limit
	limit   uint64
	pattern *regexp.Regexp
	at      time.Time
	filter  string
}

// UntilHelp is the language of [ParseUntil], for a help text.
const UntilHelp = `counter TcpExt.ListenDrops +1   a counter of the namespace has grown by that much, or '> N'
   log PATTERN                     a line of the kernel's log, or of the pod's containers (RE2)
   packet FILTER                   a packet is seen, whether the capture's own filter wants it or not
   time 2026-01-31T23:59:00Z       by the clock of the node
   signal                          SIGUSR1 to casefile itself`

// ParseUntil reads a trigger.
func ParseUntil(text string) (Until, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	u := Until{text: text, kind: kind}
	var err error
	switch kind {
	case untilCounter:
		err = u.parseCounter(rest)
	case untilLog:
		if rest == "" {
			return u, fmt.Errorf("%q has no pattern: say log 'RE2 PATTERN'", text)
		}
		if len(rest) > maxPattern {
			return u, fmt.Errorf("a pattern of %d bytes is longer than %d", len(rest), maxPattern)
		}
		u.pattern, err = regexp.Compile(rest)
	case untilSignal:
		if rest != "" {
			err = fmt.Errorf("signal takes no words, not %q", rest)
		}
	case untilTime:
		u.at, err = time.Parse(time.RFC3339, rest)
	case untilPacket:
		if rest == "" {
			return u, fmt.Errorf("%q has no filter: say packet 'tcp[tcpflags] & tcp-rst != 0'", text)
		}
		u.filter, err = rest, Check(rest)
	default:
		err = fmt.Errorf("%q is no trigger: they begin with counter, log, packet, time or signal", text)
	}
	return u, err
}

const maxPattern = 1 << 10

// parseCounter reads "TcpExt.ListenDrops +1" or "TcpExt.ListenDrops > 100".
func (u *Until) parseCounter(s string) error {
	name, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimSpace(rest)
	table, _, ok := strings.Cut(name, ".")
	if !ok || table == "" || counterFile(table) == "" {
		return fmt.Errorf("%q is no counter: say TcpExt.ListenDrops, Tcp.RetransSegs, Udp6.InErrors, softnet.dropped or nf_conntrack.drop", name)
	}
	u.counter = name
	digits, grown := strings.CutPrefix(rest, "+")
	if !grown {
		if digits, u.above = strings.CutPrefix(rest, ">"); !u.above {
			return fmt.Errorf("%q says not by how much: end with +N (growth) or > N (value)", s)
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
	if err != nil || grown && n == 0 {
		return fmt.Errorf("%q is no number of a counter", digits)
	}
	u.limit = n
	return nil
}

// String is the trigger as it was written.
func (u Until) String() string { return u.text }

// table is the first part of a counter's name.
func (u Until) table() string {
	table, _, _ := strings.Cut(u.counter, ".")
	return table
}

// met says whether a counter that was first and is now fires the trigger.
func (u Until) met(first, now uint64) bool {
	if u.above {
		return now > u.limit
	}
	return now >= first && now-first >= u.limit
}

// counterFile is where below proc/net the counters of a table are.
func counterFile(table string) string {
	switch table {
	case "TcpExt", "IpExt", "MPTcpExt":
		return "netstat"
	case "Ip", "Icmp", "IcmpMsg", "Tcp", "Udp", "UdpLite":
		return "snmp"
	case "Ip6", "Icmp6", "Udp6", "UdpLite6":
		return "snmp6"
	case "softnet":
		return "softnet_stat"
	case "nf_conntrack", "arp_cache", "ndisc_cache", "rt_cache":
		return "stat/" + table
	}
	return ""
}

var errNoCounter = errors.New("this kernel has no such counter")

// counterIn finds a counter in the text of its file; per-CPU rows are added up.
func counterIn(name string, text []byte) (uint64, error) {
	table, key, _ := strings.Cut(name, ".")
	switch file := counterFile(table); {
	case file == "snmp6":
		return counterLine(table+key, text)
	case file == "softnet_stat":
		return counterColumn(softnetHeader, key, text)
	case strings.HasPrefix(file, "stat/"):
		header, rows, _ := bytes.Cut(text, []byte("\n"))
		return counterColumn(string(header), key, rows)
	default:
		return counterPair(table+":", key, text)
	}
}

// softnetHeader names the columns of softnet_stat, which has none itself.
const softnetHeader = "processed dropped time_squeeze - - - - - - received_rps flow_limit_count backlog_len"

// counterLine reads lines of name and value.
func counterLine(name string, text []byte) (uint64, error) {
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == name {
			return strconv.ParseUint(string(f[1]), 10, 64)
		}
	}
	return 0, errNoCounter
}

// counterColumn adds up a column of hexadecimal rows; a gauge that all rows
// repeat, entries, is taken once.
func counterColumn(header, key string, rows []byte) (uint64, error) {
	column := -1
	for i, h := range strings.Fields(header) {
		if h == key && h != "-" {
			column = i
		}
	}
	if column < 0 {
		return 0, errNoCounter
	}
	var sum uint64
	for line := range bytes.Lines(rows) {
		f := bytes.Fields(line)
		if column >= len(f) {
			continue
		}
		n, err := strconv.ParseUint(string(f[column]), 16, 64)
		if err != nil {
			return 0, err
		}
		if key == "entries" {
			return n, nil
		}
		sum += n
	}
	return sum, nil
}

// counterPair reads pairs of lines, of names and of values.
func counterPair(prefix, key string, text []byte) (uint64, error) {
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, maxCounters)
	for sc.Scan() {
		names := strings.Fields(sc.Text())
		if len(names) == 0 || names[0] != prefix || !sc.Scan() {
			continue
		}
		values := strings.Fields(sc.Text())
		for i, n := range names {
			if i > 0 && n == key && i < len(values) {
				v, err := strconv.ParseInt(values[i], 10, 64)
				if err != nil {
					return strconv.ParseUint(values[i], 10, 64)
				}
				return uint64(max(v, 0)), nil // Tcp.MaxConn is -1
			}
		}
	}
	return 0, errors.Join(sc.Err(), errNoCounter)
}

const maxCounters = 1 << 20 // bytes of a file of counters; a row for each of many CPUs

// Signal says whether it is the signal that the trigger waits for, which the
// program itself has to listen for.
func (u Until) Signal() bool { return u.kind == untilSignal }
