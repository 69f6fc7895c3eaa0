package reconcile

import (
	"context"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxConfirm is how many IDs one call confirms.
	maxConfirm = 1000
	// maxTold is how many of the missing Microsoft is asked for how they went;
	// it takes a twentieth of a call each.
	maxTold = 200
)

// sweep looks for stored people who were not in a complete enumeration. None
// of them is taken for gone before Graph says, asked for that very ID, that
// it holds no such user.
func (w *worker) sweep(ctx context.Context) error {
	seen, err := w.Store.Seen(ctx, w.part, w.fence.People.Enum)
	if err != nil {
		return err
	}
	b := newBatcher(w)
	after := w.fence.People.Swept // where an earlier slice stopped
	for {
		page, next, err := w.Store.People(ctx, w.part, after, maxConfirm)
		if err != nil {
			return err
		}
		var missing []directory.Record
		for _, r := range page {
			k, ok := directory.Key(r.ID)
			if _, found := seen[k]; ok && !found && r.Removable() {
				missing = append(missing, r)
			}
		}
		if err := w.confirm(ctx, b, missing); err != nil {
			return err
		}
		if next == "" {
			break
		}
		if w.spent() {
			if err := b.commit(ctx, func(f *job.Fence) { f.People.Swept = next }); err != nil {
				return err
			}
			return errBudget
		}
		after = next
	}
	return b.commit(ctx, func(f *job.Fence) {
		f.People.Swept, f.People.Enum, f.People.Fresh, f.People.Why = "", "", false, ""
		f.People.FullAt = f.People.DeltaAt
		w.advance()
	})
}

// everybody calls each with one stored person after the other.
func (w *worker) everybody(ctx context.Context, each func(*directory.Record)) error {
	for after := ""; ; {
		page, next, err := w.Store.People(ctx, w.part, after, maxConfirm)
		if err != nil {
			return err
		}
		for i := range page {
			each(&page[i])
		}
		if after = next; after == "" {
			return nil
		}
	}
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
	found, err := w.Graph.Existing(ctx, w.conn.Access(), directory.People, ids)
	if err != nil {
		return err
	}
	exists := make(map[string]bool, len(found))
	for _, id := range found {
		exists[id] = true
	}
	w.log.InfoContext(ctx, "people not in the enumeration", "objects", len(missing), "exist", len(found))
	var gone []string
	for _, id := range ids {
		if !exists[id] {
			gone = append(gone, id)
		}
	}
	why, err := w.howGone(ctx, gone)
	if err != nil {
		return err
	}
	for _, r := range missing {
		if exists[r.ID] {
			continue
		}
		f := &folded{entry: entry{prior: &r, next: r}}
		f.next.Pending = why(r.ID)
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// howGone tells those who can be restored from those who are gone for good. It
// is a courtesy to the reader: where Microsoft does not tell, they are missing.
func (w *worker) howGone(ctx context.Context, ids []string) (func(id string) directory.Reason, error) {
	missing := func(string) directory.Reason { return directory.Missing }
	if len(ids) == 0 || len(ids) > maxTold {
		return missing, nil
	}
	restorable, err := w.Graph.DeletedPeople(ctx, w.conn.Access(), ids)
	switch {
	case denied(err):
		return missing, nil
	case err != nil:
		return nil, err
	}
	return func(id string) directory.Reason {
		can, told := restorable[id]
		switch {
		case !told:
			return directory.Missing
		case can:
			return directory.SoftDeleted
		default:
			return directory.Deleted
		}
	}, nil
}

// tidy drops the rows of IDs seen and of scopes that nobody needs any more.
func (w *worker) tidy(ctx context.Context) error {
	for {
		rows, err := w.Store.SeenRows(ctx, w.part, directory.MaxRows)
		if err != nil {
			return err
		}
		if len(rows) < directory.MaxRows {
			more, err := w.Store.ScopeRows(ctx, w.part, w.fence.Scope.Set, directory.MaxRows-len(rows))
			if err != nil {
				return err
			}
			rows = append(rows, more...)
		}
		last := len(rows) < directory.MaxRows
		if last {
			w.fence.Untidy = false
			w.advance()
		}
		if err := w.commit(ctx, directory.Batch{DropSeen: rows}); err != nil {
			return err
		}
		if last {
			return nil
		}
		if w.spent() {
			return errBudget
		}
	}
}
