package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of one namespace and sample; what lies beyond is named in the result.
const (
	maxRules       = 200_000
	maxSets        = 100_000
	maxSetElements = 50_000 // of one set
	maxElements    = 500_000
	maxRulesAsText = 20_000 // rules and elements; the node's own tool holds them all in memory
)

// ruleset dumps all that nf_tables holds, as it comes. Tables, chains, sets
// and rules are each one stream, so that none of them is ever held here; the
// library for nf_tables returns lists, and a set may have a million elements.
type ruleset struct {
	*dump
	dec *nftDecoder
	enc *json.Encoder

	tables, rules, elements int
	compat                  map[string]bool // families with rules of iptables-nft
	cut                     []string
}

func (g *gatherer) nftables(ctx context.Context, rs *ruleset) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		*rs = ruleset{dump: newDump(ctx, unix.NETLINK_NETFILTER), dec: newNFTDecoder(), enc: enc, compat: map[string]bool{}}
		return rs.write()
	}
}

func (rs *ruleset) write() error {
	var sets []nftRow
	for _, part := range []struct {
		kind string
		typ  uint16
		then func(nftRow) error
	}{
		{"table", nftGetTable, func(nftRow) error { rs.tables++; return nil }},
		{"chain", nftGetChain, nil},
		{"set", nftGetSet, func(row nftRow) error {
			if len(sets) == maxSets {
				return rs.enough(fmt.Sprintf("more than %d sets", maxSets))
			}
			sets = append(sets, nftRow{Family: row.Family, Table: row.Table, Set: row.Set})
			return nil
		}},
		{"object", nftGetObject, nil},
		{"flowtable", nftGetFlowtable, nil},
		{"elements", 0, nil},
		{"rule", nftGetRule, rs.count},
	} {
		if part.kind == "elements" {
			if err := rs.writeElements(sets); err != nil {
				return err
			}
			continue
		}
		if err := rs.part(part.kind, part.typ, part.then); err != nil {
			return err
		}
		if rs.tables == 0 || rs.ctx.Err() != nil {
			break
		}
	}
	if len(rs.cut) > 0 {
		return fmt.Errorf("%w: %s", errPartial, strings.Join(rs.cut, "; "))
	}
	return nil
}

// enough says in the result that something was left out.
func (rs *ruleset) enough(what string) error {
	if len(rs.cut) < maxListed {
		rs.cut = append(rs.cut, what)
	}
	return errEnough
}

func (rs *ruleset) part(kind string, typ uint16, then func(nftRow) error) error {
	err := rs.run(typ, make([]byte, nfgenHeader), func(m nlmsg) error {
		row, ok := rs.dec.row(m, kind)
		if !ok {
			return nil
		}
		if then != nil {
			if err := then(row); err != nil {
				return err
			}
		}
		return rs.enc.Encode(row)
	})
	return rs.keep(kind, err)
}

// keep turns a dump that went wrong half-way into a cut one.
func (rs *ruleset) keep(what string, err error) error {
	if err == nil || rs.tables == 0 && !errors.Is(err, errPartial) {
		return err
	}
	var errno unix.Errno
	switch {
	case errors.Is(err, errPartial), errors.Is(err, errNetlink):
	case errors.As(err, &errno) && !errors.Is(err, unix.EPIPE):
	default: // of the sink
		return err
	}
	_ = rs.enough(what + ": " + err.Error())
	return nil
}

func (rs *ruleset) count(row nftRow) error {
	if rs.rules++; rs.rules > maxRules {
		return rs.enough(fmt.Sprintf("more than %d rules", maxRules))
	}
	for _, e := range row.Exprs {
		if e["expr"] == "match" || e["expr"] == "target" {
			rs.compat[row.Family] = true
		}
	}
	return nil
}

func (rs *ruleset) writeElements(sets []nftRow) error {
	for _, s := range sets {
		body := append(make([]byte, nfgenHeader), append(attrText(nftElementsTable, s.Table), attrText(nftElementSet, s.Set)...)...)
		body[0] = nfFamilyNumber(s.Family)
		err := rs.setElements(s, body)
		if errors.Is(err, unix.ENOENT) { // it went away meanwhile
			continue
		}
		if err := rs.keep("elements of set "+s.Set, err); err != nil {
			return err
		}
		if rs.elements > maxElements || rs.ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

func (rs *ruleset) setElements(s nftRow, request []byte) error {
	n := 0
	emit := func(row nftRow) error {
		rs.elements++
		switch n++; {
		case n > maxSetElements:
			return rs.enough(fmt.Sprintf("set %s of table %s has more than %d elements", s.Set, s.Table, maxSetElements))
		case rs.elements > maxElements:
			return rs.enough(fmt.Sprintf("more than %d elements", maxElements))
		}
		return rs.enc.Encode(row)
	}
	pairs := ranges{types: rs.dec.sets[s.Family+" "+s.Table][s.Set], emit: emit}
	if pairs.types.interval {
		emit = pairs.add
	}
	err := rs.run(nftGetElement, request, func(m nlmsg) error { return rs.dec.elements(m, emit) })
	if closed := pairs.close(); err == nil && !errors.Is(closed, errEnough) {
		err = closed
	}
	return err
}

func nfFamilyNumber(name string) byte {
	for n := range byte(11) {
		if name != "" && nfFamily(n) == name {
			return n
		}
	}
	return 0
}
