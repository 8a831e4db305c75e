package node

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// runSource gives fn a gatherer that stores into a sink of the test's.
func runSource(t *testing.T, o Options, fn func(*gatherer)) (*memSink, []collector.Result) {
	t.Helper()
	o.Node = "n1"
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	if o.Root == "" {
		o.Root = "/"
	}
	sink := newMemSink()
	results := collector.Run(t.Context(), sink, []collector.Collector{collectFunc(func(out *collector.Output) error {
		fn(&gatherer{o: o, out: out})
		return nil
	})}, collector.Options{})
	return sink, results
}

// tree writes files below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const podPath = "nodes/n1/pods/api-uid/app/"

// podFilesOf collects from a container whose root is root.
func podFilesOf(t *testing.T, root string) (*memSink, []collector.Result) {
	t.Helper()
	proc := tree(t, map[string]string{"7/limits": "Max open files            1024                 4096                 files\n"})
	if err := os.Symlink(root, proc+"/7/root"); err != nil {
		t.Fatal(err)
	}
	pods := []Pod{{UID: "api-uid", Containers: map[string]string{id: "app"}}}
	return runSource(t, Options{ProcRoot: proc, Pods: pods}, func(g *gatherer) {
		g.podFiles(t.Context(), []process{{pid: 6}, {pid: 7, podUID: uid, containerID: id}, {pid: 8, podUID: uid, containerID: id}})
	})
}

// reasonOf is the result for a path, "" if there is none.
func reasonOf(results []collector.Result, path string) (collector.Status, string) {
	for _, r := range results {
		if r.Path == path {
			return r.Status, r.Reason
		}
	}
	return "", ""
}

func TestPodFiles(t *testing.T) {
	root := tree(t, map[string]string{"etc/resolv.conf": "nameserver 10.96.0.10\n", "etc/hosts": "127.0.0.1 localhost\n"})
	if err := os.Symlink("/etc/hosts", root+"/etc/nsswitch.conf"); err != nil { // an absolute link stays inside
		t.Fatal(err)
	}
	sink, results := podFilesOf(t, root)
	for name, want := range map[string]string{"etc/resolv.conf": "nameserver 10.96.0.10\n", "etc/nsswitch.conf": "127.0.0.1 localhost\n"} {
		if got := string(sink.files[podPath+name]); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !strings.Contains(string(sink.files[podPath+"limits"]), "4096") {
		t.Error("no limits")
	}
	if len(sink.files) != 4 || len(results) != 1 {
		t.Errorf("%d files, %+v", len(sink.files), results)
	}
}

// What a container may have put in the place of its resolv.conf.
func TestHostileContainers(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, []byte("root:HOSTSECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		place  func(path string) error
		reason string
	}{
		"a link to a file of the host": {func(p string) error { return os.Symlink(secret, p) }, "no such file"},
		"a link upwards":               {func(p string) error { return os.Symlink("../../../../../../../../.."+secret, p) }, "no such file"},
		"a magic link":                 {func(p string) error { return os.Symlink("/proc/self/root"+secret, p) }, ""},
		"a FIFO":                       {func(p string) error { return unix.Mkfifo(p, 0o644) }, "not a regular file"},
		"a link to itself":             {func(p string) error { return os.Symlink("resolv.conf", p) }, "too many levels"},
		"a folder":                     {func(p string) error { return os.Mkdir(p, 0o755) }, "not a regular file"},
		"a device":                     {func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) }, "not a regular file"},
		"a link to a device": {func(p string) error {
			if err := unix.Mknod(filepath.Dir(p)+"/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
				return err
			}
			return os.Symlink("/etc/zero", p)
		}, "not a regular file"},
		"10 GB of nothing": {func(p string) error {
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(p, 10<<30)
		}, "cut at 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{"etc/hosts": "fine\n"})
			if err := os.MkdirAll(root+"/proc", 0o755); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "magic") {
				needRoot(t)
				if err := unix.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
					t.Fatalf("no proc: %v", err)
				}
				t.Cleanup(func() { _ = unix.Unmount(root+"/proc", unix.MNT_DETACH) })
				c.reason = "too many levels" // as the kernel words it
			}
			if err := c.place(root + "/etc/resolv.conf"); err != nil {
				if os.Geteuid() != 0 {
					t.Skipf("needs root: %v", err)
				}
				t.Fatal(err)
			}
			sink, results := podFilesOf(t, root)
			got := sink.files[podPath+"etc/resolv.conf"]
			if strings.Contains(string(got), "HOSTSECRET") || len(got) > maxPodFile {
				t.Errorf("%d bytes were read: %.100q", len(got), got)
			}
			status, reason := reasonOf(results, podPath+"etc/resolv.conf")
			switch {
			case c.reason == "no such file": // as if it were not there
				if len(got) > 0 || reason != "" {
					t.Errorf("%d bytes, %s %s", len(got), status, reason)
				}
			case !strings.Contains(reason, c.reason) || status == collector.StatusOK:
				t.Errorf("%s: %s", status, reason)
			}
			if string(sink.files[podPath+"etc/hosts"]) != "fine\n" {
				t.Error("its hosts file is missing")
			}
		})
	}
}

// hungFUSE mounts a file system whose server never answers.
func hungFUSE(t *testing.T, dir string) {
	t.Helper()
	needRoot(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		noFUSE(t, err)
	}
	if err := unix.Mount("hung", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, "fd="+strconv.Itoa(fd)+",rootmode=40000,user_id=0,group_id=0"); err != nil {
		unix.Close(fd)
		noFUSE(t, err)
	}
	t.Cleanup(func() {
		unix.Close(fd) // whoever waits gets an error
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
}

func TestFileSystemThatNeverAnswers(t *testing.T) {
	root := tree(t, map[string]string{"etc2/hosts": ""})
	if err := os.Mkdir(root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	hungFUSE(t, root+"/etc")
	sink, results := podFilesOf(t, root)
	if len(sink.files) != 1 {
		t.Errorf("%d files", len(sink.files))
	}
	if status, reason := reasonOf(results, podPath+"etc/resolv.conf"); status != collector.StatusFailed || !strings.Contains(reason, "does not answer") {
		t.Errorf("%s: %s", status, reason)
	}
}

func TestOneGoneContainer(t *testing.T) {
	proc := t.TempDir()
	sink, results := runSource(t, Options{ProcRoot: proc}, func(g *gatherer) {
		g.podFiles(t.Context(), []process{{pid: 7, podUID: uid, containerID: id}})
	})
	if len(sink.files) != 0 || len(results) == 0 || results[0].Status != collector.StatusSkipped {
		t.Errorf("%+v", results)
	}
}

func noFUSE(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatalf("no FUSE: %v", err)
	}
	t.Skipf("no FUSE: %v", err)
}
