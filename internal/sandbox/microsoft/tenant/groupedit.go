package tenant

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// MaxGroups bounds the groups of a directory.
const MaxGroups = 50_000

// MaxMemberships bounds all memberships together: about 50 bytes each, so
// 250 MB.
const MaxMemberships = 5_000_000

// groupRecord is one group and what deltas must remember about it. Versions
// are positions in the groups' log, counted from 1.
type groupRecord struct {
	group  Group
	ever   GroupProps // properties that were ever set
	state  state
	turned uint32 // version of its last creation, removal or restoring
	seq    uint32 // its last own entry in the log; earlier ones are stale
	edited [groupPropCount]uint32
	slots  []slot // everyone who ever was a member, in order of first joining
	of     []ref  // groups that it was ever put into
}

// slot is one membership, present or past. It never moves, so that pages of
// members are stable.
type slot struct {
	who     int32  // index of a person's record, or the complement of a group's
	seq     uint32 // its last entry in the log
	changed uint32 // its last entry that told something new
	on      bool   // put in; the member may be in deleted items all the same
}

// ref finds a membership from the member's side.
type ref struct{ group, slot int32 }

// itself is the slot of a log entry about the group and not a membership.
const itself = -1

// groupStore holds the groups of a directory, under the directory's lock.
// Every edit appends to the log: the group's own, or one membership's.
type groupStore struct {
	rng     *rand.Rand
	records []*groupRecord
	byID    map[string]int32
	log     []ref
	of      [][]ref // of people, by record index
	live    int
	links   int // slots of all groups
}

func newGroupStore(seed uint64) groupStore {
	return groupStore{rng: rand.New(rand.NewPCG(seed, 0x67726f757073)), byID: map[string]int32{}}
}

// CreateGroup adds a group and returns its ID. A displayName is required; "id"
// may be given.
func (d *Directory) CreateGroup(f Fields) (id string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := Group{}
	if v, ok := f["id"]; ok {
		if g.ID, ok = v.(string); !ok || !IsGUID(g.ID) {
			return "", fmt.Errorf("tenant: create group: id: %w: want a lower-case GUID", ErrInvalid)
		}
	} else {
		g.ID = GUID(d.groups.rng)
	}
	if _, err := g.apply(f); err != nil {
		return "", fmt.Errorf("tenant: create group: %w", err)
	}
	if _, err := d.insertGroup(g); err != nil {
		return "", fmt.Errorf("tenant: create group: %w", err)
	}
	return g.ID, nil
}

// insertGroup adds a group whose fields are already valid.
func (d *Directory) insertGroup(g Group) (at int32, err error) {
	s := &d.groups
	if strings.TrimSpace(g.DisplayName) == "" {
		return 0, fmt.Errorf("displayName: %w: required", ErrInvalid)
	}
	_, person := d.byID[g.ID]
	if _, taken := s.byID[g.ID]; taken || person {
		return 0, fmt.Errorf("id %s: %w", g.ID, ErrConflict)
	}
	if len(s.records) >= MaxGroups {
		return 0, fmt.Errorf("%w: a directory holds at most %d groups", ErrInvalid, MaxGroups)
	}
	at = int32(len(s.records))
	r := &groupRecord{group: g, ever: GroupID}
	for i := range groupProperties {
		if !groupProperties[i].empty(&g) {
			r.ever |= groupProperties[i].bit
		}
	}
	s.records = append(s.records, r)
	s.byID[g.ID] = at
	s.live++
	r.turned = s.touch(at)
	r.mark(GroupAll, r.turned)
	return at, nil
}

// touch logs the group itself and returns the new version.
func (s *groupStore) touch(at int32) uint32 {
	s.log = append(s.log, ref{at, itself})
	s.records[at].seq = uint32(len(s.log))
	return s.records[at].seq
}

// touchLink logs one membership.
func (s *groupStore) touchLink(l ref) {
	s.log = append(s.log, l)
	m := &s.records[l.group].slots[l.slot]
	m.seq = uint32(len(s.log))
	m.changed = m.seq
}

// repeat logs a membership that is as it was, for readers in the middle of a
// round.
func (s *groupStore) repeat(l ref) {
	s.log = append(s.log, l)
	s.records[l.group].slots[l.slot].seq = uint32(len(s.log))
}

// mark notes the version of the changed properties.
func (r *groupRecord) mark(changed GroupProps, v uint32) {
	for i := range groupProperties {
		if changed&groupProperties[i].bit != 0 {
			r.edited[i] = v
		}
	}
}

// apply writes the fields into g and returns the properties that it names.
func (g *Group) apply(f Fields) (named GroupProps, err error) {
	for name, v := range f {
		bit, err := GroupProp(name)
		switch {
		case err != nil:
			return 0, err
		case bit == GroupMembers:
			return 0, fmt.Errorf("members: %w: are added one by one", ErrInvalid)
		case bit == GroupID && v != g.ID:
			return 0, fmt.Errorf("id: %w: never changes", ErrInvalid)
		case bit == GroupID:
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return 0, fmt.Errorf("%s: %w: %v", name, ErrInvalid, err)
		}
		i := slices.IndexFunc(groupProperties[:], func(pr groupProperty) bool { return pr.bit == bit })
		if err := groupProperties[i].set(g, raw); err != nil {
			return 0, err
		}
		named |= bit
	}
	return named, nil
}

// findGroup returns the record of an ID if it is in one of the states.
func (d *Directory) findGroup(id string, in ...state) (int32, *groupRecord, error) {
	at, ok := d.groups.byID[strings.ToLower(id)]
	if ok && slices.Contains(in, d.groups.records[at].state) {
		return at, d.groups.records[at], nil
	}
	return 0, nil, fmt.Errorf("group %s: %w", id, ErrNotFound)
}

// UpdateGroup changes a group. Values that are already there change nothing
// and no delta will show them. Members are hidden from the beginning or never
// (documented, "group resource type").
func (d *Directory) UpdateGroup(id string, f Fields) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, r, err := d.findGroup(id, active)
	if err != nil {
		return fmt.Errorf("tenant: update: %w", err)
	}
	g := r.group
	named, err := g.apply(f)
	switch {
	case err != nil:
		return fmt.Errorf("tenant: update group %s: %w", id, err)
	case strings.TrimSpace(g.DisplayName) == "":
		return fmt.Errorf("tenant: update group %s: displayName: %w: required", id, ErrInvalid)
	case g.Hidden() != r.group.Hidden():
		return fmt.Errorf("tenant: update group %s: visibility: %w: %s never comes or goes", id, ErrInvalid, HiddenMembership)
	}
	var changed GroupProps
	for i := range groupProperties {
		if pr := &groupProperties[i]; named&pr.bit != 0 && !pr.equal(&g, &r.group) {
			changed |= pr.bit
		}
	}
	if changed == 0 {
		return nil
	}
	r.group = g
	r.ever |= changed
	r.mark(changed, d.groups.touch(at))
	return nil
}

// RemoveGroup moves a Microsoft 365 group to deleted items; any other kind is
// gone for good (documented, "Delete group"). It leaves the groups that it is
// in, until it is restored.
func (d *Directory) RemoveGroup(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, r, err := d.findGroup(id, active)
	if err != nil {
		return fmt.Errorf("tenant: remove: %w", err)
	}
	to := purged
	if r.group.Unified() {
		to = removed
	}
	d.dropGroup(at, r, to)
	return nil
}

// PurgeGroup removes a group for good, from deleted items or at once.
func (d *Directory) PurgeGroup(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, r, err := d.findGroup(id, active, removed)
	if err != nil {
		return fmt.Errorf("tenant: purge: %w", err)
	}
	d.dropGroup(at, r, purged)
	return nil
}

func (d *Directory) dropGroup(at int32, r *groupRecord, to state) {
	was := r.state
	if was == active {
		d.groups.live--
	}
	r.state = to
	r.turned = d.groups.touch(at)
	d.groups.left(r.of, was == active, to == purged)
	if to == purged {
		for i := range r.slots {
			r.slots[i].on = false
		}
	}
}

// RestoreGroup brings a group back from deleted items with its members and
// into the groups that it was in.
func (d *Directory) RestoreGroup(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, r, err := d.findGroup(id, removed)
	if err != nil {
		return fmt.Errorf("tenant: restore: %w", err)
	}
	r.state = active
	d.groups.live++
	r.turned = d.groups.touch(at)
	r.mark(GroupAll&r.ever, r.turned)
	for i := range r.slots {
		if l := (ref{at, int32(i)}); r.slots[i].on {
			d.groups.touchLink(l)
		} else {
			// A reader may have passed the leaving while the group was away, and
			// never hear that it was away.
			d.groups.repeat(l)
		}
	}
	d.groups.returned(r.of)
	return nil
}

// left tells the groups that a member has gone; forever ends its memberships.
func (s *groupStore) left(of []ref, told, forever bool) {
	for _, l := range of {
		m := &s.records[l.group].slots[l.slot]
		if m.on && told {
			s.touchLink(l)
		}
		if forever {
			m.on = false
		}
	}
}

// returned tells the groups that a member is back.
func (s *groupStore) returned(of []ref) {
	for _, l := range of {
		if s.records[l.group].slots[l.slot].on {
			s.touchLink(l)
		}
	}
}
