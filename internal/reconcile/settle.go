package reconcile

import (
	"context"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// maxSettle is how many waiting removals are read at a time.
const maxSettle = directory.MaxRows

// kinds are those whose removals wait, in the order in which they are done.
var kinds = []directory.Kind{directory.People, directory.Teams, directory.Memberships}

// lists are where the removals of a kind wait: for the end of the run, and for
// a human.
func lists(k directory.Kind) (pending, held directory.List) {
	switch k {
	case directory.Teams:
		return directory.PendingTeams, directory.HeldTeams
	case directory.Memberships:
		return directory.PendingMemberships, directory.HeldMemberships
	default:
		return directory.PendingPeople, directory.HeldPeople
	}
}

// edit changes what is stored of a person or team beside what Microsoft says.
type edit func(*directory.Life)

// archive is the change of a record whose removal takes effect.
func archive(now time.Time) edit {
	return func(l *directory.Life) {
		l.Archived, l.Reason, l.Pending, l.Held = now, l.Pending, "", false
	}
}

// settle does the removals that may go without a human.
func (w *worker) settle(ctx context.Context) error {
	gone := archive(w.Now().UTC())
	how := func(context.Context, []string) (func(string) edit, error) {
		return func(string) edit { return gone }, nil
	}
	for _, k := range kinds {
		if *w.fence.Verdict.Of(k) != job.Settle {
			continue
		}
		list, _ := lists(k)
		err := w.throughout(ctx, k, list, marks{directory.MarkPending, 0}, how, func() {
			if *w.fence.Verdict.Of(k) = ""; !w.fence.Verdict.Any(job.Settle) {
				w.advance()
			}
		})
		if err != nil {
			return err
		}
	}
	if w.fence.Run.Phase == "settle" && !w.fence.Verdict.Any(job.Settle) {
		w.advance() // the verdict is of a build that wrote none: the next run judges
	}
	return nil
}

// marks says what becomes of memberships that bear one mark: they get another,
// or end with 0.
type marks struct{ from, to directory.Marks }

// judging says how to change each record of one page of IDs.
type judging func(ctx context.Context, ids []string) (func(id string) edit, error)

// throughout changes everything of a kind that is on a list, page by page,
// which takes it off that list; then is done to the fence with the last page.
func (w *worker) throughout(ctx context.Context, k directory.Kind, list directory.List, m marks, how judging, then func()) error {
	for {
		ids, err := w.Store.Listed(ctx, w.part, list, "", maxSettle)
		if err != nil {
			return err
		}
		last := len(ids) < maxSettle
		end := func() {}
		if last {
			end = then
		}
		switch {
		case len(ids) == 0:
			end() // the next commit tells
		case k == directory.Memberships:
			err = w.eachRoster(ctx, ids, list, m, end)
		case k == directory.Teams:
			err = w.eachTeam(ctx, ids, how, end)
		default:
			err = w.eachPerson(ctx, ids, how, end)
		}
		if err != nil || last {
			return err
		}
		if w.spent() {
			return errBudget
		}
	}
}

func (w *worker) eachPerson(ctx context.Context, ids []string, how judging, end func()) error {
	stored, err := w.Store.Records(ctx, w.part, ids)
	if err != nil {
		return err
	}
	change, err := how(ctx, ids)
	if err != nil {
		return err
	}
	b := newBatcher(w)
	for _, id := range ids {
		r, ok := stored[id]
		if !ok || r.Pending == "" { // the two rows are written together
			return fault.New(fault.Invalid, "a removal of %s is listed, and the record knows of none", id)
		}
		f := &folded{entry: entry{prior: &r, next: r}}
		change(id)(&f.next.Life)
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	return b.commit(ctx, func(*job.Fence) { end() })
}

func (w *worker) eachTeam(ctx context.Context, ids []string, how judging, end func()) error {
	stored, err := w.Store.TeamRecords(ctx, w.part, ids)
	if err != nil {
		return err
	}
	change, err := how(ctx, ids)
	if err != nil {
		return err
	}
	b := newTeamBatch(w)
	for _, id := range ids {
		r, ok := stored[id]
		if !ok || r.Pending == "" {
			return fault.New(fault.Invalid, "a removal of team %s is listed, and the record knows of none", id)
		}
		e := b.put(&r)
		change(id)(&e.next.Life)
		b.touch(e)
		if err := b.room(ctx); err != nil {
			return err
		}
	}
	return b.commit(ctx, end)
}

func (w *worker) eachRoster(ctx context.Context, teams []string, list directory.List, m marks, end func()) error {
	b := newTeamBatch(w)
	for _, id := range teams {
		e, err := b.entry(ctx, id)
		if err != nil {
			return err
		}
		if e.next.ID == "" {
			return fault.New(fault.Invalid, "memberships of team %s wait, and there is no such team", id)
		}
		if err := b.load(ctx, e); err != nil {
			return err
		}
		b.settleMarks(e, m.from, m.to)
		e.settled = append(e.settled, list)
		if err := b.room(ctx); err != nil {
			return err
		}
	}
	return b.commit(ctx, end)
}
