package agent

import (
	"bytes"
	"errors"
	"testing"
)

func TestPieces(t *testing.T) {
	var b bytes.Buffer
	big := bytes.Repeat([]byte("x"), maxPiece+5)
	for _, err := range []error{WritePiece(&b, "captures/a/n1__1", []byte("one")), WritePiece(&b, "captures/a/n1__2", big), WritePiece(&b, "captures/a/n1__1", nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	raw := b.Bytes()
	got := map[string]int{}
	if err := ReadPieces(&b, []string{"captures/a/n1__"}, func(path string, data []byte) error { got[path] += len(data); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["captures/a/n1__1"] != 3 || got["captures/a/n1__2"] != len(big) {
		t.Errorf("%v", got)
	}
	nothing := func(string, []byte) error { return nil }
	if err := ReadPieces(bytes.NewReader(raw), []string{"captures/b/n1__"}, nothing); !errors.Is(err, ErrProtocol) {
		t.Errorf("another's folder: %v", err)
	}
	if err := ReadPieces(bytes.NewReader(raw[:20]), []string{"captures/a/n1__"}, nothing); !errors.Is(err, ErrProtocol) {
		t.Errorf("cut: %v", err)
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x01pd"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = ReadPieces(bytes.NewReader(b), []string{"p"}, func(string, []byte) error { return nil })
	})
}
