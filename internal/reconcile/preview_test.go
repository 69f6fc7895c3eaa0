package reconcile_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	msfault "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/wiretest"
)

// was checks that the preview's changes tell the values that they replace.
func (w *house) was(before map[string]map[string]any) {
	w.Helper()
	cs, err := w.store.Changes(w.ctx, w.preview(), 0, 10_000)
	w.ok(err)
	for _, c := range cs {
		if c.Type == directory.Created && len(c.Was) != 0 {
			w.Errorf("change %d creates and tells earlier values %s", c.Number, c.Was)
		}
		if before[c.ID] == nil {
			before[c.ID] = make(map[string]any)
		}
		if c.Type != directory.Created && c.Type != directory.Updated && c.Type != directory.Reactivated && c.Type != directory.Archived {
			continue
		}
		told := c.Was.All()
		for name, v := range c.Set.All() {
			var was, is any
			if c.Type != directory.Created {
				w.ok(json.Unmarshal(told[name], &was))
			}
			w.ok(json.Unmarshal(v, &is))
			if now := before[c.ID]; !reflect.DeepEqual(was, now[name]) {
				w.Errorf("change %d: %s was %v, is told as %v", c.Number, name, now[name], was)
			} else {
				now[name] = is
			}
		}
	}
}

// A preview says what the sync after it does, of whatever has happened, and
// touches nothing that anybody reads.
func TestPreviewIsTheTruth(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		if !dear(rt) {
			return
		}
		w := l.furnished(t, rt, rapid.IntRange(0, 14).Draw(rt, "people"))
		w.engine.Guard = rapid.SampledFrom([]connection.Guard{{}, {MaxCount: 2, MaxTeams: 1, MaxMemberships: 2}, {MaxPercent: 30}}).Draw(rt, "guard")
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 8).Draw(rt, "edits") {
				w.stir(rt)
			}
			switch rapid.SampledFrom([]string{"", "", "", "forget", "guests", "disabled", "groups", "categories"}).Draw(rt, "also") {
			case "forget":
				w.tenant.Forget()
			case "guests":
				w.choose(func(s *connection.Settings) { s.Guests = !s.Guests })
			case "disabled":
				w.choose(func(s *connection.Settings) { s.Disabled = !s.Disabled })
			case "groups":
				w.choose(func(s *connection.Settings) {
					if s.Groups = w.groups[1:3]; rapid.Bool().Draw(rt, "everybody") {
						s.Groups = nil
					}
				})
			case "categories":
				w.choose(func(s *connection.Settings) { s.Teams = !s.Teams })
			}
			w.engine.Budget = rapid.SampledFrom([]time.Duration{time.Hour, -1}).Draw(rt, "budget")
			before := w.rows("directory", w.conn)
			people := make(map[string]map[string]any)
			for id, r := range w.records() {
				people[id] = properties(r.Person)
			}
			last := w.fence().LastChange
			p := w.asked(job.Preview, "")
			if after := w.rows("directory", w.conn); !reflect.DeepEqual(before, after) {
				rt.Fatalf("the preview touched the directory")
			}
			if c := w.connection(); c.LastRun == p.ID {
				rt.Fatalf("the preview is the connection's last run")
			}
			w.was(people)
			r := w.run()
			if got, want := foretold(p), w.done(r); !reflect.DeepEqual(got, want) {
				rt.Fatalf("preview says\n%+v, the run does\n%+v", got, want)
			}
			if got, want := w.told(w.preview(), 0), w.told(w.conn, last); !reflect.DeepEqual(got, want) {
				rt.Fatalf("preview tells of\n%v, the run of\n%v", got, want)
			}
		}
	})
}

// Where a run has left its enumerations unfinished, a preview says what the next
// run does all the same: what was seen so far does not show through to it.
func TestPreviewAfterUnfinished(t *testing.T) {
	t.Parallel()
	for _, f := range []msfault.Fault{
		{Kind: msfault.Forbidden, Path: msfault.UsersDelta, Skip: 1, Count: 2},
		{Kind: msfault.Forbidden, Path: msfault.GroupsDelta, Skip: 1, Count: 2},
		{Kind: msfault.Forbidden, Path: msfault.ByIDs, Count: 2},
	} {
		w := newLine(t).furnished(t, t, 25)
		w.succeed()
		gone := w.leaves(2)
		w.ok(w.tenant.Purge(gone[0]))
		w.ok(w.tenant.PurgeGroup(w.groups[0]))
		w.tenant.Forget()
		silent := w.newEngine(t, dropping(gone[1])) // somebody is missing without a word
		fired := wires.Fault(t, w.tenant, f)
		w.send(job.Schedule)
		w.quiet(silent.Sync)
		fired()
		if f := w.fence(); f.People.Enum == "" && f.Groups.Enum == "" {
			t.Errorf("nothing was left unfinished by a run that %s in %d phases", f.Run.State, len(f.Run.Phases))
		}
		w.ok(w.tenant.RemoveMember(w.groups[1], w.tenant.Members(w.groups[1])[0]))
		p := w.asked(job.Preview, "")
		if got, want := foretold(p), w.done(w.run()); !reflect.DeepEqual(got, want) {
			t.Errorf("after %v the preview says\n%+v, the run does\n%+v", f, got, want)
		}
	}
}

// Beside a plan that waits, a preview counts what would wait for the next one.
func TestPreviewBesidePlan(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.engine.Guard = connection.Guard{MaxCount: 1, MaxMemberships: 1, MaxTeams: 1}
	w.succeed()
	w.leaves(2)
	if p, r := w.asked(job.Preview, ""), w.run(); p.State != job.Held || p.Forecast.HeldPeople != 2 || !reflect.DeepEqual(foretold(p), w.done(r)) {
		t.Errorf("preview %+v, %+v, run %+v", p, p.Forecast, r)
	}
	w.leaves(3)
	if p, r := w.asked(job.Preview, ""), w.run(); p.Forecast.HeldPeople != 5 || !reflect.DeepEqual(foretold(p), w.done(r)) {
		t.Errorf("preview beside a plan %+v, %+v, run %+v", p, p.Forecast, r)
	}
}

// A preview writes beside the directory and in the list of runs, and keeps its
// record up to date from the beginning.
func TestPreviewWrites(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	live := w.rows("directory", w.conn)
	sent, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	j := w.ask(job.Preview, "")
	tables := make(map[string]int)
	w.cable.watch(func(table string) {
		if tables[table]++; table == "runs" && len(tables) == 1 {
			if r := w.record(j.Run); r.State != job.Running || r.By != "Ada" {
				t.Errorf("record at the beginning: %+v", r)
			}
		}
		if now := w.rows("directory", w.conn); !reflect.DeepEqual(live, now) {
			t.Errorf("write %v touched the directory", tables)
		}
	})
	err = w.engine.Sync(w.ctx, j)
	w.cable.watch(nil)
	w.ok(err)
	for table := range tables {
		if table != "runs" && table != "directory" {
			t.Errorf("a preview wrote to %s", table)
		}
	}
	now, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	if now.Sent != sent.Sent {
		t.Errorf("a preview of one slice sent %d messages", now.Sent-sent.Sent)
	}
	if r := w.record(j.Run); r.State != job.Succeeded || r.Created != 3 || r.Archived != 3 || r.Forecast == nil || r.Forecast.Total != 25 {
		t.Errorf("record at the end: %+v, %+v", r, r.Forecast)
	}
	if len(w.rows("directory", w.preview())) < 10 {
		t.Error("a preview left nothing to read")
	}
}

// A preview that is killed before any of its writes says the same in the end.
func TestPreviewKilled(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	for _, group := range w.groups {
		_ = w.tenant.RemoveMember(group, w.tenant.People()[0].ID)
	}
	calm := foretold(w.asked(job.Preview, ""))
	for n := 1; ; n++ {
		j := w.ask(job.Preview, "")
		fired := w.killed(n, j)
		if got := foretold(w.record(j.Run)); !reflect.DeepEqual(got, calm) {
			t.Fatalf("killed before write %d it says\n%+v, want\n%+v", n, got, calm)
		}
		if !fired {
			if n < 8 { // the record, deleting twice, opening, people, teams, holdings, the record
				t.Errorf("a preview of only %d writes", n-1)
			}
			break
		}
	}
	if got := w.done(w.run()); !reflect.DeepEqual(got, calm) {
		t.Errorf("the run does\n%+v, the preview said\n%+v", got, calm)
	}
}

// Who asks for a preview while a sync is open waits for it; who asks twice gets
// the second one; and one of a connection that cannot be read ends at once.
func TestPreviewInTurn(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 20})
	w.ok(err)
	w.engine.Budget = -1
	w.send(job.Schedule)
	w.step(w.engine.Sync)
	j := w.ask(job.Preview, "")
	if err := w.engine.Sync(w.ctx, j); !fault.Is(err, fault.Throttled) || fault.Of(err).After <= 0 {
		t.Fatalf("beside an open run: %v", err)
	}
	w.quiet(w.engine.Sync)
	_, err = w.tenant.Apply(tenant.Bulk{Seed: 2, Edit: 20})
	w.ok(err)
	w.ok(w.engine.Sync(w.ctx, j)) // its first slice
	if r := w.record(j.Run); r.State != job.Running {
		t.Errorf("first preview: %+v", r)
	}
	second := w.asked(job.Preview, "")
	if second.State != job.Succeeded || second.Updated == 0 {
		t.Errorf("second preview: %+v", second)
	}
	if r := w.record(j.Run); r.State != job.RunFailed || r.Code != "superseded" || r.Remedy == "" {
		t.Errorf("first preview: %+v", r)
	}
	rows := w.rows("directory", w.preview())
	w.ok(w.engine.Sync(w.ctx, j)) // late
	if !reflect.DeepEqual(rows, w.rows("directory", w.preview())) {
		t.Error("a late message of the first preview did something")
	}
	c := w.connection()
	c.Status, c.NextDue = connection.Failed, time.Time{}
	_, err = w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	if r := w.asked(job.Preview, ""); r.State != job.RunFailed || r.Code != "not_connected" || r.Remedy == "" {
		t.Errorf("preview of a connection that is not live: %+v", r)
	}
}

// Two workers that begin a preview at the same time leave one that is right.
func TestPreviewBegunTwice(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	calm := foretold(w.asked(job.Preview, ""))
	twin := w.newEngine(t, wires.Transport)
	for range 5 {
		j := w.ask(job.Preview, "")
		done := make(chan error, 2)
		for _, e := range []worker{w.engine.Sync, twin.Sync} {
			go func() { done <- e(w.ctx, j) }()
		}
		w.ok(errors.Join(<-done, <-done))
		w.ok(w.engine.Sync(w.ctx, j))
		if got := foretold(w.record(j.Run)); !reflect.DeepEqual(got, calm) {
			t.Fatalf("begun twice it says\n%+v, want\n%+v", got, calm)
		}
	}
}
