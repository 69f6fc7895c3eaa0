// Package connection is the link between one company and one Microsoft
// tenant: its settings, its status and the transitions a status may make.
//
// A status changes only along [Transitions]; whoever stores a connection
// compares the version it read.
package connection

import (
	"crypto/rand"
	"strings"
	"time"
)

// Connection is one company's connection. Times are UTC.
type Connection struct {
	// ID is 26 characters of lower-case base 32: unguessable, and safe in
	// paths and table keys.
	ID string
	// Company is the vendor's own key for the company, 1 to 128 characters.
	Company string
	// Name is the company's name as the administrator will read it.
	Name string
	// NamedTenant is the tenant that the vendor expects, or empty. If set, no
	// other tenant can be connected.
	NamedTenant string `json:",omitzero"`
	// Tenant is the proven tenant ID, a lower-case GUID; empty before consent.
	Tenant string `json:",omitzero"`
	Status Status
	// Problem is what went wrong last and what to do about it; nil if nothing.
	Problem *Problem `json:",omitzero"`

	// Link is the generation of the secure link; a link of another
	// generation is dead.
	Link int `json:",omitzero"`
	// LinkExpires is when the current link stops working.
	LinkExpires time.Time `json:",omitzero"`
	// Approved is a person without an administrator role whom the vendor has
	// allowed to bind a tenant; nil if none.
	Approved *Approval `json:",omitzero"`

	// Profile is the permission profile that the tenant consented to, App the
	// client ID of its app registration; both empty before consent, and of a
	// connection from before there were profiles.
	Profile string `json:",omitzero"`
	App     string `json:",omitzero"`
	// OwnApp is the name of the Key Vault secret with the connection's own app
	// registration; empty if the vendor's is used.
	OwnApp string `json:",omitzero"`

	// Verified is when the tenant was first proved to answer; zero before.
	Verified time.Time `json:",omitzero"`
	// Verify is the state of the check that follows consent.
	Verify Verify `json:",omitzero"`

	// Schedule is when the connection is synced; nil means at the vendor's
	// interval.
	Schedule *Schedule `json:",omitzero"`
	// NextDue is the slot of the next scheduled run; zero until connected, and
	// while the schedule is off.
	NextDue time.Time `json:",omitzero"`
	// Displaced is the regular slot in whose place NextDue is an earlier one,
	// because settings were saved; zero if there is none.
	Displaced time.Time `json:",omitzero"`
	// Interval is the vendor's interval when the last slot was passed; 0 before.
	Interval time.Duration `json:",omitzero"`
	// Manual is the last manual sync.
	Manual Manual `json:",omitzero"`
	// Again names the open run into which a manual sync was merged: when it
	// ends, one more run starts.
	Again string `json:",omitzero"`
	// LastRun is the run that ended last, LastSuccess when one last succeeded.
	LastRun     string    `json:",omitzero"`
	LastSuccess time.Time `json:",omitzero"`

	// Health is what failures so far say of the connection.
	Health Health `json:",omitzero"`
	// Paused says who stopped the syncs; nil unless the status is [Paused].
	Paused *Pause `json:",omitzero"`
	// Offboarding says how the connection ended, or is about to end; nil
	// otherwise.
	Offboarding *Offboarding `json:",omitzero"`

	// Decision is the last decision on a held plan of removals.
	Decision Decision `json:",omitzero"`
	// Guard is the connection's own limit of removals; nil means the
	// vendor's default.
	Guard *Guard `json:",omitzero"`
	// Override lets the next run pass the guard; nil if nobody asked for it.
	Override *Override `json:",omitzero"`
	// Settings is what is synced; nil means [Defaults].
	Settings *Settings `json:",omitzero"`
	// Asks are the last previews, syncs of one person and erasures that
	// somebody asked for, newest first, at most [MaxAsks].
	Asks []Ask `json:",omitzero"`

	CreatedAt time.Time `json:",omitzero"`
	// CreatedBy is the actor that the vendor asserted, as asserted.
	CreatedBy string `json:",omitzero"`

	// Version is the store's opaque version of what was read; an update with
	// an old one is refused with [fault.Conflict].
	Version string `json:"-"`
}

// Problem is a failure in plain words.
type Problem struct {
	// Code names the cause for machines, such as "Authorization_RequestDenied".
	Code string `json:"code,omitempty"`
	// Message says what happened, Remedy what to do next.
	Message string    `json:"message"`
	Remedy  string    `json:"remedy"`
	At      time.Time `json:"at"`
	// Consent is true if a new consent gives what is missing.
	Consent bool `json:"consent,omitempty"`
}

// Approval names the one person of one tenant who may bind it.
type Approval struct {
	Tenant string    `json:"tenant"`
	Object string    `json:"object"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
}

// Verify is the progress of the check that follows consent.
type Verify struct {
	// ID is the consent that is being verified; each consent has its own.
	ID string `json:"id,omitempty"`
	// Attempt counts the tries so far; the message of another attempt is stale.
	Attempt int `json:"attempt,omitempty"`
	// Since is when that consent came back.
	Since time.Time `json:"since,omitzero"`
	// Lacks are the permissions that the settings need and that the last token
	// did not carry; nil if none, or if that is not known.
	Lacks []string `json:"lacks,omitempty"`
	// Before is what was in force before that consent, and is again if it is
	// not confirmed; nil if the tenant had not been verified.
	Before *Consented `json:"before,omitempty"`
}

// Consented is what a tenant has consented to, and how the connection stood.
type Consented struct {
	Status  Status `json:"status"`
	Profile string `json:"profile,omitempty"`
	App     string `json:"app,omitempty"`
}

// Manual is a sync that an operator asked for.
type Manual struct {
	At time.Time `json:"at,omitzero"`
	// Run is the run's ID and its message's ID.
	Run string `json:"run,omitempty"`
	// Sent is false while it is unknown whether the message reached the queue.
	Sent bool `json:"sent,omitempty"`
	// By is the actor that the vendor asserted.
	By string `json:"by,omitempty"`
}

// Decision is what somebody decided of a held plan.
type Decision struct {
	// Plan is the plan's hash, Run the run that does what was decided.
	Plan    string    `json:"plan,omitempty"`
	Run     string    `json:"run,omitempty"`
	Approve bool      `json:"approve,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// By is the actor that the vendor asserted.
	By string `json:"by,omitempty"`
}

// StartedBy is the actor who asked for the run, as the vendor asserted; empty
// if nobody did.
func (c *Connection) StartedBy(run string) string {
	switch run {
	case c.Manual.Run:
		return c.Manual.By
	case c.Decision.Run:
		return c.Decision.By
	}
	for _, a := range c.Asks {
		if a.Run == run {
			return a.By
		}
	}
	return ""
}

// NewID returns a fresh connection ID from the system's random source.
func NewID() string { return strings.ToLower(rand.Text()) }

// Guard limits how many people a run may archive without a human.
type Guard struct {
	// MaxCount is the most people, MaxPercent the greatest part of those
	// active, where more than five are to go. 0 means no such limit.
	MaxCount   int `json:"maxCount"`
	MaxPercent int `json:"maxPercent"`
	// MaxTeams and MaxMemberships are MaxCount of teams and of memberships;
	// MaxPercent is for all three.
	MaxTeams       int `json:"maxTeams"`
	MaxMemberships int `json:"maxMemberships"`
}

// fewRemovals are never held for their share: in a company of ten, one leaver
// is ten percent.
const fewRemovals = 5

// Holds reports whether so many removals, at most maxCount of which are free,
// of so many that are active wait for a human.
func (g Guard) Holds(removals, active, maxCount int) bool {
	if maxCount > 0 && removals > maxCount {
		return true
	}
	return g.MaxPercent > 0 && removals > fewRemovals && removals*100 > g.MaxPercent*active
}

// Claim says which connection owns a tenant, since when.
type Claim struct {
	Tenant     string
	Connection string
	At         time.Time
}
