package node

import (
	"fmt"
	"net/netip"
)

// linkInfo are the attributes of devices by their kind, IFLA_INFO_DATA, as in
// include/uapi/linux/if_link.h and if_tunnel.h. Times that end in Cs are
// hundredths of a second.
func linkInfo() map[string]schema {
	own := readers{
		"bridgeid": bridgeID,
		"vproto":   vlanProtocol,
		"ip":       addrValue,
		"macmode":  bitsOf(hostNumber, "private vepa bridge passthru source"),
		"ipmode":   named(hostNumber, "l2 l3 l3s"),
		"bond":     named(hostNumber, "balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb"),
		"hash":     named(hostNumber, "layer2 layer3+4 layer2+3 encap2+3 encap3+4 vlan+srcmac"),
		"rate":     named(hostNumber, "slow fast"),
		"targets":  listOf(addrValue),
		"ad":       nested(attributes("aggregator:num ports:num actorKey:num partnerKey:num partnerMAC:mac", nil)),
		"tun":      named(hostNumber, "- tun tap"),
		"policy":   named(hostNumber, "pass - drop"),
		"netkit":   named(hostNumber, "l2 l3"),
	}
	tunnel := "link:num localAddr:ip remote:ip ttl:num tos:num encapLimit:num flowinfo:be flags:num proto:num pmtudisc:bool - - - - encapType:num encapFlags:num - - external:flag fwmark:num"
	gre := "link:num iflags:be oflags:be - - localAddr:ip remote:ip ttl:num tos:num pmtudisc:bool encapLimit:num flowinfo:be flags:num encapType:num encapFlags:num - - external:flag ignoreDF:bool fwmark:num erspanIndex:num"
	geneve := "id:num remote:ip ttl:num tos:num port:be external:flag remote:ip udpCsum:bool zeroCsum6Tx:bool zeroCsum6Rx:bool label:be ttlInherit:bool df:num innerProtoInherit:flag"
	words := map[string]string{
		"bridge": "forwardDelayCs:num helloTimeCs:num maxAgeCs:num ageingTimeCs:num stp:bool priority:num vlanFiltering:bool vlanProtocol:vproto groupFwdMask:num " +
			"rootID:bridgeid bridgeID:bridgeid rootPort:num rootPathCost:num topologyChange:bool topologyChangeDetected:bool - - - - groupAddr:mac - " +
			"mcastRouter:num mcastSnooping:bool mcastQueryUseIfaddr:bool mcastQuerier:bool - mcastHashMax:num - - - - - - - - " +
			"nfCallIptables:bool nfCallIP6tables:bool nfCallArptables:bool defaultPVID:num - vlanStats:bool mcastStats:bool igmpVersion:num mldVersion:num vlanStatsPerPort:bool",
		"vlan":    "vlanID:num - - - vlanProtocol:vproto",
		"macvlan": "mode:macmode macvlanFlags:num - - - sources:num bcQueueLen:num bcQueueLenUsed:num",
		"ipvlan":  "mode:ipmode ipvlanFlags:num",
		"vrf":     "table:num",
		"bond": "mode:bond activeSlave:num miimonMs:num updelayMs:num downdelayMs:num useCarrier:bool arpIntervalMs:num arpTargets:targets arpValidate:num arpAllTargets:num " +
			"primary:num primaryReselect:num failOverMAC:num hashPolicy:hash - - allSlavesActive:bool minLinks:num lpInterval:num packetsPerSlave:num lacpRate:rate adSelect:num " +
			"ad:ad actorPrio:num - actorSystem:mac dynamicLB:bool",
		"tun":  "tunOwner:num tunGroup:num type:tun packetInfo:bool vnetHdr:bool persist:bool multiQueue:bool queues:num disabledQueues:num",
		"ipip": tunnel, "sit": tunnel, "ip6tnl": tunnel, "gre": gre, "gretap": gre, "ip6gre": gre, "ip6gretap": gre, "erspan": gre,
		"geneve": geneve,
		"vti":    "link:num - - localAddr:ip remote:ip fwmark:num",
		"xfrm":   "link:num ifID:num external:flag",
		"netkit": "- primary:bool policy:policy peerPolicy:policy mode:netkit",
		"vxlan": "id:num remote:ip link:num local:ip ttl:num tos:num learning:bool ageing:num limit:num - proxy:bool rsc:bool l2miss:bool l3miss:bool port:be remote:ip local:ip " +
			"udpCsum:bool zeroCsum6Tx:bool zeroCsum6Rx:bool remcsumTx:bool remcsumRx:bool gbp:flag - external:bool label:be gpe:flag ttlInherit:flag df:num vniFilter:bool",
	}
	words["macvtap"], words["vti6"] = words["macvlan"], words["vti"]
	return schemasOf(words, own)
}

// portInfo are the attributes of a device by the kind of its master.
func portInfo() map[string]schema {
	own := readers{
		"state":    named(hostNumber, "disabled listening learning forwarding blocking"),
		"bridgeid": bridgeID,
		"active":   named(hostNumber, "active backup"),
		"mii":      named(hostNumber, "up fail down back"),
	}
	return schemasOf(map[string]string{
		"bridge": "state:state priority:num cost:num hairpin:bool bpduGuard:bool rootBlock:bool fastLeave:bool learning:bool flood:bool proxyARP:bool learningSync:bool - " +
			"rootID:bridgeid bridgeID:bridgeid designatedPort:num designatedCost:num - number:num - - - - - - mcastRouter:num - mcastFlood:bool mcastToUnicast:bool vlanTunnel:bool bcastFlood:bool " +
			"groupFwdMask:num neighSuppress:bool isolated:bool backupPort:num - - - - locked:bool",
		"bond": "state:active miiStatus:mii linkFailures:num permMAC:mac queueID:num aggregator:num actorPortState:num partnerPortState:num prio:num",
		"vrf":  "table:num",
	}, own)
}

func schemasOf(words map[string]string, own readers) map[string]schema {
	all := make(map[string]schema, len(words))
	for kind, w := range words {
		all[kind] = attributes(w, own)
	}
	return all
}

// bridgeID is a priority and a hardware address, which stays one to the eye.
func bridgeID(b []byte) any {
	if len(b) != 8 {
		return nil
	}
	return fmt.Sprintf("%02x%02x.%s", b[0], b[1], macText(b[2:]))
}

func vlanProtocol(b []byte) any {
	n, _ := netNumber(b).(uint64)
	switch n {
	case 0x8100:
		return "802.1Q"
	case 0x88a8:
		return "802.1ad"
	case 0:
		return nil
	}
	return n
}

// vxlan makes the row that analyzers know of a VXLAN's attributes.
func vxlan(o object, names map[int]string) *vxlanRow {
	num := func(k string) uint64 { n, _ := o[k].(uint64); return n }
	is := func(k string) bool { b, _ := o[k].(bool); return b }
	return &vxlanRow{ID: int(num("id")), Port: int(num("port")), Local: plainAddr(textOf(o, "local")), Dev: names[int(num("link"))], Remote: plainAddr(textOf(o, "remote")),
		Learning: is("learning"), TTL: num("ttl"), Ageing: num("ageing"), UDPCsum: is("udpCsum"), GBP: is("gbp"), External: is("external")}
}

func plainAddr(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}
