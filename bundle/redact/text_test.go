package redact

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const planted = "Zx9qVt3LmK8wPf2R" // looks like nothing by itself

// secretForms are lines with a secret in them, by the rule that masks it. The
// words around it, and nothing of it, stay.
func secretForms() map[string]string {
	basic := base64.StdEncoding.EncodeToString([]byte("admin:" + planted))
	key64 := base64.StdEncoding.EncodeToString([]byte("-----BEGIN EC PRIVATE KEY-----\n" + planted + "\n-----END EC PRIVATE KEY-----\n"))
	forms := map[string]string{}
	add := func(rule string, lines ...string) {
		for _, l := range lines {
			forms[strings.ReplaceAll(l, "S3CR3T", planted)] = rule
		}
	}
	add("password", "password=S3CR3T", "DB_PASSWORD: S3CR3T", `{"password":"S3CR3T","a":1}`, `{\"password\": \"S3CR3T\"}`,
		"--password S3CR3T --x", "--db-password=S3CR3T", "msg=\"login with password: S3CR3T\"", "'password' => 'S3CR3T'", "conf['password'] = 'S3CR3T'",
		"<password>S3CR3T</password>", "Server=db;Password=S3CR3T;Pooling=true", "redis:6379,password=S3CR3T,ssl=True", "passphrase: correct horse S3CR3T",
		"\x1b[36mpassword\x1b[0m=S3CR3T", "password%3DS3CR3T", "user=a&password=S3CR3T&x=1", `password="a \"S3CR3T`, `password="with \" quote S3CR3T"`,
		"name: DB_PASSWORD\n  value: S3CR3T", `{"name":"DB_PASSWORD","value":"S3CR3T"}`, "name=DB_PASSWORD value=S3CR3T", "{Password:S3CR3T User:x}", "PGPASSWORD=S3CR3T psql", "a:\n  password: |-\n    x\n\n    S3CR3T\n  b: c", "- password: >\n    S3CR3T",
		"password=a,S3CR3T", "password=a)S3CR3T", "pwd=S3CR3T", "password := \"S3CR3T\"")
	add("secret", "client_secret=S3CR3T", "clientSecret: S3CR3T", "aws_secret_access_key = S3CR3T")
	add("token", "token=S3CR3T", "X-Auth-Token: S3CR3T", "--token S3CR3T", "access_token=S3CR3T&x=y", `"refreshToken" : "S3CR3T"`)
	add("api-key", "api_key=S3CR3T", "X-Api-Key: S3CR3T", `apikey: "S3CR3T"`, "https://x/y?apikey=S3CR3T")
	add("access-key", "AccountKey=S3CR3T;EndpointSuffix=x", "SharedAccessKey=S3CR3T")
	add("private-key", "PrivateKey = S3CR3T", "client-key-data: S3CR3T")
	add("credential", "credentials=S3CR3T")
	add("signature", "https://x.blob/y?sv=1&sig=S3CR3T", "?X-Amz-Signature=S3CR3T&x=1")
	add("authorization", "Authorization: Bearer S3CR3T", "Authorization: Custom a b S3CR3T", "map[Authorization:[Bearer S3CR3T] Accept:[*]]",
		`curl -H 'Authorization: token S3CR3T' https://x`, `"authorization":"Bearer S3CR3T"`, `"Proxy-Authorization":["Basic S3CR3T"]`)
	add("cookie", "Cookie: a=b; sid=S3CR3T", "Set-Cookie: sid=S3CR3T; Path=/")
	add("bearer-token", "using bearer S3CR3TS3CR3T now")
	add("basic-auth", "sent Basic "+basic+" x")
	add("url-password", "postgres://u:S3CR3T@db:5432/x", "https://u:p/S3CR3T@host/x", "amqp://:S3CR3T@q", "https://S3CR3T@github.com/a/b", "proxy=http://u:S3CR3T@[::1]:80")
	add("dsn-password", "root:S3CR3T@tcp(db:3306)/x", "jdbc:oracle:thin:scott/S3CR3T@//h:1/x")
	add("command-password", "mysqldump -u root -pS3CR3T db", "redis-cli -h x -a S3CR3T ping", "curl -u admin:S3CR3T https://x", "sshpass -p S3CR3T ssh x", "docker login -u a -p S3CR3T r")
	add(rulePEM, "-----BEGIN RSA PRIVATE KEY-----\nS3CR3T\nabc\n-----END RSA PRIVATE KEY-----", `{"k":"-----BEGIN PRIVATE KEY-----\nS3CR3T\n-----END PRIVATE KEY-----\n"}`,
		"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nS3CR3T", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nS3CR3T\n-----END PGP PRIVATE KEY BLOCK-----",
		"2026-01-01T00:00:00Z -----BEGIN EC PRIVATE KEY-----\n2026-01-01T00:00:00Z S3CR3T\n2026-01-01T00:00:00Z -----END EC PRIVATE KEY-----")
	add("private-key-base64", "data "+key64)
	add("age-key", "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ")
	add("jwt", "got eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5l.S3CR3T ok")
	add("docker-auth", "eyJhdXRocyI6eyJyZWciOnsiYXV0aCI6S3CR3T", `{"auths":{"r":{"auth":"S3CR3T"}}}`)
	add("aws-key-id", "id AKIAIOSFODNN7EXAMPLE x", "ASIAIOSFODNN7EXAMPLE")
	add("github-token", "ghp_"+strings.Repeat("a1B2", 9), "github_pat_"+strings.Repeat("a1B2", 9))
	add("gitlab-token", "glpat-S3CR3TS3CR3T")
	add("slack-token", "xoxb-123456789012-S3CR3T", "https://hooks.slack.com/services/T000/B000/S3CR3T")
	add("google-key", "AIza"+strings.Repeat("a1B2x", 7), "ya29.S3CR3TS3CR3T")
	add("stripe-key", "sk_live_S3CR3T", "rk_live_S3CR3T")
	add("npm-token", "npm_"+strings.Repeat("a1B2", 9), "//registry/:_auth=S3CR3T")
	add("sendgrid-key", "SG.S3CR3TS3CR3T.S3CR3TS3CR3T")
	add("vault-token", "hvs.S3CR3TS3CR3T")
	add("service-token", "dckr_pat_S3CR3TS3CR3T")
	add("openai-key", "sk-ant-S3CR3TS3CR3T")
	return forms
}

func TestTextForms(t *testing.T) {
	for line, rule := range secretForms() {
		r := newRedactor(t, "")
		in := "before 10.0.0.1\n" + line + "\nafter 7f3c\n"
		b, err := io.ReadAll(r.Reader("cluster/logs/a/b/c.log", strings.NewReader(in)))
		got := string(b)
		if err != nil || strings.Contains(got, planted) || r.Counts()[rule] == 0 {
			t.Errorf("%q:\n got %q\n rules %v, want %s (%v)", line, got, r.Counts(), rule, err)
		}
		if strings.Contains(got, "AKIA") || strings.Contains(got, "a1B2") || strings.Contains(got, "QQQQ") {
			t.Errorf("%q: got %q", line, got)
		}
		if !strings.HasPrefix(got, "before 10.0.0.1\n") || !strings.HasSuffix(got, "after 7f3c\n") && !strings.Contains(line, "SIGSTORE") {
			t.Errorf("%q: lines around it changed: %q", line, got)
		}
		if again := redacted(t, "cluster/logs/a/b/c.log", got); again != got {
			t.Errorf("not idempotent:\n once  %q\n twice %q", got, again)
		}
	}
}

// TestTwice: a mask is no secret, whatever stands around it; what only looks
// like a mask is.
func TestTwice(t *testing.T) {
	for _, line := range []string{"token=abc = foo", "password=a: b", "token token=abc, password: x", "https://token@h/?token=abc", "[REDACTED:token] = x", "password=[REDACTED:token] x"} {
		once := redacted(t, "a.log", line+"\n")
		if twice := redacted(t, "a.log", once); twice != once {
			t.Errorf("once %q, twice %q", once, twice)
		}
	}
	for _, line := range []string{"password=[REDACTED:" + planted + "]", "password=[REDACTED:token]" + planted, "[REDACTED:token=" + planted, "[REDACTED:x token=" + planted + "]"} {
		if got := redacted(t, "a.log", line); strings.Contains(got, planted) {
			t.Errorf("%q became %q", line, got)
		}
	}
}

// TestTextKept: what diagnosis needs and is no secret comes through as it is.
func TestTextKept(t *testing.T) {
	kept := []string{
		"TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed", "tcp    0 0 10.0.0.1:443 10.0.0.2:5000 ESTABLISHED",
		`uid="2f6f5b0c-8a3e-4d0e-9b7c-111111111111" resourceVersion="12345"`, "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		`E0101 failed to fetch secret "foo": not found`, "secretName: tls-cert", "tokenExpirationSeconds: 3607", "--token-auth-file=/etc/x", "--tls-private-key-file=/etc/k",
		"tokens: 15", "password=", `password: ""`, "password: null", "--password=$(DB_PASSWORD)", "automountServiceAccountToken: false", "passwordPolicy: strong",
		"cat /etc/passwd: Permission denied", "PWD=/root/x", "http://10.0.0.1:8080/a@b", "https://host/path?x=y", "http://[fd00::1]:80/", "dial tcp 10.96.0.1:443: i/o timeout",
		"basic authentication failed", "bearer token missing", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "SecretKeyRef", "psql -p 5432 db", "curl -s http://x",
		"git@github.com:a/b", "mail to a@b.c", "plugin/errors: 2 example.com. A: read udp 10.244.0.5:53->10.96.0.10:53: i/o timeout", "kubernetes.io/service-account-token", "mysql -p -u root", "[REDACTED:token] = x", "https://u:[REDACTED:url-password]@h/",
	}
	for _, line := range kept {
		if got := redacted(t, "cluster/logs/a/b/c.log", line+"\n"); got != line+"\n" {
			t.Errorf("%q became %q", line, got)
		}
	}
}

// TestLongLines: a secret anywhere in a line without end, across all borders
// of windows, is masked.
func TestLongLines(t *testing.T) {
	r := newRedactor(t, "")
	redacted := func(in string) string {
		out, err := io.ReadAll(r.Reader("a.log", strings.NewReader(in)))
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, filler := range []string{"x", "x ", "eyJ", "token ", "://", "-----BEGIN "} {
		for at := textWindow - lookahead - 64; at < textWindow+64; at += 97 {
			pre := strings.Repeat(filler, at/len(filler)+1)[:at]
			in := pre + " password=" + planted + " " + strings.Repeat("y ", 5000) + "\nnext line\n"
			got := redacted(in)
			if strings.Contains(got, planted) || !strings.HasSuffix(got, "next line\n") {
				t.Fatalf("filler %q at %d: secret survives", filler, at)
			}
		}
	}
	for at := textWindow - lookahead - 70; at < textWindow+70; at += 2 {
		in := strings.Repeat("a\n", at/2) + "name: DB_PASSWORD\n  value: " + planted + "\n"
		if strings.Contains(redacted(in), planted) {
			t.Fatalf("pair at %d survives", at)
		}
	}
	crossing := strings.Repeat("a", textWindow-lookahead-40) + " password=" + strings.Repeat(planted, 700) + "\nafter\n" + strings.Repeat("b\n", 100)
	if got := redacted(crossing); strings.Contains(got, planted) || !strings.Contains(got, "\nafter\nb\n") {
		t.Errorf("a value over the end of a window survives, or took the lines after it (%d bytes)", len(got))
	}
	endless := "password=" + strings.Repeat(planted, 20_000)
	if got := redacted(endless + "\nafter\n"); got != "password=[REDACTED:password]\nafter\n" {
		t.Errorf("endless value: %d bytes", len(got))
	}
}

func TestLongKeys(t *testing.T) {
	body := strings.Repeat(planted+planted+planted+planted+"\n", 400) // 25 KiB
	for _, before := range []int{0, textWindow - lookahead - 1000, textWindow - lookahead, textWindow - 20, textWindow} {
		in := strings.Repeat("a\n", before/2) + "-----BEGIN RSA PRIVATE KEY-----\n" + body + "-----END RSA PRIVATE KEY-----\nafter\n" + strings.Repeat("b\n", 50_000)
		got := redacted(t, "a.log", in)
		if strings.Contains(got, planted) || !strings.Contains(got, "after\n") || !strings.HasSuffix(got, "b\n") {
			t.Errorf("key after %d bytes: survives, or took the rest with it (%d bytes)", before, len(got))
		}
	}
	for _, before := range []string{"password=\"", "token: ", "{\"secret\":\"", "password=x"} { // the key is in a value
		in := strings.Repeat("a\n", (textWindow-lookahead)/2-200) + before + "-----BEGIN RSA PRIVATE KEY-----\n" + body + "-----END RSA PRIVATE KEY-----\nafter\n"
		if got := redacted(t, "a.log", in); strings.Contains(got, planted) || !strings.HasSuffix(got, "after\n") {
			t.Errorf("%s: the key survives", before)
		}
	}
	got := redacted(t, "a.log", "-----BEGIN RSA PRIVATE KEY-----\n"+strings.Repeat("log line\n", 20_000))
	if n := len("log line\n") * 20_000; len(got) < n-2*maxPEM || len(got) > n {
		t.Errorf("a key without end took %d of %d bytes", n-len(got), n)
	}
}

// TestScanIsLinear: no text makes a scan slow.
func TestScanIsLinear(t *testing.T) {
	for _, unit := range []string{"eyJ", "token", "://", "a:b@tcp(", "AKIA", "password=", "-----BEGIN ", "basic ", "mysql ", "[REDACTED:token", "name: token value: ", "Cookie: ", "ls0tls1crudjti", "secret-", "\\\"token\\\"", "curl -u "} {
		in := strings.Repeat(unit, (1<<20)/len(unit))
		start := time.Now()
		if _, err := io.Copy(io.Discard, newRedactor(t, "").Reader("a.log", strings.NewReader(in))); err != nil {
			t.Fatal(err)
		}
		rate := float64(len(in)) / time.Since(start).Seconds() / 1e6
		t.Logf("%-20q %8.1f MB/s", unit, rate)
		if rate < 0.5 {
			t.Errorf("%q: %.2f MB/s", unit, rate)
		}
	}
}

func FuzzText(f *testing.F) {
	for line := range secretForms() {
		f.Add([]byte(line), uint16(0))
	}
	f.Add([]byte("password=[REDACTED:password] x"), uint16(1))
	r := newRedactor(f, "")
	f.Fuzz(func(t *testing.T, noise []byte, pad uint16) {
		noise = bytes.ReplaceAll(noise, []byte(planted), nil)
		if bytes.Contains(bytes.ReplaceAll(noise, []byte{0}, nil), []byte(planted)) {
			return // NUL bytes go away: the noise itself would hold it, where nothing says that it is one
		}
		in := fmt.Sprintf("%s\npassword=%s\n%s", noise, planted, strings.Repeat("z", int(pad)))
		b, err := io.ReadAll(r.Reader("a.log", strings.NewReader(in)))
		got := string(b)
		if err != nil || strings.Contains(got, planted) {
			t.Fatalf("survives: %q", got)
		}
		if len(got) > 10*len(in)+64 {
			t.Fatalf("%d bytes became %d", len(in), len(got))
		}
	})
}
