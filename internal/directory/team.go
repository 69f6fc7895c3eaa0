package directory

import (
	"bytes"
	"slices"
)

// TeamKind is what a group is to the customer.
type TeamKind string

// The kinds of groups that are synced.
const (
	// MicrosoftTeam is a Microsoft 365 group with a team in Microsoft Teams.
	MicrosoftTeam TeamKind = "team"
	// SecurityGroup is a group with rights, with or without mail, that is no
	// Microsoft 365 group.
	SecurityGroup TeamKind = "security"
	// OtherGroup is any other group. It is never stored.
	OtherGroup TeamKind = "other"
)

// Team is a group of the tenant with the properties that are synced.
type Team struct {
	// ID is the group's object ID, a lower-case GUID.
	ID          string   `json:"id"`
	DisplayName string   `json:"displayName,omitempty"`
	Description string   `json:"description,omitempty"`
	Mail        string   `json:"mail,omitempty"`
	Visibility  string   `json:"visibility,omitempty"`
	Kind        TeamKind `json:"kind,omitempty"`
	// Dynamic is true if a rule of the customer's decides who is a member.
	Dynamic bool `json:"dynamic,omitempty"`
}

// TeamRecord is a team as stored.
type TeamRecord struct {
	Team
	Life
	// Level is how many hex digits of a member's ID choose the roster row.
	Level int `json:"level,omitempty"`
}

// TeamItem is one entry of a page of groups/delta. A group with many members
// comes again on later pages with others of them.
type TeamItem struct {
	Team
	// Told is false if the entry says nothing of the group but its members.
	Told bool
	// Removed is why Microsoft says that the group is gone; empty if present.
	Removed Reason
	// Joined and Left are the users, by lower-case ID, whose direct
	// membership the entry tells of.
	Joined, Left []string
}

// TeamPage is one page of groups/delta; exactly one of the links is set.
type TeamPage struct {
	Items       []TeamItem
	Next, Delta string
}

// IDPage is one page of a list of IDs; the last has no Next.
type IDPage struct {
	IDs  []string
	Next string
}

// CompareTeams returns the change that leads from prior to next, without
// number, run and time, or nil if what the product sees is the same.
func CompareTeams(prior, next *TeamRecord) *Change {
	c := &Change{ID: next.ID}
	var before Team
	switch {
	case prior == nil:
		c.Type = TeamCreated
	case prior.Active() && !next.Active():
		c.Type, c.Reason = TeamArchived, next.Reason
	case !prior.Active() && next.Active():
		c.Type = TeamReactivated
	case prior.Team == next.Team:
		return nil
	default:
		c.Type = TeamUpdated
	}
	if prior != nil {
		before = prior.Team
	}
	c.diff("displayName", before.DisplayName, next.DisplayName)
	c.diff("description", before.Description, next.Description)
	c.diff("mail", before.Mail, next.Mail)
	c.diff("visibility", before.Visibility, next.Visibility)
	c.diff("kind", string(before.Kind), string(next.Kind))
	if before.Dynamic != next.Dynamic {
		c.Set = c.Set.flag("dynamic", next.Dynamic)
	}
	return c
}

// Roster is one row of a team's direct members: all of them, or those whose
// IDs begin with the bucket's hex digits. It holds 17 bytes a member, because
// a tenant has many more memberships than people.
type Roster struct {
	Team   string
	Bucket string
	// Members are sorted by key.
	Members []Member
}

// Member is one membership: the person's key (see [Key]) and its marks.
type Member struct {
	Key   [16]byte
	Marks Marks
}

// Marks are what is known of a membership beside that it exists: one of the
// marks below, or none.
type Marks byte

// The marks of a membership.
const (
	// MarkPending: its removal waits for the end of the run.
	MarkPending Marks = 1 << iota
	// MarkHeld: its removal is part of a held plan.
	MarkHeld
	// MarkKept: a human has rejected its removal.
	MarkKept
)

// MaxRoster is how many members one roster row takes; a longer one is split
// over sixteen rows of the next level. 20,000 are 340 kB of a row's 900.
const MaxRoster = 20000

// Find returns where the member is, or would be.
func (r *Roster) Find(key [16]byte) (at int, found bool) {
	return slices.BinarySearchFunc(r.Members, key, func(m Member, k [16]byte) int { return bytes.Compare(m.Key[:], k[:]) })
}
