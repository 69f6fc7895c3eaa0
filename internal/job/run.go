package job

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"rollcall/internal/fault"
)

// State is where a run stands.
type State string

// The states of a run.
const (
	Queued    State = "queued" // asked for, not yet opened
	Running   State = "running"
	Waiting   State = "waiting" // for Microsoft, between two slices
	Succeeded State = "succeeded"
	RunFailed State = "failed"
	Merged    State = "merged" // its work was done by the run in MergedInto
	// Held: everything but removals is written; they wait for a human.
	Held State = "held"
	// Stopped: somebody paused or offboarded the connection. What the run had
	// written stays.
	Stopped State = "stopped"
)

// Counters is what a run did. What was created, updated, archived and
// reactivated is exact: it commits in the same transactions as the rows that it
// counts.
type Counters struct {
	Created     int `json:"created,omitempty"`
	Updated     int `json:"updated,omitempty"`
	Archived    int `json:"archived,omitempty"`
	Reactivated int `json:"reactivated,omitempty"`
	// Purged is how many people went for good who were archived long ago.
	Purged    int `json:"purged,omitempty"`
	Unchanged int `json:"unchanged,omitempty"`
	// Seen is how many people Microsoft listed, repeats included. It and
	// Unchanged count the people of a page again that is read again after a
	// crash.
	Seen int `json:"seen,omitempty"`
	// GraphCalls counts requests to Graph, tries included; a slice that was
	// killed took its uncommitted calls with it.
	GraphCalls int `json:"graphCalls,omitempty"`
	// Units is what those requests cost, as Microsoft said: resource units.
	Units        int `json:"units,omitempty"`
	Throttles    int `json:"throttles,omitempty"`
	Retries      int `json:"retries,omitempty"`
	Transactions int `json:"transactions,omitempty"`
	Pages        int `json:"pages,omitempty"`
}

// Run is the record of one run, written for a person to read.
type Run struct {
	ID      string  `json:"id"`
	Trigger Trigger `json:"trigger"`
	State   State   `json:"state"`
	// By is the actor who asked for the run, as the vendor asserted; empty if
	// nobody did.
	By string `json:"by,omitempty"`
	// Phase is what the run is at, or was at when it ended.
	Phase string `json:"phase"`
	// Full is true if the whole tenant was enumerated, and Why says why.
	Full bool   `json:"full,omitempty"`
	Why  string `json:"why,omitempty"`
	// Slices is how many worker invocations the run was cut into so far.
	Slices int       `json:"slices,omitempty"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`
	// NextTry is when a waiting run goes on, Throttled is true if it waits
	// because Microsoft asked for it.
	NextTry    time.Time `json:"nextTry,omitzero"`
	Throttled  bool      `json:"throttled,omitempty"`
	MergedInto string    `json:"mergedInto,omitempty"`
	Counters
	// Error and Remedy are plain words; empty while nothing is wrong.
	Error  string `json:"error,omitempty"`
	Code   string `json:"code,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	// Class says whose trouble a failure was; empty where nobody judged.
	Class fault.Class `json:"class,omitempty"`
	// LastChange is the number of the last change of the connection when this
	// record was written.
	LastChange int64 `json:"lastChange,omitempty"`
	// FirstChange is the number of the last change before the run.
	FirstChange int64 `json:"firstChange,omitempty"`
	// Phases is what the run has gone through, in order; the last may be open.
	Phases []Phase `json:"phases,omitempty"`
	// Skipped is what the run left out, and why.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Person is whom a run for one person or an erasure is about, and Steps
	// what it did, with reasons.
	Person string `json:"person,omitempty"`
	Steps  []Step `json:"steps,omitempty"`
	// Forecast is what a preview found; nil for other runs.
	Forecast *Forecast `json:"forecast,omitempty"`
	// Override is true if the guard was set aside for this run by a human.
	Override bool `json:"override,omitempty"`
	// Teams, Memberships and so on count changes of their kind.
	Teams       KindCounters `json:"teams,omitzero"`
	Memberships KindCounters `json:"memberships,omitzero"`
	Licenses    KindCounters `json:"licenses,omitzero"`
	Mailboxes   KindCounters `json:"mailboxes,omitzero"`
	Positions   KindCounters `json:"positions,omitzero"`
	// Plan is the plan of removals that waited for a human when the run ended,
	// or that the run decided.
	Plan *Plan `json:"plan,omitempty"`
}

// KindCounters counts changes of one kind other than people, exactly.
// Memberships are created and archived only.
type KindCounters struct {
	Created     int `json:"created,omitempty"`
	Updated     int `json:"updated,omitempty"`
	Archived    int `json:"archived,omitempty"`
	Reactivated int `json:"reactivated,omitempty"`
}

// Phase is one part of a run, with what happened in it.
type Phase struct {
	Name  string    `json:"name"`
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`
	// Full is true for a complete enumeration, and Why says why.
	Full bool   `json:"full,omitempty"`
	Why  string `json:"why,omitempty"`
	// Pages, GraphCalls, Units and Changes count within the phase.
	Pages      int   `json:"pages,omitempty"`
	GraphCalls int   `json:"graphCalls,omitempty"`
	Units      int   `json:"units,omitempty"`
	Changes    int64 `json:"changes,omitempty"`
}

// Skipped is something that a run left out, in plain words.
type Skipped struct {
	// What is a category, such as licenses, or a scope group's ID.
	What    string `json:"what"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
	// Consent is true if a new consent gives what is missing.
	Consent bool `json:"consent,omitempty"`
}

// Step is one step of a run for one person. It names no values of the
// person's: those are in the record, which can be erased.
type Step struct {
	Name   string `json:"name"`   // found, scope, fields, manager, teams, written
	Result string `json:"result"` // one word for machines
	Detail string `json:"detail"` // one sentence for people
}

// Forecast is how things would stand after a run that was only previewed.
type Forecast struct {
	// Total is how many people would be active afterwards; HeldPeople and the
	// others, how many removals would wait for a human.
	Total           int `json:"total"`
	HeldPeople      int `json:"heldPeople"`
	HeldTeams       int `json:"heldTeams"`
	HeldMemberships int `json:"heldMemberships"`
	// LicensesTotal and LicensesAvailable are over all SKUs.
	LicensesTotal     int `json:"licensesTotal"`
	LicensesAvailable int `json:"licensesAvailable"`
}

// Plan is a list of removals that the guard has held. It never grows: who
// leaves later waits for the next plan. Who returns drops out.
type Plan struct {
	// Hash is of the list as it was held; a decision names it.
	Hash string `json:"hash"`
	// Run is the run that was held, At when.
	Run string    `json:"run"`
	At  time.Time `json:"at"`
	// Count is how many people it would archive, of so many who were Active.
	Count  int `json:"count"`
	Active int `json:"active"`
	// Teams and Memberships are how many of these it would remove.
	Teams       int `json:"teams,omitempty"`
	Memberships int `json:"memberships,omitempty"`
}

// short is 12 hex digits of a hash: enough to tell apart the runs of one
// connection that begin in the same millisecond.
func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
