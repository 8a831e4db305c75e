package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// clock stores the clocks of one sample.
func (g *gatherer) clock(path string) {
	if !g.o.Only.Wants(path) {
		return
	}
	start := time.Now()
	b, err := json.Marshal(g.readClock())
	var n int64
	if err == nil {
		n, err = g.out.Store(path, collector.ClassNodes, bytes.NewReader(b))
	}
	g.recordErr(path, err, n, start)
}

func (g *gatherer) readClock() clockRow {
	var row clockRow
	for _, c := range []struct {
		id int32
		to *int64
	}{{unix.CLOCK_REALTIME, &row.Realtime}, {unix.CLOCK_MONOTONIC, &row.Monotonic}, {unix.CLOCK_MONOTONIC_RAW, &row.MonotonicRaw},
		{unix.CLOCK_BOOTTIME, &row.Boottime}, {unix.CLOCK_TAI, &row.TAI}} {
		var ts unix.Timespec
		if err := unix.ClockGettime(c.id, &ts); err != nil {
			row.Errors = append(row.Errors, fmt.Sprintf("clock %d: %v", c.id, err))
			continue
		}
		*c.to = ts.Nano()
	}
	if asleep := row.Boottime - row.Monotonic; asleep > int64(time.Second) { // less is the time between the two calls
		row.Suspended = time.Duration(asleep).Seconds()
	}
	var tx unix.Timex // no mode bits: it only reads
	if state, err := unix.Adjtimex(&tx); err != nil {
		row.Errors = append(row.Errors, fmt.Sprintf("adjtimex: %v", err))
	} else {
		row.Kernel = describeTimex(state, &tx)
	}
	if text, _, err := readFile(g.sys()+"/devices/system/clocksource/clocksource0/current_clocksource", g.buffer(maxSysctlFile)); err == nil {
		row.Source = strings.TrimSpace(string(text))
	}
	row.Daemons = g.clockDaemons()
	return row
}

func describeTimex(state int, tx *unix.Timex) *adjtimexRow {
	const ppm = 1 << 16
	row := &adjtimexRow{State: fmt.Sprint(state), Synchronized: state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, OffsetUsec: float64(tx.Offset),
		FrequencyPPM: float64(tx.Freq) / ppm, MaxErrorUsec: tx.Maxerror, EstErrorUsec: tx.Esterror, TimeConstant: tx.Constant, TickUsec: tx.Tick, TAIOffset: int(tx.Tai)}
	names := []string{"ok", "insert-leap-second", "delete-leap-second", "leap-second", "leap-second-over", "unsynchronized"}
	if state >= 0 && state < len(names) {
		row.State = names[state]
	}
	if tx.Status&unix.STA_NANO != 0 {
		row.OffsetUsec /= 1000
	}
	for i, name := range []string{"pll", "ppsfreq", "ppstime", "fll", "ins", "del", "unsync", "freqhold", "ppssignal", "ppsjitter", "ppswander",
		"ppserror", "clockerr", "nano", "mode", "clk"} {
		if tx.Status&(1<<i) != 0 {
			row.Status = append(row.Status, name)
		}
	}
	return row
}

func (g *gatherer) clockDaemons() []clockDaemon {
	root, err := openRoot(g.o.Root)
	if err != nil {
		return nil
	}
	defer root.close()
	var found []clockDaemon
	for _, d := range []clockDaemon{{Name: "systemd-timesyncd", Path: "/run/systemd/timesync/synchronized"}, {Name: "chronyd", Path: "/run/chrony/chronyd.sock"},
		{Name: "chronyd", Path: "/run/chrony/chronyd.pid"}, {Name: "ntpd", Path: "/run/ntpd.pid"}, {Name: "ptp4l", Path: "/run/ptp4l"}} {
		fd, err := root.open(d.Path, unix.O_PATH)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			d.Modified = st.Mtim.Sec
		}
		unix.Close(fd)
		found = append(found, d)
	}
	return found
}
