package node

// registers follow what the registers of nf_tables hold from one expression of
// a rule to the next, so that the values compared with them can be written as
// what they are: addresses, ports, names, marks.
type registers struct {
	l3   uint64 // 4, 6, or 0 for either
	arp  bool
	held [20]held
	sets map[string]setTypes // of the family and table, by name
}

// held is what is in a register.
type held struct {
	field string // "ip saddr", "meta mark"
	text  valueText
}

// setTypes are of the keys and data of a set.
type setTypes struct {
	key, data keyType
	interval  bool
}

func newRegisters(family string, sets map[string]setTypes) *registers {
	return &registers{l3: map[string]uint64{"ip": 4, "ip6": 6}[family], arp: family == "arp", sets: sets}
}

// slot numbers the registers of 4 bytes; those of 16 come first in the ABI.
func slot(e object, name string) int {
	n, _ := e[name].(uint64)
	switch {
	case n >= 1 && n <= 4:
		return int(n-1) * 4
	case n >= 8 && n < 28:
		return int(n - 8)
	}
	return -1
}

func (r *registers) put(e object, h held) {
	if i := slot(e, "dreg"); i >= 0 {
		r.held[i] = h
		if h.field != "" {
			e["field"] = h.field
		}
	}
}

func (r *registers) get(e object, name string) held {
	if i := slot(e, name); i >= 0 && r.held[i].text != nil {
		return r.held[i]
	}
	return held{text: words}
}

// read gives the values of a rule's expressions their text.
func (r *registers) read(exprs []object) {
	for i, e := range exprs {
		switch name, _ := e["expr"].(string); name {
		case "payload":
			r.payload(e)
		case "meta", "ct", "rt", "socket", "fib", "xfrm":
			key, _ := e["key"].(string)
			if name == "fib" {
				key, _ = e["result"].(string)
			}
			r.put(e, held{name + " " + key, r.keyText(name, key)})
		case "numgen", "hash":
			r.put(e, held{name, hostText10})
		case "lookup":
			set, _ := e["set"].(string)
			r.put(e, held{"", r.sets[set].data.text})
		case "byteorder":
			h := r.get(e, "sreg")
			r.put(e, held{h.field, swapped(h.text)})
		case "bitwise":
			h := r.get(e, "sreg")
			r.masks(e, h.text)
			r.put(e, h)
		case "cmp", "range":
			r.compare(e)
		case "immediate":
			r.values(e, r.consumer(e, exprs[i+1:]))
			r.put(e, held{})
		case "match", "target":
			xtInfo(e, r.l3)
		}
		r.values(e, words) // whatever is left
	}
}

// values writes the values of e that are still bytes.
func (r *registers) values(e object, text valueText) {
	for name, v := range e {
		switch v := v.(type) {
		case dataBytes:
			e[name] = text(v)
		case verdictText:
			e[name] = string(v)
			delete(e, "dreg")
		}
	}
}

func (r *registers) masks(e object, text valueText) {
	if b, ok := e["maskValue"].(dataBytes); ok {
		e["maskValue"] = maskText(b, text)
	}
	if b, ok := e["xorValue"].(dataBytes); ok && allZero(b) {
		delete(e, "xorValue")
	}
	r.values(e, text)
}

// compare writes the value, and heeds that it may fix the family.
func (r *registers) compare(e object) {
	h := r.get(e, "sreg")
	if b, ok := e["value"].(dataBytes); ok && e["op"] == "eq" {
		n, _ := netNumber(b).(uint64)
		switch {
		case h.field == "meta nfproto" && n == 2, h.field == "meta protocol" && n == 0x0800:
			r.l3 = 4
		case h.field == "meta nfproto" && n == 10, h.field == "meta protocol" && n == 0x86dd:
			r.l3 = 6
		}
	}
	r.values(e, h.text)
}

func (r *registers) payload(e object) {
	h := r.payloadAt(e)
	if _, writes := e["sreg"]; writes {
		e["field"] = h.field
		return
	}
	r.put(e, h)
}

func (r *registers) payloadAt(e object) held {
	offset, _ := e["offset"].(uint64)
	size, _ := e["len"].(uint64)
	if offset > 1<<10 || size > 1<<10 {
		return held{text: words}
	}
	var h header
	switch e["base"] {
	case "link":
		h = linkHeader()
	case "transport":
		h = portHeader()
	case "network":
		switch {
		case r.arp:
			h = arpHeader()
		case r.l3 == 6, r.l3 == 0 && (offset == 24 || offset == 8 && size > 1):
			h = ip6Header()
		default:
			h = ip4Header()
		}
	}
	return h.at(int(offset), int(size))
}

func (r *registers) keyText(expr, key string) valueText {
	switch expr + " " + key {
	case "meta mark", "ct mark", "socket mark":
		return markText
	case "meta iifname", "meta oifname", "meta ibrname", "meta obrname", "meta iifkind", "meta oifkind", "meta sdifname", "fib oifname", "ct helper":
		return ifaceText
	case "meta l4proto", "ct protocol":
		return protoText
	case "meta protocol":
		return etherText
	case "meta nfproto", "ct l3proto":
		return enumText("unspec inet ipv4 arp 4 netdev 6 bridge 8 9 ipv6")
	case "ct state":
		return ctStateText()
	case "ct status":
		return ctStatusText()
	case "ct src", "ct dst":
		if r.l3 == 4 {
			return ip4Text
		}
		return words
	case "ct src-ip", "ct dst-ip", "rt nexthop", "xfrm daddr", "xfrm saddr":
		return ip4Text
	case "ct src-ip6", "ct dst-ip6", "rt nexthop6", "xfrm daddr6", "xfrm saddr6":
		return ip6Text
	case "ct proto-src", "ct proto-dst":
		return netText10
	case "fib type":
		return addrTypeText()
	}
	return hostText10
}

// consumer finds what a constant is for, by the next expression that takes it.
func (r *registers) consumer(imm object, rest []object) valueText {
	at := slot(imm, "dreg")
	for _, e := range rest {
		for _, name := range []string{"addrReg", "addrMaxReg"} {
			if slot(e, name) == at {
				return r.natText(e)
			}
		}
		for _, name := range []string{"portReg", "portMaxReg"} {
			if slot(e, name) == at {
				return netText10
			}
		}
		switch {
		case slot(e, "devReg") == at:
			return hostText10
		case slot(e, "dataReg") == at:
			return r.sets[textOf(e, "set")].data.text
		case slot(e, "sreg") != at:
		case e["expr"] == "meta", e["expr"] == "ct":
			return r.keyText(textOf(e, "expr"), textOf(e, "key"))
		case e["expr"] == "queue":
			return netText10
		case e["expr"] == "lookup", e["expr"] == "dynset":
			return r.sets[textOf(e, "set")].key.text
		case e["expr"] == "payload":
			return r.payloadAt(e).text
		default:
			return words
		}
		if slot(e, "dreg") == at {
			break
		}
	}
	return words
}

func (r *registers) natText(e object) valueText {
	switch {
	case e["natFamily"] == "ip", e["natFamily"] == nil && r.l3 == 4:
		return ip4Text
	case e["natFamily"] == "ip6", e["natFamily"] == nil && r.l3 == 6:
		return ip6Text
	}
	return words
}

func textOf(e object, name string) string {
	s, _ := e[name].(string)
	return s
}
