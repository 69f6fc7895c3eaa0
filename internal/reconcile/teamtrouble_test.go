package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
)

// A list of members that breaks off and goes on in another run is begun anew:
// what was put aside of it has been tidied away.
func TestHalfAMemberList(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 30)
	w.succeed()
	w.engine = w.newEngine(t, shortLists{})
	id := w.team("New", true)
	for _, p := range w.tenant.People()[:25] {
		w.ok(w.tenant.AddMember(id, p.ID))
	}
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.GroupMembers, Skip: 1, Count: 2})
	r := w.succeed()
	fired()
	if len(r.Skipped) == 0 {
		t.Fatalf("run %+v; want the teams left out", r)
	}
	if r := w.succeed(); r.Memberships.Archived != 0 {
		t.Errorf("%d memberships ended, though nobody left", r.Memberships.Archived)
	}
	w.settledWhole()
}

// A team whose members Microsoft does not list keeps no other waiting.
func TestOneTeamForbidden(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 30)
	w.succeed()
	first, second := w.team("First", true), w.team("Second", true)
	for _, p := range w.tenant.People()[:5] {
		w.ok(w.tenant.AddMember(first, p.ID))
		w.ok(w.tenant.AddMember(second, p.ID))
	}
	before := w.fence().Memberships.Active
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.GroupMembers, Count: 2})
	w.succeed()
	fired()
	if n := w.fence().Memberships.Active - before; n != 10 {
		t.Errorf("%d memberships more, want 10: one team was refused at first, and the other not", n)
	}
	w.settledWhole()
}

// A roster above what one row, one row of changes and one transaction take is
// split, however many members come at once, and every one of them is told.
func TestLargeTeams(t *testing.T) {
	t.Parallel()
	sizes := []int{2*directory.MaxRoster + 1, directory.MaxRoster + 1}
	w := newLine(t).whole(t, t, 3)
	w.succeed()
	ids := []string{w.tenant.Groups()[0].ID, w.tenant.Groups()[1].ID}
	w.tenant.Forget()
	w.engine = w.newEngine(t, editing(func(m map[string]any) {
		for i, size := range sizes {
			for _, v := range m["value"].([]any) {
				if g := v.(map[string]any); g["id"] == ids[i] {
					g["members@delta"] = invented(i, size)
				}
			}
		}
	}))
	r := w.succeed()
	want := 0
	for i, size := range sizes {
		want += size
		if n := w.memberships(ids[i]); n < size {
			t.Errorf("team %d: %d members, want %d", i, n, size)
		}
	}
	if len(r.Skipped) > 0 || r.Memberships.Created < want {
		t.Errorf("skipped %+v, %d memberships created, want %d", r.Skipped, r.Memberships.Created, want)
	}
	w.sound()
	w.engine = w.newEngine(t, wires.Transport)
	w.tenant.Forget() // the invented ones are gone again
	if r := w.succeed(); r.Memberships.Archived < want {
		t.Errorf("%d memberships ended, want %d", r.Memberships.Archived, want)
	}
	w.settledWhole()
}

// invented is a list of members whom no tenant has.
func invented(team, n int) []any {
	out := make([]any, n)
	for i := range out {
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i)*2654435761, team)
		out[i] = map[string]any{"@odata.type": "#microsoft.graph.user", "id": id}
	}
	return out
}

// In a full round a member may be listed on one page, and be told to have left
// on another: such a team is listed by itself.
func TestFullRoundThatContradictsItself(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 12)
	w.succeed()
	g := w.tenant.Groups()[0].ID
	leaver := w.tenant.Members(g)[0]
	w.tenant.Forget()
	w.engine = w.newEngine(t, editing(func(m map[string]any) {
		if _, last := m["@odata.deltaLink"]; !last {
			return
		}
		w.ok(w.tenant.RemoveMember(g, leaver))
		m["value"] = append(m["value"].([]any), map[string]any{
			"id": g, "members@delta": []any{map[string]any{"@odata.type": "#microsoft.graph.user", "id": leaver, "@removed": map[string]any{"reason": "deleted"}}},
		})
	}))
	if r := w.succeed(); r.Memberships.Archived != 1 {
		t.Errorf("%d memberships ended, want 1", r.Memberships.Archived)
	}
	w.engine = w.newEngine(t, wires.Transport)
	w.succeed()
	w.settledWhole()
}

// A full round that was not compared to its end is made again, not gone on
// with: what it has put aside is of the past.
func TestTeamSweepBrokenOff(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 20)
	w.succeed()
	gs := w.tenant.Groups()
	w.ok(w.tenant.RemoveGroup(gs[3].ID))
	w.tenant.Forget()
	w.engine = w.newEngine(t, editing(func(m map[string]any) { // nobody tells of the one that is gone
		kept := []any{}
		for _, v := range m["value"].([]any) {
			if v.(map[string]any)["id"] != gs[3].ID {
				kept = append(kept, v)
			}
		}
		m["value"] = kept
	}))
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.ByIDs, Count: 2})
	r := w.succeed()
	fired()
	if len(r.Skipped) == 0 {
		t.Fatalf("run %+v; want the teams left out", r)
	}
	w.ok(w.tenant.RemoveMember(gs[0].ID, w.tenant.Members(gs[0].ID)[0]))
	w.succeed()
	w.succeed()
	w.settledWhole()
}

// A run that the build before has left open at its end comes to it.
func TestOldSettlePhase(t *testing.T) {
	t.Parallel()
	w := newLine(t).world(t, t, 5)
	w.succeed()
	f := w.fence()
	f.Run = job.Run{ID: "old", Trigger: job.Schedule, State: job.Running, Phase: "settle", Began: w.clock.Now()}
	_, err := w.store.Commit(w.ctx, w.conn, f, directory.Batch{})
	w.ok(err)
	done := make(chan error, 1)
	go func() {
		done <- w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: "old", Slice: f.Slice, Trigger: job.Schedule})
	}()
	select {
	case err := <-done:
		w.ok(err)
	case <-time.After(time.Minute):
		t.Fatal("it never ends")
	}
	if f := w.fence(); f.Open() {
		t.Errorf("the run is still open: %+v", f.Run)
	}
}

// People who join a scope group just when everybody is enumerated bring their
// memberships too.
func TestNewcomerWhileEnumerating(t *testing.T) {
	t.Parallel()
	w, _, inner := grouped(t)
	newcomer := w.tenant.People()[15].ID
	_ = w.tenant.AddMember(w.tenant.Groups()[0].ID, newcomer) // or they are one
	w.succeed()
	w.ok(w.tenant.AddMember(inner, newcomer))
	w.choose(func(s *connection.Settings) { s.Positions = false })
	if r := w.succeed(); !r.Full || r.Created != 1 {
		t.Errorf("full %v, %d created", r.Full, r.Created)
	}
	w.settledWhole()
}

// Memberships that were left out because of scope groups come when the groups
// are taken out of the settings.
func TestMembershipsAfterScope(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 20)
	w.succeed()
	outer := w.team("Scope", false)
	ps := w.tenant.People()
	for _, p := range ps[:5] {
		w.ok(w.tenant.AddMember(outer, p.ID))
	}
	w.choose(func(s *connection.Settings) { s.Groups = []string{outer} })
	w.succeed()
	team := w.tenant.Groups()[0].ID
	for _, p := range ps[10:] {
		_ = w.tenant.AddMember(team, p.ID) // or they are one
	}
	w.succeed()
	w.choose(func(s *connection.Settings) { s.Groups = nil })
	w.succeed()
	w.settledWhole()
}

// Settings that became narrower while a scope group was in trouble are applied
// when it is right again.
func TestNarrowedWhileForbidden(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 20)
	w.succeed()
	outer := w.team("Scope", false)
	for _, p := range w.tenant.People()[:5] {
		w.ok(w.tenant.AddMember(outer, p.ID))
	}
	w.succeed()
	w.choose(func(s *connection.Settings) { s.Groups = []string{outer} })
	wires.Microsoft.RemoveRole(w.tenant.ID, "GroupMember.Read.All")
	w.relogin()
	if w.succeed(); w.active() != 20 {
		t.Errorf("%d active while nobody can be judged", w.active())
	}
	wires.Microsoft.AddRole(w.tenant.ID, "GroupMember.Read.All")
	w.relogin()
	if w.succeed(); w.active() != 5 {
		t.Errorf("%d active, want the five of the scope group", w.active())
	}
	w.settledWhole()
}

// Nobody who is back is archived by an approval, even if the scope group is
// gone meanwhile.
func TestApproveWhileScopeGone(t *testing.T) {
	t.Parallel()
	w, outer, _ := grouped(t)
	w.engine.Guard = connection.Guard{MaxCount: 1}
	ps := w.tenant.People()[:3]
	for _, p := range ps {
		w.ok(w.tenant.Remove(p.ID))
	}
	r := w.run()
	if r.State != job.Held {
		t.Fatalf("run %s", r.State)
	}
	for _, p := range ps {
		w.ok(w.tenant.Restore(p.ID))
	}
	w.ok(w.tenant.RemoveGroup(outer))
	if d := w.decision(job.Approve, r.Plan.Hash); d.Archived != 0 {
		t.Errorf("%d archived who are back", d.Archived)
	}
}
