package reconcile

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"

	"github.com/google/uuid"

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

// maxMissing is how many of the missing are looked at between two looks at the
// clock. Tests make it smaller.
var maxMissing = maxConfirm

// sweep looks for stored people who were not in a complete enumeration. None
// of them is taken for gone before Graph says, asked for that very ID, that
// it holds no such user.
func (w *worker) sweep(ctx context.Context) error {
	unseen, err := w.unseen(ctx)
	if err != nil {
		return err
	}
	b := newBatcher(w)
	for missing, err := range w.missing(ctx, unseen, w.fence.People.Swept) { // where an earlier slice stopped
		if err != nil {
			return err
		}
		if err := w.confirm(ctx, b, missing); err != nil {
			return err
		}
		if w.spent() {
			last := missing[len(missing)-1].ID
			if err := b.commit(ctx, func(f *job.Fence) { f.People.Swept = last }); err != nil {
				return err
			}
			return errBudget
		}
	}
	return b.commit(ctx, func(f *job.Fence) {
		f.People.Swept, f.People.Enum, f.People.Fresh, f.People.Why = "", "", false, ""
		f.People.FullAt = f.People.DeltaAt
		w.advance()
	})
}

// unseen are those stored, active and without a removal that waits, whom the
// enumeration has not come across.
func (w *worker) unseen(ctx context.Context) ([]directory.Indexed, error) {
	x, err := w.everyone(ctx)
	if err != nil {
		return nil, err
	}
	// The bit of those seen is taken, so that the whole takes no more room.
	err = w.Store.Seen(ctx, w.part, w.fence.People.Enum, func(key [16]byte) {
		if at, ok := x.find(key); ok {
			x.base[at].Mark &^= directory.MarkPlain
		}
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(x.base, func(e directory.Indexed) bool { return e.Mark&directory.MarkPlain == 0 }), nil
}

// missing yields the records of those of the people after the ID whose removal
// may be proposed, at most [maxMissing] at a time and in order, and an error
// last.
func (w *worker) missing(ctx context.Context, people []directory.Indexed, after string) iter.Seq2[[]directory.Record, error] {
	return func(yield func([]directory.Record, error) bool) {
		for chunk := range slices.Chunk(people, maxMissing) {
			var ids []string
			for _, e := range chunk {
				if id := uuid.UUID(e.Key).String(); id > after {
					ids = append(ids, id)
				}
			}
			stored, err := w.Store.Records(ctx, w.part, ids)
			if err != nil {
				yield(nil, err)
				return
			}
			var rs []directory.Record
			for _, id := range ids {
				if r, ok := stored[id]; ok && r.Removable() {
					rs = append(rs, r)
				}
			}
			if len(rs) > 0 && !yield(rs, nil) {
				return
			}
		}
	}
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

// tidy drops the rows of IDs seen, of scopes, of the index and of places that
// nobody needs any more.
func (w *worker) tidy(ctx context.Context) error {
	x := w.fence.Index
	before := cmp.Or(x.From, x.Next, math.MaxInt64) // without an index, all of its rows
	sources := []func(limit int) ([]string, error){
		func(n int) ([]string, error) { return w.Store.SeenRows(ctx, w.part, n) },
		func(n int) ([]string, error) { return w.Store.ScopeRows(ctx, w.part, w.fence.Scope.Set, n) },
		func(n int) ([]string, error) { return w.Store.IndexRows(ctx, w.part, before, n) },
		func(n int) ([]string, error) { return w.Store.ShardRows(ctx, w.part, n) },
	}
	for {
		var rows []string
		for _, source := range sources {
			if len(rows) == directory.MaxRows {
				break
			}
			more, err := source(directory.MaxRows - len(rows))
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
