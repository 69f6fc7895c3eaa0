package entra

import (
	"crypto/subtle"
	"errors"
	"net/url"
	"strings"

	"rollcall/internal/sandbox/microsoft/token"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate proves that the request comes from the app: by a federated
// assertion, a certificate assertion or a secret.
func (s *Server) authenticate(form url.Values, endpoint string) *refusal {
	switch id := form.Get("client_id"); {
	case id == "":
		return refuse(900144, "client_id")
	case id != s.AppID:
		return refuse(700016, "Application '%.64s'.", id)
	}
	if form.Get("client_assertion") != "" {
		if form.Get("client_assertion_type") != jwtBearer {
			return refuse(9002313, "client_assertion_type")
		}
		return s.assertion(form.Get("client_assertion"), endpoint)
	}
	secret := form.Get("client_secret")
	if secret == "" {
		return refuse(7000218, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for known, expires := range s.secrets {
		if subtle.ConstantTimeCompare([]byte(known), []byte(secret)) == 1 {
			if s.Now().After(expires) {
				return refuse(7000222, "App '%s'.", s.AppID)
			}
			return nil
		}
	}
	return refuse(7000215, "App '%s'.", s.AppID)
}

// assertion checks either kind of JWT bearer assertion; a certificate's names
// itself in its header.
func (s *Server) assertion(compact, endpoint string) *refusal {
	p, err := token.Parse(compact)
	if err != nil {
		return refuse(50027, "client_assertion")
	}
	if p.Thumbprint != "" {
		return s.certified(p, endpoint)
	}
	c, err := s.Keys.Verify(compact, s.Now())
	switch {
	case errors.Is(err, token.ErrTime):
		return refuse(700024, "")
	case err != nil:
		return refuse(700027, "")
	case c.Issuer != s.identityIssuer(ExchangeAudience):
		return refuse(700211, "'%.128s'", c.Issuer)
	case string(c.Audience) != ExchangeAudience:
		return refuse(700212, "'%.128s'", c.Audience)
	case c.Subject != s.identityObject():
		return refuse(700213, "'%.128s'", c.Subject)
	}
	return nil
}

// urlSafe brings a thumbprint into one form: MSAL for Go writes the standard
// alphabet with padding (source), RFC 7515 wants the URL-safe one without.
var urlSafe = strings.NewReplacer("+", "-", "/", "_", "=", "")

func (s *Server) certified(p token.Parsed, endpoint string) *refusal {
	s.mu.Lock()
	cert := s.certs[urlSafe.Replace(p.Thumbprint)]
	s.mu.Unlock()
	if cert == nil {
		return refuse(700027, "The key was not found: '%.64s'.", p.Thumbprint)
	}
	if now := s.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return refuse(700027, "The certificate is not within its valid time range.")
	}
	c, err := p.Verify(cert.PublicKey, s.Now())
	switch {
	case errors.Is(err, token.ErrTime):
		return refuse(700024, "")
	case err != nil:
		return refuse(700027, "")
	case c.Issuer != s.AppID || c.Subject != s.AppID:
		return refuse(50012, "The assertion's issuer and subject must be the application's ID.")
	case string(c.Audience) != endpoint:
		return refuse(50012, "The assertion's audience must be the token endpoint.")
	}
	return nil
}

func sameResource(a, b string) bool { return token.SameAudience(a, b) }
