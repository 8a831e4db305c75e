package main

import (
	"fmt"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/sidecar"
)

// sidecars makes the collector of the proxies in all network namespaces.
func sidecars(name string, spaces []node.Netns) collector.Collector {
	o := sidecar.Options{Node: name}
	for _, ns := range spaces {
		proc := fmt.Sprintf("/proc/%d/", ns.PID)
		o.Spaces = append(o.Spaces, sidecar.Space{Inode: ns.Inode, Host: ns.Host, Path: proc + "ns/net", Net: proc + "net"})
	}
	return sidecar.New(o)
}
