// Package kms signs with keys that never leave a key management service, an HSM
// or a token, through Sigstore's plugin convention: NAME://KEY is held by the
// program sigstore-kms-NAME in $PATH, which is asked for the public key and for
// signatures. No cloud's SDK is linked.
//
//	s, err := kms.Load(ctx, "hsm://site-key")
//
// The program gets what is signed on its standard input: a manifest of at most
// 64 KiB or a statement, never the data itself.
package kms

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// timeout bounds one call of a plugin: somebody may have to touch a token.
const timeout = 2 * time.Minute

// trial is what a key signs to show that it can.
const trial = "casefile: can this key sign?"

// Signer signs through a plugin.
type Signer struct {
	ctx    context.Context //nolint:containedctx // Sign has none, and must work on while a run is being stopped
	plugin plugin
	public crypto.PublicKey
}

// plugin is what a plugin is used for.
type plugin interface {
	PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error)
	SignMessage(io.Reader, ...signature.SignOption) ([]byte, error)
}

// IsReference tells NAME://KEY from the name of a file. A name that leads to
// another folder is none.
func IsReference(s string) bool { return reference().MatchString(s) }

func reference() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*://.+`) }

// Load asks the plugin for the key, and for one signature, so that a key that
// cannot sign is found out at once. ctx's end does not stop later signatures,
// which seal what was collected until then.
func Load(ctx context.Context, ref string) (*Signer, error) {
	if !IsReference(ref) {
		return nil, fmt.Errorf("key %q: want NAME://KEY", ref)
	}
	p, err := cliplugin.LoadSignerVerifier(ctx, ref, crypto.SHA256)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("key %s: no such program in $PATH: %w", ref, err)
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	s := &Signer{ctx: context.WithoutCancel(ctx), plugin: p}
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.public, err = p.PublicKey(options.WithContext(asking)); err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	if _, err := s.Sign([]byte(trial)); err != nil {
		return nil, fmt.Errorf("key %s: %w", ref, err)
	}
	return s, nil
}

// Public is the public half.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign has the plugin sign the SHA-256 of message.
func (s *Signer) Sign(message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	sig, err := s.plugin.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}
