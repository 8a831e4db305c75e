package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

const podsPath = "cluster/resources/core/v1/pods/default.ndjson"

func TestJSONForms(t *testing.T) {
	cases := []struct{ name, path, in, want string }{
		{"env", podsPath, `{"env":[{"name":"A","value":"S"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},{"name":"C","value":""}]}`,
			`{"env":[{"name":"A","value":"[REDACTED:env-value]"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}},{"name":"C","value":""}]}`},
		{"env value first", podsPath, `{"env":[{"value":"S","name":"A"}]}`, `{"env":[{"value":"[REDACTED:env-value]","name":"A"}]}`},
		{"env map", podsPath, `{"extraEnv":{"A":"S","N":42}}`, `{"extraEnv":{"A":"[REDACTED:env-value]","N":"[REDACTED:env-value]"}}`},
		{"env strings", podsPath, `{"env":["A=S","B="]}`, `{"env":["A=[REDACTED:env-value]","B="]}`},
		{"env label", podsPath, `{"labels":{"env":"prod"}}`, `{"labels":{"env":"prod"}}`},
		{"escaped name", podsPath, `{"e\u006ev":[{"name":"A","v\u0061lue":"S"}]}`, `{"e\u006ev":[{"name":"A","v\u0061lue":"[REDACTED:env-value]"}]}`},
		{"secret by path", "cluster/resources/core/v1/secrets/a.ndjson", `{"metadata":{"name":"x","annotations":{"a":"S"},"labels":{"l":"v"}},"data":{"k":"S"},"type":"Opaque","stringData":{"k":"S"}}`,
			`{"metadata":{"name":"x","labels":{"l":"v"}},"type":"Opaque"}`},
		{"secret by kind", podsPath, `{"data":{"k":"S"},"metadata":{"annotations":{"a":"S"},"name":"x"},"kind":"Secret"}`, `{"metadata":{"name":"x"},"kind":"Secret"}`},
		{"secret kind twice", podsPath, `{"kind":"Secret","data":{"k":"S"},"kind":"ConfigMap"}`, `{"kind":"Secret","kind":"ConfigMap"}`},
		{"secret in a list", podsPath, `{"items":[{"data":{"k":"S"}}],"kind":"SecretList"}`, `{"items":[{}],"kind":"SecretList"}`},
		{"secret in a template", podsPath, `{"objects":[{"kind":"Secret","stringData":{"k":"S"}}]}`, `{"objects":[{"kind":"Secret"}]}`},
		{"secret table", "cluster/tables/core/v1/secrets/a.ndjson", `{"object":{"metadata":{"annotations":{"a":"S"},"name":"n"}}}`, `{"object":{"metadata":{"name":"n"}}}`},
		{"annotations anywhere", "cluster/resources/core/v1/secrets/a.ndjson", `{"x":{"annotations":{"a":"S"}}}`, `{"x":{}}`},
		{"only member", podsPath, `{"kind":"x","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"S"}}`, `{"kind":"x","annotations":{}}`},
		{"last applied", podsPath, `{"annotations":{"a":"b", "kubectl.kubernetes.io/last-applied-configuration":"S","c":"d"}}`, `{"annotations":{"a":"b","c":"d"}}`},
		{"last applied first", podsPath, `{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"S","c":"d"}}`, `{"annotations":{"c":"d"}}`},
		{"configmap", podsPath, `{"kind":"ConfigMap","metadata":{"namespace":"a","name":"coredns"},"data":{"k":"S","e":""},"binaryData":{"b":"S"}}`,
			`{"kind":"ConfigMap","metadata":{"namespace":"a","name":"coredns"},"data":{"k":"[REDACTED:configmap-value]","e":""},"binaryData":{"b":"[REDACTED:configmap-value]"}}`},
		{"configmap kept", "cluster/resources/core/v1/configmaps/kube-system.ndjson", `{"data":{"Corefile":".:53 {\n errors\n}"},"metadata":{"name":"coredns","namespace":"kube-system"}}`,
			`{"data":{"Corefile":".:53 {\n errors\n}"},"metadata":{"name":"coredns","namespace":"kube-system"}}`},
		{"configmap kept, secret in it", "cluster/resources/core/v1/configmaps/kube-system.ndjson", `{"metadata":{"name":"coredns","namespace":"kube-system"},"data":{"Corefile":"etcd {\n credentials u S\n password S\n tls_token=S\n}"}}`, ""},
		{"arguments", podsPath, `{"args":["--a","--password","S","--token=S","-x"],"command":["mysqldump","-pS"],"c":["redis-cli","-a","S"],"d":["--password","--x","y"]}`,
			`{"args":["--a","--password","[REDACTED:command-argument]","--token=[REDACTED:token]","-x"],"command":["mysqldump","-p[REDACTED:command-argument]"],"c":["redis-cli","-a","[REDACTED:command-argument]"],"d":["--password","--x","y"]}`},
		{"field", podsPath, `{"spec":{"adminPassword":"S","secretName":"n","tokens":["S"],"secrets":[{"name":"n"}],"password":12345}}`,
			`{"spec":{"adminPassword":"[REDACTED:secret-field]","secretName":"n","tokens":["[REDACTED:secret-field]"],"secrets":[{"name":"n"}],"password":"[REDACTED:secret-field]"}}`},
		{"pair", podsPath, `{"parameters":[{"name":"db.password","value":"S"},{"value":"S","key":"API_KEY","x":1},{"name":"replicas","value":"3"}]}`,
			`{"parameters":[{"name":"db.password","value":"[REDACTED:secret-field]"},{"value":"[REDACTED:secret-field]","key":"API_KEY","x":1},{"name":"replicas","value":"3"}]}`},
		{"nested JSON", podsPath, `{"annotations":{"x":"{\"env\":[{\"name\":\"A\",\"value\":\"S\"}],\"n\":1.50}"}}`, `{"annotations":{"x":"{\"env\":[{\"name\":\"A\",\"value\":\"[REDACTED:env-value]\"}],\"n\":1.50}"}}`},
		{"text in strings", podsPath, `{"message":"GET https://u:S@h/ failed","n":1e400,"i":12345678901234567890,"html":"<a>&"}`, `{"message":"GET https://u:[REDACTED:url-password]@h/ failed","n":1e400,"i":12345678901234567890,"html":"<a>&"}`},
		{"escapes", podsPath, `{"m":"a\u003cb\\ \"password\": \"S\" \u00e9\/"}`, `{"m":"a<b\\ \"password\": \"[REDACTED:password]\" é/"}`},
		{"hidden escapes", podsPath, `{"m":"p\u0061ssword=S http:\/\/u:S@h"}`, `{"m":"password=[REDACTED:password] http://u:[REDACTED:url-password]@h"}`},
		{"docker auth", podsPath, `{"auths":{"r":{"auth":"S"}}}`, `{"auths":{"r":{"auth":"[REDACTED:secret-field]"}}}`},
		{"cmdline", "nodes/n1/processes.ndjson", `{"pid":1,"cmdline":"etcd --token S --x"}`, `{"pid":1,"cmdline":"etcd --token [REDACTED:token] --x"}`},
		{"order and space", podsPath, `{ "z" : 1 , "a" : [ ] , "b":{ } , "c":[1 ,2] }`, `{ "z" : 1 , "a" : [ ] , "b":{ } , "c":[1 ,2] }`},
	}
	for _, c := range cases {
		in := strings.ReplaceAll(c.in, "S\"", planted+"\"")
		in = strings.NewReplacer("S\\\"", planted+"\\\"", ":S@", ":"+planted+"@", "=S ", "="+planted+" ", "token S", "token "+planted, " S\\n", " "+planted+"\\n").Replace(in)
		got := redacted(t, c.path, in+"\n")
		if c.want != "" && got != c.want+"\n" {
			t.Errorf("%s:\n got %s want %s", c.name, got, c.want)
		}
		if strings.Contains(got, planted) && c.name != "configmap kept, secret in it" {
			t.Errorf("%s: survives: %s", c.name, got)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON: %s", c.name, got)
		}
		if again := redacted(t, c.path, got); again != got {
			t.Errorf("%s: not idempotent:\n once  %s twice %s", c.name, got, again)
		}
	}
}

func TestJSONRefused(t *testing.T) {
	for _, in := range []string{
		`{`, `}`, `{"a":1,}`, `[1 2]`, `{"a" 1}`, `{"a":01}`, `{"a":.5}`, `{"a":tru}`, `{"a":"` + "\x01" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`,
		`{"a":1} {"b":2}`, `{"a":1}x`, `"abc`, `{1:2}`, `[,]`, `{"a":}`, `+1`, `1.`, `--1`, `nul`, "password=hunter2", `{"a":"\`,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
	} {
		err := refused(t, podsPath, `{"ok":true}`+"\n"+in+"\n")
		if !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%.40q: %v does not name the line", in, err)
		}
		refused(t, "cluster/version.json", in)
	}
	refused(t, "cluster/version.json", "")
	refused(t, podsPath, `"`+strings.Repeat("x", maxLine)+`"`)
	refused(t, "cluster/discovery.json", `"`+strings.Repeat("x", maxDocument)+`"`)
	if got := redacted(t, podsPath, "{}\n\n[]"); got != "{}\n\n[]" {
		t.Errorf("got %q", got)
	}
}

// TestJSONLex holds the own lexer against encoding/json.
func TestJSONLex(t *testing.T) {
	for _, in := range lexSeeds() {
		checkLex(t, newScanner(Rules{}), []byte(in))
	}
}

func lexSeeds() []string {
	return []string{`{}`, `[]`, `0`, `-0`, `-`, `1e5`, `1E+5`, `1e`, `0.0`, `00`, `"\ud800"`, `"\ud83d\ude00"`, ` {"a" : [1,2,{"b":null}]} `, `{"a":1,"a":2}`, `"\/"`, `tRue`, "\ufeff{}", `["a",]`,
		`{"env":[{"name":"a","value":true}]}`, `{"kind":"Secret","data":1}`, `{"password":[[{"a":"b"}]]}`, `"{\"a\":1"`, "[\"\x7f\xff\"]"}
}

func checkLex(t *testing.T, s *scanner, in []byte) {
	w := newWalker(s, "", counts{})
	out, err := w.append(nil, in)
	if errors.Is(err, errDeep) {
		return
	}
	if (err == nil) != json.Valid(in) {
		t.Fatalf("%q: %v, but json.Valid says %v", in, err, json.Valid(in))
	}
	if err != nil {
		return
	}
	if !json.Valid(out) {
		t.Fatalf("%q became %q", in, out)
	}
	if len(w.counts) == 0 && !bytes.Equal(in, out) {
		t.Fatalf("%q became %q with nothing counted", in, out)
	}
}

func FuzzJSONLex(f *testing.F) {
	for _, in := range lexSeeds() {
		f.Add([]byte(in))
	}
	s := newScanner(Rules{})
	f.Fuzz(func(t *testing.T, in []byte) {
		checkLex(t, s, in)
	})
}

// FuzzJSON plants a secret at places where it must not survive, among whatever
// else the line holds.
func FuzzJSON(f *testing.F) {
	f.Add("a", `{"b":1}`, "pods")
	f.Add("kind", `"Secret"`, "secrets")
	f.Add("env", `[{"name":"x","value":1}]`, "configmaps")
	f.Add("items", `[]`, "x")
	r := newRedactor(f, "")
	f.Fuzz(func(t *testing.T, key, value, resource string) {
		name, _ := json.Marshal(key)
		if !json.Valid([]byte(value)) || strings.Contains(key+value, planted) || strings.ContainsAny(value, "\n\r") {
			return
		}
		noise := string(name) + ":" + value
		secret := func(line string) string { return strings.ReplaceAll(line, "PLANTED", planted) }
		in := "{" + noise + secret(`,"kind":"Secret","data":{"k":"PLANTED"},"stringData":{"k":"PLANTED"},"metadata":{"annotations":{"a":"PLANTED"}}}`) + "\n" +
			`{"kind":"Pod",` + noise + secret(`,"spec":{"containers":[{"env":[{"name":"A","value":"PLANTED"}],"args":["--password","PLANTED","--token=PLANTED"]}]}}`) + "\n" +
			secret(`{"kind":"ConfigMap","data":{"k":"PLANTED"},"x":{`) + noise + "}}\n" +
			"{" + noise + secret(`,"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"PLANTED"}},"m":"https://u:PLANTED@h","password":"PLANTED"}`) + "\n"
		path := "cluster/resources/core/v1/" + strings.ReplaceAll(resource, "\n", "") + "/a.ndjson"
		out, err := io.ReadAll(r.Reader(path, strings.NewReader(in)))
		if err != nil {
			if !errors.Is(err, ErrRedaction) {
				t.Fatal(err)
			}
			return
		}
		if bytes.Contains(out, []byte(planted)) {
			t.Fatalf("survives:\n%s\n%s", in, out)
		}
		for _, l := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
			if !json.Valid(l) {
				t.Fatalf("not JSON: %s", l)
			}
		}
	})
}
