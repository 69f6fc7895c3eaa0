package register_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/credential"
	"rollcall/internal/graph"
	"rollcall/internal/register"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/signin"
)

// press posts what a page of Microsoft's would, as that account, and returns
// what the app is sent back with.
func press(t *testing.T, page string, account, action string) url.Values {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	form := u.Query()
	form.Set("account", account)
	form.Set("action", action)
	u.RawQuery = ""
	client := http.Client{Transport: wires.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm(u.String(), form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), callback+"?") {
		t.Fatalf("%s: status %d, sent to %v", u.Path, resp.StatusCode, to)
	}
	return to.Query()
}

// With the registrations as made, and nothing else, a customer's administrator
// signs in and is known by their roles, consents, and the managed identity then
// gets a token with exactly the profile's permissions.
func TestWholeConsent(t *testing.T) {
	o := options(t)
	r, _ := registrar(t, nil)
	rep, err := r.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	apps := connection.Apps{}
	for _, res := range rep.Results {
		apps[res.Profile] = res.Client
	}
	creds := wires.Credentials(t, func(c *credential.Options) { c.Apps = apps })
	people := signin.New(signin.Config{Authority: wires.Microsoft.AuthorityURL(), Callback: callback, Prove: creds.Prove, Transport: wires.Transport, Now: time.Now})
	client, err := graph.New(wires.Microsoft.GraphURL(), creds, wires.Transport)
	if err != nil {
		t.Fatal(err)
	}
	scope := wires.Microsoft.GraphURL() + "/.default"
	for _, p := range connection.Profiles {
		customer, err := wires.Microsoft.NewTenant(microsoft.TenantSpec{People: 3})
		if err != nil {
			t.Fatal(err)
		}
		admin := customer.Accounts[0]
		app := connection.App{ID: apps[p.Name]}

		verifier := oauth2.GenerateVerifier()
		back := press(t, people.AuthURL(app, "s1", "n1", verifier), admin.ID, "")
		id, err := people.Redeem(t.Context(), app, back.Get("code"), verifier, "n1")
		if err != nil || id.Tenant != customer.ID || !slices.Contains(id.Roles, tenant.GlobalAdministrator) {
			t.Fatalf("%s: signed in as %+v, %v", p.Name, id, err)
		}

		page := wires.Microsoft.AuthorityURL() + "/" + customer.ID + "/v2.0/adminconsent?" +
			url.Values{"client_id": {app.ID}, "redirect_uri": {callback}, "scope": {scope}, "state": {"s2"}}.Encode()
		if back := press(t, page, admin.ID, "accept"); back.Get("tenant") != customer.ID || back.Get("error") != "" {
			t.Fatalf("%s: consent: %v", p.Name, back)
		}

		access := connection.Access{Tenant: customer.ID, App: app.ID}
		if err := client.Probe(t.Context(), access); err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		cred, err := creds.Tenant(access)
		if err != nil {
			t.Fatal(err)
		}
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true})
		if err != nil {
			t.Fatal(err)
		}
		got, want := consent.TokenRoles(token.Token), slices.Clone(p.Permissions)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: granted %v, want %v", p.Name, got, want)
		}
	}
}

// What a registration lacks is noticed by a customer at once, so that the test
// above can fail: without claims nobody is known, without a trust there is no
// token, without the redirect URI no sign-in.
func TestConsentNeedsAll(t *testing.T) {
	o := options(t)
	o.Profiles = connection.Profiles[:1]
	r, _ := registrar(t, nil)
	rep, err := r.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	app := connection.App{ID: rep.Results[0].Client}
	path := "/applications/" + stored(t, register.UniqueName(o.Stage, "base"))["id"].(string)
	creds := wires.Credentials(t, func(c *credential.Options) { c.Apps = connection.Apps{"mailboxes": app.ID} })
	people := signin.New(signin.Config{Authority: wires.Microsoft.AuthorityURL(), Callback: callback, Prove: creds.Prove, Transport: wires.Transport, Now: time.Now})
	customer, err := wires.Microsoft.NewTenant(microsoft.TenantSpec{})
	if err != nil {
		t.Fatal(err)
	}
	enter := func() (connection.Identity, error) {
		verifier := oauth2.GenerateVerifier()
		return people.Redeem(t.Context(), app, press(t, people.AuthURL(app, "s", "n", verifier), customer.Accounts[0].ID, "").Get("code"), verifier, "n")
	}
	ask(t, http.MethodPatch, path, `{"groupMembershipClaims":"SecurityGroup"}`)
	if id, err := enter(); err != nil || len(id.Roles) != 0 {
		t.Errorf("without directory roles: %+v, %v", id, err)
	}
	ask(t, http.MethodPatch, path+"/federatedIdentityCredentials(name='rollcall-identity')", `{"subject":"`+app.ID+`"}`)
	if _, err := enter(); err == nil {
		t.Error("an identity that is not trusted proves the app")
	}
	ask(t, http.MethodPatch, path, `{"web":{"redirectUris":["https://other.example.com/consent/callback"]}}`)
	resp, err := (&http.Client{Transport: wires.Transport}).Get(people.AuthURL(app, "s", "n", oauth2.GenerateVerifier()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without the redirect URI: status %d", resp.StatusCode)
	}
}
