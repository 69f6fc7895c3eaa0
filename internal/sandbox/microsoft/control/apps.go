package control

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strconv"
	"time"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// access is how an app stands in a tenant.
type access struct {
	App    string   `json:"app"`
	Name   string   `json:"name"`
	Access string   `json:"access"`
	Roles  []string `json:"roles"`
}

func accesses(t *tenant.Tenant, apps []entra.AppSpec) []access {
	out := []access{}
	for _, app := range apps {
		if how, roles := t.Access(app.ID); how != tenant.Absent {
			out = append(out, access{App: app.ID, Name: app.Name, Access: how.String(), Roles: roles})
		}
	}
	return out
}

func (a api) apps(*http.Request) (int, any, error) { return http.StatusOK, a.Entra.Apps(), nil }

func (a api) addApp(r *http.Request) (int, any, error) {
	var spec entra.AppSpec
	if err := read(r, &spec); err != nil {
		return 0, nil, err
	}
	id, err := a.Entra.AddApp(spec)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]string{"id": id}, nil
}

// editApp changes what an app trusts and where it may send people.
func (a api) editApp(r *http.Request) (int, any, error) {
	var body struct {
		RedirectURIs  []string  `json:"redirectUris"`
		Audience      *string   `json:"audience"`
		Secret        string    `json:"secret"`
		SecretExpires time.Time `json:"secretExpires"`
		Certificate   string    `json:"certificate"` // PEM
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	var cert *x509.Certificate
	if body.Certificate != "" {
		block, _ := pem.Decode([]byte(body.Certificate))
		if block == nil {
			return 0, nil, invalid("certificate: want PEM")
		}
		var err error
		if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
			return 0, nil, invalid("certificate: %w", err)
		}
	}
	if body.Secret != "" && body.SecretExpires.IsZero() {
		return 0, nil, invalid("secretExpires: want a time")
	}
	app := r.PathValue("app")
	if _, ok := a.Entra.App(app); !ok {
		return 0, nil, tenant.ErrNotFound
	}
	var err error
	if body.RedirectURIs != nil {
		err = a.Entra.SetRedirectURIs(body.RedirectURIs, app)
	}
	if err == nil && body.Audience != nil {
		err = a.Entra.SetAudience(*body.Audience, app)
	}
	if err == nil && body.Secret != "" {
		err = a.Entra.SetSecret(body.Secret, body.SecretExpires, app)
	}
	if err == nil && cert != nil {
		err = a.Entra.RegisterCertificate(cert, app)
	}
	return http.StatusNoContent, nil, err
}

// each acts on the apps that the query names, or all of the vendor's, in the
// tenant of the path.
func (a api) each(r *http.Request, act func(t *tenant.Tenant, app entra.AppSpec) error) (int, any, error) {
	ids := r.URL.Query()["app"]
	if len(ids) == 0 {
		ids = a.Entra.Vendor()
	}
	apps := make([]entra.AppSpec, len(ids))
	for i, id := range ids {
		var ok bool
		if apps[i], ok = a.Entra.App(id); !ok {
			return 0, nil, tenant.ErrNotFound
		}
	}
	return a.do(r, func(t *tenant.Tenant) error {
		for _, app := range apps {
			if err := act(t, app); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a api) consent(r *http.Request) (int, any, error) {
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error {
		permissions := body.Permissions
		if len(permissions) == 0 {
			permissions = app.Permissions
		}
		t.Consent(app.ID, permissions, a.Entra.ConsentDelay())
		return nil
	})
}

func (a api) revoke(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Revoke(app.ID); return nil })
}

func (a api) reinstate(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Reinstate(app.ID); return nil })
}

func (a api) block(r *http.Request) (int, any, error) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 10000 || code > 99999999 {
		return 0, nil, invalid("code: want an AADSTS number")
	}
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Block(app.ID, code); return nil })
}

func (a api) unblock(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Block(app.ID, 0); return nil })
}

func (a api) disable(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Disable(app.ID, true); return nil })
}

func (a api) enable(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error { t.Disable(app.ID, false); return nil })
}

func (a api) removeRole(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error {
		t.RemoveRole(app.ID, r.PathValue("role"))
		return nil
	})
}

func (a api) addRole(r *http.Request) (int, any, error) {
	return a.each(r, func(t *tenant.Tenant, app entra.AppSpec) error {
		t.AddRole(app.ID, r.PathValue("role"))
		return nil
	})
}
