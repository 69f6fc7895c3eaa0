package schedule_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

// Exactly those whose slot has come are started, once each, under the slot's
// identity.
func TestTick(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now()
	due := w.add(now, nil)
	late := w.add(now.Add(-time.Hour), nil)
	first := w.add(now.Add(-time.Minute), func(c *connection.Connection) { c.Status, c.LastRun = connection.Connected, "" })
	failed := w.add(now.Add(-time.Minute), func(c *connection.Connection) { c.Status = connection.Failed })
	notYet := w.add(now.Add(time.Second), nil)
	never := w.add(time.Time{}, func(c *connection.Connection) { c.Status = connection.Invited })
	reconsenting := w.add(now.Add(-time.Minute), func(c *connection.Connection) { c.Status = connection.Consenting })
	w.tick()
	w.tick() // the next slots have not come
	for id, want := range map[string]struct {
		n       int
		slot    time.Time
		trigger job.Trigger
	}{
		due: {1, now, job.Schedule}, late: {1, now.Add(-time.Hour), job.Schedule}, first: {1, now.Add(-time.Minute), job.First},
		failed: {1, now.Add(-time.Minute), job.Schedule}, notYet: {}, never: {}, reconsenting: {},
	} {
		ms := w.queued()[id]
		if len(ms) != want.n {
			t.Errorf("%d messages, want %d", len(ms), want.n)
			continue
		}
		if want.n == 0 {
			continue
		}
		run := job.RunID(want.slot, id, "slot")
		if m := ms[0]; m.Run != run || m.Info.MessageID != id+"/"+run+"/0" || m.Job.Trigger != want.trigger || m.Kind != job.Sync || m.State != "active" {
			t.Errorf("message %+v, want run %s by %s", m, run, want.trigger)
		}
		if next := w.read(id).NextDue; !next.Equal(want.slot.Add(12 * time.Hour)) {
			t.Errorf("next slot %s after %s", next, want.slot)
		}
	}
	if n, _ := w.bus.Counts(wiretest.Queue); n.Sent != 4 {
		t.Errorf("queue %+v", n)
	}
}

// A crash between the message and the advance repeats the message, which is
// dropped, and then advances.
func TestCrashBeforeAdvance(t *testing.T) {
	w := newWorld(t)
	slot := w.clock.Now()
	a, b, c := w.add(slot, nil), w.add(slot, nil), w.add(slot, nil)
	fired := failing(t, "connections", 2)
	if err := w.Tick(t.Context()); err == nil {
		t.Error("a lost write went unnoticed")
	}
	fired()
	n, _ := w.bus.Counts(wiretest.Queue)
	if n.Active != 3 {
		t.Fatalf("queue %+v: one that fails keeps the others from theirs", n)
	}
	behind := 0
	for _, id := range []string{a, b, c} {
		if w.read(id).NextDue.Equal(slot) {
			behind++
		}
	}
	if behind != 2 {
		t.Fatalf("%d slots were not advanced, want 2", behind)
	}
	w.clock.Advance(5 * time.Minute)
	w.tick()
	if n, _ = w.bus.Counts(wiretest.Queue); n.Active != 3 || n.Duplicates != 2 {
		t.Errorf("queue after the repeat %+v", n)
	}
	for _, id := range []string{a, b, c} {
		w.one(id)
		if next := w.read(id).NextDue; !next.Equal(slot.Add(12 * time.Hour)) {
			t.Errorf("next slot %s", next)
		}
	}
}

// A message that cannot be sent leaves the slot where it is.
func TestSendFails(t *testing.T) {
	w := newWorld(t)
	slot := w.clock.Now()
	id := w.add(slot, nil)
	w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
	if err := w.Tick(t.Context()); err == nil {
		t.Error("a lost message went unnoticed")
	}
	if next := w.read(id).NextDue; !next.Equal(slot) {
		t.Errorf("slot moved on to %s without its message", next)
	}
	w.tick()
	w.one(id)
}

// After an outage one run makes up for all slots that were missed.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	slot := w.clock.Now()
	id := w.add(slot, nil)
	w.clock.Advance(3*24*time.Hour + time.Hour)
	w.tick()
	w.tick()
	if m := w.one(id); m.Run != job.RunID(slot, id, "slot") {
		t.Errorf("run %s is not the slot's", m.Run)
	}
	if next := w.read(id).NextDue; !next.Equal(slot.Add(7 * 12 * time.Hour)) {
		t.Errorf("next slot %s, want the seventh after %s", next, slot)
	}
}

// Two timers at once start each connection once.
func TestTwoTimers(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.add(w.clock.Now(), nil)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(w.tick)
	}
	wg.Wait()
	if n, _ := w.bus.Counts(wiretest.Queue); n.Sent != 20 {
		t.Errorf("queue %+v", n)
	}
	for _, id := range w.made {
		w.one(id)
		if next := w.read(id).NextDue; !next.Equal(w.clock.Now().Add(12 * time.Hour)) {
			t.Errorf("next slot %s", next)
		}
	}
}

// Several pages of connections are all started, spread over the window, each
// always at its own point.
func TestSpread(t *testing.T) {
	w := newWorld(t)
	w.Spread = 10 * time.Minute
	now := w.clock.Now()
	const many = 550 // more than are read at a time
	var all []connection.Connection
	for n := range many {
		all = append(all, connection.Connection{ID: fmt.Sprintf("spread%020d", n), Status: connection.OK, LastRun: "before", NextDue: now})
	}
	w.fill(all)
	first := w.add(now, func(c *connection.Connection) { c.Status, c.LastRun = connection.Connected, "" })
	w.tick()
	queued := w.queued()
	if len(queued) != many+1 {
		t.Errorf("%d connections started, want %d", len(queued), many+1)
	}
	if m := queued[first]; len(m) != 1 || m[0].State != "active" {
		t.Errorf("somebody waits for a first run: %+v", m)
	}
	points := map[time.Duration]bool{}
	for _, ms := range queued {
		d := max(ms[0].Scheduled.Sub(now), 0)
		if len(ms) != 1 || d >= w.Spread {
			t.Errorf("%d messages, after %s", len(ms), d)
			continue
		}
		points[d] = true
	}
	if len(points) < 300 { // of the 600 seconds
		t.Errorf("all are at %d points of the window", len(points))
	}
}

// A connection's point within the window is the same in every slot.
func TestSameSpread(t *testing.T) {
	w := newWorld(t)
	w.Spread = 10 * time.Minute
	slot := w.clock.Now()
	for range 10 {
		w.add(slot, nil)
	}
	w.tick()
	w.clock.Until(slot.Add(12 * time.Hour))
	w.tick()
	points := map[time.Duration]bool{}
	for _, ms := range w.queued() {
		if len(ms) != 2 {
			t.Fatalf("%d messages for two slots", len(ms))
		}
		first, second := ms[0].Scheduled.Sub(slot), ms[1].Scheduled.Sub(slot.Add(12*time.Hour))
		if first != second {
			t.Errorf("after %s in one slot, %s in the next", first, second)
		}
		points[first] = true
	}
	if len(points) < 5 {
		t.Errorf("10 connections at %d points", len(points))
	}
}

// Start begins a run at once if its slot has come, and only then.
func TestStart(t *testing.T) {
	w := newWorld(t)
	w.Spread = time.Hour
	now := w.clock.Now()
	due, notYet := w.add(now, nil), w.add(now.Add(time.Second), nil)
	for _, id := range []string{due, due, notYet} {
		if err := w.Start(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if m := w.one(due); m.State != "active" {
		t.Errorf("message %+v is spread", m)
	}
	if n := len(w.queued()[notYet]); n != 0 {
		t.Errorf("%d messages before the slot", n)
	}
}
