package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// scan reads the members of a bundle whose end cannot be trusted, frame by
// frame. In a frame that is damaged or missing an entry ends; whatever follows
// is taken up again at a frame that begins with a header.
type scan struct {
	*recovering
	walk  *walker
	out   io.Writer
	top   string
	mtime int64

	data  []byte // rest of the current frame
	frame scanned
	lost  bool            // whether the next frame begins with a header is not known
	seen  map[string]bool // members of the format's own, and end of archive
	index []entry
}

// endOfArchive stands for the last frame in scan.seen.
const endOfArchive = "end of archive"

func recoverScanned(ctx context.Context, src io.ReaderAt, size int64, out io.Writer, o RecoverOptions) (*Recovery, error) {
	w, err := newWalker(ctx, src, size)
	if err != nil {
		return nil, err
	}
	defer w.dec.Close()
	s := &scan{recovering: &recovering{ctx: ctx, o: o, rec: &Recovery{}}, walk: w, out: out, lost: true, seen: map[string]bool{}}
	if err := s.run(); err != nil {
		return nil, s.abandon(err)
	}
	if s.rec.Entries == 0 {
		return nil, s.abandon(fmt.Errorf("%w: not one complete entry is in it", ErrNotBundle))
	}
	s.nameLost()
	s.tail()
	rec, err := s.finish()
	if err != nil {
		return nil, s.abandon(err)
	}
	return rec, nil
}

// run goes over all members.
func (s *scan) run() error {
	for {
		m, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case isOwn(m.path):
			err = s.own(m)
		case s.seen[nameIndex]:
			s.damage(fmt.Errorf("%w: %q comes behind the index", ErrDamaged, m.path))
		default:
			err = s.keep(source{path: m.path, size: m.size, class: classOfPath(m.path), r: m})
		}
		if err != nil {
			return err
		}
		if err := m.skip(); err != nil {
			return err
		}
	}
}

// isOwn says whether a member is one of the format's own.
func isOwn(path string) bool { return !strings.Contains(path, "/") && reserved(path) }

// classOfPath is the class that our own collectors give to a path.
func classOfPath(path string) Class {
	first, rest, _ := strings.Cut(path, "/")
	switch {
	case first == "nodes" && strings.Contains(rest, "/logs/"), first == "cluster" && strings.HasPrefix(rest, "logs/"):
		return ClassLogs
	case first == "cluster":
		return ClassCluster
	case first == "captures":
		return ClassCaptures
	case first == "nodes":
		return ClassNodes
	}
	return ClassMeta
}

// damage writes down that the current frame gave nothing, or not all.
func (s *scan) damage(err error) {
	f := s.frame
	if n := len(s.rec.Damaged); n == maxLost {
		s.rec.Damaged[n-1].To = f.to // in so many, one more is not told apart
		return
	}
	s.rec.Damaged = append(s.rec.Damaged, DamagedRange{Frame: f.n, From: f.from, To: f.to, Err: err})
}

// next gives the next member, io.EOF at the end.
func (s *scan) next() (*scanMember, error) {
	for {
		if len(s.data) == 0 {
			if err := s.begin(); err != nil {
				return nil, err
			}
			continue
		}
		if len(s.data) == 2*block && isZero(s.data) {
			s.seen[endOfArchive], s.data = true, nil
			continue
		}
		h, ok := parseHeader(s.data)
		if ok && s.w == nil {
			s.top, s.mtime = h.top, h.mtime
			if err := s.recovering.begin(s.out, h.top, h.mtime); err != nil {
				return nil, err
			}
		}
		if !ok || h.top != s.top || h.mtime != s.mtime {
			s.damage(fmt.Errorf("%w: a tar header that no entry of this bundle has", ErrDamaged))
			s.data, s.lost = nil, true
			continue
		}
		s.data = s.data[h.length:]
		return &scanMember{s: s, path: h.path, size: h.size, left: h.size, pad: int64(padding(h.size))}, nil
	}
}

// begin takes the next frame in which a member begins.
func (s *scan) begin() error {
	f, err := s.walk.next()
	if err != nil {
		return err
	}
	s.frame = f
	switch {
	case f.err != nil:
		s.damage(f.err)
		s.lost = true // what it held may go on in the next
	case s.lost && !s.beginsMember(f.data):
		s.damage(fmt.Errorf("%w: it goes on with an entry whose beginning is lost", ErrDamaged))
	default:
		s.data, s.lost = f.data, false
	}
	return nil
}

// beginsMember says whether a frame is what a writer makes of whole members or
// of the header of a large one, so that content is not taken for headers.
func (s *scan) beginsMember(data []byte) bool {
	if len(data) == 2*block && isZero(data) {
		return s.w != nil
	}
	for at := 0; at < len(data); {
		h, ok := parseHeader(data[at:])
		if !ok || s.w != nil && (h.top != s.top || h.mtime != s.mtime) {
			return false
		}
		at += h.length
		if at == h.length && (at == len(data) || h.path == nameIndex) {
			return true
		}
		if h.size+int64(padding(h.size)) > int64(len(data)-at) {
			return false
		}
		at += int(h.size) + padding(h.size)
	}
	return true
}

// own takes note of a member of the format's own.
func (s *scan) own(m *scanMember) error {
	limit := int64(maxProof)
	if m.path == nameIndex {
		limit = MaxIndex
	}
	if m.size > limit {
		s.damage(fmt.Errorf("%w: %s of %d bytes", ErrTooLarge, m.path, m.size))
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(m, limit)) //nolint:forbidigo // bounded by the LimitReader
	if gone := (*goneError)(nil); errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	switch m.path {
	case nameIndex:
		p, err := parseIndex(string(b))
		if err != nil {
			s.damage(err)
			return nil
		}
		s.index = p.entries
	case nameManifest:
		old, err := parseManifest(b)
		if err != nil || old.Top != s.top {
			s.damage(fmt.Errorf("%w: the manifest cannot be read", ErrDamaged))
			return nil
		}
		s.old = old
	}
	s.seen[m.path] = true
	return nil
}

// nameLost names the entries that the index has and the bundle does not.
func (s *scan) nameLost() {
	s.rec.Named = s.seen[nameIndex]
	told := map[string]bool{}
	for _, m := range s.rec.Missing {
		told[m.Path] = true
	}
	for _, e := range s.index {
		p, isPart := partOf(e.path)
		have, ok := s.w.names[foldKey(e.path)]
		kept := ok && !have.dir || e.path == resultsPath && s.rec.Ended
		if isPart {
			last := s.chains[p.base]
			kept = last.n >= p.n
		}
		if !kept && !told[e.path] {
			s.rec.miss(Missing{Path: e.path, Size: e.size, Reason: "its frames are damaged"})
		}
	}
}

// tail names the lost members of the format's own.
func (s *scan) tail() {
	for _, own := range []struct {
		what string
		seen bool
	}{
		{"index", s.seen[nameIndex]}, {"manifest", s.seen[nameManifest]}, {"seal", s.seen[nameSeal] || s.seen[nameDigest]},
		{endOfArchive, s.seen[endOfArchive]}, {"seek table", s.walk.table},
	} {
		if !own.seen {
			s.rec.Tail = append(s.rec.Tail, own.what)
		}
	}
	if len(s.rec.Tail) == 0 {
		s.rec.Tail = []string{"a seal that holds"}
	}
}

// scanMember is the content of a member, read out of the frames.
type scanMember struct {
	s         *scan
	path      string
	size      int64
	left, pad int64 // content and padding still to come
	gone      *goneError
}

func (m *scanMember) Read(p []byte) (int, error) {
	switch {
	case m.gone != nil:
		return 0, m.gone
	case m.left == 0:
		return 0, io.EOF
	}
	if err := m.more(); err != nil {
		return 0, err
	}
	if m.gone != nil {
		return 0, m.gone
	}
	n := copy(p[:min(int64(len(p)), m.left)], m.s.data)
	m.s.data, m.left = m.s.data[n:], m.left-int64(n)
	return n, nil
}

// skip goes to the end of the member, if it can be known where that is.
func (m *scanMember) skip() error {
	for m.left+m.pad > 0 && !m.s.lost {
		if err := m.more(); err != nil {
			return err
		}
		n := min(int64(len(m.s.data)), m.left+m.pad)
		m.s.data = m.s.data[n:]
		m.pad -= max(0, n-m.left)
		m.left -= min(n, m.left)
	}
	return nil
}

// more gets the next frame when the current one is used up. What is damaged
// is counted as read; gone then says that the member is not whole.
func (m *scanMember) more() error {
	s := m.s
	if len(s.data) > 0 {
		return nil
	}
	f, err := s.walk.next()
	if errors.Is(err, io.EOF) {
		m.gone, s.lost = &goneError{why: "cut off"}, true
		return nil
	}
	if err != nil {
		return err
	}
	s.frame = f
	if f.err == nil {
		s.data = f.data
		return nil
	}
	s.damage(f.err)
	if m.gone == nil {
		m.gone = &goneError{why: fmt.Sprint("in damaged frame ", f.n)}
		if errors.Is(f.err, ErrTruncated) {
			m.gone.why = "cut off"
		}
	}
	rest := m.left + m.pad - int64(f.size)
	if !f.sure || f.size < 0 || rest < 0 {
		s.lost = true
		return nil
	}
	m.pad = min(m.pad, rest)
	m.left = rest - m.pad
	return nil
}

// header is what a canonical tar header says.
type header struct {
	top, path   string
	size, mtime int64
	length      int
}

// parseHeader reads the header that data begins with, if it is the one that a
// writer makes for what it says.
func parseHeader(data []byte) (h header, ok bool) {
	if len(data) < block {
		return h, false
	}
	name, at := "", 0
	if data[156] == 'x' {
		n, err := octal(data[124:136])
		if err != nil || n > 4*MaxPath || int64(len(data)) < 2*block+n+int64(padding(n)) {
			return h, false
		}
		_, record, found := strings.Cut(string(data[block:block+n]), " path=")
		if name, ok = strings.CutSuffix(record, "\n"); !found || !ok {
			return h, false
		}
		at = block + int(n) + padding(n)
	} else {
		name = untilNUL(data[:100])
		if prefix := untilNUL(data[345:500]); prefix != "" {
			name = prefix + "/" + name
		}
	}
	var err, err2 error
	h.size, err = octal(data[at+124:])
	h.mtime, err2 = octal(data[at+136:])
	h.top, h.path, ok = strings.Cut(name, "/")
	if err != nil || err2 != nil || !ok || h.path == "" || h.size > MaxFile && h.path != nameIndex || checkTop(h.top) != nil {
		return h, false
	}
	want := tarHeader(name, h.size, h.mtime)
	h.length = len(want)
	return h, strings.HasPrefix(string(data[:min(len(data), h.length)]), string(want))
}

func untilNUL(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
