package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
)

// Identities are the secret keys at hand.
type Identities []age.Identity

const (
	magic      = "age-encryption.org/v1"
	armorBegin = armor.Header
	// maxWork bounds what an identity file can make its reader spend: 2^20 is
	// 1 GiB and some seconds, four times what age itself asks for.
	maxWork = 20
)

// ParseIdentities reads the text of an age identity file: one key a line
// (AGE-SECRET-KEY-…, AGE-SECRET-KEY-PQ-…, AGE-PLUGIN-NAME-…), # begins a
// comment. A file that age encrypted with a passphrase is decrypted with the
// one that p gives. No error repeats a line.
func ParseIdentities(text []byte, p Prompt) (Identities, error) {
	if isEncrypted(text) {
		var err error
		if text, err = decryptFile(text, p); err != nil {
			return nil, err
		}
	}
	var all Identities
	for n, line := range lines(text) {
		id, err := parseIdentity(line, p)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if all = append(all, id); len(all) > maxRecipients {
			return nil, fmt.Errorf("more than %d identities", maxRecipients)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no identity in it; want lines that begin with AGE-SECRET-KEY- or AGE-PLUGIN-")
	}
	return all, nil
}

func parseIdentity(s string, p Prompt) (age.Identity, error) {
	switch {
	case strings.HasPrefix(s, "AGE-PLUGIN-"):
		id, err := plugin.NewIdentity(s, p.ui())
		if err != nil {
			return nil, errors.New("malformed AGE-PLUGIN- line")
		}
		return pluginIdentity{id}, nil
	case strings.HasPrefix(s, "AGE-SECRET-KEY-PQ-1"):
		if id, err := age.ParseHybridIdentity(s); err == nil {
			return id, nil
		}
		return nil, errors.New("malformed AGE-SECRET-KEY-PQ- line")
	case strings.HasPrefix(s, "AGE-SECRET-KEY-1"):
		if id, err := age.ParseX25519Identity(s); err == nil {
			return id, nil
		}
		return nil, errors.New("malformed AGE-SECRET-KEY- line")
	case strings.HasPrefix(s, "age1"):
		return nil, errors.New("this is a recipient, which is public; want the identity (AGE-SECRET-KEY-…) that belongs to it")
	case strings.Contains(s, "PRIVATE KEY"):
		return nil, errors.New("this is a key for signing, or for SSH; want an age identity (casefile keygen --age)")
	}
	return nil, errors.New("no age identity")
}

// isEncrypted says whether b begins as an age file.
func isEncrypted(b []byte) bool {
	return bytes.HasPrefix(b, []byte(magic)) || bytes.HasPrefix(b, []byte(armorBegin))
}

// decryptFile opens an identity file that is under a passphrase.
func decryptFile(b []byte, p Prompt) ([]byte, error) {
	if p.Password == nil {
		return nil, errors.New("the identity file is encrypted, and nobody can be asked for its passphrase")
	}
	pass, err := p.Password()
	if err != nil {
		return nil, err
	}
	scrypt, err := age.NewScryptIdentity(string(pass))
	if err != nil {
		return nil, errors.New("the identity file is encrypted: an empty passphrase does not open it")
	}
	scrypt.SetMaxWorkFactor(maxWork)
	var src io.Reader = bytes.NewReader(b)
	if bytes.HasPrefix(b, []byte(armorBegin)) {
		src = armor.NewReader(src)
	}
	r, err := age.Decrypt(src, scrypt)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, errors.New("the passphrase does not open the identity file")
	}
	if err != nil {
		return nil, fmt.Errorf("the encrypted identity file: %w", err)
	}
	return readText(r)
}

// Own is the recipient that reads with ids: the hybrid one, or the one that is
// not. It is empty when ids have none of that sort.
func (ids Identities) Own(hybrid bool) Recipients {
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			if !hybrid {
				return Recipients{id.Recipient()}
			}
		case *age.HybridIdentity:
			if hybrid {
				return Recipients{id.Recipient()}
			}
		}
	}
	return nil
}

// GenerateIdentity makes a key pair: the lines of an identity file, which are
// secret, and the recipient to hand out.
func GenerateIdentity(hybrid bool) (file []byte, recipient string, err error) {
	var id fmt.Stringer
	if hybrid {
		h, err := age.GenerateHybridIdentity()
		if err != nil {
			return nil, "", err
		}
		id, recipient = h, h.Recipient().String()
	} else {
		x, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, "", err
		}
		id, recipient = x, x.Recipient().String()
	}
	return fmt.Appendf(nil, "# public key: %s\n%s\n", recipient, id), recipient, nil
}

// pluginIdentity tells the errors of a plugin from those of a damaged file.
type pluginIdentity struct{ *plugin.Identity }

// Unwrap asks the plugin.
func (p pluginIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := p.Identity.Unwrap(stanzas)
	if err == nil || errors.Is(err, age.ErrIncorrectIdentity) {
		return key, err
	}
	return nil, &pluginError{explainPlugin(err)}
}

// pluginError is the failure of a plugin, not of the file.
type pluginError struct{ err error }

func (e *pluginError) Error() string { return e.err.Error() }
func (e *pluginError) Unwrap() error { return e.err }

// explainPlugin says where a plugin that is not there should be.
func explainPlugin(err error) error {
	if missing := (*plugin.NotFoundError)(nil); errors.As(err, &missing) {
		return fmt.Errorf("the program age-plugin-%s is not in PATH; it belongs to this kind of key", missing.Name)
	}
	return err
}
