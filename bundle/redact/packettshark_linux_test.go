package redact

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// TestStrictWire holds the strict redaction of real traffic against tshark:
// conversations of TCP, TLS and DNS over IPv4, IPv6 and VXLAN, errors,
// fragments and neighbour discovery as the kernel makes them, with and without
// checksums left to the network card, and every form of packet of the tests.
func TestStrictWire(t *testing.T) {
	for _, tool := range []string{"tshark", "dumpcap", "ip", "ethtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CASEFILE_STRICT") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	l := newLab(t)
	l.serve(t)
	in := l.record(t, func() {
		l.talk(t)
		for _, ns := range []string{l.near, l.far} {
			if out, err := exec.Command("ip", "netns", "exec", ns, "ethtool", "-K", "pkt0", "tx", "off", "tso", "off", "gso", "off").CombinedOutput(); err != nil {
				t.Logf("ethtool: %v %s", err, out)
			}
		}
		l.talk(t)
		l.send(t, wireForms()...)
	})
	r, err := New(PolicyStrict, Options{Key: pseudonym.Key{1, 2, 3}, Names: []pseudonym.Name{{Kind: "host", Value: "acme"}}})
	if err != nil {
		t.Fatal(err)
	}
	in = twice(t, in) // which is a retransmission to tshark
	out, err := io.ReadAll(r.Reader("captures/n1/wire.pcapng", bytes.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	whole := uncut(t, in, out)
	t.Run("checksums", func(t *testing.T) { compareChecksums(t, in, whole) })
	t.Run("structure", func(t *testing.T) { compareStructure(t, in, whole) })
	standard, err := io.ReadAll(newRedactor(t, PayloadDefault).Reader("captures/n1/wire.pcapng", bytes.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("hierarchy", func(t *testing.T) { compareHierarchy(t, standard, out) })
	t.Run("conversations", func(t *testing.T) { compareConversations(t, standard, out) })
	t.Run("gone", func(t *testing.T) { wireGone(t, out) })
}

// wireForms are the forms of packets for Ethernet, with good checksums and bad
// ones, but for those that tshark takes for others once strict has taken the
// addresses out of their options.
func wireForms() (all [][]byte) {
	changed := []string{"TCP with an address in an option", "source route", "IPv6 routing, not known"}
	for _, f := range packetForms() {
		if f.link != linkEthernet || len(f.frame) < 14 || slices.Contains(changed, f.name) {
			continue
		}
		good := seal(f.link, slices.Clone(f.frame))
		bad := slices.Clone(good)
		for _, s := range sites(f.link, bad) {
			binary.BigEndian.PutUint16(bad[s.at:], binary.BigEndian.Uint16(bad[s.at:])+0x77)
		}
		all = append(all, good, bad)
	}
	return all
}

// rewritePackets makes a capture with other packets.
func rewritePackets(t *testing.T, file []byte, f func(data []byte) [][]byte) (out []byte) {
	t.Helper()
	le := binary.LittleEndian
	for len(file) > 0 {
		size := le.Uint32(file[4:])
		if le.Uint32(file) != blockPacket {
			out = append(out, file[:size]...)
		} else {
			n := le.Uint32(file[20:])
			for _, data := range f(file[28 : 28+n]) {
				b := slices.Clone(file[8:28])
				le.PutUint32(b[12:], uint32(len(data)))
				le.PutUint32(b[16:], max(le.Uint32(b[16:]), uint32(len(data))))
				b = append(append(b, data...), make([]byte, (4-len(data)%4)%4)...)
				out = appendBlock(out, blockPacket, b)
			}
		}
		file = file[size:]
	}
	return out
}

func packetsOf(t *testing.T, file []byte) (all [][]byte) {
	rewritePackets(t, file, func(data []byte) [][]byte {
		all = append(all, data)
		return nil
	})
	return all
}

// uncut puts back what was cut from packets, so that tshark can add up their
// checksums. Those that strict gave another length are whole.
func uncut(t *testing.T, before, after []byte) []byte {
	t.Helper()
	old, i := packetsOf(t, before), 0
	return rewritePackets(t, after, func(data []byte) [][]byte {
		was := old[i]
		i++
		if resized := bytes.Contains(data, []byte("host-")) && bytes.Contains(was, []byte("acme")); resized || len(data) >= len(was) {
			return [][]byte{data}
		}
		return [][]byte{join(data, was[len(data):])}
	})
}

// twice has every packet in it twice.
func twice(t *testing.T, file []byte) []byte {
	return rewritePackets(t, file, func(data []byte) [][]byte { return [][]byte{data, data} })
}

func tshark(t *testing.T, file []byte, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return out
}

func fields(t *testing.T, file []byte, names ...string) []string {
	args := []string{"-T", "fields"}
	for _, n := range names {
		args = append(args, "-e", n)
	}
	return strings.Split(strings.TrimSuffix(string(tshark(t, file, args...)), "\n"), "\n")
}

func compareChecksums(t *testing.T, before, after []byte) {
	status := []string{"frame.number", "frame.protocols", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status", "igmp.checksum.status", "gre.checksum.status"}
	was, is := fields(t, before, status...), fields(t, after, status...)
	all := strings.Join(was, "\n")
	for _, want := range []string{"vxlan", "gre", "geneve", "vlan", "arp", "icmpv6", "icmp", "tls", "dns", "data"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in the capture, which is to have it", want)
		}
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("checksums before and after:\n%s", diff)
	}
	t.Logf("%d packets", len(was))
}

func compareStructure(t *testing.T, before, after []byte) {
	names := []string{"frame.number", "frame.time_epoch", "tcp.stream", "udp.stream", "tcp.seq", "tcp.ack", "tcp.len", "tcp.window_size", "tcp.analysis.flags", "tcp.analysis.retransmission",
		"tcp.analysis.duplicate_ack", "tcp.analysis.out_of_order", "ip.id", "ip.ttl", "ip.flags", "ip.frag_offset", "ipv6.hlim", "icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code",
		"vxlan.vni", "vlan.id", "arp.opcode", "dns.id", "dns.flags", "dns.qry.type", "dns.resp.type", "dns.count.answers", "tcp.reassembled_in", "ip.reassembled_in", "ipv6.reassembled.in"}
	was := fields(t, before, names...)
	if diff := cmp.Diff(was, fields(t, after, names...)); diff != "" {
		t.Errorf("structure before and after:\n%s", diff)
	}
}

// compareHierarchy: of every packet the protocols are those of the standard
// policy, up to where strict cuts.
func compareHierarchy(t *testing.T, before, after []byte) {
	was, is := fields(t, before, "frame.protocols"), fields(t, after, "frame.protocols", "_ws.malformed")
	if len(was) != len(is) {
		t.Fatalf("%d packets became %d", len(was), len(is))
	}
	cut := map[string]int{}
	for i := range was {
		now, malformed, _ := strings.Cut(is[i], "\t")
		rest, ok := strings.CutPrefix(was[i], now)
		if !ok || malformed != "" {
			t.Errorf("packet %d was %s and is %s, malformed %q", i+1, was[i], now, malformed)
		}
		if rest != "" {
			cut[rest]++
		}
	}
	t.Logf("cut: %v", cut)
}

func compareConversations(t *testing.T, before, after []byte) {
	kinds := []string{"eth", "ip", "ipv6", "tcp", "udp"}
	count := func(file []byte) (all []int) {
		args := []string{"-q"}
		for _, k := range kinds {
			args = append(args, "-z", "conv,"+k)
		}
		for part := range bytes.SplitSeq(tshark(t, file, args...), []byte("Conversations")) {
			all = append(all, bytes.Count(part, []byte("<->")))
		}
		return all
	}
	was, is := count(before), count(after)
	if len(was) != len(kinds)+1 || slices.Contains(was[1:], 0) {
		t.Fatalf("conversations %v", was)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("conversations before and after:\n%s", diff)
	}
}

// wireGone looks for every address and name of the lab, in what tshark makes of
// a capture and in its bytes.
func wireGone(t *testing.T, file []byte) {
	all := bytes.ToLower(tshark(t, file, "-V", "-x"))
	for _, name := range []string{"acme", "vault", "node7", "cdn9", "00:16:3e", "00163e"} {
		if bytes.Contains(all, []byte(name)) || bytes.Contains(bytes.ToLower(file), []byte(name)) {
			t.Errorf("%s survives", name)
		}
	}
	raw := plantedAddresses()
	for _, a := range []string{near4, far4, near6, far6, vxNear4, vxFar4} {
		if bytes.Contains(all, []byte(a)) {
			t.Errorf("%s survives in the text", a)
		}
		raw = append(raw, string(netip.MustParseAddr(a).AsSlice()))
	}
	for _, a := range raw {
		backwards := []byte(a)
		slices.Reverse(backwards)
		if bytes.Contains(file, []byte(a)) || bytes.Contains(file, backwards) {
			t.Errorf("%s survives", hex.EncodeToString([]byte(a)))
		}
	}
}
