package reconcile_test

import (
	"fmt"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	msfault "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// What a run may cost: nothing to do is one call, and N changes fill their
// transactions.
func TestCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100)
	w.choose(func(s *connection.Settings) { s.Licenses = false })
	w.engine.Board = w.board(w.notices()) // whose row is read once for all runs of some seconds
	w.succeed()
	cost := func() (r job.Run, reads, writes, graph int64) {
		before, calls := w.cable.passed(), w.tenant.Calls()
		id := w.send(job.Schedule)
		w.quiet(w.engine.Sync)
		after := w.cable.passed()
		for path, n := range w.tenant.Calls() {
			if path != msfault.Token {
				graph += int64(n - calls[path])
			}
		}
		return w.record(id), after.reads - before.reads, after.writes - before.writes, graph
	}
	r, reads, writes, calls := cost()
	if r.State != job.Succeeded || calls != 1 || r.GraphCalls != 1 || reads > 2 || writes > 3 {
		t.Errorf("a run with nothing to do: %s, %d calls (it counts %d), %d reads, %d writes; want 1, at most 2, at most 3", r.State, calls, r.GraphCalls, reads, writes)
	}
	for _, n := range []int{1, 96, 97} {
		for _, p := range w.tenant.People()[:n] {
			w.ok(w.tenant.Update(p.ID, fields("jobTitle", fmt.Sprintf("Title %d", n))))
		}
		r, _, _, calls := cost()
		pages := int64((n + 9) / 10)
		limit := 1.05*float64((n+95)/96) + 1
		if r.State != job.Succeeded || r.Updated != n || float64(r.Transactions) > limit || calls != pages {
			t.Errorf("%d changed: %s, %d updated in %d transactions (at most %.1f), %d calls (want %d)", n, r.State, r.Updated, r.Transactions, limit, calls, pages)
		}
	}
	w.settled()
}

// A worker that dies before any of its writes loses nothing: the message comes
// again, and the end is the same.
func TestKilledBeforeAnyWrite(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	w := l.world(t, t, 101)
	w.choose(func(s *connection.Settings) { s.Licenses, s.Positions = false, false })
	w.succeed()
	// After one full transaction: the page that did not fit into it
	// is half written.
	for _, p := range w.tenant.People() {
		w.ok(w.tenant.Update(p.ID, fields("department", "Moved")))
	}
	if w.killed(2, w.job(job.Schedule, "")); w.fence().Run.Transactions != 4 {
		t.Errorf("not killed in the middle of a page: %+v", w.fence().Run)
	}
	w.settled()
	w = l.world(t, t, 30)
	w.succeed()
	n := 2
	for ; ; n++ { // every write of a run with all kinds of changes
		_, err := w.tenant.Apply(tenant.Bulk{Seed: uint64(n), Edit: 15, Remove: 3, Create: 3})
		w.ok(err)
		fired := w.killed(n, w.job(job.Schedule, ""))
		w.settled()
		if !fired {
			break
		}
	}
	if n < 6 { // open, people, removals, the run's record, the connection
		t.Errorf("a run of only %d writes", n-1)
	}
}
