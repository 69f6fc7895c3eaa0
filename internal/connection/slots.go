package connection

import "time"

// day is the least often that a failing connection is tried.
const day = 24 * time.Hour

// Advance passes the slot that has come, at which a run was started: the next
// one is the first regular slot after now, so that after an outage one slot
// makes up for all that were missed. Where a hastened slot has come, the regular
// one that it displaced is next, if that is still to come. The interval is the
// vendor's, for connections without a schedule.
func (c *Connection) Advance(now time.Time, interval time.Duration) {
	c.Interval = interval
	slot := c.NextDue
	if !c.Displaced.IsZero() {
		slot = c.Displaced
	}
	c.Displaced = time.Time{}
	if c.NextDue = slot; !slot.After(now) {
		c.NextDue = c.regular(slot, slot, now, c.wait())
	}
}

// Restore gives up a hastened slot, since a sync does now what that was for.
func (c *Connection) Restore() {
	switch {
	case !c.Displaced.IsZero():
		c.NextDue, c.Displaced = c.Displaced, time.Time{}
	case c.off() && c.LastRun != "": // any slot is a hastened one
		c.NextDue = time.Time{}
	}
}

// Reschedule finds the slots anew after Schedule was changed. The first run
// after consent is never lost, nor is a slot that was hastened, nor, unless the
// schedule is off, one that has come. Without a schedule the next slot is an
// interval from now. A connection that was never verified has no slots.
func (c *Connection) Reschedule(now time.Time) {
	if !c.WasVerified() {
		return
	}
	if c.Verified.IsZero() {
		c.Verified = now // its slot told so until now, and may go
	}
	if !c.NextDue.IsZero() && !c.NextDue.After(now) && (c.LastRun == "" || !c.off()) {
		return
	}
	var slot time.Time
	switch {
	case c.Schedule != nil:
		slot = c.Schedule.Next(now)
	case c.Interval > 0:
		slot = now.Add(c.Interval)
	default: // no slot has come since this is known
		slot = now.Add(SettingsDelay)
	}
	if c.Displaced.IsZero() || !slot.IsZero() && !c.NextDue.Before(slot) {
		c.NextDue, c.Displaced = slot, time.Time{}
		return
	}
	c.Displaced = slot
}

// off reports whether no slot comes by itself.
func (c *Connection) off() bool { return c.Schedule != nil && c.Schedule.every() == 0 }

// every is the usual time between two regular slots; 0 if there are none, or
// it is not known.
func (c *Connection) every() time.Duration {
	if c.Schedule != nil {
		return c.Schedule.every()
	}
	return c.Interval
}

// Age is the time since the last success; before the first one, since the
// tenant was proved to answer; 0 if it never was. It is late if it is more than
// two intervals: a regular slot has come and gone without a success, and another
// one after it.
func (c *Connection) Age(now time.Time) (age time.Duration, late bool) {
	since := c.LastSuccess
	if since.IsZero() {
		since = c.Verified
	}
	if since.IsZero() {
		return 0, false
	}
	age = max(0, now.Sub(since))
	every := c.every()
	return age, every > 0 && age > 2*every
}

// wait is the time from one regular slot to the next: doubled for each failure
// in a row that is the customer's, at most to a day, and a day for who is
// disconnected. Who is synced less often than that anyway stays so.
func (c *Connection) wait() time.Duration {
	every := c.every()
	wait := every
	if c.withdrawn() {
		wait = day
	}
	for n := c.Health.Failures; n > 0 && wait < day; n-- {
		wait *= 2
	}
	return max(min(wait, day), every)
}

// regular is the first regular slot after now that is the wait after from. The
// grid of the vendor's interval goes through slot.
func (c *Connection) regular(slot, from, now time.Time, wait time.Duration) time.Time {
	every := c.every()
	if every <= 0 {
		return time.Time{}
	}
	after := now
	if wait > every {
		// Half an interval early: a run takes its time, and days of the clock
		// differ in length.
		if t := from.Add(wait - every/2); t.After(after) {
			after = t
		}
	}
	if c.Schedule != nil {
		return c.Schedule.Next(after)
	}
	left := slot.Sub(after) % every // of either sign
	if left <= 0 {
		left += every
	}
	return after.Add(left).UTC()
}

// slow moves the next regular slot back by what failures have earned, quicken
// brings it forward again. A hastened slot stays while it is the earlier one.
func (c *Connection) slow(now time.Time)    { c.move(now, c.wait(), time.Time.After) }
func (c *Connection) quicken(now time.Time) { c.move(now, 0, time.Time.Before) }

func (c *Connection) move(now time.Time, wait time.Duration, further func(t, u time.Time) bool) {
	slot := &c.NextDue
	if !c.Displaced.IsZero() {
		slot = &c.Displaced
	}
	if slot.IsZero() {
		return
	}
	if t := c.regular(*slot, now, now, wait); !t.IsZero() && further(t, *slot) {
		*slot = t
	}
	if !c.Displaced.IsZero() && !c.NextDue.Before(c.Displaced) {
		c.NextDue, c.Displaced = c.Displaced, time.Time{}
	}
}
