package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const vendor = "c0000000-0000-4000-8000-00000000000c"

// vendorWorld has a vendor, whose registrations hold at an Entra.
func vendorWorld(t *testing.T) (*world, *entra.Server) {
	t.Helper()
	w := newWorld(t, 1, 10)
	e := entra.New(entra.Config{
		Gate: w.server.Gate, Now: func() time.Time { return w.now }, Tenants: &w.tenants, Keys: keyring(), Authority: "https://login.test", Graph: base,
		IdentityClientID: "b0000000-0000-4000-8000-00000000000b", VendorTenant: vendor,
	})
	w.server.Entra = e
	return w, e
}

func engineer(t *testing.T, e *entra.Server, roles ...string) string {
	t.Helper()
	tok, err := e.EngineerToken(roles...)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + tok
}

// ask answers status and body of one request.
func (w *world) engineer(method, path, body, bearer, prefer string) (int, map[string]any) {
	r := httptest.NewRequest(method, "/v1.0"+path, strings.NewReader(body))
	r.Header.Set("Prefer", prefer)
	res, _ := w.do(r, bearer)
	var v map[string]any
	_ = json.Unmarshal(res.Body.Bytes(), &v) // some have none
	return res.Code, v
}

// A registration written here is what Entra knows, and takes back, at once.
func TestRegistrationsHoldAtEntra(t *testing.T) {
	w, e := vendorWorld(t)
	admin := engineer(t, e, tenant.ApplicationAdministrator)
	const path = "/applications(uniqueName='it''s')"
	if status, _ := w.engineer("GET", path, "", admin, ""); status != 404 {
		t.Errorf("before it is made: %d", status)
	}
	body := fmt.Sprintf(`{"displayName":"App","signInAudience":"AzureADMultipleOrgs","groupMembershipClaims":"DirectoryRole","web":{"redirectUris":["https://a.example/x"]},
		"requiredResourceAccess":[{"resourceAppId":%q,"resourceAccess":[{"id":%q,"type":"Role"},{"id":%q,"type":"Scope"},{"id":%q,"type":"Role"}]}]}`,
		graphApp, RoleID("Reports.Read.All"), ScopeID("User.Read.All"), RoleID("off/User.Read.All"))
	if status, _ := w.engineer("PATCH", path, body, admin, ""); status != 404 {
		t.Errorf("an update of nothing: %d", status)
	}
	status, made := w.engineer("PATCH", path, body, admin, "create-if-missing")
	if status != 201 || made["uniqueName"] != "it's" {
		t.Fatalf("made: %d %v", status, made)
	}
	id := made["appId"].(string)
	app, ok := e.App(id)
	if !ok || app.Name != "App" || app.SingleTenant || app.WithoutWids || app.Audience != "" || app.Tenant != vendor ||
		len(app.RedirectURIs) != 1 || len(app.Permissions) != 1 || app.Permissions[0] != "Reports.Read.All" {
		t.Errorf("Entra knows %+v", app)
	}
	trust := "/applications/" + made["id"].(string) + "/federatedIdentityCredentials(name='x')"
	for subject, want := range map[string]string{"somebody": "", e.IdentityObject(): "api://Exchange"} {
		body := fmt.Sprintf(`{"issuer":"https://login.test/%s/v2.0","subject":%q,"audiences":["api://Exchange"]}`, vendor, subject)
		if status, _ := w.engineer("PATCH", trust, body, admin, "create-if-missing"); status/100 != 2 {
			t.Errorf("trust of %s: %d", subject, status)
		}
		if app, _ := e.App(id); app.Audience != want {
			t.Errorf("after the trust of %s: audience %q", subject, app.Audience)
		}
	}
	if status, v := w.engineer("PATCH", path, `{"groupMembershipClaims":null,"signInAudience":"AzureADMyOrg","web":{"redirectUris":[]}}`, admin, "create-if-missing"); status != 204 || v != nil {
		t.Errorf("update: %d %v", status, v)
	}
	if app, _ := e.App(id); !app.WithoutWids || !app.SingleTenant || len(app.RedirectURIs) != 0 || len(app.Permissions) != 1 || app.Name != "App" {
		t.Errorf("after the update Entra knows %+v", app)
	}
}

// Only an administrator of the vendor's own changes registrations, and no app
// of a customer's tenant sees them.
func TestRegistrationRights(t *testing.T) {
	w, e := vendorWorld(t)
	admin, guest := engineer(t, e, tenant.ApplicationAdministrator), engineer(t, e, tenant.PrivilegedRoleAdministrator)
	status, made := w.engineer("POST", "/applications", `{"displayName":"App"}`, admin, "")
	if status != 201 {
		t.Fatalf("%d %v", status, made)
	}
	path := "/applications/" + made["id"].(string)
	for _, c := range []struct {
		name, method, path, bearer string
		want                       int
	}{
		{"read", "GET", path, guest, 200},
		{"home", "GET", "/organization?$select=id", guest, 200},
		{"Graph itself", "GET", "/servicePrincipals(appId='" + graphApp + "')?$select=appId,appRoles", guest, 200},
		{"unknown principal", "GET", "/servicePrincipals(appId='" + vendor + "')", guest, 404},
		{"unknown property", "GET", path + "?$select=nonsense", guest, 400},
		{"write without a role", "PATCH", path, guest, 403},
		{"write", "PATCH", path, admin, 204},
		{"an app of a customer's", "GET", path, w.bearer(t, "Application.ReadWrite.All"), 400},
		{"the same at home", "GET", "/organization", w.bearer(t, "Organization.Read.All"), 200},
		{"no token", "GET", path, "", 400},
	} {
		if status, v := w.engineer(c.method, c.path, `{"displayName":"New"}`, c.bearer, ""); status != c.want {
			t.Errorf("%s: %d %v, want %d", c.name, status, v, c.want)
		}
	}
	if n := w.server.Apps.Writes(); n != 2 {
		t.Errorf("%d writes, want the first one and the one in the table", n)
	}
}

// What Microsoft would not take is refused, and changes nothing.
func TestRegistrationsRefuse(t *testing.T) {
	w, e := vendorWorld(t)
	admin := engineer(t, e, tenant.GlobalAdministrator)
	_, made := w.engineer("POST", "/applications", `{"displayName":"App","groupMembershipClaims":"None"}`, admin, "")
	path := "/applications/" + made["id"].(string)
	trust := func(name string) string { return path + "/federatedIdentityCredentials(name='" + name + "')" }
	good := func(subject string) string {
		return `{"issuer":"i","subject":"` + subject + `","audiences":["a"]}`
	}
	for i := range maxTrusts {
		if status, _ := w.engineer("PATCH", trust(fmt.Sprint("t", i)), good(fmt.Sprint("s", i)), admin, "create-if-missing"); status != 201 {
			t.Fatal(status)
		}
	}
	_, before := w.engineer("GET", path, "", admin, "")
	for path, bodies := range map[string][]string{
		path: {``, `[]`, `{"displayName":""}`, `{"color":"red"}`, `{"signInAudience":"Everybody"}`, `{"groupMembershipClaims":"Roles"}`, `{"web":{"redirectUris":["http://a.example/"]}}`,
			`{"web":{"redirectUris":["https://a.example/","https://a.example/"]}}`, `{"requiredResourceAccess":[{"resourceAppId":"x","resourceAccess":[]}]}`,
			`{"requiredResourceAccess":[{"resourceAppId":"` + graphApp + `","resourceAccess":[{"id":"` + graphApp + `","type":"Rule"}]}]}`},
		trust("t1"):  {`{"audiences":["a","b"]}`, `{"audiences":[]}`, `{"subject":"s2"}`, `{"issuer":""}`, `{"name":"other"}`},
		trust("t99"): {good("s99")},
	} {
		for _, body := range bodies {
			if status, v := w.engineer("PATCH", path, body, admin, "create-if-missing"); status != http.StatusBadRequest {
				t.Errorf("%s %s: %d %v", path, body, status, v)
			}
		}
	}
	if _, after := w.engineer("GET", path, "", admin, ""); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("was %v, is %v", before, after)
	}
	if app, _ := e.App(made["appId"].(string)); app.Name != "App" {
		t.Errorf("Entra knows %+v", app)
	}
}
