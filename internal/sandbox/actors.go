package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// Answer is what the machine API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Call is the vendor's product calling the machine API with its key. A body
// is sent as JSON; a success is decoded into out, if out is not nil.
func (s *Sandbox) Call(ctx context.Context, method, path string, body, out any) (a Answer, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, fmt.Errorf("sandbox: %s %s: %w", method, path, err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.PublicURL+path, r)
	if err != nil {
		return a, fmt.Errorf("sandbox: %s %s: %w", method, path, err)
	}
	req.Header.Set("x-functions-key", s.FunctionKey)
	req.Header.Set("X-Rollcall-Actor", "sandbox")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return a, fmt.Errorf("sandbox: %s %s: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a.Status, a.Header = resp.StatusCode, resp.Header
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return a, fmt.Errorf("sandbox: %s %s: %w", method, path, err)
	}
	if out != nil {
		if a.Status >= 300 {
			return a, fmt.Errorf("sandbox: %s %s: status %d: %s", method, path, a.Status, a.Body)
		}
		if err := json.Unmarshal(a.Body, out); err != nil {
			return a, fmt.Errorf("sandbox: %s %s: %w", method, path, err)
		}
	}
	return a, nil
}

// Invitation is a connection as its creation answers.
type Invitation struct {
	ID   string `json:"id"`
	Link string `json:"link"`
}

// Invite makes a connection for a company, with the recommended settings.
func (s *Sandbox) Invite(ctx context.Context, company, name string) (inv Invitation, err error) {
	return s.InviteWith(ctx, company, name, map[string]any{})
}

// InviteWith makes a connection for a company with settings, as the machine
// API takes them.
func (s *Sandbox) InviteWith(ctx context.Context, company, name string, settings map[string]any) (inv Invitation, err error) {
	_, err = s.Call(ctx, http.MethodPost, "/v1/connections", map[string]any{"company": company, "name": name, "settings": settings}, &inv)
	return inv, err
}

// Consent is an administrator going the whole way from the link to the page
// that says how it ended.
func (s *Sandbox) Consent(ctx context.Context, link string, admin tenant.Account) (*browser.Page, error) {
	b, err := browser.New(s.Client())
	if err != nil {
		return nil, err
	}
	p, err := b.Open(ctx, link)
	if err != nil {
		return nil, err
	}
	for _, text := range []string{"", admin.Username, "Accept"} {
		if p, err = b.Press(ctx, p, text); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Await polls until done says so or ctx ends. Wires are not clocks: a wait
// for another process has no event to wait on.
func Await(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("sandbox: waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sandbox: waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
