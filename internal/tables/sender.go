package tables

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Sender sends the SDK's requests as they are. net/http's client would be ready
// to follow a redirect, which the service never sends, and copies every header
// for that.
type Sender struct {
	Transport http.RoundTripper
	// Timeout is how long a try may take, with its answer's body; 0 is no limit.
	Timeout time.Duration
}

// Do implements [policy.Transporter].
func (s Sender) Do(req *http.Request) (*http.Response, error) {
	if s.Timeout == 0 {
		return s.Transport.RoundTrip(req)
	}
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
