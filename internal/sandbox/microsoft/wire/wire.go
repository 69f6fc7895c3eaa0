// Package wire sends the answers of the Microsoft stand-in, whole or broken.
// What a handler answers is complete in memory before the first byte goes out,
// so a cut is always the injected one.
package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/fault"
)

// Reply is a complete answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON is a reply with v as its body.
func JSON(status int, v any) Reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Reply{Status: http.StatusInternalServerError, Header: http.Header{}, Body: []byte(fmt.Sprintf("%q", err.Error()))}
	}
	return Raw(status, b.Bytes())
}

// Raw is a reply with a JSON body that is already encoded.
func Raw(status int, body []byte) Reply {
	return Reply{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}

// Gate are the parts of the stand-in that decide how an answer goes wrong.
type Gate struct {
	Faults *fault.Set
	Now    func() time.Time
	// Sleep waits for a slow answer; it returns early when ctx ends.
	Sleep func(ctx context.Context, d time.Duration)

	limits limits
}

// Sleep waits in real time.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Before waits if the request is to be slow and then answers in its place if
// it is to fail; ok is false if nothing stands in its way.
func (g *Gate) Before(r *http.Request, tenant, app, path string) (rep Reply, ok bool) {
	if f, hit := g.Faults.Take(tenant, path, fault.Slow); hit {
		g.Sleep(r.Context(), f.Delay)
	}
	f, hit := g.Faults.Take(tenant, path, fault.Throttle, fault.Error, fault.Forbidden)
	if !hit {
		return Reply{}, false
	}
	status, code, message := f.Status, "serviceNotAvailable", "The service is temporarily unavailable."
	switch {
	case f.Kind == fault.Throttle:
		status, code, message = http.StatusTooManyRequests, "TooManyRequests", "Too many requests"
	case f.Kind == fault.Forbidden:
		status, code, message = http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
	case status == http.StatusInternalServerError:
		code, message = "InternalServerError", "An internal server error occurred while processing the request."
	case status == http.StatusGatewayTimeout:
		code, message = "UnknownError", ""
	}
	if status == http.StatusBadGateway {
		rep = Reply{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><body>Bad Gateway</body></html>")}
	} else {
		rep = Error(r, g.Now(), status, code, message)
	}
	if after := f.RetryAfterHeader(g.Now()); after != "" {
		rep.Header.Set("Retry-After", after)
	}
	if f.Kind == fault.Throttle || f.Kind == fault.Error && f.Scope != "" {
		setScope(rep.Header, f.Scope, app, tenant)
	}
	if f.Kind == fault.Throttle && f.Scope != "none" {
		rep.Header.Set("x-ms-throttle-information", "ResourceUnitLimitExceeded")
	}
	return rep, true
}

// Error is Graph's error document.
func Error(r *http.Request, now time.Time, status int, code, message string) Reply {
	inner := map[string]string{
		"date":              now.UTC().Format("2006-01-02T15:04:05"),
		"request-id":        uuid.NewString(),
		"client-request-id": r.Header.Get("client-request-id"),
	}
	if inner["client-request-id"] == "" {
		inner["client-request-id"] = inner["request-id"]
	}
	rep := JSON(status, map[string]any{"error": map[string]any{"code": code, "message": message, "innerError": inner}})
	rep.Header.Set("request-id", inner["request-id"])
	rep.Header.Set("client-request-id", inner["client-request-id"])
	return rep
}

// Send writes the reply, zipped if the client takes that, and cut off if a
// fault says so. Good answers and "not found" are cut: the others are faults
// already.
func (g *Gate) Send(w http.ResponseWriter, r *http.Request, tenant, path string, rep Reply) {
	h := w.Header()
	for k, v := range rep.Header {
		h[k] = v
	}
	if h.Get("request-id") == "" {
		h.Set("request-id", uuid.NewString())
	}
	h.Set("Date", g.Now().UTC().Format(http.TimeFormat))
	body := rep.Body
	if acceptsGzip(r) && len(body) > 0 {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
		_, _ = z.Write(body)                            // memory does not fail
		_ = z.Close()
		body = b.Bytes()
		h.Set("Content-Encoding", "gzip")
		h.Set("Vary", "Accept-Encoding")
	}
	var f fault.Fault
	cut := false
	bare := rep.Status == http.StatusFound && path == fault.MailboxReport
	if (rep.Status < 300 || rep.Status == http.StatusNotFound) && len(body) > 1 || bare {
		f, cut = g.Faults.Take(tenant, path, fault.Cut, fault.CutChunked)
	}
	if !cut {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rep.Status)
		_, _ = w.Write(body) // the client has gone: nobody to tell
		return
	}
	if bare { // there is no body to cut: the connection breaks before the answer
		panic(http.ErrAbortHandler) // as below
	}
	if f.Kind == fault.Cut {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(rep.Status)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // net/http's own way to cut a connection; it is recovered there
}

func acceptsGzip(r *http.Request) bool {
	for enc := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(enc), ";")
		if strings.EqualFold(name, "gzip") && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}

// ReadBody reads a request body of at most limit bytes, unzipped if need be.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	var src io.Reader = io.LimitReader(r.Body, limit+1)
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, fmt.Errorf("wire: body: %w", err)
		}
		defer z.Close()
		src = io.LimitReader(z, limit+1)
	}
	b, err := io.ReadAll(src)
	if err != nil {
		return nil, fmt.Errorf("wire: body: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("wire: body is longer than %d bytes", limit)
	}
	return b, nil
}
