package consent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

// step is what somebody does in the browser b, to the end that is judged.
type step = func(w *world, b *http.Client) answer

// attempt is a forged or unlucky consent, and how its page is headed.
type attempt struct {
	name   string
	before func(w *world)
	do     step
	status int
	title  string
}

// refusedAll checks that every attempt ends with a page that says so, and
// leaves nothing behind.
func refusedAll(t *testing.T, attempts ...attempt) {
	for _, tc := range attempts {
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

// onSignIn is a sign-in by who, with a token changed by change.
func onSignIn(who user, change func(*grant)) step {
	return func(w *world, b *http.Client) answer { return w.signIn(b, contoso, who, change) }
}

func claim(name string, value any) func(*grant) {
	return func(g *grant) { g.claims[name] = value }
}

func forge(f func(*entra, []byte) string) func(*grant) { return func(g *grant) { g.forge = f } }

// onConsent is a good sign-in, then a return from admin consent with the
// given pairs after the state.
func onConsent(pairs ...string) step {
	return func(w *world, b *http.Client) answer {
		s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
		return w.back(b, append([]string{"state", s}, pairs...)...)
	}
}

func owned(w *world) { w.claims[tenantA] = fabrik }

func named(w *world) {
	w.change(contoso, func(c *connection.Connection) { c.NamedTenant = tenantB })
}

var (
	personal = user{"9188040d-6c67-4c5b-b112-36a304b66dad", objectA, []string{global}}
	good     = []string{"admin_consent", "True", "tenant", tenantA}
)

// An answer that Microsoft did not give to this very trip, or gave before, is refused.
func TestThreatForgedOrReplayedCallback(t *testing.T) {
	refusedAll(t,
		attempt{"other tenant in the callback", nil, onConsent("admin_consent", "True", "tenant", tenantB), 403, "The approval is of another tenant"},
		attempt{"no tenant in the callback", nil, onConsent("admin_consent", "True"), 403, "The approval is of another tenant"},
		attempt{"admin_consent with error", nil, onConsent(append(good, "error", "access_denied", "error_description", "AADSTS65004: <b>declined</b>")...), 403, "The permissions were not approved"},
		attempt{"admin_consent with unknown error", nil, onConsent(append(good, "error", "server_error")...), 403, "Microsoft could not approve the permissions"},
		attempt{"admin_consent false", nil, onConsent("admin_consent", "False", "tenant", tenantA), 403, "The permissions were not approved"},
		attempt{"tenant twice", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, admin, nil)
			w.nonces = map[string]nonce{} // this refusal does not even look at the state
			return w.back(b, "state", state, "admin_consent", "True", "tenant", tenantA, "tenant", tenantB)
		}, 400, "We cannot read this request"},
		attempt{"replayed sign-in state", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, code := w.entra.signIn(w.t, a.location, employee, nil)
			w.back(b, "state", state, "code", code)
			_, code = w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, "state", state, "code", code)
		}, 400, "This step is over"},
		attempt{"replayed consent state", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.back(b, "state", s, "admin_consent", "True", "tenant", tenantB)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 400, "This step is over"},
		attempt{"invented state", nil, func(w *world, b *http.Client) answer {
			w.press(b, w.link(contoso))
			w.nonces = map[string]nonce{} // this refusal finds none
			return w.back(b, append([]string{"state", strings.Repeat("A", 43)}, good...)...)
		}, 400, "This step is over"},
		attempt{"state too old", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.clock = w.clock.Add(15 * time.Minute)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 400, "This step is over"},
		attempt{"consent answer with the sign-in's state", nil, func(w *world, b *http.Client) answer {
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, append([]string{"state", state}, good...)...)
		}, 403, "This answer does not fit the step"},
		attempt{"sign-in answer with the consent's state", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			return w.back(b, "state", s, "code", "c")
		}, 403, "This answer does not fit the step"},
		attempt{"sign-in declined", nil, func(w *world, b *http.Client) answer {
			state, _ := w.entra.signIn(w.t, w.press(b, w.link(contoso)).location, admin, nil)
			return w.back(b, "state", state, "error", "access_denied")
		}, 403, "You did not sign in"},
	)
}

// Nobody's browser finishes a trip that another one began.
func TestThreatLoginCSRF(t *testing.T) {
	refusedAll(t,
		attempt{"swapped state", nil, func(w *world, b *http.Client) answer {
			// An attacker's state, begun for their own connection, is put
			// into the administrator's browser.
			attacker := w.browser()
			theirs := w.consentState(w.signIn(attacker, fabrik, admin, nil), tenantA)
			w.press(b, w.link(contoso))
			w.keepOnly(theirs)
			return w.back(b, append([]string{"state", theirs}, good...)...)
		}, 403, "This sign-in was started in another browser"},
		attempt{"state of another browser's cookie", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			other := w.browser()
			w.press(other, w.link(contoso)) // gets a cookie of its own
			w.keepOnly(s)
			return w.back(other, append([]string{"state", s}, good...)...)
		}, 403, "This sign-in was started in another browser"},
		attempt{"code of another browser's sign-in", nil, func(w *world, b *http.Client) answer {
			attacker := w.browser()
			a := w.press(attacker, w.link(contoso))
			state, code := w.entra.signIn(w.t, a.location, admin, nil)
			w.press(b, w.link(contoso))
			w.keepOnly(state)
			return w.back(b, "state", state, "code", code)
		}, 403, "This sign-in was started in another browser"},
		attempt{"code of another sign-in", nil, func(w *world, b *http.Client) answer {
			// A stolen code injected into one's own trip fails PKCE.
			theirs := w.press(w.browser(), w.link(fabrik))
			_, stolen := w.entra.signIn(w.t, theirs.location, admin, nil)
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, employee, nil)
			w.keepOnly(state)
			return w.back(b, "state", state, "code", stolen)
		}, 403, "The sign-in took too long"},
	)
}

// A link that is over, or was altered, leads nowhere; whoever steals a good one still has to be the right administrator.
func TestThreatLinkTheft(t *testing.T) {
	refusedAll(t,
		attempt{"link expired before the button", nil, func(w *world, b *http.Client) answer {
			w.clock = w.clock.Add(72 * time.Hour)
			return w.press(b, w.link(contoso))
		}, 410, "This link has expired"},
		attempt{"link expired", nil, func(w *world, b *http.Client) answer {
			w.clock = w.clock.Add(72 * time.Hour)
			return w.get(b, w.link(contoso))
		}, 410, "This link has expired"},
		attempt{"link expired between the legs", func(w *world) { w.clock = w.clock.Add(72*time.Hour - time.Minute) }, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.clock = w.clock.Add(time.Minute)
			return w.back(b, append([]string{"state", s}, good...)...)
		}, 410, "This link has expired"},
		attempt{"link cut short", nil, func(w *world, b *http.Client) answer {
			return w.get(b, strings.TrimSuffix(w.link(contoso), w.link(contoso)[len(w.link(contoso))-4:]))
		}, 404, "This link is not valid"},
		attempt{"another tenant than named", named, onSignIn(admin, nil), 403, "This is another tenant than expected"},
		attempt{"personal account", nil, onSignIn(personal, nil), 403, "This is a personal account"},
		attempt{"employee with a stolen link", nil, onSignIn(employee, nil), 403, "An administrator is needed"},
	)
}

// A token made for another app, sign-in or tenant proves nobody.
func TestThreatTokenForAnotherAudience(t *testing.T) {
	refusedAll(t,
		attempt{"token for another audience", nil, onSignIn(admin, claim("aud", "99999999-2222-4333-8444-555555555555")), 403, "We could not verify who signed in"},
		attempt{"token for another app of ours", nil, onSignIn(admin, claim("aud", baseApp)), 403, "We could not verify who signed in"},
		attempt{"token of another sign-in", nil, onSignIn(admin, claim("nonce", "other")), 403, "We could not verify who signed in"},
		attempt{"token without nonce", nil, onSignIn(admin, func(g *grant) { delete(g.claims, "nonce") }), 403, "We could not verify who signed in"},
		attempt{"token expired", nil, onSignIn(admin, claim("exp", 1)), 403, "We could not verify who signed in"},
		attempt{"token of another issuer", nil, onSignIn(admin, claim("tid", tenantB)), 403, "We could not verify who signed in"},
	)
}

// A token counts only with the authority's own signature.
func TestThreatAlgorithmConfusion(t *testing.T) {
	refusedAll(t,
		attempt{"token with alg none", nil, onSignIn(admin, forge(unsigned)), 403, "We could not verify who signed in"},
		attempt{"token with alg HS256", nil, onSignIn(admin, forge(byModulus)), 403, "We could not verify who signed in"},
		attempt{"token of a stranger's key", nil, onSignIn(admin, forge(byStranger)), 403, "We could not verify who signed in"},
	)
}

// A tenant is bound by its own administrators, and to one company only.
func TestThreatTenantTakeover(t *testing.T) {
	refusedAll(t,
		attempt{"tenant of another company", owned, onSignIn(admin, nil), 409, "This tenant is already connected"},
		attempt{"approval of another person", approve(tenantA, objectA), onSignIn(employee, nil), 403, "An administrator is needed"},
		attempt{"approval in another tenant", approve(tenantB, objectE), onSignIn(employee, nil), 403, "An administrator is needed"},
	)
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
func TestThreatLinkTheftRevoked(t *testing.T) {
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
func TestThreatTenantTakenBetweenLegs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	w.claims[tenantA] = fabrik
	before := w.picture()
	w.refused(w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA), http.StatusConflict, "This tenant is already connected", before)
}
