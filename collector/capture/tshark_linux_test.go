package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tshark reads a file with Wireshark's own eyes.
func tshark(t *testing.T, file string, args ...string) []string {
	t.Helper()
	out, err := exec.Command("tshark", append([]string{"-r", file}, args...)...).Output()
	if err != nil {
		t.Fatalf("tshark %v: %v", args, err)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

// taggedUDP is a frame with the given tags, each a protocol and an id.
func taggedUDP(tags ...uint16) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1)
	for ; len(tags) > 1; tags = tags[2:] {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tags[0]), tags[1])
	}
	b = append(b, 8, 0, 0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0, 10, 79, 0, 1, 10, 79, 0, 2)
	return append(b, 0x14, 0xb4, 0x14, 0xb4, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
}

// TestTsharkReads lets tshark and capinfos say what a real capture holds:
// frames with VLAN tags, one in another, names, directions, times, comments,
// descriptions and counters.
func TestTsharkReads(t *testing.T) {
	needTool(t, "tshark", "capinfos")
	l := newLab(t)
	s := l.spec(t)
	s.App, s.Where, s.Description, s.Snaplen = "casefile 1.2.3", "node-1", "pod shop/web-0", 0
	s.names = map[string]string{"10.79.0.1": "shop/client", "10.79.0.2": "service/shop/web"}
	name := filepath.Join(t.TempDir(), "x.pcapng")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := time.Now().Add(-time.Millisecond)
	during(t, s, f, func() {
		sendFrames(t, l.near, "cfv0", taggedUDP(0x88a8, 100, 0x8100, 7), taggedUDP(0x8100, 7), taggedUDP())
	})

	got := tshark(t, name, "-N", "n", "-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "frame.packet_flags_direction",
		"-e", "ieee8021ad.id", "-e", "vlan.id", "-e", "ip.src_host", "-e", "ip.dst_host", "-e", "frame.interface_description", "-e", "frame.len", "-Y", "udp and not icmp")
	want := []string{
		"eth0|0x00000001|100|7|shop/client|service/shop/web|pod shop/web-0|58",
		"eth0|0x00000001||7|shop/client|service/shop/web|pod shop/web-0|54",
		"eth0|0x00000001|||shop/client|service/shop/web|pod shop/web-0|50",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("tshark reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, at := range tshark(t, name, "-T", "fields", "-e", "frame.time_epoch") {
		var sec, nanos int64
		if n, _ := fmt.Sscanf(at, "%d.%9d", &sec, &nanos); n != 2 || time.Unix(sec, nanos).Before(before) || time.Unix(sec, nanos).After(time.Now()) {
			t.Errorf("a packet of %s", at)
		}
	}
	out, err := exec.Command("capinfos", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Capture application: casefile 1.2.3", "Capture comment:     captured on node-1", "Time precision = nanoseconds (9)", "Number of stat entries = 1", "Strict time order:   True"} {
		if !strings.Contains(string(out), text) {
			t.Errorf("capinfos does not say %q:\n%s", text, out)
		}
	}
}
