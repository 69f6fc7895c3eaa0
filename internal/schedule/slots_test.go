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

// at moves the world's clock to a time of a day that has not come yet.
func (w *world) at(hour, minute int) time.Time {
	w.t.Helper()
	t := w.clock.Now().Truncate(24 * time.Hour).Add(24*time.Hour + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	w.clock.Until(t)
	return t
}

// Each connection goes by its own clock.
func TestOwnSchedules(t *testing.T) {
	w := newWorld(t)
	slot := w.at(5, 0)
	add := func(s connection.Schedule, change func(*connection.Connection)) string {
		return w.add(slot, func(c *connection.Connection) {
			c.Schedule = &s
			if change != nil {
				change(c)
			}
		})
	}
	for id, want := range map[string]struct {
		n    int
		next time.Time
	}{
		add(connection.Schedule{Every: "daily", At: "07:30", Zone: "Asia/Kathmandu"}, nil):                               {1, slot.Add(20*time.Hour + 45*time.Minute)},
		add(connection.Schedule{Every: "daily", At: "05:00"}, nil):                                                       {1, slot.Add(24 * time.Hour)},
		add(connection.Schedule{Every: "twice", At: "17:00"}, nil):                                                       {1, slot.Add(12 * time.Hour)},
		add(connection.Schedule{Every: "hourly", At: "00:20"}, nil):                                                      {1, slot.Add(20 * time.Minute)},
		add(connection.Schedule{Every: "hourly"}, func(c *connection.Connection) { c.Health.Failures = 2 }):              {1, slot.Add(4 * time.Hour)},
		add(connection.Schedule{Every: "hourly"}, func(c *connection.Connection) { c.Status = connection.Disconnected }): {1, slot.Add(24 * time.Hour)},
		// the first run after consent, of who wants no others
		add(connection.Schedule{Every: "off"}, func(c *connection.Connection) { c.Status, c.LastRun = connection.Connected, "" }):  {1, time.Time{}},
		add(connection.Schedule{Every: "daily", At: "05:00"}, func(c *connection.Connection) { c.Status = connection.Paused }):     {0, slot},
		add(connection.Schedule{Every: "daily", At: "05:00"}, func(c *connection.Connection) { c.Status = connection.Offboarded }): {0, slot},
	} {
		w.tick()
		c := w.read(id)
		if n := len(w.queued()[id]); n != want.n || !c.NextDue.Equal(want.next) {
			t.Errorf("%+v, %s: %d messages, next %s, want %d and %s", *c.Schedule, c.Status, n, c.NextDue, want.n, want.next)
		}
		if want.n == 1 && c.LastRun == "" && w.one(id).Job.Trigger != job.First {
			t.Error("no first run")
		}
	}
}

// A slot that saved settings have hastened is followed by the one that it
// displaced; a sync by hand takes its place.
func TestHastenedSlot(t *testing.T) {
	for _, byHand := range []bool{false, true} {
		w := newWorld(t)
		now := w.clock.Now()
		regular := now.Add(6 * time.Hour)
		id := w.add(regular, func(c *connection.Connection) { c.Hasten(now.Add(connection.SettingsDelay)) })
		if byHand {
			w.clock.Advance(10 * time.Minute)
			if _, err := w.Manual(t.Context(), id, "ada"); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.Until(now.Add(time.Hour))
		w.tick()
		w.tick()
		w.one(id)
		if c := w.read(id); !c.NextDue.Equal(regular) || !c.Displaced.IsZero() {
			t.Errorf("by hand %t: next %s, displaced %s, want %s", byHand, c.NextDue, c.Displaced, regular)
		}
		w.clock.Until(regular)
		w.tick()
		if n, next := len(w.queued()[id]), w.read(id).NextDue; n != 2 || !next.Equal(regular.Add(12*time.Hour)) {
			t.Errorf("by hand %t: %d messages, next %s", byHand, n, next)
		}
	}
}

// Of many calls at once, of several processes whose clocks differ, one
// gets the run; all others are told how long to wait, and for which run.
func TestManualAcrossProcesses(t *testing.T) {
	const processes, calls, cooldown = 5, 40, 30 * time.Minute
	w := newWorld(t)
	for round := range 2 {
		id := w.add(w.clock.Now().Add(time.Hour), func(c *connection.Connection) {
			if round == 1 { // long ago
				c.Manual = connection.Manual{At: w.clock.Now().Add(-cooldown - time.Minute), Run: "r", Sent: true}
			}
		})
		var won, refused atomic.Int32
		runs := make(chan string, calls)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for p := range processes {
			s := *w.Scheduler
			store := wires.Store(t)
			s.Connections, s.Runs = store, store
			ahead := time.Duration(p-processes/2) * 5 * time.Second
			s.Now = func() time.Time { return w.clock.Now().Add(ahead) }
			for range calls / processes {
				wg.Go(func() {
					<-start
					run, err := s.Manual(t.Context(), id, "many")
					runs <- run
					e := fault.Of(err)
					switch {
					case err == nil:
						won.Add(1)
					case e.Kind == fault.Throttled && e.Code == "cooldown" && e.Remedy != "" && e.After > cooldown-time.Minute && e.After <= cooldown:
						refused.Add(1)
					default:
						t.Errorf("a loser: %v, after %s", err, e.After)
					}
				})
			}
		}
		close(start)
		wg.Wait()
		close(runs)
		m := w.one(id)
		for run := range runs {
			if run != m.Run {
				t.Errorf("told of run %q, started %s", run, m.Run)
			}
		}
		if won.Load() != 1 || refused.Load() != calls-1 {
			t.Errorf("%d won, %d were told to wait", won.Load(), refused.Load())
		}
		if n, _ := w.bus.Counts(wiretest.Queue); n.Sent != int64(round+1) {
			t.Errorf("queue %+v", n)
		}
	}
}

// Why somebody cannot have a run, and that who is disconnected can.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.Plans = w.store
	now := w.clock.Now()
	for status, code := range map[connection.Status]string{
		connection.Paused: "paused", connection.Offboarded: "offboarded", connection.Consenting: "not_connected", connection.Disconnected: "",
	} {
		id := w.add(now.Add(time.Hour), func(c *connection.Connection) { c.Status = status })
		for name, ask := range map[string]func() (string, error){
			"manual":  func() (string, error) { return w.Manual(t.Context(), id, "ada") },
			"preview": func() (string, error) { return w.Preview(t.Context(), id, "ada") },
			"person":  func() (string, error) { return w.Person(t.Context(), id, grace, "ada") },
			"erase":   func() (string, error) { return w.Erase(t.Context(), id, grace, "ada") },
		} {
			want := code
			if name == "erase" && status != connection.Offboarded {
				want = "" // nobody has to wait for their erasure
			}
			_, err := ask()
			if e := fault.Of(err); want == "" && err != nil || want != "" && (err == nil || e.Kind != fault.Denied || e.Code != want || e.Remedy == "") {
				t.Errorf("%s of %s: %v, want %q", name, status, err, want)
			}
		}
	}
}
