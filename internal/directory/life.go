package directory

import "time"

// Life is what is stored of a person or team beside what Microsoft says.
type Life struct {
	// Archived is when it left, zero while active; Reason says how we know.
	Archived time.Time `json:"archived,omitzero"`
	Reason   Reason    `json:"reason,omitempty"`
	// Pending is why the removal waits for the end of the run; empty if none
	// waits.
	Pending Reason `json:"pending,omitempty"`
	// Held is true if that removal is part of a held plan.
	Held bool `json:"held,omitempty"`
	// Kept is true if a human has rejected the removal: it is not proposed
	// again until the person or team reappears and leaves.
	Kept bool `json:"kept,omitempty"`
	// Created is when the record was first stored.
	Created time.Time `json:"created"`
	// Changed is the number of the last change of this record.
	Changed int64 `json:"changed"`
}

// Active reports whether it is not archived.
func (l *Life) Active() bool { return l.Archived.IsZero() }

// Removable reports whether a removal may be proposed: it is active, none
// waits, and no human has rejected one.
func (l *Life) Removable() bool { return l.Active() && l.Pending == "" && !l.Kept }

// Reason is how we know that somebody left.
type Reason string

// The reasons for which something is archived.
const (
	// SoftDeleted: Microsoft says deleted, restorable for 30 days.
	SoftDeleted Reason = "softDeleted"
	// Deleted: Microsoft says deleted for good.
	Deleted Reason = "deleted"
	// Missing: not in a complete enumeration, and confirmed to be gone.
	Missing Reason = "missing"
	// OutOfScope: still in the tenant, and no longer among those whom the
	// connection's settings choose.
	OutOfScope Reason = "outOfScope"
)

// Kind is a kind of object whose removals pass the guard.
type Kind string

// The kinds of objects.
const (
	People      Kind = "people"
	Teams       Kind = "teams"
	Memberships Kind = "memberships"
)
