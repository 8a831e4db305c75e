package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// ethtoolOf asks about a device of the namespace that fd is of.
func ethtoolOf(fd int, dev string) ethtool {
	return func(buf []byte) error {
		var ifr struct { // struct ifreq
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(ifr.name[:unix.IFNAMSIZ-1], dev)
		ifr.data = unsafe.Pointer(&buf[0])
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr)))
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// writeEthtool asks every device. Those that went away meanwhile have no row.
func (t *tables) writeEthtool(again bool) func(*json.Encoder) error {
	return func(enc *json.Encoder) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, l := range t.links {
			if t.dump.ctx.Err() != nil {
				return fmt.Errorf("%w: %w", errPartial, context.Cause(t.dump.ctx))
			}
			e := ethtoolOf(fd, l.Name)
			if _, err := e.ask(ethLink, 8); errors.Is(err, unix.ENODEV) || l.Kind == "loopback" {
				continue
			}
			row := ethtoolRow{Index: l.Index, Dev: l.Name}
			e.read(&row, again)
			if err := enc.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
}

const maxClassFiles = 20_000

// classNet copies what sysfs has of the devices with hardware behind them,
// bonds and the ports of bridges and bonds, in the node's own namespace:
// /sys/class/net shows that of who mounted it.
func (g *gatherer) classNet(ctx context.Context, path string, links []linkRow, again bool) {
	gr := g.group(path)
	left := maxClassFiles
	for _, l := range links {
		if l.Kind != "device" && l.Kind != "bond" && l.PortKind == "" {
			continue
		}
		dir := g.sys() + "/class/net/" + l.Name
		for _, pattern := range classNetFiles(l.Kind == "device", again) {
			names, _ := filepath.Glob(dir + "/" + pattern) // fails for bad patterns alone
			for _, name := range names {
				if left--; left < 0 || ctx.Err() != nil {
					break
				}
				gr.addText(strings.TrimPrefix(name, g.sys()+"/class/net/"), maxSysctlFile, readClassFile(name))
			}
		}
	}
	if left < 0 {
		g.record(path, collector.StatusPartial, fmt.Sprintf("more than %d files", maxClassFiles), 0, gr.start)
	}
	gr.close(ctx)
}

// readClassFile reads a file of sysfs, or the name behind the link to a
// driver. What a device has no answer to, such as the speed of one that is
// down, is not there.
func readClassFile(name string) func([]byte) ([]byte, bool, error) {
	return func(buf []byte) ([]byte, bool, error) {
		if filepath.Base(name) == "driver" {
			driver, err := os.Readlink(name)
			return []byte(filepath.Base(driver) + "\n"), false, err
		}
		text, cut, err := readFile(name, buf)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
			err = unix.ENOENT
		}
		return text, cut, err
	}
}

func classNetFiles(hardware, again bool) []string {
	files := []string{"operstate", "carrier_changes", "statistics/*", "bonding/*", "bonding_slave/*"}
	if hardware {
		files = append(files, "queues/*/byte_queue_limits/inflight", "queues/*/tx_timeout", "queues/*/traffic_class")
	}
	if again {
		return append(files, "brport/state") // the first sample has all of brport
	}
	files = append(files, "speed", "duplex", "mtu", "address", "ifindex", "iflink", "flags", "type", "carrier", "dormant", "tx_queue_len", "threaded", "napi_defer_hard_irqs", "gro_flush_timeout",
		"brport/*", "device/driver", "device/vendor", "device/numa_node", "device/uevent", "device/sriov_numvfs")
	if hardware {
		files = append(files, "queues/*/rps_cpus", "queues/*/rps_flow_cnt", "queues/*/xps_cpus", "queues/*/tx_maxrate", "queues/*/byte_queue_limits/limit*")
	}
	return files
}
