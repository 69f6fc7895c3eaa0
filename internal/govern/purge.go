package govern

import (
	"context"
	"maps"
	"strconv"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// purgeRows are deleted between two looks at the clock: ten transactions.
	purgeRows = 1000
	// waitDelay is the wait for what others still do: a worker with a message of
	// the connection, or somebody who looks at its dead letters.
	waitDelay = time.Minute
)

// Purge does the slice of a purge that j asks for: it deletes what is stored
// of the connection and its messages, and hands on when its budget is spent.
// When a last look finds nothing, it empties the connection's own row and notes
// how much was deleted. A job of an earlier slice sends the current one's
// message again and does nothing else; one of a purge that is done, or that
// nobody asked for, does nothing. An error means that the same job should come
// again.
func (g *Governor) Purge(ctx context.Context, j job.Job) (err error) {
	defer fault.Wrap(&err, "govern: purge of %s, slice %d", j.Connection, j.Slice)
	c, err := g.Connections.Connection(ctx, j.Connection)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	}
	switch o := c.Offboarding; {
	case !asked(&c, j.Run) || !o.Purged.IsZero():
		g.Log.InfoContext(ctx, "job of no purge, or of one that is done, dropped", "connection", j.Connection)
		return nil
	case j.Slice < o.Step:
		return g.send(ctx, &c, time.Time{}) // it may never have been sent
	case j.Slice > o.Step:
		return fault.New(fault.Invalid, "slice %d is ahead of the connection at %d", j.Slice, o.Step)
	}
	s := g.slice(ctx, j.Connection)
	c, err = g.progress(ctx, j, &s)
	switch o := c.Offboarding; {
	case s.err != nil:
		return s.err // what was deleted is noted at best
	case err != nil:
		return err
	case !asked(&c, j.Run):
		return nil
	case !o.Purged.IsZero():
		g.tell(ctx, &c)
		return nil
	case o.Step != j.Slice+1: // another worker did the same slice, and has gone on
		return nil
	case s.waits:
		return g.send(ctx, &c, g.Now().Add(waitDelay))
	}
	return g.send(ctx, &c, time.Time{})
}

// asked reports whether the connection has ended and that purge was asked for.
func asked(c *connection.Connection, purge string) bool {
	o := c.Offboarding
	return c.Status == connection.Offboarded && o != nil && o.Purge && o.ID == purge
}

// slice is what one slice has done.
type slice struct {
	deleted map[string]int
	// done is true if a last look found nothing, waits if it is for others to
	// finish first.
	done, waits bool
	err         error
}

// slice deletes until all is gone or the budget is spent.
func (g *Governor) slice(ctx context.Context, id string) (s slice) {
	s.deleted = make(map[string]int)
	until := g.Now().Add(g.Budget)
	for done := false; !done; {
		var n map[string]int
		n, done, s.err = g.Data.PurgeAll(ctx, id, purgeRows)
		add(s.deleted, n)
		s.waits = len(n) == 0 && !done // somebody writes at the same time
		if s.err != nil || s.waits || !done && !g.Now().Before(until) {
			return s
		}
	}
	n, done, err := g.Queue.Discard(ctx, id)
	add(s.deleted, n)
	if err != nil || !done {
		s.waits, s.err = true, err
		return s
	}
	left, err := g.Data.Left(ctx, id)
	if left > 0 {
		g.Log.WarnContext(ctx, "something is left after a purge", "connection", id, "objects", left)
	}
	s.done, s.waits, s.err = left == 0 && err == nil, left > 0, err
	return s
}

// add adds what n counts to sum.
func add(sum, n map[string]int) {
	for what, k := range n {
		if k > 0 {
			sum[what] += k
		}
	}
}

// progress notes what the slice of j has done: in the same write that goes on
// to the next slice, or says that nothing is left.
func (g *Governor) progress(ctx context.Context, j job.Job, s *slice) (connection.Connection, error) {
	return g.update(ctx, j.Connection, func(c *connection.Connection) (bool, error) {
		o := c.Offboarding
		if !asked(c, j.Run) || !o.Purged.IsZero() {
			return false, nil
		}
		sum := make(map[string]int)
		add(sum, o.Deleted)
		add(sum, s.deleted)
		changed := !maps.Equal(sum, o.Deleted)
		o.Deleted = sum
		switch {
		case s.done:
			o.Purged = g.Now().UTC()
			tombstone(c)
			return true, nil
		case s.err != nil:
			return g.complain(c, s.err) || changed, nil
		case o.Step == j.Slice:
			o.Step++
			c.Problem = nil
			return true, nil
		}
		return changed, nil
	})
}

// complain puts what holds up the purge into the connection, if somebody can
// help, and reports whether that is new.
func (g *Governor) complain(c *connection.Connection, cause error) bool {
	e := fault.Of(cause)
	if e.Remedy == "" || c.Problem != nil && c.Problem.Code == e.Code && c.Problem.Remedy == e.Remedy {
		return false
	}
	c.Problem = &connection.Problem{Code: e.Code, Message: "The purge cannot go on; it is tried again by itself.", Remedy: e.Remedy, At: g.Now().UTC()}
	return true
}

// tombstone leaves of a connection what says that it was, and how it ended.
// What is not named here goes, so that no field is forgotten.
func tombstone(c *connection.Connection) {
	*c = connection.Connection{
		ID: c.ID, Company: c.Company, Status: c.Status, Offboarding: c.Offboarding,
		App: c.App, OwnApp: c.OwnApp, // so that the API can go on saying what the customer has to remove
		Link:      c.Link, // or a link of an earlier generation would live again
		CreatedAt: c.CreatedAt, Verified: c.Verified, LastSuccess: c.LastSuccess,
		Version: c.Version,
	}
}

// tell notes in the audit log that nothing is left, and what was deleted. It
// may be done any number of times.
func (g *Governor) tell(ctx context.Context, c *connection.Connection) {
	o := c.Offboarding
	detail := map[string]string{"purge": o.ID}
	for what, n := range o.Deleted {
		detail[what] = strconv.Itoa(n)
	}
	g.note(ctx, c, "purged", o.Purged, detail)
	g.Log.InfoContext(ctx, "connection purged", "connection", c.ID, "step", o.Step)
}

// send puts the purge's current slice on the queue. Sent twice, it is there
// once.
func (g *Governor) send(ctx context.Context, c *connection.Connection, at time.Time) error {
	return g.Queue.Send(ctx, job.Job{Kind: job.Offboard, Connection: c.ID, Run: c.Offboarding.ID, Slice: c.Offboarding.Step}, at)
}
