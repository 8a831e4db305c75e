package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// manyNodes is a bundle of so many nodes.
func manyNodes(n int) Options {
	links := map[string][]string{}
	for i := range n {
		links[fmt.Sprintf("n%03d", i)] = []string{"eth0"}
	}
	return Options{Bundle: nodeBundle(links)}
}

// watchChildren counts how many children this process has at once, and how
// many files it has open, until the returned function is called.
func watchChildren() func() (children, files int) {
	ctx, stop := context.WithCancel(context.Background())
	var most, open atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			n := 0
			tasks, _ := filepath.Glob("/proc/self/task/*/children")
			for _, task := range tasks {
				text, _ := os.ReadFile(task)
				for _, pid := range strings.Fields(string(text)) {
					if number, err := strconv.Atoi(pid); err == nil && !gone(number) {
						n++
					}
				}
			}
			fds, _ := os.ReadDir("/proc/self/fd")
			most.Store(max(most.Load(), int64(n)))
			open.Store(max(open.Load(), int64(len(fds))))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return func() (int, int) {
		stop()
		<-done
		return int(most.Load()), int(open.Load())
	}
}

// TestScopeParallel: a module of scope node runs on some nodes at a time, no
// more than asked for, and many nodes take no more memory and files than few.
func TestScopeParallel(t *testing.T) {
	node := func(d *abi.Declaration) {
		d.Scope, d.Inputs = abi.ScopeNode, []abi.Input{{Name: "in", Table: "nodes/*/0/net/links.ndjson"}}
	}
	const first = ownFunctions + 1
	work := spec{declare: declares("work", node), analyze: cat(call(first+20), printLater()), more: chain(first, 21)}
	o := testOptions(t)
	o.CacheDir, o.Jobs, o.Bundle, o.AnalyzeTimeout = privateDir(t), 3, manyNodes(100).Bundle, time.Minute
	small, count := watchSelf(t), watchChildren()
	r := Run(t.Context(), []Module{{Name: "work", Wasm: work.later(clearLine("work")).bytes()}}, o)[0]
	children, files := count()
	small()
	if r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != abi.OutcomeClear {
		t.Errorf("%+v", r)
	}
	if children < 2 || children > o.Jobs {
		t.Errorf("%d children at once, want 2 to %d", children, o.Jobs)
	}
	if files > 4*nodesAtOnce {
		t.Errorf("%d open files", files)
	}
}

// TestScopeFlood: what a module prints on each of many nodes is bounded for
// all together, and those within the bound count.
func TestScopeFlood(t *testing.T) {
	node := func(d *abi.Declaration) { d.Scope, d.Facts = abi.ScopeNode, []abi.FactDecl{{Fact: "a/b"}} }
	run := func(name, line string, times int) abi.ModuleRun {
		s := spec{declare: declares(name, node), print: strings.Repeat(line, (100<<10)/len(line)), pages: 16}
		s.analyze = repeat(fdWriteCode(1, iovPrint), times)
		o := testOptions(t)
		o.CacheDir, o.Bundle = privateDir(t), manyNodes(60).Bundle
		small := watchSelf(t)
		r := Run(t.Context(), []Module{{Name: name, Wasm: s.bytes()}}, o)[0]
		small()
		return r
	}
	long := run("long", `{"fact":"a/b","value":"`+strings.Repeat("x", 1000)+"\"}\n", 8)
	if r := long.Result; r.Status != abi.ModuleOutput || !strings.Contains(r.Reason, "on all nodes together") || !strings.HasPrefix(r.Reason, "on 24 of 60 nodes (n036") {
		t.Errorf("facts: %+v", r)
	}
	once := run("once", clearLine("once"), 20)
	if r := once.Result; r.Status != abi.ModuleOutput || !strings.Contains(r.Reason, fmt.Sprintf("on 60 of 60 nodes (n000, n001, n002, n003, n004, and 55 more): printed more than %d bytes", maxNodeStdout)) {
		t.Errorf("one node: %+v", r)
	}
	found := run("found", `{"rule":"found/rule","subject":{"kind":"Node","name":"n"}}`+"\n", 1)
	if r := found.Result; r.Status != abi.ModuleOutput || !strings.Contains(r.Reason, "more than 10000 findings over all nodes") || len(found.Findings) != maxFindings {
		t.Errorf("findings: %+v, %d", r, len(found.Findings))
	}
}
