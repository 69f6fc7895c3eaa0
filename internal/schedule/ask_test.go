package schedule_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

const (
	grace = "8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"
	alan  = "3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"
)

// asks are the three ways to ask for a run, each by its trigger.
func asks(w *world, id, person, actor string) map[job.Trigger]func() (string, error) {
	ctx := w.t.Context()
	return map[job.Trigger]func() (string, error){
		job.Preview: func() (string, error) { return w.Preview(ctx, id, actor) },
		job.Person:  func() (string, error) { return w.Person(ctx, id, person, actor) },
		job.Erase:   func() (string, error) { return w.Erase(ctx, id, person, actor) },
	}
}

func throttled(t *testing.T, err error, after time.Duration) {
	t.Helper()
	if e := fault.Of(err); err == nil || e.Kind != fault.Throttled || e.After != after || e.Code != "cooldown" || e.Remedy == "" {
		t.Errorf("after %s: %v, want throttled for %s", fault.Of(err).After, err, after)
	}
}

// What is asked for is noted, with who asked, and sent.
func TestAsk(t *testing.T) {
	for _, trigger := range []job.Trigger{job.Preview, job.Person, job.Erase} {
		w := newWorld(t)
		due := w.clock.Now().Add(time.Hour)
		id := w.add(due, func(c *connection.Connection) { c.Status = connection.Degraded })
		run, err := asks(w, id, grace, "ada")[trigger]()
		if err != nil {
			t.Fatal(err)
		}
		person := grace
		if trigger == job.Preview {
			person = ""
		}
		if m := w.one(id); m.Run != run || m.Job.Trigger != trigger || m.Person != person || m.Kind != job.Sync || m.Slice != 0 || m.State != "active" {
			t.Errorf("message %+v, want run %s", m, run)
		}
		c := w.read(id)
		if len(c.Asks) != 1 || c.Asks[0] != (connection.Ask{Trigger: string(trigger), Run: run, Person: person, At: w.clock.Now().UTC(), By: "ada", Sent: true}) {
			t.Errorf("noted %+v", c.Asks)
		}
		if !c.NextDue.Equal(due) || c.Manual.Run != "" || c.StartedBy(run) != "ada" {
			t.Errorf("connection %+v", c)
		}
	}
}

func TestAskRefused(t *testing.T) {
	w := newWorld(t)
	for trigger, ask := range asks(w, connection.NewID(), grace, "") {
		if _, err := ask(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of an unknown connection: %v", trigger, err)
		}
	}
	idle := w.add(time.Time{}, func(c *connection.Connection) { c.Status, c.Tenant = connection.Invited, "" })
	for trigger, ask := range asks(w, idle, grace, "") {
		if _, err := ask(); !fault.Is(err, fault.Denied) || fault.Of(err).Code != "not_connected" || fault.Of(err).Remedy == "" {
			t.Errorf("%s of a connection without tenant: %v", trigger, err)
		}
	}
	live := w.add(w.clock.Now().Add(time.Hour), nil)
	for _, person := range []string{"", "grace", strings.ToUpper(grace), grace[1:], grace + "0", "{" + grace + "}"} {
		for trigger, ask := range asks(w, live, person, "") {
			if _, err := ask(); trigger != job.Preview && (!fault.Is(err, fault.Invalid) || fault.Of(err).Remedy == "") {
				t.Errorf("%s of person %q: %v", trigger, person, err)
			}
		}
	}
	for _, id := range []string{idle, live} {
		for _, a := range w.read(id).Asks {
			if a.Trigger != string(job.Preview) || id == idle {
				t.Errorf("noted %+v", a)
			}
		}
	}
}

// Previews have two minutes between them, syncs of one person ten seconds.
func TestAskCooldown(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	for trigger, cooldown := range map[job.Trigger]time.Duration{job.Preview: 2 * time.Minute, job.Person: 10 * time.Second} {
		ask := asks(w, id, grace, "ada")[trigger]
		first, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		run, err := ask()
		throttled(t, err, cooldown)
		if run != first {
			t.Errorf("refused for run %q, want %q", run, first)
		}
		if trigger == job.Person { // somebody else is somebody else
			if run, err := w.Person(t.Context(), id, alan, ""); err != nil || run == first {
				t.Errorf("another person: %s, %v", run, err)
			}
		}
		w.clock.Advance(cooldown - time.Nanosecond)
		_, err = ask()
		throttled(t, err, time.Nanosecond)
		w.clock.Advance(time.Nanosecond)
		if run, err := ask(); err != nil || run == first {
			t.Errorf("%s after the cooldown: %s, %v", trigger, run, err)
		}
	}
}

// An erasure is the same one for ten minutes, and its message is the same.
func TestErasureRepeated(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	first, err := w.Erase(t.Context(), id, grace, "ada")
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Erase(t.Context(), id, alan, "ada")
	if err != nil || other == first {
		t.Fatalf("another person's erasure is %s, %v", other, err)
	}
	for _, passed := range []time.Duration{0, time.Second, 10*time.Minute - time.Second - time.Nanosecond} {
		w.clock.Advance(passed)
		if run, err := w.Erase(t.Context(), id, grace, "bob"); err != nil || run != first {
			t.Errorf("repeated: %s, want %s: %v", run, first, err)
		}
	}
	if n := len(w.queued()[id]); n != 2 {
		t.Errorf("%d messages of two erasures", n)
	}
	if c := w.read(id); len(c.Asks) != 2 || c.StartedBy(first) != "ada" {
		t.Errorf("noted %+v", c.Asks)
	}
	w.clock.Advance(time.Nanosecond)
	if run, err := w.Erase(t.Context(), id, grace, "bob"); err != nil || run == first {
		t.Errorf("after ten minutes: %s, %v", run, err)
	}
}

// ended stores the record of a run that has ended.
func (w *world) ended(id, run string) {
	w.t.Helper()
	if err := w.store.PutRun(w.t.Context(), id, job.Run{ID: run, State: job.Succeeded, Began: w.clock.Now(), Ended: w.clock.Now()}); err != nil {
		w.t.Fatal(err)
	}
}

// An erasure that has ended, or before a sync that may have stored the person
// again, is not the one that is asked for now.
func TestErasureAnew(t *testing.T) {
	for name, test := range map[string]struct {
		between func(w *world, id, erasure string)
		anew    bool
	}{
		"ended": {func(w *world, id, erasure string) { w.ended(id, erasure) }, true},
		"under way": {func(w *world, id, erasure string) {
			if err := w.store.PutRun(w.t.Context(), id, job.Run{ID: erasure, State: job.Running, Began: w.clock.Now()}); err != nil {
				w.t.Fatal(err)
			}
		}, false},
		"synced since": {func(w *world, id, _ string) {
			if _, err := w.Person(w.t.Context(), id, grace, ""); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		"another synced since": {func(w *world, id, _ string) {
			if _, err := w.Person(w.t.Context(), id, alan, ""); err != nil {
				w.t.Fatal(err)
			}
		}, false},
	} {
		w := newWorld(t)
		id := w.add(w.clock.Now().Add(time.Hour), nil)
		if _, err := w.Person(t.Context(), id, grace, ""); err != nil { // before it, to no effect
			t.Fatal(err)
		}
		w.clock.Advance(11 * time.Second)
		first, err := w.Erase(t.Context(), id, grace, "ada")
		if err != nil {
			t.Fatal(err)
		}
		test.between(w, id, first)
		w.clock.Advance(time.Minute)
		again, err := w.Erase(t.Context(), id, grace, "bob")
		if err != nil || (again != first) != test.anew {
			t.Errorf("%s: %s after %s, %v", name, again, first, err)
		}
		if once, err := w.Erase(t.Context(), id, grace, "bob"); err != nil || once != again {
			t.Errorf("%s: at once again %s, want %s: %v", name, once, again, err)
		}
	}
}

// A person can be erased whatever has become of the connection, but not
// synced.
func TestErasureNotLive(t *testing.T) {
	w := newWorld(t)
	for _, status := range []connection.Status{connection.Consenting, connection.Failed} {
		id := w.add(time.Time{}, func(c *connection.Connection) { c.Status = status })
		run, err := w.Erase(t.Context(), id, grace, "ada")
		if err != nil {
			t.Fatalf("%s: %v", status, err)
		}
		if m := w.one(id); m.Run != run || m.Job.Trigger != job.Erase {
			t.Errorf("%s: message %+v", status, m)
		}
		if _, err := w.Person(t.Context(), id, grace, ""); fault.Of(err).Code != "not_connected" {
			t.Errorf("%s: a sync: %v", status, err)
		}
	}
}

// What is asked for is promised once it is stored. A message that was not sent
// is sent by whoever asks again or by the janitor, under the same run.
func TestUnsentAsk(t *testing.T) {
	for _, trigger := range []job.Trigger{job.Preview, job.Person, job.Erase} {
		for _, janitor := range []bool{false, true} {
			w := newWorld(t)
			id := w.add(w.clock.Now().Add(time.Hour), nil)
			ask := asks(w, id, grace, "ada")[trigger]
			w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
			run, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			if noted := w.read(id).Asks; len(noted) != 1 || noted[0].Run != run || noted[0].Sent || len(w.queued()[id]) != 0 {
				t.Fatalf("noted %+v", noted)
			}
			again := func() {
				if janitor {
					if err := w.Repair(t.Context(), w.read(id), w.clock.Now()); err != nil {
						t.Error(err)
					}
					return
				}
				same, err := ask()
				if same != run || (trigger == job.Erase) != (err == nil) || err != nil && !fault.Is(err, fault.Throttled) {
					t.Errorf("%s again: %s, %v", trigger, same, err)
				}
			}
			again() // mostly too soon: the message may be on its way
			// Whoever repeats an erasure is told that it is promised, and does not come back.
			promised := trigger == job.Erase && !janitor
			if n := len(w.queued()[id]); (n != 0) != promised {
				t.Errorf("%s: %d messages at once", trigger, n)
			}
			w.clock.Advance(3 * time.Second)
			again()
			again()
			if m := w.one(id); m.Run != run || m.Job.Trigger != trigger || !w.read(id).Asks[0].Sent {
				t.Errorf("%s: message %+v, noted %+v", trigger, m, w.read(id).Asks)
			}
		}
	}
}

// A run that was opened is not sent again, even when the queue has forgotten
// its message and nobody has noted that it was sent.
func TestOpenedAskIsNotSentAgain(t *testing.T) {
	w := newWorld(t)
	old := w.clock.Now().Add(-72 * time.Hour)
	id := w.add(w.clock.Now().Add(time.Hour), func(c *connection.Connection) {
		c.Asks = []connection.Ask{
			{Trigger: string(job.Person), Run: "unopened", Person: alan, At: old},
			{Trigger: string(job.Erase), Run: "opened", Person: grace, At: old},
		}
	})
	w.ended(id, "opened")
	if err := w.Repair(t.Context(), w.read(id), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if m := w.one(id); m.Run != "unopened" || m.Person != alan {
		t.Errorf("message %+v", m)
	}
	if c := w.read(id); !c.Asks[0].Sent || !c.Asks[1].Sent {
		t.Errorf("noted %+v", c.Asks)
	}
	writes := wires.Tables.Writes()
	if err := w.Repair(t.Context(), w.read(id), w.clock.Now()); err != nil || wires.Tables.Writes() != writes {
		t.Errorf("%d writes when all is sent, %v", wires.Tables.Writes()-writes, err)
	}
}

// Of many at once one gets the preview, and all get the same erasure.
func TestAskRace(t *testing.T) {
	w := newWorld(t)
	id := w.add(w.clock.Now().Add(time.Hour), nil)
	var won atomic.Int32
	var erasures sync.Map
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			_, err := w.Preview(t.Context(), id, "many")
			switch {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Throttled):
				t.Errorf("a loser: %v", err)
			}
		})
		wg.Go(func() {
			run, err := w.Erase(t.Context(), id, grace, "many")
			if err != nil {
				t.Error(err)
			}
			erasures.Store(run, true)
		})
	}
	wg.Wait()
	different := 0
	erasures.Range(func(any, any) bool { different++; return true })
	if won.Load() != 1 || different != 1 || len(w.queued()[id]) != 2 || len(w.read(id).Asks) != 2 {
		t.Errorf("%d previews, %d erasures, %d messages, noted %+v", won.Load(), different, len(w.queued()[id]), w.read(id).Asks)
	}
}
