package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	in := `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.SecretsConfigDump","dynamic_active_secrets":[{"name":"default","secret":{"tls_certificate":{"certificate_chain":{"inline_bytes":"LS0t"},"private_key":{"inline_string":"KEY1"}}}}]},
{"bootstrap":{"node":{"id":"sidecar~10.0.0.1~web-1.shop","metadata":{}},"grpc":{"google_grpc":{"call_credentials":[{"access_token":"TOK2"}]}},"n":1e400,"empty":{},"none":[],"x":null,"b":true,"privateKey":"KEY3","s":"<&\u2028"}}]} `
	var out strings.Builder
	if err := mask(&out, strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"KEY1", "TOK2", "KEY3", "LS0t"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%s is still there: %s", secret, out.String())
		}
	}
	for _, kept := range []string{"sidecar~10.0.0.1~web-1.shop", `"empty":{}`, `"none":[]`, `"n":1e400`, `"private_key":"[REDACTED:envoy]"`} {
		if !strings.Contains(out.String(), kept) {
			t.Errorf("%s is gone: %s", kept, out.String())
		}
	}
}

func TestMaskRefuses(t *testing.T) {
	for _, in := range []string{"", "{", `{"a":`, "[1,]", "{} {}", "<html>", strings.Repeat("[", 1000), `{"private_key":{`} {
		if err := mask(&bytes.Buffer{}, strings.NewReader(in)); !errors.Is(err, errNotJSON) {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

// FuzzMask holds that what comes out is JSON, the same as what went in but for
// what secret fields hold.
func FuzzMask(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x",{"password":{"b":2}}],"c":{}}`))
	f.Add([]byte(`[[],{},null,-0.1e5,"\u00e9"]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		if mask(&out, bytes.NewReader(in)) != nil {
			return
		}
		got, err := decode(out.Bytes())
		if err != nil {
			t.Fatalf("%q became %q: %v", in, out.Bytes(), err)
		}
		if want, err := decode(in); err == nil && !reflect.DeepEqual(got, without(want)) {
			t.Errorf("%q became %q", in, out.Bytes())
		}
	})
}

func decode(b []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

func without(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	case map[string]any:
		for k := range v {
			if v[k] = without(v[k]); secretField(k) {
				v[k] = masked
			}
		}
	}
	return v
}

func TestListening(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 1 1 0 100 0 0 10 0
   1: 0100007F:3A99 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1337        0 1 1 0 100 0 0 10 0
   2: junk
   3: 0100007F:ZZZZ 00000000:0000 0A
`
	if got := listening([]byte(table)); len(got) != 1 || !got[15000] {
		t.Error(got)
	}
}
