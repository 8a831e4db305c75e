package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

const remote = "/lib/systemd/systemd-journal-remote"

// needTools skips a test on a machine without systemd's own tools, or fails it
// where they have to be there.
func needTools(t testing.TB) {
	t.Helper()
	_, err := exec.LookPath("journalctl")
	if err == nil {
		_, err = os.Stat(remote)
	}
	if err == nil {
		return
	}
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatal("journalctl and systemd-journal-remote are needed: ", err)
	}
	t.Skip(err)
}

const firstUsec = 1_796_000_000_000_000

// export makes n entries of several units in the export format, the first at
// the given microsecond, step apart. Their bytes are the same for a seed.
func export(seed uint64, n int, from, step int64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	field := func(name, value string) {
		if strings.ContainsAny(value, "\n\x00\x01") {
			b.WriteString(name + "\n")
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(value)))
			b.WriteString(value + "\n")
			return
		}
		b.WriteString(name + "=" + value + "\n")
	}
	for i := range n {
		at := from + int64(i)*step
		field("__REALTIME_TIMESTAMP", fmt.Sprint(at))
		field("__MONOTONIC_TIMESTAMP", fmt.Sprint(at-firstUsec+200_000_000_000))
		field("_BOOT_ID", "0123456789abcdef0123456789abcdef")
		field("_HOSTNAME", "host1")
		text := fmt.Sprintf("entry %d of seed %d", i, seed)
		switch i % 7 {
		case 3: // compressed
			text += strings.Repeat(fmt.Sprintf(" again %d", r.IntN(9)), 100+r.IntN(400))
		case 5:
			text += "\nwith more\n\tlines, ü"
		}
		switch r.IntN(5) {
		case 0:
			field("_TRANSPORT", "kernel")
			field("SYSLOG_IDENTIFIER", "kernel")
		case 1:
			field("_PID", "1")
			field("UNIT", "kubelet.service")
			field("_SYSTEMD_UNIT", "init.scope")
			field("SYSLOG_IDENTIFIER", "systemd")
		case 2: // anybody can say this
			field("_PID", "77")
			field("UNIT", "kubelet.service")
			field("_SYSTEMD_UNIT", "evil.service")
			field("_COMM", "evil")
		case 3:
			field("_PID", fmt.Sprint(100+r.IntN(3)))
			field("_SYSTEMD_UNIT", "kubelet.service")
			field("SYSLOG_IDENTIFIER", "kubelet")
			field("_SOURCE_REALTIME_TIMESTAMP", fmt.Sprint(at-r.Int64N(2000)))
		default:
			field("_PID", "300")
			field("_SYSTEMD_UNIT", "containerd.service")
			field("_COMM", "containerd")
		}
		field("PRIORITY", fmt.Sprint(r.IntN(8)))
		field("MESSAGE", text)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// makeJournal writes a journal file of the entries with systemd's own code.
func makeJournal(t testing.TB, entries []byte, env ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "system.journal")
	cmd := exec.Command(remote, "-o", file, "-")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(entries)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func openFiles(t testing.TB, since time.Time, files ...string) *Set {
	t.Helper()
	var inputs []Input
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, Input{name, f, info.Size()})
	}
	s := NewSet(inputs, since)
	t.Cleanup(s.Close)
	for _, err := range s.Skipped {
		t.Error(err)
	}
	return s
}

func write(ctx context.Context, s *Set, w io.Writer, q Query) (Summary, error) {
	found, err := s.Find(ctx, q)
	if err != nil {
		return Summary{}, err
	}
	err = found.Write(ctx, w)
	return found.Summary, err
}

func read(t testing.TB, s *Set, q Query) (string, Summary) {
	t.Helper()
	var b bytes.Buffer
	sum, err := write(t.Context(), s, &b, q)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Bytes != int64(b.Len()) || q.MaxBytes > 0 && sum.Bytes > q.MaxBytes {
		t.Errorf("%d bytes, said %d of %d", b.Len(), sum.Bytes, q.MaxBytes)
	}
	return b.String(), sum
}

// journalctl prints the same by the reference, in our form.
func journalctl(t testing.TB, files []string, args ...string) string {
	t.Helper()
	args = append([]string{"--utc", "--no-pager", "-a", "-q", "-o", "short-iso-precise"}, args...)
	for _, f := range files {
		args = append(args, "--file", f)
	}
	out, err := exec.Command("journalctl", args...).Output()
	if err != nil {
		t.Fatalf("journalctl %q: %v", args, err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "-- "):
		case line[0] == ' ':
			b.WriteString("    " + line[min(continued(line), len(line)-1):])
		default:
			b.WriteString(strings.Replace(line, "+0000 ", "Z ", 1))
		}
	}
	return b.String()
}

// continued is how far journalctl indents a line.
func continued(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func queries() map[string]struct {
	q    Query
	args []string
} {
	since, until := time.UnixMicro(firstUsec+1_500_000).UTC(), time.UnixMicro(firstUsec+2_500_000).UTC()
	stamp := func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }
	return map[string]struct {
		q    Query
		args []string
	}{
		"all":     {Query{}, nil},
		"kernel":  {Query{Match: Kernel()}, []string{"_TRANSPORT=kernel"}},
		"kubelet": {Query{Match: Unit("kubelet.service")}, []string{"-u", "kubelet.service"}},
		"none":    {Query{Match: Unit("absent.service")}, []string{"-u", "absent.service"}},
		"since":   {Query{Match: Unit("kubelet.service"), Since: since}, []string{"-u", "kubelet.service", "--since", stamp(since)}},
		"until":   {Query{Match: Kernel(), Until: until}, []string{"_TRANSPORT=kernel", "--until", stamp(until)}},
		"range":   {Query{Since: since, Until: until}, []string{"--since", stamp(since), "--until", stamp(until)}},
	}
}

// Every kind of file gives what journalctl prints of it.
func TestAgainstJournalctl(t *testing.T) {
	needTools(t)
	t.Setenv("TZ", "UTC")
	entries := export(1, 1000, firstUsec, 3000)
	for _, compact := range []string{"0", "1"} {
		for _, keyed := range []string{"0", "1"} {
			for _, packed := range []string{"none", "zstd", "lz4", "xz"} {
				t.Run(fmt.Sprintf("compact=%s/keyed=%s/%s", compact, keyed, packed), func(t *testing.T) {
					file := makeJournal(t, entries, "SYSTEMD_JOURNAL_COMPACT="+compact, "SYSTEMD_JOURNAL_KEYED_HASH="+keyed)
					if n := repack(t, file, packed); packed != "none" && n < 100 {
						t.Fatalf("%d compressed values", n)
					}
					s := openFiles(t, time.Time{}, file)
					for name, c := range queries() {
						got, sum := read(t, s, c.q)
						if diff := cmp.Diff(journalctl(t, []string{file}, c.args...), got); diff != "" || sum.Damaged > 0 {
							t.Errorf("%s: %d damaged, %s", name, sum.Damaged, diff[:min(len(diff), 3000)])
						}
						if (len(got) == 0) != (name == "none") {
							t.Errorf("%s: %d bytes", name, len(got))
						}
					}
				})
			}
		}
	}
}

// Several files are merged; an entry that two of them hold is printed once.
func TestMergeFiles(t *testing.T) {
	needTools(t)
	t.Setenv("TZ", "UTC")
	a := makeJournal(t, export(1, 700, firstUsec, 1000))
	b := makeJournal(t, export(2, 700, firstUsec+500_000, 1001))
	c := makeJournal(t, export(3, 50, firstUsec-90_000_000_000, 1000))
	again := filepath.Join(t.TempDir(), "copy.journal")
	content, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(again, content, 0o600); err != nil {
		t.Fatal(err)
	}
	files := []string{a, b, c, again}
	s := openFiles(t, time.Time{}, files...)
	for name, q := range queries() {
		got, _ := read(t, s, q.q)
		if diff := cmp.Diff(journalctl(t, files, q.args...), got); diff != "" {
			t.Errorf("%s: %s", name, diff[:min(len(diff), 3000)])
		}
	}
	if n := openFiles(t, time.UnixMicro(firstUsec), files...).Files(); n != 3 {
		t.Errorf("%d files hold something new enough", n)
	}
	if got := s.Values("_SYSTEMD_UNIT"); !slices.Equal(got, []string{"containerd.service", "evil.service", "init.scope", "kubelet.service"}) {
		t.Errorf("units %q", got)
	}
}

// A limit keeps the newest lines, whole.
func TestMaxBytes(t *testing.T) {
	needTools(t)
	t.Setenv("TZ", "UTC")
	file := makeJournal(t, export(1, 2000, firstUsec, 1000))
	s := openFiles(t, time.Time{}, file)
	all, _ := read(t, s, Query{})
	for _, limit := range []int64{1, 100, 5000, 70_000, int64(len(all)) - 1, int64(len(all))} {
		got, sum := read(t, s, Query{MaxBytes: limit})
		if !strings.HasSuffix(all, got) || sum.Cut != (limit < int64(len(all))) {
			t.Errorf("limit %d: %d bytes, cut %v", limit, len(got), sum.Cut)
		}
		if limit >= 5000 && int64(len(got)) < limit-5000 {
			t.Errorf("limit %d: only %d bytes", limit, len(got))
		}
		if got != "" && !strings.HasPrefix(got, "2026-") {
			t.Errorf("limit %d: it begins with %.40q", limit, got)
		}
	}
}

// repack compresses what a file holds compressed by zstd in another way, or
// not at all: the systemd at hand writes only zstd. It gives the number of values.
func repack(t testing.TB, name, kind string) int {
	t.Helper()
	if kind == "zstd" {
		kind = ""
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	word := func(at uint64) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	compact := b[12]&flagCompact != 0
	head := uint64(dataHeader)
	if compact {
		head += 8
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	moved := map[uint64]uint64{}
	tail := word(136)
	end := (tail + word(tail+8) + 7) &^ 7
	n := 0
	for at := word(88); at <= tail; at = (at + word(at+8) + 7) &^ 7 {
		if b[at] != typeData || b[at+1] != packedZSTD {
			continue
		}
		if n++; kind == "" {
			continue
		}
		plain, err := dec.DecodeAll(b[at+head:at+word(at+8)], nil)
		if err != nil {
			t.Fatal(err)
		}
		o := slices.Clone(b[at : at+head])
		packed, flag := compress(t, plain, kind)
		o[1] = flag
		o = append(o, packed...)
		binary.LittleEndian.PutUint64(o[8:], uint64(len(o)))
		for uint64(len(b)) < end+uint64(len(o)) {
			b = append(b, make([]byte, 1<<20)...)
		}
		copy(b[end:], o)
		moved[at] = end
		binary.LittleEndian.PutUint64(b[136:], end)
		end = (end + uint64(len(o)) + 7) &^ 7
	}
	binary.LittleEndian.PutUint64(b[96:], uint64(len(b))-word(88))
	b[12] = b[12]&^flagZSTD | map[string]byte{"": flagZSTD, "lz4": flagLZ4, "xz": flagXZ, "none": 0}[kind]
	for at := word(88); at <= tail; at = (at + word(at+8) + 7) &^ 7 {
		if b[at] != typeEntry {
			continue
		}
		width := uint64(16)
		if compact {
			width = 4
		}
		for i := at + entryHeader; i < at+word(at+8); i += width {
			if compact {
				if to, ok := moved[uint64(binary.LittleEndian.Uint32(b[i:]))]; ok {
					binary.LittleEndian.PutUint32(b[i:], uint32(to))
				}
			} else if to, ok := moved[word(i)]; ok {
				binary.LittleEndian.PutUint64(b[i:], to)
			}
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func compress(t testing.TB, plain []byte, kind string) ([]byte, byte) {
	t.Helper()
	switch kind {
	case "lz4":
		out := make([]byte, 8+lz4.CompressBlockBound(len(plain)))
		binary.LittleEndian.PutUint64(out, uint64(len(plain)))
		n, err := lz4.CompressBlock(plain, out[8:], nil)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		return out[:8+n], packedLZ4
	case "xz":
		var b bytes.Buffer
		w, err := xz.WriterConfig{DictCap: 1 << 20}.NewWriter(&b)
		if err == nil {
			_, err = w.Write(plain)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes(), packedXZ
	}
	return plain, 0
}
