package reconcile_test

import (
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// grouped is a world whose scope is one group: it holds a second one, which
// holds the first in turn. The first five people are in the first, the next
// five in the second.
func grouped(t *testing.T) (w *world, outer, inner string) {
	t.Helper()
	w = newLine(t).whole(t, t, 20)
	outer, inner = w.team("Scope", false), w.team("Inner", false)
	ps := w.tenant.People()
	for _, p := range ps[:5] {
		w.ok(w.tenant.AddMember(outer, p.ID))
	}
	for _, p := range ps[5:10] {
		w.ok(w.tenant.AddMember(inner, p.ID))
	}
	w.ok(w.tenant.AddMember(outer, inner))
	w.ok(w.tenant.AddMember(inner, outer))
	w.choose(func(s *connection.Settings) { s.Groups = []string{outer} })
	if r := w.succeed(); r.Created != 10 {
		t.Fatalf("%d people, want the 10 of both groups", r.Created)
	}
	w.settledWhole()
	return w, outer, inner
}

// Who joins a scope group, at any depth, comes whole although no delta tells
// of them; who leaves is archived as out of scope, not as deleted.
func TestScopeJoinAndLeave(t *testing.T) {
	t.Parallel()
	w, _, inner := grouped(t)
	ps := w.tenant.People()
	newcomer, boss, leaver := ps[15].ID, ps[2].ID, ps[7].ID
	w.ok(w.tenant.Update(newcomer, tenant.Fields{"manager": boss}))
	team := w.tenant.Groups()[0].ID
	_ = w.tenant.AddMember(team, newcomer) // or they are one
	if r := w.succeed(); r.Created != 0 {
		t.Fatalf("%d created: people out of scope are none of ours", r.Created)
	}
	w.ok(w.tenant.AddMember(inner, newcomer))
	w.ok(w.tenant.RemoveMember(inner, leaver))
	r := w.succeed()
	if r.Full || r.Created != 1 || r.Archived != 1 {
		t.Errorf("full %v, %d created, %d archived; want a delta round with one each", r.Full, r.Created, r.Archived)
	}
	recs, err := w.store.Records(w.ctx, w.conn, []string{newcomer, leaver})
	w.ok(err)
	if p := recs[newcomer]; p.Manager != boss || !p.Active() {
		t.Errorf("newcomer %+v", p)
	}
	if p := recs[leaver]; p.Reason != directory.OutOfScope {
		t.Errorf("the one who left the group is archived for %q", p.Reason)
	}
	w.settledWhole()
	w.ok(w.tenant.AddMember(inner, leaver))
	if r := w.succeed(); r.Reactivated != 1 {
		t.Errorf("%d reactivated, want the one who returned to the group", r.Reactivated)
	}
	w.settledWhole()
}

// A member whom the list of members leaves out is asked for, and stays.
func TestScopeListMayBeWrong(t *testing.T) {
	t.Parallel()
	w, _, _ := grouped(t)
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Omit, Path: fault.TransitiveMembers, Object: w.tenant.People()[3].ID, Count: 1})
	r := w.succeed()
	fired()
	if n := w.tenant.Calls()[fault.CheckMemberGroups]; r.Archived != 0 || n != 1 {
		t.Errorf("%d archived, asked for %d times; want none and once", r.Archived, n)
	}
	w.succeed()
	w.settledWhole()
}

// A scope group that is gone, forbidden, empty or hidden stops all removals,
// even of people who are gone for certain, says so, and lets them go on when it
// is right again.
func TestScopeTrouble(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, code string
		spoil, fix func(w *world, outer string)
	}{
		{"gone", "scope_group_gone",
			func(w *world, outer string) {
				w.choose(func(s *connection.Settings) { s.Groups[0] = "deadbeef-0000-4000-8000-000000000000" })
			},
			func(w *world, outer string) { w.choose(func(s *connection.Settings) { s.Groups[0] = outer }) }},
		{"empty", "scope_group_empty",
			func(w *world, outer string) {
				for _, m := range w.tenant.Members(outer) {
					w.ok(w.tenant.RemoveMember(outer, m))
				}
			},
			func(w *world, outer string) {
				for _, p := range w.tenant.People()[:5] {
					w.ok(w.tenant.AddMember(outer, p.ID))
				}
			}},
		{"forbidden", "scope_group_forbidden",
			func(w *world, outer string) {
				wires.Microsoft.RemoveRole(w.tenant.ID, "GroupMember.Read.All")
				w.relogin()
			},
			func(w *world, outer string) {
				wires.Microsoft.AddRole(w.tenant.ID, "GroupMember.Read.All")
				w.relogin()
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, outer, _ := grouped(t)
			gone := w.tenant.People()[1].ID
			tt.spoil(w, outer)
			w.ok(w.tenant.Purge(gone))
			id := w.send(job.Schedule)
			w.quiet(w.engine.Sync)
			r := w.record(id)
			if r.Archived != 0 || r.State != job.Succeeded || len(r.Skipped) == 0 || r.Skipped[0].Code != tt.code || r.Skipped[0].Remedy == "" {
				t.Errorf("run %s, %d archived, skipped %+v; want none archived and %s", r.State, r.Archived, r.Skipped, tt.code)
			}
			if c := w.connection(); c.Status != connection.Degraded || c.Problem == nil || !strings.Contains(c.Problem.Message, "nobody is removed") {
				t.Errorf("status %s, problem %+v", c.Status, c.Problem)
			}
			tt.fix(w, outer)
			if r := w.succeed(); r.Archived == 0 {
				t.Error("nobody archived after the group is right again, and one has gone")
			}
			if c := w.connection(); c.Status != connection.OK {
				t.Errorf("status %s", c.Status)
			}
			w.settledWhole()
		})
	}
}

// Settings that become narrower archive through the guard; wider ones begin a
// full run and bring everybody back.
func TestNarrowAndWiden(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 30)
	ps := w.tenant.People()
	for i, p := range ps[:12] {
		f := tenant.Fields{"userType": "Guest"}
		if i%2 == 0 {
			f = tenant.Fields{"accountEnabled": false}
		}
		w.ok(w.tenant.Update(p.ID, f))
	}
	w.succeed()
	w.settledWhole()
	w.choose(func(s *connection.Settings) { s.Guests, s.Disabled = false, false })
	w.engine.Guard = connection.Guard{MaxCount: 7}
	id := w.send(job.Schedule)
	w.quiet(w.engine.Sync)
	r := w.record(id)
	if r.State != job.Held || r.Archived != 0 || r.Full {
		t.Fatalf("run %s, %d archived, full %v; want it held, without a full run", r.State, r.Archived, r.Full)
	}
	if d := w.decision(job.Approve, r.Plan.Hash); d.State != job.Succeeded || d.Archived != r.Plan.Count {
		t.Errorf("decision %s, %d archived of %d", d.State, d.Archived, r.Plan.Count)
	}
	w.settledWhole()
	w.choose(func(s *connection.Settings) { s.Guests, s.Disabled = true, true })
	if r := w.succeed(); !r.Full || r.Reactivated == 0 {
		t.Errorf("full %v, %d reactivated", r.Full, r.Reactivated)
	}
	w.settledWhole()
}
