package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casefile-io/casefile/collector"
)

const (
	podLogDir     = "/var/log/pods"
	maxPodDirs    = 3000
	maxPodLogs    = 5000
	maxContainers = 64 // of a pod, and files of a container
	minTail       = 4 << 10
)

// podLogFile is the log of one run of a container.
type podLogFile struct {
	pod             Pod
	container, name string // name is relative to podLogDir
	run             int    // how often the container was started again
	previous        bool
	modified        time.Time
}

func (f podLogFile) path() string {
	p := "logs/pods/" + f.pod.Namespace + "/" + f.pod.Name + "/" + f.container
	if f.previous {
		p += ".previous"
	}
	return p + ".log"
}

// podLogs stores the ends of the logs of containers, those that were started
// again first, until there are enough.
func (g *gatherer) podLogs(ctx context.Context, since time.Time, limits logLimits) {
	at, start := g.path("logs/pods"), time.Now()
	dir, err := openFolder(g.o.Root, podLogDir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			g.record(at, collector.StatusSkipped, "no "+podLogDir+" here", 0, start)
		} else {
			g.recordErr(at, err, 0, start)
		}
		return
	}
	defer dir.Close()
	files, cut, err := findPodLogs(dir)
	if err != nil {
		g.recordErr(at, err, 0, start)
		return
	}
	var total int64
	stored, failed, left := 0, 0, 0
	for _, f := range files {
		if ctx.Err() != nil || total+minTail > limits.containers {
			left++
			continue
		}
		if f.modified.Before(since) || !g.o.Only.Wants(g.path(f.path())) {
			continue
		}
		n, err := g.podLog(ctx, dir, f, since, min(limits.perContainer, limits.containers-total))
		total += n
		if err != nil {
			if failed++; failed <= maxListed {
				g.recordErr(g.path(f.path()), err, n, start)
			}
			continue
		}
		stored++
	}
	var lacking []string
	if left > 0 {
		lacking = append(lacking, fmt.Sprintf("%d left out beyond %d bytes", left, limits.containers))
	}
	if failed > 0 {
		lacking = append(lacking, fmt.Sprintf("%d failed", failed))
	}
	if cut {
		lacking = append(lacking, fmt.Sprintf("more than %d pods or %d logs", maxPodDirs, maxPodLogs))
	}
	status, reason := collector.StatusOK, ""
	switch {
	case len(lacking) > 0:
		status, reason = collector.StatusPartial, fmt.Sprintf("%d logs, %s", stored, strings.Join(lacking, ", "))
	case total == 0:
		status, reason = collector.StatusSkipped, "no container has logged anything in the time asked for"
	}
	g.record(at, status, reason, total, start)
}

// podLog stores one log; one that has no line in the time asked for is none.
func (g *gatherer) podLog(ctx context.Context, dir *os.Root, f podLogFile, since time.Time, limit int64) (int64, error) {
	file, info, err := g.openPodLog(dir, f.name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if n, err := copyPodLog(io.Discard, tailOf(file, info.Size(), limit), since); n == 0 {
		return 0, err
	}
	p, err := g.pipe(ctx, g.path(f.path()), collector.ClassLogs, func(w io.Writer) error {
		_, err := copyPodLog(w, tailOf(file, info.Size(), limit), since)
		return err
	})
	return p.bytes, err
}

var dockerLog = regexp.MustCompile(`^(/var/lib/docker/containers/[0-9a-f]{64})/([0-9a-f]{64}-json\.log)$`)

// openPodLog opens a log; where it is a link, only to where Docker has it.
func (g *gatherer) openPodLog(dir *os.Root, name string) (*os.File, fs.FileInfo, error) {
	target, err := dir.Readlink(name)
	m := dockerLog.FindStringSubmatch(target)
	if err != nil || m == nil {
		return openFile(dir, name)
	}
	to, err := openFolder(g.o.Root, m[1])
	if err != nil {
		return nil, nil, err
	}
	defer to.Close()
	return openFile(to, m[2])
}

// findPodLogs lists the current and the previous log of each container, the
// most telling first.
func findPodLogs(dir *os.Root) (files []podLogFile, cut bool, err error) {
	pods, cut, err := list(dir, ".", maxPodDirs)
	if err != nil {
		return nil, cut, err
	}
	for _, e := range pods {
		pod, ok := parsePodDir(e.Name())
		if !ok || !e.IsDir() {
			continue
		}
		containers, _, err := list(dir, e.Name(), maxContainers)
		if err != nil {
			continue // it went away
		}
		for _, c := range containers {
			if !c.IsDir() || !dnsName.MatchString(c.Name()) {
				continue
			}
			if len(files) > maxPodLogs {
				return files, true, nil
			}
			files = append(files, runsOf(dir, pod, e.Name()+"/"+c.Name(), c.Name())...)
		}
	}
	slices.SortStableFunc(files, func(a, b podLogFile) int {
		return min(1, max(-1, 4*rank(a)-4*rank(b)-a.modified.Compare(b.modified)))
	})
	return files, cut, nil
}

// rank orders logs as those of the API server are: containers that were
// started again, the cluster's own, the rest.
func rank(f podLogFile) int {
	switch {
	case f.run > 0:
		return 0
	case f.pod.Namespace == "kube-system":
		return 1
	}
	return 2
}

// runsOf gives the newest log of a container and the one before it.
func runsOf(dir *os.Root, pod Pod, folder, container string) []podLogFile {
	entries, _, err := list(dir, folder, maxContainers)
	if err != nil {
		return nil
	}
	var runs []int
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), ".log")
		if run, err := strconv.Atoi(number); ok && err == nil && run >= 0 && strconv.Itoa(run) == number {
			runs = append(runs, run)
		}
	}
	slices.SortFunc(runs, func(a, b int) int { return b - a })
	var files []podLogFile
	for i, run := range runs[:min(len(runs), 2)] {
		f := podLogFile{pod: pod, container: container, name: path.Join(folder, strconv.Itoa(run)+".log"), run: run, previous: i > 0}
		if info, err := dir.Lstat(f.name); err == nil {
			f.modified = info.ModTime()
		}
		files = append(files, f)
	}
	return files
}
