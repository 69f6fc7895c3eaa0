package schedule

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Requeue puts a run of the connection on the queue that no slot and nobody's
// wish has led to, and returns it. It begins at since, or within the window
// after that, at the connection's own point in it; now, if that has passed. The
// run follows from connection and since, so that a repeat adds none. The slots
// stay as they are, and no cooldown is asked for: a run that meets one under way
// is merged into it. It returns [fault.NotFound] for an unknown connection, and
// [fault.Denied] for one that cannot run, with the codes of [Scheduler.Manual].
func (s *Scheduler) Requeue(ctx context.Context, id string, since time.Time, window time.Duration) (run string, err error) {
	defer fault.Wrap(&err, "schedule: requeue %s", id)
	c, err := s.Connections.Connection(ctx, id)
	if err != nil {
		return "", err
	}
	if c.Offboarding != nil { // about to end
		c.Status = connection.Offboarded
	}
	if err := refuse(&c); err != nil {
		return "", err
	}
	j := job.Job{Kind: job.Sync, Connection: id, Run: job.RunID(since, id, "requeue"), Trigger: job.Schedule}
	if c.LastRun == "" {
		j.Trigger = job.First
	}
	at := since.Add(spread(id, window))
	if !at.After(s.Now()) {
		at = time.Time{}
	}
	return j.Run, s.Queue.Send(ctx, j, at)
}
