package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const (
	ctGet        = 1<<8 | 1 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
	ctGetCPU     = 1<<8 | 4 // IPCTNL_MSG_CT_GET_STATS_CPU
	ctGetStats   = 1<<8 | 5 // IPCTNL_MSG_CT_GET_STATS
	ctGetExpects = 2<<8 | 1 // NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET

	// maxConntrack entries of a namespace are kept, give or take.
	maxConntrack = 300_000
	maxExpects   = 10_000
)

// errNoConntrack is why a namespace has no table.
var errNoConntrack = errors.New("no connection tracking")

// conntrack stores the table of connections of the calling thread's namespace:
// its numbers in each sample, its entries in the first. They are by far the
// most bytes, and what changes between two samples is in the numbers.
func (g *gatherer) conntrack(ctx context.Context, prefix string, again bool) {
	start := time.Now()
	if !g.wantsAny(prefix+"conntrack.ndjson", prefix+"conntrack-stats.ndjson", prefix+"conntrack-expect.ndjson", prefix+"conntrack-summary.json") {
		return
	}
	if err := conntrackThere(g.o.ProcRoot); err != nil {
		g.record(prefix+"conntrack.ndjson", collector.StatusSkipped, err.Error(), 0, start)
		return
	}
	c := &ctTable{dump: newDump(ctx, unix.NETLINK_NETFILTER), counts: newCTCounts(), parser: newCTParser(), most: maxConntrack}
	g.storeRows(ctx, prefix+"conntrack-stats.ndjson", c.stats) // which the others build on
	c.sampler = newCTSampler(c.most, int(c.summary.Count))
	c.summary.Fraction = c.sampler.fraction()
	var err error
	summary := prefix + "conntrack-summary.json"
	switch {
	case !again && g.o.Only.Wants(prefix+"conntrack.ndjson"):
		g.rowsOf(ctx, prefix+"conntrack.ndjson", c.read)
	case g.o.Only.Wants(summary):
		c.summary.Fraction = 0
		err = c.read(nil)
	}
	if !again {
		g.stream(ctx, prefix+"conntrack-expect.ndjson", c.expects)
	}
	if g.o.Only.Wants(summary) {
		g.conntrackSummary(summary, c, err, start)
	}
}

// conntrackThere says whether the table can be asked for without a module
// being loaded for it.
func conntrackThere(procRoot string) error {
	if _, err := os.Stat(procRoot + "/sys/net/netfilter/nf_conntrack_count"); errors.Is(err, os.ErrNotExist) {
		return errNoConntrack
	}
	modules, err := os.ReadFile(procRoot + "/modules")
	if err != nil { // all are built in
		return nil
	}
	loaded := func(name string) bool {
		return bytes.HasPrefix(modules, []byte(name+" ")) || bytes.Contains(modules, []byte("\n"+name+" "))
	}
	if loaded("nf_conntrack") && !loaded("nf_conntrack_netlink") {
		return fmt.Errorf("%w to ask: nf_conntrack_netlink is not loaded, and asking would load it; proc/net/stat/nf_conntrack has the counters", errNoConntrack)
	}
	return nil
}

// ctTable reads one table.
type ctTable struct {
	dump    *dump
	parser  *ctParser
	counts  *ctCounts
	sampler ctSampler
	most    int
	summary ctSummary
}

// stats writes the size of the table and the counters of each processor.
func (c *ctTable) stats(enc *json.Encoder) error {
	row := func(global bool) func(nlmsg) error {
		return func(m nlmsg) error {
			r, err := parseCTStats(m.body, global)
			if err != nil {
				return err
			}
			if global {
				c.summary.Count, c.summary.Max = *r.Entries, r.Max
			}
			return enc.Encode(r)
		}
	}
	if err := c.dump.one(ctGetStats, make([]byte, nfgenLen), row(true)); err != nil {
		return fmt.Errorf("size of the table: %w", err)
	}
	if err := c.dump.run(ctGetCPU, make([]byte, nfgenLen), row(false)); err != nil {
		return fmt.Errorf("counters by processor: %w", err)
	}
	return nil
}

// read goes through the table and writes what is to be kept; without w it only
// counts.
func (c *ctTable) read(w *rowWriter) error {
	full := 0
	err := c.dump.run(ctGet, make([]byte, nfgenLen), func(m nlmsg) error {
		if err := c.parser.parse(m.body); err != nil {
			return err
		}
		c.counts.add(&c.parser.entry, c.parser.row.Zone)
		if w == nil || !c.sampler.keeps(&c.parser.entry.orig) {
			return nil
		}
		if w.n >= 2*c.most { // it grew while it was read
			full++
			return nil
		}
		return w.add(&c.parser.row)
	})
	c.summary.Complete = err == nil
	if w == nil {
		return err
	}
	c.summary.Kept = w.n
	var partial []string
	if err != nil {
		if c.counts.entries == 0 && !errors.Is(err, errPartial) {
			return err
		}
		partial = append(partial, err.Error())
	}
	if f := c.sampler.fraction(); f < 1 {
		partial = append(partial, fmt.Sprintf("%d of %d entries, chosen by the hash of their tuples (fraction %.4f); conntrack-summary.json counts all", w.n, c.counts.entries, f))
	}
	if full > 0 {
		partial = append(partial, fmt.Sprintf("%d more that came up while the table was read", full))
	}
	if len(partial) > 0 {
		return fmt.Errorf("%w: %s", errPartial, strings.Join(partial, "; "))
	}
	return nil
}

func (c *ctTable) expects(enc *json.Encoder) error {
	n := 0
	err := c.dump.run(ctGetExpects, make([]byte, nfgenLen), func(m nlmsg) error {
		if n++; n > maxExpects {
			return fmt.Errorf("%w: more than %d expectations", errPartial, maxExpects)
		}
		r, err := parseExpect(m.body)
		if err != nil {
			return err
		}
		return enc.Encode(r)
	})
	return err
}

// conntrackSummary stores the numbers of a table; failed is why they are not
// those of the whole.
func (g *gatherer) conntrackSummary(path string, c *ctTable, failed error, start time.Time) {
	c.counts.fill(&c.summary, c.parser)
	b, err := json.Marshal(c.summary)
	var n int64
	if err == nil {
		n, err = g.out.Store(path, collector.ClassNodes, bytes.NewReader(b))
	}
	if err == nil && failed != nil {
		err = fmt.Errorf("%w: %w", errPartial, failed)
	}
	if err == nil && !c.summary.Complete {
		err = fmt.Errorf("%w: the table was not read to its end", errPartial)
	}
	g.recordErr(path, err, n, start)
}
