package consent_test

import (
	"context"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/functions/connect"
	"rollcall/functions/consentcallback"
	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/pages"
	"rollcall/internal/signin"
)

const (
	tenantA = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB = "bbbbbbbb-0000-4000-8000-000000000002"
	objectA = "0a0a0a0a-0000-4000-8000-00000000000a"
	objectE = "0e0e0e0e-0000-4000-8000-00000000000e"
	global  = "62e90394-69f5-4237-9190-012177145e10"
	roleAdm = "e8611ab8-c189-46e8-94e1-60213ab1f814"
	reader  = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
	contoso = "contoso00000000000000000id"
	fabrik  = "fabrikam0000000000000000id"

	// The vendor's apps, and one of contoso's own in its Key Vault secret.
	baseApp    = "11111111-2222-4333-8444-555555550000"
	teamsApp   = "11111111-2222-4333-8444-555555555555"
	mailApp    = "11111111-2222-4333-8444-555555559999"
	contosoApp = "33333333-2222-4333-8444-555555555555"
	ownSecret  = "rollcall-app-" + contoso
)

var (
	admin    = user{tenantA, objectA, []string{reader, global}}
	employee = user{tenantA, objectE, []string{reader}}
)

// world is our server, Microsoft's and the store.
type world struct {
	*memory
	t     *testing.T
	entra *entra
	ours  *httptest.Server
	flow  *consent.Flow
	links consent.Links
	clock time.Time
	// app is the client ID that consent is to be asked for.
	app string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, app: teamsApp, clock: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.clock }
	w.memory = &memory{
		connections: map[string]connection.Connection{}, claims: map[string]string{}, nonces: map[string]nonce{},
		own: map[string]string{ownSecret: contosoApp},
	}
	for id, name := range map[string]string{contoso: "Contoso <Ltd>", fabrik: "Fabrikam"} {
		w.connections[id] = connection.Connection{
			ID: id, Company: id, Name: name, Status: connection.Invited, Link: 1, LinkExpires: w.clock.Add(72 * time.Hour), Version: "v",
		}
	}
	w.entra = newEntra(t, now)
	mux := http.NewServeMux()
	w.ours = httptest.NewTLSServer(mux)
	t.Cleanup(w.ours.Close)
	var err error
	if w.links, err = consent.NewLinks(w.ours.URL, []byte(strings.Repeat("k", 32))); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	w.flow = &consent.Flow{
		Connections: w, Claims: w, Nonces: w, Queue: w, Runs: w, Links: w.links, Audit: w,
		Registered: connection.Apps{"base": baseApp, "teams": teamsApp, "mailboxes": mailApp}, Own: w,
		SignIn: signin.New(signin.Config{
			Authority: w.entra.URL, Callback: w.ours.URL + "/consent/callback",
			Prove: func(_ context.Context, app connection.App, _ string) (url.Values, error) {
				return url.Values{"client_assertion": {"assertion of " + app.ID + app.Own}}, nil
			},
			Transport: w.entra.Client().Transport, Now: now,
		}),
		Authority: w.entra.URL, Scope: "https://graph.microsoft.com/.default",
		Callback: w.ours.URL + "/consent/callback", Now: now, Log: log,
	}
	pg, err := pages.New("Desk", w.ours.URL, w.entra.URL, log)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/connect/", connect.Handler(w.flow, pg))
	mux.Handle("/consent/callback", consentcallback.Handler(w.flow, pg))
	return w
}

// change edits a stored connection, as the vendor's API would.
func (w *world) change(id string, f func(*connection.Connection)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.connections[id]
	f(&c)
	c.Version += "x"
	w.connections[id] = c
}

func (w *world) link(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links.URL(w.connections[id])
}

// browser keeps cookies and does not follow redirects.
func (w *world) browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{
		Jar: jar, Transport: w.ours.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response as a person sees it.
type answer struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (w *world) do(b *http.Client, r *http.Request) answer {
	w.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Location"), string(body), resp.Header}
}

func (w *world) get(b *http.Client, address string) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(b, r)
}

// confirmed is the form of somebody who says that they may consent.
const confirmed = "may=yes"

// press presses the button behind a link.
func (w *world) press(b *http.Client, link string) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, link+"/authorize", strings.NewReader(confirmed))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(b, r)
}

// back returns to us with the given query: pairs of key and value.
func (w *world) back(b *http.Client, pairs ...string) answer {
	w.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return w.get(b, w.ours.URL+"/consent/callback?"+q.Encode())
}

// signIn goes from the link to Microsoft and back, and returns the answer.
func (w *world) signIn(b *http.Client, id string, who user, change func(*grant)) answer {
	w.t.Helper()
	a := w.press(b, w.link(id))
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("button: status %d: %s", a.status, a.body)
	}
	state, code := w.entra.signIn(w.t, a.location, who, change)
	if u, err := url.Parse(a.location); err != nil || u.Query().Get("client_id") != w.app {
		w.t.Fatalf("sign-in at %s, want it for app %s", a.location, w.app)
	}
	return w.back(b, "code", code, "state", state, "session_state", "x")
}

// consentState reads the second leg's state out of a redirect to admin
// consent at the tenant.
func (w *world) consentState(a answer, tenant string) string {
	w.t.Helper()
	u, err := url.Parse(a.location)
	if err != nil || a.status != http.StatusSeeOther {
		w.t.Fatalf("no redirect to admin consent: status %d, %q: %s", a.status, a.location, a.body)
	}
	q := u.Query()
	if got, want := strings.TrimSuffix(a.location, u.RawQuery), w.entra.URL+"/"+tenant+"/v2.0/adminconsent?"; got != want {
		w.t.Fatalf("admin consent at %q, want %q", got, want)
	}
	if q.Get("scope") != "https://graph.microsoft.com/.default" || q.Get("client_id") != w.app || q.Get("redirect_uri") != w.ours.URL+"/consent/callback" {
		w.t.Fatalf("admin consent asks for %v", q)
	}
	return q.Get("state")
}

// refused checks that the page says what happened and that nothing is kept.
func (w *world) refused(a answer, status int, title, before string) {
	w.t.Helper()
	text := html.UnescapeString(a.body)
	if a.status != status || !strings.Contains(text, "<h1>"+title+"</h1>") {
		w.t.Errorf("status %d, want %d, page must be headed %q, is:\n%s", a.status, status, title, text[max(0, strings.Index(text, "<main")):])
	}
	for _, heading := range []string{"What happened", "What to do"} {
		if !strings.Contains(text, heading) {
			w.t.Errorf("page lacks %q", heading)
		}
	}
	if after := w.picture(); after != before {
		w.t.Errorf("stored:\n%s\nwant as before:\n%s", after, before)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(w.nonces)) {
		w.t.Errorf("state left: %s", w.nonces[k].value)
	}
}
