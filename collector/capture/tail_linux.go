package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLine    = 16 << 10 // of a log; what is longer is looked at in pieces
	maxPerPoll = 1 << 20  // bytes of one file
	maxTails   = 256      // files
	maxRecords = 4096     // of the kernel, at a time
)

// logs watches the kernel's log and all files below dirs that end with .log,
// from now on.
func (w *watcher) logs(dirs []string) error {
	kernel, err := openKmsg()
	if err != nil && len(dirs) == 0 {
		return fmt.Errorf("the kernel's log: %w", err)
	}
	tails := &tails{dirs: dirs, files: map[string]*tail{}}
	tails.look(true)
	w.close = func() {
		if kernel != nil {
			kernel.Close()
		}
		tails.close()
	}
	match := w.until.pattern.Match
	w.poll = func(now time.Time) (string, bool, error) {
		if line, ok := kmsgMatch(kernel, match); ok {
			return "kernel: " + line, true, nil
		}
		line, ok := tails.match(now, match)
		return line, ok, nil
	}
	return nil
}

func openKmsg() (*os.File, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := unix.Seek(int(f.Fd()), 0, io.SeekEnd); err != nil {
		f.Close()
		return nil, err
	}
	return f, unix.SetNonblock(int(f.Fd()), true) // Fd has made it block
}

// kmsgMatch reads records until one matches; a read gives one record.
func kmsgMatch(f *os.File, match func([]byte) bool) (string, bool) {
	if f == nil {
		return "", false
	}
	buf := make([]byte, maxLine)
	for range maxRecords {
		n, err := unix.Read(int(f.Fd()), buf)
		if errors.Is(err, unix.EPIPE) { // records were lost: the next read goes on
			continue
		}
		if err != nil || n <= 0 {
			return "", false
		}
		_, text, _ := bytes.Cut(buf[:n], []byte(";"))
		text, _, _ = bytes.Cut(text, []byte("\n"))
		if match(text) {
			return excerpt(text), true
		}
	}
	return "", false
}

func excerpt(line []byte) string {
	const limit = 200
	return strings.ToValidUTF8(string(line[:min(len(line), limit)]), "?")
}

// tails are the ends of log files. Those that turn up later, as after a
// rotation, are read from their beginning.
type tails struct {
	dirs   []string
	files  map[string]*tail
	looked time.Time
}

type tail struct {
	f    *os.File
	ino  uint64
	line []byte // without its end so far
}

// look finds new files and those that were replaced.
func (t *tails) look(first bool) {
	for _, dir := range t.dirs {
		for _, glob := range []string{"*.log", "*/*.log"} {
			found, _ := filepath.Glob(filepath.Join(dir, glob)) // a bad pattern only
			for _, path := range found {
				t.open(path, first)
			}
		}
	}
}

func (t *tails) open(path string, first bool) {
	old := t.files[path]
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || old != nil && old.ino == st.Ino || old == nil && len(t.files) >= maxTails {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	if first {
		_, _ = f.Seek(0, io.SeekEnd)
	}
	if old != nil {
		old.f.Close()
	}
	t.files[path] = &tail{f: f, ino: st.Ino}
}

func (t *tails) match(now time.Time, match func([]byte) bool) (string, bool) {
	for path, file := range t.files {
		if line, ok := file.match(match); ok {
			return filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path) + ": " + line, true
		}
	}
	if now.Sub(t.looked) > time.Second {
		t.looked = now
		t.look(false)
	}
	return "", false
}

// match reads what has come and gives the first line that matches.
func (t *tail) match(match func([]byte) bool) (string, bool) {
	if info, err := t.f.Stat(); err == nil {
		if at, err := t.f.Seek(0, io.SeekCurrent); err == nil && info.Size() < at {
			_, _ = t.f.Seek(0, io.SeekStart) // it was truncated
			t.line = t.line[:0]
		}
	}
	buf := make([]byte, maxLine)
	for range maxPerPoll / maxLine {
		n, err := t.f.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			part, rest, whole := bytes.Cut(b, []byte("\n"))
			b = rest
			t.line = append(t.line, part...)
			if !whole && len(t.line) < maxLine {
				break
			}
			if match(t.line) {
				return excerpt(t.line), true
			}
			t.line = t.line[:0]
		}
		if err != nil || n == 0 {
			break
		}
	}
	return "", false
}

func (t *tails) close() {
	for _, f := range t.files {
		f.f.Close()
	}
}
