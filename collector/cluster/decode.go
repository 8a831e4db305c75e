package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// What is asked for. A list that is only JSON, or only metadata, must not fall
// back to anything else.
const (
	acceptJSON     = "application/json"
	acceptProtobuf = "application/vnd.kubernetes.protobuf,application/json"
	acceptMetadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	acceptTable    = "application/json;as=Table;v=v1;g=meta.k8s.io"
)

const protobufType = "application/vnd.kubernetes.protobuf"

// item is one object of a page: typed or raw, never both.
type item struct {
	namespace, name string
	object          runtime.Object
	raw             json.RawMessage
	cells           json.RawMessage // its row of the table, if there is one
}

// page is one answer of a paged list.
type page struct {
	items           []item
	resourceVersion string
	next            string // continue token
}

// decodePage reads a list as the server chose to encode it.
func decodePage(resp *response) (page, error) {
	if strings.HasPrefix(resp.contentType, protobufType) {
		return decodeTyped(resp.body)
	}
	return decodeJSON(resp.body)
}

func decodeTyped(body []byte) (page, error) {
	list, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
	if err != nil {
		return page{}, fmt.Errorf("decode list: %w", err)
	}
	info, err := meta.ListAccessor(list)
	if err != nil {
		return page{}, fmt.Errorf("decode list: %w", err)
	}
	p := page{resourceVersion: info.GetResourceVersion(), next: info.GetContinue(), items: make([]item, 0, meta.LenList(list))}
	err = meta.EachListItem(list, func(o runtime.Object) error {
		m, err := meta.Accessor(o)
		if err != nil {
			return err
		}
		m.SetManagedFields(nil)
		p.items = append(p.items, item{namespace: m.GetNamespace(), name: m.GetName(), object: o})
		return nil
	})
	if err != nil {
		return page{}, fmt.Errorf("decode list: %w", err)
	}
	return p, nil
}

type names struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

func decodeJSON(body []byte) (page, error) {
	var list struct {
		Metadata metav1.ListMeta   `json:"metadata"`
		Items    []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return page{}, fmt.Errorf("decode list: %w", err)
	}
	p := page{resourceVersion: list.Metadata.ResourceVersion, next: list.Metadata.Continue, items: make([]item, 0, len(list.Items))}
	for _, raw := range list.Items {
		var n names
		if err := json.Unmarshal(raw, &n); err != nil {
			return page{}, fmt.Errorf("decode object: %w", err)
		}
		p.items = append(p.items, item{namespace: n.Metadata.Namespace, name: n.Metadata.Name, raw: raw})
	}
	return p, nil
}

// line appends the object as one line: kind and apiVersion first, no
// managedFields.
func (it item) line(dst []byte, gvk schema.GroupVersionKind) ([]byte, error) {
	if it.object == nil {
		return rawLine(dst, it.raw, gvk)
	}
	it.object.GetObjectKind().SetGroupVersionKind(gvk)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(it.object); err != nil {
		return dst, fmt.Errorf("encode %s/%s: %w", it.namespace, it.name, err)
	}
	return appendReadable(dst, buf.Bytes()), nil
}

func rawLine(dst []byte, raw json.RawMessage, gvk schema.GroupVersionKind) ([]byte, error) {
	var buf bytes.Buffer
	writeKind(&buf, gvk)
	err := eachField(raw, func(key string, value json.RawMessage) error {
		switch key {
		case "kind", "apiVersion":
			return nil
		case "metadata":
			var err error
			if value, err = without(value, "managedFields"); err != nil {
				return err
			}
		}
		return writeField(&buf, key, value)
	})
	if err != nil {
		return dst, fmt.Errorf("encode object: %w", err)
	}
	buf.WriteString("}\n")
	return appendReadable(dst, buf.Bytes()), nil
}

func writeKind(buf *bytes.Buffer, gvk schema.GroupVersionKind) {
	kind, _ := json.Marshal(gvk.Kind) // strings always marshal
	version, _ := json.Marshal(gvk.GroupVersion().String())
	fmt.Fprintf(buf, `{"kind":%s,"apiVersion":%s`, kind, version)
}

// writeField appends ,"key":value with the value compacted.
func writeField(buf *bytes.Buffer, key string, value json.RawMessage) error {
	k, err := json.Marshal(key)
	if err != nil {
		return err
	}
	if buf.Len() > 0 && buf.Bytes()[buf.Len()-1] != '{' {
		buf.WriteByte(',')
	}
	buf.Write(k)
	buf.WriteByte(':')
	return json.Compact(buf, value)
}

// without returns the JSON object less some fields, in whatever case (Go's
// decoders do not tell cases apart), the others in their order.
func without(raw json.RawMessage, drop ...string) (json.RawMessage, error) {
	buf := bytes.NewBufferString("{")
	err := eachField(raw, func(key string, value json.RawMessage) error {
		if slices.ContainsFunc(drop, func(d string) bool { return strings.EqualFold(d, key) }) {
			return nil
		}
		return writeField(buf, key, value)
	})
	buf.WriteByte('}')
	return buf.Bytes(), err
}

// eachField calls f for each field of a JSON object, in order.
func eachField(raw json.RawMessage, f func(key string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := f(key.(string), value); err != nil { // keys of an object are strings
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// appendReadable appends JSON with the escapes \u003c, \u003e and \u0026 undone:
// the API server writes them for the sake of HTML, protobuf does not have
// them, and readers and redaction look for plain text.
func appendReadable(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '\\')
		if i < 0 || i+1 >= len(src) {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		src = src[i:]
		if len(src) >= 6 && src[1] == 'u' {
			switch strings.ToLower(string(src[2:6])) {
			case "003c":
				dst, src = append(dst, '<'), src[6:]
				continue
			case "003e":
				dst, src = append(dst, '>'), src[6:]
				continue
			case "0026":
				dst, src = append(dst, '&'), src[6:]
				continue
			}
		}
		dst, src = append(dst, src[:2]...), src[2:]
	}
}

// together moves the items of one namespace next to each other, in order of
// first appearance: servers sort by namespace, but not all are obliged to.
func together(items []item) {
	rank := map[string]int{}
	for _, it := range items {
		if _, ok := rank[it.namespace]; !ok {
			rank[it.namespace] = len(rank)
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return rank[a.namespace] - rank[b.namespace] })
}
