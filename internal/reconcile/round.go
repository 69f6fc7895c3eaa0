package reconcile

import (
	"context"
	"errors"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// The phases of a run, in order.
const (
	phasePeople = "people"
	phaseSweep  = "sweep"  // who was not in a full enumeration?
	phaseTidy   = "tidy"   // drop the IDs seen
	phaseJudge  = "judge"  // may those whose removal waits go without a human?
	phaseHold   = "hold"   // make them a plan that waits for one
	phaseSettle = "settle" // archive them
	phaseDecide = "decide" // do with a held plan what a human has decided
	phaseDone   = "done"
)

// errBudget ends a slice that has used its time; the run goes on at once in
// the next one.
var errBudget = errors.New("slice budget used")

// scopeHash binds a delta link to what was asked with it.
func scopeHash(sel string) string { return strconv.FormatUint(xxhash.Sum64String(sel), 16) }

// enumID names an enumeration: commits never repeat a number.
func enumID(seq int64) string { return strconv.FormatInt(seq, 36) }

// work does the phases that are left.
func (w *worker) work(ctx context.Context) error {
	steps := map[string]func(context.Context) error{
		phasePeople: w.people,
		phaseSweep:  w.sweep,
		phaseTidy:   w.tidy,
		phaseJudge:  w.judge,
		phaseHold:   w.hold,
		phaseSettle: w.settle,
		phaseDecide: w.decide,
	}
	for w.fence.Run.Phase != phaseDone {
		step, ok := steps[w.fence.Run.Phase]
		if !ok {
			return fault.New(fault.Invalid, "unknown phase %q", w.fence.Run.Phase)
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fetched is a page, or the reason that there is none.
type fetched struct {
	link string
	page directory.Page
	err  error
}

// fetch follows the chain of pages from link, one page ahead of its reader,
// until the round's last page, an error or the end of ctx.
func (w *worker) fetch(ctx context.Context, link string) <-chan fetched {
	ch := make(chan fetched)
	tenant := w.conn.Tenant
	go func() {
		defer close(ch)
		for {
			p, err := w.Graph.People(ctx, tenant, link)
			select {
			case ch <- fetched{link, p, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || p.Delta != "" {
				return
			}
			link = p.Next
		}
	}()
	return ch
}

// maxUncommitted is how many pages may pass without a commit, so that a crash
// costs few calls even where nothing has changed.
const maxUncommitted = 16

// people follows one round of users/delta to its delta link. Pages are
// fetched ahead while earlier ones are compared and written.
func (w *worker) people(ctx context.Context) error {
	cur := &w.fence.People
	link := cur.Next
	if link == "" && cur.Enum == "" {
		link = cur.Delta
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the fetcher when this returns early
	b := newBatcher(w)
	pages := 0
	for got := range w.fetch(ctx, link) {
		w.fence.Run.GraphCalls += got.page.Calls
		if got.err != nil {
			// What came before the failure is kept, down to the place: a page
			// that always fails must not have the others fetched again.
			if err := b.commitPages(ctx, pages); err != nil {
				return err
			}
			if fault.Is(got.err, fault.Expired) {
				return w.restart(ctx, got)
			}
			return got.err
		}
		if err := b.page(ctx, got.page); err != nil {
			return err
		}
		// From here on the whole page is in the batch, so its successor's link
		// may go with the next commit.
		w.fence.Attempt = 0
		w.fence.Run.Pages++
		w.fence.People.Next = got.page.Next
		if got.page.Delta != "" {
			return b.commit(ctx, func(f *job.Fence) { w.listed(f, got.page.Delta) })
		}
		pages++
		spent := w.Now().After(w.until)
		if spent || pages%maxUncommitted == 0 {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
		}
		if spent {
			return errBudget
		}
	}
	return ctx.Err()
}

// listed ends a round at its delta link: the run goes on to what is left to
// do, or is over.
func (w *worker) listed(f *job.Fence, delta string) {
	full := f.People.Enum != "" && !f.People.Fresh
	f.People.Next, f.People.Delta, f.People.DeltaAt = "", delta, w.Now().UTC()
	if full {
		f.Run.Phase = phaseSweep
		return
	}
	f.People.Enum, f.People.Fresh = "", false
	w.settleOrEnd(f)
}

// settleOrEnd goes on to the removals that wait, if any do.
func (w *worker) settleOrEnd(f *job.Fence) {
	switch {
	case f.Held > 0 && f.Plan == nil: // a run that failed on the way to its plan
		f.Run.Phase = phaseHold
	case f.Pending > 0 && !w.conn.LastSuccess.IsZero():
		f.Run.Phase = phaseJudge
	case f.Pending > 0: // the first run: nobody relies on anything yet
		f.Run.Phase = phaseSettle
	default:
		w.finish(f)
	}
}

// finish ends the run in the fence: held while a plan waits for a human. A
// plan whose people have all returned has settled itself.
func (w *worker) finish(f *job.Fence) {
	if f.Held == 0 {
		f.Plan = nil
	}
	f.Run.Phase = phaseDone
	f.Run.Error, f.Run.Code, f.Run.Remedy = "", "", ""
	state := job.Succeeded
	if f.Plan != nil {
		state, f.Run.Plan = job.Held, f.Plan
	}
	f.End(state, w.Now().UTC())
}

// restart begins a full enumeration after Graph has forgotten a link. The
// first page of one has no link to forget, and one that is forgotten on the
// way may be again: both wait like any other failure.
func (w *worker) restart(ctx context.Context, got fetched) error {
	passing := &fault.Error{Kind: fault.Unknown, Code: fault.Of(got.err).Code, Err: got.err}
	if got.link == "" {
		return passing
	}
	enumerating := w.fence.People.Enum != ""
	why := "Microsoft no longer knew the delta link"
	if enumerating {
		why = "Microsoft no longer knew the page link"
	}
	w.log.InfoContext(ctx, "full enumeration begins", "why", why)
	w.enumerate(why, scopeHash(w.Select))
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		return err
	}
	if enumerating {
		return passing
	}
	return nil
}
