package node

// linkRow is one line of net/links.ndjson. What only devices of its kind have
// stands in info, what it has as the port of a bridge, bond or VRF in port;
// their fields are named in linkinfo.go.
type linkRow struct {
	Index       int        `json:"index"`
	Name        string     `json:"name"`
	Kind        string     `json:"kind,omitempty"` // as of ip -d link; "device" for hardware, "loopback"
	MTU         int        `json:"mtu"`
	MAC         string     `json:"mac,omitempty"`
	State       string     `json:"state,omitempty"` // up, down, unknown, lower-layer-down …
	Flags       []string   `json:"flags,omitempty"`
	Master      int        `json:"master,omitempty"`
	Link        int        `json:"link,omitempty"`        // parent's index, or the veth peer's
	LinkNetnsID *int       `json:"linkNetnsID,omitempty"` // namespace of Link, when it is another
	Vxlan       *vxlanRow  `json:"vxlan,omitempty"`
	Stats       *linkStats `json:"stats,omitempty"`
	Qdisc       string     `json:"qdisc,omitempty"` // the root one
	TxQueueLen  int        `json:"txQueueLen,omitempty"`

	AltNames       []string `json:"altNames,omitempty"`
	Alias          string   `json:"alias,omitempty"`
	PermMAC        string   `json:"permMAC,omitempty"`
	Group          uint64   `json:"linkGroup,omitempty"`
	Carrier        bool     `json:"carrier,omitempty"`
	CarrierChanges uint64   `json:"carrierChanges,omitempty"`
	CarrierUp      uint64   `json:"carrierUp,omitempty"` // times it came up
	CarrierDown    uint64   `json:"carrierDown,omitempty"`
	MinMTU         uint64   `json:"minMTU,omitempty"`
	MaxMTU         uint64   `json:"maxMTU,omitempty"`
	Promiscuity    uint64   `json:"promiscuity,omitempty"` // how many asked for it
	Allmulti       uint64   `json:"allmulti,omitempty"`
	TxQueues       uint64   `json:"txQueues,omitempty"`
	RxQueues       uint64   `json:"rxQueues,omitempty"`
	GSOMaxSize     uint64   `json:"gsoMaxSize,omitempty"`
	GSOMaxSegs     uint64   `json:"gsoMaxSegs,omitempty"`
	GROMaxSize     uint64   `json:"groMaxSize,omitempty"`
	TSOMaxSize     uint64   `json:"tsoMaxSize,omitempty"`
	ProtoDown      bool     `json:"protoDown,omitempty"`
	AddrGenMode    string   `json:"addrGenMode,omitempty"` // of IPv6
	XDP            object   `json:"xdp,omitempty"`         // mode and id of the program attached
	ParentDev      string   `json:"parentDev,omitempty"`   // on its bus
	PortKind       string   `json:"portKind,omitempty"`    // of its master
	Info           object   `json:"info,omitempty"`
	Port           object   `json:"port,omitempty"`
}

type vxlanRow struct {
	ID    int    `json:"id"`
	Port  int    `json:"port,omitempty"`
	Local string `json:"local,omitempty"`
	Dev   string `json:"dev,omitempty"`

	Remote   string `json:"remote,omitempty"` // or a multicast group
	Learning bool   `json:"learning,omitempty"`
	TTL      uint64 `json:"ttl,omitempty"`
	Ageing   uint64 `json:"ageingSec,omitempty"`
	UDPCsum  bool   `json:"udpCsum,omitempty"`
	GBP      bool   `json:"gbp,omitempty"`
	External bool   `json:"external,omitempty"` // the id comes with each packet
}

type linkStats struct {
	RxPackets uint64 `json:"rxPackets"`
	TxPackets uint64 `json:"txPackets"`
	RxBytes   uint64 `json:"rxBytes"`
	TxBytes   uint64 `json:"txBytes"`
	RxErrors  uint64 `json:"rxErrors"`
	TxErrors  uint64 `json:"txErrors"`
	RxDropped uint64 `json:"rxDropped"`
	TxDropped uint64 `json:"txDropped"`

	Multicast         uint64 `json:"multicast,omitempty"`
	Collisions        uint64 `json:"collisions,omitempty"`
	RxLengthErrors    uint64 `json:"rxLengthErrors,omitempty"`
	RxOverErrors      uint64 `json:"rxOverErrors,omitempty"`
	RxCRCErrors       uint64 `json:"rxCRCErrors,omitempty"`
	RxFrameErrors     uint64 `json:"rxFrameErrors,omitempty"`
	RxFIFOErrors      uint64 `json:"rxFIFOErrors,omitempty"`
	RxMissedErrors    uint64 `json:"rxMissedErrors,omitempty"`
	TxAbortedErrors   uint64 `json:"txAbortedErrors,omitempty"`
	TxCarrierErrors   uint64 `json:"txCarrierErrors,omitempty"`
	TxFIFOErrors      uint64 `json:"txFIFOErrors,omitempty"`
	TxHeartbeatErrors uint64 `json:"txHeartbeatErrors,omitempty"`
	TxWindowErrors    uint64 `json:"txWindowErrors,omitempty"`
	RxCompressed      uint64 `json:"rxCompressed,omitempty"`
	TxCompressed      uint64 `json:"txCompressed,omitempty"`
	RxNoHandler       uint64 `json:"rxNoHandler,omitempty"`
	RxOtherHost       uint64 `json:"rxOtherHostDropped,omitempty"`
}

// ethtoolRow is one line of net/ethtool.ndjson. The settings are in the first
// sample; stats are the driver's own counters, with its own names.
type ethtoolRow struct {
	Index        int               `json:"index"`
	Dev          string            `json:"dev"`
	Driver       string            `json:"driver,omitempty"`
	Version      string            `json:"version,omitempty"`
	Firmware     string            `json:"firmware,omitempty"`
	Bus          string            `json:"bus,omitempty"`
	PermMAC      string            `json:"permMAC,omitempty"`
	Link         *bool             `json:"link,omitempty"`
	Settings     object            `json:"settings,omitempty"` // speedMbps, duplex, port, autoneg
	Features     map[string]string `json:"features,omitempty"` // on, off, on fixed, off wanted on …
	PrivateFlags []string          `json:"privateFlags,omitempty"`
	Rings        object            `json:"rings,omitempty"`
	Channels     object            `json:"channels,omitempty"`
	Coalesce     object            `json:"coalesce,omitempty"`
	Pause        object            `json:"pause,omitempty"`
	Stats        map[string]uint64 `json:"stats,omitempty"`
	Errors       map[string]string `json:"errors,omitempty"` // by what was asked
}
