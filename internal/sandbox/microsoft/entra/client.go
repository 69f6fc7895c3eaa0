package entra

import (
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"

	"rollcall/internal/sandbox/microsoft/token"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate proves that the request comes from an app, and returns it: by a
// federated assertion, a certificate assertion or a secret.
func (s *Server) authenticate(form url.Values, endpoint, segment string) (AppSpec, *refusal) {
	if form.Get("client_id") == "" {
		return AppSpec{}, refuse(900144, "client_id")
	}
	a, refused := s.at(form.Get("client_id"), segment)
	switch {
	case refused != nil:
		return a, refused
	case form.Get("client_assertion") == "":
		return a, s.secret(a.ID, form.Get("client_secret"))
	case form.Get("client_assertion_type") != jwtBearer:
		return a, refuse(9002313, "client_assertion_type")
	}
	return a, s.assertion(a, form.Get("client_assertion"), endpoint)
}

func (s *Server) secret(app, secret string) *refusal {
	if secret == "" {
		return refuse(7000218, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for known, expires := range s.apps[app].secrets {
		if subtle.ConstantTimeCompare([]byte(known), []byte(secret)) == 1 {
			if s.Now().After(expires) {
				return refuse(7000222, "App '%s'.", app)
			}
			return nil
		}
	}
	return refuse(7000215, "App '%s'.", app)
}

// assertion checks either kind of JWT bearer assertion; a certificate's names
// itself in its header.
func (s *Server) assertion(a AppSpec, compact, endpoint string) *refusal {
	p, err := token.Parse(compact)
	if err != nil {
		return refuse(50027, "client_assertion")
	}
	if p.Thumbprint != "" || p.Old != "" {
		return s.certified(a.ID, p, endpoint)
	}
	c, err := s.Keys.Verify(compact, s.Now())
	switch {
	case errors.Is(err, token.ErrTime):
		return refuse(700024, "")
	case err != nil:
		return refuse(700027, "")
	case a.Audience == "":
		return refuse(70021, "The app '%s' has no federated identity credential.", a.ID)
	case c.Issuer != s.identityIssuer(a.Audience):
		return refuse(700211, "'%.128s'", c.Issuer)
	case string(c.Audience) != a.Audience:
		return refuse(700212, "'%.128s'", c.Audience)
	case c.Subject != s.identityObject():
		return refuse(700213, "'%.128s'", c.Subject)
	}
	return nil
}

// urlSafe brings a thumbprint into one form: MSAL for Go writes the standard
// alphabet with padding (source), RFC 7515 wants the URL-safe one without.
var urlSafe = strings.NewReplacer("+", "-", "/", "_", "=", "")

// certificate finds the app's certificate by either thumbprint; if both are
// there, they must name the same one.
func (s *Server) certificate(app string, p token.Parsed) *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *x509.Certificate
	for _, print := range []string{p.Thumbprint, p.Old} {
		if print == "" {
			continue
		}
		c := s.apps[app].certs[urlSafe.Replace(print)]
		if c == nil || found != nil && found != c {
			return nil
		}
		found = c
	}
	return found
}

func (s *Server) certified(app string, p token.Parsed, endpoint string) *refusal {
	cert := s.certificate(app, p)
	if cert == nil {
		return refuse(700027, "[Reason - The key was not found., Thumbprint of key used by client: '%.64s']", p.Thumbprint+p.Old)
	}
	if now := s.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return refuse(700027, "[Reason - The key used is expired.]")
	}
	c, err := p.Verify(cert.PublicKey, s.Now())
	switch {
	case errors.Is(err, token.ErrTime):
		return refuse(700024, "")
	case err != nil:
		return refuse(700027, "[Reason - The signature is invalid.]")
	case c.Issuer != app || c.Subject != app:
		return refuse(50012, "The assertion's issuer and subject must be the application's ID.")
	case string(c.Audience) != endpoint:
		return refuse(50012, "The assertion's audience must be the token endpoint.")
	}
	return nil
}

func sameResource(a, b string) bool { return token.SameAudience(a, b) }
