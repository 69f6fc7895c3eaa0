package graph

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"context"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	anObject = "11111111-2222-3333-4444-555555555555"
	aClient  = "21111111-2222-3333-4444-555555555555"
)

type always string

func (a always) Tenant(connection.Access) (azcore.TokenCredential, error) { return a, nil }
func (a always) Fresh(connection.Access) (azcore.TokenCredential, error)  { return a, nil }
func (a always) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(a), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// scripted is a client of a Graph that answers all with status and body, and
// the requests that it has seen.
func scripted(t *testing.T, status int, body string) (*Client, *[]string) {
	t.Helper()
	var seen []string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen = append(seen, fmt.Sprintf("%s %s Prefer:%s %s", r.Method, r.RequestURI, r.Header.Get("Prefer"), b))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	c, err := New(s.URL, always("secret"), s.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	return c, &seen
}

// Only what makes something prefers to, and what is empty is not sent.
func TestApplicationRequests(t *testing.T) {
	c, seen := scripted(t, http.StatusNoContent, "")
	for _, err := range []error{
		c.UpdateApplication(t.Context(), anObject, connection.Registration{Redirects: []string{"https://a.example/"}}),
		c.UpdateApplication(t.Context(), anObject, connection.Registration{Name: "N", Audience: "A", Claims: "C", Permissions: []connection.Permission{
			{Resource: "r1", ID: "p1", Type: connection.AppRole}, {Resource: "r2", ID: "p2", Type: connection.Delegated}, {Resource: "r1", ID: "p3", Type: connection.AppRole},
		}}),
		c.Trust(t.Context(), anObject, connection.Trust{Name: "it's", Issuer: "i", Subject: "s", Audiences: []string{"a"}}),
		c.AddPrincipal(t.Context(), aClient, "N"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`PATCH /v1.0/applications/` + anObject + ` Prefer: {"web":{"redirectUris":["https://a.example/"]}}`,
		`PATCH /v1.0/applications/` + anObject + ` Prefer: {"displayName":"N","signInAudience":"A","groupMembershipClaims":"C","requiredResourceAccess":[` +
			`{"resourceAppId":"r1","resourceAccess":[{"id":"p1","type":"Role"},{"id":"p3","type":"Role"}]},{"resourceAppId":"r2","resourceAccess":[{"id":"p2","type":"Scope"}]}]}`,
		`PATCH /v1.0/applications/` + anObject + `/federatedIdentityCredentials(name='it%27%27s') Prefer:create-if-missing {"audiences":["a"],"issuer":"i","subject":"s"}`,
		`PATCH /v1.0/servicePrincipals(appId='` + aClient + `') Prefer:create-if-missing {"displayName":"N"}`,
	}
	if !reflect.DeepEqual(*seen, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(*seen, "\n"), strings.Join(want, "\n"))
	}
	for _, id := range []string{"", "x", "../users", strings.ToUpper("a" + anObject[1:])} {
		if err := c.UpdateApplication(t.Context(), id, connection.Registration{Name: "N"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("object %q: %v", id, err)
		}
		if _, err := c.Application(t.Context(), "", id); id != "" && !fault.Is(err, fault.Invalid) {
			t.Errorf("client %q: %v", id, err)
		}
	}
}

// Success is 204, or a body: a bare 200 may come from something in between.
func TestApplicationAnswers(t *testing.T) {
	for _, a := range []struct {
		status int
		body   string
		ok     bool
	}{{204, "", true}, {200, "", false}, {201, `{"id":"` + anObject + `","appId":"` + aClient + `"}`, true}, {202, "", false}} {
		c, _ := scripted(t, a.status, a.body)
		if err := c.Trust(t.Context(), anObject, connection.Trust{Name: "n"}); (err == nil) != a.ok {
			t.Errorf("%d %q: %v", a.status, a.body, err)
		}
	}
	c, _ := scripted(t, 201, `{"id":"`+anObject+`","appId":"no GUID"}`)
	if _, err := c.CreateApplication(t.Context(), "u", connection.Registration{Name: "N"}); !fault.Is(err, fault.Unknown) {
		t.Errorf("made without a client ID: %v", err)
	}
	// No other call takes no body for a success.
	c, _ = scripted(t, 204, "")
	if _, _, err := c.Home(t.Context()); !fault.Is(err, fault.Unknown) {
		t.Errorf("no organization: %v", err)
	}
}

// An engineer reads what Graph says; to a customer's calls it stays unsaid.
func TestApplicationRefusals(t *testing.T) {
	const body = `{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges."}}`
	c, _ := scripted(t, http.StatusForbidden, body)
	_, err := c.Application(t.Context(), "u", "")
	if e := fault.Of(err); e.Kind != fault.Denied || !strings.Contains(err.Error(), "Insufficient privileges.") || !strings.Contains(e.Remedy, "Application Administrator") || strings.Contains(e.Remedy, "customer") {
		t.Errorf("%v: %s", err, e.Remedy)
	}
	if _, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil); !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "Insufficient") {
		t.Errorf("%v", err)
	}
}

// Roles that are switched off, without a name or for people only do not count,
// and a scope of the same name is another permission.
func TestDecodeGraphPermissions(t *testing.T) {
	role := func(n int, value, member string, on bool) string {
		return fmt.Sprintf(`{"id":"%d1111111-2222-3333-4444-555555555555","value":%q,"isEnabled":%v,"allowedMemberTypes":[%q]}`, n, value, on, member)
	}
	body := `{"appRoles":[` + strings.Join([]string{role(1, "A", "User", true), role(2, "A", "Application", false), role(3, "", "Application", true), role(4, "A", "Application", true)}, ",") +
		`],"oauth2PermissionScopes":[` + role(5, "A", "", true) + `,` + role(6, "B", "", false) + `]}`
	got, err := decodeGraphPermissions([]byte(body))
	want := []connection.Permission{
		{Resource: ownApp, ID: "41111111-2222-3333-4444-555555555555", Type: "Role", Value: "A"},
		{Resource: ownApp, ID: "51111111-2222-3333-4444-555555555555", Type: "Scope", Value: "A"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"appRoles":null}`, `{"appRoles":[{"id":"x","value":"A","isEnabled":true,"allowedMemberTypes":["Application"]}]}`} {
		if all, err := decodeGraphPermissions([]byte(bad)); !fault.Is(err, fault.Unknown) || all != nil {
			t.Errorf("%s: %v, %v", bad, all, err)
		}
	}
}

func FuzzDecodeApplication(f *testing.F) {
	f.Add([]byte(`{"id":"` + anObject + `","appId":"` + aClient + `","displayName":"N","signInAudience":"AzureADMyOrg","groupMembershipClaims":null,` +
		`"web":{"redirectUris":["https://a.example/"]},"requiredResourceAccess":[{"resourceAppId":"` + ownApp + `","resourceAccess":[{"id":"` + anObject + `","type":"Role"}]}]}`))
	f.Add([]byte(`{"id":"` + anObject + `","appId":"` + aClient + `","web":null,"requiredResourceAccess":null}`))
	f.Add([]byte(`{"id":"","appId":"` + aClient + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeApplication(b)
		if err != nil {
			if !fault.Is(err, fault.Unknown) || !reflect.DeepEqual(r, connection.Registration{}) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		if checkIDs(r.Object, r.Client) != nil {
			t.Fatalf("IDs %q, %q", r.Object, r.Client)
		}
		// What was read can be set again: every permission, each once by resource.
		body, err := encodeApplication(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(body), `"type":`) != len(r.Permissions) {
			t.Fatalf("%d permissions in %s", len(r.Permissions), body)
		}
	})
}
