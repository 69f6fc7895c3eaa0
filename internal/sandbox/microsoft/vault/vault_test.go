package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// keys are shared: making one is slow.
var keys = sync.OnceValues(token.NewKeyring)

// open is a vault with one secret, and a token of who may do everything.
func open(t testing.TB) (s *Server, bearer string) {
	t.Helper()
	k, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	s = New(Config{
		Gate: &wire.Gate{Faults: new(fault.Set), Now: clock, Sleep: func(context.Context, time.Duration) {}}, Now: clock, Keys: k,
		Authority: "https://login.test", Tenant: "vendor", Reader: "reader",
	})
	s.SetRole(Officer)
	if _, err := s.Set("app", "hush", Options{}); err != nil {
		t.Fatal(err)
	}
	bearer, err = k.Sign(map[string]any{"aud": resource, "tid": "vendor", "appid": "reader", "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return s, bearer
}

// A value leaves the vault only towards the one reader, with a token for this
// vault's audience and tenant that is valid now.
func TestWhoMayRead(t *testing.T) {
	s, _ := open(t)
	good := map[string]any{"aud": resource, "tid": "vendor", "appid": "reader", "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, c := range map[string]struct {
		claim  string
		value  any
		status int
	}{
		"the reader":       {"aud", resource + "/", 200},
		"another audience": {"aud", "https://graph.microsoft.com", 401},
		"another tenant":   {"tid", "customer", 401},
		"another identity": {"appid", "other", 403},
		"expired":          {"exp", now.Add(-time.Hour).Unix(), 401},
	} {
		claims := map[string]any{}
		for k, v := range good {
			claims[k] = v
		}
		claims[c.claim] = c.value
		bearer, err := s.Keys.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/secrets/app/?api-version=7.4", nil)
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != c.status || strings.Contains(w.Body.String(), "hush") != (c.status == 200) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// Whatever is asked, the answer is JSON that was meant, and without a token it
// holds no value.
func FuzzRequests(f *testing.F) {
	f.Add("GET", "/secrets", "api-version=7.4&$skiptoken=1&maxresults=25", "")
	f.Add("GET", "/secrets/app/versions", "api-version=7.4&$skiptoken=-1", "")
	f.Add("PUT", "/secrets/app", "api-version=7.4", `{"value":"v","attributes":{"exp":9223372036854775807,"enabled":false},"tags":{"a":"b"}}`)
	f.Add("PUT", "/secrets/app", "api-version=7.4", `{"value":1}`)
	f.Add("DELETE", "/deletedsecrets/app", "", "")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		s, bearer := open(t)
		for _, authorization := range []string{"", "Bearer " + bearer} {
			r, err := http.NewRequest(method, "https://vault.test/", strings.NewReader(body))
			if err != nil {
				return
			}
			r.URL.Path, r.URL.RawQuery = path, query
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if authorization == "" && strings.Contains(w.Body.String(), "hush") {
				t.Errorf("%s %q: a value for nobody: %s", method, path, w.Body)
			}
			if w.Code >= 500 || strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
			}
		}
	})
}
