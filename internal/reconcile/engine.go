// Package reconcile makes the stored directory match Microsoft Graph, page by
// page.
//
// It can be killed between any two writes: whatever a worker does is either
// committed together with its place in the run, or did not happen.
package reconcile

import (
	"context"
	"log/slog"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Graph is a tenant's directory at Microsoft.
type Graph interface {
	// People fetches one page of users changed since link; an empty link
	// begins a full enumeration.
	People(ctx context.Context, tenant, link string) (directory.Page, error)
	// Existing returns those of at most 1,000 user IDs that the tenant holds.
	Existing(ctx context.Context, tenant string, ids []string) ([]string, error)
	// Managers returns the managers' IDs, empty for none, of those of the users
	// that the tenant holds, and how many calls it took.
	Managers(ctx context.Context, tenant string, ids []string) (managers map[string]string, calls int, err error)
}

// State is the fenced state of a connection.
type State interface {
	Fence(ctx context.Context, connection string) (job.Fence, error)
	Commit(ctx context.Context, connection string, f job.Fence, b directory.Batch) (job.Fence, error)
	// SeenRows lists rows of seen IDs, for a batch to drop.
	SeenRows(ctx context.Context, connection string, limit int) ([]string, error)
}

// People reads what is stored of a connection's people.
type People interface {
	Records(ctx context.Context, connection string, ids []string) (map[string]directory.Record, error)
	People(ctx context.Context, connection, after string, limit int) (ps []directory.Record, next string, err error)
	// Pending lists people whose removal waits for the end of the run.
	Pending(ctx context.Context, connection string, limit int) ([]string, error)
	// Held lists people whose removal is part of the held plan.
	Held(ctx context.Context, connection, after string, limit int) ([]string, error)
	Seen(ctx context.Context, connection, enum string) (map[[16]byte]struct{}, error)
}

// Connections reads and writes connections and their run records.
type Connections interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	PutRun(ctx context.Context, connection string, r job.Run) error
}

// Queue takes the message of the next slice; a zero time means now.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}

// Engine runs syncs. All fields are required.
type Engine struct {
	Graph       Graph
	State       State
	People      People
	Connections Connections
	Queue       Queue
	Now         func() time.Time
	Log         *slog.Logger
	// Select is what the delta link is bound to, beside the scope: the
	// properties asked of Graph.
	Select string
	// Budget is how long one slice works before it hands over.
	Budget time.Duration
	// MinDelay and MaxDelay bound the wait after a failure; it doubles with
	// every failure without progress.
	MinDelay, MaxDelay time.Duration
	// MaxAge is how long a run may stay open; then it ends as failed.
	MaxAge time.Duration
	// Guard is the limit of removals of connections without one of their own.
	Guard connection.Guard
}

// worker is one slice of one run.
type worker struct {
	*Engine
	conn  connection.Connection
	fence job.Fence
	until time.Time
	log   *slog.Logger
}

// Sync does the slice that j asks for. A nil error means that the message is
// done with: the work is finished, goes on in another message, or belongs to
// somebody else. An error means that it could not even be handed on.
func (e *Engine) Sync(ctx context.Context, j job.Job) (err error) {
	defer fault.Wrap(&err, "reconcile: run %s of %s, slice %d", j.Run, j.Connection, j.Slice)
	for try := 1; ; try++ {
		// Whoever loses the race for the fence looks again: the job may have
		// to be merged into the winner's run, or be the winner's own.
		if err := e.dispatch(ctx, j); !lost(err) || try == maxRaces {
			return err
		}
	}
}

// maxRaces is how often a job may find the fence moved between reading and
// opening it. Each time some other job of the connection got through.
const maxRaces = 5

// dispatch judges the job by the fence, and does what is to be done. An error
// that is [lost] means that the fence moved before anything was done.
func (e *Engine) dispatch(ctx context.Context, j job.Job) (err error) {
	w := &worker{Engine: e, until: e.Now().Add(e.Budget), log: e.Log.With("connection", j.Connection, "run", j.Run)}
	if w.conn, err = e.Connections.Connection(ctx, j.Connection); err != nil {
		if fault.Is(err, fault.NotFound) {
			w.log.WarnContext(ctx, "job of an unknown connection dropped")
			return nil
		}
		return err
	}
	if w.fence, err = e.State.Fence(ctx, j.Connection); err != nil {
		return err
	}
	f := &w.fence
	decision := j.Trigger.Decides()
	switch {
	case f.Ended(j.Run) && !(f.Open() && f.Run.ID == j.Run):
		w.log.InfoContext(ctx, "job of an ended run: records brought up to date")
		if f.Run.ID != j.Run {
			return nil
		}
		return w.project(ctx)
	case f.Open() && f.Run.ID != j.Run && decision:
		e := fault.New(fault.Throttled, "run %s is open", f.Run.ID)
		e.After = decisionWait
		return e // put back: a decision is never dropped
	case f.Open() && f.Run.ID != j.Run:
		return w.merge(ctx, j)
	case decision && !f.Open() && (f.Plan == nil || f.Plan.Hash != j.Plan):
		return w.refuse(ctx, j)
	case f.Open() && j.Slice < f.Slice:
		// The slice was committed, but perhaps its message never sent.
		w.log.InfoContext(ctx, "job of an earlier slice: message sent again", "slice", f.Slice)
		return w.resend(ctx)
	case f.Open() && j.Slice > f.Slice:
		return fault.New(fault.Invalid, "slice %d is ahead of the fence at %d", j.Slice, f.Slice)
	case !f.Open() && !w.conn.Live():
		w.log.WarnContext(ctx, "job of a connection that is not live dropped", "status", string(w.conn.Status))
		return nil
	}
	return w.slice(ctx, j)
}

// slice opens the run or takes it over, works, and hands on.
func (w *worker) slice(ctx context.Context, j job.Job) error {
	if err := w.open(ctx, j); err != nil {
		return err
	}
	err := w.work(ctx)
	switch {
	case err == nil:
		w.log.InfoContext(ctx, "run ended", "state", string(w.fence.Run.State), "created", w.fence.Run.Created,
			"updated", w.fence.Run.Updated, "archived", w.fence.Run.Archived, "reactivated", w.fence.Run.Reactivated,
			"calls", w.fence.Run.GraphCalls, "transactions", w.fence.Run.Transactions)
		return w.project(ctx)
	case lost(err):
		w.log.InfoContext(ctx, "slice stopped: another worker took over")
		return nil
	default:
		return w.handOn(ctx, err)
	}
}

// decisionWait is how long a decision waits for an open run.
const decisionWait = 10 * time.Second

// lost reports whether a commit was refused because the fence has moved on.
func lost(err error) bool {
	return fault.Is(err, fault.Conflict) && fault.Of(err).Code == job.FenceMoved
}

// open makes w the owner of the run: it raises the epoch, so that any worker
// before it can write nothing more.
func (w *worker) open(ctx context.Context, j job.Job) error {
	f := &w.fence
	if !f.Open() {
		// The record of the run before may not have been written yet, and this
		// run is about to take its place in the fence.
		if f.Run.ID != "" && w.conn.LastRun != f.Run.ID {
			if err := w.project(ctx); err != nil {
				return err
			}
		}
		f.Run = job.Run{ID: j.Run, Trigger: j.Trigger, By: w.conn.StartedBy(j.Run), Began: w.Now().UTC(), Phase: phasePeople}
		f.Slice, f.Attempt = j.Slice, 0
		if j.Trigger.Decides() {
			f.Run.Phase, f.Run.Plan = phaseDecide, f.Plan
		} else {
			w.begin()
		}
	}
	f.Run.State = job.Running
	f.Run.NextTry = time.Time{}
	f.Run.Slices++
	f.Run.Error, f.Run.Code, f.Run.Remedy = "", "", ""
	f.Epoch++
	return w.commit(ctx, directory.Batch{})
}

// begin chooses between the delta link and a full enumeration.
func (w *worker) begin() {
	f := &w.fence
	hash := scopeHash(w.Select)
	switch {
	case f.People.Delta == "" && f.People.Next == "":
		w.enumerate("first run", hash)
	case f.People.Enum != "" && f.People.Hash == hash: // left over from a run that failed
		w.enumerate("an earlier full run did not finish", hash)
	case f.People.Hash != hash:
		w.enumerate("properties changed", hash)
	case w.Now().Sub(f.People.DeltaAt) > maxDeltaAge:
		w.enumerate("delta link too old", hash)
	}
}

// maxDeltaAge is a day less than Graph keeps a delta token of directory
// objects. Source: Microsoft Graph documentation, "Delta query overview".
const maxDeltaAge = 6 * 24 * time.Hour

// enumerate starts a full enumeration in the fence; the next commit makes it so.
func (w *worker) enumerate(why, hash string) {
	f := &w.fence
	f.Run.Full, f.Run.Why = true, why
	f.People = job.Cursor{
		Hash:  hash,
		Enum:  enumID(f.Seq),
		Fresh: f.Stored == 0,
	}
}

// commit writes the batch with the fence, stamped with the time.
func (w *worker) commit(ctx context.Context, b directory.Batch) error {
	w.fence.Touched = w.Now().UTC()
	f, err := w.State.Commit(ctx, w.conn.ID, w.fence, b)
	if err != nil {
		return err
	}
	w.fence = f
	return nil
}
