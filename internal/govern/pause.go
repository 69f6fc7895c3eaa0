package govern

import (
	"context"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Pause stops the connection's syncs until [Governor.Resume]. A run that is
// open ends when its next slice begins. A paused connection stays as it is, but
// that one paused with all others stays paused when these are resumed. It
// returns [fault.Conflict] with code "offboarded" for a connection that has
// ended, and [fault.Denied] with code "not_connected" for one that nobody has
// connected yet.
func (g *Governor) Pause(ctx context.Context, id, actor string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: pause %s", id)
	return g.pause(ctx, id, actor, false)
}

// PauseWithAll is [Governor.Pause] as part of a pause of all connections:
// [Governor.ResumeWithAll] ends it. One that is paused already stays as it is.
func (g *Governor) PauseWithAll(ctx context.Context, id, actor string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: pause %s with all", id)
	return g.pause(ctx, id, actor, true)
}

func (g *Governor) pause(ctx context.Context, id, actor string, all bool) (connection.Connection, error) {
	return g.update(ctx, id, func(c *connection.Connection) (bool, error) {
		switch {
		case c.Offboarding != nil:
			return false, ended(c)
		case c.Status == connection.Paused && !all && c.Paused != nil && c.Paused.All:
			c.Paused.At, c.Paused.By, c.Paused.All = g.Now().UTC(), actor, false
			return true, nil
		case c.Status == connection.Paused:
			return false, nil
		case !slices.Contains(connection.Transitions[c.Status], connection.Paused):
			return false, fault.New(fault.Denied, "status is %q", c.Status).WithCode(codeNotConnected).
				WithRemedy("There is nothing to pause before a tenant is connected. Revoke the link to keep the customer from connecting.")
		}
		c.Paused = &connection.Pause{At: g.Now().UTC(), By: actor, Before: c.Status, All: all}
		return true, c.Move(connection.Paused)
	})
}

// Resume lets the connection be synced again, from the status that it would
// have without the pause. If a slot has passed meanwhile, the next one is now.
// A connection that is not paused stays as it is; for one that has ended it
// returns [fault.Conflict] with code "offboarded".
func (g *Governor) Resume(ctx context.Context, id, _ string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: resume %s", id)
	return g.resume(ctx, id, false)
}

// ResumeWithAll is [Governor.Resume] for a connection that was paused with all
// others; any other one stays as it is.
func (g *Governor) ResumeWithAll(ctx context.Context, id, _ string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: resume %s with all", id)
	return g.resume(ctx, id, true)
}

func (g *Governor) resume(ctx context.Context, id string, all bool) (connection.Connection, error) {
	return g.update(ctx, id, func(c *connection.Connection) (bool, error) {
		switch {
		case c.Offboarding != nil:
			return false, ended(c)
		case c.Status != connection.Paused || all && (c.Paused == nil || !c.Paused.All):
			return false, nil
		}
		if err := c.Move(before(c)); err != nil {
			return false, err
		}
		c.Paused = nil
		// The slot is not taken up where it was: its message may be among those
		// that the queue has seen, and would drop.
		if now := g.Now().UTC(); !c.NextDue.IsZero() && !c.NextDue.After(now) {
			if c.Displaced.IsZero() {
				c.Displaced = c.NextDue
			}
			c.NextDue = now
		}
		return true, nil
	})
}

// before is the status to which a paused connection returns.
func before(c *connection.Connection) connection.Status {
	switch {
	case c.Paused != nil && slices.Contains(connection.Transitions[connection.Paused], c.Paused.Before):
		return c.Paused.Before
	case c.LastSuccess.IsZero():
		return connection.Connected
	default:
		return connection.OK
	}
}
