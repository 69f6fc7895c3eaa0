package register

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// multiTenant serves accounts of every organization, and no personal ones.
	// Source: Microsoft Graph documentation, "application resource type".
	multiTenant = "AzureADMultipleOrgs"
	// roleClaims puts the directory roles of who signs in into the ID token, as
	// wids, and no groups. Source: Microsoft Entra documentation, "Microsoft
	// Entra app manifest", groupMembershipClaims.
	roleClaims = "DirectoryRole"
	// trustName is what our federated credential is called.
	trustName = "rollcall-identity"
)

// target is what a registration must be.
type target struct {
	unique, client string // by which it is found
	name           string
	permissions    []connection.Permission
	redirect       string            // empty: as it is
	trust          *connection.Trust // nil: as they are
	principal      bool
	exact          bool
}

// plan is what a registration lacks.
type plan struct {
	create    bool
	change    connection.Registration // empty where nothing changes
	update    []string                // what the change does, in words
	trust     *connection.Trust
	principal bool
	// extra is what the registration has beyond the target and keeps.
	extra []string
}

// steps says what applying the plan does.
func (p plan) steps() []string {
	var all []string
	if p.create {
		all = append(all, "create the registration")
	}
	all = append(all, p.update...)
	if p.trust != nil {
		all = append(all, "trust the identity "+p.trust.Subject)
	}
	if p.principal {
		all = append(all, "add the enterprise application to this tenant")
	}
	return all
}

// compare says what is to be done to have to make it the target. names are the
// permissions of Microsoft Graph, to speak of them.
func compare(want target, have connection.Registration, names []connection.Permission) plan {
	p := plan{create: have.Object == "", principal: want.principal && !have.Principal}
	if p.create {
		p.change = connection.Registration{Name: want.name, Audience: multiTenant, Claims: roleClaims, Permissions: want.permissions}
		if want.redirect != "" {
			p.change.Redirects = []string{want.redirect}
		}
		p.trust = want.trust
		return p
	}
	set := func(what, old, to string, field *string) {
		if old != to {
			*field = to
			p.update = append(p.update, fmt.Sprintf("set %s to %s, was %q", what, to, old))
		}
	}
	set("displayName", have.Name, want.name, &p.change.Name)
	set("signInAudience", have.Audience, multiTenant, &p.change.Audience)
	set("groupMembershipClaims", have.Claims, roleClaims, &p.change.Claims)
	p.redirects(want, have)
	p.permissions(want, have, names)
	p.trusts(want, have)
	return p
}

func (p *plan) redirects(want target, have connection.Registration) {
	if want.redirect == "" {
		return
	}
	others := slices.DeleteFunc(slices.Clone(have.Redirects), func(u string) bool { return u == want.redirect })
	missing := !slices.Contains(have.Redirects, want.redirect)
	if missing {
		p.update = append(p.update, "add the redirect URI "+want.redirect)
	}
	for _, u := range others {
		if want.exact {
			p.update = append(p.update, "remove the redirect URI "+u)
		} else {
			p.extra = append(p.extra, "redirect URI "+u)
		}
	}
	switch {
	case want.exact && (missing || len(others) > 0):
		p.change.Redirects = []string{want.redirect}
	case missing:
		p.change.Redirects = append(slices.Clone(have.Redirects), want.redirect)
	}
}

func (p *plan) permissions(want target, have connection.Registration, names []connection.Permission) {
	has := func(list []connection.Permission, q connection.Permission) bool {
		return slices.ContainsFunc(list, func(r connection.Permission) bool { return same(q, r) })
	}
	next, changed := []connection.Permission(nil), false
	for _, q := range have.Permissions {
		switch {
		case has(want.permissions, q):
			next = append(next, q)
		case want.exact:
			changed = true
			p.update = append(p.update, "remove the "+title(q, names))
		default:
			next = append(next, q)
			p.extra = append(p.extra, title(q, names))
		}
	}
	for _, q := range want.permissions {
		if !has(have.Permissions, q) {
			changed = true
			next = append(next, q)
			p.update = append(p.update, "add the "+title(q, names))
		}
	}
	if changed {
		p.change.Permissions = next
	}
}

// trusts wants one federated credential for the identity, whatever its name;
// issuer and subject are unique in a registration (documented, "Upsert
// federatedIdentityCredential").
func (p *plan) trusts(want target, have connection.Registration) {
	if want.trust == nil {
		return
	}
	t := *want.trust
	ours := func(h connection.Trust) bool { return h.Issuer == t.Issuer && h.Subject == t.Subject }
	i := slices.IndexFunc(have.Trusts, ours)
	if i >= 0 {
		t.Name = have.Trusts[i].Name
	}
	if i < 0 || !slices.Equal(have.Trusts[i].Audiences, t.Audiences) {
		p.trust = &t
	}
	for _, h := range have.Trusts {
		if h.Name != t.Name { // one that has the name is set anew
			p.extra = append(p.extra, fmt.Sprintf("federated credential %q of the subject %q of %s", h.Name, h.Subject, h.Issuer))
		}
	}
}

func same(a, b connection.Permission) bool {
	return a.Resource == b.Resource && a.ID == b.ID && a.Type == b.Type
}

// title is the permission in words.
func title(q connection.Permission, names []connection.Permission) string {
	kind := "application permission "
	if q.Type == connection.Delegated {
		kind = "delegated permission "
	}
	if i := slices.IndexFunc(names, func(n connection.Permission) bool { return same(q, n) }); i >= 0 {
		return kind + names[i].Value
	}
	return kind + q.ID + " of the API " + q.Resource
}

// lookUp finds a profile's permissions among those of Microsoft Graph.
func lookUp(p connection.Profile, all []connection.Permission) ([]connection.Permission, error) {
	var found []connection.Permission
	var missing []string
	for _, value := range p.Permissions {
		i := slices.IndexFunc(all, func(q connection.Permission) bool { return q.Type == connection.AppRole && q.Value == value })
		if i < 0 {
			missing = append(missing, value)
			continue
		}
		found = append(found, all[i])
	}
	if missing != nil {
		return nil, fault.New(fault.Invalid, "profile %s: Microsoft Graph has no application permission %s here", p.Name, strings.Join(missing, ", ")).WithRemedy(
			"This cloud does not offer all that the profile needs. Check AZURE_CLOUD, or name the other profiles with -profiles.")
	}
	return found, nil
}
