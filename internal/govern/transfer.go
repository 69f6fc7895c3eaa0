package govern

import (
	"context"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
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
	case fault.Is(err, fault.NotFound): // it was connected, or ended, just then
		return taker, unfit(&taker)
	case err != nil:
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

// reserve stores the wish that the giver ends for the receiving connection. All
// else follows from it, so that whoever is killed, or loses a race against
// another transfer, has changed nothing at the receiver. The giver has to own
// its tenant: one that was never verified only says that it is its own.
func (g *Governor) reserve(ctx context.Context, giver connection.Connection, to, actor string) (connection.Connection, error) {
	tenant := giver.Tenant
	none := fault.New(fault.Denied, "status is %q", giver.Status).WithCode(codeNotConnected).
		WithRemedy("There is no tenant to transfer: send the administrator the link of the connection that is to have it.")
	if tenant == "" {
		return giver, none
	}
	owner, err := g.Claims.Owner(ctx, tenant)
	switch {
	case fault.Is(err, fault.NotFound) && !giver.WasVerified():
		return giver, none
	case err != nil && !fault.Is(err, fault.NotFound):
		return giver, err
	case err == nil && owner != giver.ID:
		return giver, owned(owner)
	}
	taker, err := g.Connections.Connection(ctx, to)
	if err != nil {
		return giver, err
	}
	if !receives(&taker, tenant) {
		return giver, unfit(&taker)
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

// receives reports whether a connection can receive the tenant.
func receives(c *connection.Connection, tenant string) bool {
	open := []connection.Status{connection.Invited, connection.Failed, connection.Disconnected}
	return c.Offboarding == nil && c.Tenant == "" && slices.Contains(open, c.Status) && (c.NamedTenant == "" || c.NamedTenant == tenant)
}

func unfit(c *connection.Connection) error {
	return fault.New(fault.Conflict, "%s cannot receive a tenant: status %q, tenant %q, named for %q", c.ID, c.Status, c.Tenant, c.NamedTenant).
		WithCode(codeReceiver).
		WithRemedy("Transfer to a connection that is invited, has no tenant, and is not named for another one.")
}

// announce notes at the receiving connection that a tenant is coming, before
// anything is changed there; repeated, it is there once.
func (g *Governor) announce(ctx context.Context, c *connection.Connection) error {
	o := c.Offboarding
	return g.Audit.Note(ctx, connection.Entry{
		ID: job.RunID(o.At, o.To, "transfer "+o.ID), Connection: o.To, At: o.At, Source: connection.FromAPI, Actor: o.By,
		Action: "transfer", Outcome: "asked", Detail: map[string]string{"from": c.ID, "tenant": o.Tenant},
	})
}

// hand names the tenant for the receiving connection and makes that its owner,
// and keeps the claim young until it is connected, so that nobody takes it for
// forgotten. A receiver that cannot have it any more leaves the tenant free.
func (g *Governor) hand(ctx context.Context, c *connection.Connection) error {
	o := c.Offboarding
	to, err := g.update(ctx, o.To, func(to *connection.Connection) (bool, error) {
		fresh := to.NamedTenant == "" && receives(to, o.Tenant)
		if fresh {
			to.NamedTenant = o.Tenant
		}
		return fresh, nil
	})
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
