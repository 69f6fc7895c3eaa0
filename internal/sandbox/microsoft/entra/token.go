package entra

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

const (
	tokenLife = time.Hour        // of access and ID tokens (documented, "Access token lifetime": 60 to 90 minutes)
	codeLife  = 10 * time.Minute // (documented, "OAuth 2.0 authorization code flow")
	maxForm   = 64 << 10         // bytes of a form
)

// code is an authorization code that was issued; it stays known after its
// use, so that a second use is told apart from a made-up code.
type code struct {
	app       string
	account   tenant.Account
	redirect  string
	nonce     string
	challenge string
	expires   time.Time
	used      bool
}

// issue makes a code and forgets the dead ones.
func (s *Server) issue(c code) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, old := range s.codes {
		if s.Now().After(old.expires.Add(tokenLife)) {
			delete(s.codes, k)
		}
	}
	id := random()
	c.expires = s.Now().Add(codeLife)
	s.codes[id] = &c
	return id
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	seg, refused := s.segment(r)
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	malformed := r.ParseForm()
	if t := s.Tenants.Get(seg); t != nil {
		t.Called(fault.Token)
	}
	if rep, hit := s.Gate.Before(r, seg, r.PostForm.Get("client_id"), fault.Token); hit {
		s.Gate.Send(w, r, seg, fault.Token, rep)
		return
	}
	if refused == nil {
		if f, hit := s.Gate.Faults.Take(seg, fault.Token, fault.AADSTS); hit {
			refused = refuse(f.Code, "")
		}
	}
	if malformed != nil && refused == nil {
		refused = refuse(9002313, "The body is no form of at most %d bytes.", maxForm)
	}
	var rep wire.Reply
	if refused == nil {
		rep, refused = s.grant(r, seg)
	}
	if refused != nil {
		rep = s.document(r, refused)
	}
	s.Gate.Send(w, r, seg, fault.Token, rep)
}

func (s *Server) grant(r *http.Request, seg string) (wire.Reply, *refusal) {
	form := r.PostForm
	client, refused := s.authenticate(form, s.Authority+r.URL.Path, seg)
	if refused != nil {
		return wire.Reply{}, refused
	}
	switch form.Get("grant_type") {
	case "client_credentials":
		return s.clientCredentials(client, form, seg)
	case "authorization_code":
		return s.redeem(client, form, seg)
	case "":
		return wire.Reply{}, refuse(900144, "grant_type")
	}
	return wire.Reply{}, refuse(70003, "'%.64s'", form.Get("grant_type"))
}

func reply(v map[string]any) wire.Reply {
	rep := wire.JSON(http.StatusOK, v)
	rep.Header.Set("Cache-Control", "no-store")
	rep.Header.Set("Pragma", "no-cache")
	return rep
}

// clientCredentials issues an app-only token with the roles that the tenant
// has granted and that have spread.
func (s *Server) clientCredentials(client AppSpec, form url.Values, seg string) (wire.Reply, *refusal) {
	var none wire.Reply
	t := s.Tenants.Get(seg)
	if t == nil {
		return none, refuse(90002, "An app-only token needs a tenant of its own, not '%s'.", seg)
	}
	resource, refused := s.resource(form.Get("scope"))
	if refused != nil {
		return none, refused
	}
	access, roles := t.Access(client.ID)
	switch access {
	case tenant.Absent:
		return none, refuse(7000229, "App '%s', tenant '%s'.", client.ID, t.ID)
	case tenant.Withdrawn:
		return none, refuse(700016, "App '%s', tenant '%s'.", client.ID, t.ID)
	case tenant.Disabled:
		return none, refuse(7000112, "App '%s'(%s).", client.ID, client.Name)
	case tenant.Blocked:
		return none, refuse(t.BlockedBy(client.ID), "")
	}
	if _, hit := s.Gate.Faults.Take(t.ID, fault.Token, fault.NoRoles); hit {
		roles = nil
	}
	now := s.Now()
	principal := uuid.NewSHA1(uuid.NameSpaceURL, []byte(client.ID+"/"+t.ID)).String()
	claims := map[string]any{
		"aud": resource, "iss": "https://sts.windows.net/" + t.ID + "/", "tid": t.ID, "appid": client.ID, "idtyp": "app", "ver": "1.0",
		"oid": principal, "sub": principal,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix(), "uti": random(),
	}
	if len(roles) > 0 {
		claims["roles"] = roles
	}
	signed, err := s.Keys.Sign(claims)
	if err != nil {
		return none, refuse(90033, "%v", err)
	}
	seconds := int(tokenLife.Seconds())
	return reply(map[string]any{"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": signed}), nil
}

// resource finds the one <resource>/.default among the scopes; MSAL adds the
// OpenID ones to it.
func (s *Server) resource(scope string) (string, *refusal) {
	found := ""
	for _, sc := range strings.Fields(scope) {
		if slices.Contains([]string{"openid", "offline_access", "profile", "email"}, sc) {
			continue
		}
		res, ok := strings.CutSuffix(sc, "/.default")
		if !ok || found != "" || (!sameResource(res, GraphResource) && !sameResource(res, s.Graph)) {
			return "", refuse(70011, "The scope %.128s isn't valid.", scope)
		}
		found = strings.TrimRight(res, "/")
	}
	if found == "" {
		return "", refuse(70011, "The scope %.128s isn't valid.", scope)
	}
	return found, nil
}

// redeem trades a code for tokens. The first try uses the code up, whether it
// succeeds or not.
func (s *Server) redeem(client AppSpec, form url.Values, seg string) (wire.Reply, *refusal) {
	var none wire.Reply
	s.mu.Lock()
	c := s.codes[form.Get("code")]
	if c == nil || c.app != client.ID {
		s.mu.Unlock()
		return none, refuse(70000, "code")
	}
	used := c.used
	c.used = true
	s.mu.Unlock()
	verifier := sha256.Sum256([]byte(form.Get("code_verifier")))
	switch {
	case used:
		return none, refuse(54005, "")
	case s.Now().After(c.expires):
		return none, refuse(70008, "")
	case form.Get("redirect_uri") != c.redirect:
		return none, refuse(500112, "")
	case !anyTenant(seg) && seg != c.account.Tenant:
		return none, refuse(50020, "Tenant '%s'.", seg)
	case c.challenge != "" && base64.RawURLEncoding.EncodeToString(verifier[:]) != c.challenge:
		return none, refuse(501481, "")
	case c.challenge == "" && form.Get("code_verifier") != "":
		return none, refuse(501481, "")
	}
	now, a := s.Now(), c.account
	if client.SingleTenant && a.Tenant != client.Tenant {
		return none, refuse(50020, "Tenant '%s'.", a.Tenant)
	}
	claims := map[string]any{
		"iss": s.issuer(a.Tenant), "aud": client.ID, "ver": "2.0",
		"tid": a.Tenant, "oid": a.ID, "sub": pairwise(client.ID, a.ID), "preferred_username": a.Username, "name": a.Name,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix(), "uti": random(),
	}
	if len(a.Roles) > 0 && !client.WithoutWids {
		claims["wids"] = a.Roles
	}
	if c.nonce != "" {
		claims["nonce"] = c.nonce
	}
	id, err := s.idToken(a, claims)
	if err != nil {
		return none, refuse(90033, "%v", err)
	}
	access, err := s.Keys.Sign(map[string]any{
		"aud": GraphResource, "iss": "https://sts.windows.net/" + a.Tenant + "/", "tid": a.Tenant, "oid": a.ID, "sub": pairwise(GraphResource, a.ID),
		"appid": client.ID, "idtyp": "user", "scp": "openid profile", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	})
	if err != nil {
		return none, refuse(90033, "%v", err)
	}
	return reply(map[string]any{
		"token_type": "Bearer", "scope": "openid profile", "expires_in": int(tokenLife.Seconds()), "access_token": access, "id_token": id,
	}), nil
}
