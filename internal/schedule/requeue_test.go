package schedule_test

import (
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Whoever can be synced gets one run, at their own point in the window, however
// often it is asked for; the next wish gives another. Slots stay.
func TestRequeue(t *testing.T) {
	w := newWorld(t)
	since, window := w.clock.Now().UTC(), 10*time.Minute
	due := since.Add(6 * time.Hour)
	points := map[time.Time]bool{}
	for range 20 {
		id := w.add(due, nil)
		run, err := w.Requeue(t.Context(), id, since, window)
		again, err2 := w.Requeue(t.Context(), id, since, window)
		m := w.one(id)
		if err != nil || err2 != nil || again != run || m.Job != (job.Job{Version: job.Version, Kind: job.Sync, Connection: id, Run: run, Trigger: job.Schedule}) {
			t.Errorf("%s, %s: %+v (%v, %v)", run, again, m.Job, err, err2)
		}
		if at := m.Scheduled; !at.IsZero() {
			points[at] = true
			if !at.After(since) || !at.Before(since.Add(window)) {
				t.Errorf("scheduled at %s of %s", at, since)
			}
		}
		if c := w.read(id); !c.NextDue.Equal(due) {
			t.Errorf("next %s, want %s", c.NextDue, due)
		}
	}
	if len(points) < 15 {
		t.Errorf("spread over %d points", len(points))
	}

	id := w.add(due, func(c *connection.Connection) { c.LastRun = "" })
	first, err := w.Requeue(t.Context(), id, since, 0)
	if m := w.one(id); err != nil || m.Trigger != job.First || !m.Scheduled.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
	w.clock.Advance(time.Second)
	if next, err := w.Requeue(t.Context(), id, w.clock.Now(), 0); err != nil || next == first || len(w.queued()[id]) != 2 {
		t.Errorf("%s after %s, %v", next, first, err)
	}
	// A window that has passed when the call comes to the connection.
	late := w.add(due, nil)
	if _, err := w.Requeue(t.Context(), late, since.Add(-time.Hour), window); err != nil || !w.one(late).Scheduled.IsZero() {
		t.Errorf("late: %+v, %v", w.one(late), err)
	}
}

func TestRequeueRefused(t *testing.T) {
	w := newWorld(t)
	for code, change := range map[string]func(*connection.Connection){
		"paused":        func(c *connection.Connection) { c.Status = connection.Paused },
		"offboarded":    func(c *connection.Connection) { c.Status = connection.Offboarded },
		"not_connected": func(c *connection.Connection) { c.Status = connection.Invited },
	} {
		id := w.add(time.Time{}, change)
		if _, err := w.Requeue(t.Context(), id, w.clock.Now(), 0); fault.Of(err).Kind != fault.Denied || fault.Of(err).Code != code || len(w.queued()[id]) != 0 {
			t.Errorf("%s: %v", code, err)
		}
	}
	ending := w.add(time.Time{}, func(c *connection.Connection) { c.Offboarding = &connection.Offboarding{} })
	if _, err := w.Requeue(t.Context(), ending, w.clock.Now(), 0); fault.Of(err).Code != "offboarded" || len(w.queued()[ending]) != 0 {
		t.Errorf("about to end: %v", err)
	}
	if _, err := w.Requeue(t.Context(), "none", w.clock.Now(), 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
}
