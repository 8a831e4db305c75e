package node

// nftRow is one line of net/nftables.ndjson: a table, and what is in it. Sets
// come before the rules that look into them, elements after their set.
type nftRow struct {
	Kind     string      `json:"kind"`   // table, chain, set, map, element, object, flowtable, rule
	Family   string      `json:"family"` // ip, ip6, inet, arp, bridge, netdev
	Table    string      `json:"table"`
	Chain    string      `json:"chain,omitempty"` // its own name, or a rule's chain
	Set      string      `json:"set,omitempty"`   // its own name, or an element's set or map
	Name     string      `json:"objectName,omitempty"`
	Handle   uint64      `json:"handle,omitempty"`
	Type     string      `json:"type,omitempty"`     // of a base chain (filter, nat, route), an object, or the keys of a set
	DataType string      `json:"dataType,omitempty"` // of the values of a map
	Hook     string      `json:"hook,omitempty"`
	Priority *int32      `json:"priority,omitempty"`
	Policy   string      `json:"policy,omitempty"`
	Devices  []string    `json:"devices,omitempty"`
	Flags    []string    `json:"flags,omitempty"`
	Use      uint64      `json:"use,omitempty"`  // references to a chain, set or object; of a table, its chains and sets
	Size     uint64      `json:"size,omitempty"` // of a set, at most
	Timeout  uint64      `json:"timeoutMs,omitempty"`
	Expires  uint64      `json:"expiresMs,omitempty"`
	Key      string      `json:"key,omitempty"`    // of an element; parts of a concatenation are parted by " . "
	KeyEnd   string      `json:"keyEnd,omitempty"` // the last one of a range
	Data     string      `json:"data,omitempty"`   // value of a map's element, or the object's name
	Verdict  string      `json:"verdict,omitempty"`
	Counter  *counterRow `json:"counter,omitempty"`
	Exprs    []object    `json:"exprs,omitempty"` // {"expr":"payload", …}, in their order
	Params   object      `json:"params,omitempty"`
	Comment  string      `json:"comment,omitempty"`

	raw []byte // the key
}

type counterRow struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// xtRow is one line of net/iptables.ndjson: a chain of the legacy iptables, or
// a rule of one.
type xtRow struct {
	Kind    string      `json:"kind"`   // chain, rule
	Family  string      `json:"family"` // ip, ip6
	Table   string      `json:"table"`
	Chain   string      `json:"chain"`
	Policy  string      `json:"policy,omitempty"` // of a built-in chain
	Number  int         `json:"number,omitempty"` // of a rule in its chain, from 1
	Src     string      `json:"src,omitempty"`    // "! " before what is inverted
	Dst     string      `json:"dst,omitempty"`
	Iif     string      `json:"iif,omitempty"`
	Oif     string      `json:"oif,omitempty"`
	Proto   string      `json:"proto,omitempty"`
	Frag    bool        `json:"fragment,omitempty"`
	Matches []object    `json:"matches,omitempty"` // {"match":"tcp","info":"dport 80"}
	Target  object      `json:"xt,omitempty"`      // {"target":"DNAT","info":"10.0.0.1:80"}
	Verdict string      `json:"verdict,omitempty"` // accept, drop, return, queue, jump CHAIN, goto CHAIN
	Counter *counterRow `json:"counter"`
	Comment string      `json:"comment,omitempty"`
}

// ipsetRow is one line of net/ipsets.ndjson: a set, or an element of the set
// before it, whose key is written as ipset does.
type ipsetRow struct {
	Kind        string      `json:"kind"` // set, element
	Set         string      `json:"set"`
	Type        string      `json:"type,omitempty"` // hash:ip,port …
	Family      string      `json:"family,omitempty"`
	Revision    uint64      `json:"revision,omitempty"`
	Range       string      `json:"range,omitempty"` // of a bitmap
	HashSize    uint64      `json:"hashSize,omitempty"`
	MaxElements uint64      `json:"maxElements,omitempty"`
	Size        uint64      `json:"size,omitempty"` // of a list
	Netmask     uint64      `json:"netmask,omitempty"`
	Elements    uint64      `json:"elements,omitempty"`
	References  uint64      `json:"references,omitempty"` // by rules
	MemBytes    uint64      `json:"memBytes,omitempty"`
	Flags       []string    `json:"flags,omitempty"`
	Key         string      `json:"key,omitempty"`
	Timeout     uint64      `json:"timeoutSec,omitempty"`
	Counter     *counterRow `json:"counter,omitempty"`
	Comment     string      `json:"comment,omitempty"`
}
