package filter

import "strings"

// isProtocol says whether a word may stand before a direction or a type, or
// alone.
func isProtocol(s string) bool {
	return strings.Contains(" link ether ppp slip fddi tr wlan ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp "+
		"atalk aarp decnet lat sca moprc mopdl iso esis es-is isis is-is clnp l1 l2 iih lsp snp csnp psnp stp ipx netbeui radio ", " "+s+" ")
}

// canonical is the one name of protocols that have several.
func canonical(protocol string) string {
	switch protocol {
	case "ether", "ppp", "slip", "fddi", "tr", "wlan":
		return "link"
	case "es-is":
		return "esis"
	case "is-is":
		return "isis"
	}
	return protocol
}

// unsupported gives the reason why a word of the language is refused.
func unsupported(s string) (reason string, ok bool) {
	for _, family := range []struct{ words, reason string }{
		{" type subtype dir direction addr1 addr2 addr3 addr4 address1 address2 address3 address4 ra ta radio ",
			"is for 802.11 links, which are not supported"},
		{" lane metac bcc sc ilmic oam oamf4 oamf4ec oamf4sc connectmsg metaconnect vpi vci ", "is for ATM links, which are not supported"},
		{" fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls hsio hopc hdpc hsls ", "is for SS7 links, which are not supported"},
		{" on ifname rset ruleset rnr rulenum srnr subrulenum reason action ", "is for BSD's pflog, which is not supported"},
		{" gateway ", "needs a name in /etc/ethers; write ether host MAC and not host ADDRESS"},
		{" protochain ", "needs a loop, which no kernel takes; write proto, or compare bytes"},
	} {
		if strings.Contains(family.words, " "+s+" ") {
			return "\"" + s + "\" " + family.reason, true
		}
	}
	return "", false
}

// reserved are the words that can be no name.
func reserved(s string) bool {
	_, not := unsupported(s)
	return not || isProtocol(s) || strings.Contains(" host net mask port portrange proto src dst and or not len length less greater byte "+
		"broadcast multicast inbound outbound ifindex vlan mpls pppoed pppoes geneve llc ", " "+s+" ")
}
