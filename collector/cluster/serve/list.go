package serve

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// place is where a list goes on; its JSON in base64 is the continue token.
type place struct {
	Scope  string `json:"s"`
	Offset int64  `json:"o"`
}

func (p place) token() string {
	b, _ := json.Marshal(p) // a string and a number always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

// options of a list.
type options struct {
	limit  int
	from   place
	labels labels.Selector
	fields fields.Selector
}

func parseOptions(q url.Values) (options, error) {
	var o options
	var err error
	if s := q.Get("limit"); s != "" {
		if o.limit, err = strconv.Atoi(s); err != nil || o.limit < 0 {
			return o, badRequest("limit %q is no count", s)
		}
	}
	if s := q.Get("continue"); s != "" {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || json.Unmarshal(b, &o.from) != nil || o.from.Offset < 0 || !safe(o.from.Scope) {
			return o, badRequest("continue: not a token of this server")
		}
	}
	if o.labels, err = labels.Parse(q.Get("labelSelector")); err != nil {
		return o, badRequest("labelSelector: %v", err)
	}
	if o.fields, err = fields.ParseSelector(q.Get("fieldSelector")); err != nil {
		return o, badRequest("fieldSelector: %v", err)
	}
	return o, nil
}

// match says whether an object is selected.
func (o options) match(line []byte) (bool, error) {
	if !o.labels.Empty() {
		m, err := metaOf(line)
		if err != nil || !o.labels.Matches(labels.Set(m.Labels)) {
			return false, err
		}
	}
	if o.fields.Empty() {
		return true, nil
	}
	var object map[string]any
	if err := json.Unmarshal(line, &object); err != nil {
		return false, err
	}
	return o.fields.Matches(pathFields(object)), nil
}

// pathFields lets a field selector look up any path of an object.
type pathFields map[string]any

func (p pathFields) Has(path string) bool { _, ok := p.lookup(path); return ok }

func (p pathFields) Get(path string) string { s, _ := p.lookup(path); return s }

func (p pathFields) lookup(path string) (string, bool) {
	var v any = map[string]any(p)
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false
		}
		if v, ok = m[key]; !ok {
			return "", false
		}
	}
	switch v := v.(type) {
	case string:
		return v, true
	case bool, float64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// accepted chooses the form of an answer: "" (the object as it is), "Table" or
// the partial form named.
func accepted(accept, partial string) (string, error) {
	if accept == "" {
		return "", nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || media != "application/json" && media != "application/*" && media != "*/*" {
			continue
		}
		as := params["as"]
		meta := params["g"] == "meta.k8s.io" && params["v"] == "v1" && partial != ""
		if as == "" || meta && (as == "Table" || as == partial) {
			return as, nil
		}
	}
	return "", status(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, "only JSON is served here; Accept was "+accept)
}

// list streams a list in the form that the client accepts.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, req request) error {
	as, err := accepted(r.Header.Get("Accept"), "PartialObjectMetadataList")
	if err != nil {
		return err
	}
	o, err := parseOptions(r.URL.Query())
	if err != nil {
		return err
	}
	if !slices.Contains(req.resource.Verbs, "list") {
		return status(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, req.resource.Name+" cannot be listed")
	}
	scopes, err := h.scopes(req)
	if err != nil {
		return err
	}
	if len(scopes) == 0 {
		if err := h.missing.check(req.dir(), req.namespace); err != nil {
			return err
		}
	}
	form, err := h.form(as, req, r.URL.Query(), scopes)
	if err != nil {
		return err
	}
	return h.stream(w, form, req, o, scopes)
}

// stream writes the objects as they are read. After the first byte there is no
// way to answer with an error: the connection is cut instead.
func (h *Handler) stream(w http.ResponseWriter, f form, req request, o options, scopes []string) error {
	s := &lister{h: h, w: w, out: bufio.NewWriterSize(w, 64<<10), form: f, o: o, req: req}
	at := 0
	if o.from.Scope != "" {
		if at = slices.Index(scopes, o.from.Scope); at < 0 {
			return badRequest("continue: no such place")
		}
	}
	var next string
	for _, scope := range scopes[at:] {
		rest, err := s.scope(scope)
		if err != nil && s.started {
			panic(http.ErrAbortHandler)
		}
		if err != nil {
			return err
		}
		if rest != nil {
			next = rest.token()
			break
		}
	}
	s.begin()
	m, err := json.Marshal(metav1.ListMeta{ResourceVersion: "1", Continue: next})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, `],"metadata":%s}`, m)
	return ignore(s.out.Flush())
}

// lister is one list on its way out.
type lister struct {
	h       *Handler
	w       http.ResponseWriter
	out     *bufio.Writer
	form    form
	o       options
	req     request
	started bool
	count   int
}

func (s *lister) begin() {
	if !s.started {
		s.started = true
		s.w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(s.out, s.form.head())
	}
}

// scope writes the selected objects of one file. If the list is full and more
// follow, the result is where they start.
func (s *lister) scope(scope string) (rest *place, err error) {
	from := int64(0)
	if scope == s.o.from.Scope {
		from = s.o.from.Offset
	}
	if err := s.form.enter(s.h, s.req, scope); err != nil {
		return nil, err
	}
	last := from
	err = s.h.objects(s.req.dir()+"/"+scope+ext, from, func(line []byte, end int64) error {
		ok, err := s.o.match(line)
		if err == nil && ok {
			if s.o.limit > 0 && s.count == s.o.limit {
				rest = &place{scope, last}
				return errStop
			}
			err = s.object(line)
		}
		last = end
		if err != nil {
			return fmt.Errorf("%s/%s: %w", s.req.dir(), scope, err)
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return rest, err
}

func (s *lister) object(line []byte) error {
	b, err := s.form.object(line)
	if err != nil {
		return err
	}
	s.begin()
	if s.count > 0 {
		fmt.Fprint(s.out, ",")
	}
	s.count++
	_, err = s.out.Write(b)
	return err
}
