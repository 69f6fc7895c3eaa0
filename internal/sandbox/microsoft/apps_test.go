package microsoft_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// withSecret is an app's credential in a tenant.
func (r *rig) withSecret(t *testing.T, tenantID, app, secret string) azcore.TokenCredential {
	t.Helper()
	cred, err := azidentity.NewClientSecretCredential(tenantID, app, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: r.options(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// want fails unless the app gets a token with these roles, or is refused with
// this code.
func (r *rig) want(t *testing.T, when, tenantID, app string, code int, roles ...string) {
	t.Helper()
	compact, err := token(t, r.withSecret(t, tenantID, app, "s3cret"))
	if _, got := refusal(t, err); got != code || (err == nil) != (code == 0) {
		t.Errorf("%s: AADSTS%d (%v), want %d", when, got, err, code)
		return
	}
	if err != nil {
		return
	}
	c := claims(t, compact)
	held, _ := c["roles"].([]any)
	var got []string
	for _, role := range held {
		got = append(got, role.(string))
	}
	if !slices.Equal(got, roles) || c["appid"] != app || c["tid"] != tenantID {
		t.Errorf("%s: roles %v of app %v in %v, want %v", when, got, c["appid"], c["tid"], roles)
	}
}

// Each of the vendor's apps is consented by itself, in each tenant by itself.
func TestAppsAreConsentedApart(t *testing.T) {
	r := start(t, microsoft.Options{})
	a, b := r.AddTenant(microsoft.TenantSpec{}), r.AddTenant(microsoft.TenantSpec{})
	small, err := r.AddApp(microsoft.AppSpec{Name: "Small", Permissions: []string{"User.Read.All"}, RedirectURIs: []string{redirect}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetSecret("s3cret", r.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := r.ConsentApp(a.ID, small); err != nil {
		t.Fatal(err)
	}
	r.want(t, "the consented app", a.ID, small, 0, "User.Read.All")
	r.want(t, "the vendor's other app", a.ID, r.AppID(), 7000229)
	r.want(t, "the app in another tenant", b.ID, small, 7000229)
	r.want(t, "an app that nobody registered", a.ID, b.ID, 700016)
	if err := r.Consent(b.ID); err != nil {
		t.Fatal(err)
	}
	r.want(t, "one of all apps", b.ID, small, 0, "User.Read.All")
	r.want(t, "the default one of all", b.ID, r.AppID(), 0, microsoft.DefaultPermissions...)
	r.RemoveRole(b.ID, "User.Read.All", small)
	r.want(t, "without its role", b.ID, small, 0)
	r.want(t, "the other app keeps its roles", b.ID, r.AppID(), 0, microsoft.DefaultPermissions...)
	r.Revoke(b.ID, small)
	r.want(t, "withdrawn", b.ID, small, 700016)
	r.Reinstate(b.ID, small)
	r.AddRole(b.ID, "User.Read.All", small)
	r.want(t, "brought back", b.ID, small, 0, "User.Read.All")
	r.BlockApp(b.ID, 53003)
	r.want(t, "under a policy", b.ID, small, 53003)
	r.want(t, "another under a policy", b.ID, r.AppID(), 53003)
	r.BlockApp(b.ID, 0)
	r.want(t, "after the policy", b.ID, small, 0, "User.Read.All")
	r.DisableApp(b.ID)
	r.want(t, "disabled", b.ID, small, 7000112)
	r.EnableApp(b.ID)
	if err := r.RemoveSecret("s3cret", small); err != nil {
		t.Fatal(err)
	}
	r.want(t, "its secret was taken back", b.ID, small, 7000215)
	r.want(t, "in a tenant that is not there", "11111111-2222-3333-4444-555555555555", r.AppID(), 90002)

	// The consent page is that of the app in the address.
	at := r.AuthorityURL() + "/" + a.ID + "/v2.0/adminconsent?" + url.Values{
		"client_id": {small}, "redirect_uri": {redirect}, "state": {"s"}, "scope": {"https://graph.microsoft.com/.default"}}.Encode()
	page, _ := r.press(t, r.open(t, at), "Ada")
	if !strings.Contains(page.text, "Small") || !strings.Contains(page.text, "User.Read.All") || strings.Contains(page.text, "Organization.Read.All") {
		t.Errorf("consent page: %s", page.text)
	}
}

func TestFederatedTrust(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]int{
		"api://AzureADTokenExchange": 0, "api://AzureADTokenExchangeUSGov": 700212, "": 70021,
	} {
		if err := r.SetAudience(audience); err != nil {
			t.Fatal(err)
		}
		_, err := token(t, r.federated(t, a.ID))
		if _, code := refusal(t, err); code != want || (err == nil) != (want == 0) {
			t.Errorf("trust for %q: AADSTS%d, want %d: %v", audience, code, want, err)
		}
	}
}

// A customer's own app lives in its tenant, with a secret and without the
// vendor's identity.
func TestOwnApps(t *testing.T) {
	r := start(t, microsoft.Options{})
	a, b := r.AddTenant(microsoft.TenantSpec{}), r.AddTenant(microsoft.TenantSpec{})
	spec := microsoft.AppSpec{Name: "Own", Tenant: a.ID, SingleTenant: true, Permissions: []string{"User.Read.All", "Organization.Read.All"}, RedirectURIs: []string{redirect}}
	own, err := r.AddApp(spec)
	if err != nil {
		t.Fatal(err)
	}
	r.want(t, "without a secret", a.ID, own, 7000215)
	if err := r.SetSecret("s3cret", r.clock.Now().Add(time.Hour), own); err != nil {
		t.Fatal(err)
	}
	r.want(t, "not consented", a.ID, own, 0)
	if err := r.ConsentApp(a.ID, own); err != nil {
		t.Fatal(err)
	}
	r.want(t, "consented", a.ID, own, 0, spec.Permissions...)
	r.want(t, "in another tenant", b.ID, own, 700016)
	if err := r.Consent(b.ID); err != nil {
		t.Fatal(err)
	}
	if access, _ := b.Access(own); access != tenant.Absent {
		t.Error("the vendor's consent held for a customer's app")
	}
	r.clock.Advance(2 * time.Hour)
	r.want(t, "its secret expired", a.ID, own, 7000222)

	at := func(segment string) string {
		return r.AuthorityURL() + "/" + segment + "/oauth2/v2.0/authorize?" + url.Values{
			"client_id": {own}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid"}}.Encode()
	}
	if f := r.open(t, at("organizations")); f.status != 400 || !strings.Contains(f.text, "AADSTS50194") {
		t.Errorf("a single-tenant app for all tenants: %+v", f)
	}
	if f := r.open(t, at(b.ID)); f.status != 400 || !strings.Contains(f.text, "AADSTS700016") {
		t.Errorf("a single-tenant app in another tenant: %+v", f)
	}
	if f := r.open(t, at(a.ID)); f.status != 200 || len(f.buttons) != len(a.Accounts)+1 {
		t.Errorf("a single-tenant app at home: %+v", f)
	}
	for name, spec := range map[string]microsoft.AppSpec{
		"an ID that is none":         {ID: "x"},
		"a taken ID":                 {ID: own},
		"a tenant that is not there": {Tenant: "11111111-2222-3333-4444-555555555555"},
		"another tenant's identity":  {Tenant: a.ID, Audience: "api://AzureADTokenExchange"},
	} {
		if id, err := r.AddApp(spec); err == nil {
			t.Errorf("%s: registered %s", name, id)
		}
	}
}
