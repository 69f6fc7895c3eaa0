package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"rollcall/internal/sandbox/microsoft/wire"
)

// maxBatch is the most requests of one batch (documented, "Combine multiple
// HTTP requests using JSON batching").
const maxBatch = 20

// maxBatchBody bounds the body of a batch in bytes: 20 times the largest body
// that any route takes.
const maxBatchBody = maxBatch * maxByIDs

// inner is one request of a batch.
type inner struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"` // relative to /v1.0
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

// outcome is the answer to one.
type outcome struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

// batch answers every inner request as if it had come by itself: with its own
// authorization, faults and counters. It evaluates them in the order given and
// answers in another, which clients must bear (documented).
func (s *Server) batch(c call) wire.Reply {
	raw, err := wire.ReadBody(c.Request, maxBatchBody)
	if err != nil {
		return s.fail(c.Request, http.StatusBadRequest, "BadRequest", "The body cannot be read.")
	}
	list, err := parseBatch(raw)
	if err != nil {
		return s.fail(c.Request, http.StatusBadRequest, "BadRequest", err.Error())
	}
	failed := map[string]bool{}
	out := make([]outcome, 0, len(list))
	for _, in := range list {
		var o outcome
		if slices.ContainsFunc(in.DependsOn, func(id string) bool { return failed[id] }) {
			o = outcomeOf(s.fail(c.Request, http.StatusFailedDependency, "FailedDependency", "A request that this one depends on has failed."))
		} else {
			o = s.inside(c, in)
		}
		o.ID = in.ID
		failed[in.ID] = o.Status >= 400
		out = append(out, o)
	}
	slices.Reverse(out)
	return wire.JSON(http.StatusOK, map[string]any{"responses": out})
}

// parseBatch reads the body of a batch and refuses what Graph cannot make
// sense of as a whole. A request may depend on earlier ones only (inferred:
// Microsoft evaluates them in order).
func parseBatch(raw []byte) ([]inner, error) {
	var body struct {
		Requests []inner `json:"requests"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, errors.New("invalid batch payload format")
	}
	if n := len(body.Requests); n == 0 || n > maxBatch {
		return nil, fmt.Errorf("number of batch request steps is %d: want 1 to %d", n, maxBatch)
	}
	seen := map[string]bool{}
	for _, in := range body.Requests {
		if in.ID == "" || in.Method == "" || in.URL == "" {
			return nil, errors.New("invalid batch request: id, method and url are required")
		}
		if seen[in.ID] {
			return nil, fmt.Errorf("request id %.64q is given twice", in.ID)
		}
		for _, id := range in.DependsOn {
			if !seen[id] {
				return nil, fmt.Errorf("request %.64q depends on %.64q, which is not an earlier request", in.ID, id)
			}
		}
		seen[in.ID] = true
	}
	return body.Requests, nil
}

// inside sends one inner request through the routes.
func (s *Server) inside(c call, in inner) outcome {
	refuse := func(message string) outcome {
		return outcomeOf(s.fail(c.Request, http.StatusBadRequest, "BadRequest", message))
	}
	u, err := url.Parse("/v1.0/" + strings.TrimLeft(in.URL, "/"))
	if err != nil || strings.Contains(in.URL, "://") {
		return refuse("The url is not relative.")
	}
	if strings.HasSuffix(strings.ToLower(u.Path), "/$batch") {
		return refuse("A batch cannot hold another one.")
	}
	r, err := http.NewRequestWithContext(c.Context(), strings.ToUpper(in.Method), u.String(), bytes.NewReader(in.Body))
	if err != nil {
		return refuse("The method is not valid.")
	}
	for k, v := range in.Headers {
		r.Header.Set(k, v)
	}
	// Required with a body (documented).
	if len(in.Body) > 0 && r.Header.Get("Content-Type") == "" {
		return refuse("Content-Type header is required when a request has a body.")
	}
	r.Header.Del("Accept-Encoding")
	r.Header.Set("Authorization", c.Header.Get("Authorization"))
	w := &captured{header: http.Header{}, status: http.StatusOK}
	s.routes.ServeHTTP(w, r)
	return outcomeOf(wire.Reply{Status: w.status, Header: w.header, Body: w.body.Bytes()})
}

// captured is a response in memory. A connection that is to be cut breaks with
// the whole batch: there is no other.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *captured) Header() http.Header         { return w.header }
func (w *captured) WriteHeader(status int)      { w.status = status }
func (w *captured) Write(b []byte) (int, error) { return w.body.Write(b) }

// outcomeOf puts a reply into a batch. A body that is not JSON becomes a
// text in base64 (documented for images, inferred for the rest).
func outcomeOf(rep wire.Reply) outcome {
	o := outcome{Status: rep.Status, Headers: map[string]string{}}
	for k, v := range rep.Header {
		if k != "Date" && k != "Content-Length" {
			o.Headers[k] = strings.Join(v, ", ")
		}
	}
	switch {
	case len(rep.Body) == 0:
	case json.Valid(rep.Body):
		o.Body = rep.Body
	default:
		o.Body = []byte(`"` + base64.StdEncoding.EncodeToString(rep.Body) + `"`)
	}
	return o
}
