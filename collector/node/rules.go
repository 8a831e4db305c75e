package node

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

const ruleHeader = 12 // struct fib_rule_hdr

// ruleDecoder reads answers to RTM_GETRULE.
func ruleDecoder() schema {
	ports := func(b []byte) any {
		if len(b) < 4 {
			return nil
		}
		return portRange(binary.NativeEndian.Uint16(b), binary.NativeEndian.Uint16(b[2:]))
	}
	uids := func(b []byte) any {
		if len(b) < 8 {
			return nil
		}
		return fmt.Sprintf("%d-%d", binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]))
	}
	return attributes("dst:raw src:raw iif:text goto:num - priority:num - - - mark:num - tunID:be - suppress:raw table:num mask:num oif:text - l3mdev:num uids:uids proto:num ipproto:num sport:ports dport:ports",
		readers{"raw": rawValue, "ports": ports, "uids": uids})
}

// parseRule reads the body of one RTM_NEWRULE.
func parseRule(s schema, b []byte) (ruleRow, bool) {
	if len(b) < ruleHeader {
		return ruleRow{}, false
	}
	o := s.decode(b[ruleHeader:])
	num := func(k string) int { n, _ := o[k].(uint64); return int(n) }
	row := ruleRow{Family: rtFamily(b[0]), Priority: num("priority"), Iif: textOf(o, "iif"), Oif: textOf(o, "oif"), Mark: uint32(num("mark")), Mask: uint32(num("mask")), Table: num("table"),
		Goto: num("goto"), Invert: binary.NativeEndian.Uint32(b[8:])&2 != 0, Action: ruleAction(b[7]), TOS: int(b[3]), Proto: num("proto"), IPProto: num("ipproto"),
		Sport: textOf(o, "sport"), Dport: textOf(o, "dport"), UIDs: textOf(o, "uids"), TunID: uint(num("tunID")), VRF: num("l3mdev") != 0}
	if row.Table == 0 {
		row.Table = int(b[4])
	}
	row.Src, row.Dst = rulePrefix(o["src"], b[2]), rulePrefix(o["dst"], b[1])
	if v, ok := o["suppress"].(dataBytes); ok && len(v) == 4 {
		if n := int(int32(binary.NativeEndian.Uint32(v))); n >= 0 {
			row.SuppressPrefixLen = &n
		}
	}
	return row, true
}

func rulePrefix(v any, bits byte) string {
	b, ok := v.(dataBytes)
	if !ok || len(b) != 4 && len(b) != 16 {
		return ""
	}
	return macText(b) + "/" + strconv.Itoa(int(bits))
}

// ruleAction names FR_ACT_*; the usual one, a table, has no name.
func ruleAction(t uint8) string {
	names := map[uint8]string{2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
	return names[t]
}

func portRange(from, to uint16) string {
	if from == to {
		return strconv.Itoa(int(from))
	}
	return fmt.Sprintf("%d-%d", from, to)
}
