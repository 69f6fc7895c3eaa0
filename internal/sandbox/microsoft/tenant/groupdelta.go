package tenant

// GroupView is what a reader of group changes asks for.
type GroupView struct {
	Track   GroupProps
	Minimal bool // only properties that changed
	Hidden  bool // hidden memberships too
}

// GroupChange is one item of a delta page: a group with those of its members
// that came or went.
type GroupChange struct {
	Group   Group
	Show    GroupProps
	Removed string // "changed" (restorable), "deleted" (for good) or empty
	Members []MemberChange
}

// MemberChange is a membership that came, or that went: whether the member
// left or was deleted itself makes no difference (documented, "Get incremental
// changes for groups").
type MemberChange struct {
	ID      string
	IsGroup bool
	Removed bool
}

// LatestGroups is the cursor of a reader who wants only what comes.
func (d *Directory) LatestGroups() Cursor {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n := uint32(len(d.groups.log))
	return Cursor{From: n, Start: n, Pos: n}
}

// BeginGroups opens a round for a reader who knows everything up to from.
func (d *Directory) BeginGroups(from uint32) Cursor {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return Cursor{From: from, Start: uint32(len(d.groups.log)), Pos: from}
}

// GroupChanges reads a page of a round: at most so many groups and, all
// together, members. A group with more of them is on several pages. As with
// [Directory.Changes], an edit during the round is never lost.
func (d *Directory) GroupChanges(c Cursor, v GroupView, groups, members int) (items []GroupChange, next Cursor, done bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p := groupPage{d: d, view: v, from: c, groups: groups, members: members}
	end := uint32(len(d.groups.log))
	for ; c.Pos < end; c.Pos++ {
		e := d.groups.log[c.Pos]
		r := d.groups.records[e.group]
		seq := r.seq
		if e.slot != itself {
			seq = r.slots[e.slot].seq
		}
		if seq != c.Pos+1 { // a later entry speaks for it
			continue
		}
		if !p.say(e) {
			return p.items, c, false
		}
	}
	return p.items, Cursor{From: end, Start: end, Pos: end}, true
}

// ReadGroups returns what the log says between two positions of a round, in
// its present state: what the reader has already been sent.
func (d *Directory) ReadGroups(c Cursor, until uint32, v GroupView, groups, members int) []GroupChange {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p := groupPage{d: d, view: v, from: c, groups: groups, members: members}
	seen := map[ref]bool{}
	for _, e := range d.groups.log[c.From:min(int(until), len(d.groups.log))] {
		if seen[e] {
			continue
		}
		seen[e] = true
		if !p.say(e) {
			break
		}
	}
	return p.items
}

// WholeGroup is an active group's item as a reader who knows nothing would get
// it; ok is false if it has more members than so many.
func (d *Directory) WholeGroup(id string, v GroupView, members int) (item GroupChange, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, r, err := d.findGroup(id, active)
	if err != nil {
		return item, false
	}
	v.Minimal = false
	p := groupPage{d: d, view: v, from: Cursor{Start: uint32(len(d.groups.log))}, groups: 1, members: members}
	p.say(ref{at, itself})
	for i := range r.slots {
		if !p.say(ref{at, int32(i)}) {
			return item, false
		}
	}
	return p.items[0], true
}

// groupPage is a page while it fills.
type groupPage struct {
	d               *Directory
	view            GroupView
	from            Cursor
	groups, members int // room
	items           []GroupChange
	at              map[int32]int // index in items, by group
}

// say puts on the page what the entry means to the reader, if anything. It
// returns false if there is no room for it.
func (p *groupPage) say(e ref) bool {
	r := p.d.groups.records[e.group]
	if e.slot == itself {
		return !p.news(r) || p.item(e.group, r) != nil
	}
	if p.view.Track&GroupMembers == 0 || r.state != active || r.group.Hidden() && !p.view.Hidden {
		return true
	}
	m := r.slots[e.slot]
	gone := !m.on || !p.d.present(m.who)
	known := p.from.From
	if known == 0 { // a first reader never heard of who went before it came
		known = p.from.Start
	}
	if gone && m.changed <= known {
		return true
	}
	if p.members == 0 {
		return false
	}
	item := p.item(e.group, r)
	if item == nil {
		return false
	}
	p.members--
	item.Members = append(item.Members, MemberChange{ID: p.d.idOf(m.who), IsGroup: m.who < 0, Removed: gone})
	return true
}

// news says whether the group itself changed for the reader.
func (p *groupPage) news(r *groupRecord) bool {
	if r.turned > p.from.From {
		return true
	}
	for i := range groupProperties {
		if bit := groupProperties[i].bit; p.view.Track&bit != 0 && r.ever&bit != 0 && r.edited[i] > p.from.From {
			return true
		}
	}
	return false
}

// item finds or adds the group's item; it is nil if there is no room.
func (p *groupPage) item(at int32, r *groupRecord) *GroupChange {
	if i, ok := p.at[at]; ok {
		return &p.items[i]
	}
	if len(p.items) >= p.groups {
		return nil
	}
	it := GroupChange{Group: r.group, Show: GroupID}
	switch r.state {
	case removed:
		it.Removed = "changed"
	case purged:
		it.Removed = "deleted"
	default:
		for i := range groupProperties {
			bit := groupProperties[i].bit
			if p.view.Track&r.ever&bit != 0 && (!p.view.Minimal || r.edited[i] > p.from.From) {
				it.Show |= bit
			}
		}
	}
	if p.at == nil {
		p.at = map[int32]int{}
	}
	p.at[at] = len(p.items)
	p.items = append(p.items, it)
	return &p.items[len(p.items)-1]
}
