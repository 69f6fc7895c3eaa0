package register_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/register"
	"rollcall/internal/sandbox/microsoft/graph"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const graphApp = "00000003-0000-0000-c000-000000000000"

// want is a registration as it must be, without its IDs.
func want(unique, name string, permissions ...string) map[string]any {
	var access []any
	for _, p := range permissions {
		access = append(access, map[string]any{"id": graph.RoleID(p), "type": "Role"})
	}
	return map[string]any{
		"uniqueName": unique, "displayName": name, "signInAudience": "AzureADMultipleOrgs", "groupMembershipClaims": "DirectoryRole", "tags": []any{},
		"requiredResourceAccess": []any{map[string]any{"resourceAppId": graphApp, "resourceAccess": access}},
		"web": map[string]any{
			"redirectUris": []any{callback}, "homePageUrl": nil, "logoutUrl": nil,
			"implicitGrantSettings": map[string]any{"enableIdTokenIssuance": false, "enableAccessTokenIssuance": false},
		},
		"federatedIdentityCredentials": []any{map[string]any{
			"name": "rollcall-identity", "issuer": wires.Microsoft.AuthorityURL() + "/" + wires.Microsoft.VendorTenant() + "/v2.0",
			"subject": wires.Microsoft.IdentityPrincipalID(), "audiences": []any{"api://AzureADTokenExchange"},
		}},
	}
}

// wants are all three, by profile.
func wants(stage string) map[string]map[string]any {
	base := []string{"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All"}
	teams := append(slices.Clone(base), "GroupMember.Read.All", "Member.Read.Hidden")
	return map[string]map[string]any{
		"base":      want("rollcall-"+stage+"-base", "Contoso Sync (base)", base...),
		"teams":     want("rollcall-"+stage+"-teams", "Contoso Sync (teams)", teams...),
		"mailboxes": want("rollcall-"+stage+"-mailboxes", "Contoso Sync", append(slices.Clone(teams), "Reports.Read.All", "MailboxSettings.Read")...),
	}
}

// bare takes out of a registration what Microsoft draws.
func bare(app map[string]any) map[string]any {
	delete(app, "id")
	delete(app, "appId")
	for _, f := range app["federatedIdentityCredentials"].([]any) {
		delete(f.(map[string]any), "id")
	}
	return app
}

// right fails unless all registrations of the stage are as they must be.
func right(t *testing.T, stage string) {
	t.Helper()
	for profile, w := range wants(stage) {
		app := stored(t, "rollcall-"+stage+"-"+profile)
		ask(t, http.MethodGet, "/servicePrincipals(appId='"+app["appId"].(string)+"')", "")
		if got := bare(app); !reflect.DeepEqual(got, w) {
			t.Errorf("%s is %v\nwant %v", profile, got, w)
		}
	}
}

// The first run makes everything in as few writes as there are things, the
// second writes nothing.
func TestTwice(t *testing.T) {
	o := options(t)
	r, waited := registrar(t, nil)
	before := wires.Microsoft.RegistrationWrites()
	dry := o
	dry.DryRun = true
	rep, err := r.Run(t.Context(), dry)
	if err != nil || len(rep.Results) != 3 || len(rep.Results[0].Todo) != 3 || rep.Results[0].Done != 0 || wires.Microsoft.RegistrationWrites() != before {
		t.Fatalf("dry run: %+v, %v", rep, err)
	}
	first, err := r.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := wires.Microsoft.RegistrationWrites() - before; n != 9 {
		t.Errorf("%d writes, want an app, a trust and a principal for each of three profiles", n)
	}
	right(t, o.Stage)
	for _, res := range first.Results {
		if res.Done != len(res.Todo) || len(res.Extra) != 0 || res.Client != stored(t, res.Unique)["appId"] {
			t.Errorf("reported %+v", res)
		}
	}

	before = wires.Microsoft.RegistrationWrites()
	second, err := r.Run(t.Context(), o)
	if err != nil || wires.Microsoft.RegistrationWrites() != before {
		t.Errorf("second run: %v, %d writes", err, wires.Microsoft.RegistrationWrites()-before)
	}
	for i, res := range second.Results {
		if len(res.Todo)+len(res.Extra) != 0 || res.Client != first.Results[i].Client {
			t.Errorf("second run: %+v", res)
		}
	}
	if second.Tenant != wires.Microsoft.VendorTenant() || len(*waited) != 0 {
		t.Errorf("tenant %s, waited %v", second.Tenant, *waited)
	}
}

// What is not known before the app is deployed is added later, and left alone
// by a run that does not know it.
func TestInTwoSteps(t *testing.T) {
	o := options(t)
	r, _ := registrar(t, nil)
	early := o
	early.Redirect, early.Identity, early.Principal = "", "", false
	for _, step := range []register.Options{early, o, early} {
		if _, err := r.Run(t.Context(), step); err != nil {
			t.Fatal(err)
		}
		if app := stored(t, "rollcall-"+o.Stage+"-base"); step.Redirect == "" && len(app["federatedIdentityCredentials"].([]any)) == 0 &&
			!reflect.DeepEqual(app["web"].(map[string]any)["redirectUris"], []any{}) {
			t.Errorf("before the address is known: %v", app)
		}
	}
	right(t, o.Stage)
}

// A registration that drifted is set right; what is beyond the profile is told
// and stays, unless all else is to go.
func TestDrift(t *testing.T) {
	r, _ := registrar(t, nil)
	role := func(values ...string) string {
		var list []string
		for _, v := range values {
			list = append(list, fmt.Sprintf(`{"id":%q,"type":"Role"}`, graph.RoleID(v)))
		}
		return strings.Join(list, ",")
	}
	required := func(list string) string {
		return `{"requiredResourceAccess":[{"resourceAppId":"` + graphApp + `","resourceAccess":[` + list + `]}]}`
	}
	const base = `User.Read.All Organization.Read.All LicenseAssignment.Read.All`
	trust := "/federatedIdentityCredentials(name='rollcall-identity')"
	for name, c := range map[string]struct {
		path, body string
		todo       []string // begin so
		extra      []string // are so
	}{
		"name":           {"", `{"displayName":"Mine"}`, []string{`set displayName to Contoso Sync (base), was "Mine"`}, nil},
		"single tenant":  {"", `{"signInAudience":"AzureADMyOrg"}`, []string{"set signInAudience"}, nil},
		"no wids":        {"", `{"groupMembershipClaims":null}`, []string{"set groupMembershipClaims"}, nil},
		"groups too":     {"", `{"groupMembershipClaims":"All"}`, []string{"set groupMembershipClaims"}, nil},
		"no redirect":    {"", `{"web":{"redirectUris":[]}}`, []string{"add the redirect URI " + callback}, nil},
		"other redirect": {"", `{"web":{"redirectUris":["https://old.example.com/consent/callback"]}}`, []string{"add the redirect URI " + callback}, []string{"redirect URI https://old.example.com/consent/callback"}},
		"less":           {"", required(role("User.Read.All", "LicenseAssignment.Read.All")), []string{"add the application permission Organization.Read.All"}, nil},
		"more": {"", required(role(append(strings.Fields(base), "Reports.Read.All")...) + fmt.Sprintf(`,{"id":%q,"type":"Scope"}`, graph.ScopeID("User.Read"))), nil,
			[]string{"application permission Reports.Read.All", "delegated permission User.Read"}},
		"a role switched off": {"", required(fmt.Sprintf(`{"id":%q,"type":"Role"},`, graph.RoleID("off/User.Read.All")) + role("Organization.Read.All", "LicenseAssignment.Read.All")),
			[]string{"add the application permission User.Read.All"}, []string{"application permission " + graph.RoleID("off/User.Read.All") + " of the API " + graphApp}},
		"other subject":  {trust, `{"subject":"someone"}`, []string{"trust the identity"}, nil},
		"other issuer":   {trust, `{"issuer":"https://token.actions.githubusercontent.com"}`, []string{"trust the identity"}, nil},
		"other audience": {trust, `{"audiences":["api://AzureADTokenExchangeChina"]}`, []string{"trust the identity"}, nil},
		"another trust": {"/federatedIdentityCredentials(name='deploy')", `{"issuer":"https://token.actions.githubusercontent.com","subject":"repo:x","audiences":["api://AzureADTokenExchange"]}`, nil,
			[]string{`federated credential "deploy" of the subject "repo:x" of https://token.actions.githubusercontent.com`}},
	} {
		o := options(t)
		o.Profiles, o.Stage = connection.Profiles[:1], "drift-"+strings.ReplaceAll(name, " ", "-")
		if _, err := r.Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		unique := "rollcall-" + o.Stage + "-base"
		ask(t, http.MethodPatch, "/applications/"+stored(t, unique)["id"].(string)+c.path, c.body)
		rep, err := r.Run(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res := rep.Results[0]
		if len(res.Todo) != len(c.todo) || res.Done != len(res.Todo) || !slices.Equal(res.Extra, c.extra) {
			t.Errorf("%s: %+v", name, res)
		}
		for i := range c.todo {
			if !strings.HasPrefix(res.Todo[i], c.todo[i]) {
				t.Errorf("%s: did %q", name, res.Todo[i])
			}
		}
		if rep, err := r.Run(t.Context(), o); err != nil || len(rep.Results[0].Todo) != 0 || !slices.Equal(rep.Results[0].Extra, c.extra) {
			t.Errorf("%s, again: %+v, %v", name, rep.Results[0], err)
		}
		exact := o
		exact.Exact = true
		if _, err := r.Run(t.Context(), exact); err != nil {
			t.Fatal(err)
		}
		app := stored(t, unique)
		trusts := app["federatedIdentityCredentials"].([]any)
		app["federatedIdentityCredentials"] = trusts[:1] // another's trust is told and never removed
		if got := bare(app); !sameApp(got, wants(o.Stage)["base"]) {
			t.Errorf("%s, exact: %v", name, got)
		}
	}
}

// sameApp compares without the order of permissions.
func sameApp(a, b map[string]any) bool {
	ids := func(app map[string]any) (all []string) {
		for _, res := range app["requiredResourceAccess"].([]any) {
			for _, p := range res.(map[string]any)["resourceAccess"].([]any) {
				all = append(all, fmt.Sprint(res.(map[string]any)["resourceAppId"], p))
			}
		}
		slices.Sort(all)
		return all
	}
	if !slices.Equal(ids(a), ids(b)) {
		return false
	}
	delete(a, "requiredResourceAccess")
	delete(b, "requiredResourceAccess")
	return reflect.DeepEqual(a, b)
}

// Cut off at any request, before or after it was done, a run that is started
// again ends where an undisturbed one does, without a second registration.
func TestResumes(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			o := options(t)
			o.Stage = fmt.Sprintf("%s-%v-%d", o.Stage, after, n)
			r, _ := registrar(t, &flaky{left: n, after: after})
			rep, err := r.Run(t.Context(), o)
			if err == nil {
				if n != 14 { // 2 for all, 3 to look, 9 to write
					t.Errorf("%d requests sufficed", n)
				}
				break
			}
			if !fault.Is(err, fault.Unknown) {
				t.Fatalf("cut after %d: %v", n, err)
			}
			r, _ = registrar(t, nil)
			again, err := r.Run(t.Context(), o)
			if err != nil {
				t.Fatalf("resumed after %d: %v", n, err)
			}
			for i := range rep.Results {
				if id := rep.Results[i].Client; id != "" && id != again.Results[i].Client {
					t.Errorf("cut after %d: %s was registered twice", n, rep.Results[i].Profile)
				}
			}
			right(t, o.Stage)
		}
	}
}

// What passes by itself is waited for, as long as Microsoft asks.
func TestWaits(t *testing.T) {
	trusting := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "federatedIdentityCredentials")
	}
	for name, c := range map[string]struct {
		answer func() *http.Response
		times  int
		want   []time.Duration
		kind   fault.Kind
		ok     bool
	}{
		"throttled":     {refusal(429, "TooManyRequests", "", "Retry-After", "17"), 2, []time.Duration{17*time.Second + time.Millisecond, 17*time.Second + time.Millisecond}, 0, true},
		"down":          {refusal(503, "serviceNotAvailable", ""), 3, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}, 0, true},
		"not known yet": {refusal(404, "Request_ResourceNotFound", ""), 2, []time.Duration{2 * time.Second, 4 * time.Second}, 0, true},
		"listed late":   {refusal(404, "Request_ResourceNotFound", ""), 1, []time.Duration{2 * time.Second}, 0, true},
		"for an hour":   {refusal(429, "TooManyRequests", "", "Retry-After", "3600"), 1, nil, fault.Throttled, false},
		"for good":      {refusal(500, "InternalServerError", ""), 99, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}, fault.Unknown, false},
	} {
		o := options(t)
		o.Profiles, o.Stage = connection.Profiles[:1], o.Stage+"-"+strings.ReplaceAll(name, " ", "-")
		match := trusting
		if name == "listed late" { // an existing registration, by a replica that does not know it
			r, _ := registrar(t, nil)
			if _, err := r.Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			match = func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/federatedIdentityCredentials") }
		}
		r, waited := registrar(t, &scripted{match: match, answer: c.answer, times: c.times})
		_, err := r.Run(t.Context(), o)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, c.kind) || !slices.Equal(*waited, c.want) {
			t.Errorf("%s: %v, waited %v", name, err, *waited)
		}
	}
}

// Refusals say what to do, and come before anything is written.
func TestRefusals(t *testing.T) {
	base := func() register.Options {
		o := options(t)
		o.Profiles = connection.Profiles[:1]
		return o
	}
	writing := func(r *http.Request) bool { return r.Method == http.MethodPatch }
	for name, c := range map[string]struct {
		change func(*register.Options)
		rt     http.RoundTripper
		roles  []string
		kind   fault.Kind
		says   []string // in the error
		remedy []string
	}{
		"no right": {nil, nil, nil, fault.Denied, []string{"rollcall-testrefusals-base", "403"},
			[]string{"Application Administrator", "Cloud Application Administrator", "Application.ReadWrite.All", "docs/app-registration.md"}},
		"another tenant": {func(o *register.Options) { o.Tenant = wires.Microsoft.AppID() }, nil, []string{tenant.ApplicationAdministrator}, fault.Denied,
			[]string{wires.Microsoft.VendorTenant(), wires.Microsoft.AppID()}, []string{"az login --tenant " + wires.Microsoft.AppID()}},
		"no such permission": {func(o *register.Options) {
			o.Profiles = []connection.Profile{{Name: "moon", Permissions: []string{"User.Read.All", "Moon.Read.All"}}}
		}, nil, []string{tenant.ApplicationAdministrator}, fault.Invalid, []string{"moon", "permission Moon.Read.All here"}, []string{"AZURE_CLOUD", "-profiles"}},
		"a delegated one only": {func(o *register.Options) {
			o.Profiles = []connection.Profile{{Name: "moon", Permissions: []string{"User.Read"}}}
		}, nil, []string{tenant.ApplicationAdministrator}, fault.Invalid, []string{"permission User.Read here"}, nil},
		"an app of elsewhere": {func(o *register.Options) { o.Known = connection.Apps{"base": wires.Microsoft.IdentityClientID()} }, nil,
			[]string{tenant.ApplicationAdministrator}, fault.NotFound, []string{"base", wires.Microsoft.IdentityClientID()}, []string{"ENTRA_APP_ID"}},
		"a policy": {nil, &scripted{match: writing, times: 9, answer: refusal(400, "Request_BadRequest", "Credential type not allowed as per assigned policy.")},
			[]string{tenant.ApplicationAdministrator}, fault.Invalid, []string{"rollcall-testrefusals-base", "not allowed as per assigned policy"}, []string{"administrator"}},
	} {
		o := base()
		if c.change != nil {
			c.change(&o)
		}
		r, _ := registrarOf(t, c.rt, signedIn(t, c.roles...))
		_, err := r.Run(t.Context(), o)
		e := fault.Of(err)
		if err == nil || e.Kind != c.kind {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
		for _, s := range c.remedy {
			if !strings.Contains(e.Remedy, s) {
				t.Errorf("%s: %q does not say %q", name, e.Remedy, s)
			}
		}
	}
	// None of them has made it.
	rep, err := func() (register.Report, error) {
		o := base()
		o.DryRun = true
		r, _ := registrar(t, nil)
		return r.Run(t.Context(), o)
	}()
	if err != nil || rep.Results[0].Client != "" {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A registration that somebody made by hand is mended, not made again, and a
// trust of the identity under another name suffices.
func TestKnown(t *testing.T) {
	made := ask(t, http.MethodPost, "/applications", `{"displayName":"By hand","signInAudience":"AzureADMyOrg"}`)
	client, object := made["appId"].(string), made["id"].(string)
	o := options(t)
	ask(t, http.MethodPatch, "/applications/"+object+"/federatedIdentityCredentials(name='by-hand')",
		fmt.Sprintf(`{"issuer":"%s/%s/v2.0","subject":%q,"audiences":["api://AzureADTokenExchange"]}`, o.Authority, wires.Microsoft.VendorTenant(), o.Identity))
	o.Known = connection.Apps{"mailboxes": client}
	r, _ := registrar(t, nil)
	rep, err := r.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if res := rep.Results[2]; res.Client != client || res.Unique != "" || len(res.Extra) != 0 {
		t.Errorf("%+v", res)
	}
	app := ask(t, http.MethodGet, "/applications/"+object, "")
	app["federatedIdentityCredentials"] = ask(t, http.MethodGet, "/applications/"+object+"/federatedIdentityCredentials", "")["value"]
	w := wants(o.Stage)["mailboxes"]
	w["uniqueName"] = nil
	w["federatedIdentityCredentials"].([]any)[0].(map[string]any)["name"] = "by-hand"
	if got := bare(app); !reflect.DeepEqual(got, w) {
		t.Errorf("%v\nwant %v", got, w)
	}
}
