package reconcile

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

const (
	// maxTeamBytes bounds what a transaction of teams holds, by an estimate
	// that is less than a tenth off; Table Storage takes 4 MiB.
	maxTeamBytes = 2 << 20
	// maxTeam is an upper estimate of a team's record, and of its change: names
	// of 256 characters, a description of 1,024, each as JSON.
	maxTeam = 12 << 10
	// maxJoin is how many people one change tells of: 39 bytes each.
	maxJoin = 5000
)

// teamBatch collects what changes of teams and memberships until a
// transaction is full.
type teamBatch struct {
	w       *worker
	entries map[string]*teamEntry
	order   []*teamEntry // those to be written
	seen    []string     // teams that a full round came across
	staged  []*directory.Staged
}

// teamEntry is one team: as stored, and as it will be.
type teamEntry struct {
	prior, queued bool
	was, next     directory.TeamRecord
	rosters       map[string]*rosterEntry // by bucket; nil until loaded
	// waits is true if a membership's removal was proposed, holds if one was
	// made part of a plan; settled lists are done with.
	waits, holds bool
	settled      []directory.List
}

// rosterEntry is one roster row, with what its next writing tells and counts.
type rosterEntry struct {
	directory.Roster
	dirty        bool
	joined, left []string
	count        job.Tally
}

func newTeamBatch(w *worker) *teamBatch {
	return &teamBatch{w: w, entries: make(map[string]*teamEntry)}
}

// entry is the team as the batch has it, else as it is stored; without an ID
// if it is not.
func (b *teamBatch) entry(ctx context.Context, id string) (*teamEntry, error) {
	if e := b.entries[id]; e != nil {
		return e, nil
	}
	if b.w.fence.Teams.Stored == 0 {
		e := &teamEntry{}
		b.entries[id] = e
		return e, nil
	}
	stored, err := b.w.Store.TeamRecords(ctx, b.w.part, []string{id})
	if err != nil {
		return nil, err
	}
	if r, ok := stored[id]; ok {
		return b.put(&r), nil
	}
	e := &teamEntry{}
	b.entries[id] = e
	return e, nil
}

// maxPrepare is how many teams of a page are read at once.
const maxPrepare = 32

// prepare reads at once what the items of a page need of teams that the batch
// does not have: their records, and their members where these change.
func (b *teamBatch) prepare(ctx context.Context, items []directory.TeamItem) error {
	if b.w.fence.Teams.Stored == 0 {
		return nil
	}
	var ids []string
	for i := range items {
		if id := items[i].ID; b.entries[id] == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	stored, err := b.w.Store.TeamRecords(ctx, b.w.part, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if r, ok := stored[id]; ok {
			b.put(&r)
		} else {
			b.entries[id] = &teamEntry{}
		}
	}
	if b.w.fence.Groups.Enum != "" { // members are only put aside
		return nil
	}
	rows := make([][]directory.Roster, len(items))
	wanted := make(map[*teamEntry]int)
	g, ctx := errgroup.WithContext(ctx)
	for i := range items {
		e := b.entries[items[i].ID]
		if !e.prior || e.rosters != nil || len(items[i].Joined)+len(items[i].Left) == 0 {
			continue
		}
		if _, ok := wanted[e]; ok {
			continue
		}
		wanted[e] = i
		g.Go(func() (err error) {
			rows[i], err = b.w.Store.Rosters(ctx, b.w.part, e.next.ID)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for e, i := range wanted {
		e.fill(rows[i])
	}
	return nil
}

// put takes a stored team into the batch.
func (b *teamBatch) put(r *directory.TeamRecord) *teamEntry {
	if e := b.entries[r.ID]; e != nil {
		return e
	}
	e := &teamEntry{prior: true, was: *r, next: *r}
	b.entries[r.ID] = e
	return e
}

// load reads the team's members, once.
func (b *teamBatch) load(ctx context.Context, e *teamEntry) error {
	if e.rosters != nil {
		return nil
	}
	var rows []directory.Roster
	if e.prior {
		var err error
		if rows, err = b.w.Store.Rosters(ctx, b.w.part, e.next.ID); err != nil {
			return err
		}
	}
	e.fill(rows)
	return nil
}

func (e *teamEntry) fill(rows []directory.Roster) {
	e.rosters = make(map[string]*rosterEntry, len(rows))
	for _, r := range rows {
		e.rosters[r.Bucket] = &rosterEntry{Roster: r}
	}
	e.place()
}

// place moves members out of rows of another level: the team has just been
// split, or a crash cut that short. They were counted when they were written.
func (e *teamEntry) place() {
	for name, r := range maps.Clone(e.rosters) {
		if len(name) == e.next.Level || len(r.Members) == 0 {
			continue
		}
		members := r.Members
		r.Members, r.dirty = nil, true
		for _, m := range members {
			to := e.bucketOf(m.Key)
			if at, found := to.Find(m.Key); !found {
				to.Members = slices.Insert(to.Members, at, m)
				to.dirty = true
			}
		}
	}
}

func (b *teamBatch) touch(e *teamEntry) {
	if !e.queued {
		e.queued = true
		b.order = append(b.order, e)
	}
}

// upsert takes over what Microsoft says of a team that is present. Whatever
// removal waited is void.
func (b *teamBatch) upsert(e *teamEntry, t directory.Team) {
	e.next.Team = t
	e.next.Life = directory.Life{Created: e.was.Created, Changed: e.was.Changed}
	if e.next != e.was {
		b.touch(e)
	}
}

// pend proposes the team's removal.
func (b *teamBatch) pend(e *teamEntry, why directory.Reason) {
	e.next.Pending = why
	b.touch(e)
}

// bucket is the roster row in which a member's place is.
func (e *teamEntry) bucket(id string) *rosterEntry {
	name := id[:e.next.Level]
	r := e.rosters[name]
	if r == nil {
		r = &rosterEntry{Roster: directory.Roster{Team: e.next.ID, Bucket: name}}
		e.rosters[name] = r
	}
	return r
}

func (e *teamEntry) bucketOf(key [16]byte) *rosterEntry { return e.bucket(uuid.UUID(key).String()) }

// join makes a person a member. Whoever waited to be removed has returned.
func (b *teamBatch) join(e *teamEntry, id string) {
	key, ok := directory.Key(id)
	if !ok {
		return
	}
	r := e.bucket(id)
	at, found := r.Find(key)
	switch {
	case found && r.Members[at].Marks == 0:
		return
	case found:
		r.unmark(at)
	case b.w.isErased(id), !b.w.inGroups(id):
		return // nobody to us; if they come to the scope, they are asked for
	default:
		r.Members = slices.Insert(r.Members, at, directory.Member{Key: key})
		r.joined = append(r.joined, id)
		r.count.Active++
	}
	r.dirty = true
	b.touch(e)
}

// leave proposes the removal of a membership.
func (b *teamBatch) leave(e *teamEntry, id string) {
	key, ok := directory.Key(id)
	if !ok {
		return
	}
	r := e.bucket(id)
	if at, found := r.Find(key); found && r.Members[at].Marks == 0 {
		r.Members[at].Marks = directory.MarkPending
		r.count.Pending++
		r.dirty, e.waits = true, true
		b.touch(e)
	}
}

// unmark takes a membership's marks away. The team may stay on a list on which
// it has nothing to do any more: whoever works that list off finds nothing.
func (r *rosterEntry) unmark(at int) {
	switch r.Members[at].Marks {
	case directory.MarkPending:
		r.count.Pending--
	case directory.MarkHeld:
		r.count.Held--
	}
	r.Members[at].Marks = 0
	r.dirty = true
}

// settleMarks does with all memberships that bear the mark what is to be done:
// hold or keep them, or, with 0, end them. Those that are back just lose it.
func (b *teamBatch) settleMarks(e *teamEntry, mark, to directory.Marks, back map[[16]byte]bool) {
	for _, r := range e.rosters {
		for at := len(r.Members) - 1; at >= 0; at-- {
			if r.Members[at].Marks != mark {
				continue
			}
			r.unmark(at)
			switch {
			case back[r.Members[at].Key]:
			case to == 0:
				r.left = append(r.left, uuid.UUID(r.Members[at].Key).String())
				r.Members = slices.Delete(r.Members, at, at+1)
				r.count.Active--
			case to == directory.MarkHeld:
				r.Members[at].Marks = to
				r.count.Held++
				e.holds = true
			default:
				r.Members[at].Marks = to
			}
		}
	}
	b.touch(e)
}

// compare makes the members listed, all of them, the team's.
func (b *teamBatch) compare(ctx context.Context, e *teamEntry, listed map[[16]byte]struct{}) error {
	stored := 0
	for _, r := range e.rosters {
		stored += len(r.Members)
	}
	if len(listed) == 0 && stored > 0 && e.next.Visibility == "HiddenMembership" {
		// Without a permission of its own, such a list comes back empty (inferred).
		b.w.note(job.Skipped{What: "teams", Code: "hidden_membership", Message: "A team hides its members: what is stored of them stays as it is.",
			Remedy: "The permission Member.Read.Hidden is missing. Send the administrator the link and ask them to consent again, if these members are to be synced.", Consent: true})
		return nil
	}
	for _, r := range e.rosters {
		for at := range r.Members {
			if _, ok := listed[r.Members[at].Key]; !ok {
				b.leave(e, uuid.UUID(r.Members[at].Key).String())
			}
		}
	}
	joined := 0
	for key := range listed {
		b.join(e, uuid.UUID(key).String())
		// In pieces, so that no row grows beyond what a table takes before it
		// can be split.
		if joined++; joined%directory.MaxRoster == 0 {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
			b.entries[e.next.ID] = e
		}
	}
	return nil
}

// stage puts members aside, to be compared when the list is complete.
func (b *teamBatch) stage(enum, team string, ids []string) {
	if len(ids) == 0 {
		return
	}
	name := stagedName(enum, team)
	for len(ids) > 0 {
		last := slices.IndexFunc(b.staged, func(s *directory.Staged) bool { return s.Enum == name && len(s.IDs) < maxSeen })
		if last < 0 {
			last = len(b.staged)
			b.staged = append(b.staged, &directory.Staged{Enum: name})
		}
		s := b.staged[last]
		n := min(len(ids), maxSeen-len(s.IDs))
		s.IDs = append(s.IDs, ids[:n]...)
		ids = ids[n:]
	}
}

// stagedName names the members of a team that an enumeration has listed.
func stagedName(enum, team string) string { return enum + "-" + team }
