//go:build amd64 || arm64

package host

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const probeVerb = "sandbox-probe"

// probes are what a child that was taken over would try.
func probes(outside string) map[string]func() error {
	sys := func(nr uintptr, args ...uintptr) func() error {
		return func() error {
			var a [6]uintptr
			copy(a[:], args)
			if _, _, errno := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	return map[string]func() error{
		"open":       func() error { _, err := os.Open(outside); return err },
		"open self":  func() error { _, err := os.Open("/proc/self/mem"); return err },
		"create":     func() error { return os.WriteFile(outside+".new", nil, 0o600) },
		"link":       func() error { return os.Link(outside, outside+".link") },
		"symlink":    func() error { return os.Symlink(outside, outside+".sym") },
		"chmod":      func() error { return os.Chmod(outside, 0o777) },
		"truncate":   func() error { return os.Truncate(outside, 0) },
		"list":       func() error { _, err := os.ReadDir("/"); return err },
		"connect":    func() error { _, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second); return err },
		"udp":        func() error { _, err := net.Dial("udp", "127.0.0.1:53"); return err },
		"unix":       func() error { _, err := net.Dial("unix", "/run/x"); return err },
		"exec":       func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"spawn":      func() error { return exec.Command("/bin/true").Run() },
		"fork":       sys(unix.SYS_CLONE, uintptr(unix.SIGCHLD)),
		"clone3":     sys(unix.SYS_CLONE3, 0, 88),
		"ptrace":     sys(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid())),
		"kill":       sys(unix.SYS_KILL, uintptr(os.Getppid()), 0),
		"tgkill":     sys(unix.SYS_TGKILL, uintptr(os.Getppid()), uintptr(os.Getppid()), 0),
		"read other": sys(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid())),
		"dumpable":   sys(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1),
		"mount":      sys(unix.SYS_MOUNT), "chroot": sys(unix.SYS_CHROOT), "unshare": sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"setns": sys(unix.SYS_SETNS), "bpf": sys(unix.SYS_BPF), "perf": sys(unix.SYS_PERF_EVENT_OPEN), "keyctl": sys(unix.SYS_KEYCTL),
		"io_uring": sys(unix.SYS_IO_URING_SETUP, 1), "userfaultfd": sys(unix.SYS_USERFAULTFD), "memfd": sys(unix.SYS_MEMFD_CREATE),
		"ioctl": sys(unix.SYS_IOCTL, 0, unix.TIOCSTI), "dup": sys(unix.SYS_DUP, 0), "pidfd": sys(unix.SYS_PIDFD_OPEN, uintptr(os.Getppid())),
		"setuid": sys(unix.SYS_SETUID, 0), "rlimit of others": sys(unix.SYS_PRLIMIT64, uintptr(os.Getppid()), unix.RLIMIT_CPU),
	}
}

// probe is the child of TestGuard: it takes the limits as any child does, and
// then tries.
func probe(stdin io.Reader, stdout io.Writer) int {
	var buf []byte
	c, code := enter(stdin, stdout, &buf)
	if c == nil {
		return code
	}
	report := func(probes map[string]func() error) int {
		went := map[string]string{}
		for name, try := range probes {
			switch err := try(); {
			case err == nil:
				went[name] = "it worked"
			case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS):
				went[name] = err.Error()
			default:
				went[name] = ""
			}
		}
		if writeJSON(stdout, frameDone, went) != nil {
			return 1
		}
		return 0
	}
	inside := filepath.Join(c.s.Scratch, "x")
	own := map[string]func() error{"own file": func() error { return os.WriteFile(inside, nil, 0o600) }}
	all := probes("/etc/hostname")
	if report(all) != 0 || report(own) != 0 {
		return 1
	}
	if err := closeFiles(); err != nil {
		return 1
	}
	for name, try := range own {
		all[name] = try
	}
	all["rlimit"] = func() error { return unix.Prlimit(0, unix.RLIMIT_FSIZE, nil, &unix.Rlimit{}) }
	done := make(chan int)
	go func() { done <- report(all) }() // on another thread, too
	return <-done
}

// TestGuard: a child that was taken over reaches no file, network or process;
// before its module is compiled it has its own scratch folder, then nothing.
func TestGuard(t *testing.T) {
	o := testOptions(t).withDefaults()
	o.Exec = []string{pureTestBinary(t), probeVerb}
	sp, err := newSpool(o.TempDir)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	scratch := t.TempDir()
	c, err := startSession(o, sp.view)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.handshake(t.Context(), setup{MemoryMiB: 64, CPUSeconds: 20, Scratch: scratch}); err != nil {
		t.Fatal(err)
	}
	if len(c.lacks) > 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatalf("this kernel lacks %q", c.lacks)
		}
		t.Skipf("this kernel lacks %q", c.lacks)
	}
	stop := c.guard(context.Background(), 20*time.Second, "probe")
	defer stop()
	checkProbes(t, c, "before compiling", "")
	checkProbes(t, c, "its own folder", "it worked")
	checkProbes(t, c, "before running", "")
}

// pureTestBinary is this test without C in it, whose threads Go reaches all.
func pureTestBinary(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test")
	cmd := exec.Command("go", "test", "-c", "-o", name, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return name
}

func checkProbes(t *testing.T, c *session, stage, want string) {
	t.Helper()
	kind, payload, err := readFrame(c.out, &c.buf)
	var went map[string]string
	if err != nil || kind != frameDone || json.Unmarshal(payload, &went) != nil || len(went) == 0 {
		t.Fatalf("%s: %c %s %v; %s", stage, kind, payload, err, c.stderr.String())
	}
	for name, got := range went {
		if got != want {
			t.Errorf("%s: %s: %q, want %q", stage, name, got, want)
		}
	}
}

// run simulates a filter on a call.
func (f filter) run(arch, nr, arg0 uint32) uint32 {
	acc := uint32(0)
	for i := 0; ; i++ {
		op, jump := f[i], false
		switch op.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = map[uint32]uint32{dataNr: nr, dataArch: arch, dataArg0: arg0}[op.K]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return op.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump = acc == op.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump = acc >= op.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump = acc&op.K != 0
		}
		if jump {
			i += int(op.Jt)
		} else {
			i += int(op.Jf)
		}
	}
}

// TestFilter: what the filters say to each kind of call, without a kernel.
func TestFilter(t *testing.T) {
	first, last := firstFilter(77), lastFilter()
	for _, c := range []struct {
		what          string
		arch, nr, arg uint32
		first, last   uint32
	}{
		{"read", auditArch, unix.SYS_READ, 0, allowed, allowed},
		{"open", auditArch, unix.SYS_OPENAT, 0, allowed, refused},
		{"fsync", auditArch, unix.SYS_FSYNC, 0, nothing, allowed},
		{"thread", auditArch, unix.SYS_CLONE, unix.CLONE_THREAD | unix.CLONE_VM, allowed, allowed},
		{"fork", auditArch, unix.SYS_CLONE, uint32(unix.SIGCHLD), refused, allowed},
		{"clone3", auditArch, unix.SYS_CLONE3, 0, unknown, allowed},
		{"own signal", auditArch, unix.SYS_TGKILL, 77, allowed, allowed},
		{"signal", auditArch, unix.SYS_TGKILL, 78, refused, allowed},
		{"exec", auditArch, unix.SYS_EXECVE, 0, refused, allowed},
		{"connect", auditArch, unix.SYS_CONNECT, 0, refused, allowed},
		{"unheard of", auditArch, 9999, 0, refused, allowed},
		{"x32 or none", auditArch, foreignCalls | unix.SYS_READ, 0, refused, refused},
		{"other machine", auditArch + 1, unix.SYS_READ, 0, unix.SECCOMP_RET_KILL_PROCESS, unix.SECCOMP_RET_KILL_PROCESS},
	} {
		if got := first.run(c.arch, c.nr, c.arg); got != c.first {
			t.Errorf("first: %s: %#x, want %#x", c.what, got, c.first)
		}
		if got := last.run(c.arch, c.nr, c.arg); got != c.last {
			t.Errorf("last: %s: %#x, want %#x", c.what, got, c.last)
		}
	}
}
