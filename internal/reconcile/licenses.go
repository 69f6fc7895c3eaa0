package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// licenses compares what the tenant has bought with what is stored of it. An
// empty answer archives nothing: no tenant loses all of its licenses at once.
func (w *worker) licenses(ctx context.Context) error {
	bought, err := w.Graph.Licenses(ctx, w.conn.Access())
	if err != nil {
		return err
	}
	stored, err := w.Store.Licenses(ctx, w.part)
	if err != nil {
		return err
	}
	todo := w.relicense(stored, bought)
	for len(todo) > directory.MaxRows {
		if err := w.commit(ctx, w.licenseBatch(todo[:directory.MaxRows])); err != nil {
			return err
		}
		todo = todo[directory.MaxRows:]
	}
	batch := w.licenseBatch(todo)
	w.advance()
	if len(todo) == 0 {
		return nil
	}
	return w.commit(ctx, batch)
}

// licensed is a license as it was stored and as it will be.
type licensed struct {
	prior *directory.LicenseRecord // nil if not stored
	next  directory.LicenseRecord
}

// relicense returns what differs, in the order of the IDs. Of two entries of
// one license, the last holds.
func (w *worker) relicense(stored []directory.LicenseRecord, bought []directory.License) (todo []licensed) {
	all := make(map[string]licensed, len(stored)+len(bought))
	active := 0
	for i := range stored {
		l := licensed{prior: &stored[i], next: stored[i]}
		if l.next.Active() {
			active++
			if len(bought) > 0 {
				l.next.Archived, l.next.Reason = w.Now().UTC(), directory.Missing
			}
		}
		all[l.next.ID] = l
	}
	for _, b := range bought {
		l := all[b.ID]
		l.next = directory.LicenseRecord{License: b}
		if l.prior != nil {
			l.next.Created, l.next.Changed = l.prior.Created, l.prior.Changed
		}
		all[b.ID] = l
	}
	if len(bought) == 0 && active > 0 {
		w.note(job.Skipped{
			What: "licenses", Code: emptyAnswer,
			Message: fmt.Sprintf("Microsoft listed no license at all, and %d are stored. What is stored of them stays as it is.", active),
			Remedy:  "Wait for the next sync. If this stays, ask the customer whether they have any license left.",
		})
	}
	for _, l := range all {
		if directory.CompareLicenses(l.prior, &l.next) != nil {
			todo = append(todo, l)
		}
	}
	slices.SortFunc(todo, func(a, b licensed) int { return strings.Compare(a.next.ID, b.next.ID) })
	return todo
}

// emptyAnswer is the code of what was left out because Microsoft listed
// nothing where something is stored.
const emptyAnswer = "empty_answer"

// licenseBatch turns differences into rows and numbered changes.
func (w *worker) licenseBatch(todo []licensed) (batch directory.Batch) {
	for _, l := range todo {
		c := directory.CompareLicenses(l.prior, &l.next)
		if l.prior == nil {
			l.next.Created = w.Now().UTC()
		} else if w.previewing() {
			c.Was = directory.CompareLicenses(&l.next, l.prior).Set
		}
		l.next.Changed = w.tell(&batch, c)
		batch.Licenses = append(batch.Licenses, l.next)
	}
	return batch
}
