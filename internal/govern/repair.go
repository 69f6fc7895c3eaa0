package govern

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// stuckAfter is how long a purge may take before its message counts as lost.
	stuckAfter = 30 * time.Minute
	// watch is how long a purged connection is looked at again: a worker that
	// read it before it ended, and froze, could have written since. No message
	// and no worker is older than that.
	watch = 24 * time.Hour
)

// Repair completes the end of one connection, wherever a crash has left it,
// and looks once more whether nothing is left of those that were purged. If
// all is well it writes nothing, but renews the claim of a connection that is
// to receive a tenant and has not connected it yet.
func (g *Governor) Repair(ctx context.Context, c connection.Connection, now time.Time) (err error) {
	o := c.Offboarding
	if o == nil {
		return nil
	}
	defer fault.Wrap(&err, "govern: repair of %s", c.ID)
	if c.Status != connection.Offboarded {
		if c, err = g.end(ctx, c); err != nil {
			return err
		}
		action := "offboard"
		if o.To != "" {
			action = "transfer"
		}
		g.note(ctx, &c, action, o.At, map[string]string{"offboarding": o.ID})
		return nil
	}
	if o.Purged.IsZero() || o.To != "" { // a reservation outlives the giver's data
		if err := g.settle(ctx, &c); err != nil {
			return err
		}
	}
	switch {
	case !o.Purge || !o.Purged.IsZero() && now.Sub(o.Purged) > watch:
		return nil
	case !o.Purged.IsZero():
		return g.watch(ctx, c)
	case now.Sub(o.At) < stuckAfter:
		return g.send(ctx, &c, time.Time{}) // dropped by the queue if it was sent before
	}
	return g.revive(ctx, c)
}

// revive gives the purge's message an identity that the queue has not seen. A
// worker that is not dead after all finds its slice passed.
func (g *Governor) revive(ctx context.Context, c connection.Connection) error {
	o := *c.Offboarding
	c, err := g.update(ctx, c.ID, func(c *connection.Connection) (bool, error) {
		if !asked(c, o.ID) || c.Offboarding.Step != o.Step || !c.Offboarding.Purged.Equal(o.Purged) {
			return false, nil // somebody has gone on
		}
		c.Offboarding.Step++
		c.Offboarding.Purged = time.Time{}
		return true, nil
	})
	if err != nil || !asked(&c, o.ID) || c.Offboarding.Step != o.Step+1 {
		return err
	}
	return g.send(ctx, &c, time.Time{})
}

// watch looks again at a connection that was purged.
func (g *Governor) watch(ctx context.Context, c connection.Connection) error {
	left, err := g.Data.Left(ctx, c.ID)
	if err != nil {
		return err
	}
	if left > 0 {
		g.Log.ErrorContext(ctx, "something was written after a purge: it is purged again", "connection", c.ID, "objects", left)
		return g.revive(ctx, c)
	}
	g.tell(ctx, &c)
	return nil
}
