package node

import (
	"encoding/binary"
	"fmt"
)

const (
	tcHeader      = 20 // struct tcmsg
	tcRoot        = 0xffffffff
	tcIngressRoot = 0xfffffff1
	tcClsactIn    = 0xfffffff2
	tcClsactOut   = 0xfffffff3
)

// tcDecoder reads queueing disciplines, classes and filters, which are alike.
type tcDecoder struct {
	attrs   schema
	options map[string]schema // of a kind
	app     map[string]string // the numbers of a kind's own, of 4 bytes each
}

func newTCDecoder(what string) *tcDecoder {
	d := &tcDecoder{}
	own := readers{
		"raw": rawValue, "htb": htbOptions, "tbf": tbfOptions,
		"global": func(b []byte) any { return structOf(b, 4, "- rate2quantum defaultClass - directPackets") },
		"gen":    bitsOf(hostNumber, "skip-hw skip-sw in-hw not-in-hw"),
		"direct": bitsOf(hostNumber, "direct-action"),
		"class":  func(b []byte) any { n, _ := hostNumber(b).(uint64); return orNil(handleText(uint32(n))) },
		"stats2": nested(attributes("basic:basic rate:rate queue:queue app:raw - - - packets:num", readers{
			"basic": func(b []byte) any {
				if len(b) < 12 {
					return nil
				}
				o := object{}
				o.set("bytes", binary.NativeEndian.Uint64(b))
				o.set("packets", uint64(binary.NativeEndian.Uint32(b[8:])))
				return o
			},
			"rate":  func(b []byte) any { return structOf(b, 4, "bps pps") },
			"queue": func(b []byte) any { return structOf(b, 4, "qlen backlog drops requeues overlimits") },
			"raw":   rawValue,
		})),
	}
	d.attrs = attributes("kind:text options:raw - - - - stats:stats2 - - - chain:num - ingressBlock:num egressBlock:num", own)
	words := map[string]string{
		"htb": "- global:global - - directQlen:num", "tbf": "params:tbf - - rate64:num peakRate64:num",
		"fq_codel": "targetUsec:num limit:num intervalUsec:num ecn:bool flows:num quantum:num ceThresholdUsec:num dropBatch:num memoryLimit:num",
		"fq":       "plimit:num flowPlimit:num quantum:num initialQuantum:num rateEnable:bool - flowMaxRate:num buckets:num refillDelayUsec:num orphanMask:num lowRateThreshold:num ceThresholdUsec:num - horizonUsec:num horizonDrop:bool",
	}
	switch what {
	case "classes":
		words = map[string]string{"htb": "params:htb - - - - rate64:num ceil64:num"}
	case "filters":
		words = map[string]string{
			"bpf": "- - classID:class - - - program:text flags:direct hardware:gen tag:raw id:num",
			"u32": "classID:class - - divisor:num - - - inDev:text", "matchall": "classID:class", "flower": "classID:class inDev:text", "basic": "classID:class", "fw": "classID:class",
		}
	}
	d.options = schemasOf(words, own)
	d.app = map[string]string{"fq_codel": "- maxPacket dropOverlimit ecnMark newFlowCount newFlowsLen oldFlowsLen ceMark memoryUsage dropOvermemory"}
	return d
}

// row reads one message, with the names of the rows that analyzers know.
func (d *tcDecoder) row(b []byte) object {
	if len(b) < tcHeader {
		return nil
	}
	o := d.attrs.decode(b[tcHeader:])
	row := object{"kind": textOf(o, "kind"), "index": int(int32(binary.NativeEndian.Uint32(b[4:]))),
		"handle": handleText(binary.NativeEndian.Uint32(b[8:])), "parent": handleText(binary.NativeEndian.Uint32(b[12:]))}
	for _, name := range []string{"chain", "ingressBlock", "egressBlock"} {
		if n, ok := o[name].(uint64); ok {
			row[name] = n
		}
	}
	if raw, ok := o["options"].(dataBytes); ok {
		opts := d.options[textOf(row, "kind")].decode(raw)
		if tag, ok := opts["tag"].(dataBytes); ok {
			opts["tag"] = fmt.Sprintf("%x", []byte(tag))
		}
		if len(opts) > 0 {
			row["options"] = opts
		}
	}
	stats, _ := o["stats"].(object)
	for _, part := range []string{"basic", "queue", "rate"} {
		values, _ := stats[part].(object)
		for name, v := range values {
			row[name] = v
		}
	}
	if n, ok := stats["packets"].(uint64); ok { // of 64 bits
		row["packets"] = n
	}
	if raw, ok := stats["app"].(dataBytes); ok && d.app[textOf(row, "kind")] != "" {
		row["app"] = structOf(raw, 4, d.app[textOf(row, "kind")])
	}
	return row
}

// filterHead adds what a filter's message has in place of statistics.
func filterHead(row object, b []byte) {
	info := binary.NativeEndian.Uint32(b[16:])
	row.set("pref", uint64(info>>16))
	proto := uint16(info)
	var be [2]byte
	binary.NativeEndian.PutUint16(be[:], proto)
	if p := binary.BigEndian.Uint16(be[:]); p == 3 {
		row["protocol"] = "all"
	} else {
		row["protocol"] = etherText(be[:])
	}
	row["handle"] = fmt.Sprintf("%#x", binary.NativeEndian.Uint32(b[8:]))
}

// handleText writes a handle as tc does.
func handleText(h uint32) string {
	switch h {
	case 0:
		return "none"
	case tcRoot:
		return "root"
	case tcIngressRoot:
		return "ingress"
	}
	return fmt.Sprintf("%x:%x", h>>16, h&0xffff)
}

func htbOptions(b []byte) any {
	if len(b) < 44 {
		return nil
	}
	o := structOf(b[24:], 4, "buffer cbuffer quantum level prio").(object)
	o.set("rate", uint64(binary.NativeEndian.Uint32(b[8:]))) // bytes a second
	o.set("ceil", uint64(binary.NativeEndian.Uint32(b[20:])))
	return o
}

func tbfOptions(b []byte) any {
	if len(b) < 36 {
		return nil
	}
	o := structOf(b[24:], 4, "limit buffer mtu").(object)
	o.set("rate", uint64(binary.NativeEndian.Uint32(b[8:])))
	o.set("peakRate", uint64(binary.NativeEndian.Uint32(b[20:])))
	return o
}
