package node

import "time"

// sampleTime is when a sample began.
type sampleTime struct {
	K         int       `json:"k"`
	Wall      time.Time `json:"wall"`
	Monotonic float64   `json:"monotonic"` // seconds
}

type nodeRow struct {
	Name     string       `json:"name"`
	Hostname string       `json:"hostname"`
	Kernel   string       `json:"kernel"`
	OS       string       `json:"os"`
	OSImage  string       `json:"osImage,omitempty"`
	Arch     string       `json:"arch"`
	BootTime time.Time    `json:"bootTime,omitzero"`
	BootID   string       `json:"bootID,omitempty"`
	BTF      *fileRow     `json:"btf,omitempty"` // the kernel's types, by their hash
	Samples  []sampleTime `json:"samples"`
	Netns    []Netns      `json:"netns"`
}

type addrRow struct {
	Index  int      `json:"index"`
	Dev    string   `json:"dev,omitempty"`
	Addr   string   `json:"addr"` // 10.0.0.1/24
	Peer   string   `json:"peer,omitempty"`
	Family string   `json:"family"` // inet, inet6
	Scope  string   `json:"scope,omitempty"`
	Flags  []string `json:"flags,omitempty"`

	Label        string `json:"label,omitempty"` // where it is not the device's name
	Broadcast    string `json:"broadcast,omitempty"`
	ValidSec     int    `json:"validSec,omitempty"` // for ever is left out
	PreferredSec int    `json:"preferredSec,omitempty"`
}

type routeRow struct {
	Dst      string       `json:"dst"` // prefix or "default"
	GW       string       `json:"gw,omitempty"`
	Dev      string       `json:"dev,omitempty"`
	Index    int          `json:"index,omitempty"`
	Table    int          `json:"table,omitempty"`
	Proto    string       `json:"proto,omitempty"`
	Scope    string       `json:"scope,omitempty"`
	Type     string       `json:"type,omitempty"`
	Src      string       `json:"src,omitempty"`
	Metric   int          `json:"metric,omitempty"`
	MTU      int          `json:"mtu,omitempty"`
	Family   string       `json:"family"`
	Nexthops []nexthopRow `json:"nexthops,omitempty"`

	Flags      []string `json:"flags,omitempty"`
	TOS        int      `json:"tos,omitempty"`
	AdvMSS     int      `json:"advMSS,omitempty"`
	Window     int      `json:"window,omitempty"`
	InitCwnd   int      `json:"initCwnd,omitempty"`
	Hoplimit   int      `json:"hoplimit,omitempty"`
	Congestion string   `json:"congestion,omitempty"`
	Encap      string   `json:"encap,omitempty"`   // its type
	Nexthop    int      `json:"nexthop,omitempty"` // id of a nexthop object
	Pref       string   `json:"pref,omitempty"`    // of a router, by IPv6
}

type nexthopRow struct {
	GW     string `json:"gw,omitempty"`
	Dev    string `json:"dev,omitempty"`
	Index  int    `json:"index,omitempty"`
	Weight int    `json:"weight"`

	Flags []string `json:"flags,omitempty"`
}

type ruleRow struct {
	Priority int    `json:"priority"`
	Family   string `json:"family"`
	Src      string `json:"src,omitempty"` // prefix; empty is all
	Dst      string `json:"dst,omitempty"`
	Iif      string `json:"iif,omitempty"`
	Oif      string `json:"oif,omitempty"`
	Mark     uint32 `json:"mark,omitempty"`
	Mask     uint32 `json:"mask,omitempty"`
	Table    int    `json:"table,omitempty"`
	Goto     int    `json:"goto,omitempty"`
	Invert   bool   `json:"invert,omitempty"`

	Action            string `json:"action,omitempty"` // where it is not a table
	Proto             int    `json:"proto,omitempty"`  // who made it, by number
	TOS               int    `json:"tos,omitempty"`
	IPProto           int    `json:"ipproto,omitempty"`
	Sport             string `json:"sport,omitempty"`
	Dport             string `json:"dport,omitempty"`
	UIDs              string `json:"uids,omitempty"`
	TunID             uint   `json:"tunID,omitempty"`
	VRF               bool   `json:"vrf,omitempty"` // the table is the device's
	SuppressPrefixLen *int   `json:"suppressPrefixLen,omitempty"`
}

type neighRow struct {
	IP     string   `json:"ip,omitempty"` // of an FDB entry: the tunnel's far end
	MAC    string   `json:"mac,omitempty"`
	Dev    string   `json:"dev,omitempty"`
	Index  int      `json:"index"`
	State  []string `json:"state,omitempty"`
	Flags  []string `json:"flags,omitempty"`
	Family string   `json:"family,omitempty"`
	Vlan   int      `json:"vlan,omitempty"`
	Master int      `json:"master,omitempty"`

	Probes       int `json:"probes,omitempty"`       // sent without an answer
	ConfirmedSec int `json:"confirmedSec,omitempty"` // ago
	UsedSec      int `json:"usedSec,omitempty"`
	UpdatedSec   int `json:"updatedSec,omitempty"`
	VNI          int `json:"vni,omitempty"`
	Port         int `json:"port,omitempty"`
	Nexthop      int `json:"nexthop,omitempty"` // id of a nexthop object
}

type kmsgRow struct {
	Seq           uint64    `json:"seq"`
	Priority      int       `json:"priority"`
	Facility      int       `json:"facility"`
	MonotonicUsec int64     `json:"monotonicUsec"`
	Time          time.Time `json:"time,omitzero"`
	Text          string    `json:"text"`
}
