package journal

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small is a file of 120 entries in 4 units that systemd wrote, compact and
// keyed, with compressed values.
func small(t testing.TB) []byte {
	t.Helper()
	f, err := os.Open("testdata/small.journal.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.LimitReader(z, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// patched is a file with other bytes at some offsets.
type patched struct {
	base  []byte
	other map[int64]byte
	reads int
}

func (p *patched) ReadAt(b []byte, at int64) (int, error) {
	p.reads++
	if at >= int64(len(p.base)) {
		return 0, io.EOF
	}
	n := copy(b, p.base[at:])
	for i, c := range p.other {
		if i >= at && i < at+int64(n) {
			b[i-at] = c
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// spans are where a file's bytes say something: not the table of the hashes.
func spans(b []byte) []int64 {
	header := int64(binary.LittleEndian.Uint64(b[88:]))
	tail := int64(binary.LittleEndian.Uint64(b[136:]))
	end := tail + int64(binary.LittleEndian.Uint64(b[tail+8:]))
	var list []int64
	for i := range end {
		if i < header || b[i] != 0 || i > end-4096 {
			list = append(list, i)
		}
	}
	return list
}

func readAll(ctx context.Context, in Input) (text string, damaged int, err error) {
	s := NewSet([]Input{in}, time.Time{})
	defer s.Close()
	for _, m := range []Match{{}, Unit("kubelet.service"), Kernel()} {
		var b bytes.Buffer
		sum, err := write(ctx, s, &b, Query{Match: m, MaxBytes: 1 << 20})
		if err != nil {
			return "", 0, err
		}
		if b.Len() > 1<<20 {
			return "", 0, errors.New("more than the limit")
		}
		text += b.String()
		damaged += sum.Damaged
	}
	s.Values("_SYSTEMD_UNIT")
	return text, damaged + len(s.Skipped), nil
}

// A file that was cut anywhere gives what is left of it.
func TestTruncated(t *testing.T) {
	b := small(t)
	whole, damaged, err := readAll(t.Context(), Input{"x", bytes.NewReader(b), int64(len(b))})
	if err != nil || damaged > 0 || strings.Count(whole, "entry ") < 130 {
		t.Fatalf("%d damaged, %v, %d bytes", damaged, err, len(whole))
	}
	places := spans(b)
	some := 0
	for i := 0; i < len(places); i += 97 {
		n := places[i]
		got, damaged, err := readAll(t.Context(), Input{"x", bytes.NewReader(b[:n]), n})
		if err != nil || damaged == 0 {
			t.Fatalf("cut at %d: %d damaged, %v", n, damaged, err)
		}
		if len(got) > 0 && len(got) < len(whole) {
			some++
		}
		for line := range strings.Lines(got) {
			if !strings.Contains(whole, line) {
				t.Errorf("cut at %d: a line that never was: %q", n, line)
			}
		}
	}
	if some < 20 {
		t.Errorf("only %d of the cut files give something", some)
	}
	// The file became shorter than it was when it was opened.
	if _, damaged, err := readAll(t.Context(), Input{"x", bytes.NewReader(b[:places[len(places)/2]]), int64(len(b))}); err != nil || damaged == 0 {
		t.Errorf("cut while it is read: %d damaged, %v", damaged, err)
	}
}

// No damage ends the reader or keeps it busy for long.
func TestDamaged(t *testing.T) {
	b := small(t)
	places := spans(b)
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		p := &patched{base: b, other: map[int64]byte{}}
		for range 1 + r.IntN(8) {
			p.other[places[r.IntN(len(places))]] = byte(r.Uint32())
		}
		if _, _, err := readAll(t.Context(), Input{"x", p, int64(len(b))}); err != nil || p.reads > 100_000 {
			t.Fatalf("%v, %d reads with %v", err, p.reads, p.other)
		}
	}
}

func TestNoJournal(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":   {nil, ErrFormat},
		"text":    {bytes.Repeat([]byte("no journal at all\n"), 100), ErrFormat},
		"future":  {append(append([]byte("LPKSHHRH\x00\x00\x00\x00"), 0x80, 0, 0, 0), make([]byte, 300)...), ErrFormat},
		"zero":    {append([]byte("LPKSHHRH"), make([]byte, 300)...), ErrDamage},
		"missing": {small(t)[:300], ErrDamage},
	} {
		s := NewSet([]Input{{name, bytes.NewReader(c.b), int64(len(c.b))}}, time.Time{})
		if len(s.Skipped) != 1 || !errors.Is(s.Skipped[0], c.want) || !strings.HasPrefix(s.Skipped[0].Error(), name+": ") {
			t.Errorf("%s: %v", name, s.Skipped)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := small(t)
	if _, _, err := readAll(ctx, Input{"x", bytes.NewReader(b), int64(len(b))}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A file may be written to while it is read: what was there at first is whole.
func TestWhileWritten(t *testing.T) {
	needTools(t)
	file := filepath.Join(t.TempDir(), "system.journal")
	cmd := exec.Command(remote, "-o", file, "-")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for i := range 40 {
			if _, err := in.Write(export(uint64(i), 200, firstUsec+int64(i)*1_000_000, 1000)); err != nil {
				break
			}
		}
		in.Close()
		done <- cmd.Wait()
	}()
	before := 0
	for ended := false; !ended; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
		}
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		s := NewSet([]Input{{file, f, info.Size()}}, time.Time{})
		sum, err := write(t.Context(), s, io.Discard, Query{})
		if err == nil && sum.Damaged == 0 {
			_, err = write(t.Context(), s, io.Discard, Query{Match: Kernel()})
		}
		if err != nil || sum.Damaged > 0 || sum.Entries < before {
			t.Errorf("%d entries after %d, %d damaged, %v", sum.Entries, before, sum.Damaged, err)
		}
		before = sum.Entries
		s.Close()
		f.Close()
	}
	if before != 8000 {
		t.Errorf("%d entries at the end", before)
	}
}

func FuzzJournal(f *testing.F) {
	b := small(f)
	places := spans(b)
	f.Add([]byte{0, 88, 1, 2, 3, 4}, 0)
	f.Add([]byte{1, 0, 255, 40, 3, 0, 80, 80, 80}, 3000)
	f.Fuzz(func(t *testing.T, patches []byte, cut int) {
		p := &patched{base: b, other: map[int64]byte{}}
		if cut > 0 {
			p.base = b[:places[cut%len(places)]]
		}
		for ; len(patches) >= 3 && len(p.other) < 64; patches = patches[3:] {
			p.other[places[int(binary.BigEndian.Uint16(patches))%len(places)]] = patches[2]
		}
		if _, _, err := readAll(t.Context(), Input{"x", p, int64(len(p.base))}); err != nil || p.reads > 200_000 {
			t.Fatalf("%v, %d reads", err, p.reads)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	for _, kind := range []string{"lz4", "xz"} {
		b, flag := compress(f, bytes.Repeat([]byte("MESSAGE=again and "), 50), kind)
		f.Add(b, flag)
	}
	f.Fuzz(func(t *testing.T, b []byte, flags byte) {
		u := &unpacker{}
		defer u.close()
		value, cut, err := u.unpack(b, flags, 1000)
		if len(value) > 1000 || err != nil && (value != nil || !errors.Is(err, ErrDamage)) || cut && len(value) != 1000 {
			t.Errorf("%d bytes, %v, %v", len(value), cut, err)
		}
	})
}

// What a block unpacks to is what the library says, or its beginning.
func TestLZ4(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		plain := make([]byte, 1+r.IntN(3000))
		for i := range plain {
			if plain[i] = byte(r.IntN(4)); i > 40 && r.IntN(3) > 0 {
				plain[i] = plain[i-1-r.IntN(40)]
			}
		}
		packed, _ := compress(t, plain, "lz4")
		limit := 1 + r.IntN(4000)
		dst := make([]byte, limit)
		n, err := unpackLZ4(dst, packed[8:])
		if err != nil || !bytes.Equal(dst[:n], plain[:min(len(plain), limit)]) {
			t.Fatalf("%d of %d bytes, limit %d: %v", n, len(plain), limit, err)
		}
	}
	for _, bad := range []string{"", "\xf0", "\xf0\xff", "\x50abc", "\x10a\x01", "\x10a\x02\x00", "\x10a\x00\x00", "\x1fa\x01\x00\xff"} {
		if n, err := unpackLZ4(make([]byte, 100), []byte(bad)); !errors.Is(err, ErrDamage) {
			t.Errorf("%q: %d bytes, %v", bad, n, err)
		}
	}
}

// What a unit printed last, beside journalctl.
func BenchmarkTail(b *testing.B) {
	needTools(b)
	file := makeJournal(b, export(1, 60_000, firstUsec, 1000))
	b.Run("casefile", func(b *testing.B) {
		var n int64
		for b.Loop() {
			s := openFiles(b, time.Time{}, file)
			sum, err := write(b.Context(), s, io.Discard, Query{Match: Unit("containerd.service"), MaxBytes: 4 << 20})
			if err != nil {
				b.Fatal(err)
			}
			n = sum.Bytes
		}
		b.SetBytes(n)
	})
	b.Run("journalctl", func(b *testing.B) {
		var n int
		for b.Loop() {
			out, err := exec.Command("journalctl", "--file", file, "-u", "containerd.service", "--utc", "-q", "--no-pager", "-a", "-o", "short-iso-precise").Output()
			if err != nil {
				b.Fatal(err)
			}
			n = len(out)
		}
		b.SetBytes(int64(n))
	})
}
