// Package schedule decides who is synced when: by the clock, by hand, and
// after a crash.
//
// A slot's message is sent before the slot is passed, under an identity made
// of the slot, so that a crash between the two sends it twice and runs it once.
package schedule

import (
	"cmp"
	"context"
	"crypto/rand"
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Connections reads and writes connections.
type Connections interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	Due(ctx context.Context, now time.Time, after string, limit int) (cs []connection.Connection, next string, err error)
}

// Queue takes jobs; a zero time means now.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}

// Plans reads the fence, which holds the plan of removals that waits.
type Plans interface {
	Fence(ctx context.Context, connection string) (job.Fence, error)
}

// Runs reads the records of runs.
type Runs interface {
	// Run returns [fault.NotFound] for a run that no worker has opened.
	Run(ctx context.Context, connection, run string) (job.Run, error)
}

// Scheduler starts runs. All fields are required.
type Scheduler struct {
	Connections Connections
	Queue       Queue
	Plans       Plans
	Runs        Runs
	Now         func() time.Time
	Log         *slog.Logger
	// Interval is the time between two slots of a connection that has no
	// schedule of its own.
	Interval time.Duration
	// Spread is the window over which connections that are due together are
	// spread, by a hash of their IDs. Zero means none.
	Spread time.Duration
	// Cooldown is the least time between two syncs by hand of one connection.
	Cooldown time.Duration
}

// Tick starts the run of every connection whose slot has come. One that fails,
// or takes its time, does not keep the others from theirs; the first failure is
// returned. Who is not come to in time stays due, and since each tick begins
// somewhere else, nobody is always behind those that fail.
func (s *Scheduler) Tick(ctx context.Context) (err error) {
	defer fault.Wrap(&err, "schedule: tick")
	now := s.Now()
	due := ring(ctx, connection.NewID(), func(ctx context.Context, after string, limit int) ([]connection.Connection, string, error) {
		return s.Connections.Due(ctx, now, after, limit)
	})
	var failed atomic.Int64
	begun, short, first := each(ctx, due, func(ctx context.Context, c connection.Connection) error {
		err := s.slot(ctx, c, now, spread(c.ID, s.Spread))
		if err != nil {
			failed.Add(1)
			s.Log.ErrorContext(ctx, "slot not started", "connection", c.ID, "err", err)
		}
		return err
	})
	queued := begun - int(failed.Load())
	if short != nil {
		s.Log.WarnContext(ctx, "not all slots started; the next tick goes on", "objects", queued, "err", short)
		return cmp.Or(first, short)
	}
	s.Log.InfoContext(ctx, "slots started", "objects", queued)
	return first
}

// Start begins the connection's run at once if its slot has come.
func (s *Scheduler) Start(ctx context.Context, id string) (err error) {
	defer fault.Wrap(&err, "schedule: start %s", id)
	c, err := s.Connections.Connection(ctx, id)
	if err != nil {
		return err
	}
	now := s.Now()
	if c.NextDue.IsZero() || now.Before(c.NextDue) {
		return nil
	}
	return s.slot(ctx, c, now, 0)
}

// slot sends the message of the connection's slot and then moves on to the
// next slot in the future: after an outage one run makes up for all that
// were missed.
func (s *Scheduler) slot(ctx context.Context, c connection.Connection, now time.Time, delay time.Duration) error {
	if !c.Live() {
		return nil
	}
	slot := c.NextDue
	j := job.Job{Kind: job.Sync, Connection: c.ID, Run: job.RunID(slot, c.ID, "slot"), Trigger: job.Schedule}
	var at time.Time
	switch {
	case c.LastRun == "":
		j.Trigger = job.First
	case delay > 0:
		at = now.Add(delay)
	}
	if err := s.Queue.Send(ctx, j, at); err != nil {
		return err
	}
	return update(ctx, s.Connections, c, func(c *connection.Connection) bool {
		if !c.NextDue.Equal(slot) {
			return false // somebody else moved it on
		}
		c.Advance(now, s.Interval)
		return true
	})
}

// spread places an ID within the window, always at the same point.
func spread(id string, window time.Duration) time.Duration {
	if window <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return time.Duration(h.Sum64() % uint64(window)).Truncate(time.Second)
}

// resendAfter is how long a message may be on its way before another call
// sends it again. Sent twice, it runs once.
const resendAfter = 2 * time.Second

// refuse says why no run of the connection may open; nil if one may.
func refuse(c *connection.Connection) error {
	e := fault.New(fault.Denied, "status is %q", c.Status)
	switch {
	case c.Live():
		return nil
	case c.Status == connection.Paused:
		return e.WithCode("paused").WithRemedy("Resume the connection, then ask again.")
	case c.Status == connection.Offboarded:
		return e.WithCode("offboarded").WithRemedy("This connection has ended. Create a new one and send its link to the customer's administrator.")
	default:
		return e.WithCode("not_connected").
			WithRemedy("Send the customer's administrator the link; the first sync starts by itself when they have consented.")
	}
}

// Manual starts a sync by hand and returns its run. It takes the place of a
// slot that saved settings have hastened. It returns [fault.NotFound] for an
// unknown connection, [fault.Denied] for one that cannot run, with code
// "not_connected", "paused" or "offboarded", and [fault.Throttled] within the
// cooldown, also to whoever lost the race against another call; the run is
// then the one asked for before. One that is disconnected may be tried: that is
// how it heals soonest.
func (s *Scheduler) Manual(ctx context.Context, id, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: manual sync of %s", id)
	mine := "" // the run of a try whose answer may have been lost
	for try := 1; ; try++ {
		c, err := s.Connections.Connection(ctx, id)
		if err != nil {
			return "", err
		}
		now := s.Now().UTC()
		if err := refuse(&c); err != nil {
			return "", err
		}
		if mine != "" && c.Manual.Run == mine {
			s.deliver(ctx, c)
			return mine, nil
		}
		if wait := c.Manual.At.Add(s.Cooldown).Sub(now); wait > 0 {
			if !c.Manual.Sent && now.Sub(c.Manual.At) > resendAfter {
				s.deliver(ctx, c)
			}
			e := fault.New(fault.Throttled, "last manual sync was at %s", c.Manual.At.Format(time.RFC3339)).WithCode("cooldown").
				WithRemedy("Wait for the time that Retry-After gives, or read the run that is under way: %s.", c.Manual.Run)
			e.After = min(wait, s.Cooldown) // another process's clock may be ahead
			return c.Manual.Run, e
		}
		mine = job.RunID(now, id, rand.Text())
		c.Manual = connection.Manual{At: now, Run: mine, By: actor}
		c.Restore()
		stored, err := s.Connections.UpdateConnection(ctx, c)
		switch {
		case err == nil:
			s.deliver(ctx, stored)
			return stored.Manual.Run, nil
		case !fault.Is(err, fault.Conflict) || try == maxUpdates:
			return "", err
		}
	}
}

// deliver sends the message of the stored manual sync and notes that it
// arrived. If that fails, the wish is stored and [Scheduler.Repair] sends it.
func (s *Scheduler) deliver(ctx context.Context, c connection.Connection) {
	run := c.Manual.Run
	err := s.Queue.Send(ctx, job.Job{Kind: job.Sync, Connection: c.ID, Run: run, Trigger: job.Manual}, time.Time{})
	if err == nil {
		err = update(ctx, s.Connections, c, func(c *connection.Connection) bool {
			ours := c.Manual.Run == run && !c.Manual.Sent
			c.Manual.Sent = true
			return ours
		})
	}
	if err != nil {
		s.Log.WarnContext(ctx, "manual sync not confirmed; it will be sent again", "connection", c.ID, "run", run, "err", err)
	}
}

// Repair sends the messages of what was asked for by hand and whose sending
// was never confirmed.
func (s *Scheduler) Repair(ctx context.Context, c connection.Connection, now time.Time) error {
	if c.Manual.Run != "" && !c.Manual.Sent && now.Sub(c.Manual.At) > resendAfter && c.Live() {
		s.deliver(ctx, c)
	}
	return s.repairAsks(ctx, c, now)
}

// maxUpdates is how often an update meets another's before it gives up; each
// time somebody else got through.
const maxUpdates = 8

// stored reads and writes one connection.
type stored interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
}

// update changes the connection unless change says that there is nothing to
// do, again if somebody else was faster.
func update(ctx context.Context, cs stored, c connection.Connection, change func(*connection.Connection) bool) error {
	for try := 1; ; try++ {
		if !change(&c) {
			return nil
		}
		_, err := cs.UpdateConnection(ctx, c)
		if err == nil || !fault.Is(err, fault.Conflict) || try == maxUpdates {
			return err
		}
		if c, err = cs.Connection(ctx, c.ID); err != nil {
			return err
		}
	}
}
