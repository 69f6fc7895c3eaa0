// Package entra is the stand-in for Microsoft's sign-in service and for the
// managed identity endpoint. It issues a token only to a client that proved
// itself, and never believes an assertion without its signature.
package entra

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

// GraphResource is the audience of Graph tokens in the public cloud.
const GraphResource = "https://graph.microsoft.com"

// ExchangeAudience is what a managed identity's token must be for, to serve
// as the credential of an app of the public cloud; the others have their own
// (documented, "Configure an application to trust a managed identity").
const (
	ExchangeAudience      = "api://AzureADTokenExchange"
	ExchangeAudienceUSGov = "api://AzureADTokenExchangeUSGov"
	ExchangeAudienceChina = "api://AzureADTokenExchangeChina"
)

// Config is what the sign-in service needs.
type Config struct {
	Gate             *wire.Gate
	Now              func() time.Time
	Tenants          *tenant.Registry
	Keys             *token.Keyring
	Authority        string // own base URL
	Graph            string // Graph's base URL, also a valid resource
	IdentityClientID string
	IdentityHeader   string
	VendorTenant     string
	ConsentDelay     func() time.Duration
}

// Server answers for every tenant.
type Server struct {
	Config

	mu    sync.Mutex
	apps  map[string]*app // by client ID
	order []string        // of the apps
	codes map[string]*code
}

// New makes a sign-in service that knows no app yet.
func New(c Config) *Server {
	return &Server{Config: c, apps: map[string]*app{}, codes: map[string]*code{}}
}

// Handler serves the authority's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.keys)
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", s.authorize)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/authorize", s.authorize)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.token)
	mux.HandleFunc("GET /{tenant}/v2.0/adminconsent", s.adminConsent)
	mux.HandleFunc("POST /{tenant}/v2.0/adminconsent", s.adminConsent)
	return mux
}

// anyTenant says whether the path segment stands for all organizations.
func anyTenant(segment string) bool { return segment == "organizations" || segment == "common" }

// segment is the tenant part of the path, in lower case, if it is one of the
// tenants here or stands for many.
func (s *Server) segment(r *http.Request) (string, *refusal) {
	t := strings.ToLower(r.PathValue("tenant"))
	if anyTenant(t) || t == tenant.PersonalTenant || t == s.VendorTenant || s.Tenants.Get(t) != nil {
		return t, nil
	}
	return "", refuse(90002, "Tenant '%.64s'.", t)
}

func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	t, refused := s.segment(r)
	if refused != nil {
		s.Gate.Send(w, r, t, "", s.document(r, refused))
		return
	}
	issuer := t
	if anyTenant(t) {
		issuer = "{tenantid}" // as Microsoft writes it: the reader fills in tid
	}
	base := s.Authority + "/" + t
	s.Gate.Send(w, r, t, "", wire.JSON(http.StatusOK, map[string]any{
		"issuer":                                s.Authority + "/" + issuer + "/v2.0",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"code_challenge_methods_supported":      []string{"S256"},
		"scopes_supported":                      []string{"openid", "profile"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nonce", "tid", "oid", "preferred_username", "name", "wids"},
	}))
}

func (s *Server) keys(w http.ResponseWriter, r *http.Request) {
	t, refused := s.segment(r)
	if refused != nil {
		s.Gate.Send(w, r, t, "", s.document(r, refused))
		return
	}
	set, err := s.keySet(t)
	if err != nil {
		s.Gate.Send(w, r, t, "", s.document(r, refuse(90033, "%v", err)))
		return
	}
	s.Gate.Send(w, r, t, "", wire.JSON(http.StatusOK, map[string]any{"keys": set}))
}

// keySet are the published keys, each with the issuer that it may sign for: any
// tenant's, or that of personal accounts (documented, "Validate the signing key
// issuer").
func (s *Server) keySet(segment string) (set []map[string]any, err error) {
	add := func(key any, issuer string) error {
		var m map[string]any
		b, err := json.Marshal(key)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err == nil {
			m["issuer"] = s.Authority + "/" + issuer + "/v2.0"
			set = append(set, m)
		}
		return err
	}
	if segment != tenant.PersonalTenant {
		for _, key := range s.Keys.Public() {
			if err := add(key, "{tenantid}"); err != nil {
				return nil, err
			}
		}
	}
	if anyTenant(segment) || segment == tenant.PersonalTenant {
		key, err := s.Keys.Consumer()
		if err != nil {
			return nil, err
		}
		if err := add(key, tenant.PersonalTenant); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// withQuery adds parameters to a registered redirect URI.
func withQuery(uri string, q url.Values) string {
	u, err := url.Parse(uri)
	if err != nil { // registered as a text that is no URI: the browser will say so
		return uri + "?" + q.Encode()
	}
	merged := u.Query()
	for k, v := range q {
		merged[k] = v
	}
	u.RawQuery = merged.Encode()
	return u.String()
}

// random is an unguessable URL-safe text.
func random() string { return rand.Text() + rand.Text() }

// pairwise is the subject that one app sees for one account (documented,
// "ID token claims reference": unique per application).
func pairwise(app, object string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s", app, object))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
