package node

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// As bpftool shows them.
func TestBPFIsThatOfBpftool(t *testing.T) {
	needRoot(t, "bpftool")
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "cf_test", Type: ebpf.LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 1000})
	if err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatalf("no BPF here: %v", err)
		}
		t.Skipf("no BPF here: %v", err)
	}
	defer m.Close()
	for i := range uint32(300) {
		if err := m.Put(i, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "cf_prog", Type: ebpf.SocketFilter, License: "MIT", Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	root := t.TempDir()
	if err := os.MkdirAll(root+"/sys/fs/bpf", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("bpf", root+"/sys/fs/bpf", "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root+"/sys/fs/bpf", unix.MNT_DETACH) })
	if err := m.Pin(root + "/sys/fs/bpf/cf_map"); err != nil {
		t.Fatal(err)
	}
	sink, results := runSource(t, Options{Root: root}, func(g *gatherer) {
		g.stream(t.Context(), "bpf.ndjson", func(enc *json.Encoder) error { return g.bpf(t.Context(), enc) })
	})
	mapID, progID := idOf(t, m, p)
	var gotMap, gotProg bpfRow
	for _, row := range rows[bpfRow](t, sink, "bpf.ndjson") {
		switch {
		case row.Kind == "map" && row.ID == mapID:
			gotMap = row
		case row.Kind == "program" && row.ID == progID:
			gotProg = row
		}
	}
	var wantMap struct {
		Name         string
		Type         string
		BytesKey     uint32 `json:"bytes_key"`
		BytesValue   uint32 `json:"bytes_value"`
		MaxEntries   uint32 `json:"max_entries"`
		BytesMemlock uint64 `json:"bytes_memlock"`
	}
	bpftool(t, &wantMap, "map", mapID)
	if gotMap.Name != wantMap.Name || gotMap.KeySize != wantMap.BytesKey || gotMap.ValueSize != wantMap.BytesValue || gotMap.MaxEntries != wantMap.MaxEntries ||
		gotMap.Bytes != wantMap.BytesMemlock || !gotMap.LRU || gotMap.Entries == nil || *gotMap.Entries != 300 || len(gotMap.Pinned) != 1 || gotMap.Pinned[0] != "/sys/fs/bpf/cf_map" {
		t.Errorf("%+v, bpftool says %+v; %+v", gotMap, wantMap, results)
	}
	var wantProg struct {
		Name, Tag, Type string
		MapIDs          []uint32 `json:"map_ids"`
	}
	bpftool(t, &wantProg, "prog", progID)
	if gotProg.Name != wantProg.Name || gotProg.Tag != wantProg.Tag || len(gotProg.Maps) != 1 || len(wantProg.MapIDs) != 1 || gotProg.Maps[0] != wantProg.MapIDs[0] || gotProg.Loaded == 0 {
		t.Errorf("%+v, bpftool says %+v", gotProg, wantProg)
	}
}

func idOf(t *testing.T, m *ebpf.Map, p *ebpf.Program) (uint32, uint32) {
	t.Helper()
	mi, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	pi, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	mapID, ok := mi.ID()
	progID, ok2 := pi.ID()
	if !ok || !ok2 {
		t.Fatal("no ids")
	}
	return uint32(mapID), uint32(progID)
}

func bpftool(t *testing.T, v any, kind string, id uint32) {
	t.Helper()
	out := sh(t, "bpftool -j "+kind+" show id "+strconv.Itoa(int(id)))
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
}
