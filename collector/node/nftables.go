package node

import (
	"encoding/binary"
	"strings"
)

// Messages of nf_tables, of include/uapi/linux/netfilter/nf_tables.h.
const (
	nfSubsysTables   = 10 << 8
	nftGetTable      = nfSubsysTables | 1
	nftGetChain      = nfSubsysTables | 4
	nftGetRule       = nfSubsysTables | 7
	nftGetSet        = nfSubsysTables | 10
	nftGetElement    = nfSubsysTables | 13
	nftGetObject     = nfSubsysTables | 19
	nftGetFlowtable  = nfSubsysTables | 23
	nfgenHeader      = 4
	nftElementSet    = 2 // NFTA_SET_ELEM_LIST_*
	nftElementsTable = 1
	setFlagInterval  = 0x4
	setFlagMap       = 0x8
	elementEnd       = "interval-end"
)

// nftDecoder turns messages of nf_tables into rows. It remembers the types of
// the sets, since rules and elements say nothing of their own.
type nftDecoder struct {
	table, chain, set, list, element, object, flowtable, rule schema

	exprs map[string]schema
	types map[uint32]datatype
	sets  map[string]map[string]setTypes // by family and table
}

func newNFTDecoder() *nftDecoder {
	d := &nftDecoder{types: datatypes(), sets: map[string]map[string]setTypes{}}
	d.exprs = exprSchemas()
	own := readers{
		"exprs": d.readExprs, "expr": d.readExpr, "counter": func(b []byte) any { return readCounter(b) },
		"hook":    nested(attributes("hook:be priority:raw dev:text devs:devs", readers{"devs": listOf(basicReader("text")), "raw": rawValue})),
		"fhook":   nested(attributes("hook:be priority:raw devs:devs", readers{"devs": listOf(basicReader("text")), "raw": rawValue})),
		"tflags":  bitsOf(netNumber, "dormant owner persist"),
		"cflags":  bitsOf(netNumber, "- offload binding"),
		"eflags":  bitsOf(netNumber, elementEnd+" catchall"),
		"fflags":  bitsOf(netNumber, "offload counter"),
		"policy":  named(netNumber, "drop accept"),
		"desc":    nested(attributes("size:be", nil)),
		"comment": func(b []byte) any { return orNil(cText(userData(b, 0))) },
		"otype":   named(netNumber, objectTypes), "raw": rawValue, "value": dataValue,
	}
	d.table = attributes("name:text flags:tflags use:be handle:be - comment:comment", own)
	d.chain = attributes("table:text handle:be name:text hook:hook policy:policy use:be type:text counter:counter - flags:cflags - comment:comment", own)
	d.rule = attributes("table:text chain:text handle:be exprs:exprs - position:be comment:comment", own)
	d.set = attributes("table:text name:text rawFlags:be keyType:be keyLen:be dataType:be dataLen:be - desc:desc - timeout:be gc:be userdata:raw - objType:be handle:be", own)
	d.list = attributes("table:text set:text elements:raw", own)
	d.element = attributes("key:value data:value flags:eflags timeout:be expires:be comment:comment expr:expr - object:text keyEnd:value exprs:exprs", own)
	d.object = attributes("table:text name:text type:be data:raw use:be handle:be - comment:comment", own)
	d.flowtable = attributes("table:text name:text hook:fhook use:be handle:be - flags:fflags", own)
	return d
}

// userData finds what nft, not the kernel, has written about an object: type,
// length, value. 0 is the comment, in most.
func userData(b []byte, typ byte) []byte {
	for len(b) >= 2 && int(b[1]) <= len(b)-2 {
		if b[0] == typ {
			return b[2 : 2+int(b[1])]
		}
		b = b[2+int(b[1]):]
	}
	return nil
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func readCounter(b []byte) *counterRow {
	c := &counterRow{}
	_ = eachAttr(b, func(typ uint16, v []byte) {
		n, _ := netNumber(v).(uint64)
		switch typ {
		case 1:
			c.Bytes = n
		case 2:
			c.Packets = n
		}
	})
	return c
}

func (d *nftDecoder) readExprs(b []byte) any {
	var list []object
	_ = eachAttr(b, func(_ uint16, v []byte) {
		if e, ok := d.readExpr(v).(object); ok {
			list = append(list, e)
		}
	})
	return list
}

func (d *nftDecoder) readExpr(b []byte) any {
	name, data := "", []byte(nil)
	_ = eachAttr(b, func(typ uint16, v []byte) {
		switch typ {
		case 1:
			name = cText(v)
		case 2:
			data = v
		}
	})
	e := d.exprs[name].decode(data)
	if name == "counter" { // zero counts too
		c := readCounter(data)
		e["packets"], e["bytes"] = c.Packets, c.Bytes
	}
	e["expr"] = name
	return e
}

func nfFamily(n byte) string {
	names := map[byte]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
	return names[n]
}

// row reads one message; ok is false for one that is not of nf_tables.
func (d *nftDecoder) row(m nlmsg, kind string) (row nftRow, ok bool) {
	if len(m.body) < nfgenHeader {
		return nftRow{}, false
	}
	s := map[string]schema{"table": d.table, "chain": d.chain, "rule": d.rule, "set": d.set, "object": d.object, "flowtable": d.flowtable}[kind]
	o := s.decode(m.body[nfgenHeader:])
	row = nftRow{Kind: kind, Family: nfFamily(m.body[0]), Table: textOf(o, "table"), Comment: textOf(o, "comment"), Type: textOf(o, "type"), Policy: textOf(o, "policy")}
	row.Handle, _ = o["handle"].(uint64)
	row.Use, _ = o["use"].(uint64)
	row.Flags, _ = o["flags"].([]string)
	row.Counter, _ = o["counter"].(*counterRow)
	switch kind {
	case "table":
		row.Table = textOf(o, "name")
	case "chain":
		row.Chain = textOf(o, "name")
		row.hook(o)
	case "rule":
		row.Chain = textOf(o, "chain")
		row.Exprs, _ = o["exprs"].([]object)
		newRegisters(row.Family, d.sets[row.Family+" "+row.Table]).read(row.Exprs)
		row.Counter = firstCounter(row.Exprs)
	case "set":
		d.readSet(&row, o)
	case "object":
		d.readObject(&row, o)
	case "flowtable":
		row.Name = textOf(o, "name")
		row.hook(o)
	}
	return row, true
}

func firstCounter(exprs []object) *counterRow {
	for _, e := range exprs {
		if e["expr"] == "counter" {
			p, _ := e["packets"].(uint64)
			b, _ := e["bytes"].(uint64)
			return &counterRow{p, b}
		}
	}
	return nil
}

// hook reads where a base chain or a flowtable is called.
func (r *nftRow) hook(o object) {
	h, ok := o["hook"].(object)
	if !ok {
		return
	}
	if b, ok := h["priority"].(dataBytes); ok && len(b) == 4 {
		p := int32(binary.BigEndian.Uint32(b))
		r.Priority = &p
	}
	names := strings.Fields("prerouting input forward output postrouting ingress")
	if r.Family == "netdev" || r.Kind == "flowtable" {
		names = []string{"ingress", "egress"}
	}
	if r.Family == "arp" {
		names = []string{"input", "output", "forward"}
	}
	if n, _ := h["hook"].(uint64); n < uint64(len(names)) {
		r.Hook = names[n]
	}
	if dev := textOf(h, "dev"); dev != "" {
		r.Devices = []string{dev}
	}
	if devs, ok := h["devs"].([]any); ok {
		r.Devices = nil
		for _, d := range devs {
			r.Devices = append(r.Devices, d.(string))
		}
	}
}

func (d *nftDecoder) readSet(row *nftRow, o object) {
	row.Set = textOf(o, "name")
	key, _ := o["keyType"].(uint64)
	data, _ := o["dataType"].(uint64)
	types := setTypes{key: newKeyType(uint32(key), d.types)}
	flags, _ := o["rawFlags"].(uint64)
	row.Flags = flagNames(int(flags), bitNames("anonymous constant interval - timeout dynamic object - expr"))
	row.Type = types.key.String()
	if flags&setFlagMap != 0 {
		row.Kind = "map"
		if data == 0xffffff00 {
			row.DataType = "verdict"
		} else {
			types.data = newKeyType(uint32(data), d.types)
			row.DataType = types.data.String()
		}
	}
	row.Timeout, _ = o["timeout"].(uint64)
	if desc, ok := o["desc"].(object); ok {
		row.Size, _ = desc["size"].(uint64)
	}
	user, _ := o["userdata"].(dataBytes)
	row.Comment = cText(userData(user, 7))
	types.key, types.data = integers(types.key, userData(user, 0)), integers(types.data, userData(user, 1))
	if types.interval = flags&setFlagInterval != 0; types.interval {
		types.key = types.key.inNetOrder()
	}
	at := row.Family + " " + row.Table
	if d.sets[at] == nil {
		d.sets[at] = map[string]setTypes{}
	}
	d.sets[at][row.Set] = types
}

// integers gives plain integers the order that nft noted for them.
func integers(k keyType, order []byte) keyType {
	if len(k) == 1 && k[0].name == "integer" && len(order) == 4 {
		switch binary.NativeEndian.Uint32(order) {
		case 1:
			k[0].text, k[0].host = hostText10, true
		case 2:
			k[0].text = netText10
		}
	}
	return k
}

func (d *nftDecoder) readObject(row *nftRow, o object) {
	row.Name = textOf(o, "name")
	names := strings.Fields(objectTypes)
	n, _ := o["type"].(uint64)
	if n >= uint64(len(names)) {
		return
	}
	row.Type = names[n]
	data, _ := o["data"].(dataBytes)
	switch row.Type {
	case "counter":
		row.Counter = readCounter(data)
	case "quota", "limit", "connlimit", "synproxy":
		row.Params = d.exprs[row.Type].decode(data)
	case "ct-helper":
		row.Params = attributes("helper:text l3proto:be l4proto:num", nil).decode(data)
	case "ct-timeout":
		row.Params = attributes("l3proto:be l4proto:num", nil).decode(data)
	case "ct-expectation":
		row.Params = attributes("l3proto:be l4proto:num dport:be timeoutMs:num size:num", nil).decode(data)
	}
}

// elements reads one message of a set's elements.
func (d *nftDecoder) elements(m nlmsg, fn func(nftRow) error) error {
	if len(m.body) < nfgenHeader {
		return nil
	}
	o := d.list.decode(m.body[nfgenHeader:])
	head := nftRow{Kind: "element", Family: nfFamily(m.body[0]), Table: textOf(o, "table"), Set: textOf(o, "set")}
	types := d.sets[head.Family+" "+head.Table][head.Set]
	list, _ := o["elements"].(dataBytes)
	var failed error
	err := eachAttr(list, func(_ uint16, v []byte) {
		if failed == nil {
			row := head
			d.readElement(&row, d.element.decode(v), types)
			failed = fn(row)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

func (d *nftDecoder) readElement(row *nftRow, o object, types setTypes) {
	row.Flags, _ = o["flags"].([]string)
	row.Comment = textOf(o, "comment")
	row.Timeout, _ = o["timeout"].(uint64)
	row.Expires, _ = o["expires"].(uint64)
	row.Data = textOf(o, "object")
	if b, ok := o["key"].(dataBytes); ok {
		row.Key, row.raw = types.key.text(b), b
	}
	if b, ok := o["keyEnd"].(dataBytes); ok {
		row.KeyEnd = types.key.text(b)
	}
	switch v := o["data"].(type) {
	case dataBytes:
		row.Data = types.data.text(v)
	case verdictText:
		row.Verdict = string(v)
	}
	exprs, _ := o["exprs"].([]object)
	if e, ok := o["expr"].(object); ok {
		exprs = append(exprs, e)
	}
	for _, e := range exprs {
		if e["expr"] == "counter" {
			row.Counter = firstCounter([]object{e})
		} else {
			newRegisters(row.Family, nil).read([]object{e})
			row.Exprs = append(row.Exprs, e)
		}
	}
}
