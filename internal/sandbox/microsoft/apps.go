package microsoft

import (
	"crypto/x509"
	"fmt"
	"time"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// AppSpec describes an app registration; see [entra.AppSpec].
type AppSpec = entra.AppSpec

// The functions below that take apps act on all of the vendor's if none is
// named: the default one and those that were added before the call.

// AppID is the client ID of the default app registration.
func (s *Server) AppID() string { return s.opt.AppID }

// AddApp registers one more app, of the vendor's or a customer's own, and
// returns its client ID. A customer's has no credential yet.
func (s *Server) AddApp(spec AppSpec) (id string, err error) {
	if id, err = s.entra.AddApp(spec); err != nil {
		return "", fmt.Errorf("microsoft: %w", err)
	}
	return id, nil
}

// Apps lists the app registrations, the default one first.
func (s *Server) Apps() []AppSpec { return s.entra.Apps() }

// EngineerToken is a token for Graph of a person of the vendor's, with the
// template IDs of their directory roles; see [graph.Applications].
func (s *Server) EngineerToken(roles ...string) (string, error) {
	return s.entra.EngineerToken(roles...)
}

// RegistrationWrites is how many requests were meant to change registrations.
func (s *Server) RegistrationWrites() int { return s.graph.Apps.Writes() }

// IdentityPrincipalID is the object ID of the managed identity.
func (s *Server) IdentityPrincipalID() string { return s.entra.IdentityObject() }

// SetRedirectURIs replaces the redirect URIs of the vendor's apps.
func (s *Server) SetRedirectURIs(uris ...string) {
	_ = s.entra.SetRedirectURIs(uris) // fails for unknown apps only
}

// SetAppRedirectURIs replaces those of one app.
func (s *Server) SetAppRedirectURIs(app string, uris ...string) error {
	return s.entra.SetRedirectURIs(uris, app)
}

// SetAudience lets the managed identity's tokens for an audience stand for the
// apps; for none, if it is empty.
func (s *Server) SetAudience(audience string, apps ...string) error {
	return s.entra.SetAudience(audience, apps...)
}

// RegisterCertificate lets apps sign assertions with the certificate's key.
func (s *Server) RegisterCertificate(c *x509.Certificate, apps ...string) error {
	return s.entra.RegisterCertificate(c, apps...)
}

// RemoveCertificate takes a certificate back.
func (s *Server) RemoveCertificate(c *x509.Certificate, apps ...string) error {
	return s.entra.RemoveCertificate(c, apps...)
}

// SetSecret lets apps use a client secret until its end of life.
func (s *Server) SetSecret(secret string, expires time.Time, apps ...string) error {
	return s.entra.SetSecret(secret, expires, apps...)
}

// RemoveSecret takes a client secret back.
func (s *Server) RemoveSecret(secret string, apps ...string) error {
	return s.entra.RemoveSecret(secret, apps...)
}

// Consent grants the vendor's apps their permissions (or just the given ones)
// in a tenant, as an administrator would, after the delay that consent has now.
func (s *Server) Consent(tenantID string, permissions ...string) error {
	for _, app := range s.entra.Vendor() {
		if err := s.ConsentApp(tenantID, app, permissions...); err != nil {
			return err
		}
	}
	return nil
}

// ConsentApp is Consent for one app, which may be a customer's own.
func (s *Server) ConsentApp(tenantID, app string, permissions ...string) error {
	t := s.tenants.Get(tenantID)
	if t == nil {
		return fmt.Errorf("microsoft: consent: tenant %s: %w", tenantID, tenant.ErrNotFound)
	}
	spec, ok := s.entra.App(app)
	if !ok {
		return fmt.Errorf("microsoft: consent: app %s: %w", app, tenant.ErrNotFound)
	}
	if len(permissions) == 0 {
		permissions = spec.Permissions
	}
	t.Consent(app, permissions, s.consentDelay())
	return nil
}

// each acts on apps in a tenant.
func (s *Server) each(tenantID string, apps []string, act func(t *tenant.Tenant, app string)) {
	t := s.tenants.Get(tenantID)
	if t == nil {
		return
	}
	if len(apps) == 0 {
		apps = s.entra.Vendor()
	}
	for _, app := range apps {
		act(t, app)
	}
}

// Revoke deletes the apps from a tenant: the token endpoint answers
// AADSTS700016 until they are consented again, or brought back.
func (s *Server) Revoke(tenantID string, apps ...string) {
	s.each(tenantID, apps, (*tenant.Tenant).Revoke)
}

// Reinstate brings deleted apps back with what they were granted.
func (s *Server) Reinstate(tenantID string, apps ...string) {
	s.each(tenantID, apps, (*tenant.Tenant).Reinstate)
}

// DisableApp switches the apps off in a tenant: AADSTS7000112.
func (s *Server) DisableApp(tenantID string, apps ...string) {
	s.each(tenantID, apps, func(t *tenant.Tenant, app string) { t.Disable(app, true) })
}

// EnableApp switches them on again.
func (s *Server) EnableApp(tenantID string, apps ...string) {
	s.each(tenantID, apps, func(t *tenant.Tenant, app string) { t.Disable(app, false) })
}

// BlockApp lets a policy of the tenant refuse the apps with an AADSTS code,
// such as 53003 of Conditional Access; 0 lifts it.
func (s *Server) BlockApp(tenantID string, code int, apps ...string) {
	s.each(tenantID, apps, func(t *tenant.Tenant, app string) { t.Block(app, code) })
}

// RemoveRole takes one permission back; tokens that were issued keep it.
func (s *Server) RemoveRole(tenantID, role string, apps ...string) {
	s.each(tenantID, apps, func(t *tenant.Tenant, app string) { t.RemoveRole(app, role) })
}

// AddRole gives one permission more, or back, to the tokens to come.
func (s *Server) AddRole(tenantID, role string, apps ...string) {
	s.each(tenantID, apps, func(t *tenant.Tenant, app string) { t.AddRole(app, role) })
}
