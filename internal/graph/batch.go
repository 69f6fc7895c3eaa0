package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// maxBatch is how many requests one $batch takes. Source: Microsoft Graph
// documentation, "Combine multiple HTTP requests using JSON batching".
const maxBatch = 20

// inner is one request of a batch; its URL begins behind the version.
type inner struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
}

func get(url string) inner { return inner{Method: http.MethodGet, URL: url} }

func post(url string, body json.RawMessage) inner {
	return inner{Method: http.MethodPost, URL: url, Headers: map[string]string{"Content-Type": "application/json"}, Body: body}
}

// reply is the response to one request of a batch: 200 with a body, or 404.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) found() bool { return r.status != http.StatusNotFound }

// batch does any number of requests, twenty a call, and returns their replies
// in the same order. Graph judges each for itself and answers 200 around a
// refusal, so every other status than 200 and 404 fails the whole: if any is
// throttled, with the longest wait that any of them names.
func (c *Client) batch(ctx context.Context, tenant connection.Access, needs string, requests []inner) ([]reply, error) {
	replies := make([]reply, 0, len(requests))
	for chunk := range slices.Chunk(requests, maxBatch) {
		some, err := c.chunk(ctx, tenant, needs, chunk)
		if err != nil {
			return nil, err
		}
		replies = append(replies, some...)
	}
	return replies, nil
}

// chunk does up to twenty requests. Those that are refused are asked once
// more with a new token, as [Client.exchange] does for a single request.
func (c *Client) chunk(ctx context.Context, tenant connection.Access, needs string, requests []inner) ([]reply, error) {
	replies, err := c.post(ctx, tenant, needs, requests)
	if err != nil {
		return nil, err
	}
	var again []inner
	var at []int
	for i := range replies {
		if s := replies[i].status; s == http.StatusUnauthorized || s == http.StatusForbidden {
			again, at = append(again, requests[i]), append(at, i)
		}
	}
	if again != nil && throttled(replies) == nil {
		if _, err := c.creds.Fresh(tenant); err != nil {
			return nil, err
		}
		second, err := c.post(ctx, tenant, needs, again)
		if err != nil {
			return nil, err
		}
		for i := range second {
			replies[at[i]] = second[i]
		}
	}
	return replies, verdict(replies, needs)
}

// post does one $batch.
func (c *Client) post(ctx context.Context, tenant connection.Access, needs string, requests []inner) ([]reply, error) {
	terms := priority(ctx)
	taken := 0
	for i := range requests {
		requests[i].ID = strconv.Itoa(i + 1)
		taken += cost(requests[i].URL)
		if terms != "" { // each is throttled for itself
			requests[i].Headers = with(requests[i].Headers, priorityHeader, terms)
		}
	}
	body, err := json.Marshal(map[string]any{"requests": requests})
	if err != nil {
		return nil, err
	}
	var seen answer
	defer seen.count(ctx)
	var replies []reply
	err = c.exchange(ctx, tenant, call{method: abstractions.POST, link: c.base + "/$batch", body: body, needs: needs, units: taken}, &seen, func(b []byte) (err error) {
		replies, err = decodeBatch(b, len(requests))
		return err
	})
	if seen.status == http.StatusFailedDependency {
		// How Graph once told that a batch is throttled. Source: Microsoft Graph
		// documentation of 2021, "Throttling and batching".
		e := judge(http.StatusTooManyRequests, seen.header, fault.Of(err).Code, needs)
		e.Err = err
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	for i := range replies {
		seen.units += units(replies[i].header)
		c.pacer.Tell(c.Now(), tenant, replies[i].header, 0)
	}
	return replies, nil
}

// with is the headers and one more.
func with(h map[string]string, name, value string) map[string]string {
	if h == nil {
		h = map[string]string{}
	}
	h[name] = value
	return h
}

// decodeBatch reads the responses to n requests, whose IDs are 1 to n. The
// order is Graph's own; one that is missing, unknown or twice there makes the
// whole unreadable.
func decodeBatch(b []byte, n int) ([]reply, error) {
	var body struct {
		Responses []struct {
			ID      string          `json:"id"`
			Status  int             `json:"status"`
			Headers map[string]any  `json:"headers"`
			Body    json.RawMessage `json:"body"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, fault.New(fault.Unknown, "batch: %w", err)
	}
	if len(body.Responses) != n {
		return nil, fault.New(fault.Unknown, "batch: %d responses to %d requests", len(body.Responses), n)
	}
	replies := make([]reply, n)
	for _, r := range body.Responses {
		i, err := strconv.Atoi(r.ID)
		if err != nil || i < 1 || i > n || strconv.Itoa(i) != r.ID || replies[i-1].status != 0 {
			return nil, fault.New(fault.Unknown, "batch: response %.40q is to no request or comes twice", r.ID)
		}
		if r.Status < 100 || r.Status > 599 {
			return nil, fault.New(fault.Unknown, "batch: response %s with status %d", r.ID, r.Status)
		}
		content, err := unpack(r.Body)
		if err != nil {
			return nil, fault.New(fault.Unknown, "batch: response %s: %w", r.ID, err)
		}
		header := make(http.Header, len(r.Headers))
		for name, v := range r.Headers {
			switch v := v.(type) {
			case string:
				header.Set(name, v)
			case float64:
				header.Set(name, strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
		replies[i-1] = reply{r.Status, header, content}
	}
	return replies, nil
}

// unpack returns a body that may be packed into a base64 string.
func unpack(body json.RawMessage) ([]byte, error) {
	if !bytes.HasPrefix(body, []byte{'"'}) {
		return body, nil
	}
	var s string
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("body is neither an object nor base64")
	}
	return b, nil
}

// throttled is the error of replies of which any asks to wait, with the
// longest wait, or nil.
func throttled(replies []reply) *fault.Error {
	var longest *fault.Error
	for i := range replies {
		r := &replies[i]
		if r.status != http.StatusTooManyRequests && r.status != http.StatusServiceUnavailable {
			continue
		}
		e := judge(r.status, r.header, r.code(), "")
		e.Kind = fault.Throttled
		if longest == nil || e.After > longest.After {
			longest = e
		}
	}
	return longest
}

// verdict is nil if all replies are 200 or 404.
func verdict(replies []reply, needs string) error {
	if e := throttled(replies); e != nil {
		return e
	}
	var first *fault.Error
	for i := range replies {
		r := &replies[i]
		if r.status == http.StatusOK || r.status == http.StatusNotFound {
			continue
		}
		e := judge(r.status, r.header, r.code(), needs)
		if e.Kind == fault.Denied { // what somebody can mend comes first
			return e
		}
		if first == nil {
			first = e
		}
	}
	if first != nil {
		return unforgotten(first)
	}
	return nil
}

// code is Graph's own name of the error, or empty.
func (r *reply) code() string {
	var body struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(r.body, &body) != nil {
		return ""
	}
	return body.Error.Code
}
