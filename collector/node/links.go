package node

import (
	"encoding/binary"
	"strings"
)

const (
	ifinfoHeader  = 16
	familyAddrGen = familyINET6
)

// linkDecoder reads answers to RTM_GETLINK.
type linkDecoder struct {
	link       schema
	info, port map[string]schema
}

func newLinkDecoder() *linkDecoder {
	d := &linkDecoder{info: linkInfo(), port: portInfo()}
	own := readers{
		"raw":   rawValue,
		"state": named(hostNumber, "unknown not-present down lower-layer-down testing dormant up"),
		"stats": func(b []byte) any { return readLinkStats(b) },
		"xdp":   nested(attributes("- mode:xdpmode - id:num driverID:num genericID:num hardwareID:num", readers{"xdpmode": named(hostNumber, "- driver generic hardware multiple")})),
		"names": listOf(basicReader("text")),
		"af":    d.addrGen,
		"s32":   basicReader("s32"),
	}
	d.link = attributes("mac:mac - name:text mtu:num link:num qdisc:text - - - master:num - - txqlen:num - - state:state - linkinfo:raw - alias:text - - stats:stats - - af:af group:num - - "+
		"promiscuity:num txQueues:num rxQueues:num carrier:bool - carrierChanges:num - netnsID:raw - protoDown:bool gsoMaxSegs:num gsoMaxSize:num - xdp:xdp - - - "+
		"carrierUp:num carrierDown:num - minMTU:num maxMTU:num altNames:names - permMAC:mac - parentDev:text - groMaxSize:num tsoMaxSize:num - allmulti:num", own)
	return d
}

func (d *linkDecoder) addrGen(b []byte) any {
	var mode any
	_ = eachAttr(b, func(family uint16, v []byte) {
		if family == familyAddrGen {
			mode = attributes("- - - - - - - mode:mode", readers{"mode": named(hostNumber, "eui64 none stable-privacy random")}).decode(v)["mode"]
		}
	})
	return mode
}

func readLinkStats(b []byte) *linkStats {
	s := &linkStats{}
	for i, p := range []*uint64{&s.RxPackets, &s.TxPackets, &s.RxBytes, &s.TxBytes, &s.RxErrors, &s.TxErrors, &s.RxDropped, &s.TxDropped, &s.Multicast, &s.Collisions,
		&s.RxLengthErrors, &s.RxOverErrors, &s.RxCRCErrors, &s.RxFrameErrors, &s.RxFIFOErrors, &s.RxMissedErrors,
		&s.TxAbortedErrors, &s.TxCarrierErrors, &s.TxFIFOErrors, &s.TxHeartbeatErrors, &s.TxWindowErrors, &s.RxCompressed, &s.TxCompressed, &s.RxNoHandler, &s.RxOtherHost} {
		if len(b) < 8*i+8 {
			break
		}
		*p = binary.NativeEndian.Uint64(b[8*i:])
	}
	return s
}

// row reads the body of one RTM_NEWLINK. names are not known yet: the device
// of a VXLAN is filled in by the caller, from the index that is returned.
func (d *linkDecoder) row(b []byte) (row linkRow, vx object, ok bool) {
	if len(b) < ifinfoHeader {
		return linkRow{}, nil, false
	}
	o := d.link.decode(b[ifinfoHeader:])
	num := func(k string) uint64 { n, _ := o[k].(uint64); return n }
	flags := binary.NativeEndian.Uint32(b[8:])
	row = linkRow{Index: int(int32(binary.NativeEndian.Uint32(b[4:]))), Name: textOf(o, "name"), Kind: "device", MTU: int(num("mtu")), MAC: textOf(o, "mac"), State: textOf(o, "state"),
		Flags: linkFlags(flags), Master: int(num("master")), Link: int(num("link")), Qdisc: textOf(o, "qdisc"), TxQueueLen: int(num("txqlen")),
		Alias: textOf(o, "alias"), PermMAC: textOf(o, "permMAC"), Group: num("group"), CarrierChanges: num("carrierChanges"), CarrierUp: num("carrierUp"), CarrierDown: num("carrierDown"),
		MinMTU: num("minMTU"), MaxMTU: num("maxMTU"), Promiscuity: num("promiscuity"), Allmulti: num("allmulti"), TxQueues: num("txQueues"), RxQueues: num("rxQueues"),
		GSOMaxSize: num("gsoMaxSize"), GSOMaxSegs: num("gsoMaxSegs"), GROMaxSize: num("groMaxSize"), TSOMaxSize: num("tsoMaxSize"),
		AddrGenMode: textOf(o, "af"), ParentDev: textOf(o, "parentDev")}
	row.Carrier, _ = o["carrier"].(bool)
	row.ProtoDown, _ = o["protoDown"].(bool)
	row.Stats, _ = o["stats"].(*linkStats)
	row.XDP, _ = o["xdp"].(object)
	if row.PermMAC == row.MAC {
		row.PermMAC = ""
	}
	if id, _ := o["netnsID"].(dataBytes); len(id) == 4 {
		n := int(int32(binary.NativeEndian.Uint32(id)))
		row.LinkNetnsID = &n
	}
	if names, _ := o["altNames"].([]any); names != nil {
		for _, n := range names {
			row.AltNames = append(row.AltNames, n.(string))
		}
	}
	info, _ := o["linkinfo"].(dataBytes)
	return row, d.kind(&row, info, flags), true
}

// kind reads IFLA_LINKINFO.
func (d *linkDecoder) kind(row *linkRow, b []byte, flags uint32) object {
	o := attributes("kind:text data:raw - portKind:text portData:raw", readers{"raw": rawValue}).decode(b)
	if kind := textOf(o, "kind"); kind != "" {
		row.Kind = kind
	}
	if flags&8 != 0 { // IFF_LOOPBACK
		row.Kind = "loopback"
	}
	row.PortKind = textOf(o, "portKind")
	if data, ok := o["portData"].(dataBytes); ok {
		row.Port = d.port[row.PortKind].decode(data)
	}
	data, ok := o["data"].(dataBytes)
	if !ok {
		return nil
	}
	info := d.info[row.Kind].decode(data)
	if row.Kind == "vxlan" {
		return info
	}
	row.Info = info
	return nil
}

func linkFlags(v uint32) []string {
	return flagNames(int(v), strings.Fields("UP BROADCAST DEBUG LOOPBACK POINTOPOINT NOTRAILERS RUNNING NOARP PROMISC ALLMULTI MASTER SLAVE MULTICAST PORTSEL AUTOMEDIA DYNAMIC LOWER_UP DORMANT"))
}
