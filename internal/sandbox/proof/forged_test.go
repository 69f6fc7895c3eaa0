package proof

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const (
	stepOver  = "This step is over"
	otherLeg  = "This answer does not fit the step"
	elsewhere = "This sign-in was started in another browser"
	otherID   = "The approval is of another tenant"
	unproven  = "We could not verify who signed in"
	failed    = "Microsoft could not approve the permissions"
)

// Nothing that comes back from Microsoft is believed, nor what pretends to.
func TestThreatForgedCallback(t *testing.T) {
	repelled(t, forgedCallbacks)
}

var forgedCallbacks = []forgery{
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
		f.v.press(f.v.open(f.c.Link), begin) // so that the browser has its cookie
		u := f.callback("state", strings.Repeat("A", 43), "admin_consent", "True", "tenant", f.c.tenant.ID)
		return func() *browser.Page { return f.v.open(u) }
	}},
	{"a made-up callback in a browser without a cookie", 403, elsewhere, func(f forger) func() *browser.Page {
		u := f.callback("state", strings.Repeat("A", 43), "admin_consent", "True", "tenant", f.c.tenant.ID)
		return func() *browser.Page { return f.v.open(u) }
	}},
	{"a callback without anything", 400, stepOver, func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.v.open(f.callback()) }
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

// What came back once comes back once.
func TestThreatReplayedCallback(t *testing.T) {
	repelled(t, []forgery{
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
	})
	// Nor does it twice at the same time.
	b := siegeOf(t)
	f := b.forger(t)
	for leg, u := range map[string]string{"sign-in": f.v.first(f.c.Link, f.c.admin()).String(), "consent": f.v.second(f.c.Link, f.c.admin()).String()} {
		var (
			all   sync.WaitGroup
			mu    sync.Mutex
			times = map[int]int{}
		)
		for range 12 {
			all.Go(func() {
				p, err := f.v.Open(t.Context(), u)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if times[p.Status]++; p.Status != http.StatusOK && p.Heading != stepOver {
					t.Errorf("%s: the page is %d %q", leg, p.Status, p.Heading)
				}
			})
		}
		all.Wait()
		if times[http.StatusOK] != 1 {
			t.Errorf("%s: answered %v, want 200 once", leg, times)
		}
	}
	awaitRuns(t, b.Sandbox, f.c, 1)
	settled(t, b.Sandbox, f.c)
}

// Nobody's browser finishes what another one began, nor begins what its owner
// did not ask for.
func TestThreatLoginCSRF(t *testing.T) {
	repelled(t, []forgery{
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
		{"a code of somebody else's sign-in", 403, unproven, func(f forger) func() *browser.Page {
			u := f.v.first(f.c.Link, f.c.admin())
			o := visit(f.t, f.Sandbox).first(f.c.Link, f.c.admin())
			return func() *browser.Page { return f.v.open(with(u, "code", o.Query().Get("code"))) }
		}},
		{"the button on another website", 403, "This request came from another website", func(f forger) func() *browser.Page {
			return func() *browser.Page {
				return f.send("POST", f.c.Link+"/authorize", button, "Sec-Fetch-Site", "cross-site")
			}
		}},
		{"the button on a sister site", 403, "This request came from another website", func(f forger) func() *browser.Page {
			return func() *browser.Page {
				return f.send("POST", f.c.Link+"/authorize", button, "Sec-Fetch-Site", "same-site")
			}
		}},
		{"the button on another website in an old browser", 403, "This request came from another website", func(f forger) func() *browser.Page {
			return func() *browser.Page {
				return f.send("POST", f.c.Link+"/authorize", button, "Origin", "https://evil.example")
			}
		}},
		{"the button under another host's name", 403, "This request came from another website", func(f forger) func() *browser.Page {
			return func() *browser.Page {
				return f.send("POST", f.c.Link+"/authorize", button, "Host", "evil.example", "X-Forwarded-Host", "evil.example", "Origin", "https://evil.example")
			}
		}},
	})
}

// Two companies' trips stay apart, even in one browser.
func TestThreatMixUpOfCompanies(t *testing.T) {
	repelled(t, []forgery{
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
	})
}
