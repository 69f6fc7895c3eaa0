package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

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

// limit is the most removals of a kind that go without a human.
func limit(g connection.Guard, k directory.Kind) int {
	switch k {
	case directory.Teams:
		return g.MaxTeams
	case directory.Memberships:
		return g.MaxMemberships
	default:
		return g.MaxCount
	}
}

// judgeDue: some removal waits, or a run that failed left a plan half made.
func (w *worker) judgeDue() bool {
	t := w.fence.Run.Trigger
	if t.Decides() || t == job.Erase {
		return false
	}
	return w.fence.Waiting() || w.fence.Holding() && w.fence.Plan == nil
}

// judge decides at the run's end whether the removals that wait may be done
// without a human, each kind for itself. What a plan already holds counts too,
// so that a disaster in two halves is held like a whole one.
func (w *worker) judge(ctx context.Context) error {
	f := &w.fence
	guard := w.guard()
	first := w.conn.LastSuccess.IsZero() // nobody relies on anything yet
	f.Verdict = job.Verdicts{}
	for _, k := range kinds {
		t, v := f.Counted(k), f.Verdict.Of(k)
		waiting := t.Pending + t.Held
		holds := guard.Holds(waiting, t.Active, limit(guard, k))
		switch {
		case waiting == 0:
		case f.Scope.Problem != nil:
			*v = job.Wait
		case t.Held > 0 && f.Plan == nil:
			*v = job.Hold
		case t.Pending == 0:
		case holds && !first && w.conn.Override != nil:
			f.Run.Override = true
			w.log.WarnContext(ctx, "removals pass the guard by an operator's leave", "kind", string(k), "objects", waiting)
			*v = job.Settle
		case !holds || first:
			*v = job.Settle
		case f.Plan != nil:
			*v = job.Wait // a plan never grows: these wait for the run after its decision
		default:
			w.log.WarnContext(ctx, "removals held", "kind", string(k), "objects", waiting, "active", t.Active, "maxCount", limit(guard, k), "maxPercent", guard.MaxPercent)
			*v = job.Hold
		}
	}
	w.tellPerson()
	w.advance()
	return nil // the next commit tells
}

// tellPerson adds to the steps of a run for one person what becomes of the
// removal that it has proposed.
func (w *worker) tellPerson() {
	r := &w.fence.Run
	n := len(r.Steps)
	if r.Trigger != job.Person || n == 0 || r.Steps[n-1].Result != "removalProposed" {
		return
	}
	s := job.Step{Name: "guard", Result: "passed", Detail: "The guard lets the removal pass: the person is archived."}
	switch w.fence.Verdict.People {
	case job.Hold:
		s.Result, s.Detail = "held", "The guard holds the removal with others that wait: a human decides."
	case job.Wait:
		s.Result, s.Detail = "waits", "The removal waits for a later run: a plan is not decided yet, or a scope group is in trouble."
	}
	r.Steps = append(slices.Clone(r.Steps), s)
}

// hold moves the removals that wait into a plan, and makes it immutable by its
// hash.
func (w *worker) hold(ctx context.Context) error {
	toHeld := func(context.Context, []string) (func(string) edit, error) {
		return func(string) edit { return func(l *directory.Life) { l.Held = true } }, nil
	}
	for _, k := range kinds {
		if *w.fence.Verdict.Of(k) != job.Hold {
			continue
		}
		list, _ := lists(k)
		if err := w.throughout(ctx, k, list, marks{from: directory.MarkPending, to: directory.MarkHeld}, toHeld, func() {}); err != nil {
			return err
		}
	}
	f := &w.fence
	sum, err := w.planHash(ctx)
	if err != nil {
		return err
	}
	if f.Holding() {
		f.Plan = &job.Plan{
			Hash: sum, Run: f.Run.ID, At: w.Now().UTC(), Count: f.Tally.Held, Active: f.Tally.Active,
			Teams: f.Teams.Held, Memberships: f.Memberships.Held,
		}
	}
	f.Verdict = job.Verdicts{}
	w.advance()
	return w.commit(ctx, directory.Batch{})
}

// planHash is of the held removals in order, and of the run, so that no two
// plans have the same.
func (w *worker) planHash(ctx context.Context) (string, error) {
	h := sha256.New()
	_, _ = h.Write([]byte(w.fence.Run.ID)) // never fails
	for _, k := range kinds {
		_, list := lists(k)
		for after := ""; ; {
			ids, err := w.Store.Listed(ctx, w.part, list, after, maxConfirm)
			if err != nil {
				return "", err
			}
			for _, id := range ids {
				_, _ = h.Write([]byte("\n" + id))
				if k != directory.Memberships {
					continue
				}
				rows, err := w.Store.Rosters(ctx, w.part, id)
				if err != nil {
					return "", err
				}
				for _, r := range rows {
					for _, m := range r.Members {
						if m.Marks == directory.MarkHeld {
							_, _ = h.Write(m.Key[:])
						}
					}
				}
			}
			if len(ids) < maxConfirm {
				break
			}
			after = ids[len(ids)-1]
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// refuse ends a decision on a plan that does not wait: it is unknown, or
// another decision was faster. Nothing is opened, and nobody archived.
func (w *worker) refuse(ctx context.Context, j job.Job) error {
	w.log.WarnContext(ctx, "decision on a plan that does not wait refused", "trigger", string(j.Trigger))
	r := w.ended(j, job.RunFailed)
	r.Plan = &job.Plan{Hash: j.Plan}
	r.Error, r.Code = "This plan of removals does not wait for a decision.", "plan_decided"
	r.Remedy = "It was decided before, or its people have returned. Read the connection's runs."
	return w.Connections.PutRun(ctx, w.conn.ID, r)
}

// decide does with the held plan what a human has decided: it archives those
// who have not returned, or keeps them. A plan may have waited for days, so
// that whoever is to be archived is asked for once more: some may be back, and
// no sync has seen it yet.
func (w *worker) decide(ctx context.Context) error {
	reject := w.fence.Run.Trigger == job.Reject
	if !reject && w.fence.Scope.Grouped {
		if err := w.checkGroups(ctx); err != nil {
			return err
		}
		if w.fence.Scope.Problem != nil { // whoever is now taken off the plan is judged by the next sync
			w.fence.Scope.Rejudge, w.fence.Scope.Swept = true, ""
		}
	}
	to := marks{from: directory.MarkHeld, ask: !reject}
	if reject {
		to.to = directory.MarkKept
	}
	for i, k := range kinds {
		_, list := lists(k)
		how := func(ctx context.Context, ids []string) (func(string) edit, error) {
			if reject {
				return func(string) edit {
					return func(l *directory.Life) { l.Pending, l.Held, l.Kept = "", false, true }
				}, nil
			}
			return w.stillGone(ctx, k, ids)
		}
		end := func() {}
		if i == len(kinds)-1 {
			end = w.advance
		}
		if err := w.throughout(ctx, k, list, to, how, end); err != nil {
			return err
		}
	}
	return nil
}

// stillGone archives those of the IDs who are gone, or out of scope, by what
// Microsoft says now, and takes the others off the plan: the next sync brings
// them up to date.
func (w *worker) stillGone(ctx context.Context, k directory.Kind, ids []string) (func(string) edit, error) {
	found, err := w.Graph.Existing(ctx, w.conn.Access(), k, ids)
	if err != nil {
		return nil, err
	}
	exists := make(map[string]bool, len(found))
	for _, id := range found {
		exists[id] = true
	}
	left := make(map[string]bool)
	if k == directory.People && w.fence.Scope.Grouped {
		if left, err = w.confirmLeft(ctx, found); err != nil {
			return nil, err
		}
	}
	gone := archive(w.Now().UTC())
	wanted := w.wantsMore(k)
	return func(id string) edit {
		return func(l *directory.Life) {
			back := exists[id] && !left[id]
			if l.Pending == directory.OutOfScope && !(k == directory.People && w.fence.Scope.Grouped) {
				back = exists[id] && wanted // they were in the tenant all the time
			}
			if back {
				l.Pending, l.Held = "", false
				return
			}
			gone(l)
		}
	}, nil
}

// wantsMore reports whether the settings have been changed, since a sync has
// last applied them, so that they may choose who was out of scope.
func (w *worker) wantsMore(k directory.Kind) bool {
	s, c := &w.fence.Scope, &w.chosen
	if k == directory.Teams {
		return w.fence.Groups.Hash != w.groupsHash() && w.groupsWanted()
	}
	return s.NoGuests && c.Guests || s.NoDisabled && c.Disabled || s.Grouped && len(c.Groups) == 0
}
