//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// piecesSink gathers the captures of a live plan.
type piecesSink struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (s *piecesSink) Put(string, collector.Class, io.Reader) (int64, error) { panic("not used") }

func (s *piecesSink) Frames(prefixes []string, r io.Reader) error {
	return agent.ReadPieces(r, prefixes, func(path string, data []byte) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.files[path] = append(s.files[path], data...)
		return nil
	})
}

// TestLive has an agent stream a capture as it comes, until the trigger that
// the command line sends: whole pcapng, with names, cut by the payload policy.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("captures need root")
		}
		t.Skip("captures need root")
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	plan := testPlan()
	plan.Live, plan.Until, plan.AfterMS, plan.Trigger = true, []string{"signal"}, 300, collector.NewTrigger()
	plan.Prefixes = []string{"captures/node_n1/n1__"}
	plan.Addresses = map[string]string{"127.0.0.9": "service/shop/db"}
	plan.Captures = []agent.Capture{{Name: "node_n1", Target: "node/n1", Filter: "udp port 5399", Snaplen: 2000, DurationMS: 60_000, MaxBytes: 1 << 30, Interface: "lo"}}
	sink := &piecesSink{files: map[string][]byte{}}
	out := collector.NewOutput(sink, collector.Options{})
	a := start(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 40 { // the agent starts meanwhile
			_ = exec.Command("bash", "-c", "echo secret-payload >/dev/udp/127.0.0.9/5399").Run()
			time.Sleep(50 * time.Millisecond)
		}
		plan.Trigger.Fire(collector.TriggerEvent{Trigger: "signal", Where: "casefile", Time: time.Now()})
	}()
	if _, err := agent.Converse(t.Context(), a.call(t, nil), plan, out); err != nil {
		t.Fatal(err)
	}
	<-sent
	b := sink.files["captures/node_n1/n1__lo.pcapng"]
	results := out.Results()
	if len(results) != 1 || results[0].Status != collector.StatusOK || len(sink.files) != 1 {
		t.Fatalf("results %+v, %d files", results, len(sink.files))
	}
	if bytes.Contains(b, []byte("secret-payload")) || binary.LittleEndian.Uint32(b) != 0x0a0d0d0a {
		t.Errorf("the payload is in the stream: %.80q", b)
	}
	name := filepath.Join(t.TempDir(), "live.pcapng")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	seen, err := exec.Command("tshark", "-N", "n", "-r", name, "-T", "fields", "-e", "ip.dst_host", "-e", "frame.len", "-e", "frame.cap_len").Output()
	if err != nil || !bytes.Contains(seen, []byte("service/shop/db\t57\t42\n")) {
		t.Errorf("%v: tshark sees %.200q", err, seen)
	}
}
