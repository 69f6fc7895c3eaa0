package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/directory"
)

// maxLog is how many rows of changes are read at a time, of up to 900 KiB each.
const maxLog = 16

// moves is what changes tell of positions, by [directory.PositionID]. The
// worker's are those of its own slice, so that the log is read only for what
// came before; they follow the change from, up to the change to.
type moves struct {
	from, to int64
	people   map[string]int    // how many more people hold it
	titles   map[string]string // as first seen
	whole    bool              // people is how many hold it altogether
}

// add takes in committed changes.
func (m *moves) add(cs []directory.Change) {
	for i := range cs {
		m.one(&cs[i])
	}
}

// one takes in a change. Those of the positions themselves move nobody.
func (m *moves) one(c *directory.Change) {
	m.to = c.Number
	if c.Position == nil {
		return
	}
	if m.people == nil {
		m.people, m.titles = make(map[string]int), make(map[string]string)
	}
	if from := c.Position.From; from != "" {
		m.people[from]--
	}
	to := c.Position.To
	if to == "" {
		return
	}
	m.people[to]++
	if m.titles[to] != "" {
		return
	}
	// Who returns with the old title does not say it again: then the position
	// is stored, or an earlier change has said it.
	var title string
	if raw, ok := c.Set.Get("jobTitle"); ok && json.Unmarshal(raw, &title) == nil {
		m.titles[to] = directory.Title(title)
	}
}

// join takes in what followed.
func (m *moves) join(later *moves) {
	if m.people == nil {
		m.people, m.titles = make(map[string]int), make(map[string]string)
	}
	for id, n := range later.people {
		m.people[id] += n
	}
	for id, title := range later.titles {
		if m.titles[id] == "" {
			m.titles[id] = title
		}
	}
	m.to = max(m.to, later.to)
}

// positionsDue reports whether there may be changes to take in. Where the
// worker knows that there are none, the fence moves on.
func (w *worker) positionsDue() bool {
	f, m := &w.fence, &w.moves
	p := &f.Positions
	switch {
	case p.To > 0:
		return true
	case p.Through == f.LastChange:
		return false
	case m.from > p.Through, max(m.from, m.to) < f.LastChange: // some are in the log only, or not yet committed
		return true
	case len(m.people) > 0:
		return true
	}
	p.Through = f.LastChange
	return false
}

// positions takes the numbered changes into the number of people that each
// position has. What is taken in is fixed before the first record is written,
// and every record says up to where it counts, so that no change counts twice.
func (w *worker) positions(ctx context.Context) error {
	f := &w.fence
	p := &f.Positions
	for resumed := true; resumed; {
		// Left over from an earlier slice or run: there may be changes since.
		if resumed = p.To > 0 && !w.uncounted(); !resumed {
			p.To = f.LastChange
		}
		if w.uncounted() {
			p.Swept = ""
		}
		m, err := w.moved(ctx, resumed)
		if err != nil {
			return err
		}
		todo, err := w.refill(ctx, m)
		if err != nil {
			return err
		}
		for n := 0; n < len(todo); n += directory.MaxRows {
			if n > 0 && w.spent() {
				return errBudget
			}
			chunk := todo[n:min(n+directory.MaxRows, len(todo))]
			batch := w.positionBatch(chunk)
			p.Swept = chunk[len(chunk)-1].next.ID
			if n+len(chunk) == len(todo) && !resumed {
				w.counted()
			}
			if err := w.commit(ctx, batch); err != nil {
				return err
			}
		}
		switch {
		case resumed:
			p.Through, p.To, p.Swept = p.To, 0, ""
		case len(todo) == 0:
			w.counted()
		}
	}
	return nil
}

// counted ends the phase in the fence: what came after the changes taken in
// are the phase's own.
func (w *worker) counted() {
	p := &w.fence.Positions
	p.Through, p.To, p.Swept = w.fence.LastChange, 0, ""
	w.advance()
}

// uncounted reports whether people are stored and no position was ever
// counted to its end: by a build that knew none, whose changes do not tell, or
// in a first run that failed.
func (w *worker) uncounted() bool {
	return w.fence.Positions.Through == 0 && w.fence.Run.FirstChange > 0
}

// count is how many active people hold each position.
func (w *worker) count(ctx context.Context) (*moves, error) {
	m := &moves{people: make(map[string]int), titles: make(map[string]string), whole: true}
	err := w.everybody(ctx, func(p *directory.Record) {
		if id := directory.PositionID(p.JobTitle); id != "" && p.Active() {
			m.people[id]++
			if m.titles[id] == "" {
				m.titles[id] = directory.Title(p.JobTitle)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for after := ""; ; { // those that nobody holds any more
		page, next, err := w.Store.Positions(ctx, w.part, after, maxConfirm)
		if err != nil {
			return nil, err
		}
		for i := range page {
			m.people[page[i].ID] += 0
		}
		if after = next; after == "" {
			return m, nil
		}
	}
}

// moved is what the changes after Through, up to To, tell. Of a resumed fold
// only the log knows where To was.
func (w *worker) moved(ctx context.Context, resumed bool) (*moves, error) {
	if w.uncounted() {
		return w.count(ctx)
	}
	p := w.fence.Positions
	m := &moves{from: p.Through, to: p.Through}
	to := p.To
	known := !resumed && w.moves.from >= p.Through && w.moves.to <= p.To
	if known {
		to = w.moves.from
	}
	if w.previewing() {
		// A preview's own changes follow those of the connection.
		if err := w.readMoves(ctx, w.conn.ID, m, min(to, w.fence.Run.FirstChange)); err != nil {
			return nil, err
		}
	}
	if err := w.readMoves(ctx, w.part, m, to); err != nil {
		return nil, err
	}
	if known {
		m.join(&w.moves)
	}
	return m, nil
}

// readMoves takes in the changes in the log that follow m, up to to.
func (w *worker) readMoves(ctx context.Context, part string, m *moves, to int64) error {
	for m.to < to {
		rows, err := w.Store.ChangeRows(ctx, part, m.to, maxLog)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			for i := range r.Changes {
				if n := r.Changes[i].Number; n > m.to && n <= to {
					m.one(&r.Changes[i])
				}
			}
		}
		if last := rows[len(rows)-1].Changes; len(last) == 0 || last[len(last)-1].Number >= to {
			return nil
		}
	}
	return nil
}

// refilled is a position as it will be, and the change that tells of it; a
// different number of people alone is none.
type refilled struct {
	next   directory.PositionRecord
	change *directory.Change
}

// refill returns, in the order of IDs, the positions of which other people
// are to be counted, and which no transaction has written before.
func (w *worker) refill(ctx context.Context, m *moves) (todo []refilled, err error) {
	p := w.fence.Positions
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(m.people)), func(id string) bool { return m.people[id] == 0 && !m.whole || id <= p.Swept })
	for chunk := range slices.Chunk(ids, maxConfirm) {
		stored, err := w.Store.PositionRecords(ctx, w.part, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range chunk {
			r, ok := stored[id]
			if ok && r.Through >= p.To {
				continue
			}
			if !ok {
				r.ID, r.Title = id, m.titles[id]
			}
			n := m.people[id]
			if m.whole {
				n -= r.People
			}
			if c, changed := w.refillOne(&r, ok, n); changed {
				r.Through = p.To
				todo = append(todo, refilled{r, c})
			}
		}
	}
	return todo, nil
}

// refillOne adds people to a position. It reports false if there is nothing
// to store.
func (w *worker) refillOne(r *directory.PositionRecord, stored bool, n int) (c *directory.Change, changed bool) {
	was := r.People
	r.People = max(was+n, 0)
	switch {
	case !stored && r.People == 0:
		return nil, false
	case !stored:
		title, _ := json.Marshal(r.Title) // a string: cannot fail
		r.Created = w.Now().UTC()
		return &directory.Change{Type: directory.PositionCreated, ID: r.ID, Set: fmt.Appendf(nil, `{"title":%s}`, title)}, true
	case r.Active() && r.People == 0:
		r.Archived, r.Reason = w.Now().UTC(), directory.Missing
		return &directory.Change{Type: directory.PositionArchived, ID: r.ID, Reason: r.Reason}, true
	case !r.Active() && r.People > 0:
		r.Archived, r.Reason = time.Time{}, ""
		return &directory.Change{Type: directory.PositionReactivated, ID: r.ID}, true
	}
	return nil, r.People != was
}

// positionBatch turns positions into rows and numbered changes.
func (w *worker) positionBatch(todo []refilled) (batch directory.Batch) {
	for _, r := range todo {
		if r.change != nil {
			r.next.Changed = w.tell(&batch, r.change)
		}
		batch.Positions = append(batch.Positions, r.next)
	}
	return batch
}
