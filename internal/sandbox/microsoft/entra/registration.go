package entra

import (
	"crypto/x509"
	"time"
)

// PutApp registers an app of the vendor's, or sets all of it that the spec
// holds: what Graph does when a registration is written there. Certificates
// and secrets stay.
func (s *Server) PutApp(spec AppSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec.Tenant = s.VendorTenant
	if a := s.apps[spec.ID]; a != nil {
		a.AppSpec = spec
		return
	}
	s.apps[spec.ID] = &app{AppSpec: spec, certs: map[string]*x509.Certificate{}, secrets: map[string]time.Time{}}
	s.order = append(s.order, spec.ID)
}

// EngineerToken is a Graph token as the Azure CLI has it for a person of the
// vendor's tenant, with the template IDs of their directory roles.
func (s *Server) EngineerToken(roles ...string) (string, error) {
	now := s.Now()
	return s.Keys.Sign(map[string]any{
		"aud": GraphResource, "iss": "https://sts.windows.net/" + s.VendorTenant + "/", "tid": s.VendorTenant, "oid": engineer, "sub": pairwise(GraphResource, engineer),
		"appid": azureCLI, "idtyp": "user", "scp": "Application.ReadWrite.All Directory.AccessAsUser.All User.Read", "wids": roles,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix(), "uti": random(),
	})
}

const (
	engineer = "e0000000-0000-4000-8000-0000000000e1"
	azureCLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // its client ID (documented)
)
