package graph

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

// Applications are the app registrations of the vendor's tenant, as a person
// of that tenant sees them by Graph. What is written here holds at Entra at
// once. Apps that were made in another way, as by AddApp, are not shown.
type Applications struct {
	server *Server

	mu     sync.Mutex
	list   []*registration
	writes int
}

// Writes is how many requests so far were meant to change something.
func (a *Applications) Writes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.writes
}

// registration is an application object.
type registration struct {
	object, client, unique string
	Name                   string           `json:"displayName"`
	Audience               string           `json:"signInAudience"`
	Claims                 *string          `json:"groupMembershipClaims"`
	Web                    webPlatform      `json:"web"`
	Required               []requiredAccess `json:"requiredResourceAccess"`
	trusts                 []trust
	principal              bool
}

type webPlatform struct {
	RedirectURIs []string       `json:"redirectUris"`
	HomePage     *string        `json:"homePageUrl"`
	Logout       *string        `json:"logoutUrl"`
	Implicit     map[string]any `json:"implicitGrantSettings,omitempty"`
}

type requiredAccess struct {
	App    string `json:"resourceAppId"`
	Access []struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"resourceAccess"`
}

type trust struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// graphApp is Graph's own client ID (documented).
const graphApp = "00000003-0000-0000-c000-000000000000"

// RoleID is the ID of an application permission, ScopeID that of a delegated
// one. They are not Microsoft's: whoever does not look them up is found out.
func RoleID(value string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("role/"+value)).String()
}
func ScopeID(value string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("scope/"+value)).String()
}

// grantable are the permissions that Graph has to grant: all that some route
// here needs.
func grantable() (values []string) {
	for _, rt := range routes {
		values = append(values, rt.roles...)
	}
	values = append(values, readHidden...) // which no route is closed without
	slices.Sort(values)
	return slices.Compact(values)
}

// mayWrite are the directory roles that may change registrations: as in a
// tenant whose users may not register apps (documented, "Restrict who can
// create applications"). The last is Cloud Application Administrator.
var mayWrite = []string{tenant.GlobalAdministrator, tenant.ApplicationAdministrator, "158c047a-c907-4556-b7ef-446551a6b5f7"}

// person is the vendor's, if the request carries a token of one.
func (s *Server) person(r *http.Request) (token.Claims, bool) {
	scheme, compact, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	ours := slices.ContainsFunc([]string{"applications", "servicePrincipals", "organization"}, func(set string) bool {
		return strings.HasPrefix(r.URL.Path, "/v1.0/"+set)
	})
	if s.Entra == nil || !ours || !strings.EqualFold(scheme, "Bearer") {
		return token.Claims{}, false
	}
	c, err := s.Keys.Verify(strings.TrimSpace(compact), s.Now())
	return c, err == nil && c.Tenant == s.Entra.VendorTenant && c.Scopes != "" && token.SameAudience(string(c.Audience), s.Public)
}

// handler serves the vendor's people, and everybody else by next.
func (a *Applications) handler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(call) wire.Reply{
		"GET /v1.0/organization":                                   a.home,
		"GET /v1.0/{object}":                                       a.get,
		"PATCH /v1.0/{object}":                                     a.patch,
		"POST /v1.0/applications":                                  a.post,
		"GET /v1.0/applications/{id}":                              a.get,
		"PATCH /v1.0/applications/{id}":                            a.patch,
		"GET /v1.0/applications/{id}/federatedIdentityCredentials": a.trusts,
		"PATCH /v1.0/applications/{id}/{credential}":               a.putTrust,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c, _ := a.server.person(r)
			a.server.Gate.Send(w, r, c.Tenant, "", a.judge(r, c, h))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := a.server.person(r); ok {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// judge lets a fault in, checks the person's rights and answers.
func (a *Applications) judge(r *http.Request, c token.Claims, h func(call) wire.Reply) wire.Reply {
	s := a.server
	if rep, hit := s.Gate.Before(r, c.Tenant, c.App, "applications"); hit {
		return rep
	}
	may := slices.Contains(strings.Fields(c.Scopes), "Application.ReadWrite.All") &&
		(r.Method == http.MethodGet || slices.ContainsFunc(mayWrite, func(role string) bool { return slices.Contains(c.Wids, role) }))
	if !may {
		return s.fail(r, http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return s.bad(r, "the query string cannot be read")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method != http.MethodGet {
		a.writes++
	}
	return h(call{Request: r, query: q})
}

// key reads the alternate key of a path such as applications(appId='…').
func key(segment, set, name string) (string, bool) {
	v, ok := strings.CutPrefix(segment, set+"("+name+"='")
	v, end := strings.CutSuffix(v, "')")
	return strings.ReplaceAll(v, "''", "'"), ok && end
}

// find is the registration that the path names. by is its unique name, if that
// is how it is named.
func (a *Applications) find(c call) (r *registration, by string) {
	is := func(*registration) bool { return false }
	if id := c.PathValue("id"); id != "" {
		is = func(r *registration) bool { return r.object == id }
	} else if id, ok := key(c.PathValue("object"), "applications", "appId"); ok {
		is = func(r *registration) bool { return r.client == id }
	} else if by, ok = key(c.PathValue("object"), "applications", "uniqueName"); ok {
		is = func(r *registration) bool { return r.unique == by }
	}
	if i := slices.IndexFunc(a.list, is); i >= 0 {
		return a.list[i], by
	}
	return nil, by
}

func (a *Applications) show(c call, status int, kind string, all map[string]any) wire.Reply {
	out, err := pick(c.query.Get("$select"), kind, all)
	if err != nil {
		return a.server.refused(c, err)
	}
	return wire.JSON(status, out)
}

func (a *Applications) home(c call) wire.Reply {
	org, err := pick(c.query.Get("$select"), "organization", map[string]any{"id": a.server.Entra.VendorTenant, "displayName": "The Vendor", "tenantType": "AAD"})
	if err != nil {
		return a.server.refused(c, err)
	}
	return wire.JSON(http.StatusOK, map[string]any{"value": []any{org}})
}

// get answers an application or a service principal.
func (a *Applications) get(c call) wire.Reply {
	if client, ok := key(c.PathValue("object"), "servicePrincipals", "appId"); ok {
		return a.getPrincipal(c, client)
	}
	r, _ := a.find(c)
	if r == nil {
		return a.server.missing(c, c.PathValue("object")+c.PathValue("id"))
	}
	return a.show(c, http.StatusOK, "application", r.document())
}

func (r *registration) document() map[string]any {
	web := r.Web
	web.Implicit = map[string]any{"enableIdTokenIssuance": false, "enableAccessTokenIssuance": false}
	if web.RedirectURIs == nil {
		web.RedirectURIs = []string{}
	}
	required := r.Required
	if required == nil {
		required = []requiredAccess{}
	}
	doc := map[string]any{
		"id": r.object, "appId": r.client, "uniqueName": nil, "displayName": r.Name, "signInAudience": r.Audience,
		"groupMembershipClaims": r.Claims, "web": web, "requiredResourceAccess": required, "tags": []string{},
	}
	if r.unique != "" {
		doc["uniqueName"] = r.unique
	}
	return doc
}

func (a *Applications) getPrincipal(c call, client string) wire.Reply {
	if client == graphApp {
		return a.show(c, http.StatusOK, "servicePrincipal", graphPrincipal())
	}
	i := slices.IndexFunc(a.list, func(r *registration) bool { return r.client == client && r.principal })
	if i < 0 {
		return a.server.missing(c, client)
	}
	return a.show(c, http.StatusOK, "servicePrincipal", map[string]any{
		"id": RoleID("principal/" + client), "appId": client, "displayName": a.list[i].Name, "appRoles": []any{}, "oauth2PermissionScopes": []any{},
	})
}

// graphPrincipal is Graph's own service principal. Some of its roles are
// switched off or not for apps, under names that others have too.
func graphPrincipal() map[string]any {
	var roles, scopes []any
	role := func(id, value, member string, enabled bool) any {
		return map[string]any{"id": id, "value": value, "isEnabled": enabled, "allowedMemberTypes": []string{member}, "displayName": value, "origin": "Application"}
	}
	for _, v := range grantable() {
		roles = append(roles, role(RoleID("off/"+v), v, "Application", false), role(RoleID("user/"+v), v, "User", true), role(RoleID(v), v, "Application", true))
		scopes = append(scopes, map[string]any{"id": ScopeID(v), "value": v, "isEnabled": true, "type": "Admin"})
	}
	scopes = append(scopes, map[string]any{"id": ScopeID("User.Read"), "value": "User.Read", "isEnabled": true, "type": "User"})
	return map[string]any{"id": RoleID("graph"), "appId": graphApp, "displayName": "Microsoft Graph", "appRoles": roles, "oauth2PermissionScopes": scopes}
}

// publish makes Entra know the registration as it is now.
func (a *Applications) publish(r *registration) {
	spec := entra.AppSpec{
		ID: r.client, Name: r.Name, SingleTenant: r.Audience == "AzureADMyOrg", RedirectURIs: slices.Clone(r.Web.RedirectURIs),
		WithoutWids: r.Claims == nil || *r.Claims != "DirectoryRole" && *r.Claims != "All",
	}
	for _, res := range r.Required {
		for _, p := range res.Access {
			for _, v := range grantable() {
				if res.App == graphApp && p.Type == "Role" && p.ID == RoleID(v) {
					spec.Permissions = append(spec.Permissions, v)
				}
			}
		}
	}
	for _, t := range r.trusts {
		if aud := a.server.Entra.Trusted(t.Issuer, t.Subject, t.Audiences[0]); aud != "" {
			spec.Audience = aud
		}
	}
	a.server.Entra.PutApp(spec)
}

var errApplication = errors.New("invalid application")

// check says what Graph would refuse (documented, "application resource type").
func (r *registration) check() error {
	switch {
	case r.Name == "" || len(r.Name) > 256:
		return fmt.Errorf("%w: displayName", errApplication)
	case !slices.Contains([]string{"AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"}, r.Audience):
		return fmt.Errorf("%w: signInAudience %.64q", errApplication, r.Audience)
	case r.Claims != nil && !slices.Contains([]string{"None", "SecurityGroup", "ApplicationGroup", "DirectoryRole", "All"}, *r.Claims):
		return fmt.Errorf("%w: groupMembershipClaims %.64q", errApplication, *r.Claims)
	}
	for i, uri := range r.Web.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "https" && u.Hostname() != "localhost" || len(uri) > 256 || slices.Contains(r.Web.RedirectURIs[:i], uri) {
			return fmt.Errorf("%w: redirect URI %.256q", errApplication, uri)
		}
	}
	for _, res := range r.Required {
		if !tenant.IsGUID(res.App) || len(res.Access) == 0 {
			return fmt.Errorf("%w: resource %.64q", errApplication, res.App)
		}
		for _, p := range res.Access {
			if !tenant.IsGUID(p.ID) || p.Type != "Role" && p.Type != "Scope" {
				return fmt.Errorf("%w: permission %.64q of type %.64q", errApplication, p.ID, p.Type)
			}
		}
	}
	return nil
}
