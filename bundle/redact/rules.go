package redact

import "regexp"

// Names of rules that are counted by code and not by [textRules].
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
)

func structuralRules() []string {
	return []string{ruleEnv, ruleSecretData, ruleAnnotation, ruleConfigMap, ruleLastApplied, ruleArgument, ruleField, ruleSysctl, ruleTooLong}
}

// textRules is the rule pack for text: keywords say where to look (found in
// one pass, in any case), a finder says what to mask there.
func textRules() []rule {
	value := func(name string, words ...string) rule { return rule{name, words, assigned, true} }
	token := func(name, re string, words ...string) rule { return rule{name, words, prefixed(re), false} }
	return []rule{
		// name = value, name: value, "name":"value", --name value, <name>value
		value("password", "passw", "passphrase", "passcode", "pwd"),
		value("secret", "secret"),
		value("token", "token"),
		value("api-key", "apikey", "api_key", "api-key", "api.key", "functions-key"),
		value("access-key", "accesskey", "access_key", "access-key", "accountkey", "account_key", "account-key"),
		value("private-key", "privatekey", "private_key", "private-key", "presharedkey", "client-key-data",
			"signingkey", "signing_key", "signing-key", "encryptionkey", "encryption_key", "encryption-key", "masterkey", "master_key", "master-key"),
		value("credential", "credential"),
		{"signature", []string{"?sig=", "&sig=", "amz-signature=", "goog-signature="}, toDelimiter, false},

		// headers and URLs
		{"authorization", []string{"authorization"}, header, true},
		{"cookie", []string{"cookie"}, header, true},
		{"bearer-token", []string{"bearer"}, bearer, false},
		{"basic-auth", []string{"basic "}, basic, false},
		{"url-password", []string{"://"}, userinfo, false},
		{"dsn-password", []string{"@tcp(", "@unix(", "@udp("}, dsn, false},
		token("dsn-password", `^jdbc:oracle:[a-z]+:[^/\s]{1,128}/([^@\s]{1,256})@`, "jdbc:oracle"),
		{"command-password", []string{"mysql", "mariadb", "sshpass", "mongo", "redis-cli", "curl ", "docker login"}, program, false},

		// key material
		{rulePEM, []string{"-----begin "}, pem(), false},
		{"private-key-base64", []string{"ls0tls1crudjti"}, base64PEM, false},
		token("age-key", `^AGE-SECRET-KEY-[0-9A-Z-]{20,}`, "age-secret-key-"),

		// tokens that are known by their form
		{"jwt", []string{"eyj"}, jwt, false},
		token("docker-auth", `^eyJhdXRocyI6[A-Za-z0-9+/=]{8,}`, "eyjhdxrocyi6"),
		token("docker-auth", `^"auth\\*"\s*:\s*\\*"([A-Za-z0-9+/=]{8,})`, `"auth`),
		token("aws-key-id", `^(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}`, "akia", "asia", "abia", "acca"),
		token("github-token", `^(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})`, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
		token("gitlab-token", `^(?:glpat|gldt|glrt|glptt|glcbt|glsoat|glft|glimt|glagent)-[\w-]{16,}`,
			"glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-"),
		token("slack-token", `^(?:xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|hooks\.slack\.com/(?:services|workflows)/([\w/-]{10,}))`,
			"xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxe-", "xoxc-", "xoxd-", "xapp-", "hooks.slack.com/"),
		token("google-key", `^(?:AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})`, "aiza", "ya29.", "gocspx-"),
		token("stripe-key", `^(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,}`, "sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_"),
		token("npm-token", `^(?:npm_[A-Za-z0-9]{30,}|_auth(?:Token)?\s*=\s*(\S+))`, "npm_", "_auth"),
		token("sendgrid-key", `^SG\.[\w-]{16,}\.[\w-]{16,}`, "sg."),
		token("vault-token", `^hv[sbr]\.[\w-]{20,}`, "hvs.", "hvb.", "hvr."),
		token("service-token", `^(?:dckr_pat_[\w-]{20,}|dop_v1_[a-f0-9]{40,}|pypi-AgEI[\w-]{20,}|sk-(?:ant|proj)-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}|key-[0-9a-f]{32})`,
			"dckr_pat_", "dop_v1_", "pypi-", "sk-ant-", "sk-proj-", "hf_", "shpat_", "shpss_", "shpca_", "shppa_", "key-"),
	}
}

// maxToken is how far a pattern looks; the token itself may be longer.
const maxToken = 512

// prefixed makes a finder from a pattern that begins with ^ at the keyword.
// Its first group, or all of it, is masked, with all that follows of the same
// token.
func prefixed(re string) finder {
	pattern := regexp.MustCompile(re)
	return func(b []byte, at, _ int) (int, int) {
		m := pattern.FindSubmatchIndex(b[at:min(len(b), at+maxToken)])
		if m == nil {
			return -1, at
		}
		from, to := at+m[0], at+m[1]
		if len(m) > 2 && m[2] >= 0 {
			from, to = at+m[2], at+m[3]
		}
		return from, skip(b, to, isTokenByte)
	}
}
