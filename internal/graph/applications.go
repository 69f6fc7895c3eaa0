package graph

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// What this file does is in the vendor's own tenant and with the token of the
// engineer who runs it, who may read what Graph says of a refusal.

// ownApp is the client ID of Microsoft Graph itself, the same in every tenant
// and cloud. Source: Microsoft documentation, "Verify first-party Microsoft
// applications in sign-in reports".
const ownApp = "00000003-0000-0000-c000-000000000000"

// upsert makes a PATCH create what is not there yet. Source: Microsoft Graph
// documentation, "Upsert application", "Upsert servicePrincipal", "Upsert
// federatedIdentityCredential".
const upsert = "create-if-missing"

// needsApps is what a token, or the person behind it, must be allowed.
const needsApps = "Application.ReadWrite.All"

// Home is the tenant of whoever is signed in.
func (c *Client) Home(ctx context.Context) (id, name string, err error) {
	defer fault.Wrap(&err, "graph: organization")
	b, err := c.admin(ctx, call{link: c.base + "/organization?$select=id,displayName", needs: "Organization.Read.All"})
	if err != nil {
		return "", "", err
	}
	orgs, err := decodeAll[struct{ ID, DisplayName string }](b)
	if err != nil {
		return "", "", err
	}
	if len(orgs) != 1 {
		return "", "", fault.New(fault.Unknown, "%d organizations", len(orgs))
	}
	id, err = objectID(orgs[0].ID)
	return id, orgs[0].DisplayName, err
}

// GraphPermissions are all that Microsoft Graph of this cloud has to grant,
// with their IDs.
func (c *Client) GraphPermissions(ctx context.Context) (all []connection.Permission, err error) {
	defer fault.Wrap(&err, "graph: permissions of Microsoft Graph")
	b, err := c.admin(ctx, call{link: c.base + "/servicePrincipals(appId='" + ownApp + "')?$select=appId,appRoles,oauth2PermissionScopes", needs: "Application.Read.All"})
	if err != nil {
		return nil, err
	}
	return decodeGraphPermissions(b)
}

func decodeGraphPermissions(b []byte) ([]connection.Permission, error) {
	type entry struct {
		ID, Value          string
		IsEnabled          bool
		AllowedMemberTypes []string
	}
	var body struct {
		AppRoles               *[]entry
		OAuth2PermissionScopes []entry `json:"oauth2PermissionScopes"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return nil, fault.New(fault.Unknown, "service principal: %w", err)
	}
	if body.AppRoles == nil {
		return nil, fault.New(fault.Unknown, "service principal without appRoles")
	}
	var all []connection.Permission
	add := func(e entry, kind string) error {
		id, err := objectID(e.ID)
		if err == nil && e.IsEnabled && e.Value != "" {
			all = append(all, connection.Permission{Resource: ownApp, ID: id, Type: kind, Value: e.Value})
		}
		return err
	}
	for _, e := range *body.AppRoles {
		if !slices.Contains(e.AllowedMemberTypes, "Application") {
			continue
		}
		if err := add(e, connection.AppRole); err != nil {
			return nil, err
		}
	}
	for _, e := range body.OAuth2PermissionScopes {
		if err := add(e, connection.Delegated); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Application reads the registration with a client ID, or, if that is empty,
// with a unique name. It returns [fault.NotFound] if there is none.
func (c *Client) Application(ctx context.Context, unique, client string) (r connection.Registration, err error) {
	what := byUnique(unique)
	if client != "" {
		if err := checkIDs(client); err != nil {
			return r, err
		}
		what = "/applications(appId='" + client + "')"
	}
	defer fault.Wrap(&err, "graph: %s", strings.TrimPrefix(what, "/"))
	b, err := c.admin(ctx, call{link: c.base + what + "?$select=id,appId,displayName,signInAudience,groupMembershipClaims,web,requiredResourceAccess", needs: needsApps})
	if err != nil {
		return r, err
	}
	if r, err = decodeApplication(b); err != nil {
		return r, err
	}
	if r.Trusts, err = c.trusts(ctx, r.Object); err != nil {
		if fault.Is(err, fault.NotFound) { // a replica that does not know it yet
			err = fault.New(fault.Unknown, "federated credentials: %w", err)
		}
		return connection.Registration{}, err
	}
	_, err = c.admin(ctx, call{link: c.base + principal(r.Client) + "?$select=id", needs: needsApps})
	if r.Principal = err == nil; fault.Is(err, fault.NotFound) {
		err = nil
	}
	return r, err
}

// byUnique is the path of the registration with a unique name, which is an
// alternate key (documented: "Get-MgApplicationByUniqueName", "Upsert
// application").
func byUnique(name string) string {
	return "/applications(uniqueName='" + url.PathEscape(strings.ReplaceAll(name, "'", "''")) + "')"
}

func principal(client string) string { return "/servicePrincipals(appId='" + client + "')" }

// trusts reads the federated credentials of a registration, of which there are
// at most 20 (documented, "federatedIdentityCredential resource type").
func (c *Client) trusts(ctx context.Context, object string) ([]connection.Trust, error) {
	b, err := c.admin(ctx, call{link: c.base + "/applications/" + object + "/federatedIdentityCredentials", needs: needsApps})
	if err != nil {
		return nil, err
	}
	list, err := decodeAll[struct {
		Name, Issuer, Subject string
		Audiences             []string
	}](b)
	if err != nil {
		return nil, err
	}
	var ts []connection.Trust
	for _, t := range list {
		ts = append(ts, connection.Trust{Name: t.Name, Issuer: t.Issuer, Subject: t.Subject, Audiences: t.Audiences})
	}
	return ts, nil
}

// application is a registration on the wire. What is empty is left out of a
// PATCH, and so left alone.
type application struct {
	ID             string     `json:"id,omitempty"`
	AppID          string     `json:"appId,omitempty"`
	DisplayName    string     `json:"displayName,omitempty"`
	SignInAudience string     `json:"signInAudience,omitempty"`
	Claims         *string    `json:"groupMembershipClaims,omitempty"` // null where nobody set it
	Web            *web       `json:"web,omitempty"`
	Required       []resource `json:"requiredResourceAccess,omitempty"`
}

type web struct {
	RedirectURIs []string `json:"redirectUris"`
}

type resource struct {
	App    string   `json:"resourceAppId"`
	Access []access `json:"resourceAccess"`
}

type access struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func decodeApplication(b []byte) (r connection.Registration, err error) {
	var a application
	if err := json.Unmarshal(b, &a); err != nil {
		return r, fault.New(fault.Unknown, "application: %w", err)
	}
	r = connection.Registration{Name: a.DisplayName, Audience: a.SignInAudience}
	if r.Object, err = objectID(a.ID); err != nil {
		return connection.Registration{}, err
	}
	if r.Client, err = objectID(a.AppID); err != nil {
		return connection.Registration{}, err
	}
	if a.Claims != nil {
		r.Claims = *a.Claims
	}
	if a.Web != nil {
		r.Redirects = a.Web.RedirectURIs
	}
	for _, res := range a.Required {
		for _, p := range res.Access {
			r.Permissions = append(r.Permissions, connection.Permission{Resource: strings.ToLower(res.App), ID: strings.ToLower(p.ID), Type: p.Type})
		}
	}
	return r, nil
}

// encodeApplication is the body that sets what the registration holds.
func encodeApplication(r connection.Registration) ([]byte, error) {
	a := application{DisplayName: r.Name, SignInAudience: r.Audience}
	if r.Claims != "" {
		a.Claims = &r.Claims
	}
	if len(r.Redirects) > 0 {
		a.Web = &web{r.Redirects}
	}
	for _, p := range r.Permissions {
		i := slices.IndexFunc(a.Required, func(res resource) bool { return res.App == p.Resource })
		if i < 0 {
			i, a.Required = len(a.Required), append(a.Required, resource{App: p.Resource})
		}
		a.Required[i].Access = append(a.Required[i].Access, access{p.ID, p.Type})
	}
	return json.Marshal(a)
}

// CreateApplication registers an app under a unique name, once: if somebody
// else has been faster, it updates theirs. The answer holds its IDs.
func (c *Client) CreateApplication(ctx context.Context, unique string, r connection.Registration) (made connection.Registration, err error) {
	defer fault.Wrap(&err, "graph: create application %s", unique)
	body, err := encodeApplication(r)
	if err != nil {
		return made, err
	}
	b, err := c.admin(ctx, call{method: abstractions.PATCH, link: c.base + byUnique(unique), body: body, prefer: upsert, bare: true, needs: needsApps})
	if err != nil {
		return made, err
	}
	if b == nil { // 204: there was one
		return c.Application(ctx, unique, "")
	}
	return decodeApplication(b)
}

// UpdateApplication sets what the change holds, and leaves alone what is empty
// there. Lists are set as a whole.
func (c *Client) UpdateApplication(ctx context.Context, object string, change connection.Registration) (err error) {
	defer fault.Wrap(&err, "graph: update application %s", object)
	body, err := encodeApplication(change)
	if err != nil {
		return err
	}
	return c.patch(ctx, "/applications/"+object, "", body, object)
}

// Trust makes the federated credential of that name, or sets it.
func (c *Client) Trust(ctx context.Context, object string, t connection.Trust) (err error) {
	defer fault.Wrap(&err, "graph: federated credential %s of application %s", t.Name, object)
	body, err := json.Marshal(map[string]any{"issuer": t.Issuer, "subject": t.Subject, "audiences": t.Audiences})
	if err != nil {
		return err
	}
	name := url.PathEscape(strings.ReplaceAll(t.Name, "'", "''"))
	return c.patch(ctx, "/applications/"+object+"/federatedIdentityCredentials(name='"+name+"')", upsert, body, object)
}

// AddPrincipal makes the app's enterprise application in the vendor's tenant.
func (c *Client) AddPrincipal(ctx context.Context, client, name string) (err error) {
	defer fault.Wrap(&err, "graph: service principal of app %s", client)
	body, err := json.Marshal(map[string]string{"displayName": name})
	if err != nil {
		return err
	}
	return c.patch(ctx, principal(client), upsert, body, client)
}

func (c *Client) patch(ctx context.Context, path, prefer string, body []byte, ids ...string) error {
	if err := checkIDs(ids...); err != nil {
		return err
	}
	_, err := c.admin(ctx, call{method: abstractions.PATCH, link: c.base + path, body: body, prefer: prefer, bare: true, needs: needsApps})
	return err
}

// admin does one call for an engineer, to whom a refusal means something else
// than to a customer.
func (c *Client) admin(ctx context.Context, q call) ([]byte, error) {
	q.told = true
	b, err := c.send(ctx, connection.Access{}, q)
	if err == nil {
		return b, nil
	}
	e := *fault.Of(err)
	e.Err = err
	switch {
	case e.Kind == fault.Denied && e.Class != fault.Ours: // ours: nobody is signed in
		e.Remedy = "Whoever is signed in may not do this. Sign in as somebody with the role Application Administrator or Cloud Application Administrator in the vendor's tenant, " +
			"or as an app with the permission " + q.needs + "; or let such a person make the registrations as docs/app-registration.md says."
	case e.Kind == fault.Invalid:
		e.Remedy = "Microsoft does not accept this. If a policy for apps in the vendor's tenant forbids it, ask its administrator; otherwise check the redirect URI, the identity and the name."
	}
	return nil, &e
}
