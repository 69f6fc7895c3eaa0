package reconcile

import (
	"context"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxConfirm is how many IDs one call confirms.
	maxConfirm = 1000
	// maxSettle is how many waiting removals are read at a time: no more than
	// a batch has room for, whatever becomes of them.
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
	for {
		ids, err := w.People.Pending(ctx, w.conn.ID, maxSettle)
		if err != nil {
			return err
		}
		stored, err := w.People.Records(ctx, w.conn.ID, ids)
		if err != nil {
			return err
		}
		b := newBatcher(w)
		for _, id := range ids {
			r, ok := stored[id]
			if !ok || r.Pending == "" || r.Held {
				// The two rows are written together, so this one has no meaning.
				b.unpend = append(b.unpend, id)
				continue
			}
			f := &folded{entry: entry{prior: &r, next: r}}
			f.next.Archived, f.next.Reason, f.next.Pending = w.Now().UTC(), r.Pending, ""
			if err := b.add(ctx, f); err != nil {
				return err
			}
		}
		if len(ids) < maxSettle {
			return b.commit(ctx, func(f *job.Fence) {
				f.Pending = 0
				w.finish(f)
			})
		}
		if err := b.flush(ctx); err != nil {
			return err
		}
		if w.Now().After(w.until) {
			return errBudget
		}
	}
}
