//go:build linux

package node

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ethtoolPairs reads "name: value" lines of ethtool.
func ethtoolPairs(t *testing.T, ns, flag, dev string) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	for line := range strings.Lines(sh(t, fmt.Sprintf("ip netns exec %s ethtool %s %s 2>&1 || true", ns, flag, dev))) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			if _, twice := pairs[name]; !twice {
				pairs[name] = strings.TrimSpace(value)
			}
		}
	}
	return pairs
}

func TestEthtoolAgainstTool(t *testing.T) {
	ns, pid := oneNamespace(t, "h")
	variousLinks(t, ns)
	sh(t, "ip netns exec "+ns+" ethtool -K v0 tso off")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.tables(t.Context(), Netns{}, "", false) })
	allOK(t, results)
	seen := 0
	for _, r := range rows[ethtoolRow](t, sink, "ethtool.ndjson") {
		i := ethtoolPairs(t, ns, "-i", r.Dev)
		if i["driver"] != r.Driver || i["version"] != r.Version || i["firmware-version"] != r.Firmware || i["bus-info"] != r.Bus || r.Driver == "" {
			t.Errorf("%s is driven by %q %q, the tool says %v", r.Dev, r.Driver, r.Version, i)
		}
		checkFeatures(t, ns, r)
		if s := ethtoolPairs(t, ns, "-S", r.Dev); r.Driver == "veth" {
			delete(s, "NIC statistics")
			if seen++; len(s) == 0 || len(s) != len(r.Stats) {
				t.Errorf("%s has %d statistics, the tool %d", r.Dev, len(r.Stats), len(s))
			}
			for name, v := range s {
				if n, ok := r.Stats[name]; !ok || strings.HasPrefix(name, "peer_ifindex") && strconv.FormatUint(n, 10) != v {
					t.Errorf("%s of %s is %d, the tool says %s", name, r.Dev, n, v)
				}
			}
			if s := ethtoolPairs(t, ns, "", r.Dev); s["Speed"] != fmt.Sprintf("%vMb/s", r.Settings["speedMbps"]) || !strings.EqualFold(s["Duplex"], textOf(r.Settings, "duplex")) || (s["Link detected"] == "yes") != *r.Link {
				t.Errorf("%s: %v, link %v; the tool says %v", r.Dev, r.Settings, *r.Link, s)
			}
			if l := ethtoolPairs(t, ns, "-l", r.Dev); l["RX"] != fmt.Sprint(r.Channels["rxMax"]) {
				t.Errorf("%s: channels %v, the tool says %v", r.Dev, r.Channels, l)
			}
			if r.Errors["rings"] == "" {
				t.Errorf("a veth has no rings: %+v", r)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d veths", seen)
	}
}

func checkFeatures(t *testing.T, ns string, r ethtoolRow) {
	t.Helper()
	same := 0
	for name, v := range ethtoolPairs(t, ns, "-k", r.Dev) {
		v = strings.NewReplacer("[fixed]", "fixed", "[requested on]", "wanted on", "[requested off]", "wanted off").Replace(v)
		switch ours, ok := r.Features[name]; {
		case !ok: // the tool sums some up under names of its own
		case ours != v:
			t.Errorf("%s of %s is %q, the tool says %q", name, r.Dev, ours, v)
		default:
			same++
		}
	}
	if same < 20 || r.Dev == "v0" && r.Features["tx-tcp-segmentation"] != "off" {
		t.Errorf("%d features of %s are as the tool says: %v", same, r.Dev, r.Features)
	}
}

func TestClassNet(t *testing.T) {
	needRoot(t)
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Skip("no sysfs")
	}
	sink, _ := inSpace(t, os.Getpid(), func(g *gatherer) { g.tables(t.Context(), Netns{Host: true}, "nodes/n1/0/net/", false) })
	hardware := 0
	for _, e := range entries {
		dev := "/sys/class/net/" + e.Name()
		driver, err := os.Readlink(dev + "/device/driver")
		if err != nil {
			continue
		}
		hardware++
		at := "nodes/n1/0" + dev
		if got := string(sink.files[at+"/device/driver"]); got != driver[strings.LastIndexByte(driver, '/')+1:]+"\n" {
			t.Errorf("driver %q, want %q", got, driver)
		}
		for _, name := range []string{"operstate", "mtu", "carrier_changes", "address", "queues/rx-0/rps_cpus"} {
			if want, err := os.ReadFile(dev + "/" + name); err == nil && string(sink.files[at+"/"+name]) != string(want) {
				t.Errorf("%s of %s is %q, want %q", name, e.Name(), sink.files[at+"/"+name], want)
			}
		}
		for _, name := range []string{"rx_missed_errors", "tx_carrier_errors", "rx_crc_errors"} {
			if _, ok := sink.files[at+"/statistics/"+name]; !ok {
				t.Errorf("%s of %s is missing", name, e.Name())
			}
		}
	}
	if hardware == 0 {
		t.Skip("no device with hardware behind it")
	}
}

// fakeDevice answers with what a driver may say; the fuzzer's bytes.
func fakeDevice(answer []byte) ethtool {
	return func(b []byte) error {
		if len(answer) > 0 && answer[0]&7 == 7 {
			return errors.New("operation not supported")
		}
		if len(b) > 4 {
			n := copy(b[4:], answer)
			answer = slices.Concat(answer[n:], answer[:n])
		}
		return nil
	}
}

func TestEthtoolSettings(t *testing.T) {
	device := func(b []byte) error { // as the kernel does: first the number of words, then all
		if binary.NativeEndian.Uint32(b) != ethLinkSettings {
			return errors.New("not asked")
		}
		if b[15] != 4 {
			b[15] = 0xfc // -4
			return nil
		}
		binary.NativeEndian.PutUint32(b[4:], 25000)
		b[8], b[9], b[11] = 1, 3, 1
		return nil
	}
	got, err := ethtool(device).settings()
	if b, _ := json.Marshal(got); err != nil || string(b) != `{"autoneg":true,"duplex":"full","port":"fibre","speedMbps":25000}` {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzEthtool(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		row := ethtoolRow{}
		fakeDevice(slices.Clone(answer)).read(&row, false)
		if _, err := json.Marshal(row); err != nil {
			t.Error(err)
		}
	})
}
