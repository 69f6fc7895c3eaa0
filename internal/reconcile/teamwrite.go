package reconcile

import (
	"cmp"
	"context"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// room commits if what is to be written would fill a transaction.
func (b *teamBatch) room(ctx context.Context) error {
	rows, bytes := len(b.staged), 0
	for _, s := range b.staged {
		bytes += 22 * len(s.IDs)
	}
	for _, e := range b.order {
		r, n := e.size()
		rows += r
		bytes += n
	}
	if rows < directory.MaxRows/2 && bytes < maxTeamBytes/2 && len(b.seen) < maxSeen {
		return nil
	}
	return b.commit(ctx, nil)
}

// size estimates what an entry takes: rows, and bytes.
func (e *teamEntry) size() (rows, bytes int) {
	rows, bytes = 4, maxTeam // the record, its lists and its change
	for _, r := range e.rosters {
		if r.dirty {
			rows++
			bytes += r.size()
		}
	}
	return rows, bytes
}

// size is of the row, in base 64, and of what the feed tells.
func (r *rosterEntry) size() int {
	return 23*len(r.Members) + 40*(len(r.joined)+len(r.left)) + 256
}

// flush commits what there is, if there is anything.
func (b *teamBatch) flush(ctx context.Context) error {
	if len(b.order) == 0 && len(b.seen) == 0 && len(b.staged) == 0 {
		return nil
	}
	return b.commit(ctx, nil)
}

// commit writes everything, in several transactions if one does not hold it;
// then is done to the fence with the last. Until then the fence tells the place
// of the commit before, so that a crash replays what was not written.
func (b *teamBatch) commit(ctx context.Context, then func()) error {
	for {
		batch, more := b.plan()
		if !more && !b.split() {
			if then != nil {
				then()
			}
			if err := b.w.commit(ctx, batch); err != nil {
				return err
			}
			clear(b.entries)
			b.order, b.seen, b.staged = nil, nil, nil
			return nil
		}
		f := &b.w.fence
		groups, members := f.Groups, f.Members
		f.Groups, f.Members = b.w.last.Groups, b.w.last.Members
		if err := b.w.commit(ctx, batch); err != nil {
			return err
		}
		f.Groups, f.Members = groups, members
	}
}

// plan takes from the batch what one transaction holds, and counts it in the
// fence; more is true if something is left.
func (b *teamBatch) plan() (batch directory.Batch, more bool) {
	f := &b.w.fence
	bytes, told := 0, 0 // told is what the changes take, which are one row
	batch.Enum, batch.Seen, b.seen = f.Groups.Enum, b.seen, nil
	for len(b.staged) > 0 && batch.Rows() < directory.MaxRows/2 && bytes < maxTeamBytes/2 {
		if slices.ContainsFunc(batch.Staged, func(s directory.Staged) bool { return s.Enum == b.staged[0].Enum }) {
			break // a name has one row in a transaction
		}
		batch.Staged = append(batch.Staged, *b.staged[0])
		bytes += 22 * len(b.staged[0].IDs)
		b.staged = b.staged[1:]
	}
	if len(b.staged) > 0 {
		return batch, true
	}
	for len(b.order) > 0 {
		e := b.order[0]
		if batch.Rows()+5 > directory.MaxRows || bytes+maxTeam > maxTeamBytes || told+maxTeam > maxChangeBytes {
			return batch, true
		}
		if e.next != e.was || !e.prior {
			b.write(&batch, e)
			bytes += maxTeam
			told += maxTeam
		}
		if e.waits {
			batch.Lists = append(batch.Lists, directory.Listing{List: directory.PendingMemberships, ID: e.next.ID})
			e.waits = false
		}
		if e.holds {
			batch.Lists = append(batch.Lists, directory.Listing{List: directory.HeldMemberships, ID: e.next.ID})
			e.holds = false
		}
		buckets := make([]string, 0, len(e.rosters))
		for name, r := range e.rosters {
			if r.dirty {
				buckets = append(buckets, name)
			}
		}
		slices.SortFunc(buckets, func(x, y string) int { // nobody's old row goes before they have a new one
			if c := cmp.Compare(len(y), len(x)); c != 0 {
				return c
			}
			return cmp.Compare(x, y)
		})
		for _, name := range buckets {
			r := e.rosters[name]
			tells := 40 * (len(r.joined) + len(r.left))
			if batch.Rows()+3 > directory.MaxRows || bytes > maxTeam && bytes+r.size() > maxTeamBytes || told > maxTeam && told+tells > maxChangeBytes {
				return batch, true
			}
			bytes += r.size()
			told += tells
			b.writeRoster(&batch, r)
		}
		// A list is left behind only with the last of the memberships on it.
		for _, l := range e.settled {
			batch.Lists = append(batch.Lists, directory.Listing{List: l, ID: e.next.ID, Off: true})
		}
		e.settled, e.queued = nil, false
		b.order = b.order[1:]
	}
	return batch, false
}

// write puts the team's record into the batch, with its change and lists.
func (b *teamBatch) write(batch *directory.Batch, e *teamEntry) {
	f := &b.w.fence
	prior := &e.was
	if !e.prior {
		prior = nil
		e.next.Created = b.w.Now().UTC()
	}
	if c := directory.CompareTeams(prior, &e.next); c != nil {
		if b.w.previewing() && prior != nil {
			if back := directory.CompareTeams(&e.next, prior); back != nil {
				c.Was = back.Set
			}
		}
		e.next.Changed = b.w.tell(batch, c)
	}
	for _, at := range []listing{pending, held} {
		list, n := directory.PendingTeams, &f.Teams.Pending
		if at == held {
			list, n = directory.HeldTeams, &f.Teams.Held
		}
		switch was, is := e.prior && lifeListing(&e.was.Life) == at, lifeListing(&e.next.Life) == at; {
		case was && !is:
			*n--
			batch.Lists = append(batch.Lists, directory.Listing{List: list, ID: e.next.ID, Off: true})
		case is && !was:
			*n++
			batch.Lists = append(batch.Lists, directory.Listing{List: list, ID: e.next.ID})
		}
	}
	batch.Teams = append(batch.Teams, e.next)
	e.was, e.prior = e.next, true
}

// writeRoster puts a roster row into the batch, with what it tells.
func (b *teamBatch) writeRoster(batch *directory.Batch, r *rosterEntry) {
	f := &b.w.fence
	row := r.Roster
	row.Members = slices.Clone(r.Members)
	batch.Rosters = append(batch.Rosters, row)
	t, c := &f.Memberships, &r.count
	t.Stored += c.Active
	t.Active += c.Active
	t.Pending += c.Pending
	t.Held += c.Held
	f.Run.Memberships.Created += len(r.joined)
	f.Run.Memberships.Archived += len(r.left)
	slices.Sort(r.joined)
	slices.Sort(r.left)
	for len(r.joined)+len(r.left) > 0 {
		change := &directory.Change{Type: directory.TeamMembers, ID: r.Team}
		change.Joined, r.joined = cut(r.joined, maxJoin)
		change.Left, r.left = cut(r.left, maxJoin)
		b.w.tell(batch, change)
	}
	r.joined, r.left = nil, nil
	r.dirty, r.count = false, job.Tally{}
}

func cut(l []string, n int) (head, tail []string) {
	if len(l) <= n {
		return l, nil
	}
	return l[:n:n], l[n:]
}

// split spreads the members of teams over sixteen times as many rows where one
// has become too long, and reports whether there were any. All that such rows
// have to tell and to count has been taken into a transaction by then, so that
// the new rows, which may take several, tell nothing.
func (b *teamBatch) split() bool {
	any := false
	for _, e := range b.entries {
		for _, r := range e.rosters {
			if len(r.Members) > directory.MaxRoster {
				e.next.Level++
				e.place()
				b.touch(e)
				any = true
				break
			}
		}
	}
	return any
}
