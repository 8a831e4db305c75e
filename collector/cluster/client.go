package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
)

const (
	requestTimeout = 60 * time.Second // the API server's own default for lists
	probeTimeout   = 10 * time.Second // first contact, and all contact once the server is gone
	maxAttempts    = 6                // tries of one request
	maxWait        = 30 * time.Second // between two tries, whatever Retry-After says
	maxErrorBody   = 64 << 10
)

// ErrUnreachable marks an API server that could not be talked to at all.
var ErrUnreachable = errors.New("cannot reach the API server")

var errTooLarge = errors.New("response too large")

// client sends GET requests to the API server. It is thinner than client-go's
// rest client because the collector needs what that hides: response headers
// (server time), bounded bodies, and retries that end with the context.
type client struct {
	http *http.Client
	base *url.URL
	gone atomic.Bool // unreachable a moment ago: do not spend long on it again
}

func newClient(cfg *rest.Config) (*client, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("API server address %q: %w", cfg.Host, err)
	}
	shared, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", base.Host, err)
	}
	own := *shared
	// Credentials are added per request by the transport: never follow a
	// redirect with them.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{http: &own, base: base}, nil
}

// response is a body read whole.
type response struct {
	body        []byte
	contentType string
	date        time.Time // the server's clock; zero if it did not say
}

// get reads the answer to one request whole; more than limit bytes is errTooLarge.
func (c *client) get(ctx context.Context, path string, query url.Values, accept string, limit int64) (*response, error) {
	var out *response
	err := c.do(ctx, path, query, accept, func(resp *http.Response) error {
		body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1)) //nolint:forbidigo // bounded by the LimitReader
		if err != nil {
			return err
		}
		if int64(len(body)) > limit {
			return fmt.Errorf("%w: %s: more than %d bytes", errTooLarge, path, limit)
		}
		date, _ := http.ParseTime(resp.Header.Get("Date"))
		out = &response{body: body, contentType: resp.Header.Get("Content-Type"), date: date}
		return nil
	})
	return out, err
}

// do sends a request until it is answered, told to give up, or ctx ends. read
// may be called again after it failed.
func (c *client) do(ctx context.Context, path string, query url.Values, accept string, read func(*http.Response) error) error {
	for attempt := 1; ; attempt++ {
		timeout := requestTimeout
		if c.gone.Load() {
			timeout = probeTimeout
		}
		err := c.once(ctx, timeout, path, query, accept, read)
		if err == nil {
			c.gone.Store(false)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := retryIn(err, attempt)
		if wait < 0 || (c.gone.Load() && errors.Is(err, ErrUnreachable)) {
			if errors.Is(err, ErrUnreachable) {
				c.gone.Store(true)
			}
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *client) once(ctx context.Context, timeout time.Duration, path string, query url.Values, accept string, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	if err := read(resp); err != nil {
		if errors.Is(err, errTooLarge) {
			return err
		}
		return c.unreachable(err)
	}
	return nil
}

// unreachable explains an error below HTTP and says what to do next.
func (c *client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the whole request URL
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("%w at %s: %w (check --kubeconfig, --context and --server; --host collects this machine without Kubernetes)",
		ErrUnreachable, c.base.Host, err)
}

// apiError is an answer other than 200, with the status that it stands for.
type apiError struct {
	*apierrors.StatusError
	kind  error         // collector.ErrDenied, collector.ErrUnsupported or nil
	retry time.Duration // what Retry-After asked for; negative without one
	body  []byte        // the first [maxErrorBody] bytes
}

func (e *apiError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.StatusError}
	}
	return []error{e.kind, e.StatusError}
}

func statusError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) //nolint:forbidigo // bounded; what arrived is good enough for a message
	e := &apiError{retry: -1, body: body}
	if status, ok := decodeStatus(resp.Header.Get("Content-Type"), body); ok {
		status.Code = int32(resp.StatusCode)
		e.StatusError = &apierrors.StatusError{ErrStatus: *status}
	} else {
		text := string(body[:min(len(body), 200)])
		e.StatusError = &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: int32(resp.StatusCode),
			Message: fmt.Sprintf("%s: %q", resp.Status, text)}}
	}
	switch resp.StatusCode {
	case http.StatusForbidden, http.StatusUnauthorized:
		e.kind = collector.ErrDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable:
		e.kind = collector.ErrUnsupported
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		e.retry = time.Duration(seconds) * time.Second
	}
	return e
}

// decodeStatus reads an error in the encoding that was asked for.
func decodeStatus(contentType string, body []byte) (*metav1.Status, bool) {
	if strings.HasPrefix(contentType, protobufType) {
		o, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
		status, ok := o.(*metav1.Status)
		return status, ok && err == nil
	}
	status := new(metav1.Status)
	err := json.Unmarshal(body, status)
	return status, err == nil && status.Kind == "Status" && status.Message != ""
}

// retryIn says how long to wait before another try, negative for none.
func retryIn(err error, attempt int) time.Duration {
	if attempt >= maxAttempts || errors.Is(err, errTooLarge) {
		return -1
	}
	backoff := time.Duration(float64(250*time.Millisecond<<attempt) * (0.75 + rand.Float64()/2))
	var api *apiError
	if errors.As(err, &api) {
		switch code := api.ErrStatus.Code; {
		case api.retry >= 0 && (code == http.StatusTooManyRequests || code >= 500):
			return min(max(api.retry, backoff/4), maxWait)
		case code == http.StatusTooManyRequests:
			return backoff
		case (code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout) && attempt < 3:
			return backoff
		}
		return -1
	}
	var op *net.OpError
	refused := errors.As(err, &op) && op.Op == "dial"
	if errors.Is(err, ErrUnreachable) && !refused && attempt < 3 {
		return backoff // a connection that broke: pages can be asked for again
	}
	return -1
}

// status of an HTTP answer in err, 0 if there is none.
func statusCode(err error) int {
	var api *apiError
	if errors.As(err, &api) {
		return int(api.ErrStatus.Code)
	}
	return 0
}

// bounded cuts the bodies of answers that code outside this package reads whole.
type bounded struct {
	next  http.RoundTripper
	limit int64
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil && resp.Body != nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, b.limit)
	}
	return resp, err
}
