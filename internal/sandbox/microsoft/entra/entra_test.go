package entra

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

const appID = "a0000000-0000-4000-8000-000000000001"

// service is shared: making RSA keys is slow.
var service = sync.OnceValue(func() *Server {
	keys, err := token.NewKeyring()
	if err != nil {
		panic(err) // a test binary without keys can do nothing
	}
	clock := func() time.Time { return now }
	s := New(Config{
		Gate: &wire.Gate{Faults: new(fault.Set), Now: clock, Sleep: func(context.Context, time.Duration) {}}, Now: clock,
		Tenants: new(tenant.Registry), Keys: keys, Authority: "https://login.test", Graph: "https://graph.test",
		IdentityClientID: "b0000000-0000-4000-8000-000000000002", VendorTenant: "c0000000-0000-4000-8000-000000000003",
		ConsentDelay: func() time.Duration { return 0 },
	})
	if _, err := s.AddApp(AppSpec{ID: appID, Name: "Rollcall", Permissions: []string{"User.Read.All"}, RedirectURIs: []string{"https://app.test/cb"}}); err != nil {
		panic(err)
	}
	t, err := tenant.New(tenant.Spec{ID: "d0000000-0000-4000-8000-000000000004"}, clock)
	if err == nil {
		err = s.Tenants.Add(t)
	}
	if err != nil {
		panic(err)
	}
	t.Consent(appID, []string{"User.Read.All"}, 0)
	return s
})

// Only the managed identity's own token, for the exchange and still valid,
// stands for the app.
func TestFederatedAssertions(t *testing.T) {
	s := service()
	good := map[string]any{"iss": s.identityIssuer(ExchangeAudience), "sub": s.identityObject(), "aud": ExchangeAudience, "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	sign := func(change string, v any) string {
		c := map[string]any{}
		for k, x := range good {
			c[k] = x
		}
		if change != "" {
			c[change] = v
		}
		tok, err := s.Keys.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	stranger, err := token.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Sign(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		assertion string
		code      string
	}{
		"good":           {sign("", nil), ""},
		"other issuer":   {sign("iss", "https://sts.windows.net/x/"), "AADSTS700211"},
		"other audience": {sign("aud", "https://vault.azure.net"), "AADSTS700212"},
		"other subject":  {sign("sub", "someone"), "AADSTS700213"},
		"expired":        {sign("exp", now.Add(-time.Hour).Unix()), "AADSTS700024"},
		"from tomorrow":  {sign("nbf", now.Add(24*time.Hour).Unix()), "AADSTS700024"},
		"without expiry": {sign("exp", nil), "AADSTS700024"},
		"stranger's key": {forged, "AADSTS700027"},
		"junk":           {"a.b.c", "AADSTS50027"},
	} {
		form := url.Values{"client_id": {appID}, "grant_type": {"client_credentials"}, "scope": {"https://graph.test/.default openid offline_access profile"},
			"client_assertion_type": {jwtBearer}, "client_assertion": {c.assertion}}
		body := post(s, "/d0000000-0000-4000-8000-000000000004/oauth2/v2.0/token", form).Body.String()
		if c.code == "" && !strings.Contains(body, `"access_token"`) || c.code != "" && !strings.Contains(body, c.code+":") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestScopes(t *testing.T) {
	s := service()
	for scope, want := range map[string]string{
		"https://graph.microsoft.com/.default":                      "https://graph.microsoft.com",
		"https://graph.microsoft.com//.default":                     "https://graph.microsoft.com",
		"https://graph.test/.default openid offline_access profile": "https://graph.test",
		"":                                      "",
		"openid":                                "",
		"https://graph.microsoft.com/User.Read": "",
		"https://vault.azure.net/.default":      "",
		"https://graph.test/.default https://graph.microsoft.com/.default": "",
	} {
		got, refused := s.resource(scope)
		if got != want || (refused == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", scope, got, refused, want)
		}
	}
}

func post(s *Server, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// No form that does not hold a secret or an assertion of ours gets a token,
// and every refusal is a document.
func FuzzTokenForm(f *testing.F) {
	f.Add("client_id=a0000000-0000-4000-8000-000000000001&grant_type=client_credentials&client_assertion=a.b.c&client_assertion_type=" + url.QueryEscape(jwtBearer))
	f.Add("client_id=a0000000-0000-4000-8000-000000000001&client_secret=&grant_type=authorization_code&code=%00")
	f.Add("client_assertion=eyJhbGciOiJub25lIiwieDV0I1MyNTYiOiJBIn0.e30.&%zz")
	f.Fuzz(func(t *testing.T, form string) {
		r := httptest.NewRequest(http.MethodPost, "/organizations/oauth2/v2.0/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		service().Handler().ServeHTTP(w, r)
		if w.Code < 400 || !strings.Contains(w.Body.String(), `"error_codes"`) {
			t.Errorf("%q: %d %s", form, w.Code, w.Body)
		}
	})
}

func FuzzAssertion(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsIng1dCNTMjU2IjoiQSJ9.e30.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, compact string) {
		s := service()
		a, _ := s.App(appID)
		if s.assertion(a, compact, "https://login.test/x") == nil {
			t.Errorf("accepted %q, which nobody signed", compact)
		}
	})
}

// Whatever a page's parameters are, the browser is only ever sent to the
// registered redirect URI, and no parameter becomes markup.
func FuzzPages(f *testing.F) {
	f.Add("https://app.test/cb", `"><script>x</script>`, "openid", "code")
	f.Add("https://app.test/cb.evil.example", "s", "openid", "code")
	f.Add("https://app.test/cb", "s\r\nSet-Cookie: a=b", "", "token")
	f.Fuzz(func(t *testing.T, redirect, state, scope, kind string) {
		q := url.Values{"client_id": {appID}, "redirect_uri": {redirect}, "state": {state}, "scope": {scope}, "response_type": {kind}}
		for _, path := range []string{"/organizations/oauth2/v2.0/authorize?", "/organizations/v2.0/adminconsent?"} {
			w := httptest.NewRecorder()
			service().Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+q.Encode(), nil))
			if to := w.Header().Get("Location"); to != "" && (redirect != "https://app.test/cb" || !strings.HasPrefix(to, "https://app.test/cb?")) {
				t.Errorf("sent to %q", to)
			}
			if strings.Contains(w.Body.String(), "<script") {
				t.Errorf("markup in %s", w.Body)
			}
		}
	})
}
