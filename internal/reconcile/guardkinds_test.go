package reconcile_test

import (
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// empty removes all members of a group and returns how many there were.
func (w *world) empty(group string) int {
	w.Helper()
	members := w.tenant.Members(group)
	for _, m := range members {
		w.ok(w.tenant.RemoveMember(group, m))
	}
	return len(members)
}

// memberships counts the stored members of a team.
func (w *world) memberships(team string) (n int) {
	w.Helper()
	rows, err := w.store.Rosters(w.ctx, w.conn, team)
	w.ok(err)
	for _, r := range rows {
		n += len(r.Members)
	}
	return n
}

// Each kind is judged for itself: memberships are held while people and teams
// go, and what returns meanwhile drops out of the plan.
func TestMembershipsHeld(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 25)
	w.engine.Guard = connection.Guard{MaxCount: 7, MaxTeams: 3, MaxMemberships: 6}
	w.succeed()
	gs, ps := w.tenant.Groups(), w.tenant.People()
	big := gs[0].ID
	for _, p := range ps {
		_ = w.tenant.AddMember(big, p.ID) // or they are one
	}
	w.succeed()
	gone := w.empty(big)
	w.ok(w.tenant.RemoveGroup(gs[1].ID))
	r := w.run()
	if r.State != job.Held || r.Plan.Memberships != gone || r.Plan.Count != 0 || r.Plan.Teams != 0 || r.Teams.Archived != 1 || r.Memberships.Archived != 0 {
		t.Fatalf("run %s, plan %+v, %d teams archived, %d memberships ended; want %d memberships held", r.State, r.Plan, r.Teams.Archived, r.Memberships.Archived, gone)
	}
	if n := w.memberships(big); n != gone {
		t.Errorf("%d of %d members left while the plan waits", n, gone)
	}
	// Runs pass while the plan waits: other memberships come, and some of those
	// held return.
	back := ps[3].ID
	w.ok(w.tenant.AddMember(big, back))
	_ = w.tenant.AddMember(gs[2].ID, ps[4].ID) // or they are one
	if r := w.run(); r.State != job.Held || r.Plan.Hash != w.fence().Plan.Hash || w.fence().Memberships.Held != gone-1 {
		t.Fatalf("run %s, %d held, want %d", r.State, w.fence().Memberships.Held, gone-1)
	}
	w.sound()
	w.ok(w.tenant.AddMember(big, ps[6].ID)) // back, and no sync has seen it
	if d := w.decision(job.Approve, w.fence().Plan.Hash); d.State != job.Succeeded || d.Memberships.Archived != gone-2 {
		t.Errorf("approval %s, %d memberships ended, want %d", d.State, d.Memberships.Archived, gone-2)
	}
	w.succeed()
	w.settledWhole()
}

// Rejected memberships stay, even in a full round, until they return and end.
func TestMembershipsKept(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 25)
	w.engine.Guard = connection.Guard{MaxMemberships: 3}
	w.succeed()
	g := w.tenant.Groups()[0].ID
	members := w.tenant.Members(g)
	gone := w.empty(g)
	r := w.run()
	if r.State != job.Held || r.Plan.Memberships != gone {
		t.Fatalf("run %s, plan %+v", r.State, r.Plan)
	}
	if d := w.decision(job.Reject, r.Plan.Hash); d.State != job.Succeeded || w.memberships(g) != gone {
		t.Fatalf("rejection %s, %d members", d.State, w.memberships(g))
	}
	w.tenant.Forget()
	if r := w.succeed(); !r.Full || r.Memberships.Archived != 0 || w.memberships(g) != gone {
		t.Errorf("full %v: %d ended, %d left of %d kept", r.Full, r.Memberships.Archived, w.memberships(g), gone)
	}
	w.ok(w.tenant.AddMember(g, members[0]))
	w.succeed()
	w.ok(w.tenant.RemoveMember(g, members[0]))
	if r := w.succeed(); r.Memberships.Archived != 1 || w.memberships(g) != gone-1 {
		t.Errorf("who returned and left: %d ended, %d left", r.Memberships.Archived, w.memberships(g))
	}
	w.sound()
}

// Teams are held like people, asked for again at the approval, and an
// operator may let one run pass.
func TestTeamsHeldAndOverride(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 10)
	var extra []string
	for range 6 {
		extra = append(extra, w.team("Extra", true))
	}
	w.engine.Guard = connection.Guard{MaxTeams: 4}
	w.succeed()
	for _, id := range extra[:5] {
		w.ok(w.tenant.RemoveGroup(id))
	}
	r := w.run()
	if r.State != job.Held || r.Plan.Teams != 5 || r.Teams.Archived != 0 {
		t.Fatalf("run %s, plan %+v", r.State, r.Plan)
	}
	w.ok(w.tenant.RestoreGroup(extra[0])) // no sync has seen it
	if d := w.decision(job.Approve, r.Plan.Hash); d.State != job.Succeeded || d.Teams.Archived != 4 {
		t.Errorf("approval %s, %d teams archived, want 4", d.State, d.Teams.Archived)
	}
	w.succeed()
	w.settledWhole()

	w.engine.Guard = connection.Guard{MaxCount: 2}
	w.leaves(3)
	c := w.connection()
	c.Override = &connection.Override{By: "Ada", At: w.clock.Now()}
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	if r := w.succeed(); r.Archived != 3 || !r.Override {
		t.Errorf("with an operator's leave %d archived, override %v", r.Archived, r.Override)
	}
	if c := w.connection(); c.Override != nil {
		t.Error("the leave is for one run, and is still there")
	}
	w.leaves(3)
	if r := w.run(); r.State != job.Held || r.Archived != 0 {
		t.Errorf("the run after: %s, %d archived", r.State, r.Archived)
	}
}

// A group that becomes a Team has its members listed, and one that ends being
// a Team is out of scope.
func TestGroupBecomesTeam(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 25)
	id, err := w.tenant.CreateGroup(tenant.Fields{"displayName": "Plain", "groupTypes": []string{"Unified"}, "mailEnabled": true})
	w.ok(err)
	for _, p := range w.tenant.People()[:13] {
		w.ok(w.tenant.AddMember(id, p.ID))
	}
	if w.succeed(); w.memberships(id) != 0 {
		t.Error("a group that is no Team is stored")
	}
	w.ok(w.tenant.UpdateGroup(id, tenant.Fields{"resourceProvisioningOptions": []string{"Team"}}))
	if r := w.succeed(); r.Teams.Created != 1 || w.memberships(id) != 13 {
		t.Errorf("%d teams created, %d members, want 1 and 13", r.Teams.Created, w.memberships(id))
	}
	w.settledWhole()
	w.ok(w.tenant.UpdateGroup(id, tenant.Fields{"resourceProvisioningOptions": []string{}}))
	w.succeed()
	recs, err := w.store.TeamRecords(w.ctx, w.conn, []string{id})
	w.ok(err)
	if r := recs[id]; r.Active() || r.Reason != directory.OutOfScope {
		t.Errorf("archived %s for %q", r.Archived, r.Reason)
	}
	w.settledWhole()
}

// A category that loses its permission is left out and says so; what is
// stored of it stays, and comes up to date when the permission is back.
func TestDegraded(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 20)
	w.succeed()
	teams := w.fence().Teams
	for _, role := range []string{"GroupMember.Read.All", "LicenseAssignment.Read.All", "Organization.Read.All", "Reports.Read.All"} {
		wires.Microsoft.RemoveRole(w.tenant.ID, role)
	}
	w.relogin()
	w.ok(w.tenant.Update(w.tenant.People()[0].ID, fields("jobTitle", "Still synced")))
	w.ok(w.tenant.RemoveGroup(w.tenant.Groups()[0].ID))
	r := w.run()
	var what []string
	for _, s := range r.Skipped {
		what = append(what, s.What)
		if s.Message == "" || s.Remedy == "" {
			t.Errorf("skipped without a word: %+v", s)
		}
	}
	if r.State != job.Succeeded || r.Updated != 1 || len(what) != 3 {
		t.Errorf("run %s, %d updated, skipped %v; want teams, licenses and mailboxes", r.State, r.Updated, what)
	}
	if c := w.connection(); c.Status != connection.Degraded || c.Problem == nil {
		t.Errorf("connection %s", c.Status)
	}
	if w.fence().Teams != teams {
		t.Errorf("teams were %+v, are %+v", teams, w.fence().Teams)
	}
	for _, role := range []string{"GroupMember.Read.All", "LicenseAssignment.Read.All", "Organization.Read.All", "Reports.Read.All"} {
		wires.Microsoft.AddRole(w.tenant.ID, role)
	}
	w.relogin()
	w.succeed()
	if c := w.connection(); c.Status != connection.OK || c.Problem != nil {
		t.Errorf("connection %s, %+v", c.Status, c.Problem)
	}
	w.settledWhole()
}
