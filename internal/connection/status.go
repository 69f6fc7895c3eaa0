package connection

import (
	"slices"

	"rollcall/internal/fault"
)

// Status is where a connection stands. It is stored as text, so that stored
// values are immune to renumbering.
type Status string

// The statuses of a connection's life.
const (
	// Invited: the link was made and nobody has finished consenting.
	Invited Status = "invited"
	// Consenting: an administrator consented and the tenant is claimed; the
	// consent is spreading through Microsoft's servers and is being verified.
	Consenting Status = "consenting"
	// Connected: verified; the first run has not finished.
	Connected Status = "connected"
	// OK: the last run succeeded.
	OK Status = "ok"
	// Held: the last run's removals wait for a human; all else is in step.
	Held Status = "held"
	// Degraded: the last run succeeded but for a part that Microsoft or the
	// customer denies; Problem says which.
	Degraded Status = "degraded"
	// Failed: the last run ended without success; Problem says what to do.
	Failed Status = "failed"
	// Disconnected: Microsoft has said twice, hours apart, that the customer
	// has withdrawn the app. It is tried once a day, and heals by itself.
	Disconnected Status = "disconnected"
	// Paused: somebody at the vendor has stopped the syncs.
	Paused Status = "paused"
	// Offboarded: the end. What is stored was kept or purged, as asked.
	Offboarded Status = "offboarded"
)

// The statuses that are shown and never stored: they are read off the open
// run, so that no crash leaves a connection "syncing" for good.
const (
	// Syncing: a run is under way.
	Syncing Status = "syncing"
	// Throttled: a run is under way and waits, because Microsoft asked for it.
	Throttled Status = "throttled"
)

// Transitions lists, for each status that is stored, the statuses that may
// follow it. A status may always follow itself.
var Transitions = map[Status][]Status{
	Invited:      {Consenting, Offboarded},
	Consenting:   {Connected, Failed, Offboarded},
	Connected:    {OK, Held, Degraded, Failed, Disconnected, Consenting, Paused, Offboarded},
	OK:           {Held, Degraded, Failed, Disconnected, Consenting, Paused, Offboarded},
	Held:         {OK, Degraded, Failed, Disconnected, Consenting, Paused, Offboarded},
	Degraded:     {OK, Held, Failed, Disconnected, Consenting, Paused, Offboarded},
	Failed:       {OK, Held, Degraded, Disconnected, Consenting, Paused, Offboarded},
	Disconnected: {OK, Held, Degraded, Failed, Consenting, Paused, Offboarded},
	Paused:       {Connected, OK, Held, Degraded, Failed, Disconnected, Offboarded},
	Offboarded:   {},
}

// Move changes the status to s, or returns a [fault.Conflict] that names both
// if that transition is not in [Transitions].
func (c *Connection) Move(s Status) error {
	if c.Status != s && !slices.Contains(Transitions[c.Status], s) {
		return fault.New(fault.Conflict, "connection %s: status cannot go from %q to %q", c.ID, c.Status, s)
	}
	c.Status = s
	return nil
}

// Live reports whether the connection's tenant is proven and verified, and
// nobody has stopped it, so that runs may open.
func (c *Connection) Live() bool {
	switch c.Status {
	case Connected, OK, Held, Degraded, Disconnected:
		return true
	case Failed:
		return c.WasVerified()
	default:
		return false
	}
}

// WasVerified reports whether the tenant was ever proved to answer. A row from
// before that was noted has a slot instead.
func (c *Connection) WasVerified() bool { return !c.Verified.IsZero() || !c.NextDue.IsZero() }

// Standing is the status that people see: while a run is open it is [Syncing],
// or [Throttled] if that run waits for Microsoft.
func (c *Connection) Standing(open, throttled bool) Status {
	switch {
	case !open || !c.Live():
		return c.Status
	case throttled:
		return Throttled
	default:
		return Syncing
	}
}

// MayConsent reports whether a link may lead to consent: nobody has consented
// yet, or what they consented to has failed, was withdrawn or does not suffice.
func (c *Connection) MayConsent() bool {
	switch c.Status {
	case Invited, Failed, Disconnected:
		return true
	case Degraded, Held:
		return c.Problem != nil && c.Problem.Consent || !c.Covered()
	case Connected, OK:
		return !c.Covered()
	default:
		return false
	}
}
