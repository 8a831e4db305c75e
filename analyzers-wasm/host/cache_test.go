package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/sdk/abi"
)

// clears is a module that says one word.
func clears(name string) Module {
	return Module{Name: name, Wasm: spec{declare: declares(name), print: `{"rule":"` + name + `/rule","outcome":"clear"}` + "\n"}.bytes()}
}

func cacheOptions(t *testing.T) Options {
	t.Helper()
	o := testOptions(t)
	o.CacheDir = filepath.Join(privateDir(t), "modules")
	return o
}

// entries lists the files of a cache.
func entries(t *testing.T, dir, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func mustRun(t *testing.T, o Options, modules ...Module) []abi.ModuleRun {
	t.Helper()
	runs := Run(context.Background(), modules, o)
	for _, r := range runs {
		if r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != abi.OutcomeClear {
			t.Fatalf("%+v", r)
		}
	}
	return runs
}

// TestCacheSame: a run from the cache is the run that filled it, to the byte,
// and leaves nothing but entries.
func TestCacheSame(t *testing.T) {
	o := cacheOptions(t)
	modules := []Module{{Name: "guest.wasm", Wasm: guest(t)}, clears("a"), {Name: "t", Wasm: spec{declare: declares("t"), analyze: opUnreachable}.bytes()}}
	var first []byte
	for i := range 3 {
		runs := Run(context.Background(), modules, o)
		for j := range runs {
			runs[j].Result.Millis = 0
		}
		text, err := json.Marshal(runs)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = text
		}
		if !bytes.Equal(first, text) {
			t.Errorf("run %d:\n%s\nwas\n%s", i, text, first)
		}
		if n := entries(t, o.CacheDir, ""); len(n) != 4 || len(entries(t, o.CacheDir, entrySuffix)) != 3 {
			t.Errorf("in the cache: %q", n)
		}
	}
}

// TestCachePoison: whatever is done to an entry, the module still runs as it
// is, and a sound entry takes the bad one's place.
func TestCachePoison(t *testing.T) {
	o := cacheOptions(t)
	mustRun(t, o, clears("a"), clears("b"))
	var of [2]string // the entries of a and b
	for _, name := range entries(t, o.CacheDir, entrySuffix) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		of[min(1, bytes.Count(text, []byte("b/rule")))] = name // the hollow module has its text
	}
	good, err := os.ReadFile(of[0])
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(of[1])
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		return bad
	}
	head := bytes.IndexByte(good, '\n')
	put := func(text []byte) func() error {
		return func() error { return os.WriteFile(of[0], text, 0o600) }
	}
	for name, poison := range map[string]func() error{
		"empty": put(nil), "cut": put(good[:len(good)/2]), "cut in the head": put(good[:head/2]), "one byte less": put(good[:len(good)-1]),
		"one byte more": put(append(bytes.Clone(good), 0)), "a bit in the code": put(flip((head + len(good)) / 2)), "a bit in the head": put(flip(20)), "a bit in the MAC": put(flip(len(good) - 1)),
		"another module's": put(other), "no newline": put(bytes.Repeat([]byte{'x'}, maxHeader+10)), "rubbish": put([]byte("{}\n")),
		"negative sizes":        put([]byte(strings.Replace(string(good), `"nativeSize":`, `"nativeSize":-`, 1))),
		"a path that leads out": put([]byte(strings.Replace(string(good), `"native":"wazero`, `"native":"../wazero`, 1))),
		"open to others":        func() error { return os.Chmod(of[0], 0o644) }, "writable by a group": func() error { return os.Chmod(of[0], 0o660) },
		"a link": func() error {
			elsewhere := filepath.Join(t.TempDir(), "entry")
			return firstError(os.WriteFile(elsewhere, good, 0o600), os.Remove(of[0]), os.Symlink(elsewhere, of[0]))
		},
		"a folder": func() error { return firstError(os.Remove(of[0]), os.MkdirAll(filepath.Join(of[0], "x"), 0o700)) },
		"another secret": func() error {
			return os.WriteFile(filepath.Join(o.CacheDir, secretFile), bytes.Repeat([]byte{1}, secretBytes), 0o600)
		},
		"a short secret": func() error { return os.WriteFile(filepath.Join(o.CacheDir, secretFile), []byte("x"), 0o600) },
		"an open secret": func() error { return os.Chmod(filepath.Join(o.CacheDir, secretFile), 0o644) },
		"no secret":      func() error { return os.Remove(filepath.Join(o.CacheDir, secretFile)) },
	} {
		if err := poison(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustRun(t, o, clears("a"))
		c, err := openCache(o.CacheDir, "", o.Exec[0])
		if err != nil || c.temporary {
			t.Fatalf("%s: %v", name, err)
		}
		if _, ok := c.load(c.key(digest(clears("a").Wasm)), t.TempDir()); !ok {
			t.Errorf("%s: there is no sound entry afterwards", name)
		}
		if good, err = os.ReadFile(of[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.close()
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestCacheForged: an entry that is well made but whose code the engine does
// not take is forgotten too.
func TestCacheForged(t *testing.T) {
	o := cacheOptions(t)
	mustRun(t, o, clears("a"))
	c, err := openCache(o.CacheDir, "", o.Exec[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	key, scratch := c.key(digest(clears("a").Wasm)), privateDir(t)
	m, ok := c.load(key, scratch)
	if !ok {
		t.Fatal("no entry")
	}
	if err := writeBelow(scratch, hollowFolder, m.Native); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{m.Native, hollowFile} {
		name := filepath.Join(scratch, damage)
		was, err := os.ReadFile(name)
		if err == nil {
			err = firstError(os.WriteFile(name, was[:len(was)/2], 0o600), c.store(key, scratch, m.Declaration), os.WriteFile(name, was, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		mustRun(t, o, clears("a"))
	}
	// As on another processor: the engine would make code of its own of the
	// hollow module, which does nothing but trap.
	other := filepath.Join(filepath.Dir(m.Native), strings.Repeat("ab", 32))
	err = firstError(os.RemoveAll(filepath.Join(scratch, hollowFolder)), writeBelow(scratch, hollowFolder, other), c.store(key, scratch, m.Declaration))
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, o, clears("a"))
	if m, ok := c.load(key, ""); !ok || m.Native == other {
		t.Errorf("%+v is kept", m)
	}
}

// writeBelow makes a file of a byte, and the folders above it.
func writeBelow(elem ...string) error {
	name := filepath.Join(elem...)
	return firstError(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte("x"), 0o600))
}

// TestCacheFolder: a folder that is not the user's alone is not used, and
// what a killed run left in one goes away.
func TestCacheFolder(t *testing.T) {
	o := cacheOptions(t)
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	mustRun(t, o, clears("a"))
	if n := entries(t, o.CacheDir, ""); len(n) > 0 {
		t.Errorf("in a folder that others can read: %q", n)
	}
	if n := entries(t, o.TempDir, ""); len(n) > 0 {
		t.Errorf("left behind: %q", n)
	}
	o.CacheDir = filepath.Join(t.TempDir(), "file", "below")
	if err := os.WriteFile(filepath.Dir(o.CacheDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, o, clears("a"))
}

// TestCacheScratch: of what a child leaves, only a plain file of the engine's
// name counts.
func TestCacheScratch(t *testing.T) {
	c, err := openCache(privateDir(t), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	native := "wazero-v1.0.0-x/" + strings.Repeat("ab", 32)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("not its own"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(dir string, names ...string) error {
		errs := []error{writeBelow(dir, hollowFolder, native)}
		for _, name := range names {
			errs = append(errs, writeBelow(dir, name))
		}
		return firstError(errs...)
	}
	for name, make := range map[string]func(dir string) error{
		"nothing": func(string) error { return nil },
		"no name": func(d string) error {
			return firstError(write(d, hollowFile, native), os.RemoveAll(filepath.Join(d, hollowFolder)))
		},
		"two names": func(d string) error {
			return write(d, hollowFile, native, filepath.Join(hollowFolder, native[:len(native)-1]+"a"))
		},
		"no module":    func(d string) error { return write(d, native) },
		"no code":      func(d string) error { return write(d, hollowFile) },
		"another name": func(d string) error { return write(d, hollowFile, "wazero-v1/x") },
		"two": func(d string) error {
			return write(d, hollowFile, native, native[:len(native)-1]+"a")
		},
		"a link": func(d string) error {
			return firstError(write(d, native), os.Symlink(outside, filepath.Join(d, hollowFile)))
		},
		"a linked folder": func(d string) error {
			return firstError(write(d, hollowFile), writeBelow(d+"/../real", native), os.Symlink("../real/wazero-v1.0.0-x", filepath.Join(d, "wazero-v1.0.0-x")))
		},
	} {
		dir := filepath.Join(privateDir(t), "scratch")
		if err := firstError(os.Mkdir(dir, 0o700), make(dir)); err != nil {
			t.Fatal(err)
		}
		if err := c.store("key", dir, []byte("{}")); err == nil {
			t.Errorf("%s: was stored", name)
		}
	}
	if n := entries(t, c.dir, entrySuffix); len(n) > 0 {
		t.Errorf("in the cache: %q", n)
	}
}

// TestCacheEviction: the cache is bounded, and the oldest go first.
func TestCacheEviction(t *testing.T) {
	c, err := openCache(privateDir(t), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.limit = 10_000
	dir := privateDir(t)
	native := "wazero-v1.0.0-x/" + strings.Repeat("ab", 32)
	if err := firstError(writeBelow(dir, native), writeBelow(dir, hollowFolder, native), os.WriteFile(filepath.Join(dir, native), make([]byte, 3000), 0o600),
		os.WriteFile(filepath.Join(dir, hollowFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := c.store(fmt.Sprint("key", i), dir, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // the first is used again
			if _, ok := c.load("key0", privateDir(t)); !ok {
				t.Fatal("key0 is gone")
			}
		}
	}
	var left []string
	for i := range 5 {
		if _, ok := c.load(fmt.Sprint("key", i), privateDir(t)); ok {
			left = append(left, fmt.Sprint(i))
		}
	}
	if got := strings.Join(left, " "); got != "0 3 4" {
		t.Errorf("left: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, hollowFile), make([]byte, 4000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.store("big", dir, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.load("big", privateDir(t)); ok {
		t.Error("an entry of more than half of the cache was kept")
	}
}
