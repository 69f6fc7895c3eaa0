package consent_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
)

// An app that was consented to once stays in its tenant: a token can be had,
// and an answer from admin consent forged. None of that lets somebody bind the
// tenant who is no administrator of it.
func TestThreatNonAdministratorOfConsentedTenant(t *testing.T) {
	// consented is a world in which fabrikam connected tenant A and left.
	consented := func(t *testing.T) *world {
		w := newWorld(t)
		w.finish(w.browser(), fabrik, admin)
		if err := w.verifier(&microsoft{}).Verify(t.Context(), w.sent[0].job); err != nil || w.connections[fabrik].Status != connection.Connected {
			t.Fatalf("%v, %+v", err, w.connections[fabrik])
		}
		w.change(fabrik, func(c *connection.Connection) { c.Status = connection.Offboarded })
		delete(w.claims, tenantA)
		return w
	}
	const noAdmin = "An administrator is needed"
	for _, tc := range []attempt{
		{"signs in", nil, onSignIn(employee, nil), 403, noAdmin},
		{"claims roles beyond their token", nil, onSignIn(employee, func(g *grant) { g.claims["roles"] = []string{global}; g.claims["groups"] = []string{global} }), 403, noAdmin},
		{"has no roles claim at all", nil, onSignIn(employee, func(g *grant) { delete(g.claims, "wids") }), 403, noAdmin},
		{"is administrator of something else", nil, onSignIn(user{tenantA, objectE, []string{
			"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "158c047a-c907-4556-b7ef-446551a6b5f7", // application, cloud application
		}}, nil), 403, noAdmin},
		{"forges the consent after the first leg", nil, func(w *world, b *http.Client) answer {
			state, _ := w.entra.signIn(t, w.press(b, w.link(contoso)).location, employee, nil)
			return w.back(b, append([]string{"state", state}, good...)...)
		}, 403, "This answer does not fit the step"},
		{"takes an administrator's consent to their own browser", nil, func(w *world, b *http.Client) answer {
			theirs := w.consentState(w.signIn(w.browser(), contoso, admin, nil), tenantA)
			w.press(b, w.link(contoso))
			w.keepOnly(theirs)
			return w.back(b, append([]string{"state", theirs}, good...)...)
		}, 403, "This sign-in was started in another browser"},
		{"was approved, but no longer is", approve(tenantA, objectE), func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, employee, nil), tenantA)
			w.connections[contoso] = func(c connection.Connection) connection.Connection { c.Approved = nil; return c }(w.connections[contoso])
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 403, noAdmin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := consented(t)
			if tc.before != nil {
				tc.before(w)
			}
			a := tc.do(w, w.browser())
			c := w.connections[contoso]
			if a.status != tc.status || !strings.Contains(a.body, "<h1>"+tc.title+"</h1>") {
				t.Errorf("status %d, page %s", a.status, a.body)
			}
			if c.Status != connection.Invited || c.Tenant != "" || w.claims[tenantA] != "" || len(w.sent) != 1 || len(w.nonces) != 0 {
				t.Errorf("stored %+v, claims %v, sent %v", c, w.claims, w.sent)
			}
		})
	}
	// The administrator of that same tenant may.
	w := consented(t)
	if w.finish(w.browser(), contoso, admin); w.connections[contoso].Tenant != tenantA || w.claims[tenantA] != contoso {
		t.Errorf("stored %+v", w.connections[contoso])
	}
}

// Two companies' trips in one browser stay apart: each ends at its own
// connection, and an answer to one does not pass for an answer to the other.
func TestThreatMixUpOfCompanies(t *testing.T) {
	other := user{tenantB, objectA, []string{global}}
	w := newWorld(t)
	b := w.browser()
	ours := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	theirs := w.consentState(w.signIn(b, fabrik, other, nil), tenantB)
	if a := w.back(b, "state", theirs, "admin_consent", "True", "tenant", tenantA); a.status != http.StatusForbidden || w.connections[fabrik].Tenant != "" {
		t.Errorf("swapped: status %d, %+v", a.status, w.connections[fabrik])
	}
	w.back(b, "state", ours, "admin_consent", "True", "tenant", tenantA)
	if w.connections[contoso].Tenant != tenantA || w.connections[fabrik].Tenant != "" || w.claims[tenantA] != contoso || w.claims[tenantB] != "" {
		t.Errorf("stored %+v and %+v, claims %v", w.connections[contoso], w.connections[fabrik], w.claims)
	}

	// A code of one trip with the state of the other fails its verifier.
	w = newWorld(t)
	b = w.browser()
	_, code := w.entra.signIn(t, w.press(b, w.link(contoso)).location, admin, nil)
	state, _ := w.entra.signIn(t, w.press(b, w.link(fabrik)).location, other, nil)
	before := w.picture()
	if a := w.back(b, "state", state, "code", code); a.status != http.StatusForbidden || w.picture() != before {
		t.Errorf("swapped code: status %d, stored %s", a.status, w.picture())
	}

	// A connection keeps its tenant, even where nothing but its proof is left.
	for name, change := range map[string]func(*connection.Connection){
		"verified": func(c *connection.Connection) { c.Verified = w.clock },
		"due":      func(c *connection.Connection) { c.NextDue = w.clock },
		"has run":  func(c *connection.Connection) { c.LastRun = "r1" },
	} {
		w := newWorld(t)
		w.change(contoso, func(c *connection.Connection) {
			c.Status, c.Tenant = connection.Disconnected, tenantB
			change(c)
		})
		if a := w.signIn(w.browser(), contoso, admin, nil); a.status != http.StatusConflict {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
}

// No query, header or host decides where a browser is sent: only Microsoft's
// configured address and our own link.
func TestThreatOpenRedirect(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	const evil = "https://evil.example"
	hostile := func(method, address string) answer {
		r, err := http.NewRequest(method, address, strings.NewReader(confirmed))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, h := range []string{"X-Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded", "Referer"} {
			r.Header.Set(h, evil)
		}
		return w.do(b, r)
	}
	more := url.Values{}
	for _, k := range []string{"redirect_uri", "redirect", "return", "next", "to", "url", "session_state", "scope", "client_id"} {
		more.Set(k, evil)
	}
	callback := w.ours.URL + "/consent/callback?" + more.Encode()
	sent := func(step, to, want string) {
		t.Helper()
		u, err := url.Parse(to)
		if err != nil || u.Scheme+"://"+u.Host != want || strings.Contains(to, "evil") || u.User != nil {
			t.Errorf("%s: sent to %q", step, to)
		}
	}
	one := hostile(http.MethodPost, w.link(contoso)+"/authorize?"+more.Encode()).location
	sent("button", one, w.entra.URL)
	state, code := w.entra.signIn(t, one, admin, nil)
	two := hostile(http.MethodGet, callback+"&state="+state+"&code="+code).location
	sent("sign-in", two, w.entra.URL)
	u, _ := url.Parse(two)
	three := hostile(http.MethodGet, callback+"&admin_consent=True&tenant="+tenantA+"&state="+u.Query().Get("state")).location
	sent("consent", three, w.ours.URL)
	if three != w.link(contoso) {
		t.Errorf("at last to %q", three)
	}
}

// Whoever holds a link can press its button without end, but fill neither the
// store nor the queue with it, nor keep others from theirs.
func TestButtonPressedWithoutEnd(t *testing.T) {
	for _, status := range []connection.Status{connection.Invited, connection.Consenting} {
		w := newWorld(t)
		w.change(contoso, func(c *connection.Connection) { c.Status, c.Verify.ID = status, "v1" })
		press := func(id string) answer { return w.press(w.browser(), w.link(id)) }
		kept := func() int { return len(w.nonces) + len(w.sent) }
		for i := range 100 {
			a := press(contoso)
			if i < 30 != (a.status == http.StatusSeeOther) || i >= 30 && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "900") {
				t.Fatalf("%s: press %d: status %d, Retry-After %q", status, i, a.status, a.header.Get("Retry-After"))
			}
		}
		if a := w.get(w.browser(), w.link(contoso)); a.status != http.StatusOK || kept() != 30 {
			t.Errorf("%s: page %d, %d states and messages kept", status, a.status, kept())
		}
		if a := press(fabrik); a.status != http.StatusSeeOther {
			t.Errorf("%s: another link: %d", status, a.status)
		}
		w.clock = w.clock.Add(15*time.Minute - 90*time.Second)
		if a := press(contoso); a.header.Get("Retry-After") != "90" {
			t.Errorf("%s: %d, Retry-After %q", status, a.status, a.header.Get("Retry-After"))
		}
		w.clock = w.clock.Add(90 * time.Second)
		if a := press(contoso); a.status != http.StatusSeeOther || kept() != 32 {
			t.Errorf("%s: a quarter of an hour later: %d, %d kept", status, a.status, kept())
		}
	}
}

// A link outlives one change of the key, and no more; from the change on,
// pages carry links of the new key.
func TestThreatKeyRotation(t *testing.T) {
	w := newWorld(t)
	first, second, third := strings.Repeat("k", 32), strings.Repeat("l", 32), strings.Repeat("m", 32)
	token := w.token(contoso)
	rotate := func(keys ...string) {
		var bs [][]byte
		for _, k := range keys {
			bs = append(bs, []byte(k))
		}
		var err error
		if w.flow.Links, err = consent.NewLinks(w.ours.URL, bs...); err != nil {
			t.Fatal(err)
		}
	}
	rotate(second, first)
	v, err := w.flow.Look(t.Context(), token)
	if err != nil || strings.HasSuffix(v.Link, token) {
		t.Fatalf("rotated: %v, link %s", err, v.Link)
	}
	renewed := v.Link[strings.LastIndex(v.Link, "/")+1:]
	rotate(third, second)
	if _, err := w.flow.Look(t.Context(), token); cause(err) != consent.LinkUnknown {
		t.Errorf("retired: %v", err)
	}
	if _, err := w.flow.Look(t.Context(), renewed); err != nil {
		t.Errorf("signed by the key before: %v", err)
	}
}
