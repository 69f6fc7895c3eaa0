package consent

import (
	"context"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// The roles that can grant Graph application permissions (documented:
	// "Grant tenant-wide admin consent"), by their template IDs, which are
	// the same in every tenant ("Microsoft Entra built-in roles").
	globalAdministrator         = "62e90394-69f5-4237-9190-012177145e10"
	privilegedRoleAdministrator = "e8611ab8-c189-46e8-94e1-60213ab1f814"
)

// person is a proven identity, and whether a directory role makes them an
// administrator.
type person struct {
	connection.Identity
	admin bool
}

func proven(id connection.Identity) person {
	return person{Identity: id, admin: slices.Contains(id.Roles, globalAdministrator) ||
		slices.Contains(id.Roles, privilegedRoleAdministrator)}
}

// mayBind returns a [*Refusal] unless this person may bind their tenant to
// this connection. Who owns the tenant is another question.
func (f *Flow) mayBind(c connection.Connection, p person) error {
	r := &Refusal{
		Connection: c.ID, Company: c.Name, Link: f.Links.URL(c), Renewal: c.WasVerified(),
		Tenant: p.Tenant, Object: p.Object, who: p.Identity,
	}
	switch {
	case p.Tenant == connection.PersonalTenant:
		r.Cause = PersonalAccount
	case c.NamedTenant != "" && c.NamedTenant != p.Tenant:
		r.Cause, r.Expected = NotNamedTenant, c.NamedTenant
	case bound(c) && c.Tenant != p.Tenant:
		// What is stored came from the first tenant; another one would be
		// compared with it, and everybody in it archived.
		r.Cause, r.Expected = BoundElsewhere, c.Tenant
	case !p.admin && !approved(c, p):
		r.Cause = NotAdministrator
	default:
		return nil
	}
	return r
}

// bound reports whether the connection's tenant is settled: it is being
// verified, or it has been connected before.
func bound(c connection.Connection) bool {
	return c.Tenant != "" && (!c.MayConsent() || c.WasVerified() || c.LastRun != "")
}

// approved reports whether the vendor has named this person of this tenant.
func approved(c connection.Connection, p person) bool {
	return c.Approved != nil && c.Approved.Tenant == p.Tenant && c.Approved.Object == p.Object &&
		p.Tenant != "" && p.Object != ""
}

// unowned returns a [*Refusal] if another connection owns the person's tenant.
func (f *Flow) unowned(ctx context.Context, c connection.Connection, p person) error {
	owner, err := f.Claims.Owner(ctx, p.Tenant)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && owner == c.ID:
		return nil
	case err != nil:
		return err
	}
	return f.owned(c, p)
}

func (f *Flow) owned(c connection.Connection, p person) *Refusal {
	return &Refusal{Cause: TenantOwned, Connection: c.ID, Company: c.Name, Link: f.Links.URL(c), Renewal: c.WasVerified(), Tenant: p.Tenant, who: p.Identity}
}
