package reconcile

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/google/uuid"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// purge takes people out of the numbered changes and out of the teams. Each of
// its steps finds nothing to do the second time.
type purge struct {
	*worker
	// gone are the IDs of the people, and of mailboxes that go with them.
	gone map[string]bool
	keys [][16]byte // of the people
}

func newPurge(w *worker, people ...string) (*purge, error) {
	p := &purge{worker: w, gone: make(map[string]bool)}
	for _, id := range people {
		key, ok := directory.Key(id)
		if !ok {
			return nil, fault.New(fault.Invalid, "person's ID is no GUID")
		}
		p.gone[id] = true
		p.keys = append(p.keys, key)
	}
	return p, nil
}

// maxRedact bounds the changes, as JSON, that one transaction rewrites.
const maxRedact = 1 << 20

// rows calls each with one stored row of changes after the other.
func (p *purge) rows(ctx context.Context, after int64, each func(*directory.ChangeRow) error) error {
	for {
		rows, err := p.Store.ChangeRows(ctx, p.part, after, maxLog)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			if err := each(&rows[i]); err != nil {
				return err
			}
			if n := len(rows[i].Changes); n > 0 {
				after = rows[i].Changes[n-1].Number
			}
		}
	}
}

// mailboxIDs adds the mailboxes of all user principal names that the changes
// kept tell of the people: a mailbox is known by that name alone.
func (p *purge) mailboxIDs(ctx context.Context, ids map[string]struct{}) error {
	return p.rows(ctx, 0, func(row *directory.ChangeRow) error {
		for i := range row.Changes {
			c := &row.Changes[i]
			if !p.gone[c.ID] {
				continue
			}
			var upn string
			if raw, ok := c.Set.Get("userPrincipalName"); ok && json.Unmarshal(raw, &upn) == nil && upn != "" {
				ids[directory.MailboxID(upn)] = struct{}{}
			}
		}
		return nil
	})
}

// changes redacts what the feed tells of the people. The numbers stay, so that
// the feed has no gap. What changed of positions has been taken in before.
func (p *purge) changes(ctx context.Context) error {
	var (
		batch directory.Batch
		bytes int
	)
	flush := func() error {
		err := p.commit(ctx, batch)
		batch, bytes = directory.Batch{}, 0
		return err
	}
	f := &p.fence
	err := p.rows(ctx, f.Erasing.Through, func(row *directory.ChangeRow) error {
		if len(row.Changes) == 0 {
			return nil
		}
		if p.redact(row.Changes) {
			size := sizeOf(row.Changes)
			if bytes > 0 && bytes+size > maxRedact || batch.Rows() == directory.MaxRows {
				if err := flush(); err != nil {
					return err
				}
			}
			batch.Redact, bytes = append(batch.Redact, *row), bytes+size
		}
		f.Erasing.Through = row.Changes[len(row.Changes)-1].Number
		if !p.spent() {
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		return errBudget
	})
	if err != nil || len(batch.Redact) == 0 {
		return err
	}
	return flush()
}

// redact takes the people out of the changes, and reports whether any named
// them.
func (p *purge) redact(cs []directory.Change) (changed bool) {
	for i := range cs {
		c := &cs[i]
		gone := c.ID != "" && (p.gone[c.ID] || p.isErased(c.ID)) && c.Type != directory.Erased
		joined, left := p.without(c.Joined), p.without(c.Left)
		if n := len(joined) + len(left); !gone && n < len(c.Joined)+len(c.Left) {
			c.Joined, c.Left, changed = joined, left, true
			gone = n == 0 // it told of nobody else
		}
		if gone {
			*c = directory.Change{Number: c.Number, Type: directory.Redacted, Run: c.Run, At: c.At}
			changed = true
		}
	}
	return changed
}

func (p *purge) without(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return p.gone[id] })
}

// sizeOf estimates the bytes of changes as JSON.
func sizeOf(cs []directory.Change) (n int) {
	for i := range cs {
		n += 512 + 39*(len(cs[i].Joined)+len(cs[i].Left)) + len(cs[i].Set)
	}
	return n
}

// rosters takes the people out of the teams, without a change that names them.
func (p *purge) rosters(ctx context.Context) error {
	of, err := p.Store.TeamsOf(ctx, p.part, p.keys)
	if err != nil {
		return err
	}
	members := make(map[string][][16]byte) // by team
	for _, key := range p.keys {
		for _, team := range of[key] {
			members[team] = append(members[team], key)
		}
	}
	b := newTeamBatch(p.worker)
	for _, team := range slices.Sorted(maps.Keys(members)) {
		t, err := b.entry(ctx, team)
		if err != nil {
			return err
		}
		if t.next.ID == "" {
			return fault.New(fault.Invalid, "team %s has members, and there is no such team", team)
		}
		if err := b.load(ctx, t); err != nil {
			return err
		}
		for _, key := range members[team] {
			r := t.bucket(uuid.UUID(key).String())
			at, found := r.Find(key)
			if !found {
				return fault.New(fault.Invalid, "team %s has a member in the wrong row", team)
			}
			r.unmark(at)
			r.Members = slices.Delete(r.Members, at, at+1)
			r.count.Active--
			r.dirty = true
		}
		b.touch(t)
		if err := b.room(ctx); err != nil {
			return err
		}
		if p.spent() {
			if err := b.flush(ctx); err != nil {
				return err
			}
			return errBudget
		}
	}
	return b.flush(ctx)
}
