package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/casefile-io/casefile/bundle"
)

// Encrypted says whether src begins as an age file, also one in ASCII armor.
func Encrypted(src io.ReaderAt) bool {
	head := make([]byte, len(armorBegin))
	n, err := src.ReadAt(head, 0)
	return (err == nil || errors.Is(err, io.EOF)) && isEncrypted(head[:n])
}

// Open gives the plain text of the age file src, of size bytes, and its length.
// Each chunk is authenticated before a byte of it is returned, and the last one
// before Open returns. Errors wrap [ErrNoIdentity], [bundle.ErrDamaged],
// [bundle.ErrTruncated] or [bundle.ErrNotBundle]. The result is safe for
// concurrent use if src is.
func Open(src io.ReaderAt, size int64, ids Identities) (io.ReaderAt, int64, error) {
	h, err := openHeader(src, size, ids)
	if err != nil {
		return nil, 0, err
	}
	r, n, err := age.DecryptReaderAt(src, size, age.NewInjectedFileKeyIdentity(h.key))
	if err != nil {
		return nil, 0, damaged("%w: its end does not decrypt: %w there, or cut short", bundle.ErrTruncated, bundle.ErrDamaged)
	}
	return plain{r, n}, n, nil
}

// plain words the errors of age's reader, and says io.EOF only for a read that
// came up short.
type plain struct {
	r    io.ReaderAt
	size int64
}

// ReadAt is that of io.ReaderAt.
func (p plain) ReadAt(b []byte, off int64) (int, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case off >= p.size:
		return 0, io.EOF
	}
	n, err := p.r.ReadAt(b, off)
	switch {
	case n == len(b):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return n, io.EOF
	}
	return n, damaged("%w: %w", bundle.ErrDamaged, err)
}

func damaged(format string, a ...any) error {
	return &bundle.DamageError{Part: "encryption", Err: fmt.Errorf(format, a...)}
}

// header is what stands before the chunks.
type header struct {
	key    []byte // of the file
	length int64
}

// openHeader unwraps the key of the file. age itself bounds a header to 2 MiB
// and 1,024 recipients.
func openHeader(src io.ReaderAt, size int64, ids Identities) (header, error) {
	if !Encrypted(src) {
		return header{}, fmt.Errorf("%w: not an age file", bundle.ErrNotBundle)
	}
	raw, err := age.ExtractHeader(io.NewSectionReader(src, 0, size))
	if err != nil {
		return header{}, explainHeader(src, err)
	}
	if len(ids) == 0 {
		return header{}, ErrNoIdentity
	}
	key, err := age.DecryptHeader(raw, ids...)
	none, failed := (*age.NoIdentityMatchError)(nil), (*pluginError)(nil)
	switch {
	case errors.As(err, &none):
		return header{}, fmt.Errorf("%w: %s", ErrNoIdentity, readers(none.StanzaTypes))
	case errors.As(err, &failed):
		return header{}, fmt.Errorf("the file could not be decrypted: %w", err)
	case err != nil:
		return header{}, damaged("%w: the header: %w", bundle.ErrDamaged, err)
	}
	return header{key, int64(len(raw))}, nil
}

func explainHeader(src io.ReaderAt, err error) error {
	head := make([]byte, len(armorBegin))
	if n, _ := src.ReadAt(head, 0); bytes.HasPrefix(head[:n], []byte(armorBegin)) {
		return fmt.Errorf("%w: an age file in ASCII armor, which cannot be read at random; decrypt it first with age -d", bundle.ErrNotBundle)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("%w: %w: it ends within the header", bundle.ErrDamaged, bundle.ErrTruncated)
	}
	return damaged("%w: the header: %w", bundle.ErrDamaged, err)
}

// readers words for whom a file is encrypted: age tells kinds, not keys.
func readers(types []string) string {
	counts := map[string]int{}
	var kinds []string
	for _, t := range types {
		if t == "scrypt" {
			return "it is under a passphrase; decrypt it first with age -d"
		}
		if strings.HasSuffix(t, "-grease") {
			continue
		}
		if counts[t]++; counts[t] == 1 && len(kinds) < 8 {
			kinds = append(kinds, t)
		}
	}
	slices.Sort(kinds)
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d × %s", counts[k], k)
	}
	return "it is for " + strings.Join(kinds, ", ")
}
