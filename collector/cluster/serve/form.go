package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// form is how objects are represented in a list.
type form interface {
	head() string // up to the [ of the items
	enter(h *Handler, req request, scope string) error
	object(line []byte) ([]byte, error) // valid until the next call
}

func (h *Handler) form(as string, req request, q url.Values, scopes []string) (form, error) {
	switch as {
	case "Table":
		return h.newTable(req, q.Get("includeObject"), scopes)
	case "":
		return whole{req}, nil
	}
	return partial{}, nil
}

// whole is the objects as they are.
type whole struct{ req request }

func (f whole) head() string {
	return fmt.Sprintf(`{"kind":%q,"apiVersion":%q,"items":[`, f.req.resource.Kind+"List", f.req.gv.String())
}

func (whole) enter(*Handler, request, string) error { return nil }

func (whole) object(line []byte) ([]byte, error) {
	if !json.Valid(line) {
		return nil, errors.New("a line is no JSON")
	}
	return line, nil
}

// partial is metadata only.
type partial struct{}

func (partial) head() string {
	return `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[`
}

func (partial) enter(*Handler, request, string) error { return nil }

func (partial) object(line []byte) ([]byte, error) { return metadataOf(line) }

// metadataOf makes a PartialObjectMetadata. The names of a Secret's data keys,
// which a bundle has from managedFields, go back to where they came from.
func metadataOf(line []byte) ([]byte, error) {
	var o struct {
		Kind     string          `json:"kind"`
		Metadata json.RawMessage `json:"metadata"`
		Data     json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(line, &o); err != nil || len(o.Metadata) == 0 || o.Metadata[0] != '{' {
		return nil, errors.New("a line is no object with metadata")
	}
	var data map[string]json.RawMessage
	if o.Kind == "Secret" && len(o.Data) > 0 {
		if err := json.Unmarshal(o.Data, &data); err != nil {
			return nil, fmt.Errorf("data of a Secret: %w", err)
		}
	}
	var buf bytes.Buffer
	buf.WriteString(`{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":`)
	if len(data) == 0 {
		buf.Write(o.Metadata)
		buf.WriteByte('}')
		return buf.Bytes(), nil
	}
	keys := map[string]struct{}{}
	for k := range data {
		keys["f:"+k] = struct{}{}
	}
	b, err := json.Marshal([]any{map[string]any{"manager": "casefile", "operation": "Update", "apiVersion": "v1",
		"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:data": keys}}})
	if err != nil {
		return nil, err
	}
	open := bytes.TrimSpace(o.Metadata[:bytes.LastIndexByte(o.Metadata, '}')])
	buf.Write(open)
	if open[len(open)-1] != '{' {
		buf.WriteByte(',')
	}
	fmt.Fprintf(&buf, `"managedFields":%s}}`, b)
	return buf.Bytes(), nil
}

// table is kubectl's columns, as they were recorded.
type table struct {
	columns []metav1.TableColumnDefinition
	include string
	cells   map[string]json.RawMessage // of the file that is being read, by name
	plain   bool                       // nothing was recorded
}

func (h *Handler) newTable(req request, include string, scopes []string) (*table, error) {
	switch metav1.IncludeObjectPolicy(include) {
	case "", metav1.IncludeMetadata, metav1.IncludeObject, metav1.IncludeNone:
	default:
		return nil, badRequest("includeObject %q: None, Metadata or Object", include)
	}
	t := &table{include: include}
	for _, scope := range scopes {
		columns, _, err := h.readTable(req, scope)
		if err != nil {
			return nil, err
		}
		if len(columns) > 0 {
			t.columns = columns
			return t, nil
		}
	}
	t.plain = true
	t.columns = []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Created At", Type: "date"}}
	return t, nil
}

// readTable reads the recorded table of one file; none is no error.
func (h *Handler) readTable(req request, scope string) ([]metav1.TableColumnDefinition, map[string]json.RawMessage, error) {
	path := req.table() + "/" + scope + ext
	b, err := readBounded(h.fsys, path, maxTable)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var head struct {
		Columns []metav1.TableColumnDefinition `json:"columnDefinitions"`
	}
	first, rest, _ := bytes.Cut(b, []byte{'\n'})
	if err := json.Unmarshal(first, &head); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	cells := map[string]json.RawMessage{}
	err = eachLine(bytes.NewReader(rest), func(line []byte, _ int64) error {
		var row struct {
			Name  string          `json:"name"`
			Cells json.RawMessage `json:"cells"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		cells[row.Name] = row.Cells
		return nil
	})
	return head.Columns, cells, err
}

func (t *table) head() string {
	b, _ := json.Marshal(t.columns) // strings and numbers always marshal
	return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":` + string(b) + `,"rows":[`
}

func (t *table) enter(h *Handler, req request, scope string) error {
	var err error
	_, t.cells, err = h.readTable(req, scope)
	return err
}

func (t *table) object(line []byte) ([]byte, error) {
	m, err := metaOf(line)
	if err != nil {
		return nil, err
	}
	row := struct {
		Cells  json.RawMessage `json:"cells"`
		Object json.RawMessage `json:"object,omitempty"`
	}{Cells: t.cells[m.Name]}
	if row.Cells == nil || t.plain {
		cells := make([]any, len(t.columns))
		cells[0] = m.Name
		if t.plain {
			cells[1] = m.Created
		}
		if row.Cells, err = json.Marshal(cells); err != nil {
			return nil, err
		}
	}
	switch metav1.IncludeObjectPolicy(t.include) {
	case metav1.IncludeObject:
		row.Object = line
	case "", metav1.IncludeMetadata:
		if row.Object, err = metadataOf(line); err != nil {
			return nil, err
		}
	}
	return json.Marshal(row)
}

// get answers with one object.
func (h *Handler) get(w http.ResponseWriter, r *http.Request, req request) error {
	as, err := accepted(r.Header.Get("Accept"), "PartialObjectMetadata")
	if err != nil {
		return err
	}
	line, err := h.find(req)
	if err != nil {
		if missing := h.missing.check(req.dir(), req.namespace); missing != nil {
			return missing
		}
		return err
	}
	switch as {
	case "Table":
		line, err = h.tableOf(req, r.URL.Query().Get("includeObject"), line)
	case "PartialObjectMetadata":
		line, err = metadataOf(line)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(line)
	return ignore(err)
}

// tableOf is the table of one object.
func (h *Handler) tableOf(req request, include string, line []byte) ([]byte, error) {
	scope := req.namespace
	if scope == "" {
		scope = clusterScope
	}
	t, err := h.newTable(req, include, []string{scope})
	if err != nil {
		return nil, err
	}
	if err := t.enter(h, req, scope); err != nil {
		return nil, err
	}
	row, err := t.object(line)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `%s%s],"metadata":{"resourceVersion":"1"}}`, t.head(), row), nil
}
