package host

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

// Bounds of the cache.
const (
	maxCacheBytes   = 512 << 20
	maxCacheEntries = 1000
	maxCompiled     = 512 << 20 // of one module
	staleScratch    = time.Hour // a killed run's
)

const (
	secretFile    = "secret"
	entrySuffix   = ".module"
	scratchPrefix = "scratch-"
	secretBytes   = 32
)

// cache keeps what compiling a module gave, in a folder that is the user's
// alone. Whoever can write native code there could have it run (in a sandbox,
// but still), so an entry counts only with the right owner and mode, and with
// a MAC that binds it to its key under a secret of the folder. What does not
// hold is removed and made anew.
type cache struct {
	dir       string
	root      *os.Root
	secret    []byte
	temporary bool
	limit     int64
	salt      []byte // of every key: what the entries were made by
}

// openCache opens the folder, or makes a temporary one when dir is empty or
// not private.
func openCache(dir, temp string, made ...string) (*cache, error) {
	c := &cache{dir: dir, limit: maxCacheBytes, salt: provenance(made)}
	if dir != "" && c.open() == nil {
		c.sweep()
		return c, nil
	}
	var err error
	if c.dir, err = os.MkdirTemp(temp, "casefile-modules-*"); err != nil {
		return nil, fmt.Errorf("make the sandbox's files: %w", err)
	}
	c.temporary = true
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("make the sandbox's files: %w", errors.Join(err, os.RemoveAll(c.dir)))
	}
	return c, nil
}

func (c *cache) open() error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	info, err := root.Stat(".")
	if err == nil {
		err = private(info)
	}
	if err == nil {
		c.secret, err = folderSecret(root)
	}
	if err != nil {
		root.Close()
		return err
	}
	c.root = root
	return nil
}

func (c *cache) close() {
	c.root.Close()
	if c.temporary {
		_ = os.RemoveAll(c.dir) // what is left is the system's to clean
	}
}

// folderSecret reads the secret of a folder, or makes one.
func folderSecret(root *os.Root) ([]byte, error) {
	for range 2 {
		f, err := openPrivate(root, secretFile)
		if err == nil {
			secret := make([]byte, secretBytes+1)
			n, err := io.ReadFull(f, secret)
			f.Close()
			if errors.Is(err, io.ErrUnexpectedEOF) && n == secretBytes {
				return secret[:n], nil
			}
		}
		_ = root.RemoveAll(secretFile)
		fresh := make([]byte, secretBytes)
		_, _ = rand.Read(fresh) // never fails
		if err := writeWhole(root, secretFile, func(w io.Writer) error { _, err := w.Write(fresh); return err }); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the folder does not keep its secret")
}

// openPrivate opens a plain file of ours that nobody else may write.
func openPrivate(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("%s was changed", name)
	}
	if err == nil {
		err = private(now)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// writeWhole puts a file in place in one step.
func writeWhole(root *os.Root, name string, write func(io.Writer) error) error {
	temp := name + "." + rand.Text() + ".tmp"
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		err = errors.Join(err, root.Remove(temp))
	}
	return err
}

// provenance identifies what makes entries: the build, the engine, the meter
// (by what it does to a module) and the system.
func provenance(made []string) []byte {
	h := sha256.New()
	fmt.Fprintln(h, "casefile modules 2", runtime.GOOS, runtime.GOARCH, runtime.Version())
	if b, ok := debug.ReadBuildInfo(); ok {
		fmt.Fprintln(h, b.Main.Version, b.Main.Sum)
		for _, d := range b.Deps {
			if strings.HasSuffix(d.Path, "/wazero") {
				fmt.Fprintln(h, d.Path, d.Version, d.Sum, d.Replace)
			}
		}
		for _, s := range b.Settings {
			fmt.Fprintln(h, s.Key, s.Value)
		}
	}
	sample, err := meter.Rewrite(meterSample())
	fmt.Fprintln(h, hex.EncodeToString(sample), err)
	for _, m := range made {
		fmt.Fprintln(h, m)
		if info, err := os.Stat(m); err == nil {
			fmt.Fprintln(h, info.Size(), info.ModTime().UnixNano())
		}
	}
	return h.Sum(nil)
}

// meterSample is a module of one function that loops over memory.fill.
func meterSample() []byte {
	return []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01" +
		"\x0a\x12\x01\x10\x00\x03\x40\x41\x00\x41\x00\x41\x01\xfc\x0b\x00\x0c\x00\x0b\x0b")
}

// key names the entry of a module.
func (c *cache) key(digest string) string {
	h := sha256.New()
	h.Write(c.salt)
	h.Write([]byte(digest))
	return hex.EncodeToString(h.Sum(nil))
}

func (c *cache) mac() hash.Hash { return hmac.New(sha256.New, c.secret) }

// scratch makes a folder for one child.
func (c *cache) scratch() (string, error) {
	dir, err := os.MkdirTemp(c.dir, scratchPrefix+"*")
	if err != nil {
		return "", fmt.Errorf("make the sandbox's files: %w", err)
	}
	return dir, nil
}

func (c *cache) drop(key string) { _ = c.root.RemoveAll(key + entrySuffix) }

// sweep removes what killed runs left and, oldest first, what is too much.
func (c *cache) sweep() {
	dir, err := c.root.Open(".")
	if err != nil {
		return
	}
	defer dir.Close()
	list, _ := dir.ReadDir(100 * maxCacheEntries)
	type item struct {
		name string
		info fs.FileInfo
	}
	var entries []item
	total := int64(0)
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			continue
		}
		old := time.Since(info.ModTime()) > staleScratch
		switch name := e.Name(); {
		case strings.HasSuffix(name, entrySuffix):
			entries = append(entries, item{name, info})
			total += info.Size()
		case old && (strings.HasPrefix(name, scratchPrefix) || strings.HasSuffix(name, ".tmp")):
			_ = c.root.RemoveAll(name)
		}
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].info.ModTime().Before(entries[j].info.ModTime()) })
	for i := 0; i < len(entries) && (total > c.limit || len(entries)-i > maxCacheEntries); i++ {
		if c.root.RemoveAll(entries[i].name) == nil {
			total -= entries[i].info.Size()
		}
	}
}

// compiled is what a child left in its scratch folder.
type compiled struct {
	Key         string `json:"key"`
	Native      string `json:"native"` // path below scratch, the engine's own
	NativeSize  int64  `json:"nativeSize"`
	HollowSize  int64  `json:"hollowSize"`
	Declaration []byte `json:"declaration"` // what describe printed
}

var errForeign = errors.New("the entry is not ours")

// nativePath says whether the path is one that the engine makes.
func nativePath(name string) bool {
	dir, file := filepath.Split(filepath.FromSlash(name))
	_, err := hex.DecodeString(file)
	return err == nil && len(file) == 64 && strings.HasPrefix(dir, "wazero-") && filepath.IsLocal(name) && len(dir) < 80 && strings.Count(filepath.ToSlash(dir), "/") == 1
}

func (m *compiled) check(key string) error {
	if m.Key != key || !nativePath(m.Native) || m.NativeSize < 0 || m.HollowSize < 0 || m.NativeSize > maxCompiled || m.HollowSize > 2*MaxModule || len(m.Declaration) == 0 {
		return errForeign
	}
	return nil
}

// header is the first line of an entry.
func (m *compiled) header() ([]byte, error) {
	line, err := json.Marshal(m)
	return append(line, '\n'), err
}
