package api

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

func TestOwnApp(t *testing.T) {
	b := newBench()
	b.ownApp = func(secret string) (string, error) {
		if secret != "rollcall-app-"+contoso && secret != "rollcall-app-"+fabrica {
			t.Errorf("secret %q", secret)
		}
		return appOwn, nil
	}
	// Nobody has consented yet: the consent to come is to that app.
	path := "/v1/connections/" + contoso + "/app"
	for _, body := range []string{"", "{}", " {}\n"} {
		var v Connection
		read(t, b.do(put, path, body), 200, &v)
		if c := b.connections[contoso]; c.OwnApp != "rollcall-app-"+contoso || c.App != "" || c.Status != connection.Invited || c.Problem != nil || !v.OwnApp || v.App != "" {
			t.Errorf("stored %+v", c)
		}
	}
	var v Connection
	read(t, b.do(del, path, ""), 200, &v)
	if c := b.connections[contoso]; c.OwnApp != "" || c.Status != connection.Invited || v.OwnApp {
		t.Errorf("stored %+v", c)
	}

	// Who works must consent to it first, and may.
	path = "/v1/connections/" + fabrica + "/app"
	for _, status := range []connection.Status{connection.Connected, connection.OK, connection.Held, connection.Degraded, connection.Failed, connection.Disconnected} {
		b.set(fabrica, func(c *connection.Connection) {
			c.Status, c.OwnApp, c.App, c.Profile, c.Problem = status, "", appBase, "base", nil
			c.Verified, c.NextDue, c.Displaced = now, now.Add(7*time.Hour), time.Time{}
			c.Health.Suspicion = &connection.Suspicion{First: now}
		})
		v = Connection{}
		read(t, b.do(put, path, ""), 200, &v)
		c := b.connections[fabrica]
		if c.Status != connection.Failed || c.OwnApp != "rollcall-app-"+fabrica || c.App != appOwn || c.Profile != "" || c.Health.Suspicion != nil ||
			c.Problem == nil || !c.Problem.Consent || !c.MayConsent() || !c.Live() || !c.NextDue.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: stored %+v", status, c)
		}
		if !v.OwnApp || v.App != appOwn || !v.ConsentNeeded || v.Problem.Code != "app_changed" || !strings.Contains(v.Problem.Remedy, "new link") || !v.NextDue.Equal(now.Add(time.Hour)) {
			t.Errorf("%s: answered %+v", status, v)
		}
	}
	// A repeated call breaks nothing that works by now, unless the app is another.
	b.set(fabrica, func(c *connection.Connection) { c.Status, c.Problem, c.Profile = connection.OK, nil, "own" })
	read(t, b.do(put, path, ""), 200, &v)
	if c := b.connections[fabrica]; c.Status != connection.OK || c.Profile != "own" {
		t.Errorf("repeated: %+v", c)
	}
	b.ownApp = func(string) (string, error) { return appBase, nil }
	read(t, b.do(put, path, ""), 200, &v)
	if c := b.connections[fabrica]; c.Status != connection.Failed || c.App != appBase {
		t.Errorf("another app: %+v", c)
	}
	b.set(fabrica, func(c *connection.Connection) { c.Status, c.Problem = connection.OK, nil })
	for range 2 {
		v = Connection{}
		read(t, b.do(del, path, ""), 200, &v)
		if c := b.connections[fabrica]; c.Status != connection.Failed || c.OwnApp != "" || c.App != "" || c.Profile != "" || !c.MayConsent() || v.OwnApp || v.Problem == nil {
			t.Errorf("back: %+v", c)
		}
	}
	b.set(fabrica, func(c *connection.Connection) { c.Status, c.Problem = connection.OK, nil })
	read(t, b.do(del, path, ""), 200, &v)
	if c := b.connections[fabrica]; c.Status != connection.OK {
		t.Errorf("nothing to return from: %+v", c)
	}
	b.set(fabrica, func(c *connection.Connection) { c.Status = connection.Consenting })
	refused(t, b.do(put, path, ""), 409, codeVerifying)
	refused(t, b.do(del, path, ""), 409, codeVerifying)
}

func TestOwnAppRefused(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso + "/app"
	before := b.connections[contoso]
	command := "az keyvault secret set --vault-name contoso-kv --name rollcall-app-" + contoso + " --file app.json"
	for _, test := range []struct {
		err    error
		status int
		code   string
		detail string
	}{
		{fault.New(fault.NotFound, "internals").WithCode(connection.OwnMissing), 422, codeValidation, "holds no secret rollcall-app-" + contoso},
		{fault.New(fault.Invalid, "internals").WithCode(connection.OwnNoApp).WithRemedy("Store it."), 422, codeValidation, "The appId in the Key Vault secret rollcall-app-" + contoso + " is no client ID, which is a GUID."},
		{fault.New(fault.Invalid, "internals").WithCode(connection.OwnNotJSON), 422, codeValidation, "is no JSON object of appId and secret or certificate."},
		{fault.New(fault.Invalid, "internals").WithCode(connection.OwnExpired), 422, codeValidation, "has expired."},
		{fault.New(fault.Denied, "internals").WithCode(connection.OwnForbidden), 403, codeForbidden, "The Key Vault refuses Rollcall's managed identity."},
		{fault.New(fault.Unknown, "internals").WithCode(connection.OwnUnreachable), 503, codeUnavailable, "The Key Vault does not answer."},
		{fault.New(fault.Denied, "internals"), 403, codeForbidden, ""},
		{errors.New("internals"), 503, codeUnavailable, ""},
	} {
		b.ownApp = func(string) (string, error) { return "", test.err }
		w := b.do(put, path, "")
		p := refused(t, w, test.status, test.code)
		if !strings.Contains(p.Detail, test.detail) || strings.Contains(w.Body.String(), "internals") {
			t.Errorf("%+v", p)
		}
		if test.status == 422 && (!strings.Contains(p.Remedy, command) || !strings.Contains(p.Remedy, `{"appId": "<client ID>", "secret": "<client secret>"}`) || !strings.Contains(p.Remedy, `"certificate"`)) {
			t.Errorf("remedy %q", p.Remedy)
		}
	}
	b.api.Service.Vault = ""
	b.ownApp = func(string) (string, error) { return "", fault.New(fault.NotFound, "x") }
	if p := refused(t, b.do(put, path, ""), 422, codeValidation); !strings.Contains(p.Remedy, "KEY_VAULT_URL") {
		t.Errorf("remedy %q", p.Remedy)
	}
	// A secret does not belong in a request, is never echoed, and is not tried.
	b.ownApp = func(string) (string, error) { t.Error("read"); return "", nil }
	for _, body := range []string{`{"appId":"` + appOwn + `","secret":"hunter2"}`, `[]`, `null`, `{"":`, strings.Repeat(" ", 70) + "hunter2", strings.Repeat("{}", 40)} {
		w := b.do(put, path, body)
		if p := refused(t, w, 422, codeValidation); !p.names("body") || strings.Contains(w.Body.String(), "hunter2") || strings.Contains(b.log.String(), "hunter2") {
			t.Errorf("%q: %+v", body, p.Errors)
		}
	}
	if !reflect.DeepEqual(b.connections[contoso], before) {
		t.Errorf("stored %+v", b.connections[contoso])
	}
	for vault, want := range map[string]string{"https://a.vault.azure.net": "a", "https://b-2.vault.usgovcloudapi.net:443/": "b-2", "": "<vault>", "::": "<vault>"} {
		if got := vaultName(vault); got != want {
			t.Errorf("vault %q is %q, want %q", vault, got, want)
		}
	}
	// Back to an app that does not suffice.
	b.api.Registered = connection.Apps{"base": appBase}
	b.set(contoso, func(c *connection.Connection) { c.OwnApp = "rollcall-app-" + contoso })
	if p := refused(t, b.do(del, path, ""), 422, codeValidation); !strings.Contains(p.Remedy, "ENTRA_APPS") {
		t.Errorf("%+v", p)
	}
}
