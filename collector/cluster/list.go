package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/casefile-io/casefile/collector"
)

const (
	pageItems     = 500      // objects of a page, kubectl's own
	maxPageBytes  = 4 << 20  // of a page of several objects
	maxOneBytes   = 64 << 20 // of a page of one object, or of a server that does not page
	maxTableBytes = 16 << 20
	shrink        = 4 // how much smaller a page gets when it was too large
	maxExpired    = 3 // times that one list may go on at a newer resourceVersion
)

// list is the paged listing of one resource, in one namespace or in all.
type list struct {
	c         *Cluster
	res       resource
	namespace string
	accept    string
	limit     int
	more      url.Values // selectors

	resourceVersion string
	date            time.Time
	expired         int
}

func (c *Cluster) newList(res resource, namespace string, protobuf bool) *list {
	l := &list{c: c, res: res, namespace: namespace, accept: acceptJSON, limit: pageItems}
	switch {
	case res.secret():
		l.accept = acceptMetadata
	case protobuf:
		l.accept = acceptProtobuf
	}
	return l
}

// each calls f for every page, with the query that names the very same slice
// of the list.
func (l *list) each(ctx context.Context, f func(page, url.Values) error) error {
	for next := ""; ; {
		p, query, err := l.page(ctx, next)
		if err != nil {
			if token, ok := l.goOn(err); ok {
				next = token
				continue
			}
			return err
		}
		if l.resourceVersion == "" {
			l.resourceVersion = p.resourceVersion
		}
		if next == "" && p.resourceVersion != "" && p.resourceVersion != "0" {
			query.Set("resourceVersion", p.resourceVersion)
			query.Set("resourceVersionMatch", "Exact")
		}
		if err := f(p, query); err != nil {
			return err
		}
		if p.next == "" {
			return nil
		}
		if p.next == next {
			return errors.New("the server repeats its continue token")
		}
		next = p.next
	}
}

// page asks for one page, of fewer objects if it is too large. The query it
// returns names the same slice of the list, once its resourceVersion is known.
func (l *list) page(ctx context.Context, next string) (page, url.Values, error) {
	for {
		query := url.Values{"limit": {strconv.Itoa(l.limit)}}
		if next != "" {
			query.Set("continue", next)
		}
		for k, v := range l.more {
			query[k] = v
		}
		bytes := int64(maxPageBytes)
		if l.limit == 1 {
			bytes = maxOneBytes
		}
		resp, err := l.c.client.get(ctx, l.res.listPath(l.namespace), query, l.accept, bytes)
		if errors.Is(err, errTooLarge) && l.limit > 1 {
			l.limit = max(1, l.limit/shrink)
			continue
		}
		if err != nil {
			return page{}, nil, err
		}
		l.date = resp.date
		decode := func(r *response) (page, error) { return decodePage(r) }
		if l.res.secret() {
			decode = func(r *response) (page, error) { return decodeSecrets(r.body) }
		}
		p, err := decode(resp)
		return p, query, err
	}
}

// goOn finds the token to continue with after the server has forgotten the
// resourceVersion of the list (410): what follows is newer than what came.
func (l *list) goOn(err error) (string, bool) {
	var api *apiError
	if !errors.As(err, &api) || api.ErrStatus.Code != http.StatusGone || api.ErrStatus.Continue == "" || l.expired >= maxExpired {
		return "", false
	}
	l.expired++
	return api.ErrStatus.Continue, true
}

// collectList streams one list into the sink and records how it went.
func (c *Cluster) collectList(ctx context.Context, res resource, namespace string, protobuf bool, out *collector.Output, seen func(item)) error {
	start := time.Now()
	l := c.newList(res, namespace, protobuf)
	dst := newFiles(out, res, c.opts.Only)
	// A secret's type stands in the table alone.
	tables := res.secret() || c.opts.Only.WantsBelow("cluster/tables/"+ResourceDir(res.gvr))
	var noTable error
	err := l.each(ctx, func(p page, query url.Values) error {
		if tables && len(p.items) > 0 {
			columns, err := c.attachTable(ctx, res.listPath(namespace), query, &p)
			switch {
			case err != nil:
				tables, noTable = false, err
			case dst.columns == nil:
				dst.columns = columns
			}
		}
		together(p.items)
		for i := range p.items {
			if res.secret() {
				p.items[i].withType(dst.columns)
			}
			seen(p.items[i])
			if err := dst.add(p.items[i]); err != nil {
				return err
			}
		}
		return nil
	})
	dst.close()
	if err == nil {
		err = dst.err
	}
	c.recordList(l, dst, err, time.Since(start), out)
	if noTable != nil && ctx.Err() == nil {
		recordNoTable(res, noTable, out)
	}
	return err
}

// recordNoTable says why columns are missing. Servers that have none, or whose
// rows do not fit (metrics change between two requests), are no loss.
func recordNoTable(res resource, err error, out *collector.Output) {
	r := collector.Result{Source: Source, Path: "cluster/tables/" + ResourceDir(res.gvr), Status: collector.StatusPartial,
		Reason: "no columns from some page on: " + err.Error()}
	if errors.Is(err, collector.ErrUnsupported) || errors.Is(err, errTable) {
		r.Status = collector.StatusSkipped
	}
	out.Record(r)
}

func (c *Cluster) recordList(l *list, dst *files, err error, took time.Duration, out *collector.Output) {
	r := collector.Result{Source: Source, Path: l.res.path(), Status: collector.StatusOf(err), Millis: took.Milliseconds()}
	if l.namespace != "" {
		r.Path += "/" + l.namespace + ".ndjson"
	}
	reason := fmt.Sprintf("%d objects", dst.count)
	if l.resourceVersion != "" {
		reason += " at resourceVersion " + l.resourceVersion
	}
	if !l.date.IsZero() {
		reason += ", server time " + l.date.UTC().Format(time.RFC3339)
	}
	if l.expired > 0 {
		reason += fmt.Sprintf("; the list expired %d times and went on at a newer resourceVersion", l.expired)
	}
	switch {
	case err != nil && dst.count == 0:
		reason = err.Error()
		if r.Status == collector.StatusDenied && l.res.namespaced && l.namespace == "" {
			reason += " (-n NAMESPACE collects the namespaces that you may read)"
		}
	case err != nil:
		if r.Status != collector.StatusOverBudget {
			r.Status = collector.StatusPartial
		}
		reason += "; then: " + err.Error()
	case dst.stray > 0:
		r.Status = collector.StatusPartial
		reason += fmt.Sprintf("; %d left out, since the server's list is not in order of namespaces", dst.stray)
	}
	r.Reason = reason
	out.Record(r)
}
