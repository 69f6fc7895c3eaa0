package tenant

import (
	"fmt"
	"slices"
	"strings"
)

// Object is a member: a person or a group.
type Object struct {
	IsGroup bool
	Person  Person
	Group   Group
}

// ID is the ID of whichever it is.
func (o *Object) ID() string {
	if o.IsGroup {
		return o.Group.ID
	}
	return o.Person.ID
}

// who finds an active person or group.
func (d *Directory) who(id string) (int32, error) {
	if i, _, err := d.find(strings.ToLower(id), active); err == nil {
		return i, nil
	}
	if at, _, err := d.findGroup(id, active); err == nil {
		return ^at, nil
	}
	return 0, fmt.Errorf("member %s: %w", id, ErrNotFound)
}

// present says whether a member is neither in deleted items nor gone.
func (d *Directory) present(who int32) bool {
	if who < 0 {
		return d.groups.records[^who].state == active
	}
	return d.records[who].state == active
}

func (d *Directory) idOf(who int32) string {
	if who < 0 {
		return d.groups.records[^who].group.ID
	}
	return d.records[who].person.ID
}

func (d *Directory) object(who int32) Object {
	if who < 0 {
		return Object{IsGroup: true, Group: d.groups.records[^who].group}
	}
	return Object{Person: d.records[who].person}
}

// refs are the memberships of a person or group, past ones too.
func (d *Directory) refs(who int32) []ref {
	switch {
	case who < 0:
		return d.groups.records[^who].of
	case int(who) < len(d.groups.of):
		return d.groups.of[who]
	}
	return nil
}

// AddMember puts a person or a group into a group. Groups may contain each
// other in a circle (documented for nested groups).
func (d *Directory) AddMember(group, member string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, who, err := d.pair(group, member)
	if err != nil {
		return fmt.Errorf("tenant: add member: %w", err)
	}
	for _, l := range d.refs(who) {
		if l.group != at {
			continue
		}
		m := &d.groups.records[at].slots[l.slot]
		if m.on {
			return fmt.Errorf("tenant: add member %s to group %s: %w: is one", member, group, ErrConflict)
		}
		m.on = true
		d.groups.touchLink(l)
		return nil
	}
	if d.groups.links >= MaxMemberships {
		return fmt.Errorf("tenant: add member: %w: a directory holds at most %d memberships", ErrInvalid, MaxMemberships)
	}
	d.link(at, who)
	return nil
}

func (d *Directory) pair(group, member string) (at, who int32, err error) {
	if at, _, err = d.findGroup(group, active); err == nil {
		who, err = d.who(member)
	}
	if err == nil && who == ^at {
		err = fmt.Errorf("group %s: %w: cannot be its own member", group, ErrInvalid)
	}
	return at, who, err
}

// link makes a membership that never was before.
func (d *Directory) link(at, who int32) {
	s := &d.groups
	r := s.records[at]
	l := ref{at, int32(len(r.slots))}
	r.slots = append(r.slots, slot{who: who, on: true})
	if who < 0 {
		s.records[^who].of = append(s.records[^who].of, l)
	} else {
		if n := int(who) + 1 - len(s.of); n > 0 {
			s.of = append(s.of, make([][]ref, n)...)
		}
		s.of[who] = append(s.of[who], l)
	}
	s.links++
	s.touchLink(l)
}

// RemoveMember takes a direct member out of a group.
func (d *Directory) RemoveMember(group, member string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, who, err := d.pair(group, member)
	if err != nil {
		return fmt.Errorf("tenant: remove member: %w", err)
	}
	for _, l := range d.refs(who) {
		if l.group == at && d.groups.records[at].slots[l.slot].on {
			d.groups.records[at].slots[l.slot].on = false
			d.groups.touchLink(l)
			return nil
		}
	}
	return fmt.Errorf("tenant: remove member %s of group %s: %w", member, group, ErrNotFound)
}

// Members are the IDs of a group's direct members, people and groups, in the
// order in which they first joined.
func (d *Directory) Members(group string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []string
	if _, r, err := d.findGroup(group, active); err == nil {
		for _, m := range r.slots {
			if m.on && d.present(m.who) {
				out = append(out, d.idOf(m.who))
			}
		}
	}
	return out
}

// TransitiveUsers are the IDs of the active people in a group and the groups
// within it, in order of their creation.
func (d *Directory) TransitiveUsers(group string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var out []string
	if at, _, err := d.findGroup(group, active); err == nil {
		for _, who := range d.within(at, true) {
			if who >= 0 {
				out = append(out, d.idOf(who))
			}
		}
	}
	return out
}

// within are all members of a group and the groups in it, each once, in an
// order that edits do not change. With hidden, hidden memberships count.
func (d *Directory) within(at int32, hidden bool) []int32 {
	seen := map[int32]bool{^at: true}
	var out []int32
	for todo := []int32{at}; len(todo) > 0; {
		r := d.groups.records[todo[0]]
		todo = todo[1:]
		if r.group.Hidden() && !hidden {
			continue
		}
		for _, m := range r.slots {
			if !m.on || seen[m.who] || !d.present(m.who) {
				continue
			}
			seen[m.who] = true
			out = append(out, m.who)
			if m.who < 0 {
				todo = append(todo, ^m.who)
			}
		}
	}
	slices.SortFunc(out, func(a, b int32) int { return place(a) - place(b) })
	return out
}

// place orders people and groups together, by age of their records.
func place(who int32) int {
	if who < 0 {
		return 2*int(^who) + 1
	}
	return 2 * int(who)
}

// MemberOf are the IDs of the groups that a person is a direct member of.
func (d *Directory) MemberOf(user string) []string {
	list, _ := d.ListMemberOf(user, MemberQuery{Hidden: true, Limit: MaxGroups})
	var out []string
	for i := range list.Objects {
		out = append(out, list.Objects[i].ID())
	}
	return out
}

// Above are those of the groups that a person or group is in, directly or
// through other groups, without regard to order.
func (d *Directory) Above(member string, hidden bool) (groups map[string]bool, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	start, err := d.who(member)
	if err != nil {
		return nil, fmt.Errorf("tenant: groups above: %w", err)
	}
	groups = map[string]bool{}
	seen := map[int32]bool{start: true}
	for todo := []int32{start}; len(todo) > 0; todo = todo[1:] {
		for _, l := range d.refs(todo[0]) {
			r := d.groups.records[l.group]
			if seen[^l.group] || r.state != active || !r.slots[l.slot].on || r.group.Hidden() && !hidden {
				continue
			}
			seen[^l.group] = true
			groups[r.group.ID] = true
			todo = append(todo, ^l.group)
		}
	}
	return groups, nil
}
