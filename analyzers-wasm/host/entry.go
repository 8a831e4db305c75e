package host

import (
	"bufio"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Names in a scratch folder.
const (
	moduleFile   = "module"
	hollowFile   = "hollow"
	hollowFolder = "hollowed" // of what the engine makes of the hollow module
)

const maxHeader = maxDescribe * 3 / 2 // a declaration in base64 and the rest

// An entry is a line of JSON ([compiled]), the native code, the hollow module
// and a MAC over all of it.

// load copies an entry into a scratch folder, if one is given, and returns its
// head; ok is false when there is none that holds. Nothing of a bad entry is
// left.
func (c *cache) load(key, scratch string) (m compiled, ok bool) {
	f, err := openPrivate(c.root, key+entrySuffix)
	if err == nil {
		m, err = c.read(f, key, scratch)
		f.Close()
	}
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			c.drop(key)
		}
		return m, false
	}
	now := time.Now()
	_ = c.root.Chtimes(key+entrySuffix, now, now) // for the eviction of the oldest
	return m, true
}

func (c *cache) read(r io.Reader, key, scratch string) (m compiled, err error) {
	mac := c.mac()
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := readLine(br, maxHeader)
	if err != nil {
		return m, err
	}
	mac.Write(head)
	if err := json.Unmarshal(head, &m); err != nil {
		return m, err
	}
	if err := m.check(key); err != nil {
		return m, err
	}
	if scratch == "" {
		if _, err := io.CopyN(mac, br, m.NativeSize+m.HollowSize); err != nil {
			return m, err
		}
		return m, checkMAC(br, mac)
	}
	native, shell := filepath.Join(scratch, m.Native), filepath.Join(scratch, hollowFile)
	if err := os.MkdirAll(filepath.Dir(native), 0o700); err != nil {
		return m, err
	}
	err = errors.Join(copyOut(native, br, m.NativeSize, mac), copyOut(shell, br, m.HollowSize, mac))
	if err == nil {
		err = checkMAC(br, mac)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(native)), os.Remove(shell))
	}
	return m, err
}

// readLine reads up to and with the first newline.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, errForeign
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}

func copyOut(name string, r io.Reader, size int64, mac hash.Hash) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, io.TeeReader(r, mac), size)
	return errors.Join(err, f.Close())
}

// checkMAC holds the rest of an entry against what was read so far.
func checkMAC(r io.Reader, mac hash.Hash) error {
	rest := make([]byte, mac.Size()+1)
	n, err := io.ReadFull(r, rest)
	if !errors.Is(err, io.ErrUnexpectedEOF) || n != mac.Size() || !hmac.Equal(rest[:n], mac.Sum(nil)) {
		return errForeign
	}
	return nil
}

// store keeps what a child left in its scratch folder as the entry of its
// module. The child is not trusted: only files of the expected names and
// sizes count, and only under the key that the parent gives.
func (c *cache) store(key, scratch string, declaration []byte) error {
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return err
	}
	defer root.Close()
	m := compiled{Key: key, Declaration: declaration}
	native, err := openNative(root)
	if err != nil {
		return err
	}
	defer native.Close()
	if m.Native, err = hollowName(root); err != nil {
		return err
	}
	shell, err := openPrivate(root, hollowFile)
	if err != nil {
		return err
	}
	defer shell.Close()
	if m.NativeSize, m.HollowSize, err = sizes(native, shell); err != nil {
		return err
	}
	if m.NativeSize+m.HollowSize > c.limit/2 {
		return nil // would push everything else out
	}
	if err := m.check(key); err != nil {
		return err
	}
	head, err := m.header()
	if err != nil || len(head) > maxHeader {
		return err
	}
	err = writeWhole(c.root, key+entrySuffix, func(w io.Writer) error {
		mac := c.mac()
		both := io.MultiWriter(w, mac)
		_, err := both.Write(head)
		if err == nil {
			_, err = io.CopyN(both, native, m.NativeSize)
		}
		if err == nil {
			_, err = io.CopyN(both, shell, m.HollowSize)
		}
		if err == nil {
			_, err = w.Write(mac.Sum(nil))
		}
		return err
	})
	c.sweep()
	return err
}

func sizes(a, b *os.File) (int64, int64, error) {
	x, err := a.Stat()
	if err != nil {
		return 0, 0, err
	}
	y, err := b.Stat()
	if err != nil {
		return 0, 0, err
	}
	return x.Size(), y.Size(), nil
}

func openNative(root *os.Root) (*os.File, error) {
	name, err := findNative(root)
	if err != nil {
		return nil, err
	}
	return openPrivate(root, name)
}

// hollowName is what native code has to be called to be found for the hollow
// module.
func hollowName(root *os.Root) (string, error) {
	below, err := root.OpenRoot(hollowFolder)
	if err != nil {
		return "", err
	}
	defer below.Close()
	return findNative(below)
}

// findNative finds the one file of native code in a scratch folder.
func findNative(root *os.Root) (string, error) {
	dirs, err := readNames(root, ".")
	if err != nil {
		return "", err
	}
	found := ""
	for _, dir := range dirs {
		if dir == hollowFile || dir == moduleFile {
			continue
		}
		names, err := readNames(root, dir)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			path := dir + "/" + name
			if !nativePath(path) {
				continue
			}
			if found != "" {
				return "", errors.New("more than one file of compiled code")
			}
			found = path
		}
	}
	if found == "" {
		return "", errors.New("no compiled code")
	}
	return found, nil
}

// readNames lists a folder of a few entries.
func readNames(root *os.Root, name string) ([]string, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(16)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return names, nil
}
