package sdk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"unsafe"

	"github.com/casefile-io/casefile/sdk/abi"
)

// shapeOf is the shape that a host makes of field paths.
func shapeOf(paths []string) *shape {
	s := &shape{}
	at := func(s *shape, key string) *shape {
		if i := slices.Index(s.Keys, key); i >= 0 {
			return s.Of[i]
		}
		s.Keys, s.Of = append(s.Keys, key), append(s.Of, &shape{})
		return s.Of[len(s.Of)-1]
	}
	for _, k := range []string{abi.KeyAt, abi.KeyNode, abi.KeyNetns, abi.KeySample} {
		at(s, k)
	}
	for _, path := range paths {
		place := s
		for _, part := range regexp.MustCompile(`"[^"]*"|\[\]|[^.\[\]]+`).FindAllString(path, -1) {
			if part != "[]" {
				place = at(place, strings.Trim(part, `"`))
				continue
			}
			if place.Elem == nil {
				place.Elem = &shape{}
			}
			place = place.Elem
		}
	}
	return s
}

// encodeRows is a host's work, by the words of ABI.md.
func encodeRows(s *shape, lines ...string) []byte {
	schema, _ := json.Marshal(s)
	out := append(binary.AppendUvarint([]byte(rowsMagic), uint64(len(schema))), schema...)
	for _, line := range lines {
		row := encodeValue(nil, s, json.RawMessage(line))
		out = append(binary.AppendUvarint(out, uint64(len(row))), row...)
	}
	return out
}

func encodeValue(dst []byte, s *shape, raw json.RawMessage) []byte {
	text := strings.TrimSpace(string(raw))
	sized := func(tag byte, s string) []byte {
		return append(binary.AppendUvarint(append(dst, tag), uint64(len(s))), s...)
	}
	var list []json.RawMessage
	var object map[string]json.RawMessage
	var str string
	switch {
	case text == "null":
		return append(dst, tagNull)
	case text == "true" || text == "false":
		return append(dst, byte(tagFalse+len("false")-len(text)))
	case text[0] == '"':
		if err := json.Unmarshal(raw, &str); err != nil {
			panic(err)
		}
		return sized(tagText, str)
	case text[0] == '{' && len(s.Keys) > 0 && json.Unmarshal(raw, &object) == nil:
		bits := make([]byte, (len(s.Keys)+7)/8)
		var values []byte
		for i, k := range s.Keys {
			if v, ok := object[k]; ok {
				bits[i/8] |= 1 << (i % 8)
				values = encodeValue(values, s.Of[i], v)
			}
		}
		return append(append(append(dst, tagObject), bits...), values...)
	case text[0] == '[' && s.Elem != nil && json.Unmarshal(raw, &list) == nil:
		dst = binary.AppendUvarint(append(dst, tagArray), uint64(len(list)))
		for _, v := range list {
			dst = encodeValue(dst, s.Elem, v)
		}
		return dst
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return binary.AppendUvarint(append(dst, tagInt), uint64(n)<<1^uint64(n>>63))
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if back, _ := json.Marshal(f); string(back) == text {
			return binary.LittleEndian.AppendUint64(append(dst, tagFloat), math.Float64bits(f))
		}
	}
	return sized(tagJSON, text)
}

// projected keeps of a JSON object what the shape has, as a host does, apart
// from what is zero.
func projected(s *shape, raw json.RawMessage) json.RawMessage {
	var object map[string]json.RawMessage
	var list []json.RawMessage
	switch text := bytes.TrimSpace(raw); {
	case len(s.Keys) > 0 && text[0] == '{' && json.Unmarshal(raw, &object) == nil:
		kept := map[string]json.RawMessage{}
		for i, k := range s.Keys {
			if v, ok := object[k]; ok {
				kept[k] = projected(s.Of[i], v)
			}
		}
		raw, _ = json.Marshal(kept)
	case s.Elem != nil && text[0] == '[' && json.Unmarshal(raw, &list) == nil:
		for i := range list {
			list[i] = projected(s.Elem, list[i])
		}
		raw, _ = json.Marshal(list)
	}
	return raw
}

type everyKind struct {
	Place
	S     string             `json:"s"`
	B     bool               `json:"b"`
	I     int                `json:"i"`
	I8    int8               `json:"i8"`
	U     uint64             `json:"u"`
	F     float64            `json:"f"`
	F32   float32            `json:"f32"`
	N     json.Number        `json:"n"`
	P     *int               `json:"p"`
	Bytes []byte             `json:"bytes"`
	List  []string           `json:"list"`
	Map   map[string]float64 `json:"map"`
	Any   any                `json:"any"`
	Fixed [2]int             `json:"fixed"`
	Own   *readiness         `json:"own"`
	Sub   struct {
		A string `json:"a"`
		B []struct {
			C int  `json:"c"`
			D *pod `json:"d"`
		} `json:"b"`
	} `json:"sub"`
}

var everyLine = `{"_at":3,"_node":"n1","_netns":4026532000,"_sample":1,"s":"ü\n\"","b":true,"i":-5,"i8":7,"u":9007199254740993,"f":1.5,"f32":0.25,"n":1e400,"p":0,
"bytes":"aGk=","list":["a",""],"map":{"x":1.0},"any":{"k":[1,null]},"fixed":[1,2],"own":false,
"sub":{"a":"x","b":[{"c":1},null,{},{"c":2,"d":{"metadata":{"name":"in","labels":{"l":"v"}},"ips":[],"tree":{"leaf":"l","children":[{"leaf":"m"}]}}}]}}`

// bothWays decodes a line from JSON and from rows.
func bothWays[T any](t *testing.T, line string) (fromJSON, fromRows T, errJSON, errRows error) {
	t.Helper()
	paths, err := fieldsOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	s := shapeOf(paths)
	line = string(projected(s, json.RawMessage(line)))
	atJSON, errJSON := decodeRow([]byte(line), &fromJSON)
	rr, err := newRowReader(bytes.NewReader(encodeRows(s, line)), reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = rr.next(); err != nil {
		t.Fatal(err)
	}
	atRows, errRows := rr.decode(unsafe.Pointer(&fromRows))
	if errJSON == nil && errRows == nil && atJSON != atRows {
		t.Errorf("%s: number %d in JSON, %d in rows", line, atJSON, atRows)
	}
	if _, err := rr.next(); err != io.EOF { //nolint:errorlint // it is returned bare
		t.Errorf("%s: a row too much: %v", line, err)
	}
	return fromJSON, fromRows, errJSON, errRows
}

// TestRows: a row decodes to the same from either form, or fails in both.
func TestRows(t *testing.T) {
	for _, line := range []string{
		everyLine, `{"_at":1}`, `{"_at":1,"sub":{}}`, `{"_at":1,"sub":{"b":[]}}`, `{"_at":1,"sub":null,"p":null,"own":null,"s":null}`,
		`{"_at":1,"i":1.5}`, `{"_at":1,"i":1.0}`, `{"_at":1,"i":"1"}`, `{"_at":1,"i8":128}`, `{"_at":1,"u":-1}`, `{"_at":1,"u":18446744073709551615}`,
		`{"_at":1,"s":5}`, `{"_at":1,"b":0}`, `{"_at":1,"f":3}`, `{"_at":1,"f":-0}`, `{"_at":1,"f32":1e300}`, `{"_at":1,"f":1E2}`, `{"_at":1,"sub":[]}`, `{"_at":1,"sub":{"b":{}}}`, `{"_at":1,"sub":{"b":"x"}}`,
		`{"_at":1,"fixed":[1,2,3]}`, `{"_at":1,"bytes":"!"}`, `{"_at":1,"list":[1]}`, `{"_at":1,"any":1.5}`, `{"_at":1,"any":"x"}`, `{"_at":1,"n":"x"}`,
	} {
		a, b, errA, errB := bothWays[everyKind](t, line)
		if (errA == nil) != (errB == nil) {
			t.Errorf("%s: JSON says %v, rows %v", line, errA, errB)
		}
		if errA == nil && !reflect.DeepEqual(a, b) {
			t.Errorf("%s:\njson %+v\nrows %+v", line, a, b)
		}
	}
	long := fmt.Sprintf(`{"_at":1,"s":%q,"sub":{"b":[%s{"c":600}]}}`, strings.Repeat("x", 300<<10), strings.Repeat(`{"c":1},`, 600))
	if a, b, errA, errB := bothWays[everyKind](t, long); errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Error("a row longer than the buffer differs:", errA, errB)
	}
}

// TestRowsWhole: a host that does not know the fields of an input gives whole
// objects.
func TestRowsWhole(t *testing.T) {
	s := &shape{Keys: []string{abi.KeyAt, abi.KeyNode, ""}, Of: []*shape{{}, {}, {}}}
	file := encodeRows(s, `{"_at":9,"_node":"n1","":{"metadata":{"name":"a"},"extra":1}}`)
	in := &Input{shared: &shared{fsys: fstest.MapFS{"in/pods.rows": {Data: file}}}}
	for p, at := range Resource[pod]("pods", "v1/pods").Rows(in) {
		if p.Metadata.Name != "a" || p.Node != "n1" || at != 9 {
			t.Errorf("%+v at %d", p, at)
		}
	}
	if in.err != nil {
		t.Error(in.err)
	}
}

// TestRowsDamaged: what is cut off anywhere fails, and is not taken for less.
func TestRowsDamaged(t *testing.T) {
	paths, _ := fieldsOf(reflect.TypeFor[everyKind]())
	s := shapeOf(paths)
	first := encodeRows(s, string(projected(s, json.RawMessage(everyLine))))
	whole := encodeRows(s, string(projected(s, json.RawMessage(everyLine))), string(projected(s, json.RawMessage(everyLine))))
	for n := range whole {
		in := &Input{shared: &shared{fsys: fstest.MapFS{"in/x.rows": {Data: whole[:n]}}}}
		rows := 0
		for range Resource[everyKind]("x", "v1/x").Rows(in) {
			rows++
		}
		if clean := n == len(first) || n == headOf(first); (in.err == nil) != clean || rows != 0 && n < len(first) {
			t.Fatalf("cut at %d of %d: %d rows, %v", n, len(whole), rows, in.err)
		}
	}
	for name, file := range map[string]string{
		"another magic":     "CFROWS2\n\x02{}",
		"no schema":         rowsMagic + "\x00",
		"null":              rowsMagic + "\x04null",
		"keys without of":   rowsMagic + "\x0e{\"keys\":[\"a\"]}",
		"a null shape":      rowsMagic + "\x1a{\"keys\":[\"a\"],\"of\":[null]}",
		"a huge schema":     rowsMagic + "\xff\xff\xff\xff\x7f{}",
		"a row of a number": rowsMagic + "\x02{}\x02\x03\x02",
		"an unknown tag":    rowsMagic + "\x19{\"keys\":[\"a\"],\"of\":[{}]}\x03\x07\x01\x09",
		"a bit too many":    rowsMagic + "\x19{\"keys\":[\"a\"],\"of\":[{}]}\x03\x07\x02\x00",
		"bytes behind":      rowsMagic + "\x19{\"keys\":[\"a\"],\"of\":[{}]}\x04\x07\x01\x00\x00",
	} {
		in := &Input{shared: &shared{fsys: fstest.MapFS{"in/x.rows": {Data: []byte(file)}}}}
		for range Resource[pod]("x", "v1/x").Rows(in) {
		}
		if in.err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// headOf is where the rows of a file begin.
func headOf(file []byte) int {
	n, w := binary.Uvarint(file[len(rowsMagic):])
	return len(rowsMagic) + w + int(n)
}

// FuzzRowsLikeJSON: whatever a row holds, both forms decode to the same.
func FuzzRowsLikeJSON(f *testing.F) {
	f.Add([]byte(everyLine))
	f.Add([]byte(`{"_at":1,"sub":{"b":[{"d":{"metadata":{"ownerReferences":[{"kind":"x"},null]}}}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var object map[string]json.RawMessage
		if json.Unmarshal(line, &object) != nil || object["_at"] == nil || !regexp.MustCompile(`^[1-9][0-9]{0,9}$`).Match(object["_at"]) {
			return
		}
		a, b, errA, errB := bothWays[everyKind](t, string(line))
		if (errA == nil) != (errB == nil) {
			t.Fatalf("JSON says %v, rows %v", errA, errB)
		}
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if errA == nil && !bytes.Equal(x, y) {
			t.Fatalf("json %s\nrows %s", x, y)
		}
	})
}

// FuzzRows: no file of rows, however broken, does harm.
func FuzzRows(f *testing.F) {
	paths, _ := fieldsOf(reflect.TypeFor[everyKind]())
	s := shapeOf(paths)
	f.Add(encodeRows(s, string(projected(s, json.RawMessage(everyLine)))))
	f.Add([]byte(rowsMagic + "\x02{}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		rr, err := newRowReader(bytes.NewReader(file), reflect.TypeFor[everyKind]())
		if err != nil {
			return
		}
		for {
			if _, err := rr.next(); err != nil {
				return
			}
			var row everyKind
			_, _ = rr.decode(unsafe.Pointer(&row))
		}
	})
}
