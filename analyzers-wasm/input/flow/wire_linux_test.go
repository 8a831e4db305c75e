package flow

import (
	"container/heap"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a link between two namespaces that this test is itself: it delays,
// loses, doubles and overtakes frames by chance, from a seed.
type wire struct {
	delay, jitter          time.Duration
	loss, double, overtake float64
	seed                   uint64
}

// frame waits for its time.
type frame struct {
	at   time.Time
	nth  int
	data []byte
}

type frames []frame

func (f frames) Len() int { return len(f) }
func (f frames) Less(i, j int) bool {
	return f[i].at.Before(f[j].at) || f[i].at.Equal(f[j].at) && f[i].nth < f[j].nth
}
func (f frames) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)   { *f = append(*f, x.(frame)) }
func (f *frames) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// tap makes a device of that name in a namespace.
func (l *lab) tap(space int, name string) *os.File {
	l.t.Helper()
	var fd int
	var err error
	l.enter(space, func() {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		var req *unix.Ifreq
		if req, err = unix.NewIfreq(name); err == nil {
			req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
	})
	if err != nil {
		strict(l.t, "needs tap devices: %v", err)
	}
	f := os.NewFile(uintptr(fd), name)
	l.t.Cleanup(func() { f.Close() })
	return f
}

// run carries frames both ways until the devices are closed.
func (w *wire) run(east, west *os.File) {
	go w.carry(east, west, rand.New(rand.NewPCG(w.seed, 1)))
	go w.carry(west, east, rand.New(rand.NewPCG(w.seed, 2)))
}

func (w *wire) carry(from, to *os.File, chance *rand.Rand) {
	var mu sync.Mutex
	var queue frames
	wake := make(chan struct{}, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			mu.Lock()
			wait := time.Hour
			for len(queue) > 0 {
				if wait = time.Until(queue[0].at); wait > 0 {
					break
				}
				f := heap.Pop(&queue).(frame)
				_, _ = to.Write(f.data)
			}
			mu.Unlock()
			select {
			case <-time.After(max(wait, 0)):
			case <-wake:
			case <-done:
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for nth := 0; ; nth++ {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if chance.Float64() < w.loss {
			continue
		}
		f := frame{at: time.Now(), nth: nth, data: append([]byte(nil), buf[:n]...)}
		if chance.Float64() >= w.overtake {
			f.at = f.at.Add(w.delay + time.Duration(chance.Float64()*float64(w.jitter)))
		}
		mu.Lock()
		heap.Push(&queue, f)
		if chance.Float64() < w.double {
			heap.Push(&queue, f)
		}
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}
