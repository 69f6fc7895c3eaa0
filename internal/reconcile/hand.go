package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// handTimeout is what is left for handing on when the slice's own time is up:
// a commit and a message.
const handTimeout = 30 * time.Second

// handOn puts the rest of the run into a message for later, or ends the run
// if waiting cannot help. The message it answers is then done with; an
// abandoned message would come back at once, and be dead-lettered in seconds.
func (w *worker) handOn(ctx context.Context, cause error) error {
	// Only the slice's own time counts: a Graph that hangs until its client
	// gives up reports a deadline too, and has failed.
	budget, late := errors.Is(cause, errBudget), ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handTimeout)
	defer cancel()
	if w.opens { // nothing was written yet: the run is opened, so that it can wait
		w.takeMeter()
		w.last.Run.GraphCalls, w.last.Run.Units = w.fence.Run.GraphCalls, w.fence.Run.Units
		w.fence = w.last
		if err := w.commit(ctx, directory.Batch{}); lost(err) {
			return err
		} else if err != nil {
			return stuck(err, cause)
		}
	}
	// What the failed step changed in the fence and did not commit is dropped
	// with it, except for what it cost.
	w.takeMeter()
	spent := w.fence.Run.Counters
	f, err := w.Store.Fence(ctx, w.part)
	if err != nil {
		return stuck(err, cause)
	}
	if f.Epoch != w.fence.Epoch {
		return nil
	}
	w.fence, w.last = f, f
	if !f.Open() { // the last commit took effect after all, and ended the run
		return w.project(ctx)
	}
	w.fence.Run.GraphCalls, w.fence.Run.Units = spent.GraphCalls, spent.Units

	e := fault.Of(cause)
	now := w.Now().UTC()
	var delay time.Duration
	switch {
	case budget, late && now.Sub(w.fence.Run.Began) <= w.MaxAge:
		// Nothing is wrong, there is just more to do. Only a slice that ran out
		// of time without noticing may have come no further.
	case hopeless(e) || now.Sub(w.fence.Run.Began) > w.MaxAge:
		return w.fail(ctx, cause)
	default:
		delay = w.delay(ctx, e)
		w.fence.Run.Retries++
		if e.Kind == fault.Throttled {
			w.fence.Run.Throttles++
		}
		w.fence.Run.State, w.fence.Run.Throttled = job.Waiting, e.Kind == fault.Throttled
		w.fence.Run.NextTry = now.Add(delay)
		w.fence.Run.Error, w.fence.Run.Code, w.fence.Run.Remedy = "Something did not answer as expected; the run goes on by itself.", e.Code, e.Remedy
		if e.Kind == fault.Throttled {
			w.fence.Run.Error = "Microsoft asked to slow down; the run goes on by itself."
		}
		if w.fence.Run.Remedy == "" {
			w.fence.Run.Remedy = "Nothing has to be done: the run goes on at the time of its next try."
		}
	}
	w.fence.Slice++
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		if lost(err) {
			return nil
		}
		return stuck(err, cause)
	}
	if budget || late {
		w.log.InfoContext(ctx, "slice handed on", "slice", w.fence.Slice)
	} else {
		w.log.WarnContext(ctx, "run waits", "slice", w.fence.Slice, "delay", delay, "kind", e.Kind.String(), "err", cause)
	}
	return w.resend(ctx)
}

// hopeless reports whether waiting cannot help. It can where the vendor's own
// credential is refused: somebody is told, and no customer is to blame.
func hopeless(e *fault.Error) bool {
	if e.Class == fault.Ours || e.Class == fault.Transient {
		return false
	}
	return e.Kind == fault.Denied || e.Kind == fault.Invalid || e.Kind == fault.NotFound
}

// maxAfter bounds what a server can make a run wait; real waits are minutes.
const maxAfter = 6 * time.Hour

// stuck is the failure to hand on, which decides what becomes of the message;
// the cause of handing on is only told.
func stuck(err, cause error) error {
	return &fault.Error{Kind: fault.Unknown, After: fault.Of(err).After, Err: fmt.Errorf("%w (handing on after: %v)", err, cause)}
}

// resend puts the message of the fence's slice on the queue. Sent twice, it
// is there once.
func (w *worker) resend(ctx context.Context) error {
	f := &w.fence
	return w.Queue.Send(ctx, job.Job{
		Kind: job.Sync, Connection: w.conn.ID, Run: f.Run.ID, Slice: f.Slice, Trigger: f.Run.Trigger, Person: f.Run.Person,
	}, f.Run.NextTry)
}

// backoff is the wait before try n, counted from 1.
func (e *Engine) backoff(n int) time.Duration {
	d := e.MinDelay
	for ; n > 1 && d < e.MaxDelay; n-- {
		d *= 2
	}
	return min(d, e.MaxDelay)
}

// fail ends the run. What it has written stays: it is right as far as it goes.
func (w *worker) fail(ctx context.Context, cause error) error {
	e := fault.Of(cause)
	r := &w.fence.Run
	r.Error, r.Code, r.Remedy, r.Class = problemText(e), e.Code, e.Remedy, e.Class
	if denied(cause) {
		r.Class = fault.Policy // the customer can grant it, and nobody else
	}
	if r.Remedy == "" {
		r.Remedy = "Start a sync by hand. If it fails again, report the run's ID to Rollcall's operator."
	}
	w.end(job.RunFailed)
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		if lost(err) {
			return nil
		}
		return stuck(err, cause)
	}
	w.log.ErrorContext(ctx, "run failed", "phase", r.Phase, "kind", e.Kind.String(), "err", cause)
	return w.project(ctx)
}

// problemText says in plain words what happened, without what others wrote.
func problemText(e *fault.Error) string {
	switch e.Class {
	case fault.Disconnected:
		return "Microsoft does not know Rollcall's app in the customer's tenant."
	case fault.Policy:
		return "A policy of the customer's blocks Rollcall."
	case fault.Ours:
		return "The credential by which Rollcall signs in is missing or refused; that is not the customer's doing."
	}
	switch e.Kind {
	case fault.Denied:
		return "Microsoft refused access."
	case fault.NotFound:
		return "Microsoft does not find what the sync asked for."
	case fault.Invalid:
		return "The sync met data or an answer that it cannot use."
	default:
		return "Microsoft did not answer as expected for too long."
	}
}

// merge ends a job that found another run open: its work is that run's. An
// operator's wish for fresh data is kept, as one more run after it.
func (w *worker) merge(ctx context.Context, j job.Job) error {
	into := w.fence.Run.ID
	w.log.InfoContext(ctx, "job merged into the open run", "into", into)
	r := w.ended(j, job.Merged)
	r.MergedInto = into
	err := w.Connections.PutRun(ctx, w.conn.ID, r)
	// What does one thing that somebody asked for makes up for no sync.
	if err != nil || j.Trigger != job.Manual && !w.fence.Run.Trigger.Asked() {
		return err
	}
	if err := w.update(ctx, func(c *connection.Connection) error { c.Again = into; return nil }); err != nil {
		return err
	}
	// That run may have ended before it could see the wish.
	if w.fence, err = w.Store.Fence(ctx, w.part); err != nil {
		return err
	}
	if w.fence.Run.ID == into && !w.fence.Open() {
		return w.project(ctx)
	}
	return nil
}

// maxUpdates is how often an update meets another's before it gives up; each
// time somebody else got through.
const maxUpdates = 8

// update changes the connection's row, again if somebody else was faster.
func (w *worker) update(ctx context.Context, change func(*connection.Connection) error) error {
	for try := 1; ; try++ {
		c := w.conn
		if err := change(&c); err != nil {
			return err
		}
		stored, err := w.Connections.UpdateConnection(ctx, c)
		if err == nil {
			w.conn = stored
			return nil
		}
		if !fault.Is(err, fault.Conflict) || try == maxUpdates {
			return err
		}
		if w.conn, err = w.Connections.Connection(ctx, w.conn.ID); err != nil {
			return err
		}
	}
}
