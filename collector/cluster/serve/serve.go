// Package serve is a read-only Kubernetes API over the cluster part of a
// bundle (or any fs.FS in the same layout), for kubectl and for other clients.
//
// It answers discovery from cluster/discovery.json, lists and single objects
// from cluster/resources, tables with the columns recorded in cluster/tables,
// metadata-only forms, pod logs, version and health. Lists take limit,
// continue, labelSelector and fieldSelector (any path that leads to a plain
// value). What was not collected is an error with the recorded reason, never
// an empty list. Encodings are JSON only; an Accept header that also allows
// JSON gets JSON, others 406. Anything but GET and HEAD, and watches, are 405.
//
// Limits: cells are as they were printed at collection (ages too); every list
// has resourceVersion 1; sinceSeconds of logs is ignored, for want of a now.
//
// [Start] serves on an in-memory connection, without any network.
package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/casefile-io/casefile/collector/cluster"
)

// Handler serves one bundle. Safe for concurrent use if the file system is.
type Handler struct {
	fsys    fs.FS
	disc    cluster.Discovery
	missing uncollected
}

// New reads what is needed to find things: discovery and the results.
func New(fsys fs.FS) (*Handler, error) {
	h := &Handler{fsys: fsys}
	b, err := readBounded(fsys, cluster.DiscoveryPath, maxDiscovery)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s: nothing of a cluster was collected here", cluster.DiscoveryPath)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &h.disc); err != nil {
		return nil, fmt.Errorf("%s: %w", cluster.DiscoveryPath, err)
	}
	for _, g := range h.disc.Groups {
		if g == nil {
			return nil, fmt.Errorf("%s: a group is null", cluster.DiscoveryPath)
		}
	}
	for _, l := range h.disc.Resources {
		if l == nil {
			return nil, fmt.Errorf("%s: a resource list is null", cluster.DiscoveryPath)
		}
	}
	if h.missing, err = readResults(fsys); err != nil {
		return nil, err
	}
	return h, nil
}

// request is what a path asks for.
type request struct {
	gv                    schema.GroupVersion
	resource              metav1.APIResource
	namespace, name, part string
}

func (r request) gvr() schema.GroupVersionResource { return r.gv.WithResource(r.resource.Name) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, status(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "a bundle is read-only: "+r.Method+" is not served"))
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var err error
	switch {
	case len(parts) == 1 && parts[0] == "version":
		err = h.file(w, cluster.VersionPath, "application/json")
	case parts[0] == "livez", parts[0] == "healthz":
		err = h.file(w, cluster.LivezPath, "text/plain; charset=utf-8")
	case parts[0] == "readyz":
		err = h.file(w, cluster.ReadyzPath, "text/plain; charset=utf-8")
	case parts[0] == "api", parts[0] == "apis":
		err = h.api(w, r, parts)
	default:
		err = notFound(r.URL.Path)
	}
	if err != nil {
		fail(w, err)
	}
}

func (h *Handler) file(w http.ResponseWriter, path, contentType string) error {
	b, err := readBounded(h.fsys, path, maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound(path)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, err = w.Write(b)
	return ignore(err)
}

// api answers below /api and /apis.
func (h *Handler) api(w http.ResponseWriter, r *http.Request, parts []string) error {
	legacy := parts[0] == "api"
	rest := parts[1:]
	switch {
	case legacy && len(rest) == 0:
		return h.plain(w, r, &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case len(rest) == 0:
		return h.plain(w, r, h.groups())
	case !legacy && len(rest) == 1:
		for _, g := range h.disc.Groups {
			if g.Name == rest[0] && g.Name != "" {
				group := *g
				group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
				return h.plain(w, r, &group)
			}
		}
		return notFound(r.URL.Path)
	}
	gv := schema.GroupVersion{Version: rest[0]}
	if !legacy {
		gv, rest = schema.GroupVersion{Group: rest[0], Version: rest[1]}, rest[1:]
	}
	list := h.resources(gv)
	if list == nil || (gv.Group == "") != legacy {
		return notFound(r.URL.Path)
	}
	if rest = rest[1:]; len(rest) == 0 {
		out := *list
		out.TypeMeta = metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}
		return h.plain(w, r, &out)
	}
	req, ok := locate(list, gv, rest)
	if !ok {
		return notFound(r.URL.Path)
	}
	return h.answer(w, r, req)
}

// locate reads [namespaces/NS/]RESOURCE[/NAME[/PART]].
func locate(list *metav1.APIResourceList, gv schema.GroupVersion, parts []string) (request, bool) {
	req := request{gv: gv}
	if len(parts) > 2 && parts[0] == "namespaces" {
		req.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 3 || req.namespace != "" && !safe(req.namespace) {
		return req, false
	}
	for _, r := range list.APIResources {
		if r.Name == parts[0] && safe(r.Name) && safe(gv.Version) && (gv.Group == "" || safe(gv.Group)) {
			req.resource = r
		}
	}
	if len(parts) > 1 {
		req.name = parts[1]
	}
	if len(parts) > 2 {
		req.part = parts[2]
	}
	named := len(parts) == 1 || safe(req.name)
	scoped := req.namespace == "" || req.resource.Namespaced
	whole := req.name == "" || !req.resource.Namespaced || req.namespace != ""
	return req, req.resource.Name != "" && named && scoped && whole
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, req request) error {
	q := r.URL.Query()
	switch watch := q.Get("watch"); {
	case watch != "" && watch != "false" && watch != "0":
		return status(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, "a bundle does not change: watch is not served")
	case req.part == "log" && req.gv.Group == "" && req.resource.Name == "pods":
		return h.log(w, req, q)
	case req.part != "":
		return notFound(r.URL.Path)
	case req.name != "":
		return h.get(w, r, req)
	}
	return h.list(w, r, req)
}

func (h *Handler) groups() *metav1.APIGroupList {
	out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range h.disc.Groups {
		if g.Name != "" {
			out.Groups = append(out.Groups, *g)
		}
	}
	return out
}

func (h *Handler) resources(gv schema.GroupVersion) *metav1.APIResourceList {
	for _, l := range h.disc.Resources {
		if l.GroupVersion == gv.String() {
			return l
		}
	}
	return nil
}

// plain writes an answer that has only one form.
func (h *Handler) plain(w http.ResponseWriter, r *http.Request, v any) error {
	if _, err := accepted(r.Header.Get("Accept"), ""); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(b)
	return ignore(err)
}

// status makes an error with an HTTP code.
func status(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

func notFound(what string) error {
	return status(http.StatusNotFound, metav1.StatusReasonNotFound, what+" is not in the bundle")
}

func badRequest(format string, a ...any) error {
	return status(http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf(format, a...))
}

// fail writes an error as a Status object.
func fail(w http.ResponseWriter, err error) {
	var api *apierrors.StatusError
	if !errors.As(err, &api) {
		api = &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Reason: metav1.StatusReasonInternalError, Message: err.Error()}}
	}
	out := api.ErrStatus
	out.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(out.Code))
	_ = json.NewEncoder(w).Encode(out) // a client that went away needs no answer
}

// ignore drops an error of writing to a client that went away.
func ignore(error) error { return nil }

// readBounded reads a file whole, or fails if it is larger than limit.
func readBounded(fsys fs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1)) //nolint:forbidigo // bounded by the LimitReader
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return b, nil
}
