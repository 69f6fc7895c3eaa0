package connection_test

import (
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const gone = "AADSTS700016"

// Two sightings four hours apart confirm, however many lie between; the second
// look is brought forward, and then the grid goes on.
func TestSuspicion(t *testing.T) {
	c := live(func(c *connection.Connection) { c.NextDue = hours(12) })
	before := *c
	c.Learn(fault.Disconnected, true, gone, noon)
	s := *c.Health.Suspicion
	if want := (connection.Suspicion{Code: gone, First: noon, Last: noon, Sightings: 1}); s != want || c.Health.Failures != 1 {
		t.Errorf("%+v, %d failures, want %+v", s, c.Health.Failures, want)
	}
	due(t, c, hours(4), hours(24))
	if before.Health.Suspicion != nil {
		t.Error("a copy has changed")
	}
	held := c.Health.Suspicion
	for _, test := range []struct {
		at        float64
		sightings int
		confirmed bool
	}{{1, 1, false}, {3.99, 1, false}, {4, 2, true}, {5, 2, true}, {8, 3, true}} {
		c.Learn(fault.Disconnected, true, gone, hours(test.at))
		if s := c.Health.Suspicion; s.Sightings != test.sightings || s.Confirmed() != test.confirmed || !s.First.Equal(noon) || !s.Last.Equal(hours(test.at)) {
			t.Errorf("after %v hours: %+v", test.at, s)
		}
	}
	if *held != s {
		t.Error("a sighting was changed in place")
	}
	due(t, c, hours(4), hours(36)) // a day after the last failure, on the grid
	c.Advance(hours(4), interval)
	due(t, c, hours(36), none)
}

// What clears a suspicion, and what does not.
func TestSuspicionCleared(t *testing.T) {
	for class, kept := range map[fault.Class]bool{fault.Policy: false, fault.Ours: true, fault.Transient: true, "": true} {
		c := live(nil)
		c.Learn(fault.Disconnected, true, gone, noon)
		c.Learn(class, true, "x", hours(1))
		if (c.Health.Suspicion != nil) != kept {
			t.Errorf("after %q: %+v", class, c.Health)
		}
	}
	c := live(nil)
	c.Learn(fault.Disconnected, true, gone, noon)
	c.Learn("", false, "", hours(1))
	if c.Health != (connection.Health{}) {
		t.Errorf("after a success: %+v", c.Health)
	}
	if (*connection.Suspicion)(nil).Confirmed() {
		t.Error("nothing is confirmed")
	}
}

// Who is synced by hand only is not looked at in between.
func TestSuspicionWhileOff(t *testing.T) {
	c := live(func(c *connection.Connection) { c.Schedule, c.NextDue = scheduled, none })
	c.Learn(fault.Disconnected, true, gone, noon)
	due(t, c, none, none)
	c.Learn(fault.Disconnected, true, gone, hours(100))
	if !c.Health.Suspicion.Confirmed() {
		t.Errorf("%+v", c.Health.Suspicion)
	}
}

func TestWithdraw(t *testing.T) {
	c := live(func(c *connection.Connection) { c.Status, c.Schedule = connection.Failed, hourly })
	if err := c.Withdraw(noon); !fault.Is(err, fault.Conflict) || c.Status != connection.Failed {
		t.Errorf("without suspicion: %v", err)
	}
	c.Learn(fault.Disconnected, true, gone, noon)
	if err := c.Withdraw(hours(5)); !fault.Is(err, fault.Conflict) || c.Status != connection.Failed {
		t.Errorf("seen once: %v", err)
	}
	c.Learn(fault.Disconnected, true, gone, hours(4))
	if err := c.Withdraw(hours(4.1)); err != nil {
		t.Fatal(err)
	}
	p := c.Problem
	if c.Status != connection.Disconnected || c.Health.Suspicion != nil || p == nil || p.Code != gone || !p.Consent || p.Message == "" || p.Remedy == "" || !p.At.Equal(hours(4.1)) {
		t.Errorf("%+v, %+v", c, p)
	}
	if !c.MayConsent() || !c.Live() {
		t.Error("it cannot heal")
	}
	due(t, c, hours(28.5), none) // a day from now
	c.Advance(hours(28.5), interval)
	due(t, c, hours(52.5), none)
	c.Learn(fault.Disconnected, true, gone, hours(28.6))
	if c.Health.Suspicion != nil {
		t.Errorf("known already: %+v", c.Health.Suspicion)
	}
	due(t, c, hours(52.5), none)
	c.Learn("", false, "", hours(30))
	due(t, c, hours(30.5), none)

	ended := live(func(c *connection.Connection) { c.Status = connection.Offboarded })
	ended.Health.Suspicion = &connection.Suspicion{Code: gone, First: noon, Last: hours(4), Sightings: 2}
	if err := ended.Withdraw(hours(5)); !fault.Is(err, fault.Conflict) || ended.Problem != nil {
		t.Errorf("offboarded: %v", err)
	}
}

// Whoever consents anew starts without a blemish, in a slot of its own; the
// first success takes back what failures did to the one after.
func TestReturnAfterConsent(t *testing.T) {
	c := live(func(c *connection.Connection) { c.NextDue = hours(12) })
	c.Learn(fault.Policy, true, "AADSTS53003", hours(0.1))
	c.Health = connection.Health{}
	c.Hasten(hours(1))
	c.Advance(hours(1), interval)
	due(t, c, hours(24), none)
	c.Learn("", false, "", hours(1.2))
	due(t, c, hours(12), none)
	c.Learn("", false, "", hours(2))
	due(t, c, hours(12), none)
}

// Who is part of a wave is as if nothing had been seen, and is told so.
func TestAcquit(t *testing.T) {
	c := live(func(c *connection.Connection) {
		c.Status, c.Schedule, c.NextDue = connection.Failed, hourly, hours(0.5)
	})
	c.Learn(fault.Disconnected, true, gone, noon)
	c.Learn(fault.Disconnected, true, gone, hours(0.2))
	c.Acquit(hours(0.3))
	if c.Health != (connection.Health{Acquitted: hours(0.3)}) || c.Status != connection.Failed || c.Problem.Code != connection.WaveCode || c.Problem.Consent || c.Problem.Remedy == "" {
		t.Errorf("%+v, %+v", c, c.Problem)
	}
	due(t, c, hours(0.5), none)
	// That it was so is forgotten by a success only.
	c.Learn(fault.Disconnected, true, gone, hours(1))
	c.Learn(fault.Policy, true, "x", hours(2))
	if !c.Health.Acquitted.Equal(hours(0.3)) {
		t.Errorf("after failures: %+v", c.Health)
	}
	c.Learn("", false, "", hours(3))
	if c.Health != (connection.Health{}) {
		t.Errorf("after a success: %+v", c.Health)
	}
}

func TestWave(t *testing.T) {
	var never connection.Wave
	if never.Open(time.Time{}) || never.Has(time.Time{}) || never.Open(noon) {
		t.Error("there was none")
	}
	w := connection.Wave{Since: noon, Last: hours(3)}
	for at, has := range map[float64]bool{-1.01: false, -1: true, 0: true, 3.5: true, 4: true, 4.01: false} {
		if w.Has(hours(at)) != has {
			t.Errorf("a sighting after %v hours", at)
		}
	}
	if !w.Open(hours(4)) || w.Open(hours(4.01)) {
		t.Error("it is over an hour after its last sighting")
	}
	w.Last = hours(23.5)
	if !w.Open(hours(24)) || w.Open(hours(24.01)) || !w.Has(hours(24)) || w.Has(hours(24.01)) {
		t.Error("it is over a day after its first sighting")
	}
}
