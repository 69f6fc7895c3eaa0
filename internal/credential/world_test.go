package credential

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/sandbox/pki"
)

const (
	tenantOne = "aaaaaaaa-0000-4000-8000-000000000001"
	appBase   = "bbbbbbbb-0000-4000-8000-000000000001"
	appWide   = "bbbbbbbb-0000-4000-8000-000000000007"
	appOwn    = "cccccccc-0000-4000-8000-000000000001"
	ownSecret = "rollcall-app-abcdefghijklmnopqrstuvwx23"
	vaultHost = "rollcall.vault.azure.net"
)

var graphScope = policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}}

// world is Microsoft's side of the wire: an authority and a vault over TLS and
// a managed identity endpoint, as strict as the real ones where it matters.
type world struct {
	t        *testing.T
	mu       sync.Mutex
	at       time.Time
	asked    int               // requests for a tenant's token
	vaulted  int               // requests to the vault that carried a token
	given    map[string]string // the identity's tokens, by resource
	taken    map[string]int    // by app and credential: 0 is taken, else the code of the refusal
	list     []version
	down     int              // status with which the vault answers, if not 0
	resource string           // that the vault's challenge names
	answer   http.HandlerFunc // of the token endpoint, if not the usual
	hold     chan struct{}    // what the token endpoint waits for, after it has told arrived
	arrived  chan struct{}
	private  []string // what no error and no log may hold
	log      bytes.Buffer
	client   *http.Client
	login    *httptest.Server
	vault    *httptest.Server
}

type version struct {
	name, id, value, kind   string
	created, begins, expire time.Time
	disabled                bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, at: time.Now().Truncate(time.Second), given: map[string]string{}, taken: map[string]int{}, resource: "https://vault.azure.net", arrived: make(chan struct{})}
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	serve := func(h http.HandlerFunc, names ...string) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		if s.TLS, err = ca.ServerTLS(names...); err != nil {
			t.Fatal(err)
		}
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	w.login, w.vault = serve(w.serveLogin), serve(w.serveVault, vaultHost)
	identity := httptest.NewServer(http.HandlerFunc(w.serveIdentity))
	t.Cleanup(identity.Close)
	t.Setenv("IDENTITY_ENDPOINT", identity.URL)
	t.Setenv("IDENTITY_HEADER", "the-header")
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{RootCAs: ca.Pool()}
	t.Cleanup(tr.CloseIdleConnections)
	w.client = &http.Client{Transport: tr, Timeout: 20 * time.Second}
	t.Cleanup(func() { w.clean("log", w.log.String()) })
	return w
}

// clean fails the test if a text holds what is private.
func (w *world) clean(what, s string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.private {
		if strings.Contains(s, p) {
			w.t.Errorf("%s holds a secret: %.300s", what, s)
		}
	}
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.at }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.at = w.at.Add(d) }

// do changes the world.
func (w *world) do(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }

func (w *world) options() Options {
	return Options{
		Identity:  uuid.NewString(), // MSAL keeps an identity's tokens for the process
		Authority: w.login.URL, Apps: connection.Apps{"base": appBase, "mailboxes": appWide},
		Vault:  VaultOptions{URL: "https://" + vaultHost, Endpoint: w.vault.Listener.Addr().String()},
		Client: w.client, Now: w.now, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

func (w *world) open(kind Kind) *Credentials {
	w.t.Helper()
	o := w.options()
	o.Kind, o.Vault.Certificate, o.Vault.Secret = kind, "app-cert", "app-secret"
	c, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// store puts a version into the vault and returns its ID.
func (w *world) store(name, value, kind string, change ...func(*version)) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := version{name: name, id: strings.ReplaceAll(uuid.NewString(), "-", ""), value: value, kind: kind, created: w.at}
	for _, f := range change {
		f(&v)
	}
	w.list = append(w.list, v)
	w.private = append(w.private, value)
	return v.id
}

// secret is a new client secret, stored, and taken by the apps.
func (w *world) secret(name string, apps ...string) string {
	s := "s~" + rand.Text()
	w.store(name, s, "")
	for _, app := range apps {
		w.takes(app, s)
	}
	return s
}

func (w *world) takes(app, credential string) {
	w.do(func() { w.taken[app+" "+credential] = 0 })
}

func (w *world) refuses(app, credential string, code int) {
	w.do(func() { w.taken[app+" "+credential] = code })
}

func (w *world) serveIdentity(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-IDENTITY-HEADER") != "the-header" {
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, `{"message":"the header is hunter2"}`)
		return
	}
	token, resource := rand.Text(), r.URL.Query().Get("resource")
	w.do(func() { w.given[token] = strings.TrimSuffix(resource, "/"); w.private = append(w.private, token) })
	fmt.Fprintf(rw, `{"access_token":%q,"expires_on":"%d","resource":%q,"token_type":"Bearer"}`, token, time.Now().Add(24*time.Hour).Unix(), resource)
}

func (w *world) serveLogin(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if rest == "v2.0/.well-known/openid-configuration" {
		base := w.login.URL + "/" + tenant
		fmt.Fprintf(rw, `{"issuer":"%s/v2.0","token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize"}`, base)
		return
	}
	w.mu.Lock()
	w.asked++
	answer, hold := w.answer, w.hold
	w.mu.Unlock()
	if hold != nil {
		w.arrived <- struct{}{}
		<-hold
	}
	if answer != nil {
		answer(rw, r)
		return
	}
	_ = r.ParseForm()
	if code := w.judge(r.PostForm, w.login.URL+r.URL.Path); code != 0 {
		refuse(rw, http.StatusUnauthorized, "invalid_client", code)
		return
	}
	token := rand.Text()
	w.do(func() { w.private = append(w.private, token) })
	fmt.Fprintf(rw, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, token)
}

func refuse(rw http.ResponseWriter, status int, name string, code int) {
	rw.WriteHeader(status)
	fmt.Fprintf(rw, `{"error":%q,"error_codes":[%d],"error_description":"AADSTS%d: Jane"}`, name, code, code)
}

// judge says by which code a proof is refused, 0 if it is taken.
func (w *world) judge(form url.Values, endpoint string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	app, assertion := form.Get("client_id"), form.Get("client_assertion")
	name, unknown := form.Get("client_secret"), 7000215
	if assertion != "" {
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || name != "" {
			return 9002313
		}
		if name, unknown = w.given[assertion], 700213; name == "" {
			name, unknown = signedBy(w.t, assertion, app, endpoint), 700027
		}
	}
	code, ok := w.taken[app+" "+name]
	if !ok {
		return unknown
	}
	return code
}

func (w *world) serveVault(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	fail := func(status int, code string) {
		rw.WriteHeader(status)
		fmt.Fprintf(rw, `{"error":{"code":%q,"message":"Jane"}}`, code)
	}
	if w.given[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] != "https://vault.azure.net" {
		rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s/%s", resource="%s"`, w.login.URL, tenantOne, w.resource))
		fail(http.StatusUnauthorized, "Unauthorized")
		return
	}
	w.vaulted++
	if r.Host != vaultHost || r.URL.Query().Get("api-version") == "" {
		w.t.Errorf("vault asked at %s for %s", r.Host, r.URL)
	}
	if w.down != 0 {
		rw.Header().Set("Retry-After", "7")
		fail(w.down, "Down")
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) == 3 && part[0] == "secrets" && part[2] == "versions" {
		w.serveVersions(rw, r, part[1])
		return
	}
	var found *version
	for i, v := range w.list {
		if v.name == part[1] && (len(part) == 2 || v.id == part[2]) {
			found = &w.list[i] // without a version, the one made last
		}
	}
	switch {
	case found == nil:
		fail(http.StatusNotFound, "SecretNotFound")
	case found.disabled:
		fail(http.StatusForbidden, "Forbidden")
	default:
		_ = json.NewEncoder(rw).Encode(found.bundle(true))
	}
}

// serveVersions gives one version a page, oldest first.
func (w *world) serveVersions(rw http.ResponseWriter, r *http.Request, name string) {
	var all []map[string]any
	for _, v := range w.list {
		if v.name == name {
			all = append(all, v.bundle(false))
		}
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	out := map[string]any{"value": []any{}, "nextLink": nil}
	if page < len(all) {
		out["value"] = all[page : page+1]
	}
	if page+1 < len(all) {
		out["nextLink"] = fmt.Sprintf("https://%s/secrets/%s/versions?api-version=%s&$skiptoken=%d", vaultHost, name, r.URL.Query().Get("api-version"), page+1)
	}
	_ = json.NewEncoder(rw).Encode(out)
}

func (v version) bundle(value bool) map[string]any {
	attributes := map[string]any{"enabled": !v.disabled, "created": v.created.Unix(), "updated": v.created.Unix()}
	if !v.begins.IsZero() {
		attributes["nbf"] = v.begins.Unix()
	}
	if !v.expire.IsZero() {
		attributes["exp"] = v.expire.Unix()
	}
	b := map[string]any{"id": fmt.Sprintf("https://%s/secrets/%s/%s", vaultHost, v.name, v.id), "attributes": attributes, "contentType": v.kind}
	if value {
		b["value"] = v.value
	}
	return b
}

// get asks for a token and says how many requests that took.
func (w *world) get(c *Credentials, a connection.Access) (token string, asked int, err error) {
	w.t.Helper()
	cred, err := c.Tenant(a)
	if err != nil {
		w.t.Fatal(err)
	}
	before := w.count()
	k, err := cred.GetToken(w.t.Context(), graphScope)
	if err != nil {
		w.clean("error", err.Error()+fault.Of(err).Remedy)
		if strings.Contains(err.Error(), "Jane") {
			w.t.Errorf("names somebody: %v", err)
		}
	}
	return k.Token, w.count() - before, err
}

// fresh is get without a kept token.
func (w *world) fresh(c *Credentials, a connection.Access) (asked int, err error) {
	w.t.Helper()
	if _, err := c.Fresh(a); err != nil {
		w.t.Fatal(err)
	}
	_, asked, err = w.get(c, a)
	return asked, err
}

func (w *world) count() int { w.mu.Lock(); defer w.mu.Unlock(); return w.asked }

func (w *world) reads() int { w.mu.Lock(); defer w.mu.Unlock(); return w.vaulted }
