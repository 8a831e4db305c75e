package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
)

// TestJournal breaks a collection off after a journal: recover finds what was
// recorded, and a run that is over before the first one has none.
func TestJournal(t *testing.T) {
	for every, want := range map[time.Duration]bool{time.Millisecond: true, time.Hour: false} {
		redactor, err := redact.New(redact.PolicyStandard, redact.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out, again bytes.Buffer
		w, err := bundle.NewWriter(&out, bundle.Options{Top: "casefile-test", Time: time.Unix(1, 0), Redactor: redactor})
		if err != nil {
			t.Fatal(err)
		}
		sink := bundleSink{w, redactor}
		if err := putJSON(sink, "collection/plan.json", &plan{Note: "a note", Redaction: "standard"}); err != nil {
			t.Fatal(err)
		}
		g := startJournal(w, sink, every)
		if err := putJSON(sink, "nodes/n1/node.json", "x"); err != nil {
			t.Fatal(err)
		}
		g.record(collector.Result{Source: "node/n1", Path: "nodes/n1/node.json", Status: collector.StatusOK, Bytes: 4})
		for waiting := want; waiting; time.Sleep(time.Millisecond) {
			g.mu.Lock()
			waiting = len(g.results) > 0
			g.mu.Unlock()
		}
		g.end()
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(bundle.Info{}, nil); err != nil {
			t.Fatal(err)
		}
		cut := out.Bytes()[:out.Len()-1] // its seek table is not whole
		rec, err := bundle.Recover(t.Context(), bytes.NewReader(cut), int64(len(cut)), &again, bundle.RecoverOptions{Info: infoFromPlan})
		if err != nil {
			t.Fatal(err)
		}
		r, err := bundle.OpenUnverified(bytes.NewReader(again.Bytes()), int64(again.Len()))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Stat("collection/journal/0001.ndjson")
		if err == nil != want {
			t.Errorf("every %s: journal: %v", every, err)
		}
		text, err := r.ReadFile("collection/results.ndjson")
		if err != nil || strings.Contains(string(text), `"path":"nodes/n1/node.json","status":"ok"`) != want || len(rec.Missing) > 0 {
			t.Errorf("every %s: %v\n%s%+v", every, err, text, rec)
		}
	}
}

func TestInfoFromPlan(t *testing.T) {
	i := infoFromPlan([]byte(`{"note":"a","labels":{"b":"c"},"redaction":"standard","payload":"none"}`))
	if i.Note != "a" || i.Labels["b"] != "c" || i.Redaction.Policy != "standard" || i.Redaction.Payload != "none" {
		t.Errorf("%+v", i)
	}
	if i := infoFromPlan(nil); i.Redaction != nil || !strings.Contains(i.Note, "is lost") {
		t.Errorf("%+v", i)
	}
}
