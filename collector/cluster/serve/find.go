package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
)

const (
	maxDiscovery = 64 << 20
	maxSmall     = 1 << 20
	maxResults   = 256 << 20
	maxLine      = 64 << 20 // of one object
	maxTable     = 64 << 20 // of the table of one namespace
	maxLog       = 64 << 20

	clusterScope = "_cluster"
	ext          = ".ndjson"
)

// uncollected holds why resources, or single namespaces of them, are missing:
// by path of the folder or file below cluster/resources.
type uncollected map[string]collector.Result

// readResults reads collection/results.ndjson; without it nothing is known.
func readResults(fsys fs.FS) (uncollected, error) {
	const path = "collection/results.ndjson"
	out := uncollected{}
	f, err := fsys.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return out, eachLine(io.LimitReader(f, maxResults), func(line []byte, _ int64) error {
		var r collector.Result
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if strings.HasPrefix(r.Path, "cluster/resources/") && r.Status != collector.StatusOK && r.Status != collector.StatusPartial {
			out[r.Path] = r
		}
		return nil
	})
}

// check returns the recorded reason if what is asked for was not collected.
func (u uncollected) check(dir, namespace string) error {
	r, ok := u[dir]
	if !ok && namespace != "" {
		r, ok = u[dir+"/"+namespace+ext]
	}
	if !ok {
		return nil
	}
	message := "not collected: " + r.Reason
	if r.Status == collector.StatusDenied {
		return status(http.StatusForbidden, metav1.StatusReasonForbidden, message)
	}
	return status(http.StatusNotFound, metav1.StatusReasonNotFound, message)
}

func (r request) dir() string   { return "cluster/resources/" + cluster.ResourceDir(r.gvr()) }
func (r request) table() string { return "cluster/tables/" + cluster.ResourceDir(r.gvr()) }

// scopes are the files of a resource that the request covers, less extension.
func (h *Handler) scopes(req request) ([]string, error) {
	switch {
	case !req.resource.Namespaced:
		return h.existing(req.dir(), clusterScope)
	case req.namespace != "":
		return h.existing(req.dir(), req.namespace)
	}
	entries, err := fs.ReadDir(h.fsys, req.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ext); ok && !e.IsDir() {
			out = append(out, name)
		}
	}
	return out, nil
}

func (h *Handler) existing(dir, scope string) ([]string, error) {
	_, err := fs.Stat(h.fsys, dir+"/"+scope+ext)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return []string{scope}, err
}

// errStop ends a walk early.
var errStop = errors.New("stop")

// eachLine calls f with each line and the offset behind it.
func eachLine(r io.Reader, f func(line []byte, end int64) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	var end int64
	s.Split(func(data []byte, eof bool) (int, []byte, error) {
		n, token, err := bufio.ScanLines(data, eof)
		end += int64(n)
		return n, token, err
	})
	for s.Scan() {
		if len(s.Bytes()) == 0 {
			continue
		}
		if err := f(s.Bytes(), end); err != nil {
			return err
		}
	}
	return s.Err()
}

// objects walks a file of objects from a byte offset, which must be the start
// of a line.
func (h *Handler) objects(path string, from int64, f func(line []byte, end int64) error) error {
	file, err := h.fsys.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if from > 0 {
		last := []byte{0}
		if _, err := io.CopyN(io.Discard, file, from-1); err != nil {
			return badRequest("continue: no such place")
		}
		if _, err := io.ReadFull(file, last); err != nil || last[0] != '\n' {
			return badRequest("continue: no such place")
		}
	}
	err = eachLine(file, func(line []byte, end int64) error { return f(line, from+end) })
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s: a line of more than %d bytes", path, maxLine)
	}
	return err
}

// find returns the line of one object.
func (h *Handler) find(req request) ([]byte, error) {
	scopes, err := h.scopes(req)
	if err != nil {
		return nil, err
	}
	quoted, err := json.Marshal(req.name)
	if err != nil {
		return nil, err
	}
	var found []byte
	for _, scope := range scopes {
		err := h.objects(req.dir()+"/"+scope+ext, 0, func(line []byte, _ int64) error {
			if !bytes.Contains(line, quoted) {
				return nil
			}
			if m, err := metaOf(line); err != nil || m.Name != req.name {
				return err
			}
			found = bytes.Clone(line)
			return errStop
		})
		if err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
	}
	if found == nil {
		return nil, status(http.StatusNotFound, metav1.StatusReasonNotFound,
			fmt.Sprintf("%s %q not found", req.gvr().GroupResource(), req.name))
	}
	return found, nil
}

type meta struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
	Created   string            `json:"creationTimestamp"`
}

func metaOf(line []byte) (meta, error) {
	var o struct {
		Metadata meta `json:"metadata"`
	}
	err := json.Unmarshal(line, &o)
	return o.Metadata, err
}

// safe says whether a name can be one element of a path.
func safe(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 253 && !strings.ContainsAny(s, "/\\\x00")
}
