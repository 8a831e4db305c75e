package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture/filter"
)

// session is a capture that has begun: packets gather in its ring.
type session struct {
	spec  Spec
	ring  *ring
	ifs   []Interface
	start time.Time
	watch []watcher
	notes []string
}

// open begins a capture in the namespace of s. The thread that enters the
// namespace is never used for anything else.
func open(s Spec) (c *session, err error) {
	program, err := filter.CompileAny(s.Filter, s.Snaplen)
	if err != nil {
		return nil, err
	}
	if s.NetnsPath == "" {
		return begin(s, program)
	}
	err = collector.InNetns(s.NetnsPath, s.Netns, func() (err error) {
		c, err = begin(s, program)
		return err
	})
	return c, err
}

// refused marks errors for which the status is not "failed".
func refused(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: captures need root, or CAP_NET_RAW and CAP_SYS_ADMIN: %w", collector.ErrDenied, err)
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("%w: this kernel has no packet rings: %w", collector.ErrUnsupported, err)
	}
	return err
}

func begin(s Spec, program filterProgram) (*session, error) {
	ifs, err := interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	index := 0
	if s.Interface != "" {
		if ifs, err = only(ifs, s.Interface); err != nil {
			return nil, err
		}
		index = ifs[0].Index
	}
	size := s.ring
	if size == 0 {
		size = ringDefault
	}
	r, err := openRing(size, program, index)
	if err != nil {
		return nil, refused(err)
	}
	c := &session{spec: s, ring: r, ifs: ifs, start: time.Now()}
	c.watch, c.notes = watchers(s)
	return c, nil
}

func only(ifs []Interface, name string) ([]Interface, error) {
	var have []string
	for _, i := range ifs {
		if i.Name == name {
			return []Interface{i}, nil
		}
		have = append(have, i.Name)
	}
	return nil, fmt.Errorf("no interface %q here; there are %q", name, have)
}

// interfaces lists those of the calling thread's namespace.
func interfaces() ([]Interface, error) {
	rib, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	msgs, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, err
	}
	var out []Interface
	for i := range msgs {
		m := &msgs[i]
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return nil, err
		}
		found := Interface{HardwareType: binary.NativeEndian.Uint16(m.Data[2:]), Index: int(int32(binary.NativeEndian.Uint32(m.Data[4:])))}
		for _, a := range attrs {
			if a.Attr.Type == syscall.IFLA_IFNAME {
				found.Name = unix.ByteSliceToString(a.Value)
			}
		}
		out = append(out, found)
	}
	return out, nil
}

// run writes the capture to w until it ends, one way or the other.
func (c *session) run(ctx context.Context, w io.Writer) (Stats, error) {
	defer c.ring.close()
	out := newFile(c.spec, w, c.ifs, c.ring.interfaceName)
	if c.spec.Ring > 0 {
		defer out.record().close()
	} else if err := out.flush(); err != nil {
		return out.stats, err
	}
	stopWatching := c.watching(ctx)
	end := c.ending()
	stopped, err := c.ring.read(ctx, &end, func(block []byte) error {
		if err := eachFrame(block, out.write); err != nil {
			return err
		}
		return out.flush()
	})
	stopWatching()
	if errors.Is(err, errFull) {
		stopped, err = stoppedSize, nil
	}
	if err != nil {
		return out.stats, err
	}
	out.stats.Stopped, out.stats.Started, out.stats.Millis = stopped, c.start.UTC(), time.Since(c.start).Milliseconds()
	out.stats.Received, out.stats.Dropped, out.stats.Freezes = c.ring.received, c.ring.dropped, c.ring.freezes
	out.stats.Notes = c.notes
	if e, ok := c.spec.Trigger.Event(); ok {
		out.stats.Trigger, out.stats.fired = &e, end.fired
	}
	if c.spec.Ring > 0 {
		if err := out.replay(w); err != nil {
			return out.stats, err
		}
	}
	return out.close(time.Now())
}

// ending is when the capture is over.
func (c *session) ending() ending {
	e := ending{trigger: c.spec.Trigger.Fired(), after: c.spec.After, why: stoppedDuration}
	if len(c.spec.Until) > 0 {
		e.why = stoppedUntriggered
	}
	if c.spec.Duration > 0 {
		e.deadline = c.start.Add(c.spec.Duration)
	}
	return e
}

// watching looks for triggers until it is stopped.
func (c *session) watching(ctx context.Context) (stop func()) {
	if c.spec.Trigger == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { c.notes = append(c.notes, await(ctx, c.watch, c.spec.Trigger, c.spec.Where)...) })
	return func() { cancel(); watcher.Wait() }
}
