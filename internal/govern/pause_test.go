package govern_test

import (
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Whoever is connected can be paused and comes back as before; nobody else.
func TestPause(t *testing.T) {
	w := newWorld(t)
	for status, can := range map[connection.Status]bool{
		connection.Invited: false, connection.Consenting: false, connection.Connected: true, connection.OK: true, connection.Held: true,
		connection.Degraded: true, connection.Failed: true, connection.Disconnected: true,
	} {
		id := w.add(func(c *connection.Connection) { c.Status = status })
		due := w.read(id).NextDue
		for _, actor := range []string{"anna", "bob"} { // the second finds it paused
			c, err := w.Pause(t.Context(), id, actor)
			if !can {
				if e := fault.Of(err); err == nil || e.Kind != fault.Denied || e.Code != "not_connected" || e.Remedy == "" {
					t.Errorf("%s: %v", status, err)
				}
				continue
			}
			stored := w.read(id)
			if err != nil || c.Status != connection.Paused || stored.Status != connection.Paused || c.Version != stored.Version {
				t.Fatalf("%s: %+v, %v", status, c, err)
			}
			if p := stored.Paused; p == nil || *p != (connection.Pause{At: w.clock.Now(), By: "anna", Before: status}) || !stored.NextDue.Equal(due) {
				t.Errorf("%s: %+v, due %s", status, p, stored.NextDue)
			}
		}
		for range 2 {
			c, err := w.Resume(t.Context(), id, "carl")
			if err != nil || c.Status != status || c.Paused != nil || !c.NextDue.Equal(due) || !c.Displaced.IsZero() {
				t.Errorf("%s: resumed %+v, %v", status, c, err)
			}
		}
	}
	if _, err := w.Pause(t.Context(), "none", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := w.Resume(t.Context(), "none", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
}

// One run makes up for the slots that the pause has missed, at once; what a
// run has found out meanwhile counts.
func TestResume(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	due := w.read(id).NextDue
	if _, err := w.Pause(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	c := w.read(id)
	c.Paused.Before = connection.Held // the run that was open
	if _, err := w.store.UpdateConnection(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(26 * time.Hour)
	c, err := w.Resume(t.Context(), id, "")
	if err != nil || c.Status != connection.Held || !c.NextDue.Equal(w.clock.Now()) || !c.Displaced.Equal(due) {
		t.Errorf("resumed %+v, %v", c, err)
	}
	off := w.add(func(c *connection.Connection) { c.NextDue = time.Time{} }) // has no schedule
	for _, do := range []func() (connection.Connection, error){
		func() (connection.Connection, error) { return w.Pause(t.Context(), off, "") },
		func() (connection.Connection, error) { return w.Resume(t.Context(), off, "") },
	} {
		if c, err := do(); err != nil || !c.NextDue.IsZero() {
			t.Errorf("off: due %s, %v", c.NextDue, err)
		}
	}
	// A pause that an older build has written, without what was before.
	for success, want := range map[time.Time]connection.Status{{}: connection.Connected, w.clock.Now(): connection.OK} {
		id := w.add(func(c *connection.Connection) { c.Status, c.LastSuccess = connection.Paused, success })
		if c, err := w.Resume(t.Context(), id, ""); err != nil || c.Status != want {
			t.Errorf("resumed to %s, want %s (%v)", c.Status, want, err)
		}
	}
}

// What has ended can be neither paused nor resumed.
func TestPauseAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	if _, err := w.Offboard(t.Context(), id, false, ""); err != nil {
		t.Fatal(err)
	}
	_, pause := w.Pause(t.Context(), id, "")
	_, resume := w.Resume(t.Context(), id, "")
	for _, err := range []error{pause, resume} {
		if e := fault.Of(err); err == nil || e.Kind != fault.Conflict || e.Code != "offboarded" {
			t.Errorf("error %v", err)
		}
	}
}

// A pause of all is ended by a resumption of all; a pause for its own reason,
// before or since, is not.
func TestPauseWithAll(t *testing.T) {
	w := newWorld(t)
	free := w.add(func(c *connection.Connection) { c.Status = connection.Held })
	before, since := w.add(nil), w.add(nil)
	must := func(c connection.Connection, err error) connection.Connection {
		t.Helper()
		w.must(err)
		return c
	}
	must(w.Pause(t.Context(), before, "anna"))
	for range 2 {
		for _, id := range []string{free, before, since} {
			must(w.PauseWithAll(t.Context(), id, "ops"))
		}
	}
	if p := w.read(free).Paused; p == nil || *p != (connection.Pause{At: w.clock.Now(), By: "ops", Before: connection.Held, All: true}) {
		t.Errorf("paused %+v", p)
	}
	if p := w.read(before).Paused; p == nil || p.By != "anna" || p.All {
		t.Errorf("paused before: %+v", p)
	}
	w.clock.Advance(time.Minute)
	must(w.Pause(t.Context(), since, "bob"))
	if p := w.read(since).Paused; p == nil || *p != (connection.Pause{At: w.clock.Now(), By: "bob", Before: connection.OK}) {
		t.Errorf("paused since: %+v", p)
	}
	for range 2 {
		for id, want := range map[string]connection.Status{free: connection.Held, before: connection.Paused, since: connection.Paused} {
			if c := must(w.ResumeWithAll(t.Context(), id, "ops")); c.Status != want || w.read(id).Status != want {
				t.Errorf("resumed to %s, want %s", c.Status, want)
			}
		}
	}
	must(w.PauseWithAll(t.Context(), free, "ops"))
	if c := must(w.Resume(t.Context(), free, "anna")); c.Status != connection.Held || c.Paused != nil {
		t.Errorf("one of all, resumed alone: %+v", c)
	}
	if _, err := w.PauseWithAll(t.Context(), w.add(func(c *connection.Connection) { c.Status = connection.Invited }), ""); fault.Of(err).Code != "not_connected" {
		t.Errorf("invited: %v", err)
	}
	must(w.Offboard(t.Context(), free, false, ""))
	_, pause := w.PauseWithAll(t.Context(), free, "")
	_, resume := w.ResumeWithAll(t.Context(), free, "")
	for _, err := range []error{pause, resume} {
		if fault.Of(err).Code != "offboarded" {
			t.Errorf("error %v", err)
		}
	}
}
