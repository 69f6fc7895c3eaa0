package proof

import (
	"fmt"
	"time"

	"rollcall/internal/sandbox/browser"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// forgedLinks are links and requests that are not what the vendor sent.
var forgedLinks = []forgery{
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
	{"the button on another website", 403, "This request came from another website", func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.request("POST", f.c.Link+"/authorize", "Sec-Fetch-Site", "cross-site") }
	}},
	{"the button on a sister site", 403, "This request came from another website", func(f forger) func() *browser.Page {
		return func() *browser.Page { return f.request("POST", f.c.Link+"/authorize", "Sec-Fetch-Site", "same-site") }
	}},
	{"the button on another website in an old browser", 403, "This request came from another website", func(f forger) func() *browser.Page {
		return func() *browser.Page {
			return f.request("POST", f.c.Link+"/authorize", "Origin", "https://evil.example")
		}
	}},
	{"the button under another host's name", 403, "This request came from another website", func(f forger) func() *browser.Page {
		return func() *browser.Page {
			return f.request("POST", f.c.Link+"/authorize", "Host", "evil.example", "X-Forwarded-Host", "evil.example", "Origin", "https://evil.example")
		}
	}},
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

// forgedPeople may not say what they say.
var forgedPeople = []forgery{
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
	{"another tenant than the vendor named", 403, "This is another tenant than expected", func(f forger) func() *browser.Page {
		named := invited(f.t, f.Sandbox, tenant.Spec{People: 3})
		req := map[string]string{"company": "named", "name": "Named", "tenant": named.tenant.ID}
		if _, err := f.Call(f.t.Context(), "POST", "/v1/connections", req, &named.Invitation); err != nil {
			f.t.Fatal(err)
		}
		p := f.v.press(f.v.open(named.Link), begin)
		return func() *browser.Page { return f.v.press(p, f.c.admin().Username) }
	}},
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
}

func (f forger) approve(tenant, object string) {
	f.t.Helper()
	a, err := f.Call(f.t.Context(), "POST", f.c.path("/approval"), map[string]string{"tenant": tenant, "object": object}, nil)
	if err != nil || a.Status != 200 {
		f.t.Fatal(fmt.Errorf("approval: %d %s %w", a.Status, a.Body, err))
	}
}
