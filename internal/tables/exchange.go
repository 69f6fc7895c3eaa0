package tables

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// exchange carries bodies past the SDK, which would turn every entity on its
// way into a map and back into JSON. The SDK still addresses, authorizes,
// retries and sends each request.
type exchange struct {
	// send replaces the body that the SDK has made, if it is not nil.
	send *outgoing
	// stub is what the SDK gets to read in place of a success's body, which is
	// in answer, with its type.
	stub        string
	answer      []byte
	contentType string
	rows        [][]byte // the entities in answer
}

const (
	// maxKept is the most bytes of a buffer that waits for its next use.
	maxKept = 4 << 20
	// The least that the SDK takes for an entity, a page of a query, and the
	// answer to a transaction that holds no failure.
	noEntity   = `{}`
	noEntities = `{"value":[]}`
	noFailure  = "--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--b--\r\n--a--\r\n"
)

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(stub string) *exchange {
	x := exchanges.Get().(*exchange)
	x.send, x.stub, x.contentType, x.answer, x.rows = nil, stub, "", x.answer[:0], x.rows[:0]
	return x
}

// free gives the buffers back. Nothing of the answer may be in use any more.
func (x *exchange) free() {
	if cap(x.answer) <= maxKept {
		exchanges.Put(x)
	}
}

type exchangeKey struct{}

// in returns a context in which one request of the SDK is part of x.
func (x *exchange) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(req *policy.Request) *exchange {
	x, _ := req.Raw().Context().Value(exchangeKey{}).(*exchange)
	return x
}

type policyFunc func(*policy.Request) (*http.Response, error)

func (f policyFunc) Do(req *policy.Request) (*http.Response, error) { return f(req) }

// replaceBody is the policy, once a call, that replaces the request's body.
func replaceBody(req *policy.Request) (*http.Response, error) {
	x := exchangeOf(req)
	if x == nil {
		return req.Next()
	}
	if x.send != nil {
		if err := req.SetBody(x.send, batchType); err != nil {
			return nil, err
		}
	}
	runtime.SkipBodyDownload(req)
	return req.Next()
}

// takeAnswer is the policy, once a try, that takes a success's body.
func takeAnswer(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	x := exchangeOf(req)
	if x == nil || err != nil || resp.StatusCode < 200 || resp.StatusCode >= 300 {
		return resp, err
	}
	x.contentType = resp.Header.Get("Content-Type")
	x.answer, err = appendAll(x.answer[:0], resp.Body, resp.ContentLength)
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	resp.Body = io.NopCloser(strings.NewReader(x.stub))
	if err != nil && req.Raw().Method == http.MethodPost {
		err = &halfAnswer{err} // it may have been done
	}
	return resp, err
}

// halfAnswer is an answer that broke off. The SDK does not send the request
// again.
type halfAnswer struct{ err error }

func (e *halfAnswer) Error() string { return "answer broke off: " + e.err.Error() }
func (e *halfAnswer) Unwrap() error { return e.err }
func (*halfAnswer) NonRetriable()   {}

// appendAll appends what r yields, which is some size long if that is not -1.
func appendAll(b []byte, r io.Reader, size int64) ([]byte, error) {
	b = slices.Grow(b, int(min(max(size, 0), maxKept))+bytes.MinRead)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, len(b))
		}
	}
}

// outgoing is a request's body, in parts. Once it is closed nobody reads the
// bytes any more, not even a transport that sends on after the answer came.
type outgoing struct {
	mu     sync.Mutex
	parts  [][]byte
	at     int
	closed bool
}

var errSent = errors.New("tables: body read after its request has ended")

func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, errSent
	}
	n, skip := 0, o.at
	for _, part := range o.parts {
		from := min(skip, len(part))
		skip -= from
		n += copy(p[n:], part[from:])
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	o.at += n
	return n, nil
}

// Seek knows the two places that the SDK goes to: the start and the end.
func (o *outgoing) Seek(offset int64, whence int) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, errSent
	case offset == 0 && whence == io.SeekStart:
		o.at = 0
	case offset == 0 && whence == io.SeekEnd:
		o.at = 0
		for _, part := range o.parts {
			o.at += len(part)
		}
	default:
		return 0, errors.ErrUnsupported
	}
	return int64(o.at), nil
}

func (o *outgoing) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parts, o.closed = nil, true
	return nil
}
