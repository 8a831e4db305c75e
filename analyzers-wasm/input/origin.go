package input

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// rowHead begins a row: its number and, below nodes/, whose it is.
func rowHead(dst []byte, at int64, o origin) []byte {
	dst = strconv.AppendInt(append(dst, `{"`+abi.KeyAt+`":`...), at, 10)
	if o.node == "" {
		return dst
	}
	dst = append(append(dst, `,"`+abi.KeyNode+`":`...), o.quoted...)
	if o.netns != 0 {
		dst = strconv.AppendUint(append(dst, `,"`+abi.KeyNetns+`":`...), o.netns, 10)
	}
	if o.sampled {
		dst = strconv.AppendInt(append(dst, `,"`+abi.KeySample+`":`...), int64(o.sample), 10)
	}
	return dst
}

// origin is what a path below nodes/ says of its rows.
type origin struct {
	node    string
	quoted  []byte // node as JSON
	netns   uint64
	sample  int
	sampled bool
}

func originOf(path string) origin {
	segs := strings.SplitN(path, "/", 6)
	if len(segs) < 3 || segs[0] != "nodes" {
		return origin{}
	}
	o := origin{node: segs[1]}
	o.quoted, _ = json.Marshal(o.node) // a string always marshals
	rest := segs[2:]
	if rest[0] == "netns" && len(rest) > 2 {
		if n, err := strconv.ParseUint(rest[1], 10, 64); err == nil {
			o.netns, rest = n, rest[2:]
		}
	}
	if k, err := strconv.ParseUint(rest[0], 10, 16); err == nil && len(rest) > 1 {
		o.sample, o.sampled = int(k), true
	}
	return o
}

// originNode says that a row is a node's, or a network namespace's of it.
func originNode(node string, netns uint64) origin {
	o := origin{node: node, netns: netns}
	o.quoted, _ = json.Marshal(node) // a string always marshals
	return o
}

func (o origin) equal(p origin) bool {
	return o.node == p.node && o.netns == p.netns && o.sample == p.sample && o.sampled == p.sampled
}
