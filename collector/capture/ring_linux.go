package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

type filterProgram = []bpf.RawInstruction

// retire is how long the kernel may keep a block that is not full, and so the
// delay of a lone packet.
const retire = 50 * time.Millisecond

// ring is a packet socket with memory that it shares with the kernel. The
// socket stays in the network namespace that it was made in.
type ring struct {
	fd    int
	wake  int // eventfd: ends a wait
	mem   []byte
	block int // bytes of a block
	next  int // offset of the block to be read next

	received, dropped, freezes int64
}

// openRing begins to capture. The filter is attached before the socket is
// bound, so that no packet gets in that it does not want.
func openRing(size int, program filterProgram, ifindex int) (_ *ring, err error) {
	r := &ring{fd: -1, wake: -1, block: size / ringBlocks}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err = r.attach(program); err != nil {
		return nil, err
	}
	if err = unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("TPACKET_V3: %w", err)
	}
	req := unix.TpacketReq3{Block_size: uint32(r.block), Block_nr: ringBlocks, Frame_size: uint32(r.block), Frame_nr: ringBlocks,
		Retire_blk_tov: uint32(retire.Milliseconds())}
	if err = unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("packet ring of %d bytes: %w", size, err)
	}
	if r.mem, err = unix.Mmap(r.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map packet ring: %w", err)
	}
	if err = r.bind(ifindex); err != nil {
		return nil, err
	}
	return r, nil
}

// bind lets packets in: of all interfaces when ifindex is 0.
func (r *ring) bind(ifindex int) error {
	everything := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind packet socket: %w", err)
	}
	return nil
}

// attach sets the socket's filter, in place of one it has.
func (r *ring) attach(program filterProgram) error {
	ins := make([]unix.SockFilter, len(program))
	for i, p := range program {
		ins[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	prog := unix.SockFprog{Len: uint16(len(ins)), Filter: &ins[0]}
	err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	runtime.KeepAlive(ins)
	if err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

// closed accepts nothing.
func closed() filterProgram { return filterProgram{{Op: 0x06}} } // ret #0

// ending is what ends a capture, besides its context.
type ending struct {
	deadline time.Time       // zero: none
	trigger  <-chan struct{} // may be nil
	after    time.Duration   // from the trigger to the end
	why      string
	fired    time.Time // when the trigger was seen here
}

// check looks at the trigger; over when the time has come.
func (e *ending) check(r *ring, now time.Time) (over bool) {
	select {
	case <-e.trigger:
		r.calm()
		e.trigger, e.why, e.fired, e.deadline = nil, stoppedTriggered, now, now.Add(e.after)
	default:
	}
	return !e.deadline.IsZero() && !now.Before(e.deadline)
}

// wait is how long to wait for packets.
func (e *ending) wait(now time.Time) time.Duration {
	if e.deadline.IsZero() {
		return time.Second
	}
	return min(time.Second, e.deadline.Sub(now))
}

// read hands full blocks to fn until ctx or e ends it; then it lets nothing
// more in and reads what is left. An error of fn ends it at once.
func (r *ring) read(ctx context.Context, e *ending, fn func(block []byte) error) (stopped string, err error) {
	defer func() {
		if e := r.count(); err == nil {
			err = e
		}
	}()
	defer r.interrupts(ctx.Done())()
	defer r.interrupts(e.trigger)()
	lastCount := time.Now()
	for {
		taken, err := r.take(fn)
		if err != nil {
			return "", err
		}
		now := time.Now()
		if now.Sub(lastCount) > time.Second { // the kernel's counters have 32 bits
			lastCount = now
			if err := r.count(); err != nil {
				return "", err
			}
		}
		switch {
		case ctx.Err() != nil:
			return stoppedCanceled, r.drain(fn)
		case e.check(r, now):
			return e.why, r.drain(fn)
		case taken:
			continue
		}
		if err := r.wait(e.wait(now)); err != nil {
			return "", err
		}
	}
}

// take reads one block if the kernel has finished one.
func (r *ring) take(fn func([]byte) error) (bool, error) {
	block := r.mem[r.next : r.next+r.block]
	status := (*uint32)(unsafe.Pointer(&block[blockStatusOffset]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		return false, nil
	}
	err := fn(block)
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + r.block) % len(r.mem)
	return true, err
}

// drain shuts the ring and reads the rest. The kernel gives a block that is
// not full free after at most two periods of retire.
func (r *ring) drain(fn func([]byte) error) error {
	if err := r.attach(closed()); err != nil {
		return err
	}
	for quiet := time.Now().Add(4 * retire); time.Now().Before(quiet); {
		taken, err := r.take(fn)
		if err != nil {
			return err
		}
		if !taken {
			time.Sleep(retire / 10)
		}
	}
	for {
		if taken, err := r.take(fn); err != nil || !taken {
			return err
		}
	}
}

func (r *ring) wait(d time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, int(d.Milliseconds())+1)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 { // a device went down; the socket goes on
		_, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	}
	return nil
}

// interrupts ends a wait when c is closed. What it returns must be called
// before r is closed: nothing may be written to a file descriptor that is
// somebody else's by then.
func (r *ring) interrupts(c <-chan struct{}) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-c:
			_, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 1})
		case <-done:
		}
	}()
	return func() { close(done); <-ended }
}

// calm takes interruptions back.
func (r *ring) calm() {
	var b [8]byte
	_, _ = unix.Read(r.wake, b[:])
}

// count adds up the kernel's counters, which reading sets to zero.
func (r *ring) count() error {
	st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("packet statistics: %w", err)
	}
	r.received += int64(st.Packets)
	r.dropped += int64(st.Drops)
	r.freezes += int64(st.Freeze_q_cnt)
	return nil
}

// interfaceName asks for the name of an interface that came after the start.
func (r *ring) interfaceName(index int) string {
	if req, err := unix.NewIfreq(""); err == nil {
		req.SetUint32(uint32(index))
		if unix.IoctlIfreq(r.fd, unix.SIOCGIFNAME, req) == nil {
			return req.Name()
		}
	}
	return fmt.Sprintf("if%d", index)
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
	}
	for _, fd := range []int{r.fd, r.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	r.mem, r.fd, r.wake = nil, -1, -1
}
