package graph

import (
	"rollcall/internal/directory"
	"rollcall/internal/graph/scan"
)

// DecodeGroups reads one page of groups/delta. A page that is not whole is an
// error of kind Unknown: fetching it again may help. The items share
// memory, as those of [DecodePeople] do.
func DecodeGroups(b []byte) (directory.TeamPage, error) {
	var m members
	p, err := readPage(b, m.readGroup)
	if err == nil {
		err = p.ofRound()
	}
	if err != nil {
		return directory.TeamPage{}, err
	}
	return directory.TeamPage{Items: *p.Value, Next: p.Next, Delta: p.Delta}, nil
}

// member is a reference to a member of a group.
type member struct {
	id      string
	hash    uint32
	removed bool
	user    bool
}

// members are those of one group at a time. The memory serves all groups of a
// page.
type members struct {
	all []member
	// slots is a hash table of the users among all: at each hash's place, or
	// behind it, where the last entry with that ID is in all. A slot is in use if it
	// has the round's number.
	slots []slot
	round uint32
}

type slot struct {
	round uint32
	at    uint32
}

// readGroup reads an entry of groups/delta. There, properties that have not
// changed are repeated if any other has; a missing one was never set, and an
// entry without a name tells of members only. members@delta is what changed of
// the members, missing if nothing has. Source: Microsoft Graph documentation,
// "Get delta for group objects".
func (m *members) readGroup(s *scan.Scanner, it *directory.TeamItem) (known bool) {
	var g group
	var gone directory.Reason
	whole := true
	m.all = m.all[:0]
	for name := range s.Members() {
		switch name {
		case "id":
			g.ID = readID(s)
		case "@removed":
			gone = readRemoved(s)
		case "displayName":
			g.Name, it.Told = s.String(), true
		case "description":
			g.Description = s.String()
		case "mail":
			g.Mail = s.String()
		case "visibility":
			g.Visibility = s.String()
		case "groupTypes":
			g.Types = s.Strings()
		case "securityEnabled":
			g.Security, _ = s.Bool()
		case "resourceProvisioningOptions":
			g.Options = s.Strings()
		case "members@delta":
			whole = m.read(s)
		default:
			s.Skip()
		}
	}
	if gone != "" {
		*it = directory.TeamItem{Team: directory.Team{ID: g.ID}, Removed: gone}
		return g.ID != ""
	}
	if it.Team.ID = g.ID; it.Told { // else its kind would be a guess
		it.Team = g.team()
	}
	m.last()
	it.Joined, it.Left = m.ids(s, false), m.ids(s, true)
	return g.ID != "" && whole
}

// read reads the members, and reports whether each has an ID.
func (m *members) read(s *scan.Scanner) (whole bool) {
	whole = true
	m.all = m.all[:0]
	for range s.Elements() {
		one := member{user: true}
		for name := range s.Members() {
			switch name {
			case "@odata.type":
				o := object{Type: s.String()}
				one.user = o.is("user")
			case "id":
				one.id, one.hash = lowerID(s)
			case "@removed":
				one.removed = readRemoved(s) != ""
			default:
				s.Skip()
			}
		}
		whole = whole && one.id != ""
		m.all = append(m.all, one)
	}
	return whole
}

// last leaves of each user the last entry, which may take back earlier ones.
func (m *members) last() {
	if need := 2 * len(m.all); need > len(m.slots) {
		n := 64
		for n < need {
			n *= 2
		}
		m.slots, m.round = make([]slot, n), 0
	}
	m.round++
	mask := uint32(len(m.slots) - 1)
	for i := range m.all {
		one := &m.all[i]
		if !one.user {
			continue
		}
		for at := one.hash; ; at++ {
			in := &m.slots[at&mask]
			if in.round == m.round && m.all[in.at].id != one.id {
				continue
			}
			if in.round == m.round {
				m.all[in.at].user = false
			}
			*in = slot{m.round, uint32(i)}
			break
		}
	}
}

// ids are the users who left, or those who joined.
func (m *members) ids(s *scan.Scanner, left bool) []string {
	s.Begin()
	for i := range m.all {
		if one := &m.all[i]; one.user && one.removed == left {
			s.Add(one.id)
		}
	}
	return s.List()
}
