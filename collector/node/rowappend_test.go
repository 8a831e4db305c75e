package node

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
)

// filled sets every field of a row, those of embedded structs as well, to a
// value of its own.
func filled(v reflect.Value, n *int) {
	for i := range v.NumField() {
		*n++
		f := v.Field(i)
		switch {
		case f.Type() == reflect.TypeFor[netip.Addr]():
			f.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, 0, byte(*n)})))
		case f.Kind() == reflect.String:
			f.SetString("word" + string(rune('a'+*n%26)))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.Kind() == reflect.Struct:
			filled(f, n)
		case f.CanUint():
			f.SetUint(uint64(*n))
		default:
			f.SetInt(int64(*n))
		}
	}
}

// The rows written by hand are those that their tags describe.
func TestAppendedRowsAreTheirTags(t *testing.T) {
	for _, row := range []interface{ appendJSON([]byte) []byte }{&socketRow{}, &unixRow{}, &ctRow{}} {
		for _, full := range []bool{false, true} {
			if n := 0; full {
				filled(reflect.ValueOf(row).Elem(), &n)
				if s, ok := row.(*socketRow); ok {
					s.Proto = "tcp"
				}
			}
			byTags, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if err := json.Unmarshal(byTags, &want); err != nil {
				t.Fatal(err)
			}
			text := row.appendJSON(nil)
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%T: %v\n%s", row, err, text)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%T: got\n%s, want\n%s", row, text, byTags)
			}
		}
	}
}

func FuzzAppendText(f *testing.F) {
	f.Add("nginx")
	f.Add("\"\\\n\x00\xff\u2028<")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return
		}
		var got, want string
		if err := json.Unmarshal(appendText(nil, "", s), &got); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(s)
		_ = json.Unmarshal(b, &want)
		if got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
