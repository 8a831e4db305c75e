package bundle

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// spoolFile is a temporary file that only this process can read: it is
// encrypted with a key that is never written down, since what is bound for an
// encrypted bundle must not lie on a disk in the clear, not even unlinked. A
// change of its bytes would be noticed later, by the hash of the frame.
type spoolFile struct {
	f      *os.File
	block  cipher.Block
	linked bool // the system cannot unlink an open file
}

func newSpoolFile(dir string) (*spoolFile, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "casefile-spool-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &spoolFile{f: f, block: block, linked: os.Remove(f.Name()) != nil}, nil
}

// crypt encrypts or decrypts b in place. The counter of the key stream is the
// place in the file, so no part of it may be written twice.
func (s *spoolFile) crypt(b []byte, at int64) {
	iv := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(iv[8:], uint64(at/aes.BlockSize)) //nolint:gosec // never negative
	cipher.NewCTR(s.block, iv).XORKeyStream(b, b)
}

// write stores b, which it makes unreadable, at a multiple of 16, and returns
// the next place.
func (s *spoolFile) write(b []byte, at int64) (next int64, err error) {
	s.crypt(b, at)
	if _, err := s.f.WriteAt(b, at); err != nil {
		return at, fmt.Errorf("spool: %w", err)
	}
	return at + (int64(len(b))+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize, nil
}

// read gives the n bytes that were written at this place.
func (s *spoolFile) read(at int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := s.f.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s.crypt(b, at)
	return b, nil
}

func (s *spoolFile) close() error {
	err := s.f.Close()
	if s.linked {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	return err
}
