package bundle

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestSpoolUnreadable: what waits in the file comes back, and cannot be read
// in it.
func TestSpoolUnreadable(t *testing.T) {
	s := &spool{dir: t.TempDir()}
	defer s.close()
	var want [][]byte
	for i := range 12 {
		b := []byte(noise(i, MaxFrame-i*7))
		f := &frame{size: len(b), packed: bytes.Clone(b), length: len(b), sum: sha256.Sum256(b), ready: make(chan struct{})}
		close(f.ready)
		if err := s.add(f); err != nil {
			t.Fatal(err)
		}
		want = append(want, b)
	}
	if s.file == nil {
		t.Fatal("nothing was put into the file")
	}
	raw := make([]byte, s.end)
	if _, err := s.file.f.ReadAt(raw, 0); err != nil && int64(len(raw)) != s.end {
		t.Fatal(err)
	}
	inFile := 0
	for i, f := range s.frames {
		if f.file != nil {
			inFile++
		}
		got, err := f.bytes()
		if err != nil || !bytes.Equal(got, want[i]) {
			t.Errorf("frame %d: %v", i, err)
		}
		if bytes.Contains(raw, want[i][:16]) || bytes.Contains(raw, want[i][len(want[i])-16:]) {
			t.Errorf("frame %d can be read in the file", i)
		}
	}
	if inFile < 3 {
		t.Errorf("%d frames in the file, want some", inFile)
	}
}
