package reconcile_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// edits is a transport that changes the pages of what has that path, or any
// that ends so, on their way.
type edits struct {
	next http.RoundTripper
	path string
	page func(m map[string]any)
}

func (e edits) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("Accept-Encoding") // net/http inflates then
	resp, err := e.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasSuffix(req.URL.Path, e.path) {
		return resp, err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	e.page(m)
	if b, err = json.Marshal(m); err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// dropping leaves one person out of every page.
func dropping(id string) http.RoundTripper {
	return edits{wires.Transport, "/users/delta", func(m map[string]any) {
		var kept []any
		for _, v := range m["value"].([]any) {
			if v.(map[string]any)["id"] != id {
				kept = append(kept, v)
			}
		}
		m["value"] = append([]any{}, kept...)
	}}
}

// shortLists cuts lists of members into pages of ten.
type shortLists struct{}

func (shortLists) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/members") {
		req = req.Clone(req.Context())
		req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "top=999", "top=10", 1)
	}
	return wires.Transport.RoundTrip(req)
}

// editing changes the pages of groups/delta.
func editing(page func(m map[string]any)) http.RoundTripper {
	return edits{wires.Transport, "/groups/delta", page}
}

// report is a transport that changes the rows of the mailbox report on their
// way.
type report struct {
	next http.RoundTripper
	rows func(rows []string) []string
}

func (r report) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(req.URL.Path, "/reports-download/") {
		return resp, err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	head, rest, _ := strings.Cut(string(b), "\n")
	rows := r.rows(strings.Split(strings.TrimSuffix(rest, "\n"), "\n"))
	b = []byte(head + "\n" + strings.Join(rows, "\n"))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}
