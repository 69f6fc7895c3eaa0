package proof

import (
	"testing"
	"time"

	"rollcall/internal/sandbox/browser"
)

// A link that is over, or that was altered, leads nowhere; whoever steals a
// good one has no use for it.
func TestThreatLinkTheft(t *testing.T) {
	repelled(t, stolenLinks)
	t.Run("a link that was used", func(t *testing.T) {
		b := siegeOf(t)
		f := b.forger(t)
		stale := f.v.open(f.c.Link)
		f.v.press(f.v.signIn(f.c.Link, f.c.admin()), accept)
		awaitRuns(t, b.Sandbox, f.c, 1)
		settled(t, b.Sandbox, f.c)
		rows, n := stored(t, b.Sandbox), sent(t, b.Sandbox)
		// It tells the company how it stands, and offers nothing any more, nor
		// does the button of a page from before.
		thief := visit(t, b.Sandbox)
		p := thief.open(f.c.Link)
		shown(t, p, 200, f.c.tenant.Name+" is connected")
		if len(p.Actions) > 0 {
			t.Errorf("the page leads to %v", p.Actions)
		}
		p = thief.press(stale, begin)
		shown(t, p, 200, f.c.tenant.Name+" is connected")
		for _, a := range p.Visited {
			if a != f.c.Link {
				t.Errorf("the button leads to %s", a)
			}
		}
		unchanged(t, b.Sandbox, rows, n)
	})
}

var stolenLinks = []forgery{
	{"an expired link", 410, "This link has expired", func(f forger) func() *browser.Page {
		link := f.resigned(f.c.Link, time.Now().Add(-time.Second), f.key)
		return func() *browser.Page { return f.v.open(link) }
	}},
	{"an expired link's button", 410, "This link has expired", func(f forger) func() *browser.Page {
		link := f.resigned(f.c.Link, time.Now().Add(-time.Second), f.key)
		return func() *browser.Page { return f.request("POST", link+"/authorize") }
	}},
	{"a link that expires during the sign-in", 410, "This link has expired", func(f forger) func() *browser.Page {
		u := f.v.first(f.c.Link, f.c.admin())
		age(f.t, f.Sandbox, f.c, "LinkExpires", time.Now().Add(-time.Second))
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a link that expires during the consent", 410, "This link has expired", func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		age(f.t, f.Sandbox, f.c, "LinkExpires", time.Now().Add(-time.Second))
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a link made longer without the key", 404, "This link is not valid", func(f forger) func() *browser.Page {
		link := f.resigned(f.c.Link, time.Now().Add(24*time.Hour), make([]byte, 32))
		return func() *browser.Page { return f.v.open(link) }
	}},
	{"a link cut off", 404, "This link is not valid", func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.v.open(f.c.Link[:len(f.c.Link)-1]) }
	}},
	{"a revoked link", 410, "This link is no longer valid", func(f forger) func() *browser.Page {
		f.change("revoke")
		return func() *browser.Page { return f.v.open(f.c.Link) }
	}},
	{"a link that is revoked during the consent", 410, "This link is no longer valid", func(f forger) func() *browser.Page {
		u := f.v.second(f.c.Link, f.c.admin())
		f.change("revoke")
		return func() *browser.Page { return f.v.open(u.String()) }
	}},
	{"a link that was replaced", 410, "This link is no longer valid", func(f forger) func() *browser.Page {
		stale := f.v.open(f.c.Link)
		f.change("resend")
		return func() *browser.Page { return f.v.press(stale, begin) }
	}},
	{"a stolen link of an employee", 403, "An administrator is needed", func(f forger) func() *browser.Page {
		p := f.v.press(f.v.open(f.c.Link), begin)
		return func() *browser.Page { return f.v.press(p, f.c.employee().Username) }
	}},
	anotherThanNamed,
	{"the button's address opened", 405, "This address cannot be opened directly", func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.v.open(f.c.Link + "/authorize") }
	}},
}

// change resends or revokes the customer's link.
func (f forger) change(action string) {
	f.t.Helper()
	a, err := f.Call(f.t.Context(), "POST", f.c.path("/link"), map[string]string{"action": action}, nil)
	if err != nil || a.Status != 200 {
		f.t.Fatalf("%s: %d %s %v", action, a.Status, a.Body, err)
	}
}
