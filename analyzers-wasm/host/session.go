package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

const (
	startTimeout = 20 * time.Second // for a child to limit itself
	waitDelay    = 2 * time.Second  // for a killed child's pipes
	watchEvery   = 15 * time.Millisecond
	childMiB     = 384 // what a child may take beside the linear memory: runtime, compiler, code
	dataSlackMiB = 640 // RLIMIT_DATA counts what is mapped, not what is touched
)

// session is the parent's side of one child.
type session struct {
	cmd    *exec.Cmd
	in     *os.File // commands
	out    *os.File // frames
	stderr lockedCapture
	spool  uintptr // of the child
	memory int64   // resident bytes at which the watch kills it
	due    int64   // resident bytes that it may have; a crash beyond them is put down to memory
	cpu    time.Duration
	lacks  []string // bounds that the kernel does not offer
	buf    []byte
	exited chan struct{}

	mu    sync.Mutex
	cause *ending // why it was killed
}

// lockedCapture takes the child's own stderr: the Go runtime's last words.
type lockedCapture struct {
	mu sync.Mutex
	c  capture
}

func (l *lockedCapture) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.c.add(p)
	return len(p), nil
}

func (l *lockedCapture) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.c.kept)
}

// startSession starts a child, which waits for the handshake.
func startSession(o Options, view *os.File) (*session, error) {
	if len(o.Exec) == 0 {
		return nil, errors.New("no command line for the sandbox was given")
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		in.Close()
		return nil, err
	}
	due := int64(o.MemoryMiB+childMiB) << 20
	c := &session{in: in, out: out, memory: due, due: due, cpu: time.Duration(cpuSeconds(o)) * time.Second, exited: make(chan struct{})}
	c.stderr.c.keep = maxLog
	c.cmd = exec.Command(o.Exec[0], o.Exec[1:]...)
	c.cmd.Env = childEnv()
	c.cmd.Dir = os.TempDir()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, &c.stderr
	c.cmd.WaitDelay = waitDelay
	if c.spool, err = inherit(c.cmd, view); err == nil {
		err = c.spawn()
	}
	childIn.Close()
	childOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	return c, nil
}

// spawn starts the process on a thread that lives as long as it: the signal
// that ends a child with its parent is sent when the parent's thread ends.
func (c *session) spawn() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is in ProcessState
			close(c.exited)
		}
	}()
	return <-started
}

// handshake has the child limit itself, and waits until it has.
func (c *session) handshake(ctx context.Context, s setup) error {
	stop := c.guard(ctx, startTimeout, "start")
	defer stop()
	s.Spool = c.spool
	if err := writeJSON(c.in, frameSetup, s); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	kind, payload, err := readFrame(c.out, &c.buf)
	var r ready
	if err == nil && kind == frameReady && json.Unmarshal(payload, &r) == nil {
		c.lacks = r.Lacks
		return nil
	}
	c.kill(abi.ModuleUnavailable, "it did not start")
	c.wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	if last := firstLine(c.stderr.String()); last != "" {
		return fmt.Errorf("start the sandbox: %s", last)
	}
	return fmt.Errorf("start the sandbox: %s does not answer as one (%s)", strings.Join(c.cmd.Args, " "), c.reason())
}

// phase runs one command and gathers what it prints until it ends or is ended.
func (c *session) phase(ctx context.Context, cmd command, timeout time.Duration, out, log stream) ending {
	stop := c.guard(ctx, timeout, cmd.Verb)
	defer stop()
	if err := writeJSON(c.in, frameCommand, cmd); err != nil {
		return c.died()
	}
	for {
		kind, payload, err := readFrame(c.out, &c.buf)
		if err != nil {
			return c.died()
		}
		switch kind {
		case frameStdout:
			if !out.add(payload) {
				c.kill(abi.ModuleOutput, fmt.Sprintf("printed more than %d bytes (%s)", out.most(), cmd.Verb))
				return c.died()
			}
		case frameStderr:
			if !log.add(payload) {
				c.kill(abi.ModuleOutput, fmt.Sprintf("printed more than %d bytes on stderr (%s)", log.most(), cmd.Verb))
				return c.died()
			}
		case frameDone:
			return doneEnding(payload)
		default:
			c.kill(abi.ModuleFailed, "its sandbox spoke out of turn")
			return c.died()
		}
	}
}

// doneEnding reads the child's word on how it went; the child is not trusted
// to say anything but the statuses it has.
func doneEnding(payload []byte) ending {
	var e ending
	if err := json.Unmarshal(payload, &e); err != nil {
		return ending{Status: abi.ModuleFailed, Reason: "its sandbox ended without a word"}
	}
	switch e.Status {
	case abi.ModuleOK, abi.ModuleFailed, abi.ModuleMemory, abi.ModuleFuel, abi.ModuleRefused:
		return e
	}
	return ending{Status: abi.ModuleFailed, Reason: e.Reason}
}

// guard ends the child when time is up, ctx ends or its memory is too large,
// until stop is called.
func (c *session) guard(ctx context.Context, timeout time.Duration, verb string) (stop func()) {
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-c.exited:
				return
			case <-ctx.Done():
				c.kill(abi.ModuleFailed, "interrupted: "+context.Cause(ctx).Error())
				return
			case <-timer.C:
				c.kill(abi.ModuleTimeout, fmt.Sprintf("still running after %v (%s)", timeout, verb))
				return
			case <-tick.C:
				if resident(c.cmd.Process.Pid) > c.memory {
					c.kill(abi.ModuleMemory, fmt.Sprintf("its sandbox took more than %d MiB (%s)", c.memory>>20, verb))
					return
				}
			}
		}
	}()
	return func() {
		close(done)
		<-finished
	}
}

// kill ends the whole process group and our end of its pipes, so that no
// reader waits for ever. The first cause stands.
func (c *session) kill(status, reason string) {
	c.mu.Lock()
	first := c.cause == nil
	if first {
		c.cause = &ending{Status: status, Reason: reason}
	}
	c.mu.Unlock()
	if first {
		select {
		case <-c.exited: // its number may be another's by now
		default:
			killGroup(c.cmd.Process)
		}
		_ = c.out.SetReadDeadline(time.Now())
		_ = c.in.SetWriteDeadline(time.Now())
	}
}

func (c *session) reason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause.Reason
}

func (c *session) wait() { <-c.exited }

// died says why the child is gone.
func (c *session) died() ending {
	c.kill("", "")
	c.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause.Status != "" {
		return *c.cause
	}
	words := c.stderr.String()
	switch {
	case strings.Contains(words, "out of memory") || strings.Contains(words, "cannot allocate memory"):
		return ending{Status: abi.ModuleMemory, Reason: "its sandbox ran out of memory"}
	case cpuExhausted(c.cmd.ProcessState, c.cpu):
		return ending{Status: abi.ModuleTimeout, Reason: "used up its CPU time"}
	// Go's runtime does not always get to its last words when the kernel
	// refuses it memory: sometimes it is a plain SIGSEGV.
	case words != "" && peakMemory(c.cmd.ProcessState) > c.due:
		return ending{Status: abi.ModuleMemory, Reason: fmt.Sprintf("its sandbox ran out of memory, and crashed over it: %s", firstLine(words))}
	case words != "":
		return ending{Status: abi.ModuleFailed, Reason: "its sandbox crashed: " + firstLine(words)}
	}
	return ending{Status: abi.ModuleFailed, Reason: "its sandbox ended: " + c.cmd.ProcessState.String()}
}

// close ends the child and frees what it holds.
func (c *session) close() {
	c.kill(abi.ModuleFailed, "closed")
	c.wait()
	c.in.Close()
	c.out.Close()
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
