package encrypt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

const testPlugin = "casetest"

// TestMain is the tests, or, under the name of a plugin, that plugin.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "age-plugin-"+testPlugin {
		os.Exit(pluginMain())
	}
	os.Exit(m.Run())
}

// pluginMain is a plugin of age's own framework whose keys ask for a code word
// when the first byte of their data says so.
func pluginMain() int {
	p, err := plugin.New(testPlugin)
	if err != nil {
		return 1
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) { return pluginKey{p, data}, nil })
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return pluginKey{p, data}, nil })
	return p.Main()
}

// pluginKey wraps by XOR with a hash of its data: a toy, but a whole plugin.
type pluginKey struct {
	p    *plugin.Plugin
	data []byte
}

func (k pluginKey) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: testPlugin, Args: []string{"v1"}, Body: k.mask(fileKey)}}, nil
}

func (k pluginKey) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if k.data[0] == '!' {
		if err := k.p.DisplayMessage("touch the token"); err != nil {
			return nil, err
		}
		if word, err := k.p.RequestValue("code word", true); err != nil || word != "xyzzy" {
			return nil, errors.New("wrong code word")
		}
	}
	for _, s := range stanzas {
		if s.Type == testPlugin && len(s.Body) == 16 {
			return k.mask(s.Body), nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func (k pluginKey) mask(b []byte) []byte {
	sum := sha256.Sum256(k.data)
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ sum[i]
	}
	return out
}

// installPlugin puts the test binary into PATH under the plugin's name.
func installPlugin(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "age-plugin-"+testPlugin)); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

func pluginIdentityText(data string) []byte {
	return []byte(plugin.EncodeIdentity(testPlugin, []byte(data)) + "\n")
}

// TestPlugin encrypts for and reads with a plugin that runs as a process.
func TestPlugin(t *testing.T) {
	recipient := plugin.EncodeRecipient(testPlugin, []byte("plain"))
	to, err := ParseRecipients([]string{recipient}, Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.PostQuantum(); err == nil || !strings.Contains(err.Error(), "age-plugin-"+testPlugin+" is not in PATH") {
		t.Fatalf("without the plugin: %v", err)
	}
	installPlugin(t)
	_, x := newKey(t, false)
	to = to.With(parse(t, x))
	if pq, err := to.PostQuantum(); pq || err != nil {
		t.Fatal(pq, err)
	}
	text := noise(t, 1000)
	file := seal(t, text, to)
	ids, err := ParseIdentities(pluginIdentityText("plain"), Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	r, n, err := Open(bytes.NewReader(file), int64(len(file)), ids)
	if err != nil || !bytes.Equal(readAll(t, r, n), text) {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	if _, _, err := Open(bytes.NewReader(file), int64(len(file)), ids); err == nil || !strings.Contains(err.Error(), "is not in PATH") {
		t.Errorf("read without the plugin: %v", err)
	}
}

// TestPluginAsks: without a terminal a plugin's question fails, and what it
// says is passed on.
func TestPluginAsks(t *testing.T) {
	installPlugin(t)
	file := seal(t, []byte("x"), parse(t, plugin.EncodeRecipient(testPlugin, []byte("!ask"))))
	var said []string
	ids, err := ParseIdentities(pluginIdentityText("!ask"), Prompt{Say: func(s string) { said = append(said, s) }})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Open(bytes.NewReader(file), int64(len(file)), ids)
	if err == nil || !strings.Contains(err.Error(), "could not be decrypted") || errors.Is(err, ErrNoIdentity) {
		t.Errorf("a plugin that asks nobody: %v", err)
	}
	if len(said) == 0 || !strings.Contains(said[0], "touch the token") {
		t.Errorf("the plugin said %q", said)
	}
}

// TestPluginPQ reads what is encrypted for a native hybrid recipient with the
// plugin that age itself ships for such keys.
func TestPluginPQ(t *testing.T) {
	if testing.Short() {
		t.Skip("builds age-plugin-pq")
	}
	dir := t.TempDir()
	command := filepath.Join(dir, "age-plugin-pq")
	if out, err := exec.Command("go", "build", "-o", command, "filippo.io/age/extra/age-plugin-pq").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	native, recipient, err := GenerateIdentity(true)
	if err != nil {
		t.Fatal(err)
	}
	convert := exec.Command(command, "-identity")
	convert.Stdin = bytes.NewReader(native)
	text, err := convert.Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	ids, err := ParseIdentities(text, Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	want := noise(t, 100)
	file := seal(t, want, parse(t, recipient))
	r, n, err := Open(bytes.NewReader(file), int64(len(file)), ids)
	if err != nil || !bytes.Equal(readAll(t, r, n), want) {
		t.Fatal(err)
	}
}
