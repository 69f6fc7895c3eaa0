package proof

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// forger is what the forged consents have at hand.
type forger struct {
	*sandbox.Sandbox
	t   *testing.T
	key []byte // signs the links
	// c is a customer of this case alone, whose administrator has a link and
	// has not used it; v is that administrator's browser.
	c customer
	v *visitor
	// owned is a connected customer.
	owned customer
}

// callback is an address of the callback, made up by whoever sends it.
func (f forger) callback(pairs ...string) string {
	return with(&url.URL{Scheme: "https", Host: strings.TrimPrefix(f.PublicURL, "https://"), Path: "/consent/callback"}, pairs...)
}

// resigned is a link of another expiry, signed with the right key or another.
// Its layout is documented where links are made.
func (f forger) resigned(link string, expires time.Time, key []byte) string {
	base, token, _ := strings.Cut(link, "/connect/")
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 13+32 {
		f.t.Fatalf("link %q: %v", link, err)
	}
	b = b[:len(b)-32]
	binary.BigEndian.PutUint64(b[5:], uint64(expires.Unix()))
	m := hmac.New(sha256.New, key)
	m.Write([]byte("rollcall/connect-link/1\x00"))
	m.Write(b)
	return base + "/connect/" + base64.RawURLEncoding.EncodeToString(m.Sum(b))
}

// request sends one request without a browser's help.
func (f forger) request(method, address string, header ...string) *browser.Page {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, address, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := f.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := browser.Read(resp)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// forgery prepares a forged consent and returns the step that must be refused
// with a page of that status and heading.
type forgery struct {
	name    string
	status  int
	heading string
	prepare func(f forger) (act func() *browser.Page)
}

// Every forged consent is refused with a page that says what happened and
// what to do, and leaves nothing stored and nothing queued.
func TestForgedConsents(t *testing.T) {
	t.Parallel()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	s := start(t, sandbox.Options{Settings: map[string]string{"LINK_KEYS": base64.StdEncoding.EncodeToString(key)}})
	owned := connected(t, s, tenant.Spec{Name: "Owner", People: 15})
	for _, g := range append(forgedReturns, append(forgedLinks, forgedPeople...)...) {
		t.Run(g.name, func(t *testing.T) {
			c := invited(t, s, tenant.Spec{People: 3})
			f := forger{Sandbox: s, t: t, key: key, c: c, v: visit(t, s), owned: owned}
			act := g.prepare(f)
			rows, n := stored(t, s), sent(t, s)
			p := act()
			unchanged(t, s, rows, n)
			shown(t, p, g.status, g.heading)
			for _, part := range []string{"What happened", "What to do"} {
				if !strings.Contains(p.Text, part) {
					t.Errorf("the page does not say %q: %s", part, p.Text)
				}
			}
			if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("headers %v", p.Header)
			}
		})
	}
	// What all of that was about: the tenant still belongs to whom it did.
	if conn := owned.connection(t, s); conn.Status != "ok" || conn.Tenant != owned.tenant.ID {
		t.Errorf("the owner's connection is %+v", conn)
	}
	check(t, s, owned)
}

const (
	stepOver  = "This step is over"
	otherLeg  = "This answer does not fit the step"
	elsewhere = "This sign-in was started in another browser"
	otherID   = "The approval is of another tenant"
	unproven  = "We could not verify who signed in"
	failed    = "Microsoft could not approve the permissions"
)

// forgedReturns come back from Microsoft, or pretend to.
var forgedReturns = []forgery{
	{"another tenant in the callback", 403, otherID, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.open(with(u, "tenant", f.owned.tenant.ID)) }
	}},
	{"no tenant in the callback", 403, otherID, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.open(with(u, "tenant", "")) }
	}},
	{"two tenants in the callback", 400, "We cannot read this request", func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.open(u.String() + "&tenant=" + f.owned.tenant.ID) }
	}},
	{"a made-up callback", 400, stepOver, func(f forger) func() *browser.Page {
		u := f.callback("state", strings.Repeat("A", 43), "admin_consent", "True", "tenant", f.c.tenant.ID)
		return func() *browser.Page { return f.v.open(u) }
	}},
	{"a callback without anything", 400, stepOver, func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.v.open(f.callback()) }
	}},
	{"a replayed sign-in", 400, stepOver, func(f forger) func() *browser.Page {
		u := f.v.first(f.c.Link, f.c.admin())
		f.v.open(u.String())
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a replayed consent", 400, stepOver, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		f.v.open(u.String())
		awaitRuns(f.t, f.Sandbox, f.c, 1)
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a consent that was refused before", 400, stepOver, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		f.v.open(with(u, "tenant", f.owned.tenant.ID))
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a sign-in in a browser without its cookie", 403, elsewhere, func(f forger) func() *browser.Page {
		u := f.v.first(f.c.Link, f.c.admin())
		return func() *browser.Page { return visit(f.t, f.Sandbox).open(u.String()) }
	}},
	{"a consent in the browser of another sign-in", 403, elsewhere, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		other := visit(f.t, f.Sandbox)
		other.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return other.open(u.String()) }
	}},
	{"the state of another browser", 403, elsewhere, func(f forger) func() *browser.Page {
		victim := f.v.second(f.c.Link, f.c.admin())
		mallory := visit(f.t, f.Sandbox)
		u := mallory.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return mallory.open(with(u, "state", victim.Query().Get("state"))) }
	}},
	{"the sign-in's state of another connection", 403, unproven, func(f forger) func() *browser.Page {
		another := invited(f.t, f.Sandbox, tenant.Spec{People: 3})
		u, o := f.v.first(f.c.Link, f.c.admin()), f.v.first(another.Link, another.admin())
		return func() *browser.Page { return f.v.open(with(u, "state", o.Query().Get("state"))) }
	}},
	{"the consent's state of another connection", 403, otherID, func(f forger) func() *browser.Page {
		another := invited(f.t, f.Sandbox, tenant.Spec{People: 3})
		u, o := f.v.second(f.c.Link, f.c.admin()), f.v.second(another.Link, another.admin())
		return func() *browser.Page { return f.v.open(with(u, "state", o.Query().Get("state"))) }
	}},
	{"a code of somebody else's sign-in", 403, unproven, func(f forger) func() *browser.Page {
		u := f.v.first(f.c.Link, f.c.admin())
		o := visit(f.t, f.Sandbox).first(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.open(with(u, "code", o.Query().Get("code"))) }
	}},
	{"a consent with the state of the sign-in", 403, otherLeg, func(f forger) func() *browser.Page {
		u := f.v.first(f.c.Link, f.c.employee())
		forged := f.callback("state", u.Query().Get("state"), "admin_consent", "True", "tenant", f.c.tenant.ID)
		return func() *browser.Page { return f.v.open(forged) }
	}},
	{"a sign-in with the state of the consent", 403, otherLeg, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		o := visit(f.t, f.Sandbox).first(f.c.Link, f.c.admin())
		forged := f.callback("state", u.Query().Get("state"), "code", o.Query().Get("code"))
		return func() *browser.Page { return f.v.open(forged) }
	}},
	{"admin_consent=True with an error", 403, failed, func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		forged := with(u, "error", "server_error", "error_description", "AADSTS90033: <b>try again</b>")
		return func() *browser.Page {
			p := f.v.open(forged)
			if !strings.Contains(p.Text, "AADSTS90033") || strings.Contains(p.Text, "try again") {
				f.t.Errorf("the page must show Microsoft's code, and never the text of an address: %s", p.Text)
			}
			return p
		}
	}},
	{"admin_consent=False", 403, "The permissions were not approved", func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.open(with(u, "admin_consent", "False")) }
	}},
	{"cancel at the consent", 403, "The permissions were not approved", func(f forger) func() *browser.Page {
		p := f.v.signIn(f.c.Link, f.c.admin())
		return func() *browser.Page { return f.v.press(p, cancel) }
	}},
	{"cancel at the sign-in", 403, "You did not sign in", func(f forger) func() *browser.Page {
		p := f.v.press(f.v.open(f.c.Link), begin)
		return func() *browser.Page { return f.v.press(p, cancel) }
	}},
}

// Looking at a link changes nothing, whoever looks and under whatever name
// the host is called; addresses on the page are always the configured ones.
func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := invited(t, s, tenant.Spec{People: 3})
	f := forger{Sandbox: s, t: t, c: c}
	want := c.Link + "/authorize"
	rows, n := stored(t, s), sent(t, s)
	for _, header := range [][]string{
		nil,
		{"Host", "evil.example"},
		{"Host", "evil.example", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example"},
		{"X-Original-Host", "evil.example", "X-HTTP-Method-Override", "POST"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			p := f.request(method, c.Link, header...)
			if p.Status != 200 || p.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %v: %d, cookie %q", method, header, p.Status, p.Header.Get("Set-Cookie"))
			}
			if method == "GET" && (len(p.Actions) != 1 || p.Actions[0] != want) {
				t.Errorf("%s with %v: the button leads to %q, want %q", method, header, p.Actions, want)
			}
		}
	}
	// The host does not even pass these on.
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		if p := f.request(method, c.Link); p.Status != 404 {
			t.Errorf("%s: %d, want 404", method, p.Status)
		}
	}
	unchanged(t, s, rows, n)

	// The way to Microsoft names the configured callback, too.
	p := f.request("POST", want, "Host", "evil.example", "X-Forwarded-Host", "evil.example", "Sec-Fetch-Site", "same-origin")
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || p.Status != 303 || to.Query().Get("redirect_uri") != s.PublicURL+"/consent/callback" {
		t.Errorf("%d, to %v, %v", p.Status, to, err)
	}
	if cookie := p.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-") || strings.Contains(cookie, "Domain") ||
		!strings.Contains(cookie, "Secure") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("cookie %q", cookie)
	}
}
