package node

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
)

// Generic netlink: IPVS and WireGuard, by the layouts of
// include/uapi/linux/{genetlink,ip_vs,wireguard}.h.
const (
	genlControl   = 16 // the family that knows the others
	genlGetFamily = 3
	genlHeader    = 4
	ipvsGetSvc    = 4
	ipvsGetDest   = 8
	wgGetDevice   = 0
)

// genlRequest is the header of generic netlink and attributes.
func genlRequest(cmd byte, attrs []byte) []byte {
	return append([]byte{cmd, 1, 0, 0}, attrs...) // all are of version 1
}

// familyID reads the answer of the control family.
func familyID(b []byte) uint16 {
	if len(b) < genlHeader {
		return 0
	}
	n, _ := attributes("id:num", nil).decode(b[genlHeader:])["id"].(uint64)
	return uint16(n)
}

// ipvsDecoder reads services and their real servers.
type ipvsDecoder struct{ service, dest schema }

func newIPVSDecoder() *ipvsDecoder {
	own := readers{
		"raw":    rawValue,
		"stats":  nested(attributes("conns:num inPackets:num outPackets:num inBytes:num outBytes:num connsPerSec:num inPacketsPerSec:num outPacketsPerSec:num inBytesPerSec:num outBytesPerSec:num", nil)),
		"method": func(b []byte) any { return ipvsMethod(b) },
		"flags": func(b []byte) any {
			return bitsOf(hostNumber, "persistent hashed onepacket sched1 sched2 sched3")(b[:min(4, len(b))])
		},
	}
	return &ipvsDecoder{
		service: attributes("af:num protocol:num addr:raw port:be fwmark:num scheduler:text flags:flags persistSec:num netmask:raw stats:stats - stats:stats", own),
		dest:    attributes("addr:raw port:be method:method weight:num upperThreshold:num lowerThreshold:num active:num inactive:num persistent:num stats:stats af:num stats:stats", own),
	}
}

func ipvsMethod(b []byte) any {
	n, _ := hostNumber(b).(uint64)
	return nameAt(byte(n&7), "masquerade", "local", "tunnel", "route", "bypass")
}

// serviceRow reads one answer to IPVS_CMD_GET_SERVICE; key is what asks for
// its real servers.
func (d *ipvsDecoder) serviceRow(b []byte) (row object, key []byte) {
	raw := ipvsPart(b, 1)
	if raw == nil {
		return nil, nil
	}
	row = d.service.decode(raw)
	af, _ := row["af"].(uint64)
	row["kind"] = "service"
	ipvsAddr(row, af)
	delete(row, "netmask")
	if p, ok := row["protocol"].(uint64); ok {
		row["protocol"] = protoText([]byte{byte(p)})
	}
	_ = eachAttr(raw, func(typ uint16, v []byte) {
		if typ >= 1 && typ <= 5 {
			key = append(key, attr(typ, v)...)
		}
	})
	return row, attr(1|1<<15, key)
}

// destRow reads one answer to IPVS_CMD_GET_DEST.
func (d *ipvsDecoder) destRow(b []byte, service object) object {
	raw := ipvsPart(b, 2)
	if raw == nil {
		return nil
	}
	row := d.dest.decode(raw)
	af, ok := row["af"].(uint64)
	if !ok {
		af, _ = service["af"].(uint64)
	}
	ipvsAddr(row, af)
	row["kind"] = "real"
	for from, to := range map[string]string{"addr": "serviceAddr", "port": "servicePort", "protocol": "protocol", "fwmark": "fwmark"} {
		if v, ok := service[from]; ok {
			row[to] = v
		}
	}
	return row
}

// ipvsPart is one of the attributes of a command.
func ipvsPart(b []byte, want uint16) (part []byte) {
	if len(b) < genlHeader {
		return nil
	}
	_ = eachAttr(b[genlHeader:], func(typ uint16, v []byte) {
		if typ == want {
			part = v
		}
	})
	return part
}

// ipvsAddr writes the address, of which IPv4 takes only the first part.
func ipvsAddr(row object, af uint64) {
	b, _ := row["addr"].(dataBytes)
	delete(row, "addr")
	if af == familyINET && len(b) >= 4 {
		b = b[:4]
	}
	if len(b) == 4 || len(b) == 16 {
		row["addr"] = macText(b)
	}
}

// attr writes one netlink attribute.
func attr(typ uint16, v []byte) []byte {
	b := make([]byte, 4, 4+align4(len(v)))
	binary.NativeEndian.PutUint16(b, uint16(4+len(v)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	return append(append(b, v...), make([]byte, align4(len(v))-len(v))...)
}

// wireguardSchema has no place for private and preshared keys: they go no
// further than the kernel's answer.
func wireguardSchema() schema {
	allowed := func(b []byte) any {
		o := attributes("family:num addr:raw bits:num", readers{"raw": rawValue}).decode(b)
		ip, _ := o["addr"].(dataBytes)
		if a, ok := netip.AddrFromSlice(ip); ok {
			n, _ := o["bits"].(uint64)
			return a.String() + "/" + strconv.FormatUint(n, 10)
		}
		return nil
	}
	peer := attributes("publicKey:key - flags:num endpoint:sock keepaliveSec:num lastHandshake:time rxBytes:num txBytes:num allowedIPs:allowed protocol:num",
		readers{"key": publicKey, "sock": sockaddr, "time": timespec, "allowed": listOf(allowed)})
	return attributes("index:num dev:text - publicKey:key - listenPort:num fwmark:num peers:peers", readers{"key": publicKey, "peers": listOf(nested(peer))})
}

func publicKey(b []byte) any {
	if len(b) != 32 || allZero(b) {
		return nil
	}
	return base64.StdEncoding.EncodeToString(b)
}

// sockaddr reads struct sockaddr_in or sockaddr_in6.
func sockaddr(b []byte) any {
	if len(b) < 8 {
		return nil
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.NativeEndian.Uint16(b); {
	case family == familyINET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port).String()
	case family == familyINET6 && len(b) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port).String()
	}
	return nil
}

func timespec(b []byte) any {
	if len(b) != 16 || allZero(b) {
		return nil
	}
	t := time.Unix(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))%1e9).UTC()
	if t.Year() > 9999 || t.Year() < 1970 {
		return nil
	}
	return t
}

// wireguardRows tells a device and its peers. A device with many peers comes
// in several messages, of which only the first tells of itself.
func wireguardRows(s schema, b []byte, emit func(object) error) error {
	if len(b) < genlHeader {
		return nil
	}
	row := s.decode(b[genlHeader:])
	peers, _ := row["peers"].([]any)
	delete(row, "peers")
	if row["listenPort"] != nil || row["publicKey"] != nil {
		device := object{"kind": "device"}
		for k, v := range row {
			device[k] = v
		}
		if err := emit(device); err != nil {
			return err
		}
	}
	for _, p := range peers {
		peer := p.(object)
		peer["kind"], peer["dev"] = "peer", row["dev"]
		if err := emit(peer); err != nil {
			return err
		}
	}
	return nil
}
