package sdk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds on what the host lays out; it keeps to less.
const (
	maxLine   = 32 << 20
	maxConfig = 1 << 20
	maxIndex  = 64 << 20

	yieldEvery = 256 // lines
)

// Input is a rule's view of what it declared. What fails while reading is
// kept, see Err.
type Input struct {
	shared *shared
	err    error
}

// shared is what the rules of one run have in common.
type shared struct {
	fsys   fs.FS
	config abi.Config
	known  map[string]completeness
	memo   map[string]memo
}

type memo struct {
	value any
	err   error
}

func newShared(fsys fs.FS) (*shared, error) {
	s := &shared{fsys: fsys, known: map[string]completeness{}, memo: map[string]memo{}}
	err := readJSON(fsys, "config.json", maxConfig, &s.config)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if v := s.config.ABI; err == nil && v != 0 && (v < abi.VersionMin || v > abi.VersionMax) {
		err = fmt.Errorf("the host speaks version %d of the ABI, this module %d to %d", v, abi.VersionMin, abi.VersionMax)
	}
	return s, err
}

// Err is the first failure of reading; the rule then ends unknown, or found
// if it found something all the same.
func (in *Input) Err() error { return in.err }

func (in *Input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
}

// Time is when the bundle was made; zero when the host does not say.
func (in *Input) Time() time.Time {
	t, _ := time.Parse(time.RFC3339, in.shared.config.CaptureTime)
	return t
}

// Setting is a setting that the user gave for the module, or "".
func (in *Input) Setting(name string) string { return in.shared.config.Settings[name] }

// Missing says whether an input is incomplete, and why.
func (in *Input) Missing(s Source) (reason string, missing bool) {
	d, err := s.declare()
	if err != nil {
		return err.Error(), true
	}
	x := in.index(d.Name)
	if x.Complete {
		return "", false
	}
	var reasons []string
	for _, m := range x.Missing {
		reasons = append(reasons, strings.TrimSuffix(m.Source+": "+m.Reason, ": "))
	}
	if reasons == nil {
		return "incomplete", true
	}
	const shown = 3
	if n := len(reasons) - shown; n > 0 {
		reasons = append(reasons[:shown], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(reasons, "; "), true
}

// Files names the files of the bundle that an input was made of, sorted.
func (in *Input) Files(s Source) []string {
	var x struct {
		Files []string `json:"files"`
	}
	d, err := s.declare()
	if err == nil {
		err = readJSON(in.shared.fsys, "in/"+d.Name+".index", maxIndex, &x)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		in.fail(err)
	}
	slices.Sort(x.Files)
	return x.Files
}

// completeness is the part of an [abi.Index] that is kept: the list of files
// may be long.
type completeness struct {
	Complete bool          `json:"complete"`
	Missing  []abi.Missing `json:"missing"`
}

// index reads /in/NAME.index once; an input without one is incomplete.
func (in *Input) index(name string) completeness {
	x, ok := in.shared.known[name]
	if !ok {
		if err := readJSON(in.shared.fsys, "in/"+name+".index", maxIndex, &x); err != nil {
			x = completeness{Missing: []abi.Missing{{Source: name, Reason: err.Error()}}}
		}
		in.shared.known[name] = x
	}
	return x
}

// Memo computes a value once for all rules of the run. What fails in build
// fails every rule that asks.
func Memo[T any](in *Input, key string, build func(in *Input) T) T {
	m, ok := in.shared.memo[key]
	if !ok {
		sub := &Input{shared: in.shared}
		m = memo{build(sub), nil}
		m.err = sub.err
		in.shared.memo[key] = m
	}
	if m.err != nil {
		in.fail(m.err)
	}
	v, ok := m.value.(T)
	if !ok {
		in.fail(fmt.Errorf("two kinds of value under the key %q", key))
	}
	return v
}

// lines streams the lines of /in/NAME.ndjson; a line is valid until the next.
func (in *Input) lines(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		f, err := in.shared.fsys.Open("in/" + name + ".ndjson")
		if errors.Is(err, fs.ErrNotExist) {
			return // the index says so
		}
		if err != nil {
			in.fail(err)
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 256<<10)
		var long []byte
		for n := 1; ; n++ {
			if n%yieldEvery == 0 {
				runtime.Gosched() // WebAssembly has no preemption: let the garbage collector have its turn
			}
			line, err := r.ReadSlice('\n')
			if len(long)+len(line) > maxLine {
				in.fail(fmt.Errorf("input %s: a line of more than %d bytes", name, maxLine))
				return
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				long = append(long, line...)
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				in.fail(fmt.Errorf("input %s: %w", name, err))
				return
			}
			if len(long) > 0 {
				long = append(long, line...)
				line = long
			}
			if len(line) > 1 && !yield(line) || err != nil {
				return
			}
			long = long[:0]
		}
	}
}

func readJSON(fsys fs.FS, path string, limit int64, v any) error {
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, limit)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
