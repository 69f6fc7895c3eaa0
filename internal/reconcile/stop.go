package reconcile

import (
	"context"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// What a run says that was not done, or not to its end, because the connection
// is paused.
const (
	pausedCode   = "paused"
	pausedText   = "The connection was paused."
	pausedRemedy = "Resume the connection. What the run has written stays, and the next one goes on from there."
	pausedAsk    = "Resume the connection, and ask again."
)

// paused reports whether somebody has stopped the connection's syncs. Only an
// erasure is done all the same: nobody has to wait for it.
func (w *worker) paused() bool { return w.conn.Status == connection.Paused }

// stop ends the open run because the connection is paused. Its cursors stay
// where they are.
func (w *worker) stop(ctx context.Context) error {
	f := &w.fence
	f.Epoch++ // whoever still works on it writes nothing more
	r := &f.Run
	r.Error, r.Code, r.Remedy = pausedText, pausedCode, pausedRemedy
	if r.Trigger.Asked() || r.Trigger == job.Preview {
		r.Remedy = pausedAsk
	}
	w.end(job.Stopped)
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		return err
	}
	w.log.InfoContext(ctx, "run stopped: the connection is paused", "stopped", r.ID, "phase", r.Phase)
	return w.project(ctx)
}

// drop leaves a job alone whose connection has ended.
func (w *worker) drop(ctx context.Context) error {
	w.log.WarnContext(ctx, "job of a connection that has ended dropped")
	return nil
}

// end closes the open run in the fence.
func (w *worker) end(s job.State) {
	w.ends = true
	w.fence.Run.Throttled = false
	w.fence.End(s, w.Now().UTC())
}

// refuseDead records that what somebody asked for cannot be done: the
// connection is not live.
func (w *worker) refuseDead(ctx context.Context, j job.Job) error {
	r := w.ended(j, job.RunFailed)
	r.Person = j.Person
	r.Error, r.Code, r.Remedy = "The connection cannot be synced.", "not_connected", "Read the connection's problem, and ask again when it is solved."
	if w.paused() {
		r.Error, r.Code, r.Remedy = "The connection is paused.", pausedCode, pausedAsk
	}
	return w.Connections.PutRun(ctx, w.conn.ID, r)
}

// ended is the record of a run that ends without having been opened.
func (w *worker) ended(j job.Job, s job.State) job.Run {
	now := w.Now().UTC()
	return job.Run{
		ID: j.Run, Trigger: j.Trigger, By: w.conn.StartedBy(j.Run), State: s, Phase: phaseDone, Began: now, Ended: now,
		LastChange: w.fence.LastChange,
	}
}
