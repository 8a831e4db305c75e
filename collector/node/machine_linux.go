package node

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxKmsgRecord = 16 << 10
	maxKmsg       = 500_000 // records
	maxHashed     = 64 << 20
)

// machine describes this machine for node.json.
func (g *gatherer) machine(samples []sampleTime) nodeRow {
	row := nodeRow{Name: g.o.Node, OS: "linux", Arch: runtime.GOARCH, Samples: samples, Netns: g.spaces}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		row.Kernel, row.Hostname = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Nodename[:])
	}
	if text, _, err := readFile(g.o.ProcRoot+"/stat", g.buffer(maxRawFile)); err == nil {
		if sec := statValue(text, "btime"); sec > 0 {
			row.BootTime = time.Unix(sec, 0).UTC()
		}
	}
	if text, _, err := readFile(g.o.ProcRoot+"/sys/kernel/random/boot_id", g.buffer(maxSysctlFile)); err == nil {
		row.BootID = plainText(text)
	}
	row.BTF = hashedFile(g.sys() + "/kernel/btf/vmlinux")
	paths := []string{g.o.ProcRoot + "/1/root/etc/os-release"}
	if g.o.Host {
		paths = append(paths, "/etc/os-release", "/usr/lib/os-release")
	}
	for _, p := range paths {
		if text, _, err := readFile(p, g.buffer(maxSysctlFile)); err == nil {
			row.OSImage = osImage(text)
			break
		}
	}
	return row
}

// hashedFile tells of a file by its hash; nil if there is none.
func hashedFile(name string) *fileRow {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxHashed))
	if err != nil {
		return nil
	}
	return &fileRow{Path: name, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}
}

func osImage(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// kmsg reads the kernel log as it stands, without waiting for more.
func (g *gatherer) kmsg(enc *json.Encoder) error {
	fd, err := openKmsg(g.o.ProcRoot)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	boot := time.Now().Add(-time.Duration(monotonicUsec()) * time.Microsecond)
	buf := make([]byte, maxKmsgRecord)
	lost, bad := false, 0
	for range maxKmsg {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EPIPE): // overwritten while reading: goes on with the oldest that is left
			lost = true
			continue
		case errors.Is(err, unix.EINVAL): // longer than the buffer
			bad++
			continue
		case errors.Is(err, unix.EAGAIN) || err == nil && n == 0:
			return kmsgEnd(lost, bad)
		case err != nil:
			return fmt.Errorf("read the kernel log: %w", err)
		}
		row, err := parseKmsg(buf[:n])
		if err != nil {
			bad++
			continue
		}
		row.Time = boot.Add(time.Duration(row.MonotonicUsec) * time.Microsecond).Round(time.Microsecond).UTC()
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d records", errPartial, maxKmsg)
}

func kmsgEnd(lost bool, bad int) error {
	switch {
	case lost:
		return fmt.Errorf("%w: records were overwritten while they were read", errPartial)
	case bad > 0:
		return fmt.Errorf("%w: %d records could not be read", errPartial, bad)
	}
	return nil
}

func openKmsg(procRoot string) (int, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		return fd, nil
	}
	if fd, err2 := unix.Open(procRoot+"/1/root/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err2 == nil {
		return fd, nil
	}
	return -1, fmt.Errorf("open /dev/kmsg: %w", err)
}
