package entra

import (
	"maps"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// issuer is what tokens of version 2 name as theirs.
func (s *Server) issuer(tenantID string) string { return s.Authority + "/" + tenantID + "/v2.0" }

// idToken signs the claims of who signed in, or what a fault of their tenant
// makes of them.
func (s *Server) idToken(a tenant.Account, claims map[string]any) (string, error) {
	if f, hit := s.Gate.Faults.Take(a.Tenant, fault.Token, fault.Forge); hit {
		return s.forge(f.Forgery, claims)
	}
	if a.Tenant == tenant.PersonalTenant {
		return s.Keys.SignConsumer(claims)
	}
	return s.Keys.Sign(claims)
}

// forge makes an ID token that is false in one way only, so that only the check
// for that way can refuse it.
func (s *Server) forge(how string, claims map[string]any) (string, error) {
	switch how {
	case fault.UnsignedToken:
		return s.Keys.ForgeUnsigned(claims)
	case fault.SymmetricToken:
		return s.Keys.ForgeSymmetric(claims)
	case fault.StrangerToken, fault.BorrowedKeyID:
		return s.Keys.ForgeStranger(claims, how == fault.BorrowedKeyID)
	case fault.ConsumerToken:
		return s.Keys.SignConsumer(claims)
	}
	c := maps.Clone(claims)
	now := s.Now()
	switch how {
	case fault.OtherAudience:
		c["aud"] = uuid.NewString()
	case fault.OtherIssuer:
		c["iss"] = s.issuer(uuid.NewString())
	case fault.OtherTenant:
		c["tid"] = uuid.NewString()
	case fault.PersonalIssuer:
		c["tid"], c["iss"] = tenant.PersonalTenant, s.issuer(tenant.PersonalTenant)
		return s.Keys.SignConsumer(c)
	case fault.ExpiredToken:
		c["iat"], c["nbf"], c["exp"] = now.Add(-2*time.Hour).Unix(), now.Add(-2*time.Hour).Unix(), now.Add(-time.Hour).Unix()
	case fault.EarlyToken:
		c["nbf"], c["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	case fault.OtherNonce:
		c["nonce"] = random()
	case fault.TamperedToken:
		c["wids"] = []string{tenant.GlobalAdministrator}
		return s.Keys.ForgeTampered(claims, c)
	case fault.WithoutWids:
		delete(c, "wids")
	}
	return s.Keys.Sign(c)
}
