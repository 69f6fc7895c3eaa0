package tenant

import (
	"math"
	"slices"
)

// Cursor is a reader's place in a delta round. The zero value starts at the
// beginning: everyone.
type Cursor struct {
	From  uint32 // the reader knows every change up to this version
	Start uint32 // version at which the round began
	Pos   uint32 // log entries read so far
}

// Change is one item of a delta page.
type Change struct {
	Person  Person
	Show    Props  // properties to show
	Removed string // "changed" (restorable), "deleted" (for good) or empty
	Manager string // manager to add to manager@delta, or empty
	Former  []string
}

// Latest is the cursor of a reader who wants only what comes.
func (d *Directory) Latest() Cursor {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := uint32(len(d.log))
	return Cursor{From: n, Start: n, Pos: n}
}

// Begin opens a round for a reader who knows everything up to from.
func (d *Directory) Begin(from uint32) Cursor {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return Cursor{From: from, Start: uint32(len(d.log)), Pos: from}
}

// Changes reads up to limit items of a round. At the log's end done is true
// and next begins the following round. An edit made during the round appends
// to the log, so it shows up later in this round or in the next one: it is
// never lost. With minimal, only properties that changed are shown.
func (d *Directory) Changes(c Cursor, track Props, minimal bool, limit int) (items []Change, next Cursor, done bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	end := uint32(len(d.log))
	for c.Pos < end && len(items) < limit {
		r := d.records[d.log[c.Pos]]
		c.Pos++
		if r.seq != c.Pos { // a later entry speaks for it
			continue
		}
		if item, ok := r.change(c, track, minimal); ok {
			items = append(items, item)
		}
	}
	if c.Pos >= end {
		return items, Cursor{From: end, Start: end, Pos: end}, true
	}
	return items, c, false
}

// Read returns the items of the log between two positions of a round, in
// their present state: what the reader has already been sent.
func (d *Directory) Read(c Cursor, until uint32, track Props, minimal bool, limit int) []Change {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var items []Change
	seen := map[int32]bool{}
	for i := c.From; i < min(until, uint32(len(d.log))) && len(items) < limit; i++ {
		at := d.log[i]
		if seen[at] {
			continue
		}
		seen[at] = true
		if item, ok := d.records[at].change(c, track, minimal); ok {
			items = append(items, item)
		}
	}
	return items
}

// Whole is an active person's item as a reader who knows nothing would get it.
func (d *Directory) Whole(id string, track Props) (Change, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, r, err := d.find(id, active)
	if err != nil {
		return Change{}, false
	}
	return r.change(Cursor{Start: math.MaxUint32}, track, false)
}

// change is the item that tells the reader at c about the record.
func (r *record) change(c Cursor, track Props, minimal bool) (item Change, ok bool) {
	item.Person = r.person
	if r.state != active {
		item.Removed = "changed"
		if r.state == purged {
			item.Removed = "deleted"
		}
		return item, r.turned > c.From
	}
	for j := range properties {
		pr := &properties[j]
		v := r.born
		if r.edited != nil {
			v = r.edited[j]
		}
		if track&pr.bit == 0 {
			continue
		}
		if v > c.From && r.ever&pr.bit != 0 {
			ok = true
		}
		if r.ever&pr.bit != 0 && (!minimal || v > c.From) {
			item.Show |= pr.bit
		}
	}
	item.Show |= PropID
	if track&PropManager != 0 {
		item.Manager, item.Former = r.managers(c)
	}
	return item, ok || r.turned > c.From
}

// managers tells what to say in manager@delta: the present manager if that is
// news to the reader, and every former one that the reader may still hold. A
// reader of an initial round may hold what it was sent since Start.
func (r *record) managers(c Cursor) (now string, former []string) {
	base := c.From
	if base == 0 {
		base = c.Start
		now = r.person.Manager
	}
	held := ""
	for _, l := range r.links {
		if l.from <= base {
			held = l.manager
			continue
		}
		now = r.person.Manager
		for _, m := range []string{held, l.manager} {
			if m != "" && m != now && !slices.Contains(former, m) {
				former = append(former, m)
			}
		}
	}
	if r.links == nil && r.born > base {
		now = r.person.Manager
	}
	return now, former
}
