package reconcile

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// maxCompare is how many teams are compared between two looks at the clock,
// and read at once.
const maxCompare = 16

// sweepTeams makes the rosters what a full round has listed, team by team,
// and looks for teams that were not in it. None is taken for gone before
// Graph says, asked for that very ID, that it holds no such group.
func (w *worker) sweepTeams(ctx context.Context) error {
	c := &w.fence.Groups
	seen, err := w.seen(ctx, c.Enum)
	if err != nil {
		return err
	}
	b := newTeamBatch(w)
	for {
		page, next, err := w.Store.Teams(ctx, w.part, c.Swept, maxCompare)
		if err != nil {
			return err
		}
		if err := w.compareTeams(ctx, b, page, seen); err != nil {
			return err
		}
		if next == "" {
			break
		}
		spent := w.spent()
		if spent || len(b.order) > 0 {
			if err := b.commit(ctx, func() { w.fence.Groups.Swept = next }); err != nil {
				return err
			}
		}
		if c.Swept = next; spent {
			return errBudget
		}
	}
	return b.commit(ctx, func() {
		c := &w.fence.Groups
		c.Swept, c.Enum, c.Fresh, c.Why = "", "", false, ""
		c.FullAt = c.DeltaAt
		w.advance()
	})
}

// seen is the set of IDs that an enumeration has come across.
func (w *worker) seen(ctx context.Context, enum string) (map[[16]byte]struct{}, error) {
	ids := make(map[[16]byte]struct{})
	if err := w.Store.Seen(ctx, w.part, enum, func(key [16]byte) { ids[key] = struct{}{} }); err != nil {
		return nil, err
	}
	return ids, nil
}

// compareTeams compares some teams with what a full round has listed of them.
func (w *worker) compareTeams(ctx context.Context, b *teamBatch, page []directory.TeamRecord, seen map[[16]byte]struct{}) error {
	enum := w.fence.Groups.Enum
	listed := make([]map[[16]byte]struct{}, len(page))
	rosters := make([][]directory.Roster, len(page))
	var missing []string
	g, gctx := errgroup.WithContext(ctx)
	for i := range page {
		t := &page[i]
		k, _ := directory.Key(t.ID)
		if _, ok := seen[k]; !ok {
			if t.Removable() {
				missing = append(missing, t.ID)
			}
			continue
		}
		if !t.Active() || t.Pending != "" {
			continue
		}
		g.Go(func() (err error) {
			if listed[i], err = w.seen(gctx, stagedName(enum, t.ID)); err != nil {
				return err
			}
			rosters[i], err = w.Store.Rosters(gctx, w.part, t.ID)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i := range page {
		if listed[i] == nil {
			continue
		}
		e := b.put(&page[i])
		e.fill(rosters[i])
		if err := b.compare(ctx, e, listed[i]); err != nil {
			return err
		}
		if err := b.room(ctx); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := w.Graph.Existing(ctx, w.conn.Access(), directory.Teams, missing)
	if err != nil {
		return err
	}
	exists := make(map[string]bool, len(found))
	for _, id := range found {
		exists[id] = true
	}
	w.log.InfoContext(ctx, "teams not in the enumeration", "objects", len(missing), "exist", len(found))
	for i := range page {
		if k, _ := directory.Key(page[i].ID); !exists[page[i].ID] && page[i].Removable() {
			if _, ok := seen[k]; !ok {
				b.pend(b.put(&page[i]), directory.Missing)
			}
		}
	}
	return b.room(ctx)
}

// members lists the teams of the backlog whole, one after the other.
func (w *worker) members(ctx context.Context) error {
	for len(w.fence.Backlog) > 0 {
		team := w.fence.Backlog[0]
		c := &w.fence.Members
		if c.Enum == "" {
			c.Enum, w.fence.Untidy = w.enumID("b"), true
		}
		p, err := w.Graph.Members(ctx, w.conn.Access(), team, c.Next)
		b := newTeamBatch(w)
		switch {
		case fault.Is(err, fault.NotFound): // gone meanwhile; the next round tells
			w.listedTeam()
			continue
		case denied(err) && len(w.fence.Backlog) > 1 && !slices.Contains(w.denied, team):
			// Perhaps of this one only: the others go first.
			w.denied = append(w.denied, team)
			w.fence.Backlog = append(slices.Clone(w.fence.Backlog[1:]), team)
			w.fence.Members = job.Cursor{}
			continue
		case fault.Is(err, fault.Expired) && c.Next != "":
			return w.anew(ctx, "members of a team", c.Next, err, true, func() { w.fence.Members = job.Cursor{} })
		case err != nil:
			return err
		}
		w.fence.Run.Pages++
		w.fence.Attempt = 0
		enum := c.Enum
		b.stage(enum, team, p.IDs)
		if c.Next = p.Next; c.Next != "" {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
		} else if err := w.compareListed(ctx, b, enum, team, p.IDs); err != nil {
			return err
		}
		if w.spent() && len(w.fence.Backlog) > 0 {
			if err := w.commit(ctx, directory.Batch{}); err != nil {
				return err
			}
			return errBudget
		}
	}
	w.advance()
	return nil
}

// compareListed makes a team's roster what its list says, of which last is the
// last page.
func (w *worker) compareListed(ctx context.Context, b *teamBatch, enum, team string, last []string) error {
	b.staged = nil // the last page needs no storing
	listed, err := w.seen(ctx, stagedName(enum, team))
	if err != nil {
		return err
	}
	for _, id := range last {
		if k, ok := directory.Key(id); ok {
			listed[k] = struct{}{}
		}
	}
	e, err := b.entry(ctx, team)
	if err != nil {
		return err
	}
	if e.next.ID != "" {
		if err := b.load(ctx, e); err != nil {
			return err
		}
		if err := b.compare(ctx, e, listed); err != nil {
			return err
		}
	}
	return b.commit(ctx, w.listedTeam)
}

// listedTeam takes the first team off the backlog.
func (w *worker) listedTeam() {
	w.fence.Backlog = w.fence.Backlog[1:]
	if len(w.fence.Backlog) == 0 {
		w.fence.Backlog = nil
	}
	w.fence.Members = job.Cursor{}
}
