package directory

import "time"

// Type is what happened to whom.
type Type string

// The types of changes.
const (
	Created     Type = "person.created"
	Updated     Type = "person.updated"
	Archived    Type = "person.archived"
	Reactivated Type = "person.reactivated"
	// Erased: the record and all that the feed told of the person are gone.
	Erased Type = "person.erased"
	// Redacted stands where a change of an erased person was.
	Redacted Type = "redacted"

	TeamCreated     Type = "team.created"
	TeamUpdated     Type = "team.updated"
	TeamArchived    Type = "team.archived"
	TeamReactivated Type = "team.reactivated"
	// TeamMembers: people joined or left a team.
	TeamMembers Type = "team.members"

	LicenseCreated     Type = "license.created"
	LicenseUpdated     Type = "license.updated"
	LicenseArchived    Type = "license.archived"
	LicenseReactivated Type = "license.reactivated"

	MailboxCreated     Type = "mailbox.created"
	MailboxUpdated     Type = "mailbox.updated"
	MailboxArchived    Type = "mailbox.archived"
	MailboxReactivated Type = "mailbox.reactivated"

	PositionCreated     Type = "position.created"
	PositionArchived    Type = "position.archived"
	PositionReactivated Type = "position.reactivated"
)

// Change is one committed difference. Numbers of a connection begin at 1 and
// have no gaps; applying all changes in order to nothing gives the stored
// state.
type Change struct {
	Number int64     `json:"number"`
	Type   Type      `json:"type"`
	ID     string    `json:"id"`
	Run    string    `json:"run"`
	At     time.Time `json:"at"`
	// Set holds the properties that changed with their new values, null for a
	// cleared one. A creation has all that are not empty.
	Set Set `json:"set,omitempty"`
	// Reason is why it was archived.
	Reason Reason `json:"reason,omitempty"`
	// Joined and Left are the people, by ID, who became members of the team or
	// are members no more. They may not be in the directory, or not yet.
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`
	// Position is how the person's position changed; nil if it did not.
	Position *Move `json:"position,omitempty"`
	// Was holds the earlier values of what is in Set. Only previews have it.
	Was Set `json:"was,omitempty"`
}

// Move is a person's change of position, by [PositionID]; empty for none.
type Move struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Item is one entry of a page of users/delta.
type Item struct {
	Person
	// HasManager is false if the page said nothing about the manager, which
	// means unchanged, never none.
	HasManager bool
	// Removed is why Microsoft says that the user is gone; empty if present.
	Removed Reason
}

// Page is one page of people.
type Page struct {
	Items []Item
	// Next is the link of the following page, Delta the link with which the
	// next round begins. Exactly one of them is set.
	Next  string
	Delta string
}

// ListPage is one page of a plain list of people, which always tells the
// managers. The last page has no Next.
type ListPage struct {
	Items []Item
	Next  string
}

// Shard is how far the people whose user principal names begin alike have
// been listed, in a first enumeration that lists many such shards at once.
type Shard struct {
	// Name is the beginning of the names, in hex.
	Name string `json:"name"`
	// Next is the link of the following page, empty before the first.
	Next  string `json:"next,omitempty"`
	Pages int    `json:"pages,omitempty"` // read so far
	Done  bool   `json:"done,omitempty"`
	// Split is true if it is listed by the shards below it, of one character more.
	Split bool `json:"split,omitempty"`
	// Forgotten is how often Microsoft did not know any more where it was.
	Forgotten int `json:"forgotten,omitempty"`
}

// Merge returns the stored record as it is after an item that is present:
// reactivated if it was archived, without a pending removal. All properties
// are the item's, since a page repeats the unchanged ones; only an unmentioned
// manager stays. A nil prior is a person who was never stored.
func Merge(prior *Record, it Item) Record {
	next := Record{Person: it.Person}
	if prior != nil {
		next.Created = prior.Created
		next.Changed = prior.Changed
		if !it.HasManager {
			next.Manager = prior.Manager
		}
	}
	return next
}

var nobody Person // never written

// Compare returns the change that leads from prior to next, without number,
// run and time, or nil if what the product sees is the same.
func Compare(prior, next *Record) *Change {
	if c, changed := new(Differ).Compare(prior, next); changed {
		return &c
	}
	return nil
}

// Compare is like the function of that name; changed is false for nil.
func (d *Differ) Compare(prior, next *Record) (c Change, changed bool) {
	if prior == nil {
		return Change{Type: Created, ID: next.ID, Set: d.difference(&nobody, &next.Person)}, true
	}
	c = Change{ID: next.ID, Set: d.difference(&prior.Person, &next.Person)}
	switch {
	case prior.Active() && !next.Active():
		c.Type, c.Reason = Archived, next.Reason
	case !prior.Active() && next.Active():
		c.Type = Reactivated
	case c.Set == nil:
		return Change{}, false
	default:
		c.Type = Updated
	}
	return c, true
}

// Batch is what one transaction writes beside the fence, all of one
// connection.
type Batch struct {
	// Add holds records that are not stored yet: the store refuses the whole
	// batch with [fault.Conflict], code "EntityAlreadyExists", if one is.
	Add []Record
	// Put holds records that replace stored ones.
	Put []Record
	// Changes are numbered without gaps.
	Changes []Change
	// Teams, Rosters, Licenses, Mailboxes and Positions hold records that are
	// new or replace stored ones; a roster without members is dropped.
	Teams     []TeamRecord
	Rosters   []Roster
	Licenses  []LicenseRecord
	Mailboxes []MailboxRecord
	Positions []PositionRecord
	// Lists puts IDs on the lists of waiting removals, and takes them off.
	Lists []Listing
	// Scope holds IDs of the people whom the scope groups contain, to be
	// stored under the name ScopeSet.
	ScopeSet string
	Scope    []string
	// Erase names people whose record is to be deleted; Erased puts them on
	// the list of those who are not to be stored again, Unerased takes them off.
	Erase            []string
	Erased, Unerased []string
	// EraseMailboxes names stored mailboxes to be deleted with their owner.
	EraseMailboxes []string
	// Redact replaces stored rows of changes.
	Redact []ChangeRow
	// Enum and Seen are the IDs that an enumeration has come across; DropSeen
	// are names of stored rows, of such IDs or of a scope, that are no longer
	// needed.
	Enum     string
	Seen     []string
	DropSeen []string
	// Staged holds more such IDs, each under a name of their own.
	Staged []Staged
	// Index holds entries of the index that the batch adds by itself, when it
	// is compacted, besides those of Add, Put and Erase.
	Index []Indexed
	// Shards hold how far a sharded first enumeration has come.
	Shards []Shard
}

// Staged is a list of IDs that waits to be compared with what is stored.
type Staged struct {
	Enum string
	IDs  []string
}

// List is a list of removals that wait.
type List string

// The lists: for the end of the run, or for a human. A team is on the list
// of memberships if one of its own memberships waits.
const (
	PendingPeople      List = "x!"
	HeldPeople         List = "h!"
	PendingTeams       List = "xt!"
	HeldTeams          List = "ht!"
	PendingMemberships List = "xm!"
	HeldMemberships    List = "hm!"
)

// Listing puts an ID on a list, or takes it off.
type Listing struct {
	List List
	ID   string
	Off  bool
}

// ChangeRow is a stored row of changes, by its name.
type ChangeRow struct {
	Row     string
	Changes []Change
}

// MaxRows is how many rows a batch may hold beside the fence, the packed
// changes and the IDs seen. A table transaction takes 100.
const MaxRows = 96

// Rows counts the rows that the batch writes one by one.
func (b *Batch) Rows() int {
	return len(b.Add) + len(b.Put) + len(b.Teams) + len(b.Rosters) + len(b.Licenses) + len(b.Mailboxes) + len(b.Positions) +
		len(b.Lists) + len(b.Erase) + len(b.EraseMailboxes) + len(b.Erased) + len(b.Unerased) + len(b.Redact) + len(b.DropSeen) + len(b.Staged) + len(b.Shards)
}
