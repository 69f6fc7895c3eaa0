package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
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
		moved, err := w.each(ctx, w.pendingPage, toHeld, nil)
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

func toHeld(context.Context, []string) (edit, error) {
	return func(r *directory.Record) { r.Held = true }, nil
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
// them. A plan may have waited for days, so that whoever is to be archived is
// asked for once more: some may be back, and no sync has seen it yet.
func (w *worker) decide(ctx context.Context) error {
	if w.fence.Run.Trigger == job.Reject {
		return w.throughout(ctx, w.heldPage, func(context.Context, []string) (edit, error) {
			return func(r *directory.Record) { r.Pending, r.Held, r.Kept = "", false, true }, nil
		})
	}
	gone := archive(w.Now().UTC())
	return w.throughout(ctx, w.heldPage, func(ctx context.Context, ids []string) (edit, error) {
		back := make(map[string]bool)
		if len(ids) > 0 {
			w.fence.Run.GraphCalls++
			found, err := w.Graph.Existing(ctx, w.conn.Tenant, ids)
			if err != nil {
				return nil, err
			}
			for _, id := range found {
				back[id] = true
			}
		}
		return func(r *directory.Record) {
			if back[r.ID] { // the next sync brings them up to date
				r.Pending, r.Held = "", false
				return
			}
			gone(r)
		}, nil
	})
}
