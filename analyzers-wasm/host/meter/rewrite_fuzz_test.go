package meter_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

// FuzzRewrite: arbitrary bytes and damaged modules are refused, or come out
// valid if and only if they came in valid.
func FuzzRewrite(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 30 {
		seed := make([]byte, 100+r.IntN(500))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(generate(seed, false), []byte{})
		f.Add(generate(seed, false), []byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 9, byte(r.Uint32()), 200})
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00"), []byte{})
	e := interpreter(f)
	f.Fuzz(func(t *testing.T, wasm, edits []byte) {
		wasm = slices.Clone(wasm) // what a fuzz test gets is not its own
		mutate(wasm, edits)
		metered, err := meter.Rewrite(wasm)
		if err != nil || !small(wasm) {
			return
		}
		m, before := e.rt.CompileModule(t.Context(), wasm)
		n, after := e.rt.CompileModule(t.Context(), metered)
		if (before == nil) != (after == nil) {
			t.Fatalf("before %v, after %v", before, after)
		}
		if before == nil {
			m.Close(t.Context())
			n.Close(t.Context())
		}
	})
}

// mutate overwrites bytes, three bytes of a list for each.
func mutate(wasm, edits []byte) {
	for ; len(edits) >= 3 && len(wasm) > 0; edits = edits[3:] {
		wasm[(int(edits[0])|int(edits[1])<<8)%len(wasm)] = edits[2]
	}
}

// small keeps from wazero what it would allocate without bounds: many local
// variables, and names. The module is one that Rewrite has taken.
func small(wasm []byte) bool {
	for b := wasm[8:]; len(b) > 0; {
		id := b[0]
		n, rest := leb(b[1:])
		body := rest[:n]
		b = rest[n:]
		if id == 0 {
			return false
		}
		if id != 10 {
			continue
		}
		count, code := leb(body)
		for range count {
			size, body := leb(code)
			code = body[size:]
			groups, body := leb(body)
			for range groups {
				var locals int
				if locals, body = leb(body); locals > 1000 {
					return false
				}
				body = body[1:]
			}
		}
	}
	return true
}

func leb(b []byte) (n int, rest []byte) {
	for i := range b {
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return n, b[i+1:]
		}
	}
	return 0, nil
}
