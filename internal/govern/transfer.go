package govern

import (
	"context"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Transfer ends the connection from, whose data is kept, and reserves its
// tenant for the connection to, which it returns: only that one's administrator
// can connect the tenant now. It is refused with [fault.Denied] and code
// "not_connected" if from has no tenant, and with [fault.Conflict] if it has
// ended otherwise ("offboarded"), if its tenant is another's ("tenant_owned"),
// or if to cannot receive it ("cannot_receive"): it must be without a tenant,
// waiting for its administrator, and not named for another tenant. After any
// other error the call is to be repeated. Repeated, it does nothing more.
func (g *Governor) Transfer(ctx context.Context, from, to, actor string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: transfer %s to %s", from, to)
	if from == to {
		return connection.Connection{}, fault.New(fault.Invalid, "a transfer to itself").
			WithRemedy("Name the connection that is to receive the tenant.")
	}
	giver, err := g.Connections.Connection(ctx, from)
	if err != nil {
		return giver, err
	}
	if giver.Offboarding == nil {
		if giver, err = g.reserve(ctx, giver, to, actor); err != nil {
			return giver, err
		}
	}
	if giver.Offboarding.To != to {
		return giver, ended(&giver)
	}
	if giver, err = g.end(ctx, giver); err != nil {
		return giver, err
	}
	taker, err := g.Connections.Connection(ctx, to)
	if err != nil {
		return taker, err
	}
	owner, err := g.Claims.Owner(ctx, giver.Offboarding.Tenant)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return taker, err
	case owner != to:
		return taker, owned(owner)
	}
	return taker, nil
}

func owned(by string) error {
	return fault.New(fault.Conflict, "the tenant is of %q", by).WithCode(codeTaken).
		WithRemedy("Another connection owns the tenant: transfer it from that one.")
}

// reserve names the giver's tenant for the receiving connection, and then
// stores the wish that the giver ends. Killed in between, the receiver can
// connect no other tenant, and this one not yet.
func (g *Governor) reserve(ctx context.Context, giver connection.Connection, to, actor string) (connection.Connection, error) {
	tenant := giver.Tenant
	if tenant == "" {
		return giver, fault.New(fault.Denied, "status is %q", giver.Status).WithCode(codeNotConnected).
			WithRemedy("There is no tenant to transfer: send the administrator the link of the connection that is to have it.")
	}
	owner, err := g.Claims.Owner(ctx, tenant)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return giver, err
	}
	if err == nil && owner != giver.ID && owner != to {
		return giver, owned(owner)
	}
	_, err = g.update(ctx, to, func(c *connection.Connection) (bool, error) {
		if err := receives(c, tenant); err != nil {
			return false, err
		}
		named := c.NamedTenant == tenant
		c.NamedTenant = tenant
		return !named, nil
	})
	if err != nil {
		return giver, err
	}
	return g.update(ctx, giver.ID, func(c *connection.Connection) (bool, error) {
		switch {
		case c.Offboarding != nil:
			return false, nil // its caller looks whether it is the same transfer
		case c.Tenant != tenant:
			return false, fault.New(fault.Conflict, "the tenant has changed meanwhile")
		}
		g.begin(c, connection.Offboarding{To: to, By: actor})
		return true, nil
	})
}

// receives says whether a connection can receive the tenant.
func receives(c *connection.Connection, tenant string) error {
	open := []connection.Status{connection.Invited, connection.Failed, connection.Disconnected}
	if c.Offboarding == nil && c.Tenant == "" && slices.Contains(open, c.Status) && (c.NamedTenant == "" || c.NamedTenant == tenant) {
		return nil
	}
	return fault.New(fault.Conflict, "%s cannot receive a tenant: status %q, tenant %q, named for %q", c.ID, c.Status, c.Tenant, c.NamedTenant).
		WithCode(codeReceiver).
		WithRemedy("Transfer to a connection that is invited, has no tenant, and is not named for another one.")
}

// hand makes the receiving connection the owner of the tenant, and keeps the
// claim young until it is connected, so that nobody takes it for forgotten. A
// receiver that cannot have it any more leaves the tenant free.
func (g *Governor) hand(ctx context.Context, c *connection.Connection) error {
	o := c.Offboarding
	to, err := g.Connections.Connection(ctx, o.To)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	case err != nil || to.Offboarding != nil || to.NamedTenant != o.Tenant && to.Tenant != o.Tenant:
		return g.Claims.Disown(ctx, o.Tenant, c.ID)
	case to.Tenant == o.Tenant && to.WasVerified():
		return nil
	}
	err = g.Claims.TransferClaim(ctx, o.Tenant, c.ID, to.ID)
	if err == nil || fault.Is(err, fault.NotFound) {
		err = g.Claims.Claim(ctx, o.Tenant, to.ID)
	}
	if fault.Is(err, fault.Conflict) { // somebody else was faster: there is nothing to hand over
		return nil
	}
	return err
}
