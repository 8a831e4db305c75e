package node

import (
	"encoding/binary"
	"strconv"
)

// The tables of IPsec. Keys are in the kernel's answer, and go no further:
// of an algorithm only the name is read.

const (
	xfrmSelector  = 56  // struct xfrm_selector
	xfrmState     = 224 // struct xfrm_usersa_info
	xfrmPolicy    = 168 // struct xfrm_userpolicy_info
	xfrmTemplate  = 64  // struct xfrm_user_tmpl
	xfrmAlgorithm = 64  // the name in struct xfrm_algo
)

func xfrmStates() rtTable {
	algo := func(b []byte) any { return orNil(cText(b[:min(len(b), xfrmAlgorithm)])) }
	own := readers{
		"algo":  algo,
		"encap": func(b []byte) any { return structOf(b, 2, "encapType - -") },
		"mark":  func(b []byte) any { return structOf(b, 4, "mark mask") },
		"esn":   func(b []byte) any { return structOf(b, 4, "- outSeq inSeq outSeqHigh inSeqHigh window") },
		"seq":   func(b []byte) any { return structOf(b, 4, "outSeq inSeq") },
		"dev":   func(b []byte) any { return structOf(b, 4, "index") },
	}
	return rtTable{name: "states", typ: 18, body: nil, fixed: xfrmState,
		attrs: attributes("auth:algo crypt:algo - encap:encap - - - - - replay:seq - - - - lastUsed:num - - aead:algo - auth:algo mark:mark - esn:esn extraFlags:num - - - offload:dev - - ifID:num", own),
		head: func(row object, b []byte) {
			selector(row, b)
			family := binary.NativeEndian.Uint16(b[212:])
			row["kind"], row["family"] = "state", rtFamily(byte(family))
			row["dst"], row["src"] = xfrmAddr(b[56:72], family), xfrmAddr(b[80:96], family)
			row["proto"] = protoText(b[76:77])
			row["spi"] = "0x" + strconv.FormatUint(uint64(binary.BigEndian.Uint32(b[72:])), 16)
			for i, name := range []string{"bytes", "packets", "added", "used"} {
				row.set(name, binary.NativeEndian.Uint64(b[160+8*i:]))
			}
			for i, name := range []string{"replayWindowErrors", "replayErrors", "integrityFailed", "seq", "reqid"} {
				row.set(name, uint64(binary.NativeEndian.Uint32(b[192+4*i:])))
			}
			row["mode"] = xfrmMode(b[214])
			row.set("replayWindow", uint64(b[215]))
			if flags := flagNames(int(b[216]), bitNames("noecn decap-dscp nopmtudisc wildrecv icmp af-unspec align4 esn")); flags != nil {
				row["flags"] = flags
			}
		}}
}

func xfrmPolicies() rtTable {
	templates := func(b []byte) any {
		var list []object
		for ; len(b) >= xfrmTemplate; b = b[xfrmTemplate:] {
			family := binary.NativeEndian.Uint16(b[24:])
			o := object{"dst": xfrmAddr(b[:16], family), "src": xfrmAddr(b[28:44], family), "proto": protoText(b[20:21]), "mode": xfrmMode(b[48])}
			o.set("reqid", uint64(binary.NativeEndian.Uint32(b[44:])))
			list = append(list, o)
		}
		return list
	}
	own := readers{"tmpl": templates, "mark": func(b []byte) any { return structOf(b, 4, "mark mask") }}
	return rtTable{name: "policies", typ: 21, body: nil, fixed: xfrmPolicy,
		attrs: attributes("- - - - templates:tmpl - - - - - - - - - lastUsed:num - - - - - mark:mark - - - - - - - - - ifID:num", own),
		head: func(row object, b []byte) {
			selector(row, b)
			row["kind"] = "policy"
			for i, name := range []string{"bytes", "packets", "added", "used"} {
				row.set(name, binary.NativeEndian.Uint64(b[120+8*i:]))
			}
			row.set("priority", uint64(binary.NativeEndian.Uint32(b[152:])))
			row.set("policyIndex", uint64(binary.NativeEndian.Uint32(b[156:])))
			row["dir"] = nameAt(b[160], "in", "out", "fwd")
			row["action"] = nameAt(b[161], "allow", "block")
		}}
}

func nameAt(n byte, names ...string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return strconv.Itoa(int(n))
}

func xfrmMode(n byte) string {
	return nameAt(n, "transport", "tunnel", "routeoptimization", "in_trigger", "beet")
}

func xfrmAddr(b []byte, family uint16) string {
	if family == familyINET {
		b = b[:4]
	}
	return macText(b)
}

// selector reads the packets that a state or policy is for.
func selector(row object, b []byte) {
	family := binary.NativeEndian.Uint16(b[40:])
	if family == 0 {
		return
	}
	row["family"] = rtFamily(byte(family))
	row["selDst"] = xfrmAddr(b[:16], family) + "/" + strconv.Itoa(int(b[42]))
	row["selSrc"] = xfrmAddr(b[16:32], family) + "/" + strconv.Itoa(int(b[43]))
	row.set("selDport", uint64(binary.BigEndian.Uint16(b[32:])))
	row.set("selSport", uint64(binary.BigEndian.Uint16(b[36:])))
	row.set("selProto", uint64(b[44]))
}
