package connection

import "time"

// Health is what failures say of a connection across its runs.
type Health struct {
	// Failures counts the runs in a row that failed by the customer's doing.
	Failures int `json:"failures,omitempty"`
	// Suspicion is set while Microsoft says that the app was withdrawn and that
	// is not confirmed; nil if nothing points to it.
	Suspicion *Suspicion `json:"suspicion,omitempty"`
	// Acquitted is when the last suspicion was taken for part of a [Wave]; zero
	// if none was since a run succeeded. It happens once: what is seen again is
	// no part of any wave.
	Acquitted time.Time `json:"acquitted,omitzero"`
}

// Suspicion is that a customer has withdrawn the app.
type Suspicion struct {
	// Code is Microsoft's name of the cause, such as AADSTS700016.
	Code string `json:"code"`
	// First and Last are when it was seen, Sightings how often so far; only
	// sightings hours apart count.
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Sightings int       `json:"sightings"`
}

// Pause is a stop of all syncs of a connection.
type Pause struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
	// Before is the status to which the connection returns.
	Before Status `json:"before"`
	// All is true if it was paused with all others: it is resumed with them.
	All bool `json:"all,omitempty"`
}

// Offboarding is the end of a connection.
type Offboarding struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
	// ID names the purge's job.
	ID string `json:"id"`
	// Tenant is the tenant that was connected, whose administrator has to
	// remove the app; empty if none was.
	Tenant string `json:"tenant,omitempty"`
	// To is the connection that the tenant was transferred to, if it was.
	To string `json:"to,omitempty"`
	// Purge is true if the data is to be purged, false if it is kept.
	Purge bool `json:"purge,omitempty"`
	// Step counts the purge's continuations.
	Step int `json:"step,omitempty"`
	// Deleted is how many rows and messages were deleted, by table or queue.
	Deleted map[string]int `json:"deleted,omitempty"`
	// Purged is when a last look at all of them found nothing; zero before.
	Purged time.Time `json:"purged,omitzero"`
}

// Schedule is when a connection is synced.
type Schedule struct {
	// Every is one of "daily", "twice", "hourly" and "off".
	Every string `json:"every"`
	// At is the local time of the daily sync, and of the first of two, which
	// are twelve hours of the clock apart: "HH:MM". Of hourly ones only its
	// minute counts.
	At string `json:"at,omitempty"`
	// Zone is an IANA time zone, such as Europe/Amsterdam.
	Zone string `json:"zone,omitempty"`
}

// Entry is one line of a connection's audit log. It names no person of a
// customer's directory but by ID.
type Entry struct {
	// ID sorts newest first within a connection.
	ID         string    `json:"id"`
	Connection string    `json:"connection"`
	At         time.Time `json:"at"`
	// Source is who is known to have acted: "api" (somebody with a function
	// key), "administrator" (who signed in at Microsoft, or followed the link)
	// or "rollcall".
	Source string `json:"source"`
	// Actor is whom the vendor asserts for "api", tenant and object ID of a
	// proven administrator, else empty.
	Actor string `json:"actor,omitempty"`
	// Action says what, such as "sync" or "settings.change".
	Action string `json:"action"`
	// Outcome is "asked" before an act, "done", or "refused: " and a code.
	Outcome string `json:"outcome"`
	// Detail holds IDs, codes and settings, never names, mail or secrets.
	Detail map[string]string `json:"detail,omitempty"`
}

// The sources of entries.
const (
	FromAPI           = "api"
	FromAdministrator = "administrator"
	FromRollcall      = "rollcall"
)

// SettingsDelay is how long after settings were saved a sync starts by itself,
// so that somebody who saves several times, or wrongly, can think again.
const SettingsDelay = time.Hour

// Hasten makes at the next slot, unless one comes before it, and remembers
// which regular one it displaced. A connection that was never verified has no
// slots.
func (c *Connection) Hasten(at time.Time) {
	if !c.WasVerified() || !c.NextDue.IsZero() && !at.Before(c.NextDue) {
		return
	}
	if c.Displaced.IsZero() {
		c.Displaced = c.NextDue
	}
	c.NextDue = at
}
