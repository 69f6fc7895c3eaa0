package microsoft_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// claims reads a token without checking it.
func claims(t *testing.T, compact string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// form is the one form of a page, as a program or a keyboard finds it.
type form struct {
	status  int
	action  string
	hidden  url.Values
	buttons map[string][2]string // text → name, value
	text    string
}

func parse(t *testing.T, res *http.Response) form {
	t.Helper()
	defer res.Body.Close()
	doc, err := html.Parse(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	f := form{status: res.StatusCode, hidden: url.Values{}, buttons: map[string][2]string{}}
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode:
			f.text += n.Data + " "
		case n.Data == "form":
			f.action = attr(n, "action")
		case n.Data == "input" && attr(n, "type") == "hidden":
			f.hidden.Add(attr(n, "name"), attr(n, "value"))
		case n.Data == "button":
			f.buttons[n.FirstChild.Data] = [2]string{attr(n, "name"), attr(n, "value")}
		}
	}
	return f
}

func (r *rig) open(t *testing.T, uri string) form {
	t.Helper()
	res, err := r.client.Get(uri)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, res)
}

// press submits the form by the button whose text begins so, and returns the
// next page, or where the browser is sent.
func (r *rig) press(t *testing.T, f form, button string) (form, *url.URL) {
	t.Helper()
	for text, nv := range f.buttons {
		if strings.HasPrefix(text, button) {
			return r.submit(t, f, nv[0], nv[1])
		}
	}
	t.Fatalf("no button %q in %v", button, f.buttons)
	return form{}, nil
}

func (r *rig) submit(t *testing.T, f form, name, value string) (form, *url.URL) {
	t.Helper()
	v := url.Values{name: {value}}
	for k, x := range f.hidden {
		v[k] = x
	}
	res, err := r.client.PostForm(r.AuthorityURL()+f.action, v)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusFound {
		res.Body.Close()
		to, err := res.Location()
		if err != nil {
			t.Fatal(err)
		}
		return form{}, to
	}
	return parse(t, res), nil
}

func (r *rig) oauth() *oauth2.Config {
	return &oauth2.Config{ClientID: r.AppID(), ClientSecret: "s3cret", RedirectURL: redirect, Scopes: []string{"openid", "profile"},
		Endpoint: oauth2.Endpoint{AuthURL: r.AuthorityURL() + "/organizations/oauth2/v2.0/authorize",
			TokenURL: r.AuthorityURL() + "/organizations/oauth2/v2.0/token", AuthStyle: oauth2.AuthStyleInParams}}
}

func TestSignIn(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{Name: "Müller & <Söhne>"})
	r.AddTenant(microsoft.TenantSpec{})
	r.SetSecret("s3cret", r.clock.Now().Add(time.Hour))
	ctx := oidc.ClientContext(t.Context(), r.client)
	conf, state := r.oauth(), `a"b&<c>`

	for button, want := range map[string]struct {
		tid  string
		wids []string
	}{
		"Ada Global":       {a.ID, []string{tenant.GlobalAdministrator}},
		"Rolf Privileg":    {a.ID, []string{tenant.PrivilegedRoleAdministrator}},
		"Apolline Appleby": {a.ID, []string{tenant.ApplicationAdministrator}},
		"Siobhán O'Neil":   {a.ID, nil},
		"Pat Personal":     {tenant.PersonalTenant, nil},
	} {
		verifier := oauth2.GenerateVerifier()
		page := r.open(t, conf.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce("n-1"), oauth2.SetAuthURLParam("response_mode", "query")))
		for text, nv := range page.buttons { // the account of tenant a, of which both have one
			if acc, ok := account(r, nv[1]); ok && acc.Tenant != want.tid {
				delete(page.buttons, text)
			}
		}
		_, to := r.press(t, page, button)
		if to == nil || !strings.HasPrefix(to.String(), redirect+"?") || to.Query().Get("state") != state {
			t.Fatalf("%s: sent to %v", button, to)
		}
		code := to.Query().Get("code")
		tok, err := conf.Exchange(ctx, code, oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatalf("%s: %v", button, err)
		}
		provider, err := oidc.NewProvider(ctx, r.AuthorityURL()+"/"+want.tid+"/v2.0")
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := tok.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: r.AppID(), Now: r.clock.Now}).Verify(ctx, raw)
		if err != nil {
			t.Fatalf("%s: %v", button, err)
		}
		var c struct {
			TID, OID, Name string
			Username       string `json:"preferred_username"`
			Wids           []string
		}
		if err := id.Claims(&c); err != nil {
			t.Fatal(err)
		}
		if id.Nonce != "n-1" || c.TID != want.tid || !tenant.IsGUID(c.OID) || !strings.HasPrefix(button, c.Name[:3]) || !strings.Contains(c.Username, "@") || id.Subject == c.OID {
			t.Errorf("%s: %+v", button, c)
		}
		c.Wids = slices.DeleteFunc(c.Wids, func(w string) bool { return w == "b79fbf4d-3ef9-4689-8143-76b194e85509" })
		if !slices.Equal(c.Wids, want.wids) {
			t.Errorf("%s: wids %v", button, c.Wids)
		}
		if _, err := conf.Exchange(ctx, code, oauth2.VerifierOption(verifier)); err == nil || !strings.Contains(err.Error(), "AADSTS54005") {
			t.Errorf("a code worked twice: %v", err)
		}
	}
}

func account(r *rig, id string) (tenant.Account, bool) {
	for _, t := range r.Tenants() {
		for _, a := range t.Accounts {
			if a.ID == id {
				return a, true
			}
		}
	}
	return tenant.Account{}, false
}

func TestACodeIsBoundToItsRequest(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{})
	r.SetSecret("s3cret", r.clock.Now().Add(time.Hour))
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, r.client)
	code := func(c *oauth2.Config, verifier string) string {
		_, to := r.press(t, r.open(t, c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))), "Ada")
		return to.Query().Get("code")
	}
	v := oauth2.GenerateVerifier()
	for name, c := range map[string]struct {
		change func(*oauth2.Config)
		opts   []oauth2.AuthCodeOption
		code   string
		want   string
	}{
		"other verifier":     {nil, []oauth2.AuthCodeOption{oauth2.VerifierOption(oauth2.GenerateVerifier())}, "", "AADSTS501481"},
		"no verifier":        {nil, nil, "", "AADSTS501481"},
		"other redirect":     {func(c *oauth2.Config) { c.RedirectURL += "x" }, []oauth2.AuthCodeOption{oauth2.VerifierOption(v)}, "", "AADSTS500112"},
		"other client":       {func(c *oauth2.Config) { c.ClientID = a.ID }, []oauth2.AuthCodeOption{oauth2.VerifierOption(v)}, "", "AADSTS700016"},
		"no client secret":   {func(c *oauth2.Config) { c.ClientSecret = "" }, []oauth2.AuthCodeOption{oauth2.VerifierOption(v)}, "", "AADSTS7000218"},
		"wrong secret":       {func(c *oauth2.Config) { c.ClientSecret = "x" }, []oauth2.AuthCodeOption{oauth2.VerifierOption(v)}, "", "AADSTS7000215"},
		"made-up code":       {nil, []oauth2.AuthCodeOption{oauth2.VerifierOption(v)}, "nonsense", "AADSTS70000"},
		"unsigned assertion": {func(c *oauth2.Config) { c.ClientSecret = "" }, []oauth2.AuthCodeOption{oauth2.VerifierOption(v), oauth2.SetAuthURLParam("client_assertion", "eyJhbGciOiJub25lIn0.e30."), oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")}, "", "AADSTS50027"},
	} {
		conf := r.oauth()
		if c.code == "" {
			c.code = code(conf, v)
		}
		if c.change != nil {
			c.change(conf)
		}
		if _, err := conf.Exchange(ctx, c.code, c.opts...); err == nil || !strings.Contains(err.Error(), c.want+":") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	conf := r.oauth()
	late := code(conf, v)
	r.clock.Advance(11 * time.Minute)
	if _, err := conf.Exchange(ctx, late, oauth2.VerifierOption(v)); err == nil || !strings.Contains(err.Error(), "AADSTS70008:") {
		t.Errorf("a code of eleven minutes: %v", err)
	}
	conf.RedirectURL = "https://evil.example/"
	if f := r.open(t, conf.AuthCodeURL("s")); f.status != 400 || len(f.buttons) != 0 || !strings.Contains(f.text, "AADSTS50011") {
		t.Errorf("an unregistered redirect URI: %+v", f)
	}
}

func TestAdminConsent(t *testing.T) {
	r := start(t, microsoft.Options{ConsentDelay: time.Minute})
	a, b := r.AddTenant(microsoft.TenantSpec{}), r.AddTenant(microsoft.TenantSpec{})
	at := func(tid, scope string) string {
		return r.AuthorityURL() + "/" + tid + "/v2.0/adminconsent?" + url.Values{"client_id": {r.AppID()}, "redirect_uri": {redirect}, "state": {"s&1"}, "scope": {scope}}.Encode()
	}
	const all = "https://graph.microsoft.com/.default"

	pick := r.open(t, at(a.ID, all))
	if len(pick.buttons) != len(a.Accounts)+1 {
		t.Errorf("accounts to pick from: %v", pick.buttons)
	}
	page, _ := r.press(t, pick, "Erin")
	if _, ok := page.buttons["Accept"]; ok || !strings.Contains(page.text, "Erin Employee") {
		t.Errorf("an employee may accept: %+v", page)
	}
	if forged, to := r.submit(t, page, "action", "accept"); to != nil || forged.status != http.StatusForbidden {
		t.Errorf("an employee's forged acceptance: %v %v", forged.status, to)
	}
	page, _ = r.press(t, pick, "Apolline")
	if _, ok := page.buttons["Accept"]; ok {
		t.Error("an Application Administrator may accept")
	}
	other, _ := r.submit(t, pick, "account", b.Accounts[0].ID)
	if _, ok := other.buttons["Accept"]; ok {
		t.Error("another tenant's administrator may accept")
	}
	page, _ = r.press(t, pick, "Ada")
	if !strings.Contains(page.text, "Ada Global") || !strings.Contains(page.text, "User.Read.All") || !strings.Contains(page.text, "Organization.Read.All") {
		t.Errorf("consent page: %s", page.text)
	}
	_, to := r.press(t, page, "Cancel")
	if q := to.Query(); q.Get("admin_consent") != "True" || q.Get("error") != "access_denied" || q.Get("state") != "s&1" || !strings.HasPrefix(q.Get("error_description"), "AADSTS65004") || q.Get("tenant") != "" {
		t.Errorf("cancel: %v", q)
	}
	if access, _ := a.Access(r.AppID()); access != tenant.Absent {
		t.Errorf("after all refusals the tenant has %v", access)
	}
	_, to = r.press(t, page, "Accept")
	if q := to.Query(); q.Get("admin_consent") != "True" || q.Get("tenant") != a.ID || q.Get("state") != "s&1" || q.Has("error") || !strings.Contains(q.Get("scope"), "https://graph.microsoft.com/User.Read.All") {
		t.Errorf("accept: %v", q)
	}
	r.clock.Advance(time.Minute)
	if access, roles := a.Access(r.AppID()); access != tenant.Present || !slices.Equal(roles, microsoft.DefaultPermissions) {
		t.Errorf("granted: %v %v", access, roles)
	}
	page, _ = r.press(t, r.open(t, at(b.ID, "https://graph.microsoft.com/User.Read.All")), "Rolf")
	r.press(t, page, "Accept")
	r.clock.Advance(time.Minute)
	if _, roles := b.Access(r.AppID()); len(roles) != 0 {
		t.Errorf("a delegated scope granted application permissions: %v", roles)
	}
	for name, uri := range map[string]string{
		"unknown tenant": at("11111111-2222-3333-4444-555555555555", all), "common": at("common", all), "no scope": at(a.ID, ""),
		"other redirect": strings.Replace(at(a.ID, all), "rollcall.example", "evil.example", 1), "personal": at(tenant.PersonalTenant, all),
	} {
		if f := r.open(t, uri); f.status != 400 || len(f.buttons) != 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{})
	kids := func() (out []string) {
		res, err := r.client.Get(r.AuthorityURL() + "/" + a.ID + "/discovery/v2.0/keys")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if k["d"] != nil {
				t.Fatal("a private key was published")
			}
			out = append(out, k["kid"].(string))
		}
		return out
	}
	first := kids()
	for range 2 {
		if err := r.RotateKeys(); err != nil {
			t.Fatal(err)
		}
	}
	if now := kids(); len(first) != 1 || len(now) != 2 || slices.Contains(now, first[0]) {
		t.Errorf("first %v, after two rotations %v", first, now)
	}
}
