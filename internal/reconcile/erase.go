package reconcile

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// erasure takes one person out of everything that is stored of the connection:
// the record, the numbered changes, the memberships, their mailbox and the
// lists of IDs.
//
// What stays is the ID, in the numbered person.erased, on the list of those
// who are not to be stored again, in the records of runs that were about the
// person, and as the manager of those who report to them: that is Microsoft's
// word on somebody else, an ID that leads nowhere here, and the next full run
// would read it again. The job title stays as the name of a position, which
// tells of nobody.
type erasure struct {
	*purge
	id string
}

// erase takes the person away step by step, each of which finds nothing to do
// the second time. The last one tells of it: until then the person is erased
// again from the start by whoever asks again.
func (w *worker) erase(ctx context.Context) error {
	p, err := newPurge(w, w.fence.Run.Person)
	if err != nil {
		return err
	}
	e := &erasure{p, w.fence.Run.Person}
	if w.isErased(e.id) {
		e.step("found", "erased", "The person was erased before, and nothing was left to do.")
		w.advance()
		return nil
	}
	stored, err := w.Store.Records(ctx, w.part, []string{e.id})
	if err != nil {
		return err
	}
	var r *directory.Record
	if one, ok := stored[e.id]; ok {
		r = &one
	}
	if len(w.fence.Run.Steps) == 0 {
		if err := e.begin(ctx, r); err != nil {
			return err
		}
	}
	if err := w.dropPreview(ctx, "A person was erased, and the preview with them.", "erasure"); err != nil {
		return err
	}
	if w.fence.Erasing.Through == 0 {
		if err := e.mailboxes(ctx, r); err != nil {
			return err
		}
	}
	for _, from := range []func(context.Context) error{e.changes, e.rosters, e.scopes, e.seen} {
		if err := from(ctx); err != nil {
			return err
		}
	}
	return e.end(ctx, r)
}

func (e *erasure) step(name, result, detail string) {
	r := &e.fence.Run
	r.Steps = append(slices.Clone(r.Steps), job.Step{Name: name, Result: result, Detail: detail})
}

// begin notes whom the erasure found. The place that another one left, which
// came to no end, is forgotten.
func (e *erasure) begin(ctx context.Context, r *directory.Record) error {
	e.fence.Erasing = job.Fold{To: e.fence.LastChange}
	switch {
	case r == nil:
		e.step("found", "notStored", "Nobody of that ID is stored. The changes and the mailbox of the person are erased, as far as Microsoft still tells the user principal name, and they will not be stored.")
	case r.Active():
		e.step("found", "active", "The person is stored.")
	default:
		e.step("found", "archived", "The person is stored, and had left.")
	}
	return e.commit(ctx, directory.Batch{})
}

// mailboxes erases the mailboxes of the person's user principal names, those of
// the past included as far as the changes kept tell them: a mailbox is known
// by that name alone.
func (e *erasure) mailboxes(ctx context.Context, r *directory.Record) error {
	ids := make(map[string]struct{})
	if r != nil && r.UserPrincipalName != "" {
		ids[directory.MailboxID(r.UserPrincipalName)] = struct{}{}
	}
	// Somebody may never have been stored, and their mailbox may. An erasure
	// must not depend on Microsoft: what it does not tell is left.
	if items, err := e.Graph.Whole(ctx, e.conn.Access(), []string{e.id}, []string{"userPrincipalName"}); err == nil && len(items) > 0 && items[0].UserPrincipalName != "" {
		ids[directory.MailboxID(items[0].UserPrincipalName)] = struct{}{}
	}
	if err := e.mailboxIDs(ctx, ids); err != nil {
		return err
	}
	maps.DeleteFunc(ids, func(id string, _ struct{}) bool { return e.isErased(id) })
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), directory.MaxRows/2) {
		stored, err := e.Store.MailboxRecords(ctx, e.part, chunk)
		if err != nil {
			return err
		}
		e.fence.Erased += len(chunk)
		if err := e.commit(ctx, directory.Batch{EraseMailboxes: slices.Sorted(maps.Keys(stored)), Erased: chunk}); err != nil {
			return err
		}
		for _, id := range chunk {
			e.mark(id)
		}
	}
	return nil
}

// mark counts an ID among the erased for the rest of the slice.
func (e *erasure) mark(id string) {
	if e.erased == nil {
		e.erased = make(map[[16]byte]struct{})
	}
	key, _ := directory.Key(id)
	e.erased[key] = struct{}{}
}

// scopes writes the list of the scope groups' members anew, without the person.
func (e *erasure) scopes(ctx context.Context) error {
	if _, listed := e.scoped[e.keys[0]]; !listed {
		return nil
	}
	delete(e.scoped, e.keys[0])
	f := &e.fence
	set := e.enumID("g")
	ids := make([]string, 0, len(e.scoped))
	for key := range e.scoped {
		ids = append(ids, uuid.UUID(key).String())
	}
	f.Untidy = true
	for chunk := range slices.Chunk(ids, maxSeen) {
		if err := e.commit(ctx, directory.Batch{ScopeSet: set, Scope: chunk}); err != nil {
			return err
		}
	}
	f.Scope.Set = set
	return e.commit(ctx, directory.Batch{})
}

// seen drops the IDs that enumerations have seen which came to no end, the
// scopes that are not in use, the index and the places of a list, whose links
// may name people: the next run begins such an enumeration anew, and makes an
// index when it needs one.
func (e *erasure) seen(ctx context.Context) error {
	for _, c := range []*job.Cursor{&e.fence.People, &e.fence.Groups} {
		if c.Enum != "" {
			c.Next, c.Swept = "", ""
		}
	}
	if e.fence.Groups.Enum != "" {
		e.fence.Groups.Delta = ""
	}
	s := &e.fence.Scope
	s.Next, s.At, s.Link, s.Count = "", 0, "", 0
	e.fence.Index = job.Index{}
	for {
		rows, err := e.Store.SeenRows(ctx, e.part, directory.MaxRows)
		if err == nil && len(rows) == 0 {
			rows, err = e.Store.ScopeRows(ctx, e.part, s.Set, directory.MaxRows)
		}
		if err == nil && len(rows) == 0 {
			rows, err = e.Store.IndexRows(ctx, e.part, math.MaxInt64, directory.MaxRows)
		}
		if err == nil && len(rows) == 0 {
			rows, err = e.Store.ShardRows(ctx, e.part, directory.MaxRows)
		}
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := e.commit(ctx, directory.Batch{DropSeen: rows}); err != nil {
			return err
		}
		if e.spent() {
			return errBudget
		}
	}
}

// end deletes the record and tells of it, in one transaction: so it is told
// once, and nothing of the person comes after.
func (e *erasure) end(ctx context.Context, r *directory.Record) error {
	// One may have begun just before this run opened.
	if err := e.dropPreview(ctx, "A person was erased, and the preview with them.", "erasure"); err != nil {
		return err
	}
	f := &e.fence
	batch := directory.Batch{Erased: []string{e.id}}
	c := &directory.Change{Type: directory.Erased, ID: e.id}
	if r != nil {
		batch.Erase = batch.Erased
		relist(f, &batch, e.id, listingOf(r), unlisted)
		c.Position = move(r, nil)
		f.Stored--
		if r.Active() {
			f.Active--
		}
	}
	e.tell(&batch, c)
	f.Erased++
	f.Erasing = job.Fold{}
	e.step("written", "erased", "The person is erased. A change of their own tells so, and the next syncs leave them out.")
	e.advance()
	return e.commit(ctx, batch)
}
