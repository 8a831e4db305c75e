package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// logOptions are the parameters of a pod's log that a bundle can honour.
type logOptions struct {
	container   string
	previous    bool
	timestamps  bool
	tail, limit int64 // negative: all
	since       time.Time
}

func parseLogOptions(q url.Values) (logOptions, error) {
	o := logOptions{container: q.Get("container"), tail: -1, limit: -1}
	for key, to := range map[string]*bool{"previous": &o.previous, "timestamps": &o.timestamps} {
		if s := q.Get(key); s != "" {
			v, err := strconv.ParseBool(s)
			if err != nil {
				return o, badRequest("%s %q is not true or false", key, s)
			}
			*to = v
		}
	}
	for key, to := range map[string]*int64{"tailLines": &o.tail, "limitBytes": &o.limit} {
		if s := q.Get(key); s != "" {
			v, err := strconv.ParseInt(s, 10, 64)
			if err != nil || v < 0 {
				return o, badRequest("%s %q is no count", key, s)
			}
			*to = v
		}
	}
	if s := q.Get("sinceTime"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return o, badRequest("sinceTime %q is no RFC 3339 time", s)
		}
		o.since = t
	}
	return o, nil
}

// log answers with a container's log.
func (h *Handler) log(w http.ResponseWriter, req request, q url.Values) error {
	o, err := parseLogOptions(q)
	if err != nil {
		return err
	}
	if o.container == "" {
		if o.container, err = h.onlyContainer(req); err != nil {
			return err
		}
	}
	if !safe(o.container) {
		return badRequest("container %q is no name", o.container)
	}
	path := "cluster/logs/" + req.namespace + "/" + req.name + "/" + o.container + ".log"
	if o.previous {
		path = strings.TrimSuffix(path, ".log") + ".previous.log"
	}
	text, err := readBounded(h.fsys, path, maxLog)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.previous:
		return badRequest("previous terminated container %q in pod %q not found in the bundle", o.container, req.name)
	case errors.Is(err, fs.ErrNotExist):
		return notFound("log of container " + o.container + " in pod " + req.name)
	case err != nil:
		return err
	}
	w.Header().Set("Content-Type", "text/plain")
	_, err = w.Write(o.cut(text))
	return ignore(err)
}

// onlyContainer is the container of a pod that has one, or the annotated one.
func (h *Handler) onlyContainer(req request) (string, error) {
	line, err := h.find(req)
	if err != nil {
		return "", err
	}
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Containers []struct {
				Name string `json:"name"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(line, &pod); err != nil {
		return "", err
	}
	if name := pod.Metadata.Annotations["kubectl.kubernetes.io/default-container"]; name != "" {
		return name, nil
	}
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	if len(names) != 1 {
		return "", badRequest("a container name must be specified for pod %s, choose one of: %v", req.name, names)
	}
	return names[0], nil
}

// cut applies the parameters in the kubelet's order: since, tail, limit.
func (o logOptions) cut(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(o.last(text)) {
		stamp, rest, stamped := stampOf(line)
		if stamped && stamp.Before(o.since) {
			continue
		}
		if stamped && !o.timestamps {
			line = rest
		}
		out = append(out, line...)
	}
	if o.limit >= 0 && int64(len(out)) > o.limit {
		out = out[:o.limit]
	}
	return out
}

// last returns the last lines, as many as were asked for.
func (o logOptions) last(text []byte) []byte {
	if o.tail < 0 {
		return text
	}
	end := len(text)
	if end > 0 && text[end-1] == '\n' {
		end--
	}
	at := len(text)
	for n := int64(0); n < o.tail && at > 0; n++ {
		at = bytes.LastIndexByte(text[:end], '\n') + 1
		end = at - 1
		if end < 0 {
			break
		}
	}
	return text[at:]
}

// stampOf splits off the kubelet's time stamp.
func stampOf(line []byte) (time.Time, []byte, bool) {
	word, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || len(word) < len("2006-01-02T15:04:05Z") || len(word) > len(time.RFC3339Nano) || word[0] < '0' || word[0] > '9' {
		return time.Time{}, line, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(word))
	return t, rest, err == nil
}
