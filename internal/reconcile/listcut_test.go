package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// scoped is a world of so many people of whom everything is synced, chosen by a
// group that all but the last five are in, with guests left out. While they are
// listed most are edited, and some of those left out come in.
func (l *line) scoped(t *testing.T, people, lanes int) (*world, *tap) {
	t.Helper()
	w := l.whole(t, t, people)
	w.spread(manyA)
	group := w.team("Scope", false)
	ps := w.tenant.People()
	for i, p := range ps[:len(ps)-5] {
		w.ok(w.tenant.AddMember(group, p.ID))
		if i%9 == 0 {
			w.ok(w.tenant.Update(p.ID, fields("userType", "Guest")))
		}
	}
	w.choose(func(s *connection.Settings) { s.Groups, s.Guests = []string{group}, false })
	p := w.taps(t, lanes)
	began := false
	p.each = func(kind string, n int) {
		if kind != askShard || began {
			return
		}
		began = true
		for i, p := range ps {
			f := tenant.Fields{"jobTitle": fmt.Sprint("Title ", i%4), "manager": ps[(i+1)%len(ps)].ID}
			if i == 9 {
				f["userType"] = "Member"
			}
			w.ok(w.tenant.Update(p.ID, f))
		}
		w.ok(w.tenant.Purge(ps[11].ID))
	}
	return w, p
}

// A worker that dies before any write of a first run that lists people, of whom
// everything is synced, loses nothing: neither of the list nor of what follows.
func TestListKilledWhole(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for n := 1; ; n++ {
		w, p := l.scoped(t, 40, 2)
		j := w.job(job.Schedule, "")
		fired := w.killed(n, j)
		w.listed(w.record(j.Run))
		if w.settledWhole(); t.Failed() {
			t.Fatalf("killed before write %d", n)
		}
		if !fired {
			if n < 8 || p.n[askCount] < 2 {
				t.Errorf("a run of only %d writes, requests %v", n-1, p.n)
			}
			break
		}
	}
}

// Two workers that list at the same time, and messages that come late, make a
// list that is whole.
func TestListTwice(t *testing.T) {
	t.Parallel()
	w, _ := newLine(t).scoped(t, 60, 3)
	twin := w.newEngine(t, &tap{n: make(map[string]int)})
	w.engine.Budget = -1
	twin.Budget, twin.Lanes = -1, 5 // and their shards are others
	run := w.send(job.Schedule)
	both := func(ctx context.Context, j job.Job) error {
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = w.engine.Sync(ctx, j) })
		wg.Go(func() { errs[1] = twin.Sync(ctx, j) })
		wg.Wait()
		return errors.Join(errs[:]...)
	}
	for n := 1; n < 200 && w.step(both); n++ {
		if n%4 == 0 && n < 30 {
			w.again(w.late[0])
			w.again(w.late[len(w.late)-1])
		}
	}
	if r := w.record(run); r.State != job.Succeeded {
		t.Fatalf("run %+v", r)
	}
	w.settledWhole()
}

// A worker that slept while another one listed everybody writes nothing more,
// no place in particular.
func TestListStaleWorker(t *testing.T) {
	t.Parallel()
	w, _ := newLine(t).scoped(t, 60, 3)
	held, letGo := make(chan struct{}), make(chan struct{})
	p := &tap{n: make(map[string]int)}
	p.each = func(kind string, n int) {
		if kind == askPage && n == 3 {
			close(held)
			<-letGo
		}
	}
	sleeper := w.newEngine(t, p)
	sleeper.Lanes = 3
	j := w.job(job.Schedule, "")
	done := make(chan error, 1)
	go func() { done <- sleeper.Sync(w.ctx, j) }()
	<-held
	w.ok(w.engine.Sync(w.ctx, j))
	w.quiet(w.engine.Sync)
	w.settledWhole()
	before, writes := w.fence(), w.cable.passed().writes
	close(letGo)
	w.ok(<-done)
	if n := w.cable.passed().writes - writes; n != 0 || !reflect.DeepEqual(before, w.fence()) {
		t.Errorf("the sleeper committed %d times", n)
	}
	w.settledWhole()
}

// Whatever comes between two slices of a list, the runs after it make all that
// is stored Microsoft's.
func TestListInterrupted(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for name, meanwhile := range map[string]func(w *world){
		"pause": func(w *world) { w.pause(); w.quiet(w.engine.Sync); w.resume() },
		"pause and narrower": func(w *world) {
			w.pause()
			w.quiet(w.engine.Sync)
			w.choose(func(s *connection.Settings) { s.Disabled, s.Positions = false, false })
			w.resume()
		},
		"pause and wider": func(w *world) {
			w.pause()
			w.quiet(w.engine.Sync)
			w.choose(func(s *connection.Settings) { s.Groups, s.Guests = nil, true })
			w.resume()
		},
		"pause and erasure": func(w *world) {
			w.pause()
			w.quiet(w.engine.Sync)
			id := w.tenant.People()[4].ID
			if r := w.asked(job.Erase, id); r.State != job.Succeeded {
				w.Fatalf("erasure: %s %s", r.State, r.Error)
			}
			delete(w.ever, id)
			w.ok(w.tenant.Purge(id)) // or the truth would have them
			w.resume()
		},
		"guests":    func(w *world) { w.choose(func(s *connection.Settings) { s.Guests = true }) },
		"no groups": func(w *world) { w.choose(func(s *connection.Settings) { s.Groups = nil }) },
		"fewer": func(w *world) {
			w.choose(func(s *connection.Settings) { s.ReportingLines, s.Positions = false, false })
		},
		"no lanes": func(w *world) { w.engine.Lanes = 0 },
		"more":     func(w *world) { w.engine.Lanes = 7 },
		"gone":     func(w *world) { w.ok(w.tenant.Purge(w.tenant.People()[2].ID)) },
		"preview": func(w *world) {
			w.pause()
			w.quiet(w.engine.Sync)
			w.resume()
			if r := w.asked(job.Preview, ""); r.State != job.Succeeded {
				w.Fatalf("preview: %s %s", r.State, r.Error)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := l.scoped(t, 30, 3)
			w.engine.Budget = -1
			w.send(job.Schedule)
			for p.n[askPage] < 1 || w.fence().Stored == 0 {
				w.step(w.engine.Sync)
			}
			if f := w.fence(); f.People.Latest == "" {
				t.Fatal("the list has ended")
			}
			meanwhile(w)
			w.engine.Budget = time.Hour
			w.quiet(w.engine.Sync)
			for range 2 { // as settings and lists need
				w.succeed()
			}
			w.settledWhole()
		})
	}
}

// Places that another list has left, however many there are, are none of the
// list's that begins now, even if it is killed while they go.
func TestListForeignPlaces(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	w, _ := l.scoped(t, 45, 3)
	w.engine.Budget = -1
	w.send(job.Schedule)
	for w.step(w.engine.Sync) && w.fence().People.Next == "" { // until all are listed
	}
	places, err := w.store.Shards(w.ctx, w.conn)
	if w.ok(err); len(places) == 0 {
		t.Fatal("no places")
	}
	for n := 3; n < 7; n++ {
		w, p := l.scoped(t, 45, 3)
		p.each = nil // or catching up would tell of everybody
		first := slices.Clone(places)
		for i := range directory.MaxRows - len(first) {
			first = append(first, directory.Shard{Name: fmt.Sprintf("00%04x", i)})
		}
		second := []directory.Shard{}
		for i := range 50 {
			second = append(second, directory.Shard{Name: fmt.Sprintf("01%04x", i)})
		}
		f := w.fence()
		for _, b := range []directory.Batch{{Shards: first}, {Shards: second}} {
			var err error
			f, err = w.store.Commit(w.ctx, w.conn, f, b)
			w.ok(err)
		}
		j := w.job(job.Schedule, "")
		w.killed(n, j)
		w.listed(w.record(j.Run))
		w.settledWhole()
	}
}

// A chain that begins where people are stored, because its first page was cut
// or by a build that knew no lists, looks for the missing.
func TestFirstPageCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	var proxies []string
	for i := range 400 {
		proxies = append(proxies, fmt.Sprintf("smtp:%03d.%0120d@contoso.example", i, i))
	}
	left := ""
	w.engine.Graph = w.newEngine(t, edits{crowd{proxies, proxies}, "/users/delta", func(m map[string]any) {
		m["value"] = slices.DeleteFunc(m["value"].([]any), func(v any) bool { return v.(map[string]any)["id"] == left })
	}}).Graph
	j := w.job(job.Schedule, "")
	var opening int64
	w.cable.cut(func(write int64) error {
		if opening == 0 {
			opening = write
		}
		if write < opening+3 { // and some of the page
			return nil
		}
		return errors.New("killed")
	})
	if err := w.engine.Sync(w.ctx, j); err == nil {
		t.Fatal("was not killed")
	}
	w.cable.cut(nil)
	stored := w.records()
	for id := range stored {
		left = id
	}
	if f := w.fence(); len(stored) == 0 || len(stored) == crowdSize || f.People.Next != "" {
		t.Fatalf("%d stored, cursor %+v", len(stored), f.People)
	}
	w.clock.Advance(time.Minute)
	w.ok(w.engine.Sync(w.ctx, j))
	w.quiet(w.engine.Sync)
	if r := w.records()[left]; r.Active() {
		t.Errorf("%s is at Microsoft no more, and active", left)
	}
	w.sound()
}

// A preview of a first run that lists people says what the run does.
func TestListPreviewed(t *testing.T) {
	t.Parallel()
	for _, budget := range []time.Duration{time.Hour, -1} {
		t.Run(budget.String(), func(t *testing.T) {
			t.Parallel()
			w, p := newLine(t).scoped(t, 30, 3)
			p.each = nil
			w.engine.Budget = budget
			foreseen := w.asked(job.Preview, "")
			if p.n[askShard] == 0 {
				t.Error("the preview lists nobody")
			}
			if rows := w.rows("directory", w.conn); len(rows) != 0 {
				t.Errorf("the preview has left %d rows", len(rows))
			}
			r := w.succeed()
			w.settledWhole()
			a, b := doneBy(foreseen), doneBy(r)
			if a.seen, b.seen = 0, 0; !reflect.DeepEqual(a, b) {
				t.Errorf("preview says\n%+v, the run does\n%+v", a, b)
			}
			if a, b := w.tales(w.preview(), 0), w.tales(w.conn, 0); !slices.Equal(a, b) {
				t.Errorf("preview tells of %d changes, the run of %d others", len(a), len(b))
			}
		})
	}
}

// tales are changes without their numbers, in the order of what they say: a
// list comes in any order.
func (w *world) tales(part string, after int64) (out []string) {
	w.Helper()
	for _, c := range w.told(part, after) {
		c.Number = 0
		b, err := json.Marshal(c)
		w.ok(err)
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

// A list and a chain store the same of the same tenant, and tell the same of
// it; so do the runs that follow them.
func TestListAsChain(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		if !dear(rt) {
			return
		}
		w := l.furnished(t, rt, rapid.IntRange(20, 50).Draw(rt, "people"))
		other := &house{l.world(t, rt, 0), w.groups}
		c, of := other.connection(), w.connection()
		settings := of.Chosen()
		settings.Guests, settings.Disabled = rapid.Bool().Draw(rt, "guests"), rapid.Bool().Draw(rt, "disabled")
		if rapid.Bool().Draw(rt, "scoped") {
			settings.Groups = w.groups[:2]
		}
		c.Settings, of.Settings, c.Tenant = &settings, &settings, of.Tenant
		for _, c := range []connection.Connection{c, of} {
			_, err := w.store.UpdateConnection(w.ctx, c)
			w.ok(err)
		}
		other.tenant = w.tenant
		for range rapid.IntRange(0, 10).Draw(rt, "edits") {
			w.stirSome(rt, []string{"create", "title", "manager", "disable", "guest", "remove", "purge", "restore", "join", "leave"})
		}
		p := w.taps(t, rapid.IntRange(1, 8).Draw(rt, "lanes"))
		if rapid.Bool().Draw(rt, "slices") {
			w.engine.Budget = -1
		}
		for round := range 3 {
			before, was := w.fence().LastChange, other.fence().LastChange
			a, b := w.succeed(), other.succeed()
			if a.Created != b.Created || a.Updated != b.Updated || a.Archived != b.Archived || a.Reactivated != b.Reactivated || a.Positions != b.Positions {
				rt.Fatalf("round %d: the list's run %+v, the chain's %+v", round, a.Counters, b.Counters)
			}
			if a, b := w.tales(w.conn, before), other.tales(other.conn, was); !slices.Equal(a, b) {
				rt.Fatalf("round %d: the list's run tells\n%v, the chain's\n%v", round, a, b)
			}
			w.settledWhole()
			other.settledWhole()
			if people, _ := w.tenant.People(), 0; round == 0 && len(people) >= 20 && p.n[askShard] == 0 {
				rt.Fatalf("nobody was listed: %v", p.n)
			}
			for range rapid.IntRange(0, 6).Draw(rt, "more edits") {
				w.stirSome(rt, []string{"create", "title", "manager", "disable", "guest", "remove", "purge", "restore", "join", "leave"})
			}
		}
	})
}

// Who was listed before their shard was split is left out of the shards below.
func TestListSplitOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 90)
	w.spread(manyA)
	p := w.taps(t, 3)
	r := w.succeed()
	if w.listed(r); r.Created != 90 || r.Unchanged != 0 || r.Seen != 90 || p.n[askCount] < 2 {
		t.Errorf("%d created, %d unchanged, %d seen; requests %v", r.Created, r.Unchanged, r.Seen, p.n)
	}
	w.settled()
}
