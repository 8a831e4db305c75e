package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const (
	uid  = "2e9da5a6-dfbc-46a8-85d5-ebdc1705a4ea"
	uidU = "2e9da5a6_dfbc_46a8_85d5_ebdc1705a4ea"
	hash = "88d7cd33ba6b8c5bfc06802fd16f01b1" // a static pod's
	id   = "3d485039d521a0206150939d64eef3693a46f51278f82592bf795eea59ae8c6c"
	id2  = "7685f1dfc183340eb8fa334ffd2522ea9ba7c389067cdb1cbff7e169595bf1cd"
)

func TestCgroupPath(t *testing.T) {
	for _, c := range []struct{ path, uid, id string }{
		{"/", "", ""},
		{"/kubepods/burstable/pod" + uid + "/" + id, uid, id},
		{"/kubepods/pod" + uid, uid, ""},
		{"/kubepods/besteffort/pod" + hash + "/" + id, hash, id},
		{"/../../kubepods/pod" + uid + "/" + id, uid, id},
		{"/rc/n1/kubepods/pod" + uid + "/" + id, uid, id},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidU + ".slice/cri-containerd-" + id + ".scope", uid, id},
		{"/kubepods.slice/kubepods-pod" + uidU + ".slice/crio-" + id + ".scope", uid, id},
		{"/kubepods.slice/kubepods-pod" + uidU + ".slice/crio-conmon-" + id + ".scope", uid, ""},
		{"/kubepods.slice/kubepods-pod" + uidU + ".slice/crio-" + id + ".scope/container", uid, id},
		{"/system.slice/containerd.service/kubepods-burstable-pod" + uidU + ".slice:cri-containerd:" + id, uid, id},
		{"/docker/" + id + "/kubelet.slice/kubelet-kubepods-pod" + uidU + ".slice/cri-containerd-" + id2 + ".scope", uid, id2},
		{"/docker/" + id + "/kubelet.slice/kubelet-kubepods-pod" + uidU + ".slice", uid, ""},
		{"/docker/" + id, "", id},
		{"/system.slice/docker-" + id + ".scope", "", id},
		{"/system.slice/podman.service", "", ""},
		{"/kubepods/pod" + uid[:35], "", ""},
		{"/kubepods/xpod" + uid, "", ""},
		{"/kubepods/pod" + strings.ToUpper(uid), "", ""},
	} {
		u, i := parseCgroupPath(c.path)
		if u != c.uid || i != c.id {
			t.Errorf("%s: %q %q", c.path, u, i)
		}
	}
}

func TestProcCgroup(t *testing.T) {
	v1 := "9:name=systemd:/\n4:memory:/kubepods/pod" + uid + "/" + id + "\n0::/\n"
	if u, i := parseProcCgroup([]byte(v1)); u != uid || i != id {
		t.Errorf("%q %q", u, i)
	}
	// A process moved by hand out of one hierarchy still has the others.
	mixed := "2:cpu:/kubepods/pod" + uid + "\n1:pids:/other:" + id + "\nbroken\n"
	if u, i := parseProcCgroup([]byte(mixed)); u != uid || i != id {
		t.Errorf("%q %q", u, i)
	}
}

func TestCgroupMounts(t *testing.T) {
	text := `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:1 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /../x /sys/fs/with\040space rw - cgroup2 cgroup2 rw
short - cgroup x
`
	want := []cgroupMount{
		{root: "/", point: "/sys/fs/cgroup/cpu,cpuacct", version: 1, controllers: []string{"rw", "cpu", "cpuacct"}},
		{root: "/../x", point: "/sys/fs/with space", version: 2},
	}
	if diff := cmp.Diff(want, parseCgroupMounts([]byte(text)), cmp.AllowUnexported(cgroupMount{})); diff != "" {
		t.Error(diff)
	}
}

func TestCgroupNumbers(t *testing.T) {
	stat := []byte("nr_periods 16\nnr_throttled 3\nthrottled_time 1320000000\nnr_throttled_more 9\n")
	if n := statValue(stat, "nr_throttled"); n != 3 {
		t.Error(n)
	}
	if n := statValue(stat, "absent"); n != 0 {
		t.Error(n)
	}
	for text, want := range map[string]int64{"max\n": 0, "-1\n": 0, "9223372036854771712\n": 0, "5000\n": 5000, "": 0, "x": 0} {
		if n := parseLimit([]byte(text)); n != want {
			t.Errorf("%q: %d", text, n)
		}
	}
	if q, p := parseCPUMax([]byte("50000 100000\n")); q != 50000 || p != 100000 {
		t.Error(q, p)
	}
	if q, p := parseCPUMax([]byte("max 100000\n")); q != 0 || p != 100000 {
		t.Error(q, p)
	}
}

func TestKmsg(t *testing.T) {
	row, err := parseKmsg([]byte("30,1234,5678901,-,caller=T1;nf_conntrack: table full; dropping\n SUBSYSTEM=net\n"))
	want := kmsgRow{Seq: 1234, Priority: 6, Facility: 3, MonotonicUsec: 5678901, Text: "nf_conntrack: table full; dropping"}
	if diff := cmp.Diff(want, row); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "a,1,2;x", "1,2;x", "1,2,-3,-;x", "6,1,2,-"} {
		if _, err := parseKmsg([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestStat(t *testing.T) {
	row, err := parseStat([]byte("42 (a) (b c) S 7 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 9 0 100 1000000 250 18446744073709551615"), 4)
	want := processRow{PID: 42, PPID: 7, Comm: "a) (b c", State: "S", Started: 1, UserUsec: 10000, SystemUsec: 20000, Threads: 9, RSSKB: 1000}
	if diff := cmp.Diff(want, row); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "42 a S", "42 (a) S 1", "x (a) S 7 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 9 0 100 1000000 250 1"} {
		if _, err := parseStat([]byte(bad), 4); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestLinks(t *testing.T) {
	if n := parseNsLink("net:[4026531840]"); n != 4026531840 {
		t.Error(n)
	}
	if n := parseNsLink("mnt:[1]"); n != 0 {
		t.Error(n)
	}
	if n, ok := parseSocketLink([]byte("socket:[77]")); !ok || n != 77 {
		t.Error(n, ok)
	}
	for _, s := range []string{"/dev/null", "socket:[x]", "socket:[99999999999]", "pipe:[1]"} {
		if _, ok := parseSocketLink([]byte(s)); ok {
			t.Errorf("%q was taken", s)
		}
	}
}

// diagMessage builds a datagram as the kernel would send it.
func diagMessage(typ, flags uint16, body []byte) []byte {
	b := make([]byte, nlmsgHeader, nlmsgHeader+len(body)+4)
	binary.NativeEndian.PutUint32(b, uint32(nlmsgHeader+len(body)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], flags)
	b = append(b, body...)
	return append(b, make([]byte, align4(len(body))-len(body))...)
}

func diagBody(family, state uint8, info []byte) []byte {
	b := make([]byte, diagLen)
	b[0], b[1] = family, state
	binary.BigEndian.PutUint16(b[4:], 7000)
	binary.BigEndian.PutUint16(b[6:], 40000)
	copy(b[8:], []byte{10, 9, 9, 1})
	copy(b[24:], []byte{10, 9, 9, 2})
	binary.NativeEndian.PutUint32(b[56:], 3)
	binary.NativeEndian.PutUint32(b[60:], 128)
	binary.NativeEndian.PutUint32(b[68:], 4711)
	if info != nil {
		a := make([]byte, 4, 4+len(info))
		binary.NativeEndian.PutUint16(a, uint16(4+len(info)))
		binary.NativeEndian.PutUint16(a[2:], diagInfo)
		b = append(b, append(a, info...)...)
	}
	return b
}

func eachSocket(raw []byte, proto uint8, fn func(*socketRow)) (done, interrupted bool, err error) {
	p := newInetParser(proto)
	return eachMessage(raw, func(m nlmsg) error {
		row, err := p.parse(m.body)
		if err == nil {
			fn(row)
		}
		return err
	})
}

func TestDiagDatagram(t *testing.T) {
	info := make([]byte, 104) // an old kernel's: total_retrans is its last field
	info[2] = 2
	for at, v := range map[int]uint32{16: 1448, 24: 5, 32: 1, 52: 77, 60: 1500, 68: 330, 80: 10, 100: 9} {
		binary.NativeEndian.PutUint32(info[at:], v)
	}
	mapped := diagBody(familyINET6, 1, info[:60])
	copy(mapped[8:], append(make([]byte, 10), 0xff, 0xff, 10, 9, 9, 1))
	copy(mapped[24:], make([]byte, 16))
	raw := diagMessage(20, 0, diagBody(familyINET, 1, info))
	raw = append(raw, diagMessage(20, nlmFDumpIntr, diagBody(familyINET, tcpListen, info))...)
	raw = append(raw, diagMessage(20, 0, mapped)...)
	raw = append(raw, diagMessage(nlmsgDone, 0, make([]byte, 4))...)
	var rows []socketRow
	done, intr, err := eachSocket(raw, protoTCP, func(r *socketRow) { rows = append(rows, *r) })
	if !done || !intr || err != nil {
		t.Fatal(done, intr, err)
	}
	base := socketRow{Family: "inet", Proto: "tcp", State: "ESTAB", Src: netip.MustParseAddr("10.9.9.1"), Sport: 7000, Dst: netip.MustParseAddr("10.9.9.2"), Dport: 40000, Rqueue: 3, Wqueue: 128, Inode: 4711}
	estab, listen, six := base, base, base
	estab.Retransmits, estab.TotalRetrans, estab.Lost, estab.Unacked, estab.Cwnd, estab.RTTUsec, estab.SndMSS, estab.PMTU, estab.LastDataRecv = 2, 9, 1, 5, 10, 330, 1448, 1500, 77
	listen.State = "LISTEN"
	six.Family, six.Dst, six.Retransmits, six.SndMSS, six.Unacked, six.Lost, six.LastDataRecv = "inet6", netip.IPv6Unspecified(), 2, 1448, 5, 1, 77
	if want := []socketRow{estab, listen, six}; !slices.Equal(rows, want) {
		t.Errorf("got\n%+v, want\n%+v", rows, want)
	}
}

func TestDiagErrors(t *testing.T) {
	none := func(*socketRow) {}
	code := make([]byte, 4)
	var minusTwo int32 = -2
	binary.NativeEndian.PutUint32(code, uint32(minusTwo))
	if _, _, err := eachSocket(diagMessage(nlmsgError, 0, code), protoTCP, none); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	for name, raw := range map[string][]byte{
		"short":      {1, 2, 3},
		"length":     append([]byte{200, 0, 0, 0}, make([]byte, 12)...),
		"small body": diagMessage(20, 0, make([]byte, diagLen-1)),
		"family":     diagMessage(20, 0, diagBody(7, 1, nil)),
		"attribute":  diagMessage(20, 0, append(diagBody(familyINET, 1, nil), 3, 0, 2, 0)),
	} {
		if _, _, err := eachSocket(raw, protoTCP, none); !errors.Is(err, errNetlink) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDiagDatagram(f *testing.F) {
	f.Add(diagMessage(20, 0, diagBody(familyINET, 1, make([]byte, 104))), uint8(protoTCP))
	f.Add(diagMessage(20, 0, diagBody(familyINET6, 10, nil)), uint8(protoUDP))
	f.Add(diagMessage(nlmsgDone, nlmFDumpIntr, make([]byte, 4)), uint8(protoTCP))
	f.Fuzz(func(t *testing.T, raw []byte, proto uint8) {
		n := 0
		_, _, _ = eachSocket(raw, proto, func(r *socketRow) {
			n++
			if !r.Src.IsValid() || r.State == "" || !json.Valid(r.appendJSON(nil)) {
				t.Fatalf("%+v", r)
			}
		})
		if n > len(raw)/diagLen {
			t.Fatalf("%d sockets in %d bytes", n, len(raw))
		}
	})
}

func FuzzCgroupPath(f *testing.F) {
	f.Add("/kubepods.slice/kubepods-burstable-pod" + uidU + ".slice/cri-containerd-" + id + ".scope")
	f.Add("/docker/" + id + "/kubepods/pod" + hash)
	f.Fuzz(func(t *testing.T, path string) {
		u, i := parseCgroupPath(path)
		if u != "" && len(u) != 32 && len(u) != 36 || i != "" && len(i) != 64 {
			t.Fatalf("%q %q", u, i)
		}
		if !isHex(strings.ReplaceAll(u+i, "-", "")) {
			t.Fatalf("%q %q", u, i)
		}
		parseProcCgroup([]byte(path))
		parseCgroupMounts([]byte(path))
	})
}

func FuzzKmsg(f *testing.F) {
	f.Add([]byte("6,1,2,-;hello\n SUBSYSTEM=x\n"))
	f.Add([]byte("4095,18446744073709551615,9223372036854775807,c;\xff\xfe"))
	f.Fuzz(func(t *testing.T, rec []byte) {
		row, err := parseKmsg(rec)
		if err == nil && (!utf8.ValidString(row.Text) || strings.Contains(row.Text, "\n") || row.Priority > 7 || row.MonotonicUsec < 0) {
			t.Fatalf("%+v", row)
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (a) (b c) S 7 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 9 0 100 1000000 250 1"), "nr_periods")
	f.Add([]byte("nr_periods 16\nnr_throttled max\n"), "nr_throttled")
	f.Add([]byte("max 100000"), "")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		if row, err := parseStat(text, 4); err == nil && !utf8.ValidString(row.Comm) {
			t.Fatalf("%+v", row)
		}
		q, p := parseCPUMax(text)
		if n := statValue(text, key); n < 0 || q < 0 || p < 0 || n > 0 && !bytes.Contains(text, []byte(key)) {
			t.Fatal(n, q, p)
		}
	})
}
