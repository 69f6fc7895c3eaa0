package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/wire"
)

// maxApplication bounds the body of a write in bytes.
const maxApplication = 256 << 10

// mayCreate says whether a PATCH may make what is not there.
func mayCreate(c call) bool { return c.Header.Get("Prefer") == "create-if-missing" }

// body decodes a write into v and refuses members that v does not have.
func (a *Applications) body(c call, v any) error {
	raw, err := wire.ReadBody(c.Request, maxApplication)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %v", errApplication, err)
	}
	return nil
}

func done() wire.Reply { return wire.Reply{Status: http.StatusNoContent, Header: http.Header{}} }

// post makes a registration, as the portal does: without a unique name.
func (a *Applications) post(c call) wire.Reply { return a.create(c, "") }

func (a *Applications) create(c call, unique string) wire.Reply {
	r := &registration{object: uuid.NewString(), client: uuid.NewString(), unique: unique, Audience: "AzureADandPersonalMicrosoftAccount"}
	err := a.body(c, r)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return a.server.bad(c.Request, err.Error())
	}
	a.list = append(a.list, r)
	a.publish(r)
	return a.show(c, http.StatusCreated, "application", r.document())
}

// patch updates an application or a service principal, or makes it.
func (a *Applications) patch(c call) wire.Reply {
	if client, ok := key(c.PathValue("object"), "servicePrincipals", "appId"); ok {
		return a.putPrincipal(c, client)
	}
	r, unique := a.find(c)
	switch {
	case r == nil && unique != "" && mayCreate(c):
		return a.create(c, unique)
	case r == nil:
		return a.server.missing(c, c.PathValue("object")+c.PathValue("id"))
	}
	next := *r
	// What the body does not name stays: its lists are read into new ones.
	next.Web.RedirectURIs, next.Required = nil, nil
	if r.Claims != nil {
		claims := *r.Claims
		next.Claims = &claims
	}
	err := a.body(c, &next)
	if next.Web.RedirectURIs == nil {
		next.Web.RedirectURIs = r.Web.RedirectURIs
	}
	if next.Required == nil {
		next.Required = r.Required
	}
	if err == nil {
		err = next.check()
	}
	if err != nil {
		return a.server.bad(c.Request, err.Error())
	}
	*r = next
	a.publish(r)
	return done()
}

func (a *Applications) putPrincipal(c call, client string) wire.Reply {
	var body struct {
		Name string `json:"displayName"`
	}
	if err := a.body(c, &body); err != nil {
		return a.server.bad(c.Request, err.Error())
	}
	i := slices.IndexFunc(a.list, func(r *registration) bool { return r.client == client })
	switch {
	case i >= 0 && a.list[i].principal:
		return done()
	case i < 0 || !mayCreate(c):
		return a.server.missing(c, client)
	}
	a.list[i].principal = true
	return wire.JSON(http.StatusCreated, map[string]any{"id": RoleID("principal/" + client), "appId": client, "displayName": body.Name})
}

func (a *Applications) trusts(c call) wire.Reply {
	r, _ := a.find(c)
	if r == nil {
		return a.server.missing(c, c.PathValue("id"))
	}
	return wire.JSON(http.StatusOK, map[string]any{"value": append([]trust{}, r.trusts...)})
}

// maxTrusts is the most federated credentials of an app, maxTrustText the most
// characters of each of their properties (documented, "Upsert
// federatedIdentityCredential").
const (
	maxTrusts    = 20
	maxTrustText = 600
)

func (a *Applications) putTrust(c call) wire.Reply {
	r, _ := a.find(c)
	name, ok := key(c.PathValue("credential"), "federatedIdentityCredentials", "name")
	if r == nil || !ok {
		return a.server.missing(c, c.PathValue("id"))
	}
	t := trust{ID: uuid.NewString(), Name: name}
	i := slices.IndexFunc(r.trusts, func(t trust) bool { return t.Name == name })
	if i >= 0 {
		t = r.trusts[i]
		t.Audiences = slices.Clone(t.Audiences)
	} else if !mayCreate(c) {
		return a.server.missing(c, name)
	}
	err := a.body(c, &t)
	switch {
	case err != nil:
	case t.Name != name || name == "" || len(name) > 120 || strings.ContainsAny(name, " /?#%"):
		err = fmt.Errorf("%w: name", errApplication)
	case t.Issuer == "" || t.Subject == "" || len(t.Issuer) > maxTrustText || len(t.Subject) > maxTrustText:
		err = fmt.Errorf("%w: issuer or subject", errApplication)
	case len(t.Audiences) != 1 || t.Audiences[0] == "" || len(t.Audiences[0]) > maxTrustText:
		err = fmt.Errorf("%w: audiences", errApplication)
	case i < 0 && len(r.trusts) == maxTrusts:
		err = fmt.Errorf("%w: at most %d federated credentials", errApplication, maxTrusts)
	}
	for j, other := range r.trusts {
		if j != i && other.Issuer == t.Issuer && other.Subject == t.Subject {
			err = fmt.Errorf("%w: a federated credential with this issuer and subject exists", errApplication)
		}
	}
	if err != nil {
		return a.server.bad(c.Request, err.Error())
	}
	if i >= 0 {
		r.trusts[i] = t
		a.publish(r)
		return done()
	}
	r.trusts = append(r.trusts, t)
	a.publish(r)
	return wire.JSON(http.StatusCreated, t)
}
