package reconcile_test

import (
	"slices"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/wiretest"
)

// pause stops the connection's syncs, and resume lets them go on.
func (w *world) pause() {
	w.Helper()
	c := w.connection()
	c.Paused = &connection.Pause{At: w.clock.Now(), Before: c.Status}
	c.Status = connection.Paused
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
}

func (w *world) resume() {
	w.Helper()
	c := w.connection()
	c.Status, c.Paused = c.Paused.Before, nil
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
}

// A paused connection's run stops at its next slice, and the next one goes on
// where it stood: no page is read twice.
func TestPaused(t *testing.T) {
	t.Parallel()
	for name, teams := range map[string]bool{"people": false, "groups": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newLine(t).world(t, t, 25)
			pages := 3 // of ten
			if teams {
				w.choose(func(s *connection.Settings) { s.Teams = true })
				for range 25 {
					w.ok(w.tenant.AddMember(w.team("Team", true), w.tenant.People()[0].ID))
				}
				pages += 3
			}
			w.engine.Budget = -1
			run := w.send(job.Schedule)
			for w.fence().Run.Pages < pages-2 {
				w.step(w.engine.Sync)
			}
			w.pause()
			w.quiet(w.engine.Sync)
			stopped := w.record(run)
			if stopped.State != job.Stopped || stopped.Pages != pages-2 || stopped.Code != "paused" || stopped.Remedy == "" {
				t.Fatalf("run %+v", stopped)
			}
			c := w.connection()
			if c.Status != connection.Paused || c.LastRun != run || c.Problem != nil || !c.LastSuccess.IsZero() {
				t.Errorf("connection %+v", c)
			}
			writes := w.fence().Seq
			w.send(job.Schedule)
			w.quiet(w.engine.Sync)
			if n := w.fence().Seq - writes; n != 0 {
				t.Errorf("a run of a paused connection commits %d times", n)
			}
			w.resume()
			r, left, phase := w.succeed(), 2, "people"
			if teams {
				left, phase = left+1, "teams" // and a round of changes of people
			}
			i := slices.IndexFunc(r.Phases, func(p job.Phase) bool { return p.Name == phase })
			if r.Pages != left || r.Full == teams || i < 0 || !r.Phases[i].Full || r.Phases[i].Why != "first run" {
				t.Errorf("the run that goes on: %d pages, want %d; full %v; phases %+v", r.Pages, left, r.Full, r.Phases)
			}
			w.settled()
		})
	}
}

// Of what somebody asks of a paused connection, an erasure is done, and all
// else is refused with a word. A run that waits for hours gives way.
func TestPausedAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.engine.Guard = connection.Guard{MaxCount: 1}
	w.succeed()
	people := w.tenant.People()
	w.leaves(3)
	plan := w.run().Plan
	if plan == nil {
		t.Fatal("no plan")
	}
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Throttle, RetryAfter: "7200", Path: fault.UsersDelta, Count: 1})
	open := w.send(job.Schedule)
	w.step(w.engine.Sync)
	fired()
	if r := w.fence().Run; r.State != job.Waiting || !r.Throttled {
		t.Errorf("a throttled run: %s, throttled %v", r.State, r.Throttled)
	}
	w.pause()
	began := w.clock.Now()
	manual := w.send(job.Manual)
	w.step(w.engine.Sync)
	for what, r := range map[string]job.Run{
		"manual": w.record(manual), "approve": w.decision(job.Approve, plan.Hash), "reject": w.decision(job.Reject, plan.Hash),
		"person": w.asked(job.Person, people[5].ID), "preview": w.asked(job.Preview, ""),
	} {
		if r.State != job.RunFailed || r.Code != "paused" || r.Error == "" || r.Remedy == "" {
			t.Errorf("%s: %s %s %s", what, r.State, r.Code, r.Remedy)
		}
	}
	if r := w.record(open); r.State != job.Stopped || r.Throttled || r.Ended.Sub(began) > time.Minute {
		t.Errorf("the open run: %s at %s, throttled %v", r.State, r.Ended, r.Throttled)
	}
	if r := w.asked(job.Erase, people[20].ID); r.State != job.Held { // the plan waits on
		t.Errorf("erasure: %s %s", r.State, r.Error)
	}
	if _, stored := w.records()[people[20].ID]; stored {
		t.Error("an erased person is stored")
	}
	if c := w.connection(); c.Status != connection.Paused || c.Paused.Before != connection.Held {
		t.Errorf("connection %s, before %+v", c.Status, c.Paused)
	}
	w.resume()
	if r := w.decision(job.Approve, plan.Hash); r.State != job.Succeeded || r.Archived != 3 {
		t.Errorf("the plan after the pause: %+v", r)
	}
}

// What a run does that was under way when the connection was paused shows when
// it is resumed.
func TestPausedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	g := &gate{next: wires.Transport, held: make(chan struct{}), letGo: make(chan struct{})}
	run := w.send(job.Schedule)
	done := make(chan bool, 1)
	go func() { done <- w.step(w.newEngine(t, g).Sync) }()
	<-g.held
	w.pause()
	close(g.letGo)
	<-done
	if c := w.connection(); w.record(run).State != job.Succeeded || c.Status != connection.Paused || c.Paused.Before != connection.OK {
		t.Errorf("%s: %s, before %+v", w.record(run).State, c.Status, c.Paused)
	}
	w.resume()
	w.settled()
}

// A preview of a paused connection stops too.
func TestPausedPreview(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.succeed()
	w.tenant.Forget()
	w.engine.Budget = -1
	j := w.ask(job.Preview, "")
	w.ok(w.queue.Send(w.ctx, j, time.Time{}))
	w.step(w.engine.Sync)
	w.pause()
	w.quiet(w.engine.Sync)
	if r := w.record(j.Run); r.State != job.Stopped || r.Forecast != nil || r.Remedy == "" {
		t.Errorf("preview %+v", r)
	}
}

// A fence that is closed opens no run, whatever comes, and a worker that is at
// it writes nothing more.
func TestClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.succeed()
	_, err := w.tenant.Apply(bulk(3))
	w.ok(err)
	g := &gate{next: wires.Transport, held: make(chan struct{}), letGo: make(chan struct{}), skip: 1}
	j := w.job(job.Schedule, "")
	done := make(chan error, 1)
	sleeper := w.newEngine(t, g)
	go func() { done <- sleeper.Sync(w.ctx, j) }()
	<-g.held
	f := w.fence()
	f.Epoch++
	f.Closed = true
	_, err = w.store.Commit(w.ctx, w.conn, f, directory.Batch{})
	w.ok(err)
	writes := w.cable.passed().writes
	close(g.letGo)
	w.ok(<-done)
	for _, trigger := range []job.Trigger{job.Schedule, job.Manual, job.Again, job.Person, job.Erase} {
		late := w.job(trigger, "")
		late.Person = w.tenant.People()[0].ID
		w.ok(w.engine.Sync(w.ctx, late))
	}
	j.Slice = 1
	w.ok(w.engine.Sync(w.ctx, j)) // a continuation
	w.ok(w.engine.Repair(w.ctx, w.connection(), w.clock.Now().Add(48*time.Hour)))
	c := w.connection()
	n := w.cable.passed().writes - writes
	c.Status = connection.Offboarded
	_, err = w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	writes = w.cable.passed().writes
	w.ok(w.engine.Sync(w.ctx, w.ask(job.Preview, "")))
	n += w.cable.passed().writes - writes - 1 // the asking
	sent, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	if n != 0 || sent.Active+sent.Scheduled != 0 {
		t.Errorf("%d writes and messages %+v after the fence was closed", n, sent)
	}
}
