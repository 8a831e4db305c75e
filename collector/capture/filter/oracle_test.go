package filter

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
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

// form is a kind of program: for a link, and for a file or a live capture.
type form struct {
	link Link
	live bool
}

func forms() []form { return []form{{Ethernet, false}, {RawIP, false}, {Ethernet, true}} }

func (f form) String() string {
	return map[form]string{{Ethernet, false}: "EN10MB", {RawIP, false}: "RAW", {Ethernet, true}: "LIVE", {RawIP, true}: "RAWLIVE"}[f]
}

func (f form) compile(expr string) ([]bpf.RawInstruction, error) {
	if f.live {
		return CompileLive(expr, f.link, 0)
	}
	return Compile(expr, f.link, 0)
}

// tcpdump returns the program of the real tcpdump, or its complaint. What it
// makes for an interface differs from what it makes for a file.
func tcpdump(f form, expr string, options ...string) (string, error) {
	if !f.live && aboutMetadata(expr) {
		return "", errors.New("the option -ddd alone does not tell tcpdump that this is for a file")
	}
	var out, stderr bytes.Buffer
	args := []string{"-y", f.String()}
	if f.live {
		args = []string{"-i", "lo"}
	}
	cmd := exec.Command("tcpdump", slices.Concat(args, options, []string{"-ddd", "--", expr})...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		if strings.Contains(stderr.String(), "expression rejects all packets") {
			return "1\n6 0 0 0\n", nil
		}
		return "", fmt.Errorf("%w: %s", err, stderr.String())
	}
	return out.String(), nil
}

func aboutMetadata(expr string) bool {
	return strings.Contains(expr, "inbound") || strings.Contains(expr, "outbound") || strings.Contains(expr, "ifindex")
}

func needTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("tcpdump is not installed")
		}
		t.Skip("tcpdump is not installed")
	}
	if os.Geteuid() != 0 { // it opens the interface that it makes a program for
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("tcpdump needs root")
		}
		t.Skip("tcpdump needs root")
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
	raw = slices.Clone(raw)
	const negate, times = 0x84, 0x24
	for i, in := range raw {
		if in.Op == negate {
			raw[i] = bpf.RawInstruction{Op: times, K: ^uint32(0)} // the machine knows no negation
		}
	}
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

// agree runs both programs over all packets and demands equal verdicts. Where
// they differ, tcpdump's optimizer may be at fault: it leaves out and reorders
// tests, which tells on packets that end early, and it miscounts the jumps of
// "pppoed and vlan 5". What tcpdump makes without it has the last word.
func agree(t *testing.T, f form, expr string, want []bpf.RawInstruction, pkts [][]byte) (accepted int) {
	t.Helper()
	got, err := f.compile(expr)
	if err != nil {
		t.Errorf("%s %q: %v", f, expr, err)
		return 0
	}
	beside := []metadataValues{{}}
	if f.live {
		beside = []metadataValues{{}, {present: 1, tag: 0x2005, index: 1}, {present: 1, tag: 100, typ: packetOutgoing, index: 2}}
	}
	var plain []bpf.RawInstruction
	for i, m := range beside {
		a, b := machine(t, m.put(t, got)), machine(t, m.put(t, want))
		for j, p := range pkts {
			if len(beside) > 1 && j%len(beside) != i {
				continue
			}
			x, errX := a.Run(p)
			y, errY := b.Run(p)
			if x != y && plain == nil {
				plain = unoptimized(t, f, expr)
			}
			if x != y {
				y, errY = machine(t, m.put(t, plain)).Run(p)
			}
			if x != y || errX != nil || errY != nil {
				t.Errorf("%s %q: ours %d %v, tcpdump %d %v on packet %d (%d bytes) %x, %+v", f, expr, x, errX, y, errY, j, len(p), p, m)
				return 0
			}
			if x != 0 {
				accepted++
			}
		}
	}
	if plain != nil {
		t.Logf("%s %q: tcpdump's optimizer changes the verdict", f, expr)
	}
	return accepted
}

func unoptimized(t *testing.T, f form, expr string) []bpf.RawInstruction {
	t.Helper()
	needTcpdump(t)
	text, err := tcpdump(f, expr, "-O")
	if err != nil {
		t.Fatalf("%s %q: %v", f, expr, err)
	}
	return parseDDD(t, text)
}

// metadataValues are what the kernel knows of a packet. The machine does not:
// loads of it are replaced by what they load.
type metadataValues struct{ present, tag, typ, index, hatype uint32 }

func (m metadataValues) put(t testing.TB, raw []bpf.RawInstruction) []bpf.RawInstruction {
	t.Helper()
	out := slices.Clone(raw)
	values := map[uint32]uint32{0xfffff000 + 4: m.typ, 0xfffff000 + 8: m.index, 0xfffff000 + 28: m.hatype, 0xfffff000 + 44: m.tag, 0xfffff000 + 48: m.present}
	for i, in := range out {
		const loadAbsolute, mode = 0x20, 0xe7
		if v, ok := values[in.K]; ok && in.Op&mode == loadAbsolute {
			out[i] = bpf.RawInstruction{Op: 0, K: v}
		}
	}
	return out
}

func TestEqualsTcpdump(t *testing.T) {
	if *update {
		writeOracle(t)
	}
	oracle := readOracle(t)
	exprs := expressions(t)
	if len(exprs) < 400 {
		t.Fatalf("only %d expressions", len(exprs))
	}
	accepted := map[string]int{}
	for _, f := range forms() {
		pkts := packets(f.link, 9000, true)
		for _, e := range exprs {
			text, ok := oracle[f.String()+" "+e]
			if !ok {
				t.Fatalf("%s %q is not in %s: run the test with -update", f, e, oracleFile)
			}
			if strings.HasPrefix(text, refusal) {
				if _, err := f.compile(e); err == nil {
					t.Errorf("%s %q: tcpdump refuses it: %s", f, e, text)
				}
				continue
			}
			accepted[e] += agree(t, f, e, parseDDD(t, text), pkts)
		}
	}
	for _, e := range exprs {
		if accepted[e] == 0 {
			t.Errorf("%q: no packet is accepted, so nothing is compared", e)
		}
	}
}

// refusal begins the line that stands for the program of an expression that
// tcpdump refuses on a link.
const refusal = "refused: "

func writeOracle(t *testing.T) {
	var b bytes.Buffer
	for _, f := range forms() {
		for _, e := range expressions(t) {
			text, err := tcpdump(f, e)
			if err != nil {
				text = refusal + strings.TrimSpace(err.Error()) + "\n"
			}
			fmt.Fprintf(&b, "%s %s\n%s\n", f, e, text)
		}
	}
	if err := os.WriteFile(oracleFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readOracle(t testing.TB) map[string]string {
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
