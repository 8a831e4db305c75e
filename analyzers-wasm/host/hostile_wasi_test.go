package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// wildCalls call each function of WASI with pointers and sizes that lie outside
// of the memory, or across its end.
func wildCalls() map[string]attack {
	made := map[string]attack{}
	for f, params := range wasiFunctions() {
		if f == "proc_exit" {
			continue
		}
		name := "wild-" + strings.ReplaceAll(f, "_", "-")
		s := spec{declare: declares(name), wasi: []string{f}}
		for _, fd := range []int64{0, 3, 1 << 30, -1} {
			for _, wild := range []int64{-1, -16, 1<<31 - 1, 4*pageBytes - 2} {
				args := slices.Repeat([]int64{wild}, len(params))
				if len(args) > 0 {
					args[0] = fd
				}
				s.analyze = append(s.analyze, s.invoke(f, args...)...)
			}
		}
		s.analyze = append(s.analyze, printLater()...)
		made[name] = attack{s.later(clearLine(name)).bytes(), abi.ModuleOK, ""}
	}
	// A fault of the engine's own (wazero 1.12), which ends the module alone.
	set := made["wild-fd-filestat-set-times"]
	set.status = abi.ModuleOK + "|" + abi.ModuleFailed
	made["wild-fd-filestat-set-times"] = set
	return made
}

func clearLine(name string) string {
	return fmt.Sprintf(`{"rule":"%s/rule","outcome":"clear"}`+"\n", name)
}

// floods are modules that take much of the host with little of their own.
func floods() map[string]attack {
	made := map[string]attack{}
	add := func(name, status, reason string, s spec) {
		s.declare = declares(name)
		made[name] = attack{s.bytes(), status, reason}
	}
	line := func(name, rest string) string {
		return `{"rule":"` + name + `/rule","subject":{"kind":"Node","name":"n"}` + rest + "}\n"
	}
	flood := func(name, reason, text string, times int) {
		add(name, abi.ModuleFailed, reason, spec{print: text, pages: 16, analyze: repeat(fdWriteCode(1, iovPrint), times)})
	}
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	flood("outcomes", "more than 10000 outcomes", strings.Repeat(clearLine("outcomes"), 1000), 500)
	flood("affected", "more than 100000 affected in all", strings.Repeat(line("affected", `,"affected":[`+list("{}", 1000)+"]"), 20), 400)
	flood("params", "more than 200000 params", strings.Repeat(line("params", `,"params":{"a":[`+list("1", 1000)+`],"b":[`+list(`""`, 1000)+"]}"), 20), 300)
	flood("missing", "more than 10000 outcomes", strings.Repeat(`{"rule":"missing/rule","outcome":"unknown","missing":[`+list(`""`, 64)+"]}\n", 500), 100)
	flood("blank-lines", "line 1 of its output: more than 262144 bytes", strings.Repeat(" ", 300<<10), 100)
	add("empty-lines", abi.ModuleOK, "", spec{print: strings.Repeat("\n", 500<<10), pages: 16, analyze: repeat(fdWriteCode(1, iovPrint), 60)})
	add("empty-writes", abi.ModuleFuel+"|"+abi.ModuleTimeout, "", spec{analyze: loop(fdWriteCode(1, iovLater))})

	s := spec{wasi: []string{"path_open"}, places: []string{"config.json"}}
	s.analyze = loop(s.invoke("path_open", 3, 0, placeAt, 11, 0, 2, 0, 0, written))
	add("open-many", abi.ModuleMemory+"|"+abi.ModuleFuel+"|"+abi.ModuleTimeout, "", s)
	s = spec{wasi: []string{"path_open"}, pages: 800}
	s.analyze = loop(s.invoke("path_open", 3, 0, 0, 50<<20, 0, 2, 0, 0, written))
	add("huge-name", abi.ModuleMemory+"|"+abi.ModuleFuel+"|"+abi.ModuleTimeout, "", s)
	add("sleep-years", abi.ModuleOK, "", spec{places: []string{sleepForever}, analyze: repeat(cat(i32(placeAt), i32(4200), i32(1), i32(written), call(pollOneoff), opDrop), 100)})
	add("signature", abi.ModuleFailed, "indirect call type mismatch", spec{table: true, entry: true, analyze: cat(i32(0), i32(0), []byte{0x11, typeOne, 0})})
	return made
}

// sleepForever is a subscription to the realtime clock, for 292 years.
const sleepForever = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// bombs are within every bound of a structure, and still cost a compiler dear.
func bombs() map[string]attack {
	made := map[string]attack{}
	add := func(name string, more [][]byte) {
		made[name] = attack{spec{declare: declares(name), more: more}.bytes(), abi.ModuleTimeout + "|" + abi.ModuleMemory + "|" + abi.ModuleOK, ""}
	}
	targets := cat(i32(0), []byte{0x0e}, uleb(maxTargets-10), repeat([]byte{0}, maxTargets-10), []byte{0})
	ifs := repeat(cat(i32(1), opIf, opEnd), maxWork/maxLocals-10)
	add("bomb-functions", repeatBody(plain(), maxFunctions-10))
	add("bomb-targets", repeatBody(plain([]byte{0x02, 0x40}, targets, opEnd), 300))
	add("bomb-locals", repeatBody(cat(vec(cat(uleb(maxLocals), []byte{0x7e})), ifs, opEnd), 300))
	add("bomb-loops", repeatBody(plain(repeat(opLoop, maxLoops), repeat(opEnd, maxLoops)), 20_000))
	return made
}

// TestProbes: what a module can learn of the machine, the time and the run is
// the same in another run, and hangs on the bundle alone.
func TestProbes(t *testing.T) {
	s := spec{wasi: []string{"clock_time_get", "clock_res_get", "random_get", "environ_sizes_get", "fd_fdstat_get", "fd_filestat_get", "fd_readdir", "path_filestat_get", "fd_prestat_get"},
		declare: declares("probe"), places: []string{"config.json"}}
	at := int64(8192)
	look := func(name string, args ...int64) {
		s.analyze = append(s.analyze, s.invoke(name, append(args, at)...)...)
		at += 128
	}
	for _, clock := range []int64{0, 1} {
		look("clock_time_get", clock, 1)
		look("clock_res_get", clock)
	}
	for fd := range int64(4) {
		look("fd_fdstat_get", fd)
		look("fd_filestat_get", fd)
		look("fd_prestat_get", fd)
	}
	look("path_filestat_get", 3, 0, placeAt, 11)
	s.analyze = cat(s.analyze, s.invoke("environ_sizes_get", at, at+8), s.invoke("random_get", at+128, 256), s.invoke("fd_readdir", 3, at+512, 1024, 0, at+384), i32(0))
	for word := int64(8192); word < at+512+1024; word += 4 {
		s.analyze = cat(s.analyze, i32(31), opTimes, i32(word), opLoad, opAdd)
	}
	s.analyze = cat(s.analyze, call(procExit))
	said := map[string]string{}
	for i, bundle := range []string{"one", "one", "two"} {
		o := testOptions(t)
		o.BundleID = bundle
		r := Run(t.Context(), []Module{{Name: "probe", Wasm: s.bytes()}}, o)[0].Result
		if r.Status != abi.ModuleFailed || !strings.HasPrefix(r.Reason, "exit code ") {
			t.Fatalf("%+v", r)
		}
		if was := said[bundle]; was != "" && was != r.Reason {
			t.Errorf("run %d: %s, was %s", i, r.Reason, was)
		}
		said[bundle] = r.Reason
		time.Sleep(5 * time.Millisecond) // of the real time, which must not show
	}
	if said["one"] == said["two"] {
		t.Error("the probe does not see the random numbers")
	}
}
