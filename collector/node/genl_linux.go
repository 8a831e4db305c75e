package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const maxServices = 100_000

// genlFamily finds a family of generic netlink. It is asked only for what is
// known to be there: the kernel would load the module of any other.
func genlFamily(d *dump, name string) (uint16, error) {
	var id uint16
	err := d.one(genlControl, genlRequest(genlGetFamily, attrText(2, name)), func(m nlmsg) error {
		if id == 0 {
			id = familyID(m.body)
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) || err == nil && id == 0 {
		return 0, fmt.Errorf("%w: no generic netlink family %s", collector.ErrUnsupported, name)
	}
	return id, err
}

// ipvs lists the virtual services of the calling thread's namespace, and the
// real servers behind each.
func ipvs(ctx context.Context) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		d, dec := newDump(ctx, unix.NETLINK_GENERIC), newIPVSDecoder()
		family, err := genlFamily(d, "IPVS")
		if err != nil {
			return err
		}
		type service struct {
			row object
			key []byte
		}
		var services []service
		err = d.run(family, genlRequest(ipvsGetSvc, nil), func(m nlmsg) error {
			row, key := dec.serviceRow(m.body)
			if row == nil {
				return nil
			}
			if len(services) == maxServices {
				return fmt.Errorf("%w: more than %d services", errPartial, maxServices)
			}
			services = append(services, service{object{"af": row["af"], "addr": row["addr"], "port": row["port"], "protocol": row["protocol"], "fwmark": row["fwmark"]}, key})
			return enc.Encode(row)
		})
		for _, s := range services {
			if err != nil {
				return err
			}
			err = d.run(family, genlRequest(ipvsGetDest, s.key), func(m nlmsg) error {
				if row := dec.destRow(m.body, s.row); row != nil {
					return enc.Encode(row)
				}
				return nil
			})
			if errors.Is(err, unix.ESRCH) { // it went away meanwhile
				err = nil
			}
		}
		return err
	}
}

// wireguard lists the peers of the devices of that kind.
func (t *tables) wireguard(enc *json.Encoder) error {
	d, s := newDump(t.dump.ctx, unix.NETLINK_GENERIC), wireguardSchema()
	family := uint16(0)
	for _, l := range t.links {
		if l.Kind != "wireguard" {
			continue
		}
		var err error
		if family == 0 {
			if family, err = genlFamily(d, "wireguard"); err != nil {
				return err
			}
		}
		err = d.run(family, genlRequest(wgGetDevice, attrText(2, l.Name)), func(m nlmsg) error {
			return wireguardRows(s, m.body, func(row object) error { return enc.Encode(row) })
		})
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return nil
}
