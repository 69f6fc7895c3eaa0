package reconcile

import (
	"context"

	"rollcall/internal/directory"
)

// judgeScope proposes the removal of those stored people whom the settings do
// not choose any more. Who is in no scope group, as far as the list of their
// members tells, is asked for first.
func (w *worker) judgeScope(ctx context.Context, b *batcher, rs []directory.Record) error {
	var ask []string
	out := make(map[string]bool)
	for i := range rs {
		switch r := &rs[i]; {
		case !r.Removable():
		case !w.chosenBySettings(&r.Person):
			out[r.ID] = true
		case !w.inGroups(r.ID):
			ask = append(ask, r.ID)
		}
	}
	left, err := w.confirmLeft(ctx, ask)
	if err != nil {
		return err
	}
	for i := range rs {
		r := &rs[i]
		if !out[r.ID] && !left[r.ID] {
			continue
		}
		f := &folded{entry: entry{prior: r, next: *r}}
		f.next.Pending = directory.OutOfScope
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// confirmLeft returns those of the people who are in the tenant and in none of
// the scope groups, as Microsoft says of each. While a group is gone, forbidden
// or empty nobody has left.
func (w *worker) confirmLeft(ctx context.Context, ids []string) (map[string]bool, error) {
	left := make(map[string]bool)
	if len(ids) == 0 || w.fence.Scope.Problem != nil || len(w.chosen.Groups) == 0 {
		return left, nil
	}
	in, err := w.Graph.InGroups(ctx, w.conn.Access(), ids, w.chosen.Groups)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if is, known := in[id]; known && !is {
			left[id] = true
		}
	}
	return left, nil
}

// scope settles those of a page who are in no scope group, as far as the list
// of their members tells.
func (b *batcher) scope(ctx context.Context, people []*folded) error {
	var ask []string
	for _, f := range people {
		if f.unsure != nil && !f.next.Held && !f.next.Kept {
			ask = append(ask, f.next.ID)
		}
	}
	left, err := b.w.confirmLeft(ctx, ask)
	if err != nil {
		return err
	}
	for _, f := range people {
		if f.unsure == nil {
			continue
		}
		current := f.next
		switch {
		case left[current.ID] || current.Held || current.Kept:
			f.leave(&current, *f.unsure, directory.OutOfScope)
		default:
			f.merge(&current, *f.unsure)
		}
	}
	return nil
}

// rejudge proposes the removal of everybody stored whom settings that have
// become narrower do not choose any more.
func (w *worker) rejudge(ctx context.Context) error {
	s := &w.fence.Scope
	if s.Problem != nil && s.Grouped { // nobody can be judged: the next run does it
		w.advance()
		return nil
	}
	for {
		page, next, err := w.Store.People(ctx, w.part, s.Swept, maxConfirm)
		if err != nil {
			return err
		}
		b := newBatcher(w)
		if err := w.judgeScope(ctx, b, page); err != nil {
			return err
		}
		if err := b.flush(ctx); err != nil {
			return err
		}
		if s.Swept = next; next == "" {
			s.Rejudge = false
			w.advance()
			return nil
		}
		if w.spent() {
			if err := w.commit(ctx, directory.Batch{}); err != nil {
				return err
			}
			return errBudget
		}
	}
}
