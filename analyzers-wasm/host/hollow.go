package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// A warm start has the native code of a module, and no use for the bodies of
// its functions: to read and validate them would be half of its time. So the
// cache keeps the hollow module, whose bodies only trap. An engine finds native
// code by a name that it makes of the module; that of the whole module is kept
// under the name that goes with the hollow one.

// hollow replaces every body of a sound module.
func hollow(wasm []byte) ([]byte, error) {
	const codeSection = 10
	trap := []byte{3, 0, 0x00, opEndByte} // size, no locals, unreachable, end
	out := append([]byte(nil), wasm[:8]...)
	r := &wasmReader{b: wasm[8:]}
	for len(r.b) > 0 && r.err == nil {
		id := r.byte()
		body := r.bytes(r.u32())
		if id == codeSection {
			n := (&wasmReader{b: body}).u32()
			body = binary.AppendUvarint(nil, uint64(n))
			for range n {
				body = append(body, trap...)
			}
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(body))), body...)
	}
	return out, r.err
}

// keepHollow leaves the hollow module in the scratch folder, and in a folder of
// its own what the engine makes of it, for the name.
func (c *child) keepHollow(ctx context.Context, wasm []byte) error {
	shell, err := hollow(wasm)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.s.Scratch, hollowFile), shell, 0o600); err != nil {
		return err
	}
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(c.s.Scratch, hollowFolder))
	if err != nil {
		return err
	}
	engine := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
	if _, err := engine.CompileModule(ctx, shell); err != nil {
		return fmt.Errorf("the hollow module: %w", err)
	}
	if err := engine.Close(ctx); err != nil {
		return err
	}
	return cache.Close(ctx)
}

// took says whether the engine of a warm start has taken the code that was
// there for it: on another processor, say, it would rather make its own, of a
// module that does nothing but trap.
func (m compiled) took(scratch string) bool {
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return false
	}
	defer root.Close()
	name, err := findNative(root)
	if err != nil || name != m.Native {
		return false
	}
	info, err := root.Stat(name)
	return err == nil && info.Size() == m.NativeSize
}
