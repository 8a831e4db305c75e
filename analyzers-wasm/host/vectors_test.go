package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// fuelVectors is sdk/vectors/fuel.json.
type fuelVectors struct {
	Module string // its text, with words in capitals for what differs
	Config string // the file /config.json
	Cases  []struct {
		Name, Work, More, Status string
		Limit, Fuel              int64
		Wasm                     []byte
	}
}

func readFuelVectors(t *testing.T) fuelVectors {
	t.Helper()
	text, err := os.ReadFile("../../sdk/vectors/fuel.json")
	var v fuelVectors
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Cases) < 20 {
		t.Fatal(err, len(v.Cases))
	}
	return v
}

// TestVectorsFuel: a module uses what the vectors say, which was reckoned by
// the words of sdk/ABI.md.
func TestVectorsFuel(t *testing.T) {
	v := readFuelVectors(t)
	o := cacheOptions(t)
	o.Bundle, o.CaptureTime, o.Settings = fstest.MapFS{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), nil
	config, err := json.Marshal(abi.Config{ABI: abi.VersionMax, CaptureTime: o.CaptureTime.Format(time.RFC3339)})
	if err != nil || string(config)+"\n" != v.Config {
		t.Fatalf("config.json is %s, the vectors have %s", config, v.Config)
	}
	for _, c := range v.Cases {
		r := Run(context.Background(), []Module{{Name: c.Name, Wasm: c.Wasm}}, o)[0]
		if r.Result.Status != c.Status || r.Result.Fuel != c.Fuel {
			t.Errorf("%s: %s with %d fuel, want %s with %d: %s", c.Name, r.Result.Status, r.Result.Fuel, c.Status, c.Fuel, r.Result.Reason)
		}
	}
}

// TestVectorsFuelText: the bytes are those of the text.
func TestVectorsFuelText(t *testing.T) {
	assembler, err := exec.LookPath("wat2wasm")
	if err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: ", err)
	}
	v := readFuelVectors(t)
	dir := t.TempDir()
	for _, c := range v.Cases {
		declaration := declares("fuel", func(d *abi.Declaration) { d.Limits.Fuel = c.Limit })
		declaration = strings.NewReplacer("fuel/rule", "fuel/used", `"low"`, `"info"`, `"node"`, `"app"`).Replace(declaration)
		length := ""
		for _, b := range binary.LittleEndian.AppendUint32(nil, uint32(len(declaration))) {
			length += fmt.Sprintf(`\%02x`, b)
		}
		text := strings.NewReplacer("DECLARATION", strings.ReplaceAll(declaration, `"`, `\"`), "LENGTH", length, "WORK", c.Work, "MORE", c.More).Replace(v.Module)
		in, out := filepath.Join(dir, "m.wat"), filepath.Join(dir, "m.wasm")
		if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(assembler, in, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.Name, err, said)
		}
		if wasm, err := os.ReadFile(out); err != nil || !bytes.Equal(wasm, c.Wasm) {
			t.Errorf("%s: the text is another module; %v", c.Name, err)
		}
	}
}

// TestWorld: random numbers and clocks are those that sdk/ABI.md says.
func TestWorld(t *testing.T) {
	const at, size = 60_000, 16 + 2*8
	s := spec{wasi: []string{"random_get", "clock_time_get"}, declare: declares("m")}
	s.places = []string{string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, at), size))}
	s.analyze = cat(s.invoke("random_get", at, 5), s.invoke("random_get", at+5, 11),
		s.invoke("clock_time_get", 0, 1, at+16), s.invoke("clock_time_get", 1, 1, at+24), fdWriteCode(1, placeAt))
	o := testOptions(t)
	wasm := s.bytes()
	p := NewProbe(context.Background(), Module{Name: "m", Wasm: wasm}, o)
	defer p.Close()
	printed, r := p.Run(context.Background(), abi.VerbAnalyze, nil)
	if r.Status != abi.ModuleOK || len(printed) != size {
		t.Fatalf("%d bytes, %+v", len(printed), r)
	}
	want := make([]byte, 16)
	seed := sha256.Sum256(fmt.Appendf(nil, "%s\x00sha256:%x", o.BundleID, sha256.Sum256(wasm)))
	if _, err := rand.NewChaCha8(seed).Read(want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(printed[:16], want) {
		t.Errorf("random bytes %x, want %x", printed[:16], want)
	}
	for i := range 2 {
		now := time.Unix(0, int64(binary.LittleEndian.Uint64(printed[16+8*i:])))
		if want := o.CaptureTime.Add(time.Duration(i+1) * time.Millisecond); !now.Equal(want) {
			t.Errorf("look %d: %s, want %s", i+1, now, want)
		}
	}
}

// TestReadsCostAlike: what a read costs does not hang on where the spool holds
// the bytes.
func TestReadsCostAlike(t *testing.T) {
	spool := bytes.NewReader([]byte("0123456789abcdef"))
	var want []int
	for _, extents := range [][]input.Extent{{{Off: 0, Len: 16}}, {{Off: 0, Len: 4}, {Off: 8, Len: 4}, {Off: 4, Len: 4}, {Off: 12, Len: 4}}} {
		var paid []int
		fsys, err := newSpoolFS(spool, []input.File{{Path: "in/a", Size: 16, Extents: extents}}, time.Time{}, func(n int) { paid = append(paid, n) })
		if err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Open("in/a")
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		for range 3 {
			_, _ = f.Read(buf) // at the end, an error
		}
		if want == nil {
			want = paid
		}
		if fmt.Sprint(paid) != "[10 6 0]" || fmt.Sprint(paid) != fmt.Sprint(want) {
			t.Errorf("%d extents: %v, want %v", len(extents), paid, want)
		}
	}
}
