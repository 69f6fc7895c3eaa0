package graph

import (
	"context"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Probe asks, with a token of this moment, whether the tenant is who it
// claims to be and grants what the sync of people needs. [fault.Conflict]
// means that another tenant answered.
func (c *Client) Probe(ctx context.Context, tenant connection.Access) (err error) {
	defer fault.Wrap(&err, "graph: probe of tenant %s", tenant)
	if _, err := c.creds.Fresh(tenant); err != nil {
		return err
	}
	b, err := c.send(ctx, tenant, call{link: c.base + "/organization?$select=id", needs: "Organization.Read.All"})
	if err != nil {
		return err
	}
	orgs, err := decodeAll[object](b)
	if err != nil {
		return err
	}
	ids, err := idsOf(orgs, "organization")
	if err != nil {
		return err
	}
	if len(ids) != 1 || ids[0] != tenant.Tenant {
		return fault.New(fault.Conflict, "organization answers %q", ids)
	}
	_, err = c.send(ctx, tenant, call{link: c.base + "/users?$top=1&$select=id", needs: "User.Read.All"})
	return err
}
