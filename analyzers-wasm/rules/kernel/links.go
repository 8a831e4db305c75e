package kernel

import "github.com/casefile-io/casefile/sdk"

// Link is a line of links.ndjson.
type Link struct {
	sdk.Place
	Index int      `json:"index"`
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	MTU   int      `json:"mtu"`
	Flags []string `json:"flags"`
	State string   `json:"state"`
	Link  int      `json:"link"` // the parent's index, or the peer's of a veth
	Vxlan *struct {
		Local string `json:"local"`
		Dev   string `json:"dev"`
	} `json:"vxlan"`
}

// LinksInput is the declared input of links: the first sample's.
func LinksInput() Tables[Link] { return everywhere[Link]("links", "0/net/links.ndjson") }

// Addr is a line of addrs.ndjson.
type Addr struct {
	sdk.Place
	Index int    `json:"index"`
	Addr  string `json:"addr"` // with its prefix length
	Scope string `json:"scope"`
}

// AddrsInput is the declared input of addresses.
func AddrsInput() Tables[Addr] { return everywhere[Addr]("addrs", "0/net/addrs.ndjson") }

// Route is a line of routes.ndjson.
type Route struct {
	sdk.Place
	Dst      string `json:"dst"`
	GW       string `json:"gw"`
	Index    int    `json:"index"`
	Table    int    `json:"table"`
	Type     string `json:"type"`
	Metric   int    `json:"metric"`
	MTU      int    `json:"mtu"`
	Family   string `json:"family"`
	Nexthops []struct {
		GW    string `json:"gw"`
		Index int    `json:"index"`
	} `json:"nexthops"`
}

// RoutesInput is the declared input of routes.
func RoutesInput() Tables[Route] { return everywhere[Route]("routes", "0/net/routes.ndjson") }
