package connection

import (
	"time"

	"rollcall/internal/fault"
)

// ConfirmAfter is how far apart two sightings must be that together prove that
// a customer has withdrawn the app: hours, since Microsoft's servers disagree
// with each other for minutes after a change, and the vendor's own mistakes are
// noticed meanwhile.
const ConfirmAfter = 4 * time.Hour

// WaveCode is the code of the [Problem] of who is part of a [Wave].
const WaveCode = "disconnect_wave"

// Learn draws the conclusions from a run that ended: it updates Health, and the
// slots where health moves them. The class is that of the error that the run
// failed by; a failure that the customer has to mend and that has no class,
// such as a permission that was never given, is [fault.Policy]. Call it before
// the status moves, once for each run that was about the whole tenant.
//
// Failures by the customer's doing stretch the time between slots, the first
// success ends that. A sign that the app was withdrawn is looked at again
// after [ConfirmAfter]; the janitor judges. What is the vendor's fault, or
// passes by itself, says nothing of the customer.
func (c *Connection) Learn(class fault.Class, failed bool, code string, at time.Time) {
	switch {
	case !failed:
		c.Health = Health{}
		c.quicken(at)
	case class == fault.Policy:
		c.Health.Suspicion = nil // the tenant knows the app well enough to block it
		c.Health.Failures++
		c.slow(at)
	case class == fault.Disconnected:
		c.Health.Failures++
		c.slow(at)
		if c.withdrawn() {
			return // known already
		}
		c.suspect(code, at)
		if s := c.Health.Suspicion; !s.Confirmed() && !c.off() {
			c.Hasten(s.First.Add(ConfirmAfter))
		}
	}
}

// suspect notes a sighting. It counts if it is hours after the one counted
// before.
func (c *Connection) suspect(code string, at time.Time) {
	s := Suspicion{Code: code, First: at, Last: at, Sightings: 1}
	if old := c.Health.Suspicion; old != nil {
		s.First, s.Sightings = old.First, old.Sightings
		if at.Sub(s.First) >= time.Duration(s.Sightings)*ConfirmAfter {
			s.Sightings++
		}
	}
	c.Health.Suspicion = &s // never changed in place: copies of the connection share it
}

// Confirmed reports whether the suspicion is proved by two sightings hours
// apart.
func (s *Suspicion) Confirmed() bool { return s != nil && s.Last.Sub(s.First) >= ConfirmAfter }

// withdrawn reports whether the connection is [Disconnected], or will be when it
// is resumed.
func (c *Connection) withdrawn() bool {
	return c.Status == Disconnected || c.Status == Paused && c.Paused != nil && c.Paused.Before == Disconnected
}

// Withdraw concludes from a confirmed suspicion that the customer has withdrawn
// the app: the connection is [Disconnected], and tried once a day.
func (c *Connection) Withdraw(now time.Time) error {
	if !c.Health.Suspicion.Confirmed() {
		return fault.New(fault.Conflict, "connection %s: not confirmed", c.ID)
	}
	if err := c.Move(Disconnected); err != nil {
		return err
	}
	c.Problem = &Problem{
		Code:    c.Health.Suspicion.Code,
		Message: "Microsoft has said twice, hours apart, that the customer's tenant does not know the app any more: somebody there has removed it or withdrawn the consent.",
		Remedy:  "Send the customer's administrator the link to consent again, or offboard the connection. Until then it is tried once a day; if the app is put back, it goes on by itself.",
		At:      now, Consent: true,
	}
	c.Health.Suspicion = nil
	c.slow(now)
	return nil
}

// Acquit forgets a suspicion that is part of a [Wave], and what it has led to:
// it is not taken for the customer's doing. Only a success makes that possible
// again, so that customers who left on one day are found out in the end.
func (c *Connection) Acquit(now time.Time) {
	c.Health = Health{Acquitted: now}
	c.Problem = &Problem{
		Code:    WaveCode,
		Message: "Microsoft refuses the app in many customers' tenants at once, so the trouble is on the vendor's side, not the customer's. It is being looked at.",
		Remedy:  "Nothing needs to be done for this connection, and the customer need not be asked: syncs go on by themselves once the trouble is over.",
		At:      now,
	}
	c.quicken(now)
}
