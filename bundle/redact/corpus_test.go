package redact

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func zipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.Bytes()
}

// quotedJSON is the inside of s as a JSON string.
func quotedJSON(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return strings.TrimSuffix(strings.TrimSpace(b.String())[1:], `"`)
}

func wrapped(s string, width int, sep string) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + sep)
		s = s[width:]
	}
	return b.String() + s
}

// carrier is a way in which a snippet gets into a bundle.
type carrier struct {
	name  string
	path  string
	carry func(snippet string) string
	as    func(secret string) []string // what must not be left; nil is the secret itself
}

const (
	logPath    = "cluster/logs/shop/web-0/app.log"
	kmsgPath   = "nodes/n1/logs/kernel.log"
	eventsPath = "cluster/resources/core/v1/events/shop.ndjson"
	crPath     = "cluster/resources/shop.example/v1/carts/shop.ndjson"
)

// fragments are ends of a secret in base64, whatever stands before it.
func fragments(secret string) []string {
	var out []string
	for shift := range 3 {
		enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		if body := enc[4 : len(enc)-4]; len(body) >= 8 {
			out = append(out, body, strings.NewReplacer("+", "-", "/", "_").Replace(body))
		}
	}
	return out
}

func escapedForms(secret string) []string {
	return []string{secret, url.QueryEscape(secret), quotedJSON(secret), quotedJSON(quotedJSON(secret))}
}

func unicodeEscaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("=:@&/\"'<>\n{}\\", r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func carriers() []carrier {
	std, raw := base64.StdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString
	object := func(s string) string { return quotedJSON(s) }
	nested := func(s string) string { return `{"a":{"msg":"` + quotedJSON(s) + `"}}` }
	stamped := func(s string) string {
		return "2026-11-21T09:00:00.000000000Z stdout F " + strings.ReplaceAll(s, "\n", "\n2026-11-21T09:00:00.000000001Z stdout F ")
	}
	return []carrier{
		{"log", logPath, func(s string) string { return "2026-11-21 09:00:00 INFO c.e.App - " + s + "\nnext line\n" }, nil},
		{"klog", "nodes/n1/logs/kubelet.log", func(s string) string { return "I1121 09:00:00.000000    1234 server.go:99] " + s + "\nE1121 next\n" }, nil},
		{"logfmt", logPath, func(s string) string {
			return `level=info ts=1763730000 msg="` + quotedJSON(s) + `" caller=x.go:1` + "\n"
		}, escapedForms},
		{"JSON log", logPath, func(s string) string {
			return `{"level":"info","ts":1763730000.1,"msg":"` + quotedJSON(s) + `","pid":7}` + "\n"
		}, escapedForms},
		{"JSON log of JSON", logPath, func(s string) string { return `{"log":"` + quotedJSON(nested(s)) + `","stream":"stdout"}` + "\n" }, escapedForms},
		{"ANSI", logPath, func(s string) string { return "\x1b[2m09:00\x1b[0m \x1b[32mINFO\x1b[0m " + s + "\x1b[0m\n" }, nil},
		{"kernel text", "nodes/n1/0/proc/net/x", func(s string) string { return "[ 12.345678] " + s + "\n" }, nil},
		{"UTF-16", kmsgPath, func(s string) string {
			var b []byte
			for _, u := range utf16.Encode([]rune(s + "\n")) {
				b = append(b, byte(u), byte(u>>8))
			}
			return string(b)
		}, nil},
		{"event", eventsPath, func(s string) string { return `{"kind":"Event","message":"` + object(s) + `","count":3}` + "\n" }, escapedForms},
		{"annotation", crPath, func(s string) string {
			return `{"kind":"Cart","metadata":{"name":"c","annotations":{"note":"` + object(s) + `"}}}` + "\n"
		}, escapedForms},
		{"JSON in JSON", crPath, func(s string) string { return `{"kind":"Cart","spec":{"raw":"` + quotedJSON(nested(s)) + `"}}` + "\n" }, escapedForms},
		{"JSON in JSON in JSON", crPath, func(s string) string {
			return `{"kind":"Cart","spec":{"raw":"` + quotedJSON(`{"b":"`+quotedJSON(nested(s))+`"}`) + `"}}` + "\n"
		}, escapedForms},
		{"config map", "cluster/resources/core/v1/configmaps/shop.ndjson", func(s string) string {
			return `{"metadata":{"name":"c","namespace":"shop"},"data":{"app.yaml":"` + object(s) + `"}}` + "\n"
		}, escapedForms},
		{"kept config map", "cluster/resources/core/v1/configmaps/kube-system.ndjson", func(s string) string {
			return `{"metadata":{"name":"coredns","namespace":"kube-system"},"data":{"Corefile":".:53 {\n` + object(s) + `\n}"}}` + "\n"
		}, escapedForms},
		{"env", podsPath, func(s string) string { return `{"kind":"Pod","env":[{"name":"A","value":"` + object(s) + `"}]}` + "\n" }, escapedForms},
		{"shell argument", podsPath, func(s string) string { return `{"kind":"Pod","command":["sh","-c","` + object(s) + `"]}` + "\n" }, escapedForms},
		{"base64", logPath, func(s string) string { return "payload " + std([]byte("conf: 1\n"+s+"\n")) + " end\n" }, fragments},
		{"base64 for URLs", logPath, func(s string) string { return "GET /cb?state=" + raw([]byte(`{"a":1}`+"\n"+s+"\n")) + " 200\n" }, fragments},
		{"wrapped base64", logPath, func(s string) string {
			return "dump:\n" + wrapped(std([]byte("conf: 1\n"+s+"\n")), 76, "\n") + "\nend\n"
		}, fragments},
		{"base64 in an object", crPath, func(s string) string {
			return `{"kind":"Cart","spec":{"blob":"` + std([]byte("x\n"+s+"\n")) + `"}}` + "\n"
		}, fragments},
		{"base64 of base64", crPath, func(s string) string {
			return `{"kind":"Cart","spec":{"blob":"` + std([]byte(std([]byte("x\n"+s+"\n")))) + `"}}` + "\n"
		}, func(s string) []string { return nil }},
		{"URL-encoded", logPath, func(s string) string { return "GET /login?next=" + url.QueryEscape(s) + "&x=1 302\n" }, escapedForms},
		{"URL-encoded twice", logPath, func(s string) string {
			return "GET /login?next=" + url.QueryEscape(url.QueryEscape(s)) + "&x=1 302\n"
		}, escapedForms},
		{"backslashes", logPath, func(s string) string { return "cfg=`" + quotedJSON(quotedJSON(s)) + "`\n" }, escapedForms},
		{"unicode escapes", logPath, func(s string) string { return `{"m":"` + unicodeEscaped(s) + `"}` + "\n" }, func(s string) []string { return []string{s, unicodeEscaped(s)} }},
		{"markup", logPath, func(s string) string {
			return "<m>" + strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;").Replace(s) + "</m>\n"
		}, nil},
		{"stamped lines", "nodes/n1/logs/pod.log", func(s string) string { return stamped(s) + "\n" }, nil},
		{"gzip in a log", logPath, func(s string) string { return "before\n" + string(zipped(s)) + "\nafter\n" }, nil},
		{"base64 of gzip", logPath, func(s string) string { return "release " + std(zipped("a\n"+s)) + "\n" }, func(string) []string { return []string{"H4sI"} }},
		{"base64 of gzip in an object", crPath, func(s string) string { return `{"kind":"Cart","spec":{"rel":"` + std(zipped("a\n"+s)) + `"}}` + "\n" }, func(string) []string { return []string{"H4sI"} }},
		{"packet payload", "captures/a/b.pcapng", func(s string) string { return string(capture(1, eth(0x0800, ip4(6, 0, tcp(80, s))))) }, nil},
	}
}

// plant is a secret in an entry.
type plant struct {
	kind, carrier, path, in string
	gone                    []string
}

// corpus is every kind of secret in each of its contexts by every carrier.
// Equal seeds give equal corpora.
func corpus(seed uint64) []plant {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []plant
	for _, k := range kinds() {
		for i, context := range k.contexts {
			for _, c := range carriers() {
				secret := k.make(r)
				snippet := strings.ReplaceAll(context, "{S}", secret)
				var gone []string
				for _, part := range strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' }) {
					forms := []string{part}
					if c.as != nil {
						forms = c.as(part)
					}
					gone = append(gone, forms...)
				}
				all = append(all, plant{fmt.Sprintf("%s %d", k.name, i), c.name, c.path, c.carry(snippet), gone})
			}
		}
	}
	return append(all, argumentPlants(r)...)
}

// argumentPlants are passwords on command lines, as arrays of JSON and as the
// kernel has them, parted by NUL.
func argumentPlants(r *rand.Rand) []plant {
	var all []plant
	for _, line := range []string{"mysql|-uroot|-p{S}|shop", "/usr/bin/mysqldump|--password={S}", "curl|-sk|-u|admin:{S}|https://x", "curl|--user|admin:{S}|https://x", "sshpass|-p|{S}|ssh|n1",
		"redis-cli|-a|{S}|ping", "app|--db-password|{S}|--verbose", "app|--token={S}", "etcdctl|--user|root:{S}|get|x", "docker|login|-u|me|-p|{S}", "ldapsearch|-w|{S}",
		"sh|-c|PGPASSWORD={S} psql -h db", "snmpget|-c|{S}|10.0.0.1", "openssl|rsa|-passin|pass:{S}", "app|postgres://u:{S}@db/x", "kubectl|create|secret|generic|x|--from-literal=pw={S}", "app|--api-key|{S}", "env|DB_PASSWORD={S}|app"} {
		secret := plainPassword(r)
		words := strings.Split(strings.ReplaceAll(line, "{S}", secret), "|")
		array, _ := json.Marshal(words)
		all = append(all,
			plant{line, "array", podsPath, `{"kind":"Pod","spec":{"containers":[{"command":` + string(array) + `}]}}` + "\n", []string{secret}},
			plant{line, "NUL", "nodes/n1/0/proc/self/cmdline", strings.Join(words, "\x00") + "\x00", []string{secret}},
			plant{line, "NUL in JSON", "nodes/n1/processes.ndjson", `{"pid":1,"cmdline":"` + quotedJSON(strings.Join(words, "\x00")) + `"}` + "\n", []string{secret}},
			plant{line, "cmdline", "nodes/n1/processes.ndjson", `{"pid":1,"cmdline":"` + quotedJSON(strings.Join(words, " ")) + `"}` + "\n", []string{secret}})
	}
	return all
}

// left gives the parts of a planted secret that are still in out. Where an
// encoding leaves no part to look for, the entry must have changed.
func (p plant) left(out []byte) []string {
	if len(p.gone) == 0 && string(out) == p.in {
		return []string{"all of it"}
	}
	return slices.DeleteFunc(slices.Clone(p.gone), func(s string) bool { return !bytes.Contains(out, []byte(s)) })
}

// TestRecall: nothing of the corpus survives.
func TestRecall(t *testing.T) {
	var all []plant
	for seed := range uint64(4) {
		all = append(all, corpus(seed)...)
	}
	r := newRedactor(t, "")
	missed := map[string]int{}
	names := map[string]bool{}
	n := 0
	for _, p := range all {
		out, err := io.ReadAll(r.Reader(p.path, strings.NewReader(p.in)))
		if err != nil {
			t.Fatalf("%s, %s: %v", p.kind, p.carrier, err)
		}
		names[strings.TrimRight(p.kind, " 0123456789")] = true
		if left := p.left(out); len(left) > 0 {
			n++
			if missed[p.kind]++; missed[p.kind] <= 2 {
				t.Errorf("%s, %s: %q survives\n in  %.300q\n out %.300q", p.kind, p.carrier, left[0], p.in, out)
			}
		}
	}
	t.Logf("%d secrets of %d kinds by %d carriers, %d missed: recall %.2f %%", len(all), len(names), len(carriers()), n, 100*float64(len(all)-n)/float64(len(all)))
	if len(all) < 400 || len(names) < 40 {
		t.Error("the corpus is too small")
	}
}
