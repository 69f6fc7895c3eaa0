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
