// Package vault is the stand-in for Azure Key Vault's secrets. It gives none
// to a caller that does not hold a token of the vault's own audience and a role
// in the vault.
package vault

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

// Host is the vault's name, which its certificate bears, and URL its address
// as an app's settings have it. It is reached elsewhere: on loopback.
const (
	Host = "sandbox.vault.azure.net"
	URL  = "https://" + Host
)

// resource is the audience of tokens for every vault of the public cloud.
const resource = "https://vault.azure.net"

// Role is what a caller may do with secrets, by Azure's built-in roles.
type Role string

// The roles (documented, "Azure built-in roles": Key Vault Secrets User and Key
// Vault Secrets Officer).
const (
	None    Role = "none"
	User    Role = "user"
	Officer Role = "officer"
)

// Config is what the vault needs.
type Config struct {
	Gate      *wire.Gate
	Now       func() time.Time
	Keys      *token.Keyring
	Authority string // where its callers get tokens
	Tenant    string // the vendor's
	Reader    string // client ID of the one identity that has a role here
}

// Server is one vault.
type Server struct {
	Config
	mu      sync.Mutex
	role    Role
	secrets map[string]*secret
}

// New makes an empty vault that the reader may read.
func New(c Config) *Server {
	return &Server{Config: c, role: User, secrets: map[string]*secret{}}
}

// SetRole replaces the reader's role.
func (s *Server) SetRole(r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role = r
}

// maxBody bounds a request body in bytes.
const maxBody = 64 << 10

// pageSize is how many elements a list's page has (documented, "Get Secret
// Versions": up to 25).
const pageSize = 25

// Handler serves the operations.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, op := range map[string]struct {
		needs  Role
		action string
		do     func(*Server, *http.Request) wire.Reply
	}{
		"GET /secrets":                  {User, "readMetadata", (*Server).list},
		"GET /secrets/{name}":           {User, "getSecret", (*Server).get},
		"GET /secrets/{name}/{version}": {User, "getSecret", (*Server).get}, // an empty version too
		"GET /secrets/{name}/versions":  {User, "readMetadata", (*Server).versions},
		"PUT /secrets/{name}":           {Officer, "setSecret", (*Server).put},
		"DELETE /secrets/{name}":        {Officer, "delete", (*Server).remove},
		"GET /deletedsecrets/{name}":    {Officer, "get", (*Server).deleted},
		"DELETE /deletedsecrets/{name}": {Officer, "purge", (*Server).purge},
		"GET /secrets/{name}/{$}":       {User, "getSecret", (*Server).get},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, op.needs, op.action, op.do)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.Gate.Send(w, r, s.Tenant, "", failure(http.StatusNotFound, "NotFound", "The requested operation does not exist.", ""))
	})
	return mux
}

// serve authorizes, lets a fault in and answers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, needs Role, action string, do func(*Server, *http.Request) wire.Reply) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	send := func(rep wire.Reply) {
		rep.Header.Set("x-ms-keyvault-region", "sandbox")
		rep.Header.Set("Cache-Control", "no-cache")
		s.Gate.Send(w, r, s.Tenant, fault.Vault, rep)
	}
	who, rep, refused := s.caller(r)
	if refused {
		send(rep)
		return
	}
	if rep, hit := s.Gate.Before(r, s.Tenant, who.App, fault.Vault); hit {
		send(own(rep))
		return
	}
	if !s.may(who, needs) {
		send(failure(http.StatusForbidden, "Forbidden", fmt.Sprintf("Caller is not authorized to perform action on resource.\r\n"+
			"If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n"+
			"Caller: appid=%s;oid=%s;iss=%s\r\nAction: 'Microsoft.KeyVault/vaults/secrets/%s/action'\r\nAssignment: (not found)\r\n",
			who.App, who.Object, who.Issuer, action), "ForbiddenByRbac"))
		return
	}
	if r.URL.Query().Get("api-version") == "" {
		send(failure(http.StatusBadRequest, "BadParameter", "The api-version query parameter is required.", ""))
		return
	}
	send(do(s, r))
}

// caller is who asks. Without a good token, the answer says where to get one.
func (s *Server) caller(r *http.Request) (who token.Claims, rep wire.Reply, refused bool) {
	scheme, compact, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	message := "AKV10000: Request is missing a Bearer or PoP token."
	if strings.EqualFold(scheme, "Bearer") && compact != "" {
		var err error
		who, err = s.Keys.Verify(strings.TrimSpace(compact), s.Now())
		switch {
		case err != nil:
			message = "AKV10022: Invalid token."
		case !token.SameAudience(string(who.Audience), resource):
			message = "AKV10022: Invalid audience."
		case who.Tenant != s.Tenant:
			message = "AKV10032: Invalid issuer."
		default:
			return who, rep, false
		}
	}
	rep = failure(http.StatusUnauthorized, "Unauthorized", message, "")
	rep.Header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s/%s", resource="%s"`, s.Authority, s.Tenant, resource))
	return who, rep, true
}

func (s *Server) may(who token.Claims, needs Role) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return who.App == s.Reader && (s.role == Officer || s.role == needs)
}

// failure is Key Vault's error document.
func failure(status int, code, message, inner string) wire.Reply {
	e := map[string]any{"code": code, "message": message}
	if inner != "" {
		e["innererror"] = map[string]string{"code": inner}
	}
	return wire.JSON(status, map[string]any{"error": e})
}

// own brings a fault's answer into Key Vault's form.
func own(rep wire.Reply) wire.Reply {
	code, message := "InternalServerError", "An unexpected error occurred."
	switch rep.Status {
	case http.StatusTooManyRequests:
		code, message = "Throttled", "Request was not processed because too many requests were received."
	case http.StatusForbidden:
		code, message = "Forbidden", "Client address is not authorized and caller is not a trusted service."
	case http.StatusServiceUnavailable:
		code, message = "ServiceUnavailable", "The service is temporarily unavailable."
	}
	out := failure(rep.Status, code, message, "")
	if after := rep.Header.Get("Retry-After"); after != "" {
		out.Header.Set("Retry-After", after)
	}
	return out
}

func missing(name, id string) wire.Reply {
	if id != "" {
		name += "/" + id
	}
	return failure(http.StatusNotFound, "SecretNotFound", fmt.Sprintf("A secret with (name/id) %.200s was not found in this key vault. "+
		"If you recently deleted this secret you may be able to recover it using the correct recovery command.", name), "")
}
