package flow

import (
	"cmp"
	"fmt"
)

// known says whether packets of a link type are decoded.
func known(link uint16) bool {
	switch link {
	case linkEthernet, linkSLL, linkSLL2, linkNull, linkLoop, linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return true
	}
	return false
}

// place gives the device that a packet was seen on, and its direction there.
func (t *tracker) place(p *packet) (*place, uint8) {
	d, index, dir := p.iface, 0, p.dir
	switch d.link {
	case linkSLL2:
		index = int(be32(p.data[4:]) & 0x7fffffff)
		dir = pktType(p.data[10])
	case linkSLL:
		dir = pktType(p.data[1])
	}
	pl := d.place
	if index > 0 {
		pl = d.others[index]
	}
	if pl == nil {
		if len(t.s.places) >= maxPlaces {
			return nil, 0
		}
		pl = &place{number: uint32(len(t.s.places)), file: t.file, device: cmp.Or(d.name, t.file.Device)}
		if index > 0 {
			pl.device = fmt.Sprintf("if%d", index)
		}
		pl.loop = d.name == "lo" || d.link == linkNull || d.link == linkLoop || d.link == linkSLL2 && be16(p.data[8:]) == 772
		t.s.places = append(t.s.places, pl)
		if index == 0 {
			d.place = pl
		} else {
			if d.others == nil {
				d.others = map[int]*place{}
			}
			d.others[index] = pl
		}
	}
	if pl.loop {
		dir = 0
	}
	return pl, dir
}

func pktType(v byte) uint8 {
	if v == 4 {
		return 2
	}
	return 1
}
