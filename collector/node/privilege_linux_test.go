package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

const (
	snapshotEnv  = "CFNODE_SNAPSHOT"
	snapshotMark = "SNAPSHOT "
)

// snapshot is what a snapshot in a process of its own yielded.
type snapshot struct {
	Files   map[string]int // bytes
	Results []collector.Result
}

// TestSnapshotChild is that process; by itself it has nothing to do.
func TestSnapshotChild(t *testing.T) {
	if os.Getenv(snapshotEnv) == "" {
		t.Skip("run by other tests")
	}
	sink, results := collect(t, Options{Samples: 2, Interval: 10 * time.Millisecond, Profile: "quick"})
	s := snapshot{Files: map[string]int{}, Results: results}
	for path, text := range sink.files {
		s.Files[path] = len(text)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", snapshotMark, b)
}

// snapshotBy takes a snapshot in a process that before starts.
func snapshotBy(t *testing.T, before ...string) snapshot {
	t.Helper()
	args := append(before, os.Args[0], "-test.run", "^TestSnapshotChild$", "-test.count", "1")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), snapshotEnv+"=1")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		_ = errors.As(err, &exit)
		t.Fatalf("%s: %v\n%.2000s\n%.2000s", strings.Join(before, " "), err, out, exit.Stderr)
	}
	_, rest, ok := strings.Cut(string(out), snapshotMark)
	line, _, _ := strings.Cut(rest, "\n")
	var s snapshot
	if err := json.Unmarshal([]byte(line), &s); !ok || err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	return s
}

// told says whether a result other than ok, with a reason, is about path.
func (s snapshot) told(path string) bool {
	for _, r := range s.Results {
		about := r.Path == path || r.Path != "" && strings.HasPrefix(path, strings.TrimSuffix(r.Path, "/")+"/")
		if about && r.Status != collector.StatusOK && r.Reason != "" {
			return true
		}
	}
	return false
}

// Without a capability the snapshot goes on, and says what is missing.
func TestWithoutCapabilities(t *testing.T) {
	a, _, _ := twoNamespaces(t)
	needRoot(t, "setpriv")
	inode := strings.TrimSpace(sh(t, "ip netns exec "+a+" stat -Lc %i /proc/self/ns/net"))
	ours := []string{"nodes/n1/netns/" + inode + "/", "nodes/n1/0/net/links.ndjson", "nodes/n1/0/net/routes.ndjson", "nodes/n1/0/proc/sys/kernel", "nodes/n1/bpf.ndjson", "nodes/n1/kmsg.ndjson",
		"nodes/n1/mounts.ndjson", "nodes/n1/processes.ndjson", "nodes/n1/0/cgroups.ndjson", "nodes/n1/0/clock.json", "nodes/n1/etc/"}
	whole := snapshotBy(t)
	for _, c := range []struct{ drop, path, reason string }{
		{"-sys_ptrace", "nodes/n1/netns", "CAP_SYS_PTRACE"},
		{"-sys_admin", "nodes/n1/netns/" + inode + "/0/", "operation not permitted"},
		{"-sys_admin", "nodes/n1/bpf.ndjson", "CAP_SYS_ADMIN"},
		{"-net_admin", "nodes/n1/0/net/nftables.ndjson", "operation not permitted"},
		{"-dac_override,-dac_read_search", "", ""},
		{"-all", "nodes/n1/bpf.ndjson", "CAP_SYS_ADMIN"},
	} {
		t.Run(c.drop+" "+c.path, func(t *testing.T) {
			s := snapshotBy(t, "setpriv", "--bounding-set", c.drop)
			if s.Files["nodes/n1/node.json"] == 0 {
				t.Error("no node.json")
			}
			for _, r := range s.Results {
				if strings.Contains(r.Reason, "panic") || r.Status != collector.StatusOK && r.Reason == "" {
					t.Errorf("%+v", r)
				}
			}
			if status, reason := worst(s.Results, c.path); c.path != "" && (status == collector.StatusOK || !strings.Contains(reason, c.reason)) {
				t.Errorf("%s: %q %q", c.path, status, reason)
			}
			for path, n := range whole.Files {
				for _, prefix := range ours {
					if strings.HasPrefix(path, prefix) && n > 0 && s.Files[path] == 0 && !s.told(path) && !s.told(strings.TrimSuffix(prefix, "/")) {
						t.Errorf("%s is missing, and nothing says why", path)
					}
				}
			}
		})
	}
}

func worst(results []collector.Result, path string) (status collector.Status, reason string) {
	for _, r := range results {
		if r.Path == path && (status == "" || r.Status != collector.StatusOK) {
			status, reason = r.Status, r.Reason
		}
	}
	return status, reason
}

// The snapshot opens nothing for writing, makes and removes nothing, and does
// not open what does something when it is read.
func TestWritesNothing(t *testing.T) {
	needRoot(t, "strace", "dmesg")
	a, _, _ := twoNamespaces(t)
	tables := sh(t, "ip netns exec "+a+" cat /proc/net/ip_tables_names")
	log := t.TempDir() + "/strace"
	deprecated := strings.Count(sh(t, "dmesg"), "deprecated")
	s := snapshotBy(t, "strace", "-f", "-qq", "-s", "200", "-o", log, "-e", "trace=%file,ftruncate,fchmod,fchown,fsetxattr,setns,mount,umount2")
	if len(s.Files) < 100 {
		t.Errorf("only %d files were collected", len(s.Files))
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range changes(string(text)) {
		t.Errorf("%s", line)
	}
	if opens := strings.Count(string(text), " open"); opens < 1000 {
		t.Errorf("strace saw only %d opens", opens)
	}
	if now := sh(t, "ip netns exec "+a+" cat /proc/net/ip_tables_names"); now != tables {
		t.Errorf("legacy tables appeared: %q, were %q", now, tables)
	}
	if now := strings.Count(sh(t, "dmesg"), "deprecated"); now != deprecated {
		t.Errorf("%d lines of dmesg say deprecated, there were %d", now, deprecated)
	}
}

// changes are the lines of a trace by strace that change something, or read
// what does something when it is read.
func changes(trace string) []string {
	change := regexp.MustCompile(`^\d+ +(creat|mkdir|mkdirat|rmdir|unlink|unlinkat|rename\w*|link|linkat|symlink\w*|mknod\w*|truncate|ftruncate|f?chmod\w*|[fl]?chown\w*|utime\w*|mount|umount2|[fl]?setxattr|[fl]?removexattr)\(`)
	write := regexp.MustCompile(`^\d+ +open\w*\(.*(O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE)`)
	touched := regexp.MustCompile(`^\d+ +open\w*\(.*"[^"]*/(base_reachable_time|retrans_time|stable_secret|tcp_fastopen_key|netdev_rss_key|stat_refresh|random/uuid|environ|binfmt_misc|\w+\.key)"`)
	children := regexp.MustCompile(`"/proc/\d+/oom_score_adj", O_WRONLY`)
	var bad []string
	for line := range strings.Lines(trace) {
		if children.MatchString(line) {
			continue // so that the kernel ends a tool that we run before all others
		}
		if change.MatchString(line) || write.MatchString(line) && !strings.Contains(line, `"/dev/null"`) || touched.MatchString(line) {
			bad = append(bad, strings.TrimSpace(line))
		}
	}
	return bad
}

func TestChangesAreSeen(t *testing.T) {
	bad := []string{`12 openat(AT_FDCWD, "/run/xtables.lock", O_RDONLY|O_CREAT, 0600) = 3`, `12 mkdir("/x", 0777) = 0`,
		`1  openat(AT_FDCWD, "/proc/sys/net/ipv4/neigh/lo/retrans_time", O_RDONLY) = 3`, `1 unlink("/x") = 0`, `7 open("/proc/1/environ", O_RDONLY) = 3`}
	fine := []string{`12 openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3`, `12 openat(AT_FDCWD, "/dev/null", O_RDWR) = 3`, `1 readlink("/x", "y", 9) = 1`}
	if got := changes(strings.Join(append(bad, fine...), "\n")); len(got) != len(bad) {
		t.Errorf("%q", got)
	}
}
