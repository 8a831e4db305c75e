package main

import (
	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

// resealer is the signer of verbs that read a bundle, where --key is the
// reader's, and sign something of their own: --sign-key, or the own identity.
func resealer(c *cli.Context) (bundle.Signer, error) {
	if c.IsSet("sign-key") { // empty is a mistake: no other key steps in
		return signerFrom(c.Context, c.String("sign-key"))
	}
	s, _, _, err := identity()
	return s, err
}
