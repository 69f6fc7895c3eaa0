package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// guard is the limit of removals that holds for the connection.
func (w *worker) guard() connection.Guard {
	if w.conn.Guard != nil {
		return *w.conn.Guard
	}
	return w.Guard
}

// judge decides at the run's end whether the removals that wait may be done
// without a human. What a plan already holds counts too, so that a disaster in
// two halves is held like a whole one.
func (w *worker) judge(ctx context.Context) error {
	f := &w.fence
	waiting := f.Pending + f.Held
	guard := w.guard()
	switch {
	case !guard.Holds(waiting, f.Active):
		f.Run.Phase = phaseSettle
		return nil // the next commit tells
	case f.Plan != nil:
		// A plan never grows. These wait for the run after its decision.
		w.finish(f)
	default:
		w.log.WarnContext(ctx, "removals held", "objects", waiting, "active", f.Active, "maxCount", guard.MaxCount, "maxPercent", guard.MaxPercent)
		f.Run.Phase = phaseHold
	}
	return w.commit(ctx, directory.Batch{})
}

// hold moves the removals that wait into a plan, and makes it immutable by its
// hash.
func (w *worker) hold(ctx context.Context) error {
	for {
		moved, err := w.each(ctx, w.pendingPage, func(r *directory.Record) { r.Held = true }, nil)
		if err != nil {
			return err
		}
		if moved == 0 {
			break
		}
		if w.Now().After(w.until) {
			return errBudget
		}
	}
	sum, n, err := w.planHash(ctx)
	if err != nil {
		return err
	}
	f := &w.fence
	if n > 0 {
		f.Plan = &job.Plan{Hash: sum, Run: f.Run.ID, At: w.Now().UTC(), Count: n, Active: f.Active}
	}
	w.finish(f)
	return w.commit(ctx, directory.Batch{})
}

// planHash is of the held people's IDs in order, and of the run, so that no
// two plans have the same.
func (w *worker) planHash(ctx context.Context) (sum string, n int, err error) {
	h := sha256.New()
	_, _ = h.Write([]byte(w.fence.Run.ID)) // never fails
	for after := ""; ; {
		ids, err := w.People.Held(ctx, w.conn.ID, after, maxConfirm)
		if err != nil {
			return "", 0, err
		}
		for _, id := range ids {
			_, _ = h.Write([]byte("\n" + id))
		}
		n += len(ids)
		if len(ids) < maxConfirm {
			return hex.EncodeToString(h.Sum(nil)[:16]), n, nil
		}
		after = ids[len(ids)-1]
	}
}

// refuse ends a decision on a plan that does not wait: it is unknown, or
// another decision was faster. Nothing is opened, and nobody archived.
func (w *worker) refuse(ctx context.Context, j job.Job) error {
	now := w.Now().UTC()
	w.log.WarnContext(ctx, "decision on a plan that does not wait refused", "trigger", string(j.Trigger))
	return w.Connections.PutRun(ctx, w.conn.ID, job.Run{
		ID: j.Run, Trigger: j.Trigger, State: job.RunFailed, Phase: phaseDone, Began: now, Ended: now,
		LastChange: w.fence.LastChange, Plan: &job.Plan{Hash: j.Plan},
		Error: "This plan of removals does not wait for a decision.", Code: "plan_decided",
		Remedy: "It was decided before, or its people have returned. Read the connection's runs.",
	})
}

// decide archives the people of the held plan who have not returned, or keeps
// them.
func (w *worker) decide(ctx context.Context) error {
	now := w.Now().UTC()
	change := func(r *directory.Record) {
		r.Archived, r.Reason, r.Pending, r.Held = now, r.Pending, "", false
	}
	if w.fence.Run.Trigger == job.Reject {
		change = func(r *directory.Record) { r.Pending, r.Held, r.Kept = "", false, true }
	}
	for w.fence.Run.Phase != phaseDone {
		_, err := w.each(ctx, w.heldPage, change, func(f *job.Fence) {
			f.Held = 0
			w.finish(f)
		})
		if err != nil {
			return err
		}
		if w.fence.Run.Phase != phaseDone && w.Now().After(w.until) {
			return errBudget
		}
	}
	return nil
}

func (w *worker) pendingPage(ctx context.Context) ([]string, error) {
	return w.People.Pending(ctx, w.conn.ID, maxSettle)
}

func (w *worker) heldPage(ctx context.Context) ([]string, error) {
	return w.People.Held(ctx, w.conn.ID, "", maxSettle)
}

// each changes the records of one page of listed removals, which takes them
// off that list, and commits; the last page together with last, if there is
// one. It returns how many were on the page.
func (w *worker) each(ctx context.Context, page func(context.Context) ([]string, error), change func(*directory.Record), last func(*job.Fence)) (int, error) {
	ids, err := page(ctx)
	if err != nil {
		return 0, err
	}
	stored, err := w.People.Records(ctx, w.conn.ID, ids)
	if err != nil {
		return 0, err
	}
	b := newBatcher(w)
	for _, id := range ids {
		r, ok := stored[id]
		if !ok || r.Pending == "" {
			return 0, fault.New(fault.Invalid, "a removal of %s is listed, and the record knows of none", id)
		}
		f := &folded{entry: entry{prior: &r, next: r}}
		change(&f.next)
		if err := b.add(ctx, f); err != nil {
			return 0, err
		}
	}
	if len(ids) < maxSettle && last != nil {
		return len(ids), b.commit(ctx, last)
	}
	return len(ids), b.flush(ctx)
}
