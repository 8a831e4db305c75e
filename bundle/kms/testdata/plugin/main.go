// Command plugin is a sigstore-kms-NAME program whose keys are files: what
// follows NAME:// is the path of a private key, PKCS #8 in PEM.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"io"
	"os"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

type service struct{ *signature.ECDSASignerVerifier }

func (service) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("this plugin makes no keys")
}

func (service) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not offered")
}

func (service) SupportedAlgorithms() []string { return []string{"ecdsa-p256-sha256"} }

func (service) DefaultAlgorithm() string { return "ecdsa-p256-sha256" }

func (s service) SignMessage(r io.Reader, o ...signature.SignOption) ([]byte, error) {
	if os.Getenv("PLUGIN_REFUSES") != "" {
		return nil, errors.New("this key may not sign")
	}
	return s.ECDSASignerVerifier.SignMessage(r, o...)
}

func main() {
	if err := run(); err != nil {
		_ = handler.WriteErrorResponse(os.Stdout, err)
		os.Exit(1)
	}
}

func run() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(args.InitOptions.KeyResourceID)
	if err != nil {
		return err
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(bytes.TrimSpace(text), cryptoutils.SkipPassword)
	if err != nil {
		return err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("not an ECDSA key")
	}
	s, err := signature.LoadECDSASignerVerifier(private, crypto.SHA256)
	if err != nil {
		return err
	}
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, service{s})
	return err
}
