package connection_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const interval = 12 * time.Hour

// noon is when the tests' connection has a slot.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func hours(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Hour))) }

func live(change func(*connection.Connection)) *connection.Connection {
	c := &connection.Connection{
		ID: "c", Tenant: "t", Status: connection.OK, Verified: noon.AddDate(0, -1, 0), LastRun: "before", NextDue: noon, Interval: interval,
	}
	if change != nil {
		change(c)
	}
	return c
}

func due(t *testing.T, c *connection.Connection, want, displaced time.Time) {
	t.Helper()
	if !c.NextDue.Equal(want) || !c.Displaced.Equal(displaced) {
		t.Errorf("due %s in place of %s, want %s and %s", c.NextDue, c.Displaced, want, displaced)
	}
}

var (
	none      time.Time
	daily     = &connection.Schedule{Every: "daily", At: "06:30"}
	twice     = &connection.Schedule{Every: "twice", At: "06:30"}
	hourly    = &connection.Schedule{Every: "hourly", At: "00:30"}
	scheduled = &connection.Schedule{Every: "off"}
)

// A tenant is late when two intervals have passed without a success.
func TestAge(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*connection.Connection)
		age    time.Duration
		late   bool
	}{
		"two intervals":           {func(c *connection.Connection) { c.LastSuccess = hours(-24) }, 24 * time.Hour, false},
		"more":                    {func(c *connection.Connection) { c.LastSuccess = hours(-24.1) }, 24*time.Hour + 6*time.Minute, true},
		"daily":                   {func(c *connection.Connection) { c.Schedule, c.LastSuccess = daily, hours(-47) }, 47 * time.Hour, false},
		"hourly":                  {func(c *connection.Connection) { c.Schedule, c.LastSuccess = hourly, hours(-3) }, 3 * time.Hour, true},
		"off":                     {func(c *connection.Connection) { c.Schedule, c.LastSuccess = scheduled, hours(-1000) }, 1000 * time.Hour, false},
		"never, for a day":        {func(c *connection.Connection) { c.Verified = hours(-25) }, 25 * time.Hour, true},
		"never verified":          {func(c *connection.Connection) { c.Verified = none }, 0, false},
		"no slot has come so far": {func(c *connection.Connection) { c.Interval, c.LastSuccess = 0, hours(-100) }, 100 * time.Hour, false},
		"another's clock":         {func(c *connection.Connection) { c.LastSuccess = hours(1) }, 0, false},
	} {
		if age, late := live(test.change).Age(noon); age != test.age || late != test.late {
			t.Errorf("%s: %s, late %v, want %s, %v", name, age, late, test.age, test.late)
		}
	}
}

func TestAdvance(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*connection.Connection)
		after  float64 // hours from noon
		want   time.Time
	}{
		"the vendor's interval":   {nil, 0, hours(12)},
		"a little late":           {nil, 0.1, hours(12)},
		"outage":                  {nil, 40, hours(48)},
		"outage up to a slot":     {nil, 48, hours(60)},
		"daily":                   {func(c *connection.Connection) { c.Schedule = daily }, 0, hours(18.5)},
		"twice":                   {func(c *connection.Connection) { c.Schedule = twice }, 0, hours(6.5)},
		"hourly after an outage":  {func(c *connection.Connection) { c.Schedule = hourly }, 40, hours(40.5)},
		"off":                     {func(c *connection.Connection) { c.Schedule = scheduled }, 0, none},
		"hastened":                {func(c *connection.Connection) { c.Displaced = hours(5) }, 0.1, hours(5)},
		"hastened, outage":        {func(c *connection.Connection) { c.Displaced = hours(5) }, 5, hours(17)},
		"hastened, long outage":   {func(c *connection.Connection) { c.Displaced = hours(5) }, 30, hours(41)},
		"hastened daily":          {func(c *connection.Connection) { c.Schedule, c.Displaced = daily, hours(18.5) }, 0.1, hours(18.5)},
		"hastened daily, outage":  {func(c *connection.Connection) { c.Schedule, c.Displaced = daily, hours(18.5) }, 19, hours(42.5)},
		"hastened though off":     {func(c *connection.Connection) { c.Schedule = scheduled }, 0.1, none},
		"one failure":             {func(c *connection.Connection) { c.Health.Failures = 1 }, 0, hours(24)},
		"more failures":           {func(c *connection.Connection) { c.Health.Failures = 1000 }, 0, hours(24)},
		"hourly, one failure":     {func(c *connection.Connection) { c.Schedule, c.Health.Failures = hourly, 1 }, 0.02, hours(2.5)},
		"hourly, three failures":  {func(c *connection.Connection) { c.Schedule, c.Health.Failures = hourly, 3 }, 0.02, hours(8.5)},
		"hourly, five failures":   {func(c *connection.Connection) { c.Schedule, c.Health.Failures = hourly, 5 }, 0.02, hours(24.5)},
		"daily, five failures":    {func(c *connection.Connection) { c.Schedule, c.Health.Failures = daily, 5 }, 0, hours(18.5)},
		"disconnected":            {func(c *connection.Connection) { c.Status = connection.Disconnected }, 0, hours(24)},
		"disconnected, hourly":    {func(c *connection.Connection) { c.Status, c.Schedule = connection.Disconnected, hourly }, 0, hours(24.5)},
		"disconnected, daily":     {func(c *connection.Connection) { c.Status, c.Schedule = connection.Disconnected, daily }, 0, hours(18.5)},
		"disconnected and off":    {func(c *connection.Connection) { c.Status, c.Schedule = connection.Disconnected, scheduled }, 0, none},
		"first run of who is off": {func(c *connection.Connection) { c.Schedule, c.LastRun = scheduled, "" }, 0, none},
	} {
		t.Run(name, func(t *testing.T) {
			c := live(test.change)
			c.Advance(hours(test.after), interval)
			due(t, c, test.want, none)
		})
	}
	weekly := live(func(c *connection.Connection) { c.Health.Failures = 3 })
	weekly.Advance(noon, 7*24*time.Hour)
	due(t, weekly, hours(7*24), none)
}

// A day of 23 hours is a day: who is tried once a day is tried on it.
func TestBackOffOverShortDay(t *testing.T) {
	c := live(func(c *connection.Connection) {
		c.Schedule, c.Health.Failures = &connection.Schedule{Every: "twice", At: "06:00", Zone: "Europe/Amsterdam"}, 2
		c.NextDue = at(t, "2026-03-28T05:00:00Z")
	})
	c.Advance(c.NextDue.Add(time.Minute), interval)
	due(t, c, at(t, "2026-03-29T04:00:00Z"), none)
}

// Saved settings bring a slot forward, a manual sync takes its place, and the
// grid stays where it was.
func TestHastenRestore(t *testing.T) {
	c := live(func(c *connection.Connection) { c.NextDue = hours(6) })
	c.Hasten(hours(1))
	due(t, c, hours(1), hours(6))
	c.Hasten(hours(0.5))
	due(t, c, hours(0.5), hours(6))
	c.Hasten(hours(2))
	due(t, c, hours(0.5), hours(6))
	c.Restore()
	due(t, c, hours(6), none)
	c.Restore()
	due(t, c, hours(6), none)
	c.Hasten(hours(7))
	due(t, c, hours(6), none)

	off := live(func(c *connection.Connection) { c.Schedule, c.NextDue = scheduled, none })
	off.Hasten(hours(1))
	due(t, off, hours(1), none)
	off.Restore()
	due(t, off, none, none)
	first := live(func(c *connection.Connection) { c.Schedule, c.LastRun = scheduled, "" })
	first.Restore()
	due(t, first, noon, none)
}

func TestReschedule(t *testing.T) {
	for name, test := range map[string]struct {
		change          func(*connection.Connection)
		want, displaced time.Time
	}{
		"to daily":               {func(c *connection.Connection) { c.Schedule = daily }, hours(18.5), none},
		"to off":                 {func(c *connection.Connection) { c.Schedule = scheduled }, none, none},
		"to the interval":        {nil, hours(12), none},
		"unknown interval":       {func(c *connection.Connection) { c.Interval = 0 }, hours(1), none},
		"from off":               {func(c *connection.Connection) { c.Schedule, c.NextDue = twice, none }, hours(6.5), none},
		"from off to interval":   {func(c *connection.Connection) { c.NextDue = none }, hours(12), none},
		"hastened":               {func(c *connection.Connection) { c.Schedule, c.NextDue, c.Displaced = twice, hours(1), hours(3) }, hours(1), hours(6.5)},
		"hastened past the next": {func(c *connection.Connection) { c.Schedule, c.NextDue, c.Displaced = hourly, hours(1), hours(3) }, hours(0.5), none},
		"hastened, to off":       {func(c *connection.Connection) { c.Schedule, c.NextDue, c.Displaced = scheduled, hours(1), hours(3) }, hours(1), none},
		"due":                    {func(c *connection.Connection) { c.Schedule, c.NextDue = daily, noon }, noon, none},
		"due, to off":            {func(c *connection.Connection) { c.Schedule, c.NextDue = scheduled, noon }, none, none},
		"first due, to off":      {func(c *connection.Connection) { c.Schedule, c.NextDue, c.LastRun = scheduled, noon, "" }, noon, none},
		"never verified":         {func(c *connection.Connection) { c.Schedule, c.NextDue, c.Verified = daily, none, none }, none, none},
		"paused long":            {func(c *connection.Connection) { c.Schedule, c.NextDue = daily, hours(-500) }, hours(-500), none},
	} {
		t.Run(name, func(t *testing.T) {
			c := live(func(c *connection.Connection) { c.NextDue = hours(3) })
			if test.change != nil {
				test.change(c)
			}
			c.Reschedule(noon)
			due(t, c, test.want, test.displaced)
		})
	}
	old := live(func(c *connection.Connection) { c.Verified, c.NextDue, c.Schedule = none, hours(1), scheduled })
	old.Reschedule(noon)
	if due(t, old, none, none); !old.WasVerified() {
		t.Error("a connection that had a slot to tell that it was verified has lost it")
	}
}

// Failures by the customer's doing stretch the wait, others do not, and the
// first success ends it.
func TestBackOff(t *testing.T) {
	c := live(func(c *connection.Connection) { c.Schedule = hourly })
	for i, want := range []float64{2.5, 6.5, 14.5, 30.5, 54.5} {
		c.Advance(c.NextDue, interval)
		c.Learn(fault.Policy, true, "AADSTS53003", hours(map[int]float64{0: 0.2, 1: 2.6, 2: 6.6, 3: 14.6, 4: 30.6}[i]))
		if due(t, c, hours(want), none); c.Health.Failures != i+1 {
			t.Errorf("%d failures, want %d", c.Health.Failures, i+1)
		}
	}
	for _, class := range []fault.Class{fault.Ours, fault.Transient, ""} {
		c.Learn(class, true, "x", hours(31))
		if due(t, c, hours(54.5), none); c.Health.Failures != 5 || c.Health.Suspicion != nil {
			t.Errorf("%q is held against the customer: %+v", class, c.Health)
		}
	}
	c.Learn("", false, "", hours(32)) // by hand
	if due(t, c, hours(32.5), none); c.Health != (connection.Health{}) {
		t.Errorf("after a success: %+v", c.Health)
	}
	c.Learn("", false, "", hours(32.7))
	due(t, c, hours(32.5), none) // which has come, and is not lost

	c = live(func(c *connection.Connection) { c.NextDue = hours(12) })
	c.Learn(fault.Policy, true, "AADSTS53003", hours(0.1))
	due(t, c, hours(24), none)
	c.Learn("", false, "", hours(1))
	due(t, c, hours(12), none)

	c = live(func(c *connection.Connection) { c.NextDue, c.Displaced = hours(1), hours(12) }) // settings were saved meanwhile
	c.Learn(fault.Policy, true, "AADSTS53003", hours(0.1))
	due(t, c, hours(1), hours(24))
	c.Learn("", false, "", hours(0.5))
	due(t, c, hours(1), hours(12))

	c = live(func(c *connection.Connection) { c.Interval = 0 }) // a row from before intervals were kept
	c.Learn(fault.Policy, true, "AADSTS53003", hours(0.1))
	due(t, c, noon, none)
}

// Without a schedule the next slot is the first of its grid that lies after now.
func TestGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(int64(time.Minute), int64(7*24*time.Hour)).Draw(t, "interval"))
		slot := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "slot"), rapid.Int64Range(0, 999999999).Draw(t, "nanos"))
		now := slot.Add(time.Duration(rapid.Int64Range(0, int64(5*365*24*time.Hour)).Draw(t, "late")))
		c := live(func(c *connection.Connection) { c.NextDue = slot })
		c.Advance(now, interval)
		if !c.NextDue.After(now) || c.NextDue.Sub(now) > interval {
			t.Errorf("next slot %s is %s after now", c.NextDue, c.NextDue.Sub(now))
		}
		if c.NextDue.Sub(slot)%interval != 0 {
			t.Errorf("next slot %s is off the grid of %s by %s", c.NextDue, interval, c.NextDue.Sub(slot)%interval)
		}
	})
}
