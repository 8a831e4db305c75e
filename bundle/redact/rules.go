package redact

import (
	_ "embed"
	"fmt"
)

// Names of rules that are counted by code and not by a rule for text.
const (
	ruleNUL = "nul-bytes"
	rulePEM = "private-key-block"
	ruleEnv = "env-value"

	ruleSecretData  = "secret-data"
	ruleAnnotation  = "secret-annotation"
	ruleConfigMap   = "configmap-value"
	ruleLastApplied = "last-applied"
	ruleArgument    = "command-argument"
	ruleField       = "secret-field"
	ruleSysctl      = "kernel-secret"
	ruleTooLong     = "long-value"
	ruleEncoded     = "encoded-secret"
	ruleCompressed  = "compressed-data"
)

func structuralRules() []string {
	return []string{ruleEnv, ruleSecretData, ruleAnnotation, ruleConfigMap, ruleLastApplied, ruleArgument, ruleField, ruleSysctl, ruleTooLong,
		ruleEncoded, ruleCompressed, ruleShape}
}

// ownPack holds the rules of this package that are data: values by the names
// they are given to, tokens by their form, fields of well-known API types.
//
//go:embed rules.json
var ownPack []byte

// ownRules reads ownPack, which a test holds to be right.
func ownRules() Rules {
	pack, err := parsePack(ownPack)
	if err == nil {
		var r Rules
		if r, err = pack.compile(); err == nil {
			return r
		}
	}
	panic(fmt.Sprintf("redact: rules.json: %v", err))
}

// ownNames are the names of all rules of this package.
func ownNames() map[string]bool {
	names := map[string]bool{}
	for _, n := range structuralRules() {
		names[n] = true
	}
	for _, r := range textRules() {
		names[r.name] = true
	}
	pack, err := parsePack(ownPack)
	if err != nil {
		panic(fmt.Sprintf("redact: rules.json: %v", err))
	}
	for _, r := range pack.Rules {
		names[r.Name] = true
	}
	return names
}

// textRules is the part of the rules for text that is code: keywords say where
// to look (found in one pass, in any case), a finder says what to mask there.
func textRules() []rule {
	return []rule{
		{"password", []string{"pass"}, lastWord, endOfName},
		{"private-key", []string{"psk"}, lastWord, endOfName},
		{"signature", []string{"?sig=", "&sig=", "amz-signature=", "goog-signature=", "&signature=", "?signature="}, toDelimiter, nil},

		// headers and URLs
		{"authorization", []string{"authorization"}, header, partOfName},
		{"cookie", []string{"cookie"}, header, partOfName},
		{"bearer-token", []string{"bearer"}, bearer, nil},
		{"basic-auth", []string{"basic "}, basic, nil},
		{"url-password", []string{"://"}, userinfo, nil},
		{"dsn-password", []string{"@tcp(", "@unix(", "@udp("}, dsn, nil},
		{"command-password", programWords(), program, nil},
		{"command-password", []string{"--user ", "--user=", "--proxy-user ", "--proxy-user="}, userOption, nil},
		{"config-password", []string{"password ", "password\t", "passwd ", "passphrase ", "credentials "}, directive, nil},
		{"config-password", []string{"chpasswd:"}, accounts, nil},

		// key material
		{rulePEM, []string{"-----begin "}, pem(), nil},
		{"private-key-base64", []string{"ls0tls1crudjti"}, base64PEM, nil},

		// tokens that are known by their form
		{"jwt", []string{"eyj"}, jwt, nil},
	}
}
