package reconcile

import (
	"context"
	"fmt"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxMailboxes is how many stored mailboxes are read at a time.
	maxMailboxes = 500
	// maxAsk is how many mailboxes are asked for their purpose at a time: four
	// calls of $batch, and one transaction.
	maxAsk = 80
	// fewMailboxes is below which any number of them may be gone at once.
	fewMailboxes = 20
)

// mailboxes reads the newest usage report once, from where an earlier slice
// stopped, and looks for stored mailboxes that it does not name.
func (w *worker) mailboxes(ctx context.Context) error {
	u := &usage{worker: w, named: make(map[[16]byte]struct{})}
	// Who has come to the directory has a mailbox in a report that was read
	// without them.
	r, cur := &w.fence.Run, &w.fence.Mailboxes
	if u.choosy() && r.Created+r.Reactivated > 0 && cur.Reading == "" {
		cur.Done, cur.Typed, cur.Swept = "", "", ""
	}
	err := w.Graph.Mailboxes(ctx, w.conn.Access(), func(date string, page []directory.Mailbox) (bool, error) {
		return u.page(ctx, date, page)
	})
	if err != nil {
		return err
	}
	if u.cut {
		return errBudget
	}
	if !u.known {
		if err := u.sweep(ctx); err != nil {
			return err
		}
	}
	if w.chosen.MailboxTypes {
		if err := w.mailboxTypes(ctx); err != nil {
			return err
		}
	}
	w.advance()
	return nil
}

// usage is one reading of the report. Every slice reads it from its first row,
// which a download has to do anyway: so whoever is missing is missing in one
// and the same download, and what an interrupted one named need not be stored.
type usage struct {
	*worker
	named map[[16]byte]struct{}
	rows  int
	pages int
	known bool // the report was read to its end before
	cut   bool // the slice's time is up
	// owned are the mailboxes of the people stored, nil if everybody's are
	// wanted.
	owned map[[16]byte]struct{}
}

// choosy reports whether the settings do not choose everybody.
func (u *usage) choosy() bool {
	s := &u.fence.Scope
	return s.Grouped || s.NoGuests || s.NoDisabled
}

// owners reads whose mailboxes are wanted, if the settings do not choose
// everybody.
func (u *usage) owners(ctx context.Context) error {
	if u.owned != nil || !u.choosy() {
		return nil
	}
	u.owned = make(map[[16]byte]struct{})
	return u.everybody(ctx, func(p *directory.Record) {
		if p.Active() && p.UserPrincipalName != "" {
			key, _ := directory.Key(directory.MailboxID(p.UserPrincipalName))
			u.owned[key] = struct{}{}
		}
	})
}

// wanted reports whether the settings choose the mailbox.
func (u *usage) wanted(key [16]byte) bool {
	_, ok := u.owned[key]
	return ok || u.owned == nil
}

// page takes in the rows of a page that no earlier slice has done.
func (u *usage) page(ctx context.Context, date string, page []directory.Mailbox) (more bool, err error) {
	cur := &u.fence.Mailboxes
	if u.rows == 0 && len(page) > 0 {
		switch {
		case date <= cur.Done: // some of Microsoft's servers may be a day behind
			u.known = true
			return false, nil
		case date != cur.Reading:
			cur.Reading, cur.Row, cur.Swept = date, 0, ""
		}
	}
	if err := u.owners(ctx); err != nil {
		return false, err
	}
	var left []directory.Mailbox
	for _, m := range page {
		u.rows++
		key, _ := directory.Key(m.ID) // made by directory.MailboxID
		if _, twice := u.named[key]; twice {
			continue // the first row of a name holds
		}
		u.named[key] = struct{}{}
		if u.rows > cur.Row && u.wanted(key) && !u.isErased(m.ID) {
			left = append(left, m)
		}
	}
	if u.rows <= cur.Row {
		return true, nil
	}
	batch, err := u.compare(ctx, left)
	if err != nil {
		return false, err
	}
	cur.Row = u.rows
	u.fence.Attempt = 0
	u.pages++
	u.cut = u.spent()
	if u.cut || batch.Rows() > 0 || u.pages%maxUncommitted == 0 {
		err = u.commit(ctx, batch)
	}
	return !u.cut, err
}

// compare returns what differs in the rows from what is stored. What does not
// fit into one transaction it has committed before.
func (u *usage) compare(ctx context.Context, rows []directory.Mailbox) (batch directory.Batch, err error) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	stored, err := u.Store.MailboxRecords(ctx, u.part, ids)
	if err != nil {
		return batch, err
	}
	for _, m := range rows {
		if batch.Rows() == directory.MaxRows {
			if err := u.commit(ctx, batch); err != nil {
				return batch, err
			}
			batch = directory.Batch{}
		}
		next := directory.MailboxRecord{Mailbox: m}
		if prior, ok := stored[m.ID]; ok {
			next.Purpose, next.Asked = prior.Purpose, prior.Asked
			next.Life.Created, next.Changed = prior.Life.Created, prior.Changed
			u.putMailbox(&batch, &prior, next)
		} else {
			u.putMailbox(&batch, nil, next)
		}
	}
	return batch, nil
}

// putMailbox puts the mailbox and its change into the batch, if the product
// sees one.
func (w *worker) putMailbox(batch *directory.Batch, prior *directory.MailboxRecord, next directory.MailboxRecord) {
	c := directory.CompareMailboxes(prior, &next)
	if c == nil {
		if prior.Asked != next.Asked {
			batch.Mailboxes = append(batch.Mailboxes, next)
		}
		return
	}
	if prior == nil {
		next.Life.Created = w.Now().UTC()
	} else if w.previewing() {
		c.Was = directory.CompareMailboxes(&next, prior).Set
	}
	next.Changed = w.tell(batch, c)
	batch.Mailboxes = append(batch.Mailboxes, next)
}

// sweep archives the stored mailboxes that the report, read to its end, does
// not name; none if they are so many that the report is more likely wrong.
// Archiving some of them never makes the others too many, so that this may be
// done in parts.
func (u *usage) sweep(ctx context.Context) error {
	if err := u.owners(ctx); err != nil {
		return err
	}
	missing, unwanted, active, err := u.missing(ctx)
	if err != nil {
		return err
	}
	switch {
	case u.rows == 0 && active > 0:
		u.note(job.Skipped{
			What: "mailboxes", Code: emptyAnswer,
			Message: fmt.Sprintf("Microsoft's usage report names no mailbox at all, and %d are stored. What is stored of them stays as it is.", active),
			Remedy:  "Wait for the next report, which Microsoft makes once a day. If this stays, ask the customer whether they have any mailbox left.",
		})
		return nil
	case active >= fewMailboxes && 2*len(missing) > active:
		u.note(job.Skipped{
			What: "mailboxes", Code: "many_missing",
			Message: fmt.Sprintf("Microsoft's usage report does not name %d of %d mailboxes. None of them was archived.", len(missing), active),
			Remedy:  "Wait for the next report, which Microsoft makes once a day. If this stays, ask the customer whether these mailboxes are gone.",
		})
		missing = nil
	}
	if u.fence.Scope.Problem == nil { // else nobody can be judged
		missing = append(missing, unwanted...)
	}
	for n := 0; n < len(missing); n += directory.MaxRows {
		if n > 0 && u.spent() {
			return errBudget
		}
		chunk := missing[n:min(n+directory.MaxRows, len(missing))]
		var batch directory.Batch
		for i := range chunk {
			next := chunk[i]
			next.Archived, next.Reason = u.Now().UTC(), directory.Missing
			if key, _ := directory.Key(next.ID); !u.wanted(key) {
				next.Reason = directory.OutOfScope
			}
			u.putMailbox(&batch, &chunk[i], next)
		}
		if err := u.commit(ctx, batch); err != nil {
			return err
		}
	}
	cur := &u.fence.Mailboxes
	cur.Done, cur.Reading, cur.Row, cur.Swept = cur.Reading, "", 0, ""
	return nil
}

// missing returns the stored active mailboxes that the report does not name,
// apart from those that the settings do not choose any more, and how many
// active ones there are beside these.
func (u *usage) missing(ctx context.Context) (missing, unwanted []directory.MailboxRecord, active int, err error) {
	for after := ""; ; {
		page, next, err := u.Store.Mailboxes(ctx, u.part, after, maxMailboxes)
		if err != nil {
			return nil, nil, 0, err
		}
		for _, m := range page {
			if !m.Active() {
				continue
			}
			key, _ := directory.Key(m.ID)
			if !u.wanted(key) {
				unwanted = append(unwanted, m)
				continue
			}
			active++
			if _, named := u.named[key]; !named {
				missing = append(missing, m)
			}
		}
		if after = next; after == "" {
			return missing, unwanted, active, nil
		}
	}
}

// mailboxTypes asks once a report for the purpose of each mailbox of which it
// is not known.
func (w *worker) mailboxTypes(ctx context.Context) error {
	cur := &w.fence.Mailboxes
	if cur.Typed == cur.Done {
		return nil
	}
	for {
		page, next, err := w.Store.Mailboxes(ctx, w.part, cur.Swept, maxMailboxes)
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(m directory.MailboxRecord) bool {
			return !m.Active() || m.Purpose != "" || m.Asked == cur.Done
		})
		for chunk := range slices.Chunk(page, maxAsk) {
			err := w.askPurposes(ctx, chunk)
			if denied(err) { // the mailboxes are synced all the same
				w.note(denial("mailboxTypes", err))
				return nil
			}
			if err != nil {
				return err
			}
			if w.spent() {
				return errBudget
			}
		}
		cur.Swept = next // with the next commit
		if next == "" {
			cur.Typed = cur.Done
			return nil
		}
	}
}

// askPurposes asks for the purposes of a few mailboxes, and commits them.
func (w *worker) askPurposes(ctx context.Context, asked []directory.MailboxRecord) error {
	upns := make([]string, len(asked))
	for i := range asked {
		upns[i] = asked[i].UserPrincipalName
	}
	found, err := w.Graph.MailboxPurposes(ctx, w.conn.Access(), upns)
	if err != nil {
		return err
	}
	var batch directory.Batch
	for i := range asked {
		next := asked[i]
		next.Purpose, next.Asked = found[next.UserPrincipalName], w.fence.Mailboxes.Done
		w.putMailbox(&batch, &asked[i], next)
	}
	w.fence.Attempt = 0
	return w.commit(ctx, batch)
}
