package bundle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
)

// maxProblems bounds what one Verify reports.
const maxProblems = 20

// Verify reads every byte of the bundle and holds it against the index: the
// hash of each frame, each tar header, content, padding, the Merkle root and,
// in a redacted bundle, what [Reader.Origin] checks;
// [Open] has rebuilt and compared all the rest. It goes on after an error, and
// what it returns joins a [DamageError] for each damaged part, 20 at most.
// progress, which may be nil, is told the bytes of the tar stream done so far.
func (r *Reader) Verify(ctx context.Context, progress func(done, total int64)) error {
	files, leaves, err := r.decoded()
	if err != nil {
		return &DamageError{Part: "index", Err: err}
	}
	v := verification{r: r, progress: progress, files: files}
	if root := merkleRoot(leaves); !bytes.Equal(root[:], r.manifest.Tree.Root) || len(leaves) != r.manifest.Tree.Leaves {
		v.add(damaged("index", "its Merkle root is not the one in the manifest"))
	}
	if _, err := r.Origin(nil); err != nil {
		v.add(err)
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	if v.more > 0 {
		v.problems = append(v.problems, fmt.Errorf("%w: and %d more", ErrDamaged, v.more))
	}
	return errors.Join(v.problems...)
}

// decoded gives the entries in the order of the tar stream, and the leaves.
func (r *Reader) decoded() ([]file, []digest, error) {
	files, leaves := make([]file, len(r.entries)), make([]digest, len(r.entries))
	for i, e := range r.entries {
		sum, err := e.sum()
		if err != nil {
			return nil, nil, err
		}
		salt, err := e.salt()
		if err != nil {
			return nil, nil, err
		}
		files[i] = file{path: e.path, off: e.off, size: e.size, sum: sum, salt: salt}
		leaves[i] = merkleLeaf(salt, e.path, e.size, sum)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.off, b.off) })
	return files, leaves, nil
}

type verification struct {
	r        *Reader
	progress func(done, total int64)
	files    []file
	problems []error
	more     int // problems beyond the bound
}

func (v *verification) add(err error) {
	if len(v.problems) == maxProblems {
		v.more++
		return
	}
	v.problems = append(v.problems, err)
}

type decodedChunk struct {
	data []byte
	err  error
}

// run decodes frames side by side and checks them in their order.
func (v *verification) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	current := 0
	l := newLayout(func(path string, size int64) []byte {
		return tarHeader(v.r.manifest.Top+"/"+path, size, v.r.manifest.Created.Unix())
	}, v.files, func(p problem) {
		v.add(&DamageError{Part: fmt.Sprint("chunk ", current), Files: []string{p.path}, Err: fmt.Errorf("%w: %s", ErrDamaged, p.what)})
	})
	total := v.r.starts[len(v.r.chunks)]
	for slot := range v.decode(ctx) {
		c := <-slot
		if err := ctx.Err(); err != nil {
			return err
		}
		err := v.check(l, current, c)
		if err != nil {
			v.add(&DamageError{Part: "index", Err: fmt.Errorf("%w: %w", ErrDamaged, err)})
			return nil
		}
		current++
		if v.progress != nil {
			v.progress(v.r.starts[current], total)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.done(); err != nil {
		v.add(&DamageError{Part: "index", Err: fmt.Errorf("%w: %w", ErrDamaged, err)})
	}
	return nil
}

// check feeds one frame to the layout, or skips it when it is damaged.
func (v *verification) check(l *layout, i int, c decodedChunk) error {
	if c.err == nil {
		return l.feed(c.data)
	}
	err := c.err
	var d *DamageError
	if errors.As(err, &d) {
		err = &DamageError{Part: d.Part, Files: v.within(i), Err: d.Err}
	}
	v.add(err)
	return l.skip(int64(v.r.chunks[i].size))
}

// within names the entries that lie in data frame i, header and padding too.
func (v *verification) within(i int) []string {
	begin, end := v.r.starts[i], v.r.starts[i+1]
	first := sort.Search(len(v.files), func(i int) bool {
		f := v.files[i]
		return f.off+f.size+int64(padding(f.size)) > begin
	})
	var paths []string
	for _, f := range v.files[first:] {
		if f.off-block >= end {
			break
		}
		paths = append(paths, f.path)
	}
	return paths
}

// decode yields the frames in their order, a few of them decoded ahead.
func (v *verification) decode(ctx context.Context) <-chan chan decodedChunk {
	order := make(chan chan decodedChunk, runtime.GOMAXPROCS(0))
	go func() {
		defer close(order)
		for i := range v.r.chunks {
			slot := make(chan decodedChunk, 1)
			select {
			case order <- slot:
			case <-ctx.Done():
				return
			}
			go func() {
				data, err := v.r.decode(i, nil)
				slot <- decodedChunk{data, err}
			}()
		}
	}()
	return order
}

// inStream gives the entries in the order of the tar stream.
func (r *Reader) inStream() []entry {
	es := slices.Clone(r.entries)
	slices.SortFunc(es, func(a, b entry) int { return cmp.Compare(a.off, b.off) })
	return es
}
