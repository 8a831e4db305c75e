package node

import "encoding/binary"

// exprSchemas are the expressions of nf_tables by name. What they hold is
// named as in include/uapi/linux/netfilter/nf_tables.h; names of registers
// end in Reg, and values in Value, both given a meaning by [registers].
func exprSchemas() map[string]schema {
	own := exprReaders()
	words := map[string]string{
		"immediate":    "dreg:be value:value",
		"bitwise":      "sreg:be dreg:be len:be maskValue:value xorValue:value op:bitop dataValue:value sreg2:be",
		"byteorder":    "sreg:be dreg:be op:order len:be size:be",
		"cmp":          "sreg:be op:cmp value:value",
		"range":        "sreg:be op:range fromValue:value toValue:value",
		"lookup":       "set:text sreg:be dreg:be - flags:inv",
		"dynset":       "set:text - op:dynop sreg:be dataReg:be timeoutMs:be - - flags:inv",
		"payload":      "dreg:be base:base offset:be len:be sreg:be csumType:be csumOffset:be csumFlags:be",
		"exthdr":       "dreg:be type:num offset:be len:be flags:be op:ext sreg:be",
		"meta":         "dreg:be key:meta sreg:be",
		"rt":           "dreg:be key:rt",
		"socket":       "key:sock dreg:be level:be",
		"ct":           "dreg:be key:ct direction:dir sreg:be",
		"flow_offload": "flowtable:text", "connlimit": "count:be flags:inv",
		"limit":   "rate:be unitSeconds:be burst:be type:limit flags:inv",
		"counter": "bytes:be packets:be",
		"last":    "set:be ageMs:be",
		"log":     "logGroup:be prefix:text snaplen:be qthreshold:be level:level logFlags:be",
		"queue":   "num:be total:be flags:queuef sreg:be",
		"quota":   "quotaBytes:be flags:inv - consumed:be",
		"reject":  "type:reject code:num",
		"nat":     "type:nat natFamily:fam addrReg:be addrMaxReg:be portReg:be portMaxReg:be flags:natf",
		"tproxy":  "natFamily:fam addrReg:be portReg:be",
		"masq":    "flags:natf portReg:be portMaxReg:be",
		"redir":   "portReg:be portMaxReg:be flags:natf",
		"dup":     "addrReg:be devReg:be", "fwd": "devReg:be addrReg:be natFamily:fam",
		"objref":   "type:obj objectName:text sreg:be set:text",
		"fib":      "dreg:be result:fib flags:fibf",
		"osf":      "dreg:be ttl:num osfFlags:be",
		"synproxy": "mss:be wscale:num synFlags:be",
		"xfrm":     "dreg:be key:xfrm direction:num spnum:be",
		"numgen":   "dreg:be modulus:be type:ng numOffset:be",
		"hash":     "sreg:be dreg:be len:be modulus:be seed:be numOffset:be type:hash",
		"match":    "match:text revision:be info:raw", "target": "target:text revision:be info:raw",
		"notrack": "", "secmark": "-",
	}
	all := make(map[string]schema, len(words))
	for name, w := range words {
		all[name] = attributes(w, own)
	}
	return all
}

func exprReaders() readers {
	return readers{
		"value": dataValue, "raw": rawValue,
		"cmp":    named(netNumber, "eq neq lt lte gt gte"),
		"range":  named(netNumber, "eq neq"),
		"base":   named(netNumber, "link network transport inner tunnel"),
		"meta":   named(netNumber, metaKeys),
		"ct":     named(netNumber, ctKeys),
		"dir":    named(hostNumber, "original reply"),
		"nat":    named(netNumber, "snat dnat"),
		"natf":   bitsOf(netNumber, "map-ips proto-specified random persistent fully-random proto-offset netmap"),
		"inv":    bitsOf(netNumber, "inv"),
		"fam":    named(netNumber, "- inet ip arp - netdev - bridge - - ip6"),
		"fib":    named(netNumber, "- oif oifname type"),
		"fibf":   bitsOf(netNumber, "saddr daddr mark iif oif present"),
		"reject": named(netNumber, "icmp tcp-reset icmpx"),
		"rt":     named(netNumber, "classid nexthop nexthop6 mtu ipsec"),
		"sock":   named(netNumber, "transparent mark wildcard cgroupv2"),
		"dynop":  named(netNumber, "add update delete"),
		"ng":     named(netNumber, "inc random"),
		"hash":   named(netNumber, "jhash symhash"),
		"order":  named(netNumber, "ntoh hton"),
		"bitop":  named(netNumber, "mask-xor lshift rshift and or xor"),
		"ext":    named(netNumber, "ipv6 tcp-option ip-option sctp-chunk dccp-option"),
		"level":  named(netNumber, "emerg alert crit err warn notice info debug audit"),
		"limit":  named(netNumber, "packets bytes"),
		"obj":    named(netNumber, objectTypes),
		"xfrm":   named(netNumber, "- daddr daddr6 saddr saddr6 reqid spi"),
		"queuef": bitsOf(netNumber, "bypass fanout"),
	}
}

const (
	metaKeys = "length protocol priority mark iif oif iifname oifname iiftype oiftype skuid skgid nftrace rtclassid secmark nfproto l4proto " +
		"ibrname obrname pkttype cpu iifgroup oifgroup cgroup random ipsec iifkind oifkind ibrpvid ibrvproto time day hour sdif sdifname broute"
	ctKeys = "state direction status mark secmark expiration helper l3proto src dst protocol proto-src proto-dst label packets bytes avgpkt zone event " +
		"src-ip dst-ip src-ip6 dst-ip6 id"
	objectTypes = "unspec counter quota ct-helper limit connlimit tunnel ct-timeout secmark ct-expectation synproxy"
)

// dataBytes is a value whose meaning its register gives; verdictText one of
// rules and verdict maps.
type (
	dataBytes   []byte
	verdictText string
)

func rawValue(b []byte) any { return dataBytes(b) }

// dataValue reads NFTA_DATA_*: bytes, or a verdict.
func dataValue(b []byte) any {
	var v any
	_ = eachAttr(b, func(typ uint16, b []byte) {
		switch typ {
		case 1:
			v = dataBytes(b)
		case 2:
			v = verdict(b)
		}
	})
	return v
}

func verdict(b []byte) any {
	code, chain := int32(0), ""
	_ = eachAttr(b, func(typ uint16, b []byte) {
		switch {
		case typ == 1 && len(b) == 4:
			code = int32(binary.BigEndian.Uint32(b))
		case typ == 2:
			chain = " " + cText(b)
		}
	})
	switch code {
	case -5:
		return verdictText("return")
	case -4:
		return verdictText("goto" + chain)
	case -3:
		return verdictText("jump" + chain)
	case -2:
		return verdictText("break")
	case -1:
		return verdictText("continue")
	case 0:
		return verdictText("drop")
	case 1:
		return verdictText("accept")
	}
	return verdictText("queue")
}
