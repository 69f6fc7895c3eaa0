package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	msfault "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/wiretest"
)

// apart keeps the rows of one test from those of others, which share the
// process's Azurite, and counts.
type apart struct {
	reconcile.Throttles
	name string

	mu            sync.Mutex
	reads, writes int
}

func (a *apart) Throttle(ctx context.Context, app string) (job.Throttle, error) {
	a.mu.Lock()
	a.reads++
	a.mu.Unlock()
	return a.Throttles.Throttle(ctx, a.name+app)
}

func (a *apart) PutThrottle(ctx context.Context, app string, t job.Throttle) error {
	a.mu.Lock()
	a.writes++
	a.mu.Unlock()
	return a.Throttles.PutThrottle(ctx, a.name+app, t)
}

// board is one instance's board over the rows that others of the test share.
func (w *world) board(rows reconcile.Throttles) *reconcile.Board {
	return &reconcile.Board{Rows: rows, Now: w.clock.Now, Log: wiretest.Silent()}
}

func (w *world) notices() *apart { return &apart{Throttles: w.store, name: w.conn} }

// Retry-After in each of its forms makes the run wait so long, and no worker.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	for _, test := range []struct {
		after    string
		low, top time.Duration
	}{
		{"", 15 * time.Second, 15 * time.Second}, // nobody said: our own first back-off
		{"7", 15 * time.Second, 15 * time.Second},
		{"40", 40 * time.Second, 40*time.Second + time.Millisecond},
		{"40.128", 40128 * time.Millisecond, 40129 * time.Millisecond},
		{"date:90s", 89 * time.Second, 91 * time.Second},
		{"date:-90s", 15 * time.Second, 15 * time.Second},
		{"soon", 15 * time.Second, 15 * time.Second},
		{"86400", 6 * time.Hour, 6 * time.Hour},
	} {
		fired := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Throttle, RetryAfter: test.after, Path: msfault.UsersDelta, Count: 1})
		id := w.send(job.Schedule)
		began := time.Now()
		w.step(w.engine.Sync)
		fired()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%q: the worker took %s", test.after, took)
		}
		r := w.fence().Run
		if d := r.NextTry.Sub(w.clock.Now()); r.ID != id || r.State != job.Waiting || !r.Throttled || d < test.low || d > test.top || r.Throttles != 1 {
			t.Errorf("%q: %s for %s, want %s to %s", test.after, r.State, d, test.low, test.top)
		}
		w.quiet(w.engine.Sync)
		if r := w.record(id); r.State != job.Succeeded || r.Retries != 1 {
			t.Errorf("%q: %s after %d tries more", test.after, r.State, r.Retries)
		}
	}
	w.settled()
}

// A throttle of the whole app stops all connections of the app at their next
// slice, without a request, until it is over; each comes back at a time of its
// own, but what somebody asked for at once.
func TestAppThrottle(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	met, heard := l.world(t, t, 12), l.world(t, t, 12)
	rows := met.notices()
	for _, w := range []*world{met, heard} {
		w.succeed()
		w.engine.Board = w.board(rows)
	}
	fired := wires.Fault(t, met.tenant, msfault.Fault{
		Kind: msfault.Throttle, RetryAfter: "300", Scope: "Application/ReadWrite/app", Path: msfault.UsersDelta, Count: 1,
	})
	began := l.clock.Now()
	met.send(job.Schedule)
	met.step(met.engine.Sync)
	fired()
	over := began.Add(300*time.Second + time.Millisecond)
	within := func(w *world, spread time.Duration) {
		t.Helper()
		r := w.fence().Run
		if late := r.NextTry.Sub(over); r.State != job.Waiting || !r.Throttled || late < -time.Millisecond || late > spread || r.Remedy == "" {
			t.Errorf("%s: %s until %s after the throttle's end", r.Trigger, r.State, late)
		}
	}
	within(met, 2*time.Minute)
	if n := met.fence().Attempt; n != 0 {
		t.Errorf("the app's throttle counts as failure %d of this run", n)
	}
	calls := heard.tenant.Calls()
	j := heard.job(job.Schedule, "")
	heard.ok(heard.engine.Sync(heard.ctx, j))
	within(heard, 2*time.Minute)
	if a, b := met.fence().Run.NextTry, heard.fence().Run.NextTry; a.Equal(b) {
		t.Errorf("both come back at %s", a)
	}
	if f := heard.fence(); f.Attempt != 0 || f.Run.GraphCalls != 0 {
		t.Errorf("what was only heard of counts as try %d, %d calls", f.Attempt, f.Run.GraphCalls)
	}
	if fmt.Sprint(calls) != fmt.Sprint(heard.tenant.Calls()) {
		t.Error("Graph was asked while the throttle stands")
	}
	// Another's app is another's.
	own := connection.Access{Tenant: heard.tenant.ID, Own: "theirs"}
	if until := heard.engine.Board.Until(heard.ctx, own); until.After(l.clock.Now()) {
		t.Errorf("a customer's own app waits until %s", until)
	}
	met.quiet(func(ctx context.Context, j job.Job) error { // the queue is shared
		if j.Connection == met.conn {
			return met.engine.Sync(ctx, j)
		}
		return heard.engine.Sync(ctx, j)
	})
	for _, w := range []*world{met, heard} {
		if r := w.record(w.fence().Run.ID); r.State != job.Succeeded {
			t.Errorf("in the end: %s", r.State)
		}
		w.settled()
	}
	if rows.writes != 1 {
		t.Errorf("%d writes of the row", rows.writes)
	}
}

// By hand: as soon as the throttle is over.
func TestManualComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	rows := w.notices()
	w.engine.Board = w.board(rows)
	access := connection.Access{Tenant: w.tenant.ID}
	until := w.clock.Now().Add(time.Minute)
	w.ok(w.board(rows).Post(w.ctx, access, until, "Application/ReadWrite")) // by another instance
	id := w.send(job.Manual)
	w.step(w.engine.Sync)
	if r := w.fence().Run; r.State != job.Waiting || r.NextTry.Sub(until) > 0 || until.Sub(r.NextTry) > time.Millisecond {
		t.Errorf("by hand: %s until %s, the throttle until %s", r.State, r.NextTry, until)
	}
	w.quiet(w.engine.Sync)
	if r := w.record(id); r.State != job.Succeeded || r.Ended.Sub(until) > time.Second {
		t.Errorf("by hand: %s at %s", r.State, r.Ended)
	}
	seen := map[time.Duration]bool{}
	for range 1000 {
		id := connection.NewID()
		d := reconcile.Return(id, job.Low)
		if seen[d.Truncate(time.Second)] = true; d < 0 || d >= 2*time.Minute || reconcile.Return(id, job.Normal) != d || reconcile.Return(id, job.High) != 0 {
			t.Fatalf("%s comes back after %s", id, d)
		}
	}
	if len(seen) < 115 { // of 120 seconds
		t.Errorf("a thousand come back in %d seconds", len(seen))
	}
}

// A throttle of one tenant is nobody else's matter.
func TestTenantThrottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	rows := w.notices()
	w.engine.Board = w.board(rows)
	fired := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Throttle, RetryAfter: "300", Path: msfault.UsersDelta, Count: 1})
	w.succeed()
	fired()
	if until := w.board(rows).Until(w.ctx, connection.Access{}); rows.writes != 0 || !until.IsZero() {
		t.Errorf("%d writes, others wait until %s", rows.writes, until)
	}
}

// The row is only ever prolonged, whoever writes it when; and what it says is
// believed for a quarter of an hour at most.
func TestBoardProlongs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	rows := w.notices()
	now := w.clock.Now()
	access := connection.Access{Tenant: "any", App: "some"}
	var group sync.WaitGroup
	var boards []*reconcile.Board
	for n := range 8 {
		b := w.board(rows)
		boards = append(boards, b)
		group.Go(func() {
			for i := range 3 {
				if err := b.Post(w.ctx, access, now.Add(time.Duration(1+(n*5+i*7)%11)*time.Minute), "Application"); err != nil && !fault.Is(err, fault.Conflict) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	w.ok(boards[0].Post(w.ctx, access, now.Add(12*time.Minute), "Application"))
	writes := rows.writes
	w.ok(boards[0].Post(w.ctx, access, now.Add(5*time.Minute), "Application"))
	w.ok(w.board(rows).Post(w.ctx, access, now.Add(5*time.Minute), "Application"))
	if rows.writes != writes {
		t.Error("a shorter one was written")
	}
	if until := w.board(rows).Until(w.ctx, access); until.Sub(now) != 12*time.Minute && now.Add(12*time.Minute).Sub(until) > time.Millisecond {
		t.Errorf("%s, want 12m", until.Sub(now))
	}
	w.ok(boards[0].Post(w.ctx, access, now.Add(5*time.Hour), "Application"))
	if until := w.board(rows).Until(w.ctx, access); until.Sub(now) > 15*time.Minute {
		t.Errorf("everybody stands for %s", until.Sub(now))
	}
}

// A sweep reads the row once in five seconds, however many ask; a row that
// cannot be read holds nobody up.
func TestBoardIsCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	rows := w.notices()
	b := w.board(rows)
	access := connection.Access{Tenant: "any"}
	ask := func() {
		var group sync.WaitGroup
		for n := range 1000 {
			group.Go(func() {
				if until := b.Until(w.ctx, connection.Access{Tenant: fmt.Sprint(n)}); until.After(w.clock.Now()) {
					t.Errorf("waits until %s", until)
				}
			})
		}
		group.Wait()
	}
	ask()
	w.clock.Advance(4 * time.Second)
	ask()
	if rows.reads != 1 {
		t.Errorf("%d reads", rows.reads)
	}
	w.clock.Advance(2 * time.Second)
	if ask(); rows.reads != 2 {
		t.Errorf("%d reads after six seconds", rows.reads)
	}
	// What another instance has posted is heard of within five seconds.
	w.ok(w.board(rows).Post(w.ctx, access, w.clock.Now().Add(time.Minute), "Application"))
	w.clock.Advance(5 * time.Second)
	if left := b.Until(w.ctx, access).Sub(w.clock.Now()); left < 54*time.Second {
		t.Errorf("%s left", left)
	}
	reads := rows.reads
	for range 10 {
		w.clock.Advance(5 * time.Second)
		b.Until(w.ctx, access)
	}
	if rows.reads != reads {
		t.Errorf("%d reads while it stands", rows.reads-reads)
	}
	broken := w.board(unreadable{})
	if until := broken.Until(w.ctx, access); until.After(w.clock.Now()) {
		t.Errorf("an unreadable row holds up until %s", until)
	}
}

type unreadable struct{ reconcile.Throttles }

func (unreadable) Throttle(context.Context, string) (job.Throttle, error) {
	return job.Throttle{}, fault.New(fault.Unknown, "no table")
}

// What a run asks of Graph says who waits for it.
func TestPriorities(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	rt := &priorities{next: wires.Transport}
	w.engine.Graph = w.newEngine(t, rt).Graph
	for trigger, want := range map[job.Trigger]string{job.Schedule: "low", job.Manual: "high", job.First: "", job.Again: "high"} {
		rt.seen = nil
		w.send(trigger)
		w.quiet(w.engine.Sync)
		if len(rt.seen) == 0 || slices.ContainsFunc(rt.seen, func(s string) bool { return s != want }) {
			t.Errorf("%s: %q, want %q", trigger, rt.seen, want)
		}
	}
	rt.seen = nil
	w.asked(job.Person, w.tenant.People()[0].ID)
	if len(rt.seen) == 0 || slices.ContainsFunc(rt.seen, func(s string) bool { return s != "high" }) {
		t.Errorf("one person: %q", rt.seen)
	}
	rt.seen = nil // a scheduled run that somebody waits for
	w.engine.Budget = -1
	w.send(job.Schedule)
	w.step(w.engine.Sync)
	began := len(rt.seen)
	w.send(job.Manual)
	w.quiet(w.engine.Sync)
	w.engine.Budget = time.Hour
	if late := rt.seen[began:]; began == 0 || len(late) < 2 || rt.seen[0] != "low" || slices.Contains(late, "low") {
		t.Errorf("a scheduled run that somebody waits for: %q, %d of them before", rt.seen, began)
	}
	rt.seen = nil
	w.asked(job.Preview, "")
	if len(rt.seen) == 0 || slices.ContainsFunc(rt.seen, func(s string) bool { return s != "high" }) {
		t.Errorf("preview: %q", rt.seen)
	}
}

// priorities notes what requests to Graph say.
type priorities struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (p *priorities) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Header.Get("x-ms-throttle-priority"))
	p.mu.Unlock()
	return p.next.RoundTrip(r)
}

// However Microsoft slows us down, no worker sleeps longer than two seconds:
// near the limit it waits a little, beyond it the run goes on by a message.
func TestNoLongSleep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 150)
	var slept []time.Duration
	g, err := graph.New(wires.Microsoft.GraphURL(), w.creds, wires.Transport)
	w.ok(err)
	g.Now = w.clock.Now
	g.Sleep = func(_ context.Context, d time.Duration) error { // a run's calls are one by one here
		slept = append(slept, d)
		w.clock.Advance(d)
		return nil
	}
	w.engine.Graph = g
	near := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Near, Part: 1.8, Path: msfault.UsersDelta, Count: 12})
	held := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Throttle, RetryAfter: "3600", Path: msfault.UsersDelta, Skip: 5, Count: 2})
	began := w.clock.Now()
	r := w.succeed()
	near()
	held()
	if took := r.Ended.Sub(began); r.Throttles != 2 || took < 2*time.Hour {
		t.Errorf("%d throttles, %s", r.Throttles, took)
	}
	if len(slept) < 10 || slices.Max(slept) > 2*time.Second || slices.Max(slept) < time.Second {
		t.Errorf("slept %v", slept)
	}
	w.settled()
}
