package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var errNotMetadata = errors.New("the server did not answer with metadata only; nothing of it is kept")

// decodeSecrets reads a list of which only metadata was asked for. Whatever
// else an object may hold is dropped here, before any other code sees it.
func decodeSecrets(body []byte) (page, error) {
	var list struct {
		Kind     string `json:"kind"`
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
			Continue        string `json:"continue"`
		} `json:"metadata"`
		Items []struct {
			Metadata json.RawMessage `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return page{}, errors.New("decode list of secrets: no JSON list") // the text of err could quote the body
	}
	if list.Kind != "PartialObjectMetadataList" {
		return page{}, fmt.Errorf("secrets: %w", errNotMetadata)
	}
	p := page{resourceVersion: list.Metadata.ResourceVersion, next: list.Metadata.Continue}
	for _, o := range list.Items {
		it, err := secretItem(o.Metadata)
		if err != nil {
			return page{}, errors.New("decode secret: metadata is no object")
		}
		p.items = append(p.items, it)
	}
	return p, nil
}

// secretItem makes {"metadata":…,"data":{key:null}} of a Secret's metadata.
func secretItem(metadata json.RawMessage) (item, error) {
	var m struct {
		Name          string `json:"name"`
		Namespace     string `json:"namespace"`
		ManagedFields []struct {
			Fields struct {
				Data       map[string]json.RawMessage `json:"f:data"`
				StringData map[string]json.RawMessage `json:"f:stringData"`
			} `json:"fieldsV1"`
		} `json:"managedFields"`
	}
	if err := json.Unmarshal(metadata, &m); err != nil {
		return item{}, err
	}
	clean, err := without(metadata, "annotations", "managedFields")
	if err != nil {
		return item{}, err
	}
	var keys []string
	for _, f := range m.ManagedFields {
		for _, fields := range []map[string]json.RawMessage{f.Fields.Data, f.Fields.StringData} {
			for k := range fields {
				if key, ok := strings.CutPrefix(k, "f:"); ok && !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			}
		}
	}
	slices.Sort(keys)
	var buf bytes.Buffer
	buf.WriteByte('{')
	if err := writeField(&buf, "metadata", clean); err != nil {
		return item{}, err
	}
	if len(keys) > 0 {
		data := map[string]any{}
		for _, k := range keys {
			data[k] = nil
		}
		names, err := json.Marshal(data)
		if err != nil {
			return item{}, err
		}
		if err := writeField(&buf, "data", names); err != nil {
			return item{}, err
		}
	}
	buf.WriteByte('}')
	return item{namespace: m.Namespace, name: m.Name, raw: buf.Bytes()}, nil
}

// withType adds a Secret's type, which stands in its table row.
func (it *item) withType(columns []column) {
	at := slices.IndexFunc(columns, func(c column) bool { return c.Name == "Type" })
	if at < 0 {
		return
	}
	var cells []json.RawMessage
	var kind string
	if json.Unmarshal(it.cells, &cells) != nil || at >= len(cells) || json.Unmarshal(cells[at], &kind) != nil || kind == "" {
		return
	}
	buf := bytes.NewBuffer(slices.Clone(it.raw[:len(it.raw)-1])) // raw is our own, and ends with }
	quoted, _ := json.Marshal(kind)                              // strings always marshal
	if writeField(buf, "type", quoted) == nil {
		buf.WriteByte('}')
		it.raw = buf.Bytes()
	}
}
