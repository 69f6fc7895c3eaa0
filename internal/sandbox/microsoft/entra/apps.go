package entra

import (
	"crypto/sha1" // x5t is so defined (RFC 7515): it names a certificate and proves nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// AppSpec describes an app registration.
type AppSpec struct {
	ID   string `json:"id"` // client ID, a lower-case GUID; made if empty
	Name string `json:"name"`
	// Tenant is where the app is registered; empty: at the vendor.
	Tenant string `json:"tenant,omitempty"`
	// SingleTenant apps are known to their own tenant only.
	SingleTenant bool `json:"singleTenant,omitempty"`
	// Permissions are what it asks for with /.default.
	Permissions  []string `json:"permissions"`
	RedirectURIs []string `json:"redirectUris,omitempty"`
	// Audience is what tokens of the vendor's managed identity must be for to
	// stand for the app. An app of the vendor's trusts [ExchangeAudience] if it
	// is empty; a customer's can trust none, since the identity must be in the
	// app's own tenant (documented, "Configure an application to trust a managed
	// identity").
	Audience string `json:"audience,omitempty"`
	// WithoutWids is true if people's roles are kept from the app: its
	// groupMembershipClaims is not set.
	WithoutWids bool `json:"withoutWids,omitempty"`
}

// ErrApp is wrapped when an app registration makes no sense.
var ErrApp = errors.New("invalid app")

// app is an app registration with its credentials.
type app struct {
	AppSpec
	certs   map[string]*x509.Certificate // by x5t#S256 and by x5t
	secrets map[string]time.Time         // secret → end of its life
}

// AddApp registers an app and returns its client ID.
func (s *Server) AddApp(spec AppSpec) (id string, err error) {
	if spec.ID == "" {
		spec.ID = uuid.NewString()
	}
	if spec.Tenant == "" {
		spec.Tenant = s.VendorTenant
	}
	home := s.Tenants.Get(spec.Tenant)
	switch {
	case !tenant.IsGUID(spec.ID):
		return "", fmt.Errorf("entra: app %.64q: %w: want a lower-case GUID", spec.ID, ErrApp)
	case spec.Tenant != s.VendorTenant && home == nil:
		return "", fmt.Errorf("entra: app %s: tenant %.64q: %w", spec.ID, spec.Tenant, tenant.ErrNotFound)
	case spec.Tenant != s.VendorTenant && spec.Audience != "":
		return "", fmt.Errorf("entra: app %s: %w: only an app of the identity's own tenant can trust it", spec.ID, ErrApp)
	case spec.Tenant == s.VendorTenant && spec.Audience == "":
		spec.Audience = ExchangeAudience
	}
	if spec.Name == "" {
		spec.Name = "App " + spec.ID[:8]
	}
	spec.Permissions, spec.RedirectURIs = slices.Clone(spec.Permissions), slices.Clone(spec.RedirectURIs)
	s.mu.Lock()
	if s.apps[spec.ID] != nil {
		s.mu.Unlock()
		return "", fmt.Errorf("entra: app %s: %w", spec.ID, tenant.ErrExists)
	}
	s.apps[spec.ID] = &app{AppSpec: spec, certs: map[string]*x509.Certificate{}, secrets: map[string]time.Time{}}
	s.order = append(s.order, spec.ID)
	s.mu.Unlock()
	if home != nil {
		home.Register(spec.ID)
	}
	return spec.ID, nil
}

// Apps lists the app registrations in the order in which they were added.
func (s *Server) Apps() (all []AppSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		all = append(all, s.apps[id].clone())
	}
	return all
}

// clone is the app as it is now, to be read without the lock.
func (a *app) clone() AppSpec {
	spec := a.AppSpec
	spec.Permissions, spec.RedirectURIs = slices.Clone(spec.Permissions), slices.Clone(spec.RedirectURIs)
	return spec
}

// Vendor are the client IDs of the vendor's apps, the default one first.
func (s *Server) Vendor() (ids []string) {
	for _, a := range s.Apps() {
		if a.Tenant == s.VendorTenant {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

// App finds an app registration.
func (s *Server) App(id string) (AppSpec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[id]; a != nil {
		return a.clone(), true
	}
	return AppSpec{}, false
}

// at finds the app that a request at a tenant, or at all of them, names.
func (s *Server) at(id, segment string) (AppSpec, *refusal) {
	a, ok := s.App(id)
	switch {
	case !ok:
		return a, refuse(700016, "Application '%.64s', tenant '%s'.", id, segment)
	case a.SingleTenant && anyTenant(segment):
		return a, refuse(50194, "Application '%s'(%s).", a.ID, a.Name)
	case a.SingleTenant && a.Tenant != segment:
		return a, refuse(700016, "Application '%s', tenant '%s'.", a.ID, segment)
	}
	return a, nil
}

// edit changes app registrations, all of the vendor's if none is named.
func (s *Server) edit(ids []string, change func(*app)) error {
	if len(ids) == 0 {
		ids = s.Vendor()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		a := s.apps[id]
		if a == nil {
			return fmt.Errorf("entra: app %.64q: %w", id, tenant.ErrNotFound)
		}
		change(a)
	}
	return nil
}

// SetRedirectURIs replaces the registered redirect URIs of apps, all of the
// vendor's if none is named.
func (s *Server) SetRedirectURIs(uris []string, apps ...string) error {
	return s.edit(apps, func(a *app) { a.RedirectURIs = slices.Clone(uris) })
}

// SetAudience replaces the audience of the managed identity's tokens that
// stand for the apps; empty: no token of it does.
func (s *Server) SetAudience(audience string, apps ...string) error {
	return s.edit(apps, func(a *app) { a.Audience = audience })
}

// RegisterCertificate accepts assertions signed with the certificate's key.
func (s *Server) RegisterCertificate(c *x509.Certificate, apps ...string) error {
	return s.edit(apps, func(a *app) {
		for _, print := range prints(c) {
			a.certs[print] = c
		}
	})
}

// RemoveCertificate takes a certificate back.
func (s *Server) RemoveCertificate(c *x509.Certificate, apps ...string) error {
	return s.edit(apps, func(a *app) {
		for _, print := range prints(c) {
			delete(a.certs, print)
		}
	})
}

// prints are the names under which a certificate can be looked up.
func prints(c *x509.Certificate) []string {
	now, old := sha256.Sum256(c.Raw), sha1.Sum(c.Raw)
	return []string{base64.RawURLEncoding.EncodeToString(now[:]), base64.RawURLEncoding.EncodeToString(old[:])}
}

// SetSecret registers a client secret until its end of life. Earlier ones
// stay registered.
func (s *Server) SetSecret(secret string, expires time.Time, apps ...string) error {
	return s.edit(apps, func(a *app) { a.secrets[secret] = expires })
}

// RemoveSecret takes a client secret back.
func (s *Server) RemoveSecret(secret string, apps ...string) error {
	return s.edit(apps, func(a *app) { delete(a.secrets, secret) })
}
