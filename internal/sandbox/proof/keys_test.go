package proof

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// operation is one of the machine API's, as its document has it, of a
// connection that does not exist.
type operation struct {
	method, path string
	body         bool // it takes one
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// operations reads all operations from the document that is served.
func operations(t *testing.T, s *sandbox.Sandbox) (all []operation) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct{ RequestBody any }
	}
	if _, err := s.Call(t.Context(), "GET", "/v1/openapi.json", nil, &doc); err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			all = append(all, operation{
				strings.ToUpper(method), placeholder.ReplaceAllString(path, "aaaaaaaaaaaaaaaaaaaaaaaaaa"), doc.Paths[path][method].RequestBody != nil,
			})
		}
	}
	if len(all) < 30 {
		t.Fatalf("the document has %d operations, want all that there are", len(all))
	}
	return all
}

// The machine API opens by its key, in the header or in the query, and by
// nothing else; functions are run by hand by the master key only.
func TestThreatMissingKey(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := connected(t, s, tenant.Spec{People: 15})
	ask := func(method, path string, header ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.PublicURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const key = "x-functions-key"
	rows, queued := stored(t, s), sent(t, s)
	described := operations(t, s)
	before := invoked(s.Host)
	for _, o := range described {
		for _, path := range []string{o.path, strings.ReplaceAll(o.path, "aaaaaaaaaaaaaaaaaaaaaaaaaa", c.ID)} {
			for _, h := range [][]string{nil, {key, "wrong"}, {"Authorization", "Bearer " + s.FunctionKey}} {
				if status, body := ask(o.method, path, h...); status != 401 || body != "" {
					t.Errorf("%s %s with %v: %d %s, want 401", o.method, path, h, status, body)
				}
			}
		}
	}
	for _, r := range []struct{ method, path string }{
		{"GET", "/v1/connections"}, {"GET", "/v1/connections/" + c.ID}, {"GET", "/v1/connections/" + c.ID + "/people"},
		{"GET", "/v1/connections/" + c.ID + "/changes"}, {"GET", "/v1/openapi.json"}, {"POST", "/v1/connections/" + c.ID + "/sync"},
		{"POST", "/V1/Connections/" + c.ID + "/Sync"}, {"GET", "/v1/"}, {"GET", "/v1"}, {"POST", "/v1/connections"},
	} {
		for _, h := range [][]string{
			nil, {key, ""}, {key, "wrong"}, {key, s.FunctionKey + "x"}, {key, s.FunctionKey[:len(s.FunctionKey)-1]},
			{key, strings.ToLower(s.FunctionKey)}, {"Authorization", "Bearer " + s.FunctionKey}, {"Cookie", "code=" + s.FunctionKey},
		} {
			if status, body := ask(r.method, r.path, h...); status != 401 || body != "" {
				t.Errorf("%s %s with %v: %d %s, want 401", r.method, r.path, h, status, body)
			}
		}
		if status, _ := ask(r.method, r.path+"?code=wrong"); status != 401 {
			t.Errorf("%s %s with a wrong code: %d, want 401", r.method, r.path, status)
		}
	}
	for _, path := range []string{"/admin/functions/synctimer", "/admin/functions/janitor", "/admin/functions/syncworker", "/Admin/Functions/Synctimer", "/admin/host/status"} {
		for _, h := range [][]string{nil, {key, ""}, {key, "wrong"}, {key, s.FunctionKey}} {
			if status, _ := ask("POST", path, h...); status != 401 {
				t.Errorf("%s with %v: %d, want 401", path, h, status)
			}
		}
		if status, _ := ask("POST", path+"?code="+url.QueryEscape(s.FunctionKey)); status != 401 {
			t.Errorf("%s with the function key as code: %d, want 401", path, status)
		}
	}
	unchanged(t, s, rows, queued)
	if after := invoked(s.Host); !maps.Equal(before, after) {
		t.Errorf("invocations were %v and are %v", before, after)
	}

	for _, a := range []struct{ path, header string }{
		{"/v1/connections/" + c.ID, s.FunctionKey},
		{"/v1/connections/" + c.ID + "?code=" + url.QueryEscape(s.FunctionKey), ""},
	} {
		var got struct{ ID string }
		status, body := ask("GET", a.path, key, a.header)
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got.ID != c.ID {
			t.Errorf("%s: %d %s, %v", a.path, status, body, err)
		}
	}
}
