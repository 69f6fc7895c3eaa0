package tenant

import "fmt"

// Groups lists the active groups in order of creation.
func (d *Directory) Groups() []Group {
	groups, _, _ := d.ListGroups(0, MaxGroups, nil)
	return groups
}

// GroupCount is the number of active groups.
func (d *Directory) GroupCount() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.groups.live
}

// DeletedGroups lists the groups that were removed and can be restored.
func (d *Directory) DeletedGroups() []Group {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []Group
	for _, r := range d.groups.records {
		if r.state == removed {
			out = append(out, r.group)
		}
	}
	return out
}

// Group finds an active group.
func (d *Directory) Group(id string) (Group, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, r, err := d.findGroup(id, active)
	if err != nil {
		return Group{}, false
	}
	return r.group, true
}

// ListGroups returns up to limit active groups from position pos on that
// match, and the position to go on from; more is false at the end.
func (d *Directory) ListGroups(pos, limit int, match func(*Group) bool) (groups []Group, next int, more bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for ; pos < len(d.groups.records); pos++ {
		r := d.groups.records[pos]
		if r.state != active || match != nil && !match(&r.group) {
			continue
		}
		if len(groups) == limit {
			return groups, pos, true
		}
		groups = append(groups, r.group)
	}
	return groups, pos, false
}

// CountGroups is the number of active groups that match.
func (d *Directory) CountGroups(match func(*Group) bool) (n int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, r := range d.groups.records {
		if r.state == active && match(&r.group) {
			n++
		}
	}
	return n
}

// MemberQuery asks for a page of a group's members or of a person's groups.
type MemberQuery struct {
	Transitive bool // through nested groups
	Hidden     bool // hidden memberships too
	SkipPeople bool
	SkipGroups bool
	Pos, Limit int
}

// MemberList is a page of members.
type MemberList struct {
	Objects []Object
	Total   int // of all pages
	Next    int // Pos of the next page
	More    bool
}

// add takes a member whose position is pos, if there is room and it is asked
// for.
func (l *MemberList) add(d *Directory, q *MemberQuery, who int32, pos int) {
	if who < 0 && q.SkipGroups || who >= 0 && q.SkipPeople || !d.present(who) {
		return
	}
	l.Total++
	switch {
	case pos < q.Pos || l.More:
	case len(l.Objects) < q.Limit:
		l.Objects = append(l.Objects, d.object(who))
	default:
		l.Next, l.More = pos, true
	}
}

// ListMembers reads a page of a group's members. Positions are stable: who
// stays a member while the pages are read is on exactly one of them.
func (d *Directory) ListMembers(group string, q MemberQuery) (l MemberList, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, r, err := d.findGroup(group, active)
	switch {
	case err != nil:
		return l, fmt.Errorf("tenant: members: %w", err)
	case q.Transitive:
		for _, who := range d.within(at, q.Hidden) {
			l.add(d, &q, who, place(who))
		}
	case q.Hidden || !r.group.Hidden():
		for i, m := range r.slots {
			if m.on {
				l.add(d, &q, m.who, i)
			}
		}
	}
	return l, nil
}

// ListMemberOf reads a page of the groups that a person, by ID or user
// principal name, or a group is a direct member of.
func (d *Directory) ListMemberOf(member string, q MemberQuery) (l MemberList, err error) {
	if p, ok := d.Person(member); ok {
		member = p.ID
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	who, err := d.who(member)
	if err != nil {
		return l, fmt.Errorf("tenant: groups of: %w", err)
	}
	for i, m := range d.refs(who) {
		r := d.groups.records[m.group]
		if r.slots[m.slot].on && (q.Hidden || !r.group.Hidden()) {
			l.add(d, &q, ^m.group, i)
		}
	}
	return l, nil
}
