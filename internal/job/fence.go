package job

import "time"

// Fence is the one row by which a connection's stored directory is guarded.
// Every transaction rewrites it under the version it was read at, so whoever
// holds an old version can write nothing. It holds all that a run needs to go
// on after a crash: the run's record, its place, and the delta link.
type Fence struct {
	// Epoch rises by one with every takeover. A worker that finds another
	// epoch than its own has been replaced.
	Epoch int64 `json:"epoch"`
	// Seq counts the commits of this row.
	Seq int64 `json:"seq"`
	// Commit is a random name of the commit that wrote this row. It tells a
	// worker whose answer was lost whether its own commit took effect.
	Commit string `json:"commit,omitempty"`
	// Run is the open run, or the one that ended last.
	Run Run `json:"run"`
	// Slice is the continuation that the open run waits for.
	Slice int `json:"slice"`
	// Attempt counts failures since the last progress, for the back-off.
	Attempt int `json:"attempt,omitempty"`
	// Touched is when a worker last committed for the open run.
	Touched time.Time `json:"touched,omitzero"`
	// Recent holds the IDs of runs that ended, newest first: a late message
	// of one of them opens nothing.
	Recent []string `json:"recent,omitempty"`
	// LastChange is the number of the newest change.
	LastChange int64 `json:"lastChange"`
	// Stored counts the people stored, Active those not archived, Pending
	// those whose removal waits for the run's end.
	Stored  int    `json:"stored"`
	Active  int    `json:"active"`
	Pending int    `json:"pending,omitempty"`
	People  Cursor `json:"people"`
	// Plan is the held plan that waits for a decision, nil if none does; Held
	// counts those of its people who have not returned.
	Plan *Plan `json:"plan,omitempty"`
	Held int   `json:"held,omitempty"`

	// Version is the store's opaque version; empty before the first commit.
	Version string `json:"-"`
}

// Cursor is the place in one kind of Graph collection.
type Cursor struct {
	// Next is the link of the page to fetch next within a round; empty
	// between rounds and at the start of an enumeration.
	Next string `json:"next,omitempty"`
	// Delta is the link that the last complete round ended with, and DeltaAt
	// when it did.
	Delta   string    `json:"delta,omitempty"`
	DeltaAt time.Time `json:"deltaAt,omitzero"`
	// Swept is the person up to whom the sweep after an enumeration has come.
	Swept string `json:"swept,omitempty"`
	// Hash is of the properties and scope that Delta was asked with.
	Hash string `json:"hash,omitempty"`
	// Enum names the full enumeration under way, under which the IDs seen are
	// stored; empty in a delta round. Fresh is true if nobody was stored when
	// it began, so that nobody can be missing.
	Enum  string `json:"enum,omitempty"`
	Fresh bool   `json:"fresh,omitempty"`
}

// FenceMoved is the code of the conflict that a commit under an old version
// meets.
const FenceMoved = "fence_moved"

// maxRecent bounds Fence.Recent: a message can be late by the queue's
// deliveries, a dozen at most, never by weeks.
const maxRecent = 16

// Open reports whether a run is open.
func (f *Fence) Open() bool { return f.Run.State == Running || f.Run.State == Waiting }

// Ended reports whether the run has ended on this connection, as far back as
// a late message can reach.
func (f *Fence) Ended(run string) bool {
	for _, r := range f.Recent {
		if r == run {
			return true
		}
	}
	return false
}

// End closes the open run with the given state.
func (f *Fence) End(s State, at time.Time) {
	f.Run.State = s
	f.Run.Ended = at
	f.Run.NextTry = time.Time{}
	f.Run.LastChange = f.LastChange
	f.Attempt = 0
	f.Recent = append([]string{f.Run.ID}, f.Recent...)
	if len(f.Recent) > maxRecent {
		f.Recent = f.Recent[:maxRecent]
	}
}
