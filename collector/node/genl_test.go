//go:build linux

package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// This kernel has no IPVS: what follows is made by hand from the layout of
// ip_vs.h, not by a kernel.
func TestIPVSByLayoutOfItsHeader(t *testing.T) {
	d := newIPVSDecoder()
	addr4 := join([]byte{10, 96, 0, 1}, make([]byte, 12))
	stats := attr(12, join(attr(1, []byte{5, 0, 0, 0, 0, 0, 0, 0}), attr(2, []byte{9, 0, 0, 0, 0, 0, 0, 0}), attr(4, []byte{0, 1, 0, 0, 0, 0, 0, 0})))
	svc := join(attr(1, []byte{2, 0}), attr(2, []byte{6, 0}), attr(3, addr4), attr(4, []byte{1, 187}), attrText(6, "rr"), attr(7, []byte{3, 0, 0, 0, 255, 255, 255, 255}), attr(8, []byte{44, 1, 0, 0}), stats)
	row, key := d.serviceRow(genlRequest(1, attr(1, svc)))
	if b, _ := json.Marshal(row); string(b) != `{"addr":"10.96.0.1","af":2,"flags":["persistent","hashed"],"kind":"service","persistSec":300,"port":443,"protocol":"tcp","scheduler":"rr","stats":{"conns":5,"inBytes":256,"inPackets":9}}` {
		t.Errorf("%s", b)
	}
	if want := attr(1|1<<15, join(attr(1, []byte{2, 0}), attr(2, []byte{6, 0}), attr(3, addr4), attr(4, []byte{1, 187}))); !slices.Equal(key, want) {
		t.Errorf("asks for the servers of %v, want %v", key, want)
	}
	dest := join(attr(1, join([]byte{10, 244, 1, 5}, make([]byte, 12))), attr(2, []byte{31, 144}), attr(3, []byte{0, 0, 0, 0}), attr(4, []byte{1, 0, 0, 0}), attr(7, []byte{3, 0, 0, 0}), attr(8, []byte{4, 0, 0, 0}))
	if b, _ := json.Marshal(d.destRow(genlRequest(5, attr(2, dest)), row)); string(b) !=
		`{"active":3,"addr":"10.244.1.5","inactive":4,"kind":"real","method":"masquerade","port":8080,"protocol":"tcp","serviceAddr":"10.96.0.1","servicePort":443,"weight":1}` {
		t.Errorf("%s", b)
	}
}

// This kernel has no WireGuard: made by hand from the layout of wireguard.h.
func TestWireGuardByLayoutOfItsHeaderHasNoSecretKeys(t *testing.T) {
	key := func(c byte) []byte { return []byte(strings.Repeat(string(c), 32)) }
	peer := join(attr(1, key('P')), attr(2, key('S')), attr(4, join([]byte{2, 0, 200, 122, 192, 0, 2, 1}, make([]byte, 8))), attr(5, []byte{25, 0}),
		attr(6, join([]byte{0, 0x94, 0x35, 0x77}, make([]byte, 12))), attr(7, []byte{1, 1, 0, 0, 0, 0, 0, 0}), attr(9, attr(0, join(attr(1, []byte{2, 0}), attr(2, []byte{10, 0, 0, 0}), attr(3, []byte{8})))))
	body := genlRequest(0, join(attr(1, []byte{7, 0, 0, 0}), attrText(2, "wg0"), attr(3, key('S')), attr(4, key('D')), attr(6, []byte{200, 122}), attr(8, attr(0, peer))))
	var got []string
	err := wireguardRows(wireguardSchema(), body, func(o object) error {
		b, _ := json.Marshal(o)
		got = append(got, string(b))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	compare(t, "wireguard", []string{`{"dev":"wg0","index":7,"kind":"device","listenPort":31432,"publicKey":"` + b64('D') + `"}`,
		`{"allowedIPs":["10.0.0.0/8"],"dev":"wg0","endpoint":"192.0.2.1:51322","keepaliveSec":25,"kind":"peer","lastHandshake":"2033-05-18T03:33:20Z","publicKey":"` + b64('P') + `","rxBytes":257}`}, got)
	if strings.Contains(strings.Join(got, ""), b64('S')[:20]) {
		t.Error("a secret key")
	}
}

func b64(c byte) string { return publicKey([]byte(strings.Repeat(string(c), 32))).(string) }

func TestFamilyThatIsNotThere(t *testing.T) {
	needRoot(t)
	d := newDump(context.Background(), unix.NETLINK_GENERIC)
	if id, err := genlFamily(d, "nlctrl"); err != nil || id != genlControl {
		t.Errorf("nlctrl is %d, %v", id, err)
	}
	if _, err := genlFamily(d, "casefile-none"); !errors.Is(err, collector.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func FuzzGenl(f *testing.F) {
	f.Add(genlRequest(1, attr(1, join(attr(1, []byte{2, 0}), attr(3, make([]byte, 16))))))
	f.Add(genlRequest(0, join(attr(6, []byte{1, 2}), attr(8, attr(0, join(attr(1, make([]byte, 32)), attr(4, make([]byte, 16)), attr(6, make([]byte, 16))))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newIPVSDecoder()
		row, _ := d.serviceRow(b)
		for _, o := range []object{row, d.destRow(b, row)} {
			if _, err := json.Marshal(o); err != nil {
				t.Error(err)
			}
		}
		_ = familyID(b)
		if err := wireguardRows(wireguardSchema(), b, func(o object) error {
			_, err := json.Marshal(o)
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}
