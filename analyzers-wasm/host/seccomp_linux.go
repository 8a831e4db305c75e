//go:build amd64 || arm64

package host

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// always are the calls that Go's runtime, the engine and the child's own pipes
// and spool need to the end. What is on no list fails with EPERM.
func always() []uint32 {
	return append(archAlways(),
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_FCNTL,
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
		unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
		unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
		unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EXIT, unix.SYS_EXIT_GROUP)
}

// untilCompiled are the calls that end with the preparation of a module: the
// files of its compiled code, and what is needed to forbid them.
func untilCompiled() []uint32 {
	return []uint32{
		unix.SYS_OPENAT, unix.SYS_MKDIRAT, unix.SYS_NEWFSTATAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
		unix.SYS_SECCOMP, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF,
	}
}

// Offsets in struct seccomp_data; both architectures are little-endian, so
// that the low half of an argument comes first.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
)

const (
	refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	nothing = unix.SECCOMP_RET_ERRNO // looks done
	allowed = unix.SECCOMP_RET_ALLOW
)

// filter is a classic BPF program.
type filter []unix.SockFilter

func (f *filter) op(code uint16, k uint32, jt, jf uint8) {
	*f = append(*f, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (f *filter) load(offset uint32) { f.op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }

func (f *filter) ret(what uint32) { f.op(unix.BPF_RET|unix.BPF_K, what, 0, 0) }

// call gives the calls one end.
func (f *filter) call(what uint32, nrs ...uint32) {
	for _, nr := range nrs {
		f.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, 0, 1)
		f.ret(what)
	}
}

// callIf allows a call if its first argument passes the test with k.
func (f *filter) callIf(nr uint32, test uint16, k uint32) {
	f.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, 0, 4)
	f.load(dataArg0)
	f.op(unix.BPF_JMP|test|unix.BPF_K, k, 0, 1)
	f.ret(allowed)
	f.ret(refused)
}

// begin loads the number of the call, of this architecture only.
func (f *filter) begin() {
	f.load(dataArch)
	f.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArch, 1, 0)
	f.ret(unix.SECCOMP_RET_KILL_PROCESS)
	f.load(dataNr)
	f.op(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, foreignCalls, 0, 1)
	f.ret(refused)
}

// firstFilter is what a child may do while it compiles: threads, no processes;
// signals to itself; the files of the compiled code.
func firstFilter(pid int) filter {
	var f filter
	f.begin()
	f.call(allowed, always()...)
	f.callIf(unix.SYS_CLONE, unix.BPF_JSET, unix.CLONE_THREAD)
	f.callIf(unix.SYS_TGKILL, unix.BPF_JEQ, uint32(pid))
	f.callIf(unix.SYS_PRCTL, unix.BPF_JEQ, unix.PR_SET_VMA)
	f.callIf(unix.SYS_PRLIMIT64, unix.BPF_JEQ, 0)
	f.call(allowed, untilCompiled()...)
	f.call(nothing, unix.SYS_FSYNC) // what is private and short-lived need not reach a disk
	f.call(unknown, unix.SYS_CLONE3)
	f.ret(refused)
	return f
}

// lastFilter takes away what only compiling needed; both filters apply.
func lastFilter() filter {
	var f filter
	f.begin()
	f.call(refused, untilCompiled()...)
	f.call(refused, unix.SYS_PRLIMIT64)
	f.ret(allowed)
	return f
}

// install puts the filter on every thread of the process.
func (f filter) install() error {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	const setModeFilter = 1
	nr, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // the kernel's interface
	switch {
	case errno != 0:
		return errno
	case nr != 0:
		return fmt.Errorf("thread %d would not take it", nr)
	}
	return nil
}

func firstSeccomp() error { return offered(firstFilter(os.Getpid()).install()) }
func lastSeccomp() error  { return offered(lastFilter().install()) }

// offered tells a kernel without the feature from one that refused.
func offered(err error) error {
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return errNotOffered
	}
	return err
}
