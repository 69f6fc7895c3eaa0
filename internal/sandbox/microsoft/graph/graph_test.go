package graph

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

const base = "https://graph.test"

// keyring is shared: making RSA keys is slow.
var keyring = sync.OnceValue(func() *token.Keyring {
	k, err := token.NewKeyring()
	if err != nil {
		panic(err) // a test binary without keys can do nothing
	}
	return k
})

// testingT is what helpers need of *testing.T and *rapid.T.
type testingT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is a Graph without a network, with one tenant and a settable clock.
type world struct {
	now     time.Time
	slept   time.Duration
	faults  fault.Set
	tenants tenant.Registry
	t       *tenant.Tenant
	handler http.Handler
	server  *Server
}

func newWorld(tb testingT, people, pageSize int) *world {
	tb.Helper()
	w := &world{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	gate := &wire.Gate{Faults: &w.faults, Now: clock, Sleep: func(_ context.Context, d time.Duration) { w.slept += d }}
	s, err := New(Config{Gate: gate, Now: clock, Tenants: &w.tenants, Keys: keyring(), Base: base, Public: "https://graph.microsoft.com", PageSize: pageSize})
	if err != nil {
		tb.Fatal(err)
	}
	if w.t, err = tenant.New(tenant.Spec{People: people, Seed: 7}, clock); err != nil {
		tb.Fatal(err)
	}
	if err := w.tenants.Add(w.t); err != nil {
		tb.Fatal(err)
	}
	w.server, w.handler = s, s.Handler()
	return w
}

// bearer signs a token of the tenant's app that outlives every test.
func (w *world) bearer(tb testingT, roles ...string) string {
	tb.Helper()
	tok, err := keyring().Sign(map[string]any{
		"aud": "https://graph.microsoft.com", "tid": w.t.ID, "appid": "app", "roles": roles,
		"nbf": 0, "exp": w.now.AddDate(1, 0, 0).Unix(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return "Bearer " + tok
}

// do sends one request with a good token; cut is true if the connection broke.
func (w *world) do(r *http.Request, bearer string) (res *httptest.ResponseRecorder, cut bool) {
	r.Header.Set("Authorization", bearer)
	res = httptest.NewRecorder()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			cut = true
		}
	}()
	w.handler.ServeHTTP(res, r)
	return res, false
}

// get reads a path with the base permissions.
func (w *world) get(tb testingT, uri string, header ...string) (int, map[string]any, http.Header) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, uri, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, _ := w.do(r, w.bearer(tb, "User.Read.All", "GroupMember.Read.All", "Organization.Read.All"))
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var doc map[string]any
	if res.Code < 300 || res.Header().Get("Content-Type") != "text/html" {
		if err := json.Unmarshal(body, &doc); err != nil {
			doc = map[string]any{"text": string(body)}
		}
	}
	return res.Code, doc, res.Header()
}

// items are the documents of a collection.
func items(tb testingT, doc map[string]any) []map[string]any {
	tb.Helper()
	list, ok := doc["value"].([]any)
	if !ok {
		tb.Fatalf("no value in %v", doc)
	}
	out := make([]map[string]any, len(list))
	for i, v := range list {
		out[i] = v.(map[string]any)
	}
	return out
}

// code is the error code of an error document.
func code(doc map[string]any) string {
	e, _ := doc["error"].(map[string]any)
	c, _ := e["code"].(string)
	return c
}

// person adds a person by hand, so that expected values are the test's own.
func (w *world) person(tb testingT, f tenant.Fields) string {
	tb.Helper()
	id, err := w.t.Create(f)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func (w *world) must(tb testingT, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
