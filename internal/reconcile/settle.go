package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

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
		err := w.throughout(ctx, k, list, marks{from: directory.MarkPending}, how, func() {
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
// or end with 0. If ask is set, those that Microsoft holds again lose the mark.
type marks struct {
	from, to directory.Marks
	ask      bool
}

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
		var back map[[16]byte]bool
		if m.ask {
			if back, err = w.membersAgain(ctx, e, m.from); err != nil {
				return err
			}
		}
		b.settleMarks(e, m.from, m.to, back)
		e.settled = append(e.settled, list)
		if err := b.room(ctx); err != nil {
			return err
		}
	}
	return b.commit(ctx, end)
}

// maxMemberOf is how many members of a team are asked for one by one, twenty a
// call; of more, the team's whole list comes faster.
const maxMemberOf = 200

// membersAgain returns those of the team's memberships with the mark that
// Microsoft holds, by what it says now.
func (w *worker) membersAgain(ctx context.Context, e *teamEntry, mark directory.Marks) (map[[16]byte]bool, error) {
	var marked []string
	for _, r := range e.rosters {
		for _, m := range r.Members {
			if m.Marks == mark {
				marked = append(marked, uuid.UUID(m.Key).String())
			}
		}
	}
	back := make(map[[16]byte]bool)
	note := func(id string) {
		if k, ok := directory.Key(id); ok {
			back[k] = true
		}
	}
	if len(marked) <= maxMemberOf {
		groups, err := w.Graph.MemberOf(ctx, w.conn.Access(), marked)
		if err != nil {
			return nil, err
		}
		for id, teams := range groups {
			if slices.Contains(teams, e.next.ID) {
				note(id)
			}
		}
		return back, nil
	}
	for link := ""; ; {
		p, err := w.Graph.Members(ctx, w.conn.Access(), e.next.ID, link)
		if fault.Is(err, fault.NotFound) && link == "" {
			return back, nil // of a team that is gone nobody is a member
		}
		if err != nil {
			return nil, err
		}
		for _, id := range p.IDs {
			note(id)
		}
		if link = p.Next; link == "" {
			return back, nil
		}
	}
}
