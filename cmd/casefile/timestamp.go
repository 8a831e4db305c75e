package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/timestamp"
)

const timestampHelp = `An RFC 3161 timestamp is the word of a third party that the seal was there at a certain
time. It goes into the seal, beside the signature; approvals stay.

   casefile bundle timestamp FILE --url https://tsa.example/tsr

Without a network, carry the question to the authority and its answer back:

   casefile bundle timestamp FILE --query-out seal.tsq
   curl -H 'Content-Type: application/timestamp-query' --data-binary @seal.tsq URL > seal.tsr
   casefile bundle timestamp FILE --token seal.tsr

casefile verify FILE --tsa CERT.pem checks it.`

// timestampTimeout bounds one question to an authority.
const timestampTimeout = 30 * time.Second

const maxCertificates = 1 << 20 // bytes of --tsa

func timestampCommand() *cli.Command {
	return &cli.Command{
		Name: "timestamp", Usage: "put a third party's word into the seal for when it was made", ArgsUsage: "FILE", Description: timestampHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "url", Usage: "ask the authority at `URL`"},
			&cli.StringFlag{Name: "token", Usage: "take the authority's answer from `FILE` (.tsr, DER)"},
			&cli.StringFlag{Name: "query-out", Usage: "only write the question to `FILE` (.tsq)"},
		}, readFlags()...),
		Action: func(c *cli.Context) error {
			given := 0
			for _, name := range []string{"url", "token", "query-out"} {
				if c.IsSet(name) {
					given++
				}
			}
			if given != 1 {
				return usagef("bundle timestamp needs one of --url, --token and --query-out")
			}
			return withBundle(c, func(name string, b *opened) error { return stampBundle(c, name, b) })
		},
	}
}

func stampBundle(c *cli.Context, name string, b *opened) error {
	signature, err := b.SealSignature()
	if err != nil {
		return err
	}
	if signature == nil {
		return fmt.Errorf("%s: %w: there is no seal to stamp", name, bundle.ErrUnsigned)
	}
	if b.encrypted {
		return usagef("%s is encrypted: stamp it before it is encrypted", name)
	}
	if out := c.String("query-out"); c.IsSet("query-out") {
		q, err := timestamp.Query(signature)
		if err != nil {
			return err
		}
		if err := writeNew(out, q, 0o644); err != nil {
			return fmt.Errorf("cannot write the question: %w", err)
		}
		fmt.Println(out)
		return nil
	}
	var response []byte
	if c.IsSet("token") {
		answer, err := readCapped(c.String("token"), 4*timestamp.MaxResponse)
		if err != nil {
			return fmt.Errorf("--token: %w", err)
		}
		if response, err = timestamp.Accept(answer, signature); err != nil {
			return fmt.Errorf("--token: %w", err)
		}
	} else if response, err = askTime(c.Context, c.String("url"), signature); err != nil {
		return err
	}
	stamped, err := timestamp.Check(response, signature, nil)
	if err != nil {
		return err
	}
	if err := replaceFile(name, func(w io.Writer) error { return bundle.Timestamp(c.Context, b.Reader, w, response) }); err != nil {
		return err
	}
	fmt.Printf("%s by %s\n", stamp(stamped.Time), flat(stamped.By))
	return nil
}

func askTime(ctx context.Context, address string, signature []byte) ([]byte, error) {
	if err := checkURL(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timestampTimeout)
	defer cancel()
	return timestamp.Request(ctx, http.DefaultClient, address, signature)
}

func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usagef("a timestamp comes from an http or https URL, not %q; to carry it by hand see casefile bundle timestamp --help", address)
	}
	return nil
}

// stamper gets a timestamp while a bundle is sealed. A nil one gets none.
type stamper struct {
	ask    func(signature []byte) ([]byte, error)
	failed error
}

func timestampFlag() cli.Flag {
	return &cli.StringFlag{Name: "timestamp", Usage: "have the RFC 3161 authority at `URL` stamp the seal (see casefile bundle timestamp)"}
}

// stamperOf is what --timestamp asks for.
func stamperOf(c *cli.Context) (*stamper, error) {
	address := c.String("timestamp")
	switch {
	case !c.IsSet("timestamp"):
		return nil, nil
	case c.Bool("no-sign"):
		return nil, usagef("--timestamp is about the signature; it does not go with --no-sign")
	}
	return &stamper{ask: func(signature []byte) ([]byte, error) { return askTime(c.Context, address, signature) }}, checkURL(address)
}

// timestamp never fails: the bundle is worth more than its stamp.
func (s *stamper) timestamp() func([]byte) ([]byte, error) {
	if s == nil {
		return nil
	}
	return func(signature []byte) ([]byte, error) {
		var response []byte
		response, s.failed = s.ask(signature)
		return response, nil
	}
}

// lacking says that there is no timestamp where one was asked for.
func (s *stamper) lacking(name string) error {
	if s == nil || s.failed == nil {
		return nil
	}
	return incompletef("done, but the seal has no timestamp (%v): try casefile bundle timestamp %s", s.failed, name)
}

// stampVerdict is what verify says about a timestamp.
type stampVerdict struct {
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Checked bool      `json:"checked"` // by an authority of --tsa
}

func tsaFlag() cli.Flag {
	return &cli.StringFlag{Name: "tsa", Usage: "demand a timestamp by an authority whose certificate, or one above it, is in `FILE` (PEM)"}
}

// readStamp checks the timestamp of b, against --tsa when it is given.
func readStamp(c *cli.Context, b *opened) (*stampVerdict, error) {
	response, err := b.SealTimestamp()
	if err != nil {
		return nil, err
	}
	if response == nil {
		if c.IsSet("tsa") {
			return nil, &exitError{exitForged, errors.New("its seal has no timestamp")}
		}
		return nil, nil
	}
	var roots *x509.CertPool
	if c.IsSet("tsa") {
		if roots, err = certificatesIn(c.String("tsa")); err != nil {
			return nil, err
		}
	}
	signature, err := b.SealSignature()
	if err != nil {
		return nil, err
	}
	s, err := timestamp.Check(response, signature, roots)
	if err != nil {
		return nil, &exitError{exitForged, fmt.Errorf("signature: %w", err)}
	}
	return &stampVerdict{s.Time, s.By, s.Trusted}, nil
}

func (s *stampVerdict) String() string {
	if s.Checked {
		return stamp(s.Time) + " by " + s.By
	}
	return stamp(s.Time) + " by " + s.By + "; not checked, give --tsa CERT.pem"
}

func certificatesIn(name string) (*x509.CertPool, error) {
	rest, err := readCapped(name, maxCertificates)
	if err != nil {
		return nil, usagef("--tsa: %v", err)
	}
	pool, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return nil, usagef("--tsa %s: want certificates, in PEM (%v)", name, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return nil, usagef("--tsa %s: no certificate in it; want PEM", name)
	}
	return pool, nil
}
