package filter

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

var update = flag.Bool("update", false, "write testdata/tcpdump.txt anew from the tcpdump that is installed")

// expressions that tcpdump must agree on, one a line; see TestEqualsTcpdump.
const expressionsFile = "testdata/expressions.txt"

// oracleFile holds what `tcpdump -ddd` 1.10.3 made of them: a line
// "link expression", then its program, in tcpdump's own format.
const oracleFile = "testdata/tcpdump.txt"

func expressions(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(expressionsFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

func linkName(l Link) string { return map[Link]string{Ethernet: "EN10MB", RawIP: "RAW"}[l] }

// tcpdump returns the program of the real tcpdump, or its complaint.
func tcpdump(l Link, expr string) (string, error) {
	var out, stderr bytes.Buffer
	cmd := exec.Command("tcpdump", "-y", linkName(l), "-ddd", "--", expr)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		if strings.Contains(stderr.String(), "expression rejects all packets") {
			return "1\n6 0 0 0\n", nil
		}
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out.String(), nil
}

func needTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("tcpdump is not installed")
		}
		t.Skip("tcpdump is not installed")
	}
}

func parseDDD(t testing.TB, text string) []bpf.RawInstruction {
	t.Helper()
	s := bufio.NewScanner(strings.NewReader(text))
	s.Scan()
	var out []bpf.RawInstruction
	for s.Scan() {
		var r bpf.RawInstruction
		if _, err := fmt.Sscan(s.Text(), &r.Op, &r.Jt, &r.Jf, &r.K); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		out = append(out, r)
	}
	return out
}

func machine(t testing.TB, raw []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	ins, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program does not disassemble")
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// agree runs both programs over all packets and demands equal verdicts.
func agree(t *testing.T, l Link, expr string, want []bpf.RawInstruction, pkts [][]byte) (accepted int) {
	t.Helper()
	got, err := Compile(expr, l, 0)
	if err != nil {
		t.Errorf("%s %q: %v", linkName(l), expr, err)
		return 0
	}
	a, b := machine(t, got), machine(t, want)
	for i, p := range pkts {
		x, errX := a.Run(p)
		y, errY := b.Run(p)
		if x != y || errX != nil || errY != nil {
			t.Errorf("%s %q: packet %d (%d bytes) %x: ours %d %v, tcpdump %d %v", linkName(l), expr, i, len(p), p, x, errX, y, errY)
			return 0
		}
		if x != 0 {
			accepted++
		}
	}
	return accepted
}

func TestEqualsTcpdump(t *testing.T) {
	if *update {
		writeOracle(t)
	}
	oracle := readOracle(t)
	exprs := expressions(t)
	if len(exprs) < 80 {
		t.Fatalf("only %d expressions", len(exprs))
	}
	for _, l := range []Link{Ethernet, RawIP} {
		pkts := packets(l, 6000, true)
		for _, e := range exprs {
			text, ok := oracle[linkName(l)+" "+e]
			if !ok {
				t.Fatalf("%s %q is not in %s: run the test with -update", linkName(l), e, oracleFile)
			}
			n := agree(t, l, e, parseDDD(t, text), pkts)
			if l == Ethernet && n == 0 {
				t.Errorf("%q: no packet is accepted, so nothing is compared", e)
			}
		}
	}
}

func writeOracle(t *testing.T) {
	var b bytes.Buffer
	for _, l := range []Link{Ethernet, RawIP} {
		for _, e := range expressions(t) {
			text, err := tcpdump(l, e)
			if err != nil {
				t.Fatalf("%s %q: %v", linkName(l), e, err)
			}
			fmt.Fprintf(&b, "%s %s\n%s\n", linkName(l), e, text)
		}
	}
	if err := os.WriteFile(oracleFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readOracle(t *testing.T) map[string]string {
	b, err := os.ReadFile(oracleFile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, block := range strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n\n") {
		head, program, _ := strings.Cut(block, "\n")
		out[head] = program
	}
	return out
}

// TestRandomExpressions asks the installed tcpdump about expressions nobody
// thought of.
func TestRandomExpressions(t *testing.T) {
	needTcpdump(t)
	g := exprGenerator{rand.New(rand.NewPCG(7, 7))}
	pkts := map[Link][][]byte{Ethernet: packets(Ethernet, 2000, false), RawIP: packets(RawIP, 2000, false)}
	for range 250 {
		e := g.expr(3)
		l := Link(g.IntN(2))
		text, err := tcpdump(l, e)
		if err != nil {
			t.Errorf("tcpdump refuses %q: %v", e, err)
			continue
		}
		agree(t, l, e, parseDDD(t, text), pkts[l])
	}
}

type exprGenerator struct{ *rand.Rand }

func (g exprGenerator) expr(depth int) string {
	one := func(of ...string) string { return of[g.IntN(len(of))] }
	if depth > 0 {
		switch g.IntN(5) {
		case 0:
			return g.expr(depth-1) + one(" and ", " or ", " && ", " || ") + g.expr(depth-1)
		case 1:
			return "not (" + g.expr(depth-1) + ")"
		case 2:
			return "(" + g.expr(depth-1) + ")" + one(" and ", " or ", " and not ") + g.expr(depth-1)
		}
	}
	dir := one("", "", "src ", "dst ", "src or dst ", "src and dst ")
	switch g.IntN(7) {
	case 0:
		return one("", "tcp ", "udp ", "sctp ") + dir + "port " + one("53", "80", "443 or 22", "(53 or 80)", "!80")
	case 1:
		return one("", "tcp ", "udp ") + dir + "portrange " + one("1-90", "80-60", "50-60 or 70-80", "8080")
	case 2:
		return one("", "ip ", "arp ", "rarp ") + dir + one("host ", "host ", "net ") + one("10.0.0.1", "10.0.0.1 or 10.0.0.2", "10.1", "10")
	case 3:
		return one("", "ip6 ") + dir + one("net 2001:db8::/32", "host fe80::1", "net fd00:0:1234::/47", "host ::ffff:10.0.0.1 or fe80::2")
	case 4:
		return one("ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "igmp", "esp", "ah", "pim", "sctp", "proto 47", "ip proto 6 or 17", "ip6 proto 44")
	case 5:
		return one("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "ip[8] < 20", "udp[0:2] = 53", "icmp[icmptype] = icmp-echo", "ip6[6] == 44",
			"tcp[((tcp[12] & 0xf0) >> 2):2] > 0x4000", "ip[6:2] & 0x1fff != 0", "ip[2:2] - 40 > len", "icmp6[0] >= 128", "ip[0] & 0xf > 5",
			"ip[2:2] - udp[4:2] > 20", "ip[9] + 2 * tcp[13] > 100", "udp[4:2] + ip[2:2] > 50")
	}
	return one("less 60", "greater 100", "len > 80", "len <= 64")
}
