package agent

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// TestTriggerReachesAll lets the trigger of one agent end the work of another
// and of one that comes later, and the user's own that of all.
func TestTriggerReachesAll(t *testing.T) {
	for _, who := range []string{"n1", "user"} {
		trigger := collector.NewTrigger()
		var mu sync.Mutex
		heard := map[string]collector.TriggerEvent{}
		converse := func(node string) {
			cli, srv := net.Pipe()
			go func() {
				_ = Serve(t.Context(), srv, srv, Hello{}, func(ctx context.Context, p Plan, s Session) (End, error) {
					if p.Node == who {
						s.Trigger().Fire(collector.TriggerEvent{Trigger: "log boom\x1b[31m", Where: "elsewhere", Time: time.Unix(7, 0)})
					}
					select {
					case <-s.Trigger().Fired():
						mu.Lock()
						defer mu.Unlock()
						heard[p.Node], _ = s.Trigger().Event()
					case <-ctx.Done():
					}
					return End{}, ctx.Err()
				})
			}()
			out := collector.NewOutput(&memSink{}, collector.Options{})
			if _, err := Converse(t.Context(), cli, Plan{Node: node, Until: []string{"log boom", "signal"}, Trigger: trigger}, out); err != nil {
				t.Errorf("%s: %v", node, err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() { converse("n1") })
		wg.Go(func() { converse("n2") })
		if who == "user" {
			trigger.Fire(collector.TriggerEvent{Trigger: "signal", Time: time.Now()})
		}
		wg.Wait()
		converse("n3")
		mu.Lock()
		if len(heard) != 3 {
			t.Errorf("%s: heard %+v", who, heard)
		}
		if e, ok := trigger.Event(); !ok || who == "n1" && (e.Where != "n1" || strings.Contains(e.Trigger, "\x1b") || e.Time.Unix() != 7) {
			t.Errorf("%s: %+v", who, e)
		}
		mu.Unlock()
	}
}

// TestTriggerUnasked: an agent whose plan has no trigger cannot fire one.
func TestTriggerUnasked(t *testing.T) {
	p := testPlan()
	p.Trigger = collector.NewTrigger()
	if _, _, err := script(t, p, &memSink{}, stream(hello, rec{KindTrigger, collector.TriggerEvent{Trigger: "x"}}, rec{KindEnd, End{}})); err != nil {
		t.Fatal(err)
	}
	if e, ok := p.Trigger.Event(); ok {
		t.Errorf("fired: %+v", e)
	}
}
