package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const (
	toolWait   = 20 * time.Second
	maxToolOut = 64 << 20
	maxToolErr = 4 << 10
	toolMemory = 128 << 20 // of its address space; the agent's own limit holds for both
)

// nodeTool runs a program of the node's own in the calling thread's network
// namespace and stores what it prints.
//
// Only the node's root is ever looked into: whoever may put programs there
// owns this agent too. A pod's root belongs to whoever made its image, and
// nothing from there is run. The program gets no input, no environment but a
// PATH, and no files but its output; it is killed when it takes too long,
// prints too much, or when this thread ends.
func (g *gatherer) nodeTool(ctx context.Context, path string, programs []string, args ...string) {
	if !g.o.Only.Wants(path) {
		return
	}
	start := time.Now()
	if ctx.Err() != nil {
		g.recordErr(path, context.Cause(ctx), 0, start)
		return
	}
	root := g.o.Root
	if root == "/" {
		root = ""
	}
	err := fmt.Errorf("%w: the node has none of %s", collector.ErrUnsupported, strings.Join(programs, ", "))
	var n int64
	for _, program := range programs {
		words := append(strings.Fields(program), args...)
		for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/", "/usr/bin/", "/run/current-system/sw/bin/"} {
			m, failed := g.runTool(ctx, path, root, append([]string{dir + words[0]}, words[1:]...))
			if errors.Is(failed, errRoot) {
				failed = fmt.Errorf("%w: %w", collector.ErrUnsupported, failed)
			} else if errors.Is(failed, fs.ErrNotExist) {
				continue
			}
			g.recordErr(path, failed, m, start)
			return
		}
	}
	g.recordErr(path, err, n, start)
}

// errRoot says that the node's root cannot be entered, such as without
// hostPID or with fewer rights than process 1 has.
var errRoot = errors.New("the root of the node is out of reach")

func (g *gatherer) runTool(ctx context.Context, path, root string, argv []string) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, toolWait, fmt.Errorf("it took more than %s", toolWait))
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.WaitDelay = time.Second
	said := &tail{limit: maxToolErr}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := startTool(cmd, root); err != nil {
		return 0, err
	}
	limited := &io.LimitedReader{R: out, N: maxToolOut + 1}
	n, stored := g.out.Store(path, collector.ClassNodes, limited)
	if limited.N <= 0 || stored != nil {
		cancel() // which kills it
	}
	failed := cmd.Wait()
	switch {
	case stored != nil:
		return n, stored
	case limited.N <= 0:
		return n, fmt.Errorf("%w: cut at %d bytes", errPartial, maxToolOut)
	case ctx.Err() != nil:
		return n, fmt.Errorf("%w: %s was killed: %w", errPartial, argv[0], context.Cause(ctx))
	case failed != nil:
		return n, fmt.Errorf("%w: %s: %w: %s", errPartial, argv[0], failed, said.text())
	}
	return n, nil
}

// startTool starts it with little memory, and first in line when memory is
// short: it must not take the agent down with it.
func startTool(cmd *exec.Cmd, root string) error {
	err := cmd.Start()
	if err != nil {
		if root != "" && (errors.Is(err, fs.ErrPermission) || rootMissing(root)) {
			return fmt.Errorf("%w: %w", errRoot, err)
		}
		return err
	}
	pid := cmd.Process.Pid
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("1000"), 0)
	_ = unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: toolMemory, Max: toolMemory}, nil)
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	return nil
}

func rootMissing(root string) bool {
	_, err := os.Stat(root + "/")
	return err != nil
}

// tail keeps the first bytes of what is written to it.
type tail struct {
	buf   bytes.Buffer
	limit int
}

func (t *tail) Write(b []byte) (int, error) {
	t.buf.Write(b[:min(len(b), t.limit-t.buf.Len())])
	return len(b), nil
}

func (t *tail) text() string { return strings.ToValidUTF8(strings.TrimSpace(t.buf.String()), "?") }
