// Package app holds the rules about how applications use their sockets.
package app

import (
	"net/netip"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/sdk"
)

const maxEvidence = 5

// listeners are the sockets of one network namespace that listen on a port.
type listeners struct {
	loopback []sdk.Row[kernel.Socket]
	open     bool // some listen on every address or on one of the pod's
}

// listening sorts the listeners on a port by who can reach them.
func listening(sockets []sdk.Row[kernel.Socket], port int, podIPs []string) listeners {
	var l listeners
	for _, s := range sockets {
		ip, err := netip.ParseAddr(s.V.Src)
		if err != nil || s.V.Sport != port {
			continue
		}
		ip = ip.Unmap()
		if ip.IsLoopback() {
			l.loopback = append(l.loopback, s)
			continue
		}
		l.open = l.open || ip.IsUnspecified()
		for _, p := range podIPs {
			l.open = l.open || ip.String() == p
		}
	}
	return l
}
