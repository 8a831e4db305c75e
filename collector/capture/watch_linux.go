package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture/filter"
)

// watchEvery is how often triggers are looked at.
const watchEvery = 200 * time.Millisecond

// watcher looks for one trigger. It was opened in the namespace that it looks
// at, and may be polled from anywhere.
type watcher struct {
	until Until
	poll  func(now time.Time) (detail string, fired bool, err error)
	close func()
}

// watchers opens those of s, in the namespace of the calling thread. What
// cannot be watched is noted and costs only itself.
func watchers(s Spec) (list []watcher, notes []string) {
	for _, u := range s.Until {
		w, err := watch(u, s)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is not watched: %v", u, err))
		} else if w.poll != nil {
			list = append(list, w)
		}
	}
	return list, notes
}

func watch(u Until, s Spec) (watcher, error) {
	w := watcher{until: u, close: func() {}}
	switch u.kind {
	case untilCounter:
		return w, w.counter()
	case untilLog:
		return w, w.logs(s.LogDirs)
	case untilPacket:
		return w, w.packet()
	case untilTime:
		w.poll = func(now time.Time) (string, bool, error) { return "", !now.Before(u.at), nil }
	}
	return w, nil // a signal comes from outside
}

// counter reads the file of a counter, which stays that of the namespace in
// which it was opened.
func (w *watcher) counter() error {
	table := w.until.table()
	f, err := os.Open("/proc/thread-self/net/" + counterFile(table))
	if errors.Is(err, fs.ErrNotExist) {
		return errNoCounter
	}
	if err != nil {
		return err
	}
	buf := make([]byte, maxCounters)
	read := func() (uint64, error) {
		n, err := f.ReadAt(buf, 0)
		if n == 0 {
			return 0, err
		}
		return counterIn(w.until.counter, buf[:n])
	}
	first, err := read()
	if err != nil {
		f.Close()
		return err
	}
	w.close = func() { f.Close() }
	w.poll = func(time.Time) (string, bool, error) {
		now, err := read()
		return fmt.Sprintf("%d, at the start %d", now, first), err == nil && w.until.met(first, now), err
	}
	return nil
}

// packet is a socket with the trigger's filter: the first thing that it gets
// is the trigger.
func (w *watcher) packet() error {
	program, err := filter.CompileAny(w.until.filter, 1)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return refused(fmt.Errorf("packet socket: %w", err))
	}
	r := &ring{fd: fd, wake: -1}
	if err := errors.Join(r.attach(program), r.bind(0)); err != nil {
		r.close()
		return err
	}
	w.close = r.close
	w.poll = func(time.Time) (string, bool, error) {
		var b [1]byte
		_, from, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			if at, ok := from.(*unix.SockaddrLinklayer); ok {
				return "on " + r.interfaceName(at.Ifindex), true, nil
			}
			return "", true, nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
			return "", false, nil
		}
		return "", false, err
	}
	return nil
}

// await polls until one fires the trigger, or ctx ends. A watcher that fails
// is given up; the notes say so.
func await(ctx context.Context, list []watcher, t *collector.Trigger, where string) (notes []string) {
	defer func() {
		for _, w := range list {
			w.close()
		}
	}()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failed := make([]bool, len(list))
	for {
		select {
		case <-ctx.Done():
			return notes
		case <-t.Fired():
			return notes
		case now := <-tick.C:
			for i, w := range list {
				if failed[i] {
					continue
				}
				detail, fired, err := w.poll(now)
				if err != nil {
					failed[i] = true
					notes = append(notes, fmt.Sprintf("%s is not watched any more: %v", w.until, err))
				}
				if fired {
					t.Fire(collector.TriggerEvent{Trigger: w.until.String(), Detail: detail, Where: where, Time: time.Now().UTC()})
				}
			}
		}
	}
}
