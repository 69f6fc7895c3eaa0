package schedule_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

// The cooldown ends at its very end, and tells how long it takes.
func TestCooldown(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	first, err := w.Manual(t.Context(), id, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if m := w.one(id); m.Run != first || m.Job.Trigger != job.Manual || m.State != "active" {
		t.Errorf("message %+v, want run %s", m, first)
	}
	c := w.read(id)
	if c.Manual.Run != first || !c.Manual.Sent || c.Manual.By != "ada" || !c.Manual.At.Equal(w.clock.Now()) {
		t.Errorf("stored %+v", c.Manual)
	}
	for _, passed := range []time.Duration{0, time.Second, 30*time.Minute - time.Second - time.Nanosecond} {
		w.clock.Advance(passed)
		_, err := w.Manual(t.Context(), id, "bob")
		want := 30*time.Minute - w.clock.Now().Sub(c.Manual.At)
		if e := fault.Of(err); err == nil || e.Kind != fault.Throttled || e.After != want || e.Code != "cooldown" || e.Remedy == "" {
			t.Errorf("%s left: %s after %s: %v", want, e.Kind, e.After, err)
		}
	}
	w.clock.Advance(time.Nanosecond)
	second, err := w.Manual(t.Context(), id, "bob")
	if err != nil || second == first {
		t.Errorf("after the cooldown: run %s, %v", second, err)
	}
	if n := len(w.queued()[id]); n != 2 {
		t.Errorf("%d messages", n)
	}
	if due := w.read(id).NextDue; !due.Equal(c.NextDue) {
		t.Error("a sync by hand moved the schedule")
	}
}

// Of many at once one gets the run.
func TestManualRace(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			_, err := w.Manual(t.Context(), id, "many")
			switch {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Throttled) || fault.Of(err).After != 30*time.Minute:
				t.Errorf("a loser: %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || len(w.queued()[id]) != 1 {
		t.Errorf("%d won, %d messages", won.Load(), len(w.queued()[id]))
	}
}

func TestManualRefused(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Manual(t.Context(), connection.NewID(), ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, s := range []connection.Status{connection.Invited, connection.Consenting} {
		id := w.add(time.Time{}, func(c *connection.Connection) { c.Status = s })
		if _, err := w.Manual(t.Context(), id, ""); !fault.Is(err, fault.Denied) || fault.Of(err).Code != "not_connected" || fault.Of(err).Remedy == "" {
			t.Errorf("%s: %v", s, err)
		}
		if c := w.read(id); c.Manual.Run != "" {
			t.Errorf("%s: stored %+v", s, c.Manual)
		}
	}
}

// A wish whose message may not have been sent is sent again: by the next call
// or by the janitor, the same run each time.
func TestUnsentManual(t *testing.T) {
	for name, again := range map[string]func(w *world, id string){
		"next call": func(w *world, id string) {
			if run, err := w.Manual(w.t.Context(), id, "bob"); !fault.Is(err, fault.Throttled) || run != w.read(id).Manual.Run {
				w.t.Errorf("within the cooldown: run %q, %v", run, err)
			}
		},
		"janitor": func(w *world, id string) {
			if err := w.Repair(w.t.Context(), w.read(id), w.clock.Now()); err != nil {
				w.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.add(w.clock.Now().Add(time.Hour), nil)
			w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
			run, err := w.Manual(t.Context(), id, "ada")
			if err != nil {
				t.Fatal(err)
			}
			if c := w.read(id); c.Manual.Sent || c.Manual.Run != run || len(w.queued()[id]) != 0 {
				t.Fatalf("stored %+v", c.Manual)
			}
			again(w, id) // too soon: the message may be on its way
			if n := len(w.queued()[id]); n != 0 {
				t.Errorf("%d messages at once", n)
			}
			w.clock.Advance(3 * time.Second)
			again(w, id)
			again(w, id)
			if m := w.one(id); m.Run != run {
				t.Errorf("run %s, want %s", m.Run, run)
			}
			if c := w.read(id); !c.Manual.Sent {
				t.Errorf("stored %+v", c.Manual)
			}
		})
	}
	t.Run("sent, not noted", func(t *testing.T) {
		w := newWorld(t)
		id := w.add(w.clock.Now().Add(time.Hour), nil)
		fired := failing(t, "connections", 2)
		run, err := w.Manual(t.Context(), id, "ada")
		fired()
		if err != nil || w.read(id).Manual.Sent {
			t.Fatalf("stored %+v, %v", w.read(id).Manual, err)
		}
		w.clock.Advance(time.Hour)
		if err := w.Repair(t.Context(), w.read(id), w.clock.Now()); err != nil {
			t.Error(err)
		}
		if m := w.one(id); m.Run != run || !w.read(id).Manual.Sent {
			t.Errorf("run %s, want %s once", m.Run, run)
		}
	})
}

// Nothing to repair is nothing written.
func TestNothingToRepair(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	if _, err := w.Manual(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	writes := wires.Tables.Writes()
	if err := w.Repair(t.Context(), w.read(id), w.clock.Now()); err != nil {
		t.Error(err)
	}
	if n, _ := w.bus.Counts(wiretest.Queue); wires.Tables.Writes() != writes || n.Sent+n.Duplicates != 1 {
		t.Errorf("%d writes, queue %+v", wires.Tables.Writes()-writes, n)
	}
}
