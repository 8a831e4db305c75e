package node

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

// ipsets lists the sets of the calling thread's namespace.
func ipsets(ctx context.Context) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		d := newIPSetDecoder()
		ofSet, all := 0, 0
		var cut error
		err := newDump(ctx, unix.NETLINK_NETFILTER).run(ipsetList, ipsetRequest(), func(m nlmsg) error {
			return d.rows(m.body, func(row ipsetRow) error {
				if row.Kind == "set" {
					ofSet = 0
					return enc.Encode(row)
				}
				ofSet++
				if all++; all > maxElements {
					cut = fmt.Errorf("%w: more than %d elements", errPartial, maxElements)
					return errEnough
				}
				if ofSet > maxSetElements {
					cut = fmt.Errorf("%w: set %s has more than %d elements", errPartial, row.Set, maxSetElements)
					return nil
				}
				return enc.Encode(row)
			})
		})
		if err == nil {
			err = cut
		}
		return err
	}
}
