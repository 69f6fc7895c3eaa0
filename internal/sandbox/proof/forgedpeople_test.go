package proof

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// That a tenant has consented says nothing about the person.
func TestThreatNonAdministratorOfConsentedTenant(t *testing.T) {
	repelled(t, []forgery{
		{"an employee of a tenant that consented earlier", 403, "An administrator is needed", func(f forger) func() *browser.Page {
			if err := f.Microsoft.Consent(f.c.tenant.ID); err != nil {
				f.t.Fatal(err)
			}
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.c.employee().Username) }
		}},
		{"an administrator of another kind", 403, "An administrator is needed", func(f forger) func() *browser.Page {
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.c.tenant.Accounts[2].Username) }
		}},
		{"somebody whose approval is for another tenant", 403, "An administrator is needed", func(f forger) func() *browser.Page {
			f.approve(f.owned.tenant.ID, f.c.employee().ID)
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.c.employee().Username) }
		}},
		{"a consent whose approval was withdrawn meanwhile", 403, "An administrator is needed", func(f forger) func() *browser.Page {
			f.approve(f.c.tenant.ID, f.c.employee().ID)
			p := f.v.press(f.v.signIn(f.c.Link, f.c.employee()), "Use another account", f.c.admin().Username)
			if a, err := f.Call(f.t.Context(), "DELETE", f.c.path("/approval"), nil, nil); err != nil || a.Status != 204 {
				f.t.Fatalf("withdraw: %d %s %v", a.Status, a.Body, err)
			}
			return func() *browser.Page { return f.v.press(p, accept) }
		}},
		{"a personal account", 403, "This is a personal account", func(f forger) func() *browser.Page {
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, tenant.Personal().Username) }
		}},
		{"an administrator whose token does not say so", 403, "An administrator is needed", forgedToken(fault.WithoutWids)},
	})
}

// One connection owns a tenant, until that is changed by somebody who may.
func TestThreatTenantTakeover(t *testing.T) {
	repelled(t, []forgery{
		{"a tenant that another company owns", 409, "This tenant is already connected", func(f forger) func() *browser.Page {
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.owned.admin().Username) }
		}},
		{"a tenant that another company got first", 409, "This tenant is already connected", func(f forger) func() *browser.Page {
			u := f.v.second(f.c.Link, f.c.admin())
			rival, err := f.Invite(f.t.Context(), "rival", "Rival")
			if err != nil {
				f.t.Fatal(err)
			}
			if _, err := f.Consent(f.t.Context(), rival.Link, f.c.admin()); err != nil {
				f.t.Fatal(err)
			}
			awaitRuns(f.t, f.Sandbox, customer{f.c.tenant, rival}, 1)
			return func() *browser.Page { return f.v.open(u.String()) }
		}},
		{"a tenant that was transferred to another company", 409, "This tenant is already connected", func(f forger) func() *browser.Page {
			giver, _ := f.transferred()
			p := f.v.press(f.v.open(f.c.Link), begin)
			return func() *browser.Page { return f.v.press(p, giver.admin().Username) }
		}},
		{"a link of the company that gave its tenant away", 410, "This link is no longer valid", func(f forger) func() *browser.Page {
			giver, _ := f.transferred()
			return func() *browser.Page { return f.v.open(giver.Link) }
		}},
		{"another tenant for the company that a tenant was transferred to", 403, "This is another tenant than expected", func(f forger) func() *browser.Page {
			_, taker := f.transferred()
			p := f.v.press(f.v.open(taker.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.c.admin().Username) }
		}},
		{"an employee of a tenant that was transferred", 403, "An administrator is needed", func(f forger) func() *browser.Page {
			giver, taker := f.transferred()
			p := f.v.press(f.v.open(taker.Link), begin)
			return func() *browser.Page { return f.v.press(p, giver.employee().Username) }
		}},
	})
	b := siegeOf(t)
	t.Run("two companies at once", func(t *testing.T) {
		f := b.forger(t)
		rival, err := b.Invite(t.Context(), "another rival", "Rival")
		if err != nil {
			t.Fatal(err)
		}
		var (
			all  sync.WaitGroup
			both = map[string]*visitor{f.c.Link: f.v, rival.Link: visit(t, b.Sandbox)}
			mu   sync.Mutex
			seen = map[int]string{}
		)
		returns := map[string]string{}
		for link, v := range both {
			returns[link] = v.second(link, f.c.admin()).String()
		}
		for link, v := range both {
			u := returns[link]
			all.Go(func() {
				p, err := v.Open(t.Context(), u)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else {
					seen[p.Status] = link
				}
			})
		}
		all.Wait()
		if seen[200] == "" || seen[409] == "" || len(seen) != 2 {
			t.Errorf("answered %v, want one 200 and one 409", seen)
		}
		owner := f.c
		if seen[200] == rival.Link {
			owner.Invitation = rival
		}
		awaitRuns(t, b.Sandbox, owner, 1)
		check(t, b.Sandbox, owner)
	})
	t.Run("transfers that are not one's own", func(t *testing.T) {
		f := b.forger(t)
		other := connected(t, b.Sandbox, tenant.Spec{People: 3})
		settled(t, b.Sandbox, other)
		rows, n := stored(t, b.Sandbox), sent(t, b.Sandbox)
		for what, r := range map[string]struct {
			from customer
			to   string
			want int
		}{
			"from one without a tenant":       {f.c, other.ID, 409},
			"to one that has a tenant":        {b.owned, other.ID, 409},
			"to itself":                       {b.owned, b.owned.ID, 422},
			"to one that is not there":        {b.owned, "aaaaaaaaaaaaaaaaaaaaaaaaaa", 422},
			"to what is no connection at all": {b.owned, "../claims", 422},
		} {
			a, err := b.Call(t.Context(), "POST", r.from.path("/transfer"), map[string]string{"to": r.to}, nil)
			if err != nil || a.Status != r.want {
				t.Errorf("%s: %d %s %v, want %d", what, a.Status, a.Body, err, r.want)
			}
		}
		unchanged(t, b.Sandbox, rows, n)
	})
}

// transferred is a connection whose tenant was given to another one, and that
// one, whose administrator has yet to consent.
func (f forger) transferred() (giver, taker customer) {
	f.t.Helper()
	giver, taker = connected(f.t, f.Sandbox, tenant.Spec{People: 3}), invited(f.t, f.Sandbox, tenant.Spec{People: 3})
	settled(f.t, f.Sandbox, giver)
	a, err := f.Call(f.t.Context(), "POST", giver.path("/transfer"), map[string]string{"to": taker.ID}, nil)
	if err != nil || a.Status != http.StatusOK {
		f.t.Fatalf("transfer: %d %s %v", a.Status, a.Body, err)
	}
	return giver, taker
}

// The tenant that the vendor named, or that the connection had, is the only one.
func TestThreatOtherTenant(t *testing.T) {
	repelled(t, []forgery{
		anotherThanNamed,
		{"another tenant than the connection had", 409, "Company is already tied to another tenant", func(f forger) func() *browser.Page {
			tn, err := f.Microsoft.NewTenant(tenant.Spec{Name: "Company", People: 15})
			if err != nil {
				f.t.Fatal(err)
			}
			inv, err := f.Invite(f.t.Context(), "company", tn.Name)
			if err != nil {
				f.t.Fatal(err)
			}
			// Its first run fails, so that the link opens again.
			if _, err := f.Microsoft.AddFault(fault.Fault{Tenant: tn.ID, Path: fault.UsersDelta, Kind: fault.Forbidden}); err != nil {
				f.t.Fatal(err)
			}
			c := customer{tn, inv}
			if _, err := f.Consent(f.t.Context(), c.Link, c.admin()); err != nil {
				f.t.Fatal(err)
			}
			if r := awaitRuns(f.t, f.Sandbox, c, 1); r[0].State != "failed" {
				f.t.Fatalf("runs %+v, want a failed one", r)
			}
			p := f.v.press(f.v.open(c.Link), begin)
			return func() *browser.Page { return f.v.press(p, f.c.admin().Username) }
		}},
	})
}

var anotherThanNamed = forgery{"another tenant than the vendor named", 403, "This is another tenant than expected", func(f forger) func() *browser.Page {
	named := invited(f.t, f.Sandbox, tenant.Spec{People: 3})
	req := map[string]string{"company": named.tenant.ID, "name": "Named", "tenant": named.tenant.ID}
	if _, err := f.Call(f.t.Context(), "POST", "/v1/connections", req, &named.Invitation); err != nil {
		f.t.Fatal(err)
	}
	p := f.v.press(f.v.open(named.Link), begin)
	return func() *browser.Page { return f.v.press(p, f.c.admin().Username) }
}}

func (f forger) approve(tenant, object string) {
	f.t.Helper()
	a, err := f.Call(f.t.Context(), "POST", f.c.path("/approval"), map[string]string{"tenant": tenant, "object": object}, nil)
	if err != nil || a.Status != 200 {
		f.t.Fatal(fmt.Errorf("approval: %d %s %w", a.Status, a.Body, err))
	}
}
