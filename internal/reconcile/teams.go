package reconcile

import (
	"context"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// groupsHash binds the delta link of groups to which of them are stored, and
// whether all their members are. Version counts the properties asked for.
func (w *worker) groupsHash() string {
	const version = "1"
	h := "v" + version
	for _, on := range []bool{w.chosen.Teams, w.chosen.SecurityGroups} {
		if on {
			h += "+"
		} else {
			h += "-"
		}
	}
	return h
}

func (w *worker) groupsWanted() bool { return w.chosen.Teams || w.chosen.SecurityGroups }

// teamsDue: groups are wanted, or some are stored that are not wanted any more.
func (w *worker) teamsDue() bool {
	return w.syncs() && (w.groupsWanted() || w.fence.Teams.Active > w.fence.Teams.Pending+w.fence.Teams.Held)
}

// beginGroups chooses between the delta link of groups and a full enumeration.
func (w *worker) beginGroups(resumes bool) {
	c := &w.fence.Groups
	grouped := w.fence.Scope.Grouped
	switch {
	case !w.groupsWanted(), resumes && w.goesOn(c) && c.Hash == w.groupsHash():
	case c.Delta == "" && c.Next == "":
		w.enumerateGroups(firstRun)
	case c.Hash != w.groupsHash():
		w.enumerateGroups("other groups are wanted")
	case c.Enum != "":
		w.enumerateGroups(unfinished)
	case c.Scoped && !grouped:
		w.enumerateGroups("people are wanted whose memberships were left out")
	case w.Now().Sub(c.DeltaAt) > maxDeltaAge:
		w.enumerateGroups(tooOld)
	case w.FullEvery > 0 && w.Now().Sub(c.FullAt) > w.FullEvery:
		w.enumerateGroups(fullDue)
	default:
		c.Scoped = c.Scoped || grouped
	}
}

func (w *worker) enumerateGroups(why string) {
	f := &w.fence
	f.Untidy = true
	f.Backlog, f.Members = nil, job.Cursor{} // everything is listed anyway
	f.Groups = job.Cursor{
		Hash: w.groupsHash(), Enum: w.enumID("t"), Fresh: f.Teams.Stored == 0, FullAt: f.Groups.FullAt, Scoped: f.Scope.Grouped, Why: why,
	}
}

// wants reports whether groups of that kind are stored.
func (w *worker) wants(k directory.TeamKind) bool {
	return k == directory.MicrosoftTeam && w.chosen.Teams || k == directory.SecurityGroup && w.chosen.SecurityGroups
}

// teams follows one round of groups/delta. In a full one the members listed
// are only put aside: a team may come again on any later page, so they are
// compared when the last page has come.
func (w *worker) teams(ctx context.Context) error {
	if !w.groupsWanted() {
		return w.dropTeams(ctx)
	}
	c := &w.fence.Groups
	if c.Enum != "" {
		w.full(c.Why)
	}
	if c.Enum != "" && c.Next == "" {
		c.Enum = w.enumID("t") // what a slice before has put aside does not count
	}
	link := c.Next
	if link == "" && c.Enum == "" {
		link = c.Delta
	}
	b := newTeamBatch(w)
	for pages := 1; ; pages++ {
		p, err := w.Graph.Groups(ctx, w.conn.Access(), link)
		if err != nil {
			if cerr := b.commit(ctx, nil); cerr != nil {
				return cerr
			}
			if fault.Is(err, fault.Expired) {
				return w.anew(ctx, "groups", link, err, w.fence.Groups.Enum != "", func() { w.enumerateGroups(forgotten) })
			}
			return err
		}
		for items := range slices.Chunk(p.Items, maxPrepare) {
			if err := b.prepare(ctx, items); err != nil {
				return err
			}
			for i := range items {
				if err := b.item(ctx, &items[i]); err != nil {
					return err
				}
			}
		}
		w.fence.Attempt = 0
		w.fence.Run.Pages++
		w.fence.Groups.Next = p.Next
		if p.Delta != "" {
			return b.commit(ctx, func() {
				c := &w.fence.Groups
				c.Delta, c.DeltaAt = p.Delta, w.Now().UTC()
				w.advance()
			})
		}
		link = p.Next
		if spent := w.spent(); spent || pages%maxUncommitted == 0 {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
			if spent {
				return errBudget
			}
		}
	}
}

// item takes in one entry of a page.
func (b *teamBatch) item(ctx context.Context, it *directory.TeamItem) error {
	w := b.w
	full := w.fence.Groups.Enum != ""
	e, err := b.entry(ctx, it.ID)
	if err != nil {
		return err
	}
	stored := e.next.ID != ""
	switch {
	case it.Removed != "":
		if stored && !e.next.Kept && !e.next.Held && e.next.Active() {
			b.pend(e, it.Removed)
		}
		return b.room(ctx)
	case it.Told && !w.wants(it.Kind):
		if stored && e.next.Removable() {
			b.pend(e, directory.OutOfScope)
		}
		if full {
			b.seen = append(b.seen, it.ID)
		}
		return b.room(ctx)
	case it.Told:
		isNew := !stored || !e.next.Active()
		b.upsert(e, it.Team)
		if isNew && !full {
			w.listLater(it.ID)
		}
	case !stored || !e.next.Active():
		return nil // members of a group that is none of ours
	}
	if full {
		if len(it.Left) > 0 { // after a page that said they are in, or before one
			w.listLater(it.ID)
		}
		b.seen = append(b.seen, it.ID)
		b.stage(w.fence.Groups.Enum, it.ID, it.Joined)
		return b.room(ctx)
	}
	if len(it.Joined)+len(it.Left) == 0 {
		return b.room(ctx)
	}
	if err := b.load(ctx, e); err != nil {
		return err
	}
	for _, id := range it.Joined {
		b.join(e, id)
	}
	for _, id := range it.Left {
		b.leave(e, id)
	}
	return b.room(ctx)
}

// listLater has a team listed by itself at the end of the round.
func (w *worker) listLater(team string) {
	f := &w.fence
	switch {
	case slices.Contains(f.Backlog, team):
	case len(f.Backlog) >= maxBacklog:
		f.Groups.Hash = "" // the next run lists everything
	default:
		f.Backlog = append(slices.Clone(f.Backlog), team)
	}
}

// maxBacklog is how many teams a delta round may bring that have to be listed
// one by one; their IDs are in the fence.
const maxBacklog = 1000

// dropTeams proposes the removal of all teams, which the settings do not want
// any more.
func (w *worker) dropTeams(ctx context.Context) error {
	b := newTeamBatch(w)
	for {
		ts, next, err := w.Store.Teams(ctx, w.part, w.fence.Groups.Swept, maxSettle)
		if err != nil {
			return err
		}
		for i := range ts {
			if ts[i].Removable() {
				b.pend(b.put(&ts[i]), directory.OutOfScope)
				if err := b.room(ctx); err != nil {
					return err
				}
			}
		}
		last := next == ""
		if last {
			return b.commit(ctx, func() {
				w.fence.Groups, w.fence.Backlog, w.fence.Members = job.Cursor{}, nil, job.Cursor{}
				w.advance()
			})
		}
		// Without its link: should the settings want teams again before this
		// comes to its end, everything is listed.
		if err := b.commit(ctx, func() { w.fence.Groups, w.fence.Backlog = job.Cursor{Swept: next}, nil }); err != nil {
			return err
		}
		if w.spent() {
			return errBudget
		}
	}
}

// joinTeams puts people into the rosters of those of the groups that are
// stored.
func (w *worker) joinTeams(ctx context.Context, groups map[string][]string) error {
	b := newTeamBatch(w)
	byTeam := make(map[string][]string)
	for person, teams := range groups {
		for _, t := range teams {
			byTeam[t] = append(byTeam[t], person)
		}
	}
	ids := make([]string, 0, len(byTeam))
	for id := range byTeam {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		e, err := b.entry(ctx, id)
		if err != nil {
			return err
		}
		if e.next.ID == "" || !e.next.Active() {
			continue
		}
		if err := b.load(ctx, e); err != nil {
			return err
		}
		slices.Sort(byTeam[id])
		for _, person := range byTeam[id] {
			b.join(e, person)
		}
		if err := b.room(ctx); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}
