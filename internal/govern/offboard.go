package govern

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// previewSuffix makes the ID of the partition that a connection's previews are
// written to.
const previewSuffix = "~preview"

// Offboard ends the connection, whatever its status. Its runs are stopped, its
// link is dead, its tenant is free. What is stored of it is kept, or purged by
// jobs that go on after this returns: [connection.Offboarding.Purged] says when
// nothing was left. After any error the call is to be repeated. Repeated, it
// returns the same end; what was kept can be purged later. To keep what is
// being purged is [fault.Conflict] with code "purging".
func (g *Governor) Offboard(ctx context.Context, id string, purge bool, actor string) (_ connection.Connection, err error) {
	defer fault.Wrap(&err, "govern: offboard %s", id)
	c, err := g.update(ctx, id, func(c *connection.Connection) (bool, error) {
		switch o := c.Offboarding; {
		case o == nil:
			g.begin(c, connection.Offboarding{Purge: purge, By: actor})
		case o.Purge && !purge:
			return false, fault.New(fault.Conflict, "%s is purged", c.ID).WithCode(codePurging).
				WithRemedy("The connection's data is purged, or has been: it cannot be kept any more.")
		case o.Purge == purge:
			return false, nil
		default:
			o.Purge = true
		}
		return true, nil
	})
	if err != nil {
		return c, err
	}
	return g.end(ctx, c)
}

// begin stores the wish that the connection ends, before anything is done.
func (g *Governor) begin(c *connection.Connection, o connection.Offboarding) {
	o.At, o.ID, o.Tenant = g.Now().UTC(), connection.NewID(), c.Tenant
	c.Offboarding = &o
	kill(c)
}

// kill makes the link dead and takes the connection off the schedule.
func kill(c *connection.Connection) {
	c.Link++
	c.LinkExpires = time.Time{}
	c.NextDue, c.Displaced = time.Time{}, time.Time{}
}

// end does what is left to do of an end that is stored.
func (g *Governor) end(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	if c.Status != connection.Offboarded {
		if c.Offboarding.To != "" {
			if err := g.announce(ctx, &c); err != nil {
				return c, err
			}
		}
		last, err := g.stop(ctx, c)
		if err != nil {
			return c, err
		}
		c, err = g.update(ctx, c.ID, func(c *connection.Connection) (bool, error) {
			if c.Status == connection.Offboarded {
				return false, nil
			}
			return true, g.conclude(c, last)
		})
		if err != nil {
			return c, err
		}
		g.Log.InfoContext(ctx, "connection offboarded", "connection", c.ID, "tenant", c.Tenant, "purge", c.Offboarding.Purge)
	}
	if err := g.settle(ctx, &c); err != nil {
		return c, err
	}
	if o := c.Offboarding; o.Purge && o.Purged.IsZero() {
		return c, g.send(ctx, &c, time.Time{})
	}
	return c, nil
}

// stop closes the connection's fences, so that no worker can write any more,
// and records the runs that it has ended. It returns the last run.
func (g *Governor) stop(ctx context.Context, c connection.Connection) (last string, err error) {
	for _, part := range []string{c.ID, c.ID + previewSuffix} {
		f, err := g.close(ctx, part, part == c.ID)
		if err != nil {
			return "", err
		}
		r := f.Run
		if part == c.ID {
			last = r.ID
		}
		// The last run's record may not have been written yet; of a preview, only
		// one that was stopped here has none of its own.
		if r.ID != "" && (part == c.ID || r.State == job.Stopped) {
			if err := g.Connections.PutRun(ctx, c.ID, r); err != nil {
				return "", err
			}
		}
	}
	return last, nil
}

// maxRaces is how often a commit may meet a worker's. A worker commits for each
// page, some a second, so that the time between reading and writing the fence
// is free more often than not.
const maxRaces = 32

// close closes the fence of a partition for good, and ends its open run. The
// epoch rises, so that a worker of that run writes nothing more. If there is no
// fence, one is made only if must is true: then nobody can open a first run
// either.
func (g *Governor) close(ctx context.Context, part string, must bool) (job.Fence, error) {
	for try := 1; ; try++ {
		f, err := g.Fences.Fence(ctx, part)
		if err != nil || f.Closed || f.Version == "" && !must {
			return f, err
		}
		f.Closed = true
		f.Epoch++
		if f.Open() {
			r := &f.Run
			r.Error, r.Code, r.Remedy = "The connection was offboarded.", codeEnded, "Nothing has to be done. What the run had written is kept or purged like everything else."
			r.Throttled = false
			f.End(job.Stopped, g.Now().UTC())
		}
		stored, err := g.Fences.Commit(ctx, part, f, directory.Batch{})
		if err == nil || !fault.Is(err, fault.Conflict) || try == maxRaces {
			return stored, err
		}
	}
}

// conclude makes the connection offboarded, and takes from it what is of use
// only to one that is synced.
func (g *Governor) conclude(c *connection.Connection, lastRun string) error {
	if err := c.Move(connection.Offboarded); err != nil {
		return err
	}
	if c.Tenant != "" {
		c.Offboarding.Tenant = c.Tenant
	}
	if lastRun != "" {
		c.LastRun = lastRun
	}
	kill(c)
	c.Verify, c.Manual, c.Again = connection.Verify{}, connection.Manual{}, ""
	c.Decision, c.Override, c.Approved = connection.Decision{}, nil, nil
	c.Health, c.Paused, c.Problem = connection.Health{}, nil, nil
	c.Asks = newestPreview(c.Asks)
	return nil
}

// newestPreview is the only thing asked for that stays: by it the janitor
// knows that there is a preview to drop.
func newestPreview(asks []connection.Ask) []connection.Ask {
	for _, a := range asks {
		if a.Trigger == string(job.Preview) {
			a.Sent = true // nobody is to send it again
			return []connection.Ask{a}
		}
	}
	return nil
}

// settle gives up the tenants of a connection that has ended, or hands the
// tenant to the connection to which it was transferred.
func (g *Governor) settle(ctx context.Context, c *connection.Connection) error {
	o := c.Offboarding
	if n := c.NamedTenant; n != "" && n != o.Tenant { // reserved, and never connected
		if err := g.Claims.Disown(ctx, n, c.ID); err != nil {
			return err
		}
	}
	switch {
	case o.Tenant == "":
		return nil
	case o.To != "":
		return g.hand(ctx, c)
	default:
		return g.Claims.Disown(ctx, o.Tenant, c.ID)
	}
}
