package microsoft_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/pki"
)

func TestControlAPIOfApps(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{})
	at := "/tenants/" + a.ID
	var app struct{ ID string }
	r.steer(t, "POST", "/apps", `{"name":"Own","tenant":"`+a.ID+`","permissions":["User.Read.All"]}`, 201, &app)
	expires, err := r.clock.Now().Add(time.Hour).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	r.steer(t, "PATCH", "/apps/"+app.ID, `{"secret":"s3cret","secretExpires":"`+string(expires)+`","redirectUris":["`+redirect+`"]}`, 204, nil)
	var apps []microsoft.AppSpec
	r.steer(t, "GET", "/apps", "", 200, &apps)
	if len(apps) != 2 || apps[0].ID != r.AppID() || apps[0].Audience != "api://AzureADTokenExchange" || apps[1].ID != app.ID || apps[1].RedirectURIs[0] != redirect {
		t.Errorf("apps %+v", apps)
	}
	q := "?app=" + app.ID
	r.want(t, "before consent", a.ID, app.ID, 0)
	r.steer(t, "POST", at+"/consent"+q, "", 204, nil)
	r.want(t, "after consent", a.ID, app.ID, 0, "User.Read.All")
	r.want(t, "another app", a.ID, r.AppID(), 7000215)
	r.steer(t, "PUT", at+"/block/53003"+q, "", 204, nil)
	r.want(t, "blocked", a.ID, app.ID, 53003)
	r.steer(t, "DELETE", at+"/block"+q, "", 204, nil)
	r.steer(t, "DELETE", at+"/consent"+q, "", 204, nil)
	r.want(t, "withdrawn", a.ID, app.ID, 700016)
	r.steer(t, "POST", at+"/reinstate"+q, "", 204, nil)
	r.steer(t, "PUT", at+"/roles/Organization.Read.All"+q, "", 204, nil)
	r.want(t, "brought back", a.ID, app.ID, 0, "User.Read.All", "Organization.Read.All")
	var made struct {
		Access string
		Apps   []struct {
			App, Name, Access string
			Roles             []string
		}
	}
	r.steer(t, "GET", at, "", 200, &made)
	if made.Access != "absent" || len(made.Apps) != 1 || made.Apps[0].App != app.ID || made.Apps[0].Access != "present" || len(made.Apps[0].Roles) != 2 {
		t.Errorf("tenant %+v", made)
	}

	cert, err := pki.App(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate.Raw}))})
	if err != nil {
		t.Fatal(err)
	}
	r.steer(t, "PATCH", "/apps/"+app.ID, string(body), 204, nil)
	cred, err := azidentity.NewClientCertificateCredential(a.ID, app.ID, []*x509.Certificate{cert.Certificate}, cert.Key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: r.options(), DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token(t, cred); err != nil {
		t.Errorf("the certificate: %v", err)
	}

	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/apps", `{"id":"x"}`, 400},
		{"POST", "/apps", `{"tenant":"x"}`, 404},
		{"POST", "/apps", `{"id":"` + app.ID + `"}`, 409},
		{"PATCH", "/apps/x", `{}`, 404},
		{"PATCH", "/apps/" + app.ID, `{"secret":"x"}`, 400},
		{"PATCH", "/apps/" + app.ID, `{"certificate":"x"}`, 400},
		{"POST", at + "/consent?app=x", "", 404},
		{"PUT", at + "/block/x", "", 400},
		{"POST", "/faults", `{"kind":"forge"}`, 400},
		{"POST", "/faults", `{"kind":"forge","forgery":"x"}`, 400},
	} {
		if s := r.steer(t, c.method, c.path, c.body, c.status, nil); !strings.Contains(s, `"error"`) {
			t.Errorf("%s %s: no error in %s", c.method, c.path, s)
		}
	}
}

func TestControlAPIOfVault(t *testing.T) {
	r := start(t, microsoft.Options{})
	c := r.secrets(t, r.identity(t))
	var made struct{ Version string }
	r.steer(t, "PUT", "/vault/secrets/app", `{"value":"v","contentType":"text/plain","expires":"2031-05-01T00:00:00Z"}`, 201, &made)
	got, err := c.GetSecret(t.Context(), "app", made.Version, nil)
	if err != nil || *got.Value != "v" || *got.ContentType != "text/plain" || !got.Attributes.Expires.Equal(time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("secret %+v, %v", got.Secret, err)
	}
	if s := r.steer(t, "GET", "/vault/secrets", "", 200, nil); !strings.Contains(s, `"app"`) || strings.Contains(s, `"v"`) {
		t.Errorf("secrets: %s", s)
	}
	r.steer(t, "PUT", "/vault/role/none", "", 204, nil)
	if s, _ := vaultError(second(c.GetSecret(t.Context(), "app", "", nil))); s != 403 {
		t.Errorf("without a role: %d", s)
	}
	r.steer(t, "PUT", "/vault/role/x", "", 400, nil)
	r.steer(t, "PUT", "/vault/secrets/a_b", `{"value":"v"}`, 400, nil)
	r.steer(t, "PUT", "/vault/role/user", "", 204, nil)
	r.steer(t, "DELETE", "/vault/secrets/app", "", 204, nil)
	if s, _ := vaultError(second(c.GetSecret(t.Context(), "app", "", nil))); s != 404 {
		t.Errorf("purged: %d", s)
	}
}
