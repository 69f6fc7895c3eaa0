package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxExpire is how many people are purged together: their records go in
	// one transaction, with the change of each in one row.
	maxExpire = 60
	// maxExpired bounds how many a run purges, so that a limit that is newly set
	// takes a few days of a customer who has archived many.
	maxExpired = 20 * maxExpire
	// expireEvery is the least time between two looks for such people.
	expireEvery = 24 * time.Hour
)

// expireDue: somebody may have been archived for longer than they are kept.
// The last look says since when nobody was, so that most runs need none.
func (w *worker) expireDue() bool {
	f, now := &w.fence, w.Now()
	x := &f.Expiry
	switch {
	case w.ArchivedMaxAge <= 0 || !w.syncs() || w.previewing() || f.Stored == f.Active:
		return false
	case x.Swept != "":
		return true
	default:
		return now.Sub(x.At) >= expireEvery && now.Sub(x.Oldest) > w.ArchivedMaxAge
	}
}

// expire purges the people who were archived too long ago, group by group, in
// the order of their IDs. They are not on the list of those who are never
// stored again: who comes back is new.
func (w *worker) expire(ctx context.Context) error {
	x := &w.fence.Expiry
	if x.Swept == "" {
		x.Least = w.Now().UTC() // whoever is archived from now on has time
	}
	for {
		if err := w.expireGroup(ctx); err != nil { // one that a slice before has begun
			return err
		}
		page, next, err := w.Store.People(ctx, w.part, x.Swept, maxConfirm)
		if err != nil {
			return err
		}
		due := w.expired(page)
		switch {
		case len(due) > 0 && w.fence.Run.Purged >= maxExpired: // the next run goes on
			x.Swept, x.At, x.Oldest = "", time.Time{}, time.Time{}
			w.advance()
			return nil
		case len(due) > 0:
			if err := w.beginExpiry(ctx, due); err != nil {
				return err
			}
			continue
		case next == "":
			x.At, x.Oldest, x.Swept, x.Least = w.Now().UTC(), x.Least, "", time.Time{}
			w.advance()
			return nil
		}
		if x.Swept = next; w.spent() {
			if err := w.commit(ctx, directory.Batch{}); err != nil {
				return err
			}
			return errBudget
		}
	}
}

// expired returns some of the people who were archived too long ago, and notes
// when the first of the others was.
func (w *worker) expired(page []directory.Record) (due []directory.Record) {
	x, now := &w.fence.Expiry, w.Now()
	for i := range page {
		switch r := &page[i]; {
		case r.Active():
		case now.Sub(r.Archived) > w.ArchivedMaxAge:
			if len(due) < maxExpire {
				due = append(due, *r)
			}
		case r.Archived.Before(x.Least):
			x.Least = r.Archived
		}
	}
	return due
}

// beginExpiry fixes who is purged, and which mailboxes with them. From here on
// nothing else is done for the connection before it is done: until then the
// feed tells less of them than is stored.
func (w *worker) beginExpiry(ctx context.Context, due []directory.Record) error {
	ids := make([]string, len(due))
	boxes := make(map[string]struct{})
	for i := range due {
		ids[i] = due[i].ID
		if upn := due[i].UserPrincipalName; upn != "" {
			boxes[directory.MailboxID(upn)] = struct{}{}
		}
	}
	p, err := newPurge(w, ids...)
	if err != nil {
		return err
	}
	if err := p.mailboxIDs(ctx, boxes); err != nil {
		return err
	}
	stored, err := w.storedMailboxes(ctx, slices.Sorted(maps.Keys(boxes)))
	if err != nil {
		return err
	}
	if len(stored) > 0 { // a name may have passed to somebody who is here
		err := w.everybody(ctx, func(r *directory.Record) {
			if r.Active() && r.UserPrincipalName != "" {
				delete(stored, directory.MailboxID(r.UserPrincipalName))
			}
		})
		if err != nil {
			return err
		}
	}
	w.fence.Expiry.People, w.fence.Expiry.Mailboxes = ids, slices.Sorted(maps.Keys(stored))
	w.fence.Erasing = job.Fold{}
	return w.commit(ctx, directory.Batch{})
}

func (w *worker) storedMailboxes(ctx context.Context, ids []string) (map[string]directory.MailboxRecord, error) {
	all := make(map[string]directory.MailboxRecord)
	for chunk := range slices.Chunk(ids, directory.MaxRows) {
		stored, err := w.Store.MailboxRecords(ctx, w.part, chunk)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, stored)
	}
	return all, nil
}

// finishExpiry ends what a run before has begun and not ended, before anything
// else can bring one of those people back.
func (w *worker) finishExpiry(ctx context.Context) error {
	if err := w.expireGroup(ctx); err != nil {
		return err
	}
	w.advance()
	return nil
}

// expireGroup purges the people who were chosen: what the feed tells of them,
// their memberships, their mailboxes, and last their records, each of which is
// told as erased.
func (w *worker) expireGroup(ctx context.Context) error {
	x := &w.fence.Expiry
	if len(x.People) == 0 {
		return nil
	}
	if err := w.dropPreview(ctx, "People archived long ago were purged, and the preview with them.", "purge"); err != nil {
		return err
	}
	p, err := newPurge(w, x.People...)
	if err != nil {
		return err
	}
	for _, id := range x.Mailboxes {
		p.gone[id] = true
	}
	for _, from := range []func(context.Context) error{p.changes, p.rosters, p.mailboxes} {
		if err := from(ctx); err != nil {
			return err
		}
	}
	return p.records(ctx)
}

// mailboxes deletes those of the people's mailboxes that are stored. One that
// the newest report names is stored anew when that is read again.
func (p *purge) mailboxes(ctx context.Context) error {
	stored, err := p.storedMailboxes(ctx, p.fence.Expiry.Mailboxes)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(stored)), directory.MaxRows) {
		for _, id := range chunk {
			if m := stored[id]; m.Active() {
				cur := &p.fence.Mailboxes
				cur.Done, cur.Typed, cur.Swept = "", "", ""
			}
		}
		if err := p.commit(ctx, directory.Batch{EraseMailboxes: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// records deletes the people's records and tells of it, in one transaction.
func (p *purge) records(ctx context.Context) error {
	f := &p.fence
	stored, err := p.Store.Records(ctx, p.part, f.Expiry.People)
	if err != nil {
		return err
	}
	var batch directory.Batch
	counted := f.Positions.Through == f.LastChange
	for _, id := range f.Expiry.People {
		if _, ok := stored[id]; ok {
			batch.Erase = append(batch.Erase, id)
			p.tell(&batch, &directory.Change{Type: directory.Erased, ID: id})
		}
	}
	if counted { // who is archived holds no position
		f.Positions.Through = f.LastChange
	}
	f.Stored -= len(batch.Erase)
	f.Run.Purged += len(batch.Erase)
	f.Expiry.People, f.Expiry.Mailboxes = nil, nil
	f.Erasing = job.Fold{}
	f.Index, f.Untidy = job.Index{}, true // its rows tell of them
	return p.commit(ctx, batch)
}
