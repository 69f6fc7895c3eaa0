package graph

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	kjson "github.com/microsoft/kiota-serialization-json-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"

	"rollcall/internal/fault"
)

// response is what a call got, read into memory that later calls use again.
type response struct {
	status int
	body   []byte // whole and inflated
	// err is why the body is not whole; refusal is Graph's error, nil if the
	// status is none or the body tells nothing.
	err, refusal error
	// head, if it is not nil, is called with what has come of a success once
	// that is the first nearBytes, while the rest is read.
	head func(part []byte)

	in *bufio.Reader
	gz gzip.Reader
}

var responses = sync.Pool{New: func() any { return &response{in: bufio.NewReaderSize(nil, 32<<10)} }}

// maxKept bounds the memory that a response keeps for the next: a page of 999
// people has 1 MB.
const maxKept = 4 << 20

func newResponse() *response { return responses.Get().(*response) }

// free gives the memory back, if there is any: the body must not be read any
// more.
func (r *response) free() {
	if r == nil {
		return
	}
	r.status, r.body, r.err, r.refusal, r.head = 0, r.body[:0], nil, nil, nil
	if cap(r.body) <= maxKept {
		responses.Put(r)
	}
}

// take reads the response in the SDK's stead, which would read it twice and
// with new memory each time.
func (r *response) take(native any) {
	resp, ok := native.(*http.Response)
	if !ok || resp == nil {
		r.err = fault.New(fault.Unknown, "no response")
		return
	}
	defer resp.Body.Close()
	r.status = resp.StatusCode
	if r.status == http.StatusNoContent {
		return
	}
	if err := r.read(resp, maxBody); err != nil {
		r.err = fault.New(fault.Unknown, "body: %w", err)
		if known := (*fault.Error)(nil); errors.As(err, &known) {
			r.err = known
		}
		return
	}
	if r.status >= http.StatusBadRequest {
		r.refusal = odata(resp.Header.Get("Content-Type"), r.body)
	}
}

// read reads the body to its end. One that is cut, or has a wrong checksum, is
// an error, and so is one above most bytes.
func (r *response) read(resp *http.Response, most int64) error {
	var from io.Reader = &bounded{resp.Body, most}
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		r.in.Reset(from)
		defer r.in.Reset(nil) // else the connection stays reachable
		if err := r.gz.Reset(r.in); err == io.EOF {
			return nil // an empty body
		} else if err != nil {
			return err
		}
		// What comes is bounded, and so is what it becomes.
		from = &bounded{io.NopCloser(&r.gz), most}
	default:
		return fault.New(fault.Unknown, "response in encoding %.20q", encoding)
	}
	for {
		if len(r.body) == cap(r.body) {
			r.body = append(make([]byte, 0, max(64<<10, 2*cap(r.body))), r.body...)
		}
		n, err := from.Read(r.body[len(r.body):cap(r.body)])
		r.body = r.body[:len(r.body)+n]
		if r.head != nil && r.status == http.StatusOK && len(r.body) >= nearBytes {
			r.head(r.body[:nearBytes])
			r.head = nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// odata is the error that the body tells of, nil if it tells none.
func odata(contentType string, body []byte) error {
	kind, _, _ := strings.Cut(contentType, ";")
	node, err := kjson.NewJsonParseNodeFactory().GetRootParseNode(strings.ToLower(strings.TrimSpace(kind)), body)
	if err != nil || node == nil {
		return nil
	}
	v, err := node.GetObjectValue(odataerrors.CreateODataErrorFromDiscriminatorValue)
	if err != nil {
		return nil
	}
	if e, ok := v.(*odataerrors.ODataError); ok {
		return e
	}
	return nil
}

// graphCode is Graph's own name of the error, or empty, and its message.
func graphCode(err error) (code, message string) {
	var oe *odataerrors.ODataError
	if !errors.As(err, &oe) {
		return "", ""
	}
	main := oe.GetErrorEscaped()
	if main == nil {
		return "", ""
	}
	if c := main.GetCode(); c != nil {
		code = *c
	}
	if m := main.GetMessage(); m != nil {
		message = *m
	}
	return code, message
}
