package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// guarded is a world of so many people whose guard holds more than seven
// removals, and more than a fifth where more than five are to go.
func guarded(t *testing.T, people int) *world {
	w := newWorld(t, people)
	w.engine.Guard = connection.Guard{MaxCount: 7, MaxPercent: 20}
	w.succeed()
	return w
}

// leave removes the first n people of the tenant and returns them.
func (w *world) leaves(n int) []string {
	w.Helper()
	var ids []string
	for _, p := range w.tenant.People()[:n] {
		w.ok(w.tenant.Remove(p.ID))
		ids = append(ids, p.ID)
	}
	return ids
}

// decision does what a human decided and returns its record.
func (w *world) decision(trigger job.Trigger, hash string) job.Run {
	w.Helper()
	j := w.job(trigger, hash)
	w.ok(w.queue.Send(w.ctx, j, w.clock.Now()))
	w.quiet(w.engine.Sync)
	return w.record(j.Run)
}

// present counts those of the people who are stored as active.
func (w *world) present(ids []string) (n int) {
	w.Helper()
	rs, err := w.store.Records(w.ctx, w.conn, ids)
	w.ok(err)
	for _, r := range rs {
		if r.Active() {
			n++
		}
	}
	return n
}

func (w *world) archived() int {
	w.Helper()
	f := w.fence()
	return f.Stored - f.Active
}

func TestGuardLimits(t *testing.T) {
	for _, tt := range []struct {
		guard            connection.Guard
		removals, active int
		held             bool
	}{
		{connection.Guard{MaxCount: 7, MaxPercent: 20}, 7, 1000, false},
		{connection.Guard{MaxCount: 7, MaxPercent: 20}, 8, 1000, true},
		{connection.Guard{MaxCount: 7, MaxPercent: 20}, 5, 5, false}, // five are never too great a part
		{connection.Guard{MaxCount: 7, MaxPercent: 20}, 6, 30, false},
		{connection.Guard{MaxCount: 7, MaxPercent: 20}, 6, 29, true},
		{connection.Guard{MaxPercent: 20}, 200, 1000, false},
		{connection.Guard{MaxCount: 7}, 7, 7, false},
		{connection.Guard{}, 1000, 1000, false},
	} {
		if got := tt.guard.Holds(tt.removals, tt.active, tt.guard.MaxCount); got != tt.held {
			t.Errorf("%+v: %d of %d held: %v", tt.guard, tt.removals, tt.active, got)
		}
	}
}

// Too many removals archive nobody; everything else is written, and runs pass
// while the plan waits.
func TestHeldAndApproved(t *testing.T) {
	t.Parallel()
	w := guarded(t, 40)
	gone := w.leaves(10)
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 6, Create: 3})
	w.ok(err)
	held := w.run()
	if held.State != job.Held || held.Plan == nil || held.Plan.Count != 10 || held.Plan.Active != 43 || held.Archived != 0 || held.Created != 3 {
		t.Fatalf("run %+v, plan %+v", held, held.Plan)
	}
	if c := w.connection(); c.Status != connection.Held || c.Problem == nil || c.Problem.Remedy == "" || !c.Live() {
		t.Errorf("connection %+v, %+v", c.Status, c.Problem)
	}
	if n := w.present(gone); n != 10 {
		t.Fatalf("%d of ten are active", n)
	}

	// Runs pass. One returns; two more leave, who wait for the next plan,
	// although two would pass by themselves.
	w.ok(w.tenant.Restore(gone[3]))
	people := w.tenant.People()
	later := []string{people[len(people)-1].ID, people[len(people)-2].ID}
	w.ok(w.tenant.Remove(later[0]))
	w.ok(w.tenant.Remove(later[1]))
	for range 2 {
		if r := w.run(); r.State != job.Held || r.Plan == nil || *r.Plan != *held.Plan || r.Archived != 0 {
			t.Fatalf("run beside a plan: %+v, %+v", r, r.Plan)
		}
	}
	if n := w.present(later); n != 2 {
		t.Errorf("%d of two later leavers are active", n)
	}

	for _, hash := range []string{"unknown", held.Plan.Hash[1:]} {
		if r := w.decision(job.Approve, hash); r.State != job.RunFailed || w.archived() != 0 {
			t.Errorf("hash %q: %+v, %d archived", hash, r, w.archived())
		}
	}
	if c := w.connection(); c.Status != connection.Held {
		t.Errorf("a refused decision leaves the connection %s", c.Status)
	}
	r := w.decision(job.Approve, held.Plan.Hash)
	if r.State != job.Succeeded || r.Archived != 9 || r.GraphCalls != 1 {
		t.Fatalf("approval %+v", r)
	}
	if n := w.present(gone); n != 1 || w.present(gone[3:4]) != 1 {
		t.Errorf("after the approval %d of ten are active, the returner %d", n, w.present(gone[3:4]))
	}
	if again := w.decision(job.Reject, held.Plan.Hash); again.State != job.RunFailed || w.archived() != 9 {
		t.Errorf("a second decision: %+v, %d archived", again, w.archived())
	}
	if r := w.succeed(); r.Archived != 2 {
		t.Errorf("the run after archives %d, want the two who left later", r.Archived)
	}
	if c := w.connection(); c.Status != connection.OK || c.Problem != nil {
		t.Errorf("connection %s, %+v", c.Status, c.Problem)
	}
	w.settled()
}

// Whoever is kept stays active, whatever Microsoft repeats, until they
// reappear and leave.
func TestRejected(t *testing.T) {
	t.Parallel()
	w := guarded(t, 40)
	gone := w.leaves(10)
	held := w.run()
	if r := w.decision(job.Reject, held.Plan.Hash); r.State != job.Succeeded || r.Archived != 0 {
		t.Fatalf("rejection %+v", r)
	}
	w.tenant.Forget() // a full enumeration does not list them either
	for range 2 {
		if r := w.succeed(); r.Archived != 0 || w.present(gone) != 10 {
			t.Fatalf("run after a rejection: %+v", r)
		}
	}
	for _, id := range gone[:3] {
		w.ok(w.tenant.Restore(id))
	}
	w.succeed()
	for _, id := range gone[:3] {
		w.ok(w.tenant.Remove(id))
	}
	if r := w.succeed(); r.Archived != 3 || w.present(gone) != 7 {
		t.Errorf("of three who came back and left, %d are archived; %d of ten are active", r.Archived, w.present(gone))
	}
	w.sound()
}

// A plan whose people have all returned needs no human any more.
func TestPlanSettlesItself(t *testing.T) {
	t.Parallel()
	w := guarded(t, 40)
	gone := w.leaves(9)
	if r := w.run(); r.State != job.Held {
		t.Fatalf("run %+v", r)
	}
	for _, id := range gone {
		w.ok(w.tenant.Restore(id))
	}
	w.succeed()
	if c := w.connection(); c.Status != connection.OK || w.fence().Plan != nil {
		t.Errorf("connection %s, plan %+v", c.Status, w.fence().Plan)
	}
	w.settled()
}

// The connection's own limit goes before the vendor's, in both directions, and
// missing people are held like removed ones.
func TestOwnGuard(t *testing.T) {
	t.Parallel()
	w := guarded(t, 40)
	c := w.connection()
	c.Guard = &connection.Guard{MaxCount: 30}
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	w.leaves(20)
	if r := w.succeed(); r.Archived != 20 {
		t.Errorf("archived %d", r.Archived)
	}
	c = w.connection()
	c.Guard = &connection.Guard{MaxCount: 1}
	_, err = w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	w.tenant.Forget()
	for _, p := range w.tenant.People()[:2] {
		w.ok(w.tenant.Purge(p.ID))
	}
	r := w.run()
	if r.State != job.Held || r.Plan.Count != 2 || !r.Full {
		t.Fatalf("run %+v", r)
	}
	if r := w.decision(job.Approve, r.Plan.Hash); r.Archived != 2 {
		t.Errorf("approval %+v", r)
	}
	w.settled()
}

// A decision neither hides a failure nor stands in for a sync, and archives
// nobody who is back, though no sync has seen it.
func TestDecisionIsNoSync(t *testing.T) {
	t.Parallel()
	w := guarded(t, 40)
	gone := w.leaves(10)
	held := w.run()
	refuses, err := wires.Microsoft.AddFault(fault.Fault{Tenant: w.tenant.ID, Path: fault.UsersDelta, Kind: fault.Forbidden})
	w.ok(err)
	if r := w.run(); r.State != job.RunFailed {
		t.Fatalf("run %+v", r)
	}
	before := w.connection()
	for _, id := range gone[:4] {
		w.ok(w.tenant.Restore(id))
	}
	if r := w.decision(job.Approve, held.Plan.Hash); r.Archived != 6 || w.present(gone[:4]) != 4 {
		t.Errorf("of six who are gone and four who are back, %d are archived: %+v", r.Archived, r)
	}
	if c := w.connection(); c.Status != connection.Failed || c.Problem == nil || !c.LastSuccess.Equal(before.LastSuccess) {
		t.Errorf("after a failure and a decision the connection is %s, %+v", c.Status, c.Problem)
	}
	wires.Microsoft.ClearFault(refuses)
	if r := w.succeed(); r.Archived != 0 {
		t.Errorf("the sync after: %+v", r)
	}
	w.settled()
}

// A sync that meets a decision under way runs after it.
func TestSyncMeetsDecision(t *testing.T) {
	t.Parallel()
	w := guarded(t, 140)
	w.engine.Budget = -1 // the decision takes several slices
	w.leaves(110)
	held := w.run()
	decision := w.job(job.Approve, held.Plan.Hash)
	w.ok(w.engine.Sync(w.ctx, decision))
	if f := w.fence(); !f.Open() || f.Run.ID != decision.Run {
		t.Fatalf("the decision is over at once: %+v", f.Run)
	}
	w.ok(w.tenant.Update(w.tenant.People()[0].ID, tenant.Fields{"jobTitle": "Late"}))
	w.ok(w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: "slot-1", Trigger: job.Schedule}))
	if err := w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: "other-1", Trigger: job.Reject, Plan: held.Plan.Hash}); err == nil {
		t.Error("another decision was dropped or merged")
	}
	w.quiet(w.engine.Sync)
	if r := w.record(decision.Run); r.Archived != 110 {
		t.Errorf("decision %+v", r)
	}
	w.settled() // the change is in: a run came after
}

// A run that fails on the way to its plan leaves people held without one; the
// next run makes it.
func TestPlanThatWasNotStored(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for n := 2; ; n++ {
		w := l.world(t, t, 40)
		w.engine.Guard = connection.Guard{MaxCount: 7}
		w.succeed()
		w.leaves(10)
		w.engine.MaxAge = -1 // the first failure ends the run
		fired := w.failing(n)
		w.engine.MaxAge = 24 * time.Hour
		if r := w.run(); r.State != job.Held || r.Plan == nil || r.Plan.Count != 10 {
			t.Fatalf("after a failure at write %d: %s, plan %+v", n, r.State, r.Plan)
		}
		if r := w.decision(job.Approve, w.fence().Plan.Hash); r.Archived != 10 {
			t.Fatalf("approval %+v", r)
		}
		w.settled()
		if !fired {
			return
		}
	}
}

// failing does a run of which one write, the n-th, is refused for good, and
// tells whether there was such a write.
func (w *world) failing(n int) (fired bool) {
	w.Helper()
	w.send(job.Schedule)
	writes := 0
	w.cable.cut(func(int64) error {
		if writes++; writes == n {
			fired = true
			return errors.New("refused")
		}
		return nil
	})
	defer w.cable.cut(nil)
	w.quiet(w.engine.Sync)
	return fired
}

// Killed before any write of holding, and then of deciding, the plan and its
// end are those of an undisturbed world.
func TestKilledWhileHolding(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for n := 1; ; n++ {
		w := l.world(t, t, 102)
		w.engine.Guard = connection.Guard{MaxCount: 7}
		w.succeed()
		gone := w.leaves(98) // more than one transaction holds
		holding := w.killed(n, w.job(job.Schedule, ""))
		held, err := w.store.Listed(w.ctx, w.conn, directory.HeldPeople, "", 1000)
		w.ok(err)
		f := w.fence()
		if f.Run.State != job.Held || f.Plan == nil || f.Plan.Count != 98 || f.Held != 98 || len(held) != 98 || w.present(gone) != 98 {
			t.Fatalf("killed before write %d: run %s, plan %+v, %d held, %d listed", n, f.Run.State, f.Plan, f.Held, len(held))
		}
		deciding := w.killed(n, w.job(job.Approve, f.Plan.Hash))
		if w.present(gone) != 0 {
			t.Fatalf("killed before write %d of the decision: %d are active", n, w.present(gone))
		}
		w.succeed()
		w.settled()
		if !holding && !deciding {
			if n < 5 {
				t.Errorf("a held run and its decision of only %d writes", n-1)
			}
			return
		}
	}
}
