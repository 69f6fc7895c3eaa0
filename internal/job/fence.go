package job

import (
	"time"

	"rollcall/internal/directory"
)

// Fence is the one row by which a connection's stored directory is guarded.
// Every transaction rewrites it under the version it was read at, so whoever
// holds an old version can write nothing. It holds all that a run needs to go
// on after a crash: the run's record, its place, and the delta link.
type Fence struct {
	// Epoch rises by one with every takeover. A worker that finds another
	// epoch than its own has been replaced.
	Epoch int64 `json:"epoch"`
	// Closed is true when the connection has ended: no run ever opens again.
	Closed bool `json:"closed,omitempty"`
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
	// Tally counts the people, Teams the teams, and Memberships the
	// memberships of active teams, which are never archived.
	Tally
	Teams       Tally  `json:"teams,omitzero"`
	Memberships Tally  `json:"memberships,omitzero"`
	People      Cursor `json:"people"`
	Groups      Cursor `json:"groups,omitzero"`
	// Backlog names teams whose members are to be listed one team at a time,
	// since a delta round tells only of changes; Members is the place in the
	// first one's list.
	Backlog []string `json:"backlog,omitempty"`
	Members Cursor   `json:"members,omitzero"`
	// Managers is the place in the sweep that repairs reporting lines.
	Managers  Cursor        `json:"managers,omitzero"`
	Scope     Scope         `json:"scope,omitzero"`
	Mailboxes MailboxCursor `json:"mailboxes,omitzero"`
	Positions Fold          `json:"positions,omitzero"`
	// Erasing is how far an erasure has come.
	Erasing Fold `json:"erasing,omitzero"`
	// Expiry is how far the purge of people has come who were archived long ago.
	Expiry Expiry `json:"expiry,omitzero"`
	// Index is which rows of the index of people are to be believed.
	Index Index `json:"index,omitzero"`
	// Erased counts the people who were erased and are not to be stored again.
	Erased int `json:"erased,omitempty"`
	// Plan is the held plan that waits for a decision, nil if none does.
	Plan *Plan `json:"plan,omitempty"`
	// Verdict is what the guard said of the removals of the open run.
	Verdict Verdicts `json:"verdict,omitzero"`
	// Untidy is true while rows may be stored of what an enumeration or a scope
	// has left behind.
	Untidy bool `json:"untidy,omitempty"`

	// Version is the store's opaque version; empty before the first commit.
	Version string `json:"-"`
}

// Tally counts what is stored of one kind: those stored, those not archived,
// those whose removal waits for the run's end, and those whose removal is part
// of the held plan.
type Tally struct {
	Stored  int `json:"stored"`
	Active  int `json:"active"`
	Pending int `json:"pending,omitempty"`
	Held    int `json:"held,omitempty"`
}

// Verdict is what is to be done with the removals of one kind that wait.
type Verdict string

// The verdicts.
const (
	Settle Verdict = "settle" // do them
	Hold   Verdict = "hold"   // make them part of a plan that waits for a human
	Wait   Verdict = "wait"   // leave them to a later run
)

// Verdicts holds the verdict on each kind; empty where none waits.
type Verdicts struct {
	People      Verdict `json:"people,omitempty"`
	Teams       Verdict `json:"teams,omitempty"`
	Memberships Verdict `json:"memberships,omitempty"`
}

// Of returns the verdict on a kind, to be read or set.
func (v *Verdicts) Of(k directory.Kind) *Verdict {
	switch k {
	case directory.Teams:
		return &v.Teams
	case directory.Memberships:
		return &v.Memberships
	default:
		return &v.People
	}
}

// Any reports whether v is the verdict on some kind.
func (v *Verdicts) Any(want Verdict) bool {
	return v.People == want || v.Teams == want || v.Memberships == want
}

// Counted returns the tally of a kind, to be read or changed.
func (f *Fence) Counted(k directory.Kind) *Tally {
	switch k {
	case directory.Teams:
		return &f.Teams
	case directory.Memberships:
		return &f.Memberships
	default:
		return &f.Tally
	}
}

// Waiting reports whether any removal waits for the run's end.
func (f *Fence) Waiting() bool {
	return f.Tally.Pending > 0 || f.Teams.Pending > 0 || f.Memberships.Pending > 0
}

// Holding reports whether any removal is part of a held plan.
func (f *Fence) Holding() bool {
	return f.Tally.Held > 0 || f.Teams.Held > 0 || f.Memberships.Held > 0
}

// Scope is whom the connection's settings choose, as far as a run has applied
// them.
type Scope struct {
	// NoGuests, NoDisabled and Grouped are the settings by which the stored
	// people were chosen: without guests, without disabled accounts, only
	// members of groups.
	NoGuests   bool `json:"noGuests,omitempty"`
	NoDisabled bool `json:"noDisabled,omitempty"`
	Grouped    bool `json:"grouped,omitempty"`
	// Set names the stored members of the scope groups, empty if there are
	// none. Next names those being listed, of the group At, up to the page
	// Link; Count is how many of that group have come.
	Set   string `json:"set,omitempty"`
	Next  string `json:"next,omitempty"`
	At    int    `json:"at,omitempty"`
	Link  string `json:"link,omitempty"`
	Count int    `json:"count,omitempty"`
	// Swept is the person up to whom the difference of both sets, or the
	// judging of everybody stored, has come.
	Swept string `json:"swept,omitempty"`
	// Rejudge is true while the stored people are to be judged anew, because
	// the settings have become narrower.
	Rejudge bool `json:"rejudge,omitempty"`
	// Problem is why no removal of this run may be done: a scope group that is
	// gone, forbidden or empty.
	Problem *Skipped `json:"problem,omitempty"`
}

// MailboxCursor is the place in the mailbox usage report.
type MailboxCursor struct {
	// Done is the date of the report that was read to its end, Reading of the
	// one under way, and Row how many of its rows are done with.
	Done    string `json:"done,omitempty"`
	Reading string `json:"reading,omitempty"`
	Row     int    `json:"row,omitempty"`
	// Typed is the date of the report whose mailboxes have all been asked for
	// their purpose; Swept the mailbox up to whom the asking has come.
	Typed string `json:"typed,omitempty"`
	Swept string `json:"swept,omitempty"`
}

// Fold is the place in the numbered changes of what is made of them.
type Fold struct {
	// Through is the number of the last change that was taken in, To the last
	// one of those being taken in, up to the row or record Swept.
	Through int64  `json:"through,omitempty"`
	To      int64  `json:"to,omitempty"`
	Swept   string `json:"swept,omitempty"`
}

// Expiry is the place in the purge of people who were archived long ago.
type Expiry struct {
	// At is when the last look for such people ended. It left nobody who was
	// archived before Oldest.
	At     time.Time `json:"at,omitzero"`
	Oldest time.Time `json:"oldest,omitzero"`
	// Swept is the person up to whom the look under way has come, and Least
	// when the first of those was archived whom it has left so far.
	Swept string    `json:"swept,omitempty"`
	Least time.Time `json:"least,omitzero"`
	// People are those who are being purged, Mailboxes what goes with them.
	People    []string `json:"people,omitempty"`
	Mailboxes []string `json:"mailboxes,omitempty"`
}

// Index is the packed index of the stored people: who is stored, and with what
// fingerprint. Every transaction that writes people adds a row to it.
type Index struct {
	// From is the number of the commit with which the index begins: it tells of
	// everybody stored, by rows of that commit and later ones. 0 means that
	// there is none.
	From int64 `json:"from,omitempty"`
	// Rows is how many rows that are.
	Rows int `json:"rows,omitempty"`
	// Next is the number of the commit with which the index will begin that is
	// being made, so far of everybody up to Swept, in Made rows; 0 if none is.
	Next  int64  `json:"next,omitempty"`
	Swept string `json:"swept,omitempty"`
	Made  int    `json:"made,omitempty"`
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
	// FullAt is when a full enumeration last came to its end.
	FullAt time.Time `json:"fullAt,omitzero"`
	// Swept is the person up to whom the sweep after an enumeration has come.
	Swept string `json:"swept,omitempty"`
	// Hash is of the properties and scope that Delta was asked with.
	Hash string `json:"hash,omitempty"`
	// Enum names the full enumeration under way, under which the IDs seen are
	// stored; empty in a delta round. Fresh is true if nobody was stored when
	// it began, so that nobody can be missing.
	Enum  string `json:"enum,omitempty"`
	Fresh bool   `json:"fresh,omitempty"`
	// Why is why that enumeration was begun.
	Why string `json:"why,omitempty"`
	// Scoped is true if only the memberships of people in scope were taken in.
	Scoped bool `json:"scoped,omitempty"`
	// Sharded is true while a first enumeration lists people in parallel, and
	// from then on until a chain of pages has come to its end: such a list
	// proves nobody's absence.
	Sharded bool `json:"sharded,omitempty"`
	// Chain is true if that was tried and did not do: then pages are followed
	// one by one.
	Chain bool `json:"chain,omitempty"`
	// Latest is the delta link from before that list began, empty once it is
	// followed; Expected is how many people Microsoft counted then, and Listed
	// how many the list has had whom the settings leave out.
	Latest   string `json:"latest,omitempty"`
	Expected int    `json:"expected,omitempty"`
	Listed   int    `json:"listed,omitempty"`
}

// FenceMoved is the code of the conflict that a commit under an old version
// meets.
const FenceMoved = "fence_moved"

// OpenRun is the code of what has to wait because a run is open: it is put
// back for just as long as the error says.
const OpenRun = "run_open"

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
