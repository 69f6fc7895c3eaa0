package proof

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/tablestore"
)

// Every way that ought to lead to a connected tenant does, and the first run
// stores exactly the people of that tenant.
func TestConsentIsGranted(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	for name, way := range map[string]func(*testing.T, *visitor, customer){
		"by a Global Administrator": func(_ *testing.T, v *visitor, c customer) {
			v.press(v.signIn(c.Link, c.admin()), accept)
		},
		"by a Privileged Role Administrator": func(_ *testing.T, v *visitor, c customer) {
			v.press(v.signIn(c.Link, c.tenant.Accounts[1]), accept)
		},
		"by somebody without a role whom the vendor approved": func(t *testing.T, v *visitor, c customer) {
			e := c.employee()
			p := v.signIn(c.Link, e)
			shown(t, p, 403, "An administrator is needed")
			// The page gives what the vendor needs to approve.
			if !strings.Contains(p.Text, e.ID) || !strings.Contains(p.Text, c.tenant.ID) {
				t.Errorf("the page names neither person nor tenant: %s", p.Text)
			}
			who := map[string]string{"tenant": c.tenant.ID, "object": e.ID}
			if a, err := s.Call(t.Context(), "POST", c.path("/approval"), who, nil); err != nil || a.Status != 200 {
				t.Fatalf("approval: %d %s %v", a.Status, a.Body, err)
			}
			// Somebody else of the same tenant is still refused.
			shown(t, visit(t, s).signIn(c.Link, c.tenant.Accounts[4]), 403, "An administrator is needed")
			// The permissions are granted by an administrator at Microsoft.
			v.press(v.signIn(c.Link, e), "Use another account", c.admin().Username, accept)
		},
		"after it was declined": func(t *testing.T, v *visitor, c customer) {
			shown(t, v.press(v.signIn(c.Link, c.admin()), cancel), 403, "The permissions were not approved")
			v.press(v.signIn(c.Link, c.admin()), accept)
		},
		"after a person who may not had tried": func(t *testing.T, v *visitor, c customer) {
			shown(t, v.signIn(c.Link, c.employee()), 403, "An administrator is needed")
			v.press(v.signIn(c.Link, c.admin()), accept)
		},
		"after a mail scanner had opened the link": func(t *testing.T, v *visitor, c customer) {
			for _, method := range []string{"HEAD", "GET"} {
				req, err := http.NewRequestWithContext(t.Context(), method, c.Link, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := s.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != 200 || len(resp.Cookies()) > 0 {
					t.Errorf("%s: %d, %d cookies", method, resp.StatusCode, len(resp.Cookies()))
				}
			}
			v.press(v.signIn(c.Link, c.admin()), accept)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := invited(t, s, tenant.Spec{People: 15})
			v := visit(t, s)
			way(t, v, c)
			v.awaitPage(c.Link, c.tenant.Name+" is connected")
			awaitRuns(t, s, c, 1)
			check(t, s, c)
			if conn := c.connection(t, s); conn.Status != "ok" || conn.Tenant != c.tenant.ID {
				t.Errorf("the connection is %+v, want tenant %s", conn, c.tenant.ID)
			}
			// Whoever has the link sees how it stands, and has no button.
			p := visit(t, s).open(c.Link)
			shown(t, p, 200, c.tenant.Name+" is connected")
			if _, err := v.Press(t.Context(), p, begin); err == nil {
				t.Error("a dead link still offers to consent")
			}
		})
	}
}

// Consent that takes a while to spread shows a page that says so and loads
// itself again, until the tenant is connected.
func TestConsentSpreads(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{ConsentDelay: 3 * time.Second})
	c := invited(t, s, tenant.Spec{People: 15})
	v := visit(t, s)
	p := v.press(v.signIn(c.Link, c.admin()), accept)
	shown(t, p, 200, "Microsoft is confirming the permissions")
	if p.Refresh != "5" || p.URL.String() != c.Link {
		t.Errorf("the page at %s refreshes after %q seconds, want the link's and 5", p.URL, p.Refresh)
	}
	if conn := c.connection(t, s); conn.Status != "consenting" {
		t.Errorf("status %q while consent spreads", conn.Status)
	}
	// It is the same page for everybody who holds the link, with no button.
	other := visit(t, s)
	if q := other.open(c.Link); q.Status != 200 {
		t.Errorf("status %d for another browser", q.Status)
	} else if _, err := other.Press(t.Context(), q, begin); err == nil {
		t.Error("the button is offered while consent spreads")
	}
	v.awaitPage(c.Link, c.tenant.Name+" is connected")
	awaitRuns(t, s, c, 1)
	check(t, s, c)
	if p := v.open(c.Link); p.Refresh != "" {
		t.Errorf("the page refreshes after %q seconds though all is done", p.Refresh)
	}
	if n, err := s.Bus.Counts(sandbox.Queue); err != nil || n.Sent < 3 {
		t.Errorf("%d messages, %v: the consent was confirmed at once, so nothing was proved", n.Sent, err)
	}
}

// A handler that dies on the way leaves a link that can be opened again and
// leads to the end.
func TestConsentSurvivesCrashes(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	t.Run("while the person is at Microsoft", func(t *testing.T) {
		c, v := invited(t, s, tenant.Spec{People: 15}), visit(t, s)
		first := v.first(c.Link, c.admin())
		s.Host.Kill()
		p := v.open(first.String())
		second := v.held(func() { v.press(p, accept) })
		s.Host.Kill()
		v.open(second.String())
		v.awaitPage(c.Link, c.tenant.Name+" is connected")
		awaitRuns(t, s, c, 1)
		check(t, s, c)
	})
	for _, table := range []string{"nonces", "claims", "connections"} {
		for _, when := range []moment{before, after} {
			t.Run(fmt.Sprintf("at the write to %s/%d", table, when), func(t *testing.T) {
				c, v := invited(t, s, tenant.Spec{People: 15}), visit(t, s)
				stale := v.open(c.Link)
				second := v.second(c.Link, c.admin())
				killed := killAt(s, table, when)
				if p := v.open(second.String()); p.Status != http.StatusBadGateway {
					t.Errorf("status %d from a killed handler", p.Status)
				}
				if !killed() {
					t.Fatal("nothing was killed")
				}
				// They press the button of the page that they still have, and
				// consent again if they are asked to.
				p := v.press(stale, begin)
				if p.URL.String() != c.Link {
					v.press(p, c.admin().Username, accept)
				}
				v.awaitPage(c.Link, c.tenant.Name+" is connected")
				awaitRuns(t, s, c, 1)
				check(t, s, c)
			})
		}
	}
}

// killAt kills the handler once, before or after the next write to a table
// takes effect. The returned function disarms it and says whether it struck.
func killAt(s *sandbox.Sandbox, table string, when moment) (killed func() bool) {
	var struck atomic.Bool
	strike := func(at moment, written string) bool {
		if at != when || written != table || struck.Swap(true) {
			return false
		}
		s.Host.Kill()
		return true
	}
	s.Tables.BeforeWrite(func(_ int64, written string) error {
		if strike(before, written) {
			return context.Canceled
		}
		return nil
	})
	s.Tables.OnWrite(func(_ int64, written string) tablestore.Verdict {
		if strike(after, written) {
			return tablestore.Cut
		}
		return tablestore.Pass
	})
	return func() bool {
		s.Tables.BeforeWrite(nil)
		s.Tables.OnWrite(nil)
		return struck.Load()
	}
}
