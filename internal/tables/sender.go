package tables

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Sender sends the SDK's requests as they are. net/http's client would be ready
// to follow a redirect, which the service never sends, and copies every header
// for that. The SDK's own timeout of a try ends when a body is closed, and
// aztables leaves those of writes open.
type Sender struct {
	Transport http.RoundTripper
	Timeout   time.Duration // of a try, with its answer's body
}

// Do implements [policy.Transporter].
func (s Sender) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), s.Timeout)
	resp, err := s.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return resp, err
	}
	resp.Body = &timed{resp.Body, cancel}
	return resp, nil
}

// timed ends a timeout when the body has been read, or is closed.
type timed struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (t *timed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil {
		t.cancel()
	}
	return n, err
}

func (t *timed) Close() error {
	defer t.cancel()
	return t.ReadCloser.Close()
}
