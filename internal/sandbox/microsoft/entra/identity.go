package entra

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/wire"
)

// identityLife is how long a managed identity's token lives (documented:
// 24 hours for App Service).
const identityLife = 24 * time.Hour

// resources are what the managed identity may get tokens for.
var resources = []string{
	"https://storage.azure.com", "https://servicebus.azure.net", "https://vault.azure.net",
	ExchangeAudience, ExchangeAudienceUSGov, ExchangeAudienceChina,
}

// identityObject is the object ID of the managed identity's service principal.
func (s *Server) identityObject() string {
	return "f0000000" + s.IdentityClientID[min(8, len(s.IdentityClientID)):]
}

// IdentityObject is the same, which Azure calls the identity's principal ID.
func (s *Server) IdentityObject() string { return s.identityObject() }

// Trusted is the audience for which a federated credential lets the managed
// identity stand for an app, or empty if it is for somebody else.
func (s *Server) Trusted(issuer, subject, audience string) string {
	if issuer == s.identityIssuer(audience) && subject == s.identityObject() {
		return audience
	}
	return ""
}

// identityIssuer is the issuer of the identity's tokens: the version 2 form
// for an exchange audience, the version 1 form for Azure's own services.
func (s *Server) identityIssuer(resource string) string {
	if strings.HasPrefix(resource, "api://") {
		return s.Authority + "/" + s.VendorTenant + "/v2.0"
	}
	return "https://sts.windows.net/" + s.VendorTenant + "/"
}

// Identity serves the managed identity endpoint in the form of App Service
// (documented, "How to use managed identities for App Service and Azure
// Functions").
func (s *Server) Identity(w http.ResponseWriter, r *http.Request) {
	if rep, hit := s.Gate.Before(r, s.VendorTenant, s.IdentityClientID, fault.Identity); hit {
		s.Gate.Send(w, r, s.VendorTenant, fault.Identity, rep)
		return
	}
	s.Gate.Send(w, r, s.VendorTenant, fault.Identity, s.identityToken(r))
}

func (s *Server) identityToken(r *http.Request) wire.Reply {
	fail := func(status int, message string) wire.Reply {
		return wire.JSON(status, map[string]any{"statusCode": status, "message": message})
	}
	q := r.URL.Query()
	switch {
	case r.Header.Get("X-IDENTITY-HEADER") != s.IdentityHeader:
		return fail(http.StatusUnauthorized, "X-IDENTITY-HEADER is missing or wrong.")
	case q.Get("api-version") != "2019-08-01":
		return fail(http.StatusBadRequest, "api-version must be 2019-08-01.")
	case q.Get("client_id") != s.IdentityClientID:
		return fail(http.StatusBadRequest, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	}
	resource := ""
	for _, known := range resources {
		if sameResource(q.Get("resource"), known) {
			resource = known
		}
	}
	if resource == "" {
		return fail(http.StatusBadRequest, "AADSTS500011: The resource principal was not found.")
	}
	now := s.Now()
	expires := now.Add(identityLife).Unix()
	object := s.identityObject()
	signed, err := s.Keys.Sign(map[string]any{
		"aud": resource, "iss": s.identityIssuer(resource), "iat": now.Unix(), "nbf": now.Unix(), "exp": expires,
		"appid": s.IdentityClientID, "azp": s.IdentityClientID, "idtyp": "app", "oid": object, "sub": object, "tid": s.VendorTenant,
	})
	if err != nil {
		return fail(http.StatusInternalServerError, err.Error())
	}
	return wire.JSON(http.StatusOK, map[string]any{
		"access_token": signed, "client_id": s.IdentityClientID, "expires_on": strconv.FormatInt(expires, 10),
		"not_before": strconv.FormatInt(now.Unix(), 10), "resource": q.Get("resource"), "token_type": "Bearer",
	})
}
