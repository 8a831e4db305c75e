package node

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	nfSubsysIPSet = 6 << 8
	ipsetList     = nfSubsysIPSet | 7
	ipsetProtocol = 6 // all kernels that live know it
)

// ipsetDecoder reads answers to IPSET_CMD_LIST, of the layouts in
// include/uapi/linux/netfilter/ipset/ip_set.h.
type ipsetDecoder struct {
	message, create, element schema

	set  string // that the messages are about
	kind string // hash:ip,port …
}

func newIPSetDecoder() *ipsetDecoder {
	own := readers{
		"raw": rawValue, "flags": bitsOf(netNumber, "before physdev nomatch counters comment forceadd skbinfo ifaceWildcard"),
		"family": named(hostNumber, "- inet ip arp - netdev - bridge - - ip6"),
		"ip":     ipsetAddr,
		"skb": func(b []byte) any {
			n, _ := netNumber(b).(uint64)
			return object{"mark": n >> 32, "mask": n & 0xffffffff}
		},
	}
	both := "ip:ip ipTo:ip cidr:num port:be portTo:be timeoutSec:be proto:num flags:flags - mark:be markMask:be - - - - - "
	return &ipsetDecoder{
		message: attributes("- set:text type:text revision:num family:family - data:raw adt:raw", own),
		create:  attributes(both+"- hashSize:be maxElements:be netmask:num bucketSize:num - size:be elements:be references:be memBytes:be", own),
		element: attributes(both+"mac:mac name:text - ip2:ip cidr2:num ip2To:ip iface:text bytes:be packets:be comment:text skbMark:skb skbPrio:be skbQueue:be", own),
	}
}

func ipsetAddr(b []byte) any {
	var v any
	_ = eachAttr(b, func(_ uint16, b []byte) {
		if len(b) == 4 || len(b) == 16 {
			v = macText(b)
		}
	})
	return v
}

// ipsetRequest asks for all sets and what is in them.
func ipsetRequest() []byte {
	b := []byte{familyINET, 0, 0, 0, 0, 0, 0, 0, ipsetProtocol, 0, 0, 0} // and one attribute
	binary.NativeEndian.PutUint16(b[4:], 5)
	binary.NativeEndian.PutUint16(b[6:], 1)
	return b
}

// rows reads one message: a set's head, elements, or both. Only the first
// message of a set has its type.
func (d *ipsetDecoder) rows(b []byte, fn func(ipsetRow) error) error {
	if len(b) < nfgenHeader {
		return nil
	}
	o := d.message.decode(b[nfgenHeader:])
	if kind := textOf(o, "type"); kind != "" {
		d.set, d.kind = textOf(o, "set"), kind
		if err := fn(d.head(o)); err != nil {
			return err
		}
	}
	if textOf(o, "set") != d.set {
		return nil
	}
	list, _ := o["adt"].(dataBytes)
	var failed error
	_ = eachAttr(list, func(_ uint16, v []byte) {
		if failed == nil {
			failed = fn(d.readElement(d.element.decode(v)))
		}
	})
	return failed
}

func (d *ipsetDecoder) head(o object) ipsetRow {
	data, _ := o["data"].(dataBytes)
	c := d.create.decode(data)
	num := func(k string) uint64 { n, _ := c[k].(uint64); return n }
	row := ipsetRow{Kind: "set", Set: d.set, Type: d.kind, Family: textOf(o, "family"), HashSize: num("hashSize"), MaxElements: num("maxElements"), Timeout: num("timeoutSec"),
		Elements: num("elements"), References: num("references"), MemBytes: num("memBytes"), Size: num("size"), Netmask: num("netmask")}
	row.Revision, _ = o["revision"].(uint64)
	row.Flags, _ = c["flags"].([]string)
	if strings.HasPrefix(d.kind, "bitmap:") {
		row.Range = ipsetRange(c)
	}
	return row
}

func ipsetRange(c object) string {
	if c["ip"] != nil {
		return textOf(c, "ip") + "-" + textOf(c, "ipTo")
	}
	return fmt.Sprintf("%v-%v", orZero(c["port"]), orZero(c["portTo"]))
}

func orZero(v any) any {
	if v == nil {
		return 0
	}
	return v
}

func (d *ipsetDecoder) readElement(o object) ipsetRow {
	row := ipsetRow{Kind: "element", Set: d.set, Comment: textOf(o, "comment")}
	row.Timeout, _ = o["timeoutSec"].(uint64)
	row.Flags, _ = o["flags"].([]string)
	p, counted := o["packets"].(uint64)
	b, more := o["bytes"].(uint64)
	if counted || more {
		row.Counter = &counterRow{p, b}
	}
	row.Key = d.key(o)
	return row
}

// key writes an element as ipset does, by the parts that the type has.
func (d *ipsetDecoder) key(o object) string {
	_, parts, _ := strings.Cut(d.kind, ":")
	var out []string
	second := ""
	for part := range strings.SplitSeq(parts, ",") {
		switch part {
		case "ip", "net":
			s := textOf(o, "ip"+second)
			if cidr, ok := o["cidr"+second].(uint64); ok && cidr != map[bool]uint64{true: 128, false: 32}[strings.Contains(s, ":")] {
				s += "/" + strconv.FormatUint(cidr, 10)
			}
			if to := textOf(o, "ipTo"); to != "" && second == "" {
				s += "-" + to
			}
			out, second = append(out, s), "2"
		case "port":
			out = append(out, ipsetPort(o))
		case "mac":
			if mac := textOf(o, "mac"); mac != "" {
				out = append(out, mac)
			}
		case "iface":
			iface := textOf(o, "iface")
			if flags, _ := o["flags"].([]string); slices.Contains(flags, "physdev") {
				iface = "physdev:" + iface
			}
			out = append(out, iface)
		case "mark":
			mark, _ := o["mark"].(uint64)
			out = append(out, fmt.Sprintf("0x%08x", mark))
		case "set":
			out = append(out, textOf(o, "name"))
		}
	}
	return strings.Join(out, ",")
}

func ipsetPort(o object) string {
	port, _ := o["port"].(uint64)
	proto, ok := o["proto"].(uint64)
	switch {
	case !ok:
		return strconv.FormatUint(port, 10)
	case proto == 1 || proto == 58:
		return fmt.Sprintf("%s:%d/%d", protoText([]byte{byte(proto)}), port>>8, port&255)
	}
	return fmt.Sprintf("%s:%d", protoText([]byte{byte(proto)}), port)
}
