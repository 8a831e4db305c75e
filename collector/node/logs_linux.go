package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/node/journal"
)

// logLimits bound what logs may take.
type logLimits struct {
	journal      int64 // bytes of a unit, or of a file below /var/log
	perContainer int64
	containers   int64 // all together
}

func limitsOf(profile string) logLimits {
	switch profile {
	case "quick":
		return logLimits{journal: 512 << 10, perContainer: 64 << 10, containers: 4 << 20}
	case "full":
		return logLimits{journal: 32 << 20, perContainer: 2 << 20, containers: 256 << 20}
	}
	return logLimits{journal: 4 << 20, perContainer: 256 << 10, containers: 32 << 20}
}

const (
	maxJournalFiles = 128
	maxLogDir       = 5000 // names in a folder
	maxUnits        = 100
)

// logs reads the logs of the machine's own programs and, on a host, of its
// containers, and the manifests of static pods.
func (g *gatherer) logs(ctx context.Context) {
	since := time.Time{}
	if g.o.Since > 0 {
		since = time.Now().Add(-g.o.Since)
	}
	limits := limitsOf(g.o.Profile)
	if g.o.Only.WantsBelow(g.path("logs")) {
		have, found := g.journal(ctx, since, limits.journal)
		own, common := logFiles()
		if !found {
			own = append(own, common...)
		}
		g.varLog(ctx, slices.DeleteFunc(own, func(name string) bool { return have[name] }), since, limits.journal, found)
	}
	if g.o.Host && g.o.Only.WantsBelow(g.path("logs/pods")) {
		g.podLogs(ctx, since, limits)
	}
	if g.o.Only.WantsBelow(g.path("static-pods")) {
		g.staticPods(ctx)
	}
}

// journal reads the journal and says which logs it had, and whether there is a
// journal at all.
func (g *gatherer) journal(ctx context.Context, since time.Time, limit int64) (have map[string]bool, found bool) {
	start, have := time.Now(), map[string]bool{}
	inputs, notes := g.journalFiles()
	defer func() {
		for _, in := range inputs {
			in.R.(io.Closer).Close() //nolint:forcetypeassert // made below
		}
	}()
	if len(inputs) == 0 {
		if err := errors.Join(notes...); err != nil {
			g.recordErr(g.path("logs/journal"), err, 0, start)
		}
		return have, false
	}
	set := journal.NewSet(inputs, since)
	defer set.Close()
	for _, err := range append(notes, set.Skipped...) {
		g.record(g.path("logs/journal"), collector.StatusPartial, err.Error(), 0, start)
	}
	units := append(set.Values("_SYSTEMD_UNIT"), set.Values("UNIT")...)
	slices.Sort(units)
	units = slices.DeleteFunc(slices.Compact(units), func(unit string) bool { return !isLogUnit(unit) })
	query := journal.Query{Match: journal.Kernel(), Since: since, MaxBytes: limit}
	g.journalLog(ctx, set, query, kernelLog+".log")
	for _, unit := range units[:min(len(units), maxUnits)] {
		query.Match = journal.Unit(unit)
		name := logName(strings.TrimSuffix(unit, ".service")) + ".log"
		have[name] = g.journalLog(ctx, set, query, name)
	}
	return have, true
}

// journalLog stores one log of the journal and says whether it has anything.
func (g *gatherer) journalLog(ctx context.Context, set *journal.Set, q journal.Query, name string) bool {
	at, start := g.path("logs/"+name), time.Now()
	if !g.o.Only.Wants(at) {
		return false
	}
	found, err := set.Find(ctx, q)
	if err != nil {
		g.recordErr(at, err, 0, start)
		return false
	}
	if found.Entries == 0 {
		if found.Damaged > 0 {
			g.record(at, collector.StatusFailed, fmt.Sprintf("none of %d entries of the journal could be read", found.Damaged), 0, start)
		}
		return false
	}
	p, err := g.pipe(ctx, at, collector.ClassLogs, func(w io.Writer) error { return found.Write(ctx, w) })
	if err == nil && found.Damaged > 0 {
		err = fmt.Errorf("%w: %d entries of the journal could not be read", errPartial, found.Damaged)
	}
	g.recordErr(at, err, p.bytes, start)
	return true
}

// logName is a unit's name as one of a file: units of a template have a @.
func logName(unit string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r) {
			return r
		}
		return '_'
	}, unit)
}

// journalFiles opens the newest files of the journal. Those of users' own
// sessions are left out.
func (g *gatherer) journalFiles() (inputs []journal.Input, notes []error) {
	type candidate struct {
		journal.Input
		newest time.Time
	}
	var all []candidate
	for _, top := range []string{"/var/log/journal", "/run/log/journal"} {
		dir, err := openFolder(g.o.Root, top)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			notes = append(notes, err)
			continue
		}
		names, err := journalNames(dir, g.machineID())
		if err != nil {
			notes = append(notes, err)
		}
		for _, name := range names {
			f, info, err := openFile(dir, name)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					notes = append(notes, err)
				}
				continue
			}
			in := journal.Input{Name: path.Join(top, name), R: f, Size: info.Size()}
			newest, err := journal.Peek(in)
			if err != nil {
				notes = append(notes, fmt.Errorf("%s: %w", in.Name, err))
				f.Close()
				continue
			}
			all = append(all, candidate{in, newest})
			if len(all) > maxJournalFiles {
				slices.SortFunc(all, func(a, b candidate) int { return b.newest.Compare(a.newest) })
				all[maxJournalFiles].R.(io.Closer).Close() //nolint:forcetypeassert // made above
				all = all[:maxJournalFiles]
			}
		}
		dir.Close()
	}
	for _, c := range all {
		inputs = append(inputs, c.Input)
	}
	return inputs, notes
}

// journalNames lists the files of a folder of journals: those of this machine
// when it is known, else all.
func journalNames(dir *os.Root, machine string) ([]string, error) {
	machines, _, err := list(dir, ".", maxLogDir)
	if err != nil {
		return nil, err
	}
	var names []string
	known := machine != "" && slices.ContainsFunc(machines, func(e fs.DirEntry) bool { return e.Name() == machine })
	for _, m := range machines {
		if !m.IsDir() || known && m.Name() != machine && !strings.HasPrefix(m.Name(), machine+".") {
			continue
		}
		files, _, err := list(dir, m.Name(), maxLogDir)
		if err != nil {
			return names, err
		}
		for _, f := range files {
			if n := f.Name(); (strings.HasSuffix(n, ".journal") || strings.HasSuffix(n, ".journal~")) && !strings.HasPrefix(n, "user-") {
				names = append(names, m.Name()+"/"+n)
			}
		}
	}
	return names, nil
}

func (g *gatherer) machineID() string {
	etc, err := openFolder(g.o.Root, "/etc")
	if err != nil {
		return ""
	}
	defer etc.Close()
	f, _, err := openFile(etc, "machine-id")
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64)) //nolint:forbidigo // limited
	return strings.TrimSpace(string(b))
}

// varLog stores the ends of log files.
func (g *gatherer) varLog(ctx context.Context, names []string, since time.Time, limit int64, journaled bool) {
	start := time.Now()
	dir, err := openFolder(g.o.Root, "/var/log")
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			g.recordErr(g.path("logs"), err, 0, start)
		}
		return
	}
	defer dir.Close()
	stored := 0
	for _, name := range names {
		at := g.path("logs/" + strings.TrimSuffix(name, ".log") + ".log")
		if !g.o.Only.Wants(at) {
			continue
		}
		f, info, err := openFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			g.recordErr(at, err, 0, start)
			continue
		}
		if !info.ModTime().Before(since) && info.Size() > 0 {
			p, err := g.pipe(ctx, at, collector.ClassLogs, func(w io.Writer) error { return copyTail(w, f, info.Size(), limit) })
			g.recordErr(at, err, p.bytes, p.start)
			stored++
		}
		f.Close()
	}
	if stored == 0 && !journaled {
		g.record(g.path("logs"), collector.StatusSkipped, "this machine has neither a journal nor log files of the usual names", 0, start)
	}
}

// tailOf is the last limit bytes of what is now in a file, from the start of a
// line on.
func tailOf(f io.ReaderAt, size, limit int64) io.Reader {
	from := max(0, size-limit)
	r := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), 64<<10)
	if from > 0 {
		for {
			if _, err := r.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
	}
	return r
}

func copyTail(w io.Writer, f io.ReaderAt, size, limit int64) error {
	_, err := io.Copy(w, tailOf(f, size, limit))
	return err
}
