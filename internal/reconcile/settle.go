package reconcile

import (
	"context"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// maxConfirm is how many IDs one call confirms.
	maxConfirm = 1000
	// maxSettle is how many waiting removals are read at a time.
	maxSettle = directory.MaxRows
)

// sweep looks for stored people who were not in a complete enumeration. None
// of them is taken for gone before Graph says, asked for that very ID, that
// it holds no such user.
func (w *worker) sweep(ctx context.Context) error {
	seen, err := w.People.Seen(ctx, w.conn.ID, w.fence.People.Enum)
	if err != nil {
		return err
	}
	b := newBatcher(w)
	after := w.fence.People.Swept // where an earlier slice stopped
	for {
		page, next, err := w.People.People(ctx, w.conn.ID, after, maxConfirm)
		if err != nil {
			return err
		}
		var missing []directory.Record
		for _, r := range page {
			k, ok := directory.Key(r.ID)
			if _, found := seen[k]; ok && !found && r.Active() && r.Pending == "" && !r.Kept {
				missing = append(missing, r)
			}
		}
		if err := w.confirm(ctx, b, missing); err != nil {
			return err
		}
		if next == "" {
			break
		}
		if w.Now().After(w.until) {
			if err := b.commit(ctx, func(f *job.Fence) { f.People.Swept = next }); err != nil {
				return err
			}
			return errBudget
		}
		after = next
	}
	return b.commit(ctx, func(f *job.Fence) {
		f.People.Swept, f.People.Enum, f.People.Fresh = "", "", false
		f.Run.Phase = phaseTidy
	})
}

// confirm marks those of the missing as pending whom Graph does not hold.
func (w *worker) confirm(ctx context.Context, b *batcher, missing []directory.Record) error {
	if len(missing) == 0 {
		return nil
	}
	ids := make([]string, len(missing))
	for i, r := range missing {
		ids[i] = r.ID
	}
	w.fence.Run.GraphCalls++
	found, err := w.Graph.Existing(ctx, w.conn.Tenant, ids)
	if err != nil {
		return err
	}
	exists := make(map[string]bool, len(found))
	for _, id := range found {
		exists[id] = true
	}
	w.log.InfoContext(ctx, "people not in the enumeration", "objects", len(missing), "exist", len(found))
	for _, r := range missing {
		if exists[r.ID] {
			continue
		}
		f := &folded{entry: entry{prior: &r, next: r}}
		f.next.Pending = directory.Missing
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// tidy drops the IDs seen, of this enumeration and of any that did not finish.
func (w *worker) tidy(ctx context.Context) error {
	for {
		rows, err := w.State.SeenRows(ctx, w.conn.ID, directory.MaxRows)
		if err != nil {
			return err
		}
		last := len(rows) < directory.MaxRows
		if last {
			w.settleOrEnd(&w.fence)
		}
		if err := w.commit(ctx, directory.Batch{DropSeen: rows}); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// settle archives the people whose removal waits.
func (w *worker) settle(ctx context.Context) error {
	change := archive(w.Now().UTC())
	return w.throughout(ctx, w.pendingPage, func(context.Context, []string) (edit, error) { return change, nil })
}

// edit changes a record.
type edit func(*directory.Record)

// editing says how to change the records of one page of IDs.
type editing func(ctx context.Context, ids []string) (edit, error)

// archive is the change of a record whose removal takes effect.
func archive(now time.Time) edit {
	return func(r *directory.Record) {
		r.Archived, r.Reason, r.Pending, r.Held = now, r.Pending, "", false
	}
}

// throughout changes the records of all listed removals, page by page, and
// ends the run with the last.
func (w *worker) throughout(ctx context.Context, page func(context.Context) ([]string, error), how editing) error {
	for w.fence.Run.Phase != phaseDone {
		if _, err := w.each(ctx, page, how, w.finish); err != nil {
			return err
		}
		if w.fence.Run.Phase != phaseDone && w.Now().After(w.until) {
			return errBudget
		}
	}
	return nil
}

// each changes the records of one page of listed removals, which takes them
// off that list, and commits; the last page together with last, if there is
// one. It returns how many were on the page.
func (w *worker) each(ctx context.Context, page func(context.Context) ([]string, error), how editing, last func(*job.Fence)) (int, error) {
	ids, err := page(ctx)
	if err != nil {
		return 0, err
	}
	stored, err := w.People.Records(ctx, w.conn.ID, ids)
	if err != nil {
		return 0, err
	}
	change, err := how(ctx, ids)
	if err != nil {
		return 0, err
	}
	b := newBatcher(w)
	for _, id := range ids {
		r, ok := stored[id]
		if !ok || r.Pending == "" { // the two rows are written together
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

func (w *worker) pendingPage(ctx context.Context) ([]string, error) {
	return w.People.Pending(ctx, w.conn.ID, maxSettle)
}

func (w *worker) heldPage(ctx context.Context) ([]string, error) {
	return w.People.Held(ctx, w.conn.ID, "", maxSettle)
}
