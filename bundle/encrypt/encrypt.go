// Package encrypt makes and opens bundles that only their recipients can read:
// age files (age-encryption.org/v1), which any age tool opens too.
//
// Writing is a stream on top of another writer, so that no plain byte reaches a
// disk:
//
//	to, err := encrypt.ParseRecipients([]string{"age1…", "team.txt"}, encrypt.Prompt{})
//	w, err := encrypt.NewWriter(file, to)
//	… bundle.NewWriter(w, …), then w.Close()
//
// A recipient is an X25519 key (age1…), a hybrid one of X25519 and ML-KEM-768
// (age1pq1…), that of a plugin (age1NAME1…, which runs age-plugin-NAME), or a
// file of them. Hybrid and other keys do not mix: one reader whom a quantum
// computer can break would undo the care taken for the rest.
//
// Reading is random access: [Open] gives the plain file as an [io.ReaderAt] and
// decrypts the 64 KiB chunks that are asked for.
//
//	ids, err := encrypt.ParseIdentities(text, encrypt.Prompt{})
//	r, n, err := encrypt.Open(file, size, ids)
//	b, err := bundle.Open(r, n, keys)
//
// [OpenTruncated] does the same for what is left of a file that was cut or
// damaged. age says nothing about who wrote a file; the seal inside does.
package encrypt

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// ErrNoIdentity says that no identity at hand opens the file.
var ErrNoIdentity = errors.New("encrypted, and no identity at hand opens it")

// ErrMixed says that hybrid recipients were named beside others.
var ErrMixed = errors.New("post-quantum recipients (age1pq…) and others do not go together: a quantum computer would open the file through the others")

var errMalformed = errors.New("a malformed recipient: is it complete?")

const (
	maxText       = 1 << 20 // bytes of a file of recipients or identities
	maxRecipients = 256     // an age header has room for 1,024 stanzas
)

// Recipients are those who will be able to read.
type Recipients []age.Recipient

// ParseRecipients reads recipients, each in its text form or as a file with one
// a line, where # begins a comment. p is what plugins talk to.
func ParseRecipients(args []string, p Prompt) (Recipients, error) {
	var all Recipients
	for _, arg := range args {
		var err error
		if arg = strings.TrimSpace(arg); looksLikeKey(arg) {
			var r age.Recipient
			if r, err = parseRecipient(arg, p); err == nil {
				all = all.With(Recipients{r})
			}
		} else {
			all, err = all.fromFile(arg, p)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(all) > maxRecipients {
		return nil, fmt.Errorf("%d recipients, at most %d", len(all), maxRecipients)
	}
	return all, nil
}

// looksLikeKey tells keys from file names, also the keys that are refused.
func looksLikeKey(s string) bool {
	return strings.HasPrefix(s, "age1") || strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "AGE-")
}

func (r Recipients) fromFile(name string, p Prompt) (Recipients, error) {
	if name == "" {
		return nil, errors.New("an empty recipient: is a variable unset?")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("neither a recipient (age1…) nor a file of them: %w", err)
	}
	defer f.Close()
	b, err := readText(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	before := len(r)
	for n, line := range lines(b) {
		one, err := parseRecipient(line, p)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		if r = append(r, one); len(r) > maxRecipients {
			return nil, fmt.Errorf("%s: more than %d recipients", name, maxRecipients)
		}
	}
	if len(r) == before {
		return nil, fmt.Errorf("%s: no recipient in it; want lines that begin with age1", name)
	}
	return r, nil
}

// parseRecipient never repeats its text in an error: it may be a secret given
// in the wrong place.
func parseRecipient(s string, p Prompt) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(s, "AGE-"):
		return nil, errors.New("this is an identity, which is secret, not a recipient; give the public key (age1…) that stands beside it")
	case strings.HasPrefix(s, "ssh-"):
		return nil, errors.New("SSH keys are not taken as recipients; make an age key with casefile keygen --age")
	case strings.HasPrefix(s, "age1pq1"):
		if r, err := age.ParseHybridRecipient(s); err == nil {
			return r, nil
		}
		return nil, errMalformed
	case strings.HasPrefix(s, "age1") && strings.Count(s, "1") > 1:
		if r, err := plugin.NewRecipient(s, p.ui()); err == nil {
			return r, nil
		}
		return nil, errMalformed
	case strings.HasPrefix(s, "age1"):
		if r, err := age.ParseX25519Recipient(s); err == nil {
			return r, nil
		}
		return nil, errMalformed
	}
	return nil, errors.New("no recipient; want one that begins with age1")
}

// With is r and those of more that are not in it.
func (r Recipients) With(more Recipients) Recipients {
	all := slices.Clone(r)
	for _, m := range more {
		if !slices.ContainsFunc(all, func(a age.Recipient) bool { return sameKey(a, m) }) {
			all = append(all, m)
		}
	}
	return all
}

func sameKey(a, b age.Recipient) bool {
	x, ok := a.(fmt.Stringer)
	y, also := b.(fmt.Stringer)
	return ok && also && x.String() == y.String()
}

// PostQuantum says which sort r is, once it is known that r is of one sort, that
// its plugins are there, and that they wrap keys. It asks each plugin to wrap a
// key that is never used.
func (r Recipients) PostQuantum() (bool, error) {
	hybrid := 0
	for _, one := range r {
		l, ok := one.(age.RecipientWithLabels)
		if !ok {
			continue
		}
		key := make([]byte, 16)
		if _, err := rand.Read(key); err != nil {
			return false, err
		}
		_, labels, err := l.WrapWithLabels(key)
		if err != nil {
			return false, explainPlugin(err)
		}
		if slices.Contains(labels, "postquantum") {
			hybrid++
		}
	}
	if hybrid != 0 && hybrid != len(r) {
		return false, ErrMixed
	}
	return hybrid > 0, nil
}

// NewWriter encrypts what is written to it, for all of r, onto w. Its Close
// ends the encryption, not w; without it the file is one that was cut short.
func NewWriter(w io.Writer, r Recipients) (io.WriteCloser, error) {
	if len(r) == 0 {
		return nil, errors.New("encrypt: no recipients")
	}
	e, err := age.Encrypt(w, r...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", explainPlugin(err))
	}
	return e, nil
}

// lines yields the numbers and texts of the lines that are neither empty nor
// comments.
func lines(b []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range bytes.Lines(b) {
			n++
			text := strings.TrimSpace(string(line))
			if text != "" && text[0] != '#' && !yield(n, text) {
				return
			}
		}
	}
}

// readText reads a file of keys, which is small.
func readText(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxText+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(b) > maxText {
		err = fmt.Errorf("larger than %d bytes: no file of keys", maxText)
	}
	return b, err
}
