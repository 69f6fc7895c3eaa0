// Package graph is the stand-in for Microsoft Graph's directory. It answers
// only a token that was issued for it, with a role that the path needs, and
// only about the token's own tenant.
package graph

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/wire"
)

// Config is what Graph needs.
type Config struct {
	Gate     *wire.Gate
	Now      func() time.Time
	Tenants  *tenant.Registry
	Keys     *token.Keyring
	Base     string // own base URL, without /v1.0
	Public   string // the public cloud's resource, also a valid audience
	PageSize int    // people, or groups, on a delta page

	MembersPage int // members on a page of groups/delta; 0: 500

	Entra *entra.Server // where app registrations hold; nil: there are none
}

// Server answers for every tenant.
type Server struct {
	Config
	seal   cipher.AEAD
	routes http.Handler // what inner requests of a batch go through
	Apps   Applications
}

// New makes a Graph whose link tokens no other one can read.
func New(c Config) (*Server, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("graph: new: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("graph: new: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("graph: new: %w", err)
	}
	if c.MembersPage <= 0 {
		c.MembersPage = 500
	}
	s := &Server{Config: c, seal: seal}
	s.Apps.server = s
	return s, nil
}

// call is one authorized request.
type call struct {
	*http.Request
	tenant *tenant.Tenant
	query  url.Values
	roles  []string // of the token
}

// has says whether the token carries one of the roles.
func (c call) has(roles []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(c.roles, role) })
}

// route is one Graph operation: any one of the roles opens it, and without
// roles every valid token does.
type route struct {
	pattern string
	path    string // kind of path, for faults and counters
	roles   []string
	handle  func(*Server, call) wire.Reply
}

// Application permissions, least first (documented, permissions reference).
var (
	readUsers        = []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readOrganization = []string{"Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readGroups       = []string{"GroupMember.Read.All", "Group.Read.All", "GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readHidden       = []string{"Member.Read.Hidden"}
	readSKUs         = slices.Concat([]string{"LicenseAssignment.Read.All", "LicenseAssignment.ReadWrite.All"}, readOrganization)
	readReports      = []string{"Reports.Read.All"}
	readMailbox      = []string{"MailboxSettings.Read", "MailboxSettings.ReadWrite"}
	readEither       = slices.Concat(readUsers, readGroups)
)

var routes = []route{
	{"GET /v1.0/organization", fault.Organization, readOrganization, (*Server).organizations},
	{"GET /v1.0/organization/{id}", fault.Organization, readOrganization, (*Server).organization},
	{"GET /v1.0/users", fault.Users, readUsers, (*Server).users},
	{"GET /v1.0/users/$count", fault.UsersCount, readUsers, (*Server).usersCount},
	{"GET /v1.0/users/delta", fault.UsersDelta, readUsers, (*Server).usersDelta},
	{"GET /v1.0/users/delta()", fault.UsersDelta, readUsers, (*Server).usersDelta},
	{"GET /v1.0/users/{id}", fault.User, readUsers, (*Server).user},
	{"POST /v1.0/directoryObjects/getByIds", fault.ByIDs, readEither, (*Server).byIDs},
	{"POST /v1.0/$batch", fault.Batch, nil, (*Server).batch},
	{"GET /v1.0/subscribedSkus", fault.SubscribedSKUs, readSKUs, (*Server).subscribedSKUs},
	{"GET /v1.0/subscribedSkus/{id}", fault.SubscribedSKUs, readSKUs, (*Server).subscribedSKU},
	{"GET /v1.0/reports/{function}", fault.MailboxReport, readReports, (*Server).reports},
	{"GET /v1.0/users/{id}/mailboxSettings", fault.MailboxSettings, readMailbox, (*Server).mailboxSettings},
	{"GET /v1.0/users/{id}/mailboxSettings/userPurpose", fault.MailboxSettings, readMailbox, (*Server).userPurpose},
	{"GET /v1.0/directory/deletedItems", fault.DeletedItems, readUsers, (*Server).deletedItems},
	{"GET /v1.0/directory/deletedItems/microsoft.graph.user", fault.DeletedItems, readUsers, (*Server).deletedUsers},
	{"GET /v1.0/directory/deletedItems/{id}", fault.DeletedItems, readUsers, (*Server).deletedItem},
	{"GET /v1.0/groups", fault.Groups, readGroups, (*Server).groups},
	{"GET /v1.0/groups/delta", fault.GroupsDelta, readGroups, (*Server).groupsDelta},
	{"GET /v1.0/groups/delta()", fault.GroupsDelta, readGroups, (*Server).groupsDelta},
	{"GET /v1.0/groups/{id}", fault.Group, readGroups, (*Server).group},
	{"GET /v1.0/groups/{id}/members", fault.GroupMembers, readGroups, (*Server).groupMembers},
	{"GET /v1.0/groups/{id}/members/{cast}", fault.GroupMembers, readGroups, (*Server).groupMembers},
	{"GET /v1.0/groups/{id}/transitiveMembers", fault.TransitiveMembers, readGroups, (*Server).transitiveMembers},
	{"GET /v1.0/groups/{id}/transitiveMembers/{cast}", fault.TransitiveMembers, readGroups, (*Server).transitiveMembers},
	{"GET /v1.0/users/{id}/memberOf", fault.MemberOf, readGroups, (*Server).memberOf},
	{"GET /v1.0/users/{id}/memberOf/{cast}", fault.MemberOf, readGroups, (*Server).memberOf},
	{"POST /v1.0/users/{id}/checkMemberGroups", fault.CheckMemberGroups, readEither, (*Server).checkMemberGroups},
	{"POST /v1.0/directoryObjects/{id}/checkMemberGroups", fault.CheckMemberGroups, readEither, (*Server).checkMemberGroups},
}

// Handler serves the routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, rt) })
	}
	s.routes = mux
	mux.HandleFunc("GET "+downloads+"{token}", s.download)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.Gate.Send(w, r, "", "", s.fail(r, http.StatusBadRequest, "BadRequest", "Resource not found for the segment '"+r.URL.Path+"'."))
	})
	return s.Apps.handler(mux)
}

// serve authorizes, lets a fault in and answers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route) {
	claims, t, refusal := s.authenticate(r)
	if refusal != "" {
		rep := s.fail(r, http.StatusUnauthorized, "InvalidAuthenticationToken", refusal)
		rep.Header.Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"`)
		s.Gate.Send(w, r, "", "", rep)
		return
	}
	t.Called(rt.path)
	if _, inner := w.(*captured); rt.path == fault.Users && !inner && r.URL.Query().Get("$top") != "1" {
		t.Called(fault.ListedUsers)
	}
	if rep, hit := s.Gate.Before(r, t.ID, claims.App, rt.path); hit {
		s.Gate.Send(w, r, t.ID, rt.path, rep)
		return
	}
	if len(rt.roles) > 0 && !slices.ContainsFunc(rt.roles, func(role string) bool { return slices.Contains(claims.Roles, role) }) {
		s.Gate.Send(w, r, t.ID, rt.path, s.fail(r, http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."))
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		s.Gate.Send(w, r, t.ID, rt.path, s.bad(r, "the query string cannot be read"))
		return
	}
	cost := units(rt.path, q)
	var more http.Header
	if rt.path != fault.Batch { // its requests count each for themselves (documented)
		refused, near, hit := s.Gate.Spend(r, t.ID, claims.App, rt.path, t.Len(), cost)
		if hit {
			s.Gate.Send(w, r, t.ID, rt.path, refused)
			return
		}
		more = near
	}
	rep := rt.handle(s, call{Request: r, tenant: t, query: q, roles: claims.Roles})
	rep.Header.Set("x-ms-resource-unit", strconv.Itoa(cost))
	for k, v := range more {
		rep.Header[k] = v
	}
	if id := r.Header.Get("client-request-id"); id != "" {
		rep.Header.Set("client-request-id", id)
	}
	s.Gate.Send(w, r, t.ID, rt.path, rep)
}

// authenticate finds the tenant that a token was issued for, or tells in
// Graph's own words why there is none.
func (s *Server) authenticate(r *http.Request) (c token.Claims, t *tenant.Tenant, refusal string) {
	scheme, compact, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || compact == "" {
		return c, nil, "Access token is empty."
	}
	c, err := s.Keys.Verify(strings.TrimSpace(compact), s.Now())
	switch {
	case errors.Is(err, token.ErrTime):
		return c, nil, "Lifetime validation failed, the token is expired."
	case err != nil:
		return c, nil, "Access token validation failure. Invalid signature."
	case !token.SameAudience(string(c.Audience), s.Public) && !token.SameAudience(string(c.Audience), s.Base):
		return c, nil, "Access token validation failure. Invalid audience."
	}
	if t = s.Tenants.Get(c.Tenant); t == nil {
		return c, nil, "The identity of the calling application could not be established."
	}
	return c, t, ""
}

func (s *Server) fail(r *http.Request, status int, code, message string) wire.Reply {
	return wire.Error(r, s.Now(), status, code, message)
}

func (s *Server) bad(r *http.Request, message string) wire.Reply {
	return s.fail(r, http.StatusBadRequest, "Request_BadRequest", message)
}

// units is the cost of a request (documented, "Microsoft Graph
// service-specific throttling limits", identity and access).
func units(path string, q url.Values) int {
	n := map[string]int{fault.Users: 2, fault.User: 1, fault.UsersCount: 1, fault.ByIDs: 5, fault.SubscribedSKUs: 3}[path]
	if more, ok := groupUnits[path]; ok {
		n = more
	}
	if q.Has("$select") {
		n--
		if path == fault.ByIDs {
			n = 2
		}
	}
	if q.Has("$expand") {
		n++
	}
	if top, err := strconv.Atoi(q.Get("$top")); err == nil && top < 20 {
		n--
	}
	return max(n, 1)
}

// groupUnits are the costs of requests about groups and members.
var groupUnits = map[string]int{fault.GroupMembers: 3, fault.TransitiveMembers: 5, fault.CheckMemberGroups: 4}
