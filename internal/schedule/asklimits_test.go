package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

// One connection has so many runs for one person in ten minutes, whoever they
// are about, and as many again when the oldest is ten minutes old.
func TestAskLimits(t *testing.T) {
	for trigger, most := range map[job.Trigger]int{job.Person: 30, job.Erase: 10} {
		w := newWorld(t)
		id := w.add(w.clock.Now().Add(time.Hour), nil)
		n := 0
		ask := func() (string, error) {
			n++
			return asks(w, id, fmt.Sprintf("00000000-0000-4000-8000-%012d", n), "")[trigger]()
		}
		for range most {
			if _, err := ask(); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(time.Second)
		}
		late := 10*time.Minute - time.Duration(most)*time.Second // until the oldest leaves
		run, err := ask()
		if e := fault.Of(err); e.Kind != fault.Throttled || e.Code != "too_many" || e.After != late || e.Remedy == "" || run != "" {
			t.Errorf("%s: %q after %s, want %s: %v", trigger, run, e.After, late, err)
		}
		w.clock.Advance(late - time.Nanosecond)
		if _, err := ask(); fault.Of(err).After != time.Nanosecond {
			t.Errorf("%s: %v", trigger, err)
		}
		w.clock.Advance(time.Nanosecond)
		if _, err := ask(); err != nil {
			t.Errorf("%s: the oldest has left the window: %v", trigger, err)
		}
		if _, err := ask(); fault.Of(err).After != time.Second {
			t.Errorf("%s: the second oldest has not: %v", trigger, err)
		}
		for _, other := range []job.Trigger{job.Preview, job.Person, job.Erase} {
			if _, err := asks(w, id, grace, "")[other](); (err != nil) != (other == trigger) {
				t.Errorf("%s while there are too many of %s: %v", other, trigger, err)
			}
		}
		if len(w.read(id).Asks) != most+3 {
			t.Errorf("%s: %d noted", trigger, len(w.read(id).Asks))
		}
	}
}

// However much is asked for, the list stays short and keeps the newest
// preview, by which its partition is found, and what was not sent.
func TestAsksAreBounded(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	preview, err := w.Preview(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
	unsent, err := w.Erase(t.Context(), id, alan, "")
	if err != nil {
		t.Fatal(err)
	}
	var last string
	for i := range connection.MaxAsks + 5 {
		if last, err = w.Person(t.Context(), id, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), ""); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(20 * time.Second)
	}
	c := w.read(id)
	n := len(c.Asks)
	if n != connection.MaxAsks || c.Asks[0].Run != last || c.Asks[n-1].Run != preview || c.Asks[n-2].Run != unsent || c.Asks[n-2].Sent {
		t.Errorf("noted %+v", c.Asks)
	}
}
