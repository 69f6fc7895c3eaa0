package schedule_test

import (
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

// Three customers who leave for good on one day, and are synced at the same
// time of the day, are found out in the end: one alert, and then they are
// marked, since the others go on answering.
func TestLeaversLookLikeWave(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	ids := w.verified(30)[:3]
	daily := &connection.Schedule{Every: connection.Daily, At: w.clock.Now().UTC().Format("15:04")}
	for _, id := range ids {
		w.amend(id, func(c *connection.Connection) {
			c.Schedule, c.NextDue, c.Verified = daily, w.clock.Now(), w.clock.Now().AddDate(0, -1, 0)
		})
	}
	begin := w.clock.Now()
	for range 7 { // their slots, of which the janitor sees each before the next
		for _, id := range ids {
			w.amend(id, func(c *connection.Connection) { c.Advance(w.clock.Now(), 12*time.Hour) })
			w.see(id)
		}
		w.sweep(j)
		w.clock.Advance(61 * time.Minute)
		w.sweep(j)
		if w.read(ids[0]).Status == connection.Disconnected {
			break
		}
		w.clock.Until(w.read(ids[0]).NextDue)
	}
	if took := w.clock.Now().Sub(begin); took < 24*time.Hour || took > 48*time.Hour {
		t.Errorf("found out after %s, want one to two days", took)
	}
	if n := strings.Count(log.String(), "disconnect wave"); n != 1 {
		t.Errorf("%d alerts", n)
	}
	for _, id := range ids {
		if c := w.read(id); c.Status != connection.Disconnected || c.Problem.Code != gone {
			t.Errorf("%s, %+v", c.Status, c.Problem)
		}
	}
}

// One customer who is tried each hour carries a wave on once, so that it ends
// for the others; and is marked when a day has passed.
func TestOneCannotCarryWave(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	ids := w.verified(30)
	begin := w.clock.Now()
	w.see(ids[4]) // really gone
	w.clock.Advance(4 * time.Hour)
	for _, id := range ids[:3] {
		w.see(id)
	}
	w.sweep(j)
	for _, id := range ids[:2] {
		w.heal(id)
	}
	for w.clock.Now().Before(begin.Add(28 * time.Hour)) {
		w.clock.Advance(50 * time.Minute)
		w.see(ids[3])
		if w.read(ids[4]).Status != connection.Disconnected {
			w.see(ids[4])
		}
		w.sweep(j)
		if s := w.read(ids[3]).Status; s == connection.Disconnected && w.clock.Now().Before(begin.Add(28*time.Hour)) {
			t.Fatalf("marked %s after a wave", w.clock.Now().Sub(begin))
		}
	}
	wave, err := w.store.Wave(t.Context())
	if want := begin.Add(4*time.Hour + 50*time.Minute); err != nil || !wave.Last.Equal(want) || strings.Count(log.String(), "disconnect wave") != 1 {
		t.Errorf("wave %+v, want its last sighting at %s (%v): %s", wave, want, err, log)
	}
	w.clock.Advance(time.Hour)
	w.sweep(j)
	for i, want := range []connection.Status{connection.OK, connection.OK, connection.Failed, connection.Disconnected, connection.Disconnected} {
		if c := w.read(ids[i]); c.Status != want {
			t.Errorf("connection %d: %s, want %s", i, c.Status, want)
		}
	}
}

// Connections with apps of their own make no wave of the vendor's, are no
// measure of it, and are judged by their own sightings while one goes on.
func TestOwnAppsAndWaves(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	ids := w.verified(4)
	owns := w.verified(160, func(c *connection.Connection) { c.OwnApp = "rollcall-app-" + c.ID }) // with them, three were no wave
	for _, id := range owns[:4] {
		w.see(id)
	}
	w.sweep(j)
	if log.Len() > 0 {
		t.Errorf("a wave of their own: %s", log)
	}
	w.clock.Advance(4 * time.Hour)
	w.see(owns[0])
	for _, id := range ids[:3] {
		w.see(id)
	}
	w.sweep(j)
	if n := strings.Count(log.String(), "disconnect wave"); n != 1 {
		t.Errorf("%d alerts: %s", n, log)
	}
	for id, want := range map[string]connection.Status{ids[0]: connection.Failed, owns[0]: connection.Disconnected, owns[1]: connection.Failed} {
		if c := w.read(id); c.Status != want {
			t.Errorf("%s, want %s", c.Status, want)
		}
	}
	if c := w.read(owns[1]); c.Health.Suspicion == nil {
		t.Errorf("acquitted of what was seen once: %+v", c.Health)
	}
}
