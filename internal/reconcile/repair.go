package reconcile

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// stuckAfter is how long an open run may show no progress beyond its next
// try. A living worker commits at least once a slice, and a lost message
// comes back when its lock ends, so half an hour means that it is lost.
const stuckAfter = 30 * time.Minute

// Repair puts right what a crash at the worst moment can leave behind for one
// connection: a run that ended and was not recorded, or an open run whose
// message was lost. It writes nothing if all is well.
func (e *Engine) Repair(ctx context.Context, c connection.Connection, now time.Time) (err error) {
	defer fault.Wrap(&err, "reconcile: repair of %s", c.ID)
	w := e.worker(c)
	if w.fence, err = e.Store.Fence(ctx, c.ID); err != nil {
		return err
	}
	f := &w.fence
	switch {
	case f.Closed || f.Run.ID == "":
		return nil
	case !f.Open():
		return w.project(ctx)
	case now.Sub(later(f.Touched, f.Run.NextTry)) < stuckAfter:
		return nil
	}
	if now.Sub(f.Run.Began) > e.MaxAge {
		// It is not let in again: what kills the process that works on it would
		// take other customers' work along.
		return w.fail(ctx, fault.New(fault.Unknown, "no progress since %s", f.Touched.Format(time.RFC3339)))
	}
	w.log.WarnContext(ctx, "stuck run revived", "run", f.Run.ID, "slice", f.Slice)
	// A new slice number gives the message an identity that the queue has not
	// seen; the commit fences out a worker that is not dead after all.
	f.Slice++
	f.Epoch++
	f.Run.State, f.Run.NextTry, f.Run.Throttled = job.Waiting, time.Time{}, false
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		if lost(err) {
			return nil
		}
		return err
	}
	return w.resend(ctx)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
