package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const (
	maxRawFile    = 4 << 20
	maxSysctlFile = 64 << 10
	maxRead       = 64 << 10 // at a time: of 4 MiB or more /proc/sys makes ENOMEM
	maxSysctls    = 100_000  // per namespace and sample
	maxDepth      = 12
	maxListed     = 20 // failed files named one by one, per group
)

// netFiles are the files read below /proc/net. None of them changes anything;
// ip_tables_names and its like only name the tables that exist.
func netFiles(host bool) []string {
	files := []string{"arp", "arp_tables_names", "dev", "fib_triestat", "if_inet6", "igmp", "ip6_tables_names", "ip_tables_names",
		"ip_vs", "ip_vs_stats", "netstat", "packet", "protocols", "ptype", "rt6_stats", "snmp", "snmp6", "sockstat", "sockstat6",
		"tls_stat", "udp", "udp6", "xfrm_stat",
		"stat/arp_cache", "stat/ndisc_cache", "stat/nf_conntrack", "stat/rt_cache", "stat/synproxy"}
	if host {
		files = append(files, "softnet_stat")
	}
	return files
}

// group makes one result of many small files. Files that are not there are
// what this kernel does not offer; files that fail get a result of their own.
type group struct {
	g      *gatherer
	path   string
	start  time.Time
	bytes  int64
	asked  int
	files  int
	failed int
	stop   error // the sink takes no more
}

func (g *gatherer) group(path string) *group { return &group{g: g, path: path, start: time.Now()} }

// add reads one file and stores it.
func (gr *group) add(name, source string, limit int) {
	gr.addText(name, limit, func(buf []byte) ([]byte, bool, error) { return readFile(source, buf) })
}

// addText stores what read returns, which says whether it was cut at limit.
func (gr *group) addText(name string, limit int, read func(buf []byte) (text []byte, cut bool, err error)) {
	if gr.stop != nil || !gr.g.o.Only.Wants(gr.path+"/"+name) {
		return
	}
	gr.asked++
	start := time.Now()
	text, cut, err := read(gr.g.buffer(limit))
	if errors.Is(err, unix.ENOENT) {
		return
	}
	var n int64
	if err == nil {
		n, err = gr.g.out.Store(gr.path+"/"+name, collector.ClassNodes, bytes.NewReader(text))
		if errors.Is(err, collector.ErrOverBudget) {
			gr.stop = err
		}
	}
	if err == nil {
		gr.files++
		gr.bytes += n
	}
	if err == nil && cut {
		err = fmt.Errorf("%w: cut at %d bytes", errPartial, limit)
	}
	if err != nil {
		if gr.failed++; gr.failed <= maxListed {
			gr.g.recordErr(gr.path+"/"+name, err, n, start)
		}
	}
}

func (gr *group) close(ctx context.Context) {
	switch {
	case len(gr.g.o.Only) > 0 && gr.asked == 0 && !gr.g.o.Only.Wants(gr.path): // of what lies in it nothing is wanted
	case gr.stop != nil:
		gr.g.recordErr(gr.path, gr.stop, gr.bytes, gr.start)
	case ctx.Err() != nil:
		gr.g.record(gr.path, collector.StatusPartial, fmt.Sprintf("%d files, then %v", gr.files, context.Cause(ctx)), gr.bytes, gr.start)
	case gr.files == 0 && gr.failed == 0:
		gr.g.record(gr.path, collector.StatusSkipped, "there is none of these files", 0, gr.start)
	case gr.failed > 0:
		gr.g.record(gr.path, collector.StatusPartial, fmt.Sprintf("%d files, %d more failed", gr.files, gr.failed), gr.bytes, gr.start)
	default:
		gr.g.record(gr.path, collector.StatusOK, "", gr.bytes, gr.start)
	}
}

// rawFiles stores the named files of dir below path.
func (g *gatherer) rawFiles(ctx context.Context, path, dir string, names []string) {
	gr := g.group(path)
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		gr.add(name, dir+"/"+name, maxRawFile)
	}
	gr.close(ctx)
}

// sysctls walks dir, which shows the calling thread's namespace. Settings do
// not move from one sample to the next: later ones read only netfilter, where
// the numbers of conntrack live among them. That halves the files of a bundle.
func (g *gatherer) sysctls(ctx context.Context, path, dir string, again bool) {
	if !g.o.Only.WantsBelow(path) {
		return
	}
	gr := g.group(path)
	left := maxSysctls
	rel := ""
	if again {
		rel = "netfilter"
		if _, err := os.Stat(dir + "/" + rel); err != nil {
			gr.close(ctx)
			return // no conntrack in this kernel or namespace; the first sample says so
		}
	}
	gr.walk(ctx, dir, rel, 0, &left)
	if left <= 0 {
		g.record(path, collector.StatusPartial, fmt.Sprintf("more than %d sysctls", maxSysctls), 0, gr.start)
	}
	gr.close(ctx)
}

func (gr *group) walk(ctx context.Context, root, rel string, depth int, left *int) {
	entries, err := os.ReadDir(root + "/" + rel)
	if err != nil || depth > maxDepth {
		if err != nil && !errors.Is(err, unix.ENOENT) { // a device went away
			gr.failed++
			gr.g.recordErr(strings.TrimSuffix(gr.path+"/"+rel, "/"), err, 0, gr.start)
		}
		return
	}
	for _, e := range entries {
		name := e.Name()
		if rel != "" {
			name = rel + "/" + name
		}
		if ctx.Err() != nil || *left <= 0 || gr.stop != nil {
			return
		}
		if e.IsDir() {
			if at := gr.path + "/" + name; skipSysctlFolder(at) || !gr.g.o.Only.WantsBelow(at) {
				continue
			}
			gr.walk(ctx, root, name, depth+1, left)
			continue
		}
		if skipSysctl(gr.path+"/"+name) || !readable(e) {
			continue
		}
		*left--
		gr.add(name, root+"/"+name, maxSysctlFile)
	}
}

// readable leaves out the sysctls that can only be written, such as flush.
func readable(e os.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Mode().Perm()&0o444 != 0
}

// skipSysctl names what must not be read: keys, and what does something when
// it is read. path is that of the entry in the bundle, from proc/sys/ on.
func skipSysctl(path string) bool {
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch base {
	case "stable_secret", "tcp_fastopen_key", "netdev_rss_key":
		return true
	case "base_reachable_time", "retrans_time", "nr_pdflush_threads": // log that they are deprecated
		return true
	case "boot_id", "uuid": // the first is in node.json; the second is made by each reading
		return true
	case "stat_refresh": // folds the counters of all CPUs
		return strings.HasSuffix(path, "/vm/"+base)
	}
	return false
}

// skipSysctlFolder names folders of which the first look mounts a file system.
func skipSysctlFolder(path string) bool { return strings.HasSuffix(path, "/fs/binfmt_misc") }

// buffer returns the run's read buffer, at least limit bytes long. It is not
// on the heap, where the garbage collector would count it although hardly any
// of it is used.
func (g *gatherer) buffer(limit int) []byte {
	if len(g.buf) < limit {
		b, err := unix.Mmap(-1, 0, max(limit, maxRawFile), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			b = make([]byte, limit)
		} else {
			g.maps = append(g.maps, b)
		}
		g.buf = b
	}
	return g.buf[:limit]
}

// release gives the read buffers back.
func (g *gatherer) release() {
	for _, b := range g.maps {
		_ = unix.Munmap(b) // it is ours
	}
	g.buf, g.maps = nil, nil
}

// readFile reads at most len(buf) bytes; cut says that there were more. It
// never waits, even where a file of the kernel would block.
func readFile(path string, buf []byte) (text []byte, cut bool, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if text, cut, err = readAll(fd, buf); err != nil {
		return nil, false, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return text, cut, nil
}

// readAll fills buf; cut says that there was more.
func readAll(fd int, buf []byte) (text []byte, cut bool, err error) {
	n := 0
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:min(len(buf), n+maxRead)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if m == 0 {
			return buf[:n], false, nil
		}
		n += m
	}
	var more [1]byte
	m, _ := unix.Read(fd, more[:])
	return buf[:n], m > 0, nil
}
