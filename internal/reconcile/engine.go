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

// Watch is told how runs go.
type Watch interface {
	// Phase is told that the run begins or goes on with its phase; what it
	// returns is told how far the run has come when the phase ends or breaks off.
	Phase(ctx context.Context, connection string, before job.Run) (context.Context, func(after job.Run, err error))
	// Ended is told of the end of a run, once it is stored.
	Ended(ctx context.Context, run job.Run)
}

// Engine runs syncs. All fields but Audit, Watch and Board are required.
type Engine struct {
	Graph       Graph
	Store       Store
	Connections Connections
	Queue       Queue
	// Audit is told when a tenant answers again that did not; nil tells nobody.
	Audit Audit
	// Watch is told how runs go; nil tells nobody.
	Watch Watch
	// Board tells of throttles of a whole app; nil leaves each to itself.
	Board *Board
	Now   func() time.Time
	Log   *slog.Logger
	// Budget is how long one slice works before it hands over.
	Budget time.Duration
	// MinDelay and MaxDelay bound the wait after a failure; it doubles with
	// every failure without progress.
	MinDelay, MaxDelay time.Duration
	// MaxAge is how long a run may stay open; then it ends as failed.
	MaxAge time.Duration
	// Guard is the limit of removals of connections without one of their own.
	Guard connection.Guard
	// FullEvery is how old the last full enumeration may become; 0 means as old
	// as it likes.
	FullEvery time.Duration
	// Lanes is how many pages of a first list of people are asked for at once;
	// 0 means that it is read page by page.
	Lanes int
	// ArchivedMaxAge is how long archived people are kept before they are
	// purged; 0 means for good.
	ArchivedMaxAge time.Duration
}

// worker is one slice of one run.
type worker struct {
	*Engine
	conn connection.Connection
	// part is the connection's partition, or that of its preview.
	part   string
	chosen connection.Settings
	fence  job.Fence
	last   job.Fence // as it was committed last
	flight *flight   // the commit under way, or nil
	opens  bool      // the next commit opens the run
	ends   bool      // the next commit of a closed run is its end
	until  time.Time
	meter  *job.Meter
	log    *slog.Logger
	// scoped are the members of the scope groups, nil if there are none.
	scoped map[[16]byte]struct{}
	erased map[[16]byte]struct{}
	moves  moves
	// index is of whom an enumeration compares with, nil outside of one; written
	// are those whom this slice has added in a first one.
	index   *index
	written keys
	doubts  bool // whoever is taken for new is looked up
	// denied are teams whose members Microsoft did not list in this slice.
	denied []string
}

// worker is for one slice of the connection's run.
func (e *Engine) worker(c connection.Connection) *worker {
	return &worker{
		Engine: e, conn: c, part: c.ID, chosen: c.Chosen(), until: e.Now().Add(e.Budget), meter: new(job.Meter),
		log: e.Log.With("connection", c.ID),
	}
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
	conn, err := e.Connections.Connection(ctx, j.Connection)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			e.Log.WarnContext(ctx, "job of an unknown connection dropped", "connection", j.Connection, "run", j.Run)
			return nil
		}
		return err
	}
	w := e.worker(conn)
	w.log = w.log.With("run", j.Run)
	if conn.Status == connection.Offboarded { // nothing is written of it any more, not even a record
		return w.drop(ctx)
	}
	if j.Trigger == job.Preview {
		return w.preview(ctx, j)
	}
	if w.fence, err = e.Store.Fence(ctx, w.part); err != nil {
		return err
	}
	f := &w.fence
	if f.Closed {
		return w.drop(ctx)
	}
	if f.Open() && w.paused() && f.Run.Trigger != job.Erase {
		if err := w.stop(ctx); err != nil {
			return err
		}
	}
	asked := j.Trigger.Asked()
	switch {
	case f.Ended(j.Run) && !(f.Open() && f.Run.ID == j.Run):
		w.log.InfoContext(ctx, "job of an ended run: records brought up to date")
		if f.Run.ID != j.Run {
			return nil
		}
		return w.project(ctx)
	case f.Open() && f.Run.ID != j.Run && asked:
		return waits(f.Run.ID) // put back: what was asked for is never dropped
	case f.Open() && f.Run.ID != j.Run:
		return w.merge(ctx, j)
	case j.Trigger.Decides() && !f.Open() && (f.Plan == nil || f.Plan.Hash != j.Plan):
		return w.refuse(ctx, j)
	case f.Open() && j.Slice < f.Slice:
		// The slice was committed, but perhaps its message never sent.
		w.log.InfoContext(ctx, "job of an earlier slice: message sent again", "slice", f.Slice)
		return w.resend(ctx)
	case f.Open() && j.Slice > f.Slice:
		return fault.New(fault.Invalid, "slice %d is ahead of the fence at %d", j.Slice, f.Slice)
	case !f.Open() && !w.conn.Live() && j.Trigger != job.Erase:
		w.log.WarnContext(ctx, "job of a connection that is not live dropped", "status", string(w.conn.Status))
		if j.Slice > 0 || !asked && j.Trigger != job.Manual {
			return nil
		}
		return w.refuseDead(ctx, j)
	}
	return w.slice(ctx, j)
}

// waits puts a job back until the open run has ended.
func waits(run string) error {
	e := fault.New(fault.Throttled, "run %s is open", run).WithCode(job.OpenRun)
	e.After = askedWait
	return e
}

// askedWait is how long what somebody asked for waits for an open run.
const askedWait = 10 * time.Second

// slice opens the run or takes it over, works, and hands on.
func (w *worker) slice(ctx context.Context, j job.Job) error {
	ctx = job.Metered(ctx, w.meter)
	if err := w.open(ctx, j); err != nil {
		return err
	}
	ctx = job.Under(ctx, w.terms())
	err := w.admitted(ctx)
	if err == nil {
		err = w.load(ctx)
	}
	if err == nil {
		err = w.work(ctx)
	}
	switch {
	case err == nil:
		r := &w.fence.Run
		w.log.InfoContext(ctx, "run ended", "state", string(r.State), "created", r.Created, "updated", r.Updated, "archived", r.Archived,
			"reactivated", r.Reactivated, "changes", r.LastChange-r.FirstChange, "skipped", len(r.Skipped), "calls", r.GraphCalls, "transactions", r.Transactions)
		return w.project(ctx)
	case lost(err) && w.opens:
		return err // somebody else's run was opened meanwhile: the job looks again
	case lost(err):
		w.log.InfoContext(ctx, "slice stopped: another worker took over")
		return nil
	default:
		return w.handOn(ctx, err)
	}
}

// load reads what the slice needs to know of everybody.
func (w *worker) load(ctx context.Context) (err error) {
	if w.fence.Erased > 0 {
		if w.erased, err = w.Store.ErasedPeople(ctx, w.part); err != nil {
			return err
		}
	}
	if w.fence.Scope.Set != "" {
		w.scoped, err = w.Store.Scope(ctx, w.part, w.fence.Scope.Set)
	}
	w.moves.from = w.fence.LastChange
	return err
}

// lost reports whether a commit was refused because the fence has moved on.
func lost(err error) bool {
	return fault.Is(err, fault.Conflict) && fault.Of(err).Code == job.FenceMoved
}

// open makes w the owner of the run: it raises the epoch, so that any worker
// before it can write nothing more.
func (w *worker) open(ctx context.Context, j job.Job) error {
	f := &w.fence
	begins := !f.Open()
	if begins {
		// The record of the run before may not have been written yet, and this
		// run is about to take its place in the fence.
		if f.Run.ID != "" && w.conn.LastRun != f.Run.ID {
			if err := w.project(ctx); err != nil {
				return err
			}
		}
		resumes := f.Run.State == job.Stopped && w.Now().Sub(f.Run.Ended) < maxDeltaAge
		f.Run = job.Run{
			ID: j.Run, Trigger: j.Trigger, By: w.conn.StartedBy(j.Run), Began: w.Now().UTC(), FirstChange: f.LastChange, Person: j.Person,
		}
		f.Slice, f.Attempt = j.Slice, 0
		f.Scope.Problem = nil
		f.Verdict = job.Verdicts{}
		if j.Trigger.Decides() {
			f.Run.Plan = f.Plan
		}
		if w.syncs() {
			w.begin(resumes)
		}
		w.advance()
	}
	f.Run.State, f.Run.Throttled = job.Running, false
	f.Run.NextTry = time.Time{}
	f.Run.Slices++
	f.Run.Error, f.Run.Code, f.Run.Remedy = "", "", ""
	f.Epoch++
	if begins && j.Trigger == job.Schedule {
		// Nobody waits for it, and most such runs find nothing: then beginning
		// and end are one transaction. Until the first one nothing is written,
		// and whoever opens a run before it has won.
		w.last, w.opens = *f, true
		return nil
	}
	return w.commit(ctx, directory.Batch{})
}

// begin chooses between the delta links and full enumerations. If resumes is
// true, the run before was stopped a short while ago, and nothing was wrong.
func (w *worker) begin(resumes bool) {
	f := &w.fence
	hash := scopeHash(w.properties())
	wider := w.rescope()
	// What was put aside of a team's list may have been tidied away since, and
	// people written since an index was begun.
	f.Members = job.Cursor{}
	f.Index.Next, f.Index.Swept, f.Index.Made = 0, "", 0
	switch c := &f.People; {
	case c.Delta == "" && c.Next == "":
		w.enumerate(firstRun, hash)
	case resumes && w.goesOn(c) && c.Hash == hash && !wider:
		f.Run.Full, f.Run.Why = true, c.Why
	case c.Enum != "" && c.Hash == hash: // left over from a run that failed
		w.enumerate(unfinished, hash)
	case c.Hash != hash:
		w.enumerate("properties changed", hash)
	case c.Sharded:
		w.enumerate(listedOnly, hash)
	case wider:
		w.enumerate("the settings have become wider", hash)
	case w.Now().Sub(c.DeltaAt) > maxDeltaAge:
		w.enumerate(tooOld, hash)
	case w.FullEvery > 0 && w.Now().Sub(c.FullAt) > w.FullEvery:
		w.enumerate(fullDue, hash)
	}
	w.beginGroups(resumes)
}

// goesOn reports whether an enumeration that was left at some page can be gone
// on with: but for scope groups, whose members may have changed since, which
// only a delta round takes in.
func (w *worker) goesOn(c *job.Cursor) bool {
	return c.Enum != "" && c.Next != "" && !c.Scoped && !w.fence.Scope.Grouped
}

// Why everything is enumerated.
const (
	firstRun   = "first run" // nobody is stored yet
	unfinished = "an earlier full run did not finish"
	tooOld     = "delta link too old"
	fullDue    = "a full run is due"
	joinedMany = "many people have joined the scope groups"
	joinedSome = "people have joined the scope groups"
	forgotten  = "Microsoft no longer knew the link"
	listedOnly = "the first run listed people in parallel"
)

// maxDeltaAge is a day less than Graph keeps a delta token of directory
// objects. Source: Microsoft Graph documentation, "Delta query overview".
const maxDeltaAge = 6 * 24 * time.Hour

// enumerate starts a full enumeration of people in the fence; the next commit
// makes it so.
func (w *worker) enumerate(why, hash string) {
	f := &w.fence
	f.Run.Full, f.Run.Why = true, why
	f.Untidy = true
	f.Scope.Rejudge = false // everybody comes by anyway
	if f.Stored == 0 {      // the index of nobody is complete
		f.Index = job.Index{From: f.Seq + 1}
	}
	f.People = job.Cursor{
		Hash:   hash,
		Enum:   w.enumID("u"),
		Fresh:  f.Stored == 0,
		FullAt: f.People.FullAt,
		Why:    why,
	}
}
