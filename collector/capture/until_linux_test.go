package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// recording starts a capture that waits for text.
func recording(t *testing.T, s Spec, text string, w *bytes.Buffer) (stats func() Stats) {
	t.Helper()
	u, err := ParseUntil(text)
	if err != nil {
		t.Fatal(err)
	}
	s.Until, s.Trigger, s.Where, s.SpoolDir = []Until{u}, collector.NewTrigger(), "n1", t.TempDir()
	session, err := open(s)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan Stats, 1)
	go func() {
		st, err := session.run(t.Context(), w)
		if err != nil {
			t.Error(err)
		}
		done <- st
	}()
	return func() Stats {
		select {
		case st := <-done:
			return st
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not fire", text)
			return Stats{}
		}
	}
}

// TestTriggers lets each kind of trigger end a recording; what came before it
// and after it is there.
func TestTriggers(t *testing.T) {
	logs := t.TempDir()
	pod := filepath.Join(logs, "web")
	if err := os.Mkdir(pod, 0o755); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(pod, "0.log")
	put := func(name, text string) {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	put(old, "boom of yesterday\n")
	mark := fmt.Sprintf("casefile test %d", os.Getpid())
	l := newLab(t)
	for text, cause := range map[string]func(){
		"counter Udp.NoPorts +2": func() {
			sendUDP(t, l.near, "10.77.0.2:9", 1)
			time.Sleep(50 * time.Millisecond)
			sendUDP(t, l.near, "10.77.0.2:9", 1)
		},
		"counter Udp.InDatagrams > 0": func() { receiveOne(t, l) },
		"packet udp dst port 7":       func() { sendUDP(t, l.near, "10.77.0.2:7", 1) },
		"log connection .* BOOM": func() {
			put(old, "2026 stdout F connection ")
			time.Sleep(watchEvery * 3 / 2)
			put(old, "to db: BOOM\n")
		},
		"log later file":                      func() { put(filepath.Join(pod, "1.log"), "a later file\n") },
		"log " + mark:                         func() { kmsg(t, mark) },
		"time " + soon().Format(time.RFC3339): func() {},
	} {
		t.Run(text, func(t *testing.T) {
			s := l.spec(t)
			s.Ring, s.After, s.LogDirs, s.Filter = 8<<20, 300*time.Millisecond, []string{logs}, "udp port 5300"
			if strings.Contains(text, mark) {
				s.LogDirs = nil
			}
			var w bytes.Buffer
			stats := recording(t, s, text, &w)
			sendUDP(t, l.near, "10.77.0.2:5300", 20)
			cause()
			st := stats()
			if st.Stopped != stoppedTriggered || st.Trigger == nil || st.Trigger.Trigger != text || st.Trigger.Where != "n1" || len(st.Notes) > 0 {
				t.Errorf("%+v %+v", st, st.Trigger)
			}
			if p := mustParse(t, w.Bytes()); len(p.packets) < 20 {
				t.Errorf("%d packets, want the 20 from before", len(p.packets))
			}
			if r := result("x", s, st); r.Status != collector.StatusOK || !strings.Contains(r.Reason, "triggered by") {
				t.Errorf("%+v", r)
			}
		})
	}
}

func soon() time.Time { return time.Now().Add(2 * time.Second).UTC() }

// receiveOne has a datagram delivered: the kernel counts it when it is read.
func receiveOne(t *testing.T, l lab) {
	inside(t, l.far, func() error {
		c, err := net.ListenPacket("udp", "127.0.0.1:5301")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte("x"), c.LocalAddr()); err != nil {
			return err
		}
		_, _, err = c.ReadFrom(make([]byte, 1))
		return err
	})
}

func kmsg(t *testing.T, text string) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer f.Close()
	if _, err := f.WriteString("<6>" + text + "\n"); err != nil {
		t.Fatal(err)
	}
}

// TestPostTrigger: packets go on being recorded for the time after.
func TestPostTrigger(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Ring, s.After, s.Filter = 8<<20, 500*time.Millisecond, "udp port 5300"
	var w bytes.Buffer
	stats := recording(t, s, "packet udp port 7", &w)
	sendUDP(t, l.near, "10.77.0.2:7", 1)
	time.Sleep(watchEvery + 50*time.Millisecond)
	sendUDP(t, l.near, "10.77.0.2:5300", 10)
	st := stats()
	if p := mustParse(t, w.Bytes()); len(p.packets) != 10 || st.Stopped != stoppedTriggered {
		t.Errorf("%d packets after the trigger, %+v", len(p.packets), st)
	}
}

func TestNeverTriggered(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Ring, s.Filter, s.Duration = 8<<20, "udp port 5300", time.Second
	var w bytes.Buffer
	stats := recording(t, s, "counter nf_conntrack.nonsense +1", &w)
	sendUDP(t, l.near, "10.77.0.2:5300", 10)
	st := stats()
	p := mustParse(t, w.Bytes())
	if len(p.packets) != 10 || st.Stopped != stoppedUntriggered || len(st.Notes) != 1 || !strings.Contains(st.Notes[0], "is not watched") {
		t.Errorf("%d packets, %+v", len(p.packets), st)
	}
	if r := result("x", s, st); r.Status != collector.StatusPartial || !strings.Contains(r.Reason, "never triggered") {
		t.Errorf("%+v", r)
	}
}

// TestRingUnderFlood sends far more than the ring holds; its file has the end.
func TestRingUnderFlood(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Ring, s.Snaplen, s.Filter, s.SpoolDir = 5<<20, 1500, "not ip and not arp", t.TempDir()
	var w bytes.Buffer
	const n = 20_000
	st := during(t, s, &w, func() { inside(t, l.near, func() error { return sendMany(1400, n) }) })
	p := mustParse(t, w.Bytes())
	if st.Evicted == 0 || st.Packets+st.Evicted+st.Dropped != n || w.Len() > int(s.Ring)+chunkSize || len(p.packets) < 2000 {
		t.Errorf("%d packets in %d bytes: %+v", len(p.packets), w.Len(), st)
	}
	if left, _ := os.ReadDir(s.SpoolDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRingOnAFullDisk: the file of the ring finds no room, and the ring goes
// on with what it has.
func TestRingOnAFullDisk(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Ring, s.Snaplen, s.Filter, s.SpoolDir = 16<<20, 1500, "not ip and not arp", t.TempDir()
	if err := unix.Mount("tmpfs", s.SpoolDir, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.SpoolDir, unix.MNT_DETACH) })
	var w bytes.Buffer
	const n = 10_000
	st := during(t, s, &w, func() { inside(t, l.near, func() error { return sendMany(1400, n) }) })
	p := mustParse(t, w.Bytes())
	if len(st.Notes) != 1 || !strings.Contains(st.Notes[0], "no space left") || st.Packets+st.Evicted+st.Dropped != n || len(p.packets) < 1000 {
		t.Errorf("%d packets: %+v", len(p.packets), st)
	}
}

// TestBothEnds: captures that start together see the same packets at both ends
// of a link, in the same order.
func TestBothEnds(t *testing.T) {
	l := newLab(t)
	far := l.spec(t)
	far.Filter, far.Duration = "udp port 5300", 1500*time.Millisecond
	near := far
	near.NetnsPath, near.Netns, near.Name, near.Target = "/run/netns/"+l.near, 0, "near", "near"
	m := &memory{files: map[string][]byte{}}
	c := New(Options{Node: "n1", Specs: []Spec{far, near}, Started: func() { sendUDP(t, l.near, "10.77.0.2:5300", 200) }})
	collector.Run(context.Background(), m, []collector.Collector{c}, collector.Options{})
	var ends [][]int
	for name, b := range m.files {
		if strings.HasSuffix(name, ".pcapng") {
			var ids []int
			for _, k := range mustParse(t, b).packets {
				ids = append(ids, int(binary.BigEndian.Uint16(k.data[42:])))
			}
			ends = append(ends, ids)
		}
	}
	if len(ends) != 2 || len(ends[0]) != 200 || fmt.Sprint(ends[0]) != fmt.Sprint(ends[1]) {
		t.Errorf("the ends saw %v", ends)
	}
}
