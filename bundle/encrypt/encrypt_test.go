package encrypt

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/casefile-io/casefile/bundle"
)

// newKey makes a key pair.
func newKey(t testing.TB, hybrid bool) (Identities, string) {
	t.Helper()
	file, recipient, err := GenerateIdentity(hybrid)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities(file, Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	return ids, recipient
}

func parse(t testing.TB, args ...string) Recipients {
	t.Helper()
	r, err := ParseRecipients(args, Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seal encrypts text in writes of uneven size.
func seal(t testing.TB, text []byte, to Recipients) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, to)
	if err != nil {
		t.Fatal(err)
	}
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)/3)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readAll(t testing.TB, r io.ReaderAt, n int64) []byte {
	t.Helper()
	b := make([]byte, n)
	if got, err := r.ReadAt(b, 0); int64(got) != n || err != nil {
		t.Fatalf("read %d of %d bytes: %v", got, n, err)
	}
	return b
}

func noise(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRoundTrip reads at random what was written, for each of several readers,
// around the ends of chunks.
func TestRoundTrip(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		alice, a := newKey(t, hybrid)
		bob, b := newKey(t, hybrid)
		stranger, _ := newKey(t, hybrid)
		to := parse(t, a, b)
		for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 100} {
			text := noise(t, size)
			file := seal(t, text, to)
			for _, ids := range []Identities{alice, bob, append(stranger[:1:1], bob...)} {
				r, n, err := Open(bytes.NewReader(file), int64(len(file)), ids)
				if err != nil || n != int64(size) {
					t.Fatalf("hybrid %v, %d bytes: %d, %v", hybrid, size, n, err)
				}
				if !bytes.Equal(readAll(t, r, n), text) {
					t.Errorf("%d bytes: not what was written", size)
				}
				for _, off := range []int{0, size / 2, max(size-1, 0)} {
					want := text[off:min(off+chunkSize+7, size)]
					got := make([]byte, chunkSize+7)
					k, err := r.ReadAt(got, int64(off))
					if !bytes.Equal(got[:k], want) || (k < len(got)) != errors.Is(err, io.EOF) {
						t.Errorf("%d bytes at %d of %d: %v", k, off, size, err)
					}
				}
				if k, err := r.ReadAt(make([]byte, 1), int64(size)+5); k != 0 || !errors.Is(err, io.EOF) {
					t.Errorf("read beyond the end: %d, %v", k, err)
				}
			}
			if _, _, err := Open(bytes.NewReader(file), int64(len(file)), stranger); !errors.Is(err, ErrNoIdentity) {
				t.Errorf("a stranger: %v", err)
			}
			if _, _, err := Open(bytes.NewReader(file), int64(len(file)), nil); !errors.Is(err, ErrNoIdentity) {
				t.Errorf("nobody: %v", err)
			}
		}
	}
}

func TestRecipients(t *testing.T) {
	_, x := newKey(t, false)
	_, y := newKey(t, false)
	_, pq := newKey(t, true)
	file := filepath.Join(t.TempDir(), "team.txt")
	if err := os.WriteFile(file, fmt.Appendf(nil, "# the team\n\n  %s \r\n%s\n", x, y), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := parse(t, file); len(r) != 2 {
		t.Errorf("%d recipients in the file", len(r))
	}
	if r := parse(t, x, y, x); len(r) != 2 {
		t.Errorf("%d recipients, the same one counts once", len(r))
	}
	for _, c := range []struct {
		args []string
		pq   bool
		err  error
	}{{[]string{x, y}, false, nil}, {[]string{pq}, true, nil}, {[]string{x, pq}, false, ErrMixed}, {[]string{pq, x}, false, ErrMixed}} {
		got, err := parse(t, c.args...).PostQuantum()
		if got != c.pq || !errors.Is(err, c.err) {
			t.Errorf("%.12s…: post-quantum %v, %v", c.args, got, err)
		}
	}
	if _, err := NewWriter(io.Discard, parse(t, x, pq)); err == nil {
		t.Error("wrote for recipients that do not mix")
	}
	if _, err := NewWriter(io.Discard, nil); err == nil {
		t.Error("wrote for nobody")
	}
}

// TestRefusedKeys: clear words, and never the secret in them.
func TestRefusedKeys(t *testing.T) {
	secret, recipient, err := GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(strings.TrimSpace(string(secret)), "\n")
	empty := filepath.Join(t.TempDir(), "empty")
	ids := filepath.Join(t.TempDir(), "ids")
	if err := errors.Join(os.WriteFile(empty, []byte("# nobody\n"), 0o600), os.WriteFile(ids, secret, 0o600)); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		key: "secret, not a recipient", ids: "line 2: this is an identity", empty: "no recipient in it", "": "is a variable unset",
		"ssh-ed25519 AAAA": "SSH keys are not taken", "missing.txt": "neither a recipient", recipient + "q": "malformed", "age1": "",
		"age1pq1qqqq": "", "age1nosuchplugin1qqq": "", filepath.Dir(empty): "",
	} {
		r, err := ParseRecipients([]string{arg}, Prompt{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", arg, r, err, want)
		} else if strings.Contains(err.Error(), key[20:]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	for text, want := range map[string]string{
		"": "no identity in it", "# nobody\n": "no identity in it", recipient: "this is a recipient", "hello": "no age identity",
		key[:len(key)-1]: "malformed AGE-SECRET-KEY-", "AGE-SECRET-KEY-PQ-1QQQ": "malformed", "AGE-PLUGIN-X-1QQQQ": "malformed AGE-PLUGIN-",
		"-----BEGIN PRIVATE KEY-----": "a key for signing", "\n\n" + key + "x": "line 3",
	} {
		ids, err := ParseIdentities([]byte(text), Prompt{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, ids, err, want)
		} else if strings.Contains(err.Error(), key[20:30]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

// TestPassphrase opens an identity file that age put under a passphrase, as
// bytes and in ASCII armor.
func TestPassphrase(t *testing.T) {
	secret, _, err := GenerateIdentity(true)
	if err != nil {
		t.Fatal(err)
	}
	under := func(work int, armored bool) []byte {
		r, err := age.NewScryptRecipient("open sesame")
		if err != nil {
			t.Fatal(err)
		}
		r.SetWorkFactor(work)
		var out bytes.Buffer
		a := armor.NewWriter(&out)
		dst := io.Writer(&out)
		if armored {
			dst = a
		}
		w, err := age.Encrypt(dst, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.Write(secret); err == nil {
			err = w.Close()
		}
		if err == nil && armored {
			err = a.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	answer := func(s string) Prompt { return Prompt{Password: func() ([]byte, error) { return []byte(s), nil }} }
	for _, armored := range []bool{false, true} {
		file := under(10, armored)
		if ids, err := ParseIdentities(file, answer("open sesame")); err != nil || len(ids.Own(true)) != 1 {
			t.Errorf("armored %v: %v, %v", armored, ids, err)
		}
		for _, p := range []Prompt{answer("guess"), answer(""), {}} {
			if ids, err := ParseIdentities(file, p); err == nil {
				t.Errorf("opened without the passphrase: %v", ids)
			}
		}
	}
	costly := bytes.Replace(under(10, false), []byte(" 10\n"), []byte(" 29\n"), 1)
	if _, err := ParseIdentities(costly, answer("open sesame")); err == nil || !strings.Contains(err.Error(), "work factor") {
		t.Errorf("a file that asks for 2^29: %v", err)
	}
}

func TestOwn(t *testing.T) {
	x, a := newKey(t, false)
	h, b := newKey(t, true)
	both := append(x, h...)
	for hybrid, want := range map[bool]string{false: a, true: b} {
		own := both.Own(hybrid)
		if len(own) != 1 || !sameKey(own[0], parse(t, want)[0]) {
			t.Errorf("hybrid %v: %v", hybrid, own)
		}
	}
	if own := x.Own(true); own != nil {
		t.Errorf("a hybrid recipient from none: %v", own)
	}
}

// TestOtherFiles: what Open is not for, in words that say so.
func TestOtherFiles(t *testing.T) {
	ids, a := newKey(t, false)
	pass, err := age.NewScryptRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(10)
	var armored bytes.Buffer
	w := armor.NewWriter(&armored)
	if _, err := w.Write(seal(t, []byte("x"), parse(t, a))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		err  error
		text string
	}{
		"empty":      {nil, bundle.ErrNotBundle, "not an age file"},
		"text":       {[]byte("hello, this is some other kind of a file"), bundle.ErrNotBundle, "not an age file"},
		"armored":    {armored.Bytes(), bundle.ErrNotBundle, "age -d"},
		"passphrase": {seal(t, []byte("x"), Recipients{pass}), ErrNoIdentity, "age -d"},
		"intro":      {[]byte(magic + "\n-> X25519 abc\n"), bundle.ErrTruncated, "header"},
		"junk":       {[]byte(magic + "\n-> X25519\n!!\n---\n"), bundle.ErrDamaged, "header"},
		"future":     {[]byte(magic + "9\n-> X25519 abc\n"), bundle.ErrDamaged, "header"},
	} {
		_, _, err := Open(bytes.NewReader(c.file), int64(len(c.file)), ids)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %v, %q", name, err, c.err, c.text)
		}
	}
}

// TestAgeReadsIt: age's own command opens what is written here, and the other
// way round.
func TestAgeReadsIt(t *testing.T) {
	command, err := exec.LookPath("age")
	if err != nil {
		t.Skip("no age command: ", err)
	}
	file, recipient, err := GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	ids, text := filepath.Join(t.TempDir(), "ids"), noise(t, 3*chunkSize)
	if err := os.WriteFile(ids, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command, "-d", "-i", ids)
	cmd.Stdin = bytes.NewReader(seal(t, text, parse(t, recipient)))
	if out, err := cmd.Output(); err != nil || !bytes.Equal(out, text) {
		t.Fatalf("age -d: %d bytes, %v", len(out), err)
	}
	cmd = exec.Command(command, "-r", recipient)
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	own, err := ParseIdentities(file, Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	r, n, err := Open(bytes.NewReader(out), int64(len(out)), own)
	if err != nil || !bytes.Equal(readAll(t, r, n), text) {
		t.Errorf("open what age wrote: %v", err)
	}
}
