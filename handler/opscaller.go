package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxAnswer bounds an answer of the API, in bytes: a page of a thousand dead
	// letters is below a megabyte.
	maxAnswer = 8 << 20
	// maxTries is how often a call is made that fails for now.
	maxTries = 5
	// maxRetryAfter bounds the wait before the next try.
	maxRetryAfter = time.Minute
)

// caller calls the API of a deployment. The key goes to that address only:
// redirects are not followed.
type caller struct {
	origin, key, actor string
	client             *http.Client
	report             io.Writer
	wait               func(context.Context, time.Duration) error
}

// newCaller reads the address and the key.
func newCaller(r *reader, getenv func(string) string, actor string, report io.Writer) caller {
	c := caller{
		origin: r.origin("PUBLIC_URL", "", "Set it, or run: eval \"$(azd env get-values)\"", false), key: getenv("ROLLCALL_FUNCTION_KEY"), actor: actor, report: report,
		client: &http.Client{
			Timeout:       2*time.Minute + 30*time.Second, // more than a request may take
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		wait: func(ctx context.Context, d time.Duration) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	if c.key == "" {
		r.wrong("ROLLCALL_FUNCTION_KEY", "is not set: want a function key of the app, as docs/runbooks gets it")
	}
	return c
}

// refusal is what the API answers in place of what was asked for.
type refusal struct {
	status                int
	method, path          string
	Title, Detail, Remedy string
	after                 time.Duration
}

func (r *refusal) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", r.method, r.path, r.status, r.Title)
	for _, more := range []string{r.Detail, r.Remedy} {
		if more != "" {
			s += "\n" + more
		}
	}
	return s
}

// once makes one call and returns the body of its answer.
func (c caller) once(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.origin+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-functions-key", c.key)
	if c.actor != "" {
		req.Header.Set("X-Rollcall-Actor", c.actor)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	bare, _, _ := bytes.Cut([]byte(path), []byte("?"))
	r := &refusal{status: resp.StatusCode, method: method, path: string(bare)}
	_ = json.Unmarshal(answer, r) // the host refuses a wrong key without a body
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		r.after = time.Duration(seconds) * time.Second
	}
	if resp.StatusCode == http.StatusUnauthorized {
		r.Remedy = "ROLLCALL_FUNCTION_KEY is no key of this app."
	}
	return nil, r
}

// ask makes a call that may be repeated, until it does not fail for now, and
// reads its answer.
func (c caller) ask(ctx context.Context, method, path string, answer any) error {
	for try := 1; ; try++ {
		b, err := c.once(ctx, method, path, nil)
		if err == nil {
			return json.Unmarshal(b, answer)
		}
		var r *refusal
		var lost *url.Error
		delay := time.Duration(try) * 5 * time.Second
		switch {
		case try == maxTries || ctx.Err() != nil:
			return err
		case errors.As(err, &r) && (r.status == http.StatusTooManyRequests || r.status >= 500):
			delay = min(max(r.after, time.Second), maxRetryAfter)
		case errors.As(err, &lost):
		default:
			return err
		}
		fmt.Fprintf(c.report, "%v\nTrying again in %s\n", err, delay)
		if err := c.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// rawLetter keeps a dead letter as it was answered.
type rawLetter struct {
	raw []byte
	letterID
}

func (l *rawLetter) UnmarshalJSON(b []byte) error {
	l.raw = bytes.Clone(b)
	return json.Unmarshal(b, &l.letterID)
}
