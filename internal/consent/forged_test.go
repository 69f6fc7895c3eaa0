package consent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

// Every forged or unlucky consent is refused with a page that says so, and
// leaves nothing behind.
func TestForged(t *testing.T) {
	type step = func(w *world, b *http.Client) answer
	// onSignIn is a sign-in by who, with a token changed by change.
	onSignIn := func(who user, change func(*grant)) step {
		return func(w *world, b *http.Client) answer { return w.signIn(b, contoso, who, change) }
	}
	claim := func(name string, value any) func(*grant) {
		return func(g *grant) { g.claims[name] = value }
	}
	forge := func(f func(*entra, []byte) string) func(*grant) { return func(g *grant) { g.forge = f } }
	// onConsent is a good sign-in, then a return from admin consent with the
	// given pairs after the state.
	onConsent := func(pairs ...string) step {
		return func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			return w.back(b, append([]string{"state", s}, pairs...)...)
		}
	}
	owned := func(w *world) { w.claims[tenantA] = fabrik }
	named := func(w *world) { w.change(contoso, func(c *connection.Connection) { c.NamedTenant = tenantB }) }
	personal := user{"9188040d-6c67-4c5b-b112-36a304b66dad", objectA, []string{global}}
	good := []string{"admin_consent", "True", "tenant", tenantA}

	for _, tc := range []struct {
		name   string
		before func(w *world)
		do     step
		status int
		title  string
	}{
		{"other tenant in the callback", nil, onConsent("admin_consent", "True", "tenant", tenantB), 403, "The approval is of another tenant"},
		{"no tenant in the callback", nil, onConsent("admin_consent", "True"), 403, "The approval is of another tenant"},
		{"admin_consent with error", nil, onConsent(append(good, "error", "access_denied", "error_description", "AADSTS65004: <b>declined</b>")...), 403, "The permissions were not approved"},
		{"admin_consent with unknown error", nil, onConsent(append(good, "error", "server_error")...), 403, "Microsoft could not approve the permissions"},
		{"admin_consent false", nil, onConsent("admin_consent", "False", "tenant", tenantA), 403, "The permissions were not approved"},
		{"tenant twice", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, admin, nil)
			w.nonces = map[string]nonce{} // this refusal does not even look at the state
			return w.back(b, "state", state, "admin_consent", "True", "tenant", tenantA, "tenant", tenantB)
		}, 400, "We cannot read this request"},
		{"replayed sign-in state", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, code := w.entra.signIn(w.t, a.location, employee, nil)
			w.back(b, "state", state, "code", code)
			_, code = w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, "state", state, "code", code)
		}, 400, "This step is over"},
		{"replayed consent state", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.back(b, "state", s, "admin_consent", "True", "tenant", tenantB)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 400, "This step is over"},
		{"invented state", nil, func(w *world, b *http.Client) answer {
			return w.back(b, append([]string{"state", strings.Repeat("A", 43)}, good...)...)
		}, 400, "This step is over"},
		{"state too old", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.clock = w.clock.Add(15 * time.Minute)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 400, "This step is over"},
		{"swapped state", nil, func(w *world, b *http.Client) answer {
			// An attacker's state, begun for their own connection, is put
			// into the administrator's browser.
			attacker := w.browser()
			theirs := w.consentState(w.signIn(attacker, fabrik, admin, nil), tenantA)
			w.press(b, w.link(contoso))
			w.keepOnly(theirs)
			return w.back(b, append([]string{"state", theirs}, good...)...)
		}, 403, "This sign-in was started in another browser"},
		{"state without cookie", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			return w.back(w.browser(), append([]string{"state", s}, good...)...)
		}, 403, "This sign-in was started in another browser"},
		{"code of another browser's sign-in", nil, func(w *world, b *http.Client) answer {
			attacker := w.browser()
			a := w.press(attacker, w.link(contoso))
			state, code := w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, "state", state, "code", code)
		}, 403, "This sign-in was started in another browser"},
		{"code of another sign-in", nil, func(w *world, b *http.Client) answer {
			// A stolen code injected into one's own trip fails PKCE.
			theirs := w.press(w.browser(), w.link(fabrik))
			_, stolen := w.entra.signIn(w.t, theirs.location, admin, nil)
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, employee, nil)
			w.keepOnly(state)
			return w.back(b, "state", state, "code", stolen)
		}, 403, "The sign-in took too long"},
		{"consent answer with the sign-in's state", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, append([]string{"state", state}, good...)...)
		}, 403, "This answer does not fit the step"},
		{"sign-in answer with the consent's state", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			return w.back(b, "state", s, "code", "c")
		}, 403, "This answer does not fit the step"},
		{"link expired before the button", nil, func(w *world, b *http.Client) answer {
			w.clock = w.clock.Add(72 * time.Hour)
			return w.press(b, w.link(contoso))
		}, 410, "This link has expired"},
		{"link expired", nil, func(w *world, b *http.Client) answer {
			w.clock = w.clock.Add(72 * time.Hour)
			return w.get(b, w.link(contoso))
		}, 410, "This link has expired"},
		{"link expired between the legs", func(w *world) { w.clock = w.clock.Add(72*time.Hour - time.Minute) }, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.clock = w.clock.Add(time.Minute)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 410, "This link has expired"},
		{"link cut short", nil, func(w *world, b *http.Client) answer {
			return w.get(b, strings.TrimSuffix(w.link(contoso), w.link(contoso)[len(w.link(contoso))-4:]))
		}, 404, "This link is not valid"},
		{"sign-in declined", nil, func(w *world, b *http.Client) answer {
			state, _ := w.entra.signIn(w.t, w.press(b, w.link(contoso)).location, admin, nil)
			return w.back(b, "state", state, "error", "access_denied")
		}, 403, "You did not sign in"},
		{"employee of a tenant that consented earlier", nil, onSignIn(employee, nil), 403, "An administrator is needed"},
		{"approval of another person", approve(tenantA, objectA), onSignIn(employee, nil), 403, "An administrator is needed"},
		{"approval in another tenant", approve(tenantB, objectE), onSignIn(employee, nil), 403, "An administrator is needed"},
		{"tenant of another company", owned, onSignIn(admin, nil), 409, "This tenant is already connected"},
		{"personal account", nil, onSignIn(personal, nil), 403, "This is a personal account"},
		{"another tenant than named", named, onSignIn(admin, nil), 403, "This is another tenant than expected"},
		{"token for another audience", nil, onSignIn(admin, claim("aud", "99999999-2222-4333-8444-555555555555")), 403, "We could not verify who signed in"},
		{"token of another sign-in", nil, onSignIn(admin, claim("nonce", "other")), 403, "We could not verify who signed in"},
		{"token without nonce", nil, onSignIn(admin, func(g *grant) { delete(g.claims, "nonce") }), 403, "We could not verify who signed in"},
		{"token expired", nil, onSignIn(admin, claim("exp", 1)), 403, "We could not verify who signed in"},
		{"token of another issuer", nil, onSignIn(admin, claim("tid", tenantB)), 403, "We could not verify who signed in"},
		{"token with alg none", nil, onSignIn(admin, forge(unsigned)), 403, "We could not verify who signed in"},
		{"token with alg HS256", nil, onSignIn(admin, forge(byModulus)), 403, "We could not verify who signed in"},
		{"token of a stranger's key", nil, onSignIn(admin, forge(byStranger)), 403, "We could not verify who signed in"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tc.before != nil {
				tc.before(w)
			}
			before := w.picture()
			w.refused(tc.do(w, w.browser()), tc.status, tc.title, before)
		})
	}
}

func approve(tenant, object string) func(*world) {
	return func(w *world) {
		w.change(contoso, func(c *connection.Connection) { c.Approved = &connection.Approval{Tenant: tenant, Object: object} })
	}
}

// keepOnly forgets all states but one: those of trips that a test leaves
// unfinished on purpose.
func (w *world) keepOnly(state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.nonces[stateKey(state)]
	w.nonces = map[string]nonce{stateKey(state): kept}
}

// A link of an older generation is dead at every step.
func TestRevoked(t *testing.T) {
	for _, when := range []string{"page", "button", "sign-in", "consent"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			b, link := w.browser(), w.link(contoso)
			var state, code string
			switch when {
			case "sign-in":
				state, code = w.entra.signIn(t, w.press(b, link).location, admin, nil)
			case "consent":
				state = w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			}
			w.change(contoso, func(c *connection.Connection) { c.Link++ })
			before := w.picture()
			a := map[string]func() answer{
				"page":    func() answer { return w.get(b, link) },
				"button":  func() answer { return w.press(b, link) },
				"sign-in": func() answer { return w.back(b, "state", state, "code", code) },
				"consent": func() answer { return w.back(b, "state", state, "admin_consent", "True", "tenant", tenantA) },
			}[when]()
			w.refused(a, http.StatusGone, "This link is no longer valid", before)
		})
	}
}

// The tenant is taken by another company while this one consents.
func TestOwnedBetweenLegs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	w.claims[tenantA] = fabrik
	before := w.picture()
	w.refused(w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA), http.StatusConflict, "This tenant is already connected", before)
}
