package directory

import (
	"encoding/json"
	"time"
)

// Type is what happened to whom.
type Type string

// The types of changes.
const (
	Created     Type = "person.created"
	Updated     Type = "person.updated"
	Archived    Type = "person.archived"
	Reactivated Type = "person.reactivated"
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
	Set map[string]json.RawMessage `json:"set,omitempty"`
	// Reason is why the person was archived.
	Reason Reason `json:"reason,omitempty"`
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
	// Calls is how many requests it took.
	Calls int
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

// Compare returns the change that leads from prior to next, without number,
// run and time, or nil if what the product sees is the same.
func Compare(prior, next *Record) *Change {
	switch {
	case prior == nil:
		return &Change{Type: Created, ID: next.ID, Set: Difference(&Person{}, &next.Person)}
	case prior.Active() && !next.Active():
		return &Change{Type: Archived, ID: next.ID, Reason: next.Reason, Set: Difference(&prior.Person, &next.Person)}
	case !prior.Active() && next.Active():
		return &Change{Type: Reactivated, ID: next.ID, Set: Difference(&prior.Person, &next.Person)}
	case prior.Fingerprint() == next.Fingerprint():
		return nil
	default:
		return &Change{Type: Updated, ID: next.ID, Set: Difference(&prior.Person, &next.Person)}
	}
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
	// Pend names people whose pending removal is to be listed, Unpend those
	// whose listed removal is to be dropped.
	Pend   []string
	Unpend []string
	// Hold names people whose listed removal becomes part of the held plan,
	// Unhold those who drop out of it.
	Hold   []string
	Unhold []string
	// Enum and Seen are the IDs that an enumeration has come across; DropSeen
	// are names of stored lists of such IDs that are no longer needed.
	Enum     string
	Seen     []string
	DropSeen []string
}

// MaxRows is how many rows a batch may hold beside the fence, the packed
// changes and the IDs seen. A table transaction takes 100.
const MaxRows = 96

// Rows counts the rows that the batch writes one by one.
func (b *Batch) Rows() int {
	return len(b.Add) + len(b.Put) + len(b.Pend) + len(b.Unpend) + len(b.Hold) + len(b.Unhold) + len(b.DropSeen)
}
