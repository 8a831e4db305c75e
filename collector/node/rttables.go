package node

import (
	"encoding/binary"
	"strconv"
)

// rtTable is a table of the kernel that is written as it comes: the attributes
// that its schema names are the fields of a row, beside what head reads from
// the fixed part of the message.
type rtTable struct {
	name   string
	typ    uint16 // of the request
	body   []byte // of it
	fixed  int    // bytes before the attributes
	attrs  schema
	head   func(row object, b []byte)
	finish func(row object, emit func(object) error) error // in place of emit
}

// rows reads one message.
func (t *rtTable) rows(b []byte, emit func(object) error) error {
	if len(b) < t.fixed {
		return nil
	}
	row := t.attrs.decode(b[t.fixed:])
	if t.head != nil {
		t.head(row, b)
	}
	if t.finish != nil {
		return t.finish(row, emit)
	}
	return emit(row)
}

// set adds a value that is not zero.
func (o object) set(name string, v uint64) {
	if v != 0 {
		o[name] = v
	}
}

func (o object) setText(name, v string) {
	if v != "" {
		o[name] = v
	}
}

func nexthopTable() rtTable {
	own := readers{
		"group": func(b []byte) any {
			var list []object
			for ; len(b) >= 8; b = b[8:] {
				weight := uint64(b[4]) + uint64(b[5])<<8 + 1 // the high bits came with 6.12
				list = append(list, object{"id": uint64(binary.NativeEndian.Uint32(b)), "weight": weight})
			}
			return list
		},
		"type": named(hostNumber, "mpath resilient"),
		"res":  nested(attributes("buckets:num idleTimer:num unbalancedTimer:num unbalancedTime:num", nil)),
	}
	return rtTable{name: "nexthops", typ: 106, body: make([]byte, 8), fixed: 8,
		attrs: attributes("id:num nexthops:group groupType:type blackhole:flag index:num gw:addr encapType:num - - - fdb:flag resilient:res", own),
		head: func(row object, b []byte) {
			row["family"] = rtFamily(b[0])
			row.setText("scope", scopeName(b[1]))
			row.set("proto", uint64(b[2]))
			if flags := flagNames(int(binary.NativeEndian.Uint32(b[4:])), bitNames("dead pervasive onlink offload linkdown unresolved trap")); flags != nil {
				row["flags"] = flags
			}
		}}
}

func rtFamily(f byte) string {
	switch f {
	case familyINET:
		return "inet"
	case familyINET6:
		return "inet6"
	case 0:
		return "any"
	case 7:
		return "bridge"
	}
	return strconv.Itoa(int(f))
}

func scopeName(s uint8) string {
	switch s {
	case 0:
		return "global"
	case 200:
		return "site"
	case 253:
		return "link"
	case 254:
		return "host"
	case 255:
		return "nowhere"
	}
	return strconv.Itoa(int(s))
}

// neighTables are the settings and numbers of ARP and neighbour discovery:
// arp_cache and ndisc_cache for all, then a row for each device.
func neighTables() rtTable {
	own := readers{
		"parms": nested(attributes("index:num refs:num reachableMs:num baseReachableMs:num retransMs:num gcStaleMs:num delayProbeMs:num queueLen:num appProbes:num ucastProbes:num "+
			"mcastProbes:num anycastDelayMs:num proxyDelayMs:num proxyQlen:num locktimeMs:num queueBytes:num mcastReprobes:num - intervalProbeMs:num", nil)),
		"config": func(b []byte) any {
			return structOf(b[min(4, len(b)):], 4, "entries lastFlushMs lastRandMs - hashMask - proxyQlen")
		},
		"stats": func(b []byte) any {
			return structOf(b, 8, "allocs destroys hashGrows resFailed lookups hits rcvProbesMcast rcvProbesUcast periodicGCRuns forcedGCRuns tableFulls")
		},
	}
	return rtTable{name: "neightables", typ: 66, body: make([]byte, 4), fixed: 4,
		attrs: attributes("name:text thresh1:num thresh2:num thresh3:num config:config parms:parms stats:stats gcIntervalMs:num", own),
		head:  func(row object, b []byte) { row["family"] = rtFamily(b[0]) }}
}

// structOf reads numbers of one size, one behind the other.
func structOf(b []byte, size int, names string) any {
	o := object{}
	for _, name := range bitNames(names) {
		if len(b) < size {
			break
		}
		if n, ok := hostNumber(b[:size]).(uint64); ok && name != "" {
			o[name] = n
		}
		b = b[size:]
	}
	return o
}

// netconfTable says per device and family what forwarding and the like are.
func netconfTable(family byte) rtTable {
	own := readers{"index": basicReader("s32"), "rp": named(hostNumber, "off strict loose")}
	return rtTable{name: "netconf", typ: 82, body: []byte{family, 0, 0, 0}, fixed: 4,
		attrs: attributes("index:index forwarding:bool rpFilter:rp mcForwarding:bool proxyNeigh:bool ignoreLinkdown:bool input:bool bcForwarding:bool", own),
		head: func(row object, b []byte) {
			row["family"] = rtFamily(b[0])
			switch row["index"] {
			case int64(-1):
				row["dev"] = "all"
			case int64(-2):
				row["dev"] = "default"
			}
		}}
}

// vlanTable is which VLANs the ports of a bridge carry, with their numbers.
func vlanTable() rtTable {
	entry := attributes("info:info vlanEnd:num state:state - stats:stats", readers{
		"info": func(b []byte) any {
			if len(b) < 4 {
				return nil
			}
			return object{"flags": int(binary.NativeEndian.Uint16(b)), "vlan": uint64(binary.NativeEndian.Uint16(b[2:]))}
		},
		"state": named(hostNumber, "disabled listening learning forwarding blocking"),
		"stats": nested(attributes("rxBytes:num rxPackets:num txBytes:num txPackets:num", nil)),
	})
	return rtTable{name: "vlans", typ: 114, body: append([]byte{7, 0, 0, 0, 0, 0, 0, 0}, 8, 0, 1, 0, 1, 0, 0, 0), fixed: 8,
		attrs: attributes("entries:raw", readers{"raw": rawValue}),
		head: func(row object, b []byte) {
			row.set("index", uint64(binary.NativeEndian.Uint32(b[4:])))
			delete(row, "entries")
			var list []object
			_ = eachAttr(b[8:], func(typ uint16, v []byte) {
				if typ == 1 {
					list = append(list, entry.decode(v))
				}
			})
			row["entries"] = list
		},
		finish: func(row object, emit func(object) error) error {
			list, _ := row["entries"].([]object)
			for _, e := range list {
				info, _ := e["info"].(object)
				delete(e, "info")
				e["index"], e["vlan"] = row["index"], info["vlan"]
				flags, _ := info["flags"].(int)
				if set := flagNames(flags, bitNames("master pvid untagged - - brentry")); set != nil {
					e["flags"] = set
				}
				if err := emit(e); err != nil {
					return err
				}
			}
			return nil
		}}
}

// mdbTable is which multicast groups the ports of a bridge want.
func mdbTable() rtTable {
	return rtTable{name: "mdb", typ: 86, body: []byte{7, 0, 0, 0, 0, 0, 0, 0}, fixed: 8,
		attrs: attributes("entries:entries", readers{"entries": listOf(listOf(mdbEntry))}),
		head:  func(row object, b []byte) { row.set("bridge", uint64(binary.NativeEndian.Uint32(b[4:]))) },
		finish: func(row object, emit func(object) error) error {
			groups, _ := row["entries"].([]any)
			for _, g := range groups {
				list, _ := g.([]any)
				for _, e := range list {
					e.(object)["bridge"] = row["bridge"]
					if err := emit(e.(object)); err != nil {
						return err
					}
				}
			}
			return nil
		}}
}

// mdbEntry reads struct br_mdb_entry.
func mdbEntry(b []byte) any {
	if len(b) < 28 {
		return nil
	}
	o := object{"state": []string{"temporary", "permanent"}[b[4]&1]}
	o.set("index", uint64(binary.NativeEndian.Uint32(b)))
	o.set("vlan", uint64(binary.NativeEndian.Uint16(b[6:])))
	switch binary.BigEndian.Uint16(b[24:]) {
	case 0x0800:
		o["grp"] = addrValue(b[8:12])
	case 0x86dd:
		o["grp"] = addrValue(b[8:24])
	default:
		o["grp"] = macText(b[8:14])
	}
	return o
}
