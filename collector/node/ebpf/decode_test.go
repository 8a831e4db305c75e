package ebpf

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

const kallsyms = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000100 t udp_queue
ffffffff81000100 t udp_queue.alias
ffffffff81000080 T before
ffffffff81000200 d data
ffffffff81000300 T tcp_v4_rcv
ffffffffc0000000 t module_fn	[mod]
`

func TestSymbols(t *testing.T) {
	names, err := symbols(strings.NewReader(kallsyms), []uint64{0xffffffff81000104, 0xffffffff81000250, 0xffffffff81000300, 0xffffffffc0000010, 0xffffffff81000104, 5})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[uint64]string{0xffffffff81000104: "udp_queue.alias", 0xffffffff81000250: "udp_queue.alias", 0xffffffff81000300: "tcp_v4_rcv", 0xffffffffc0000010: "module_fn", 5: ""} {
		if names[addr] != want {
			t.Errorf("%x: %q, want %q", addr, names[addr], want)
		}
	}
	if names, _ := symbols(strings.NewReader("0000000000000000 T _text\n0000000000000000 T tcp_v4_rcv\n"), []uint64{1}); len(names) != 0 {
		t.Errorf("hidden addresses give %v", names)
	}
}

func TestParseKeys(t *testing.T) {
	n := binary.NativeEndian
	k := make([]byte, flowKeySize)
	n.PutUint32(k, 4026532000)
	n.PutUint16(k[4:], familyINET6)
	k[6], k[7] = 1, directionSent
	n.PutUint16(k[8:], 80)
	binary.BigEndian.PutUint16(k[10:], 40000)
	n.PutUint32(k[12:], 7)
	copy(k[16:], []byte{10: 0xff, 11: 0xff, 12: 10, 13: 0, 14: 0, 15: 1})
	copy(k[32:], []byte{0: 0xfd, 15: 2})
	row, reason, err := parseFlowKey(k)
	want := flowRow{Netns: 4026532000, Direction: "sent", Family: "inet6", State: "ESTAB", Src: "10.0.0.1", Sport: 80, Dst: "fd00::2", Dport: 40000}
	if err != nil || row != want || reason != 7 {
		t.Errorf("%+v %d %v", row, reason, err)
	}
	for _, size := range []int{0, 1, 39, 41, 47, 49} {
		b := make([]byte, size)
		_, errDrop := parseDropKey(b)
		_, _, errFlow := parseFlowKey(b)
		_, errState := parseStateKey(b)
		if errDrop == nil || errFlow == nil || errState == nil {
			t.Errorf("a key of %d bytes is taken", size)
		}
	}
}

func TestNames(t *testing.T) {
	names := map[uint32]string{12: "NETFILTER_DROP"}
	for reason, want := range map[uint32]string{12: "NETFILTER_DROP", 900: "REASON_900", 2<<16 | 7: "SUBSYSTEM_2:7"} {
		if got := reasonName(reason, names); got != want {
			t.Errorf("%d: %s", reason, got)
		}
	}
	if stateName(200) != "STATE-200" || familyName(17) != "family-17" || protocolName(0x88cc) != "0x88cc" {
		t.Error("unknown numbers must stay numbers")
	}
	c := clock{wall: time.Unix(1000, 0), mono: 5e9}
	if got := c.at(3e9); !got.Equal(time.Unix(998, 0)) {
		t.Error(got)
	}
}

func FuzzSymbols(f *testing.F) {
	f.Add(kallsyms, uint64(0xffffffff81000104))
	f.Add("x\n", uint64(0))
	f.Fuzz(func(t *testing.T, text string, addr uint64) {
		names, _ := symbols(strings.NewReader(text), []uint64{addr, addr + 1, addr})
		if len(names) > 2 {
			t.Error(names)
		}
	})
}
