package reconcile_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// wholly is every category of everybody.
var wholly = connection.Settings{
	Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, MailboxTypes: true,
	Guests: true, Disabled: true,
}

// whole is a connected customer of so many people with some groups, of whom
// everything is synced.
func (l *line) whole(t *testing.T, b tb, people int) *world {
	t.Helper()
	w := l.world(t, b, people)
	w.choose(func(s *connection.Settings) { *s = wholly })
	ps := w.tenant.People()
	for i := range 4 {
		id := w.team(fmt.Sprintf("Team %d", i), i < 3)
		for j, p := range ps {
			if (i+1)*j%(i+2) == 0 {
				w.ok(w.tenant.AddMember(id, p.ID))
			}
		}
	}
	return w
}

// team makes a group: a Microsoft Team, or a security group.
func (w *world) team(name string, isTeam bool) string {
	w.Helper()
	f := tenant.Fields{"displayName": name, "description": "of " + name, "securityEnabled": !isTeam}
	if isTeam {
		f["groupTypes"], f["resourceProvisioningOptions"], f["visibility"] = []string{"Unified"}, []string{"Team"}, "Private"
		f["mailEnabled"], f["mail"] = true, "team@"+w.tenant.Domain
	}
	id, err := w.tenant.CreateGroup(f)
	w.ok(err)
	return id
}

// truth is what the product should see of the people at Microsoft, as the
// connection's settings choose them.
func (w *world) truth() map[string]map[string]any {
	w.Helper()
	c := w.connection()
	s := c.Chosen()
	in := make(map[string]bool)
	for _, g := range s.Groups {
		for _, id := range w.tenant.TransitiveUsers(g) {
			in[id] = true
		}
	}
	out := sandbox.Truth(slices.DeleteFunc(w.tenant.People(), func(p tenant.Person) bool {
		return !s.Guests && p.UserType == "Guest" || !s.Disabled && !p.AccountEnabled || len(s.Groups) > 0 && !in[p.ID]
	}))
	for _, m := range out {
		for name, on := range map[string]bool{"jobTitle": s.Positions, "manager": s.ReportingLines, "assignedLicenses": s.Licenses} {
			if !on {
				delete(m, name)
			}
		}
	}
	return out
}

// soundWhole checks what must hold of everything but people between runs.
func (w *world) soundWhole(state sandbox.State, people map[string]sandbox.Person) {
	w.Helper()
	f := w.fence()
	var teams, members job3
	stored := make(map[string]sandbox.Thing)
	rosters := make(map[string]map[string]bool)
	for after := ""; ; {
		ts, next, err := w.store.Teams(w.ctx, w.conn, after, 1000)
		w.ok(err)
		for _, t := range ts {
			stored[t.ID] = sandbox.Thing{Properties: teamProperties(t), Active: t.Active(), Change: t.Changed}
			teams.count(&t.Life)
			rows, err := w.store.Rosters(w.ctx, w.conn, t.ID)
			w.ok(err)
			for _, r := range rows {
				if rosters[t.ID] == nil {
					rosters[t.ID] = make(map[string]bool)
				}
				for _, m := range r.Members {
					rosters[t.ID][uuid.UUID(m.Key).String()] = true
					members.active++
					switch m.Marks {
					case directory.MarkPending:
						members.pending++
					case directory.MarkHeld:
						members.held++
					}
				}
			}
		}
		if after = next; after == "" {
			break
		}
	}
	for id, m := range state.Members {
		if len(m) == 0 {
			delete(state.Members, id)
		}
	}
	for id, th := range state.Things["team"] { // members are no property
		th.Change = stored[id].Change
		state.Things["team"][id] = th
	}
	if !reflect.DeepEqual(state.Things["team"], stored) {
		w.Errorf("the feed replays to other teams than are stored:\n%v\n%v", state.Things["team"], stored)
	}
	if !reflect.DeepEqual(state.Members, rosters) {
		w.Errorf("the feed replays to other members than are stored:\n%v\n%v", state.Members, rosters)
	}
	if f.Teams.Stored != len(stored) || f.Teams.Active != teams.active || f.Teams.Pending != teams.pending || f.Teams.Held != teams.held {
		w.Errorf("fence counts teams %+v, there are %d, %+v", f.Teams, len(stored), teams)
	}
	if f.Memberships.Active != members.active || f.Memberships.Pending != members.pending || f.Memberships.Held != members.held {
		w.Errorf("fence counts memberships %+v, there are %+v", f.Memberships, members)
	}
	if !f.Open() && f.Run.State != "" && f.Run.State != "failed" {
		w.soundPositions(state, people)
	}
}

// job3 are the figures of a tally that a test counts by hand.
type job3 struct{ active, pending, held int }

func (n *job3) count(l *directory.Life) {
	if l.Active() {
		n.active++
	}
	switch {
	case l.Held:
		n.held++
	case l.Pending != "":
		n.pending++
	}
}

func teamProperties(t directory.TeamRecord) map[string]any {
	m := make(map[string]any)
	for name, v := range map[string]string{
		"displayName": t.DisplayName, "description": t.Description, "mail": t.Mail, "visibility": t.Visibility, "kind": string(t.Kind),
	} {
		if v != "" {
			m[name] = v
		}
	}
	if t.Dynamic {
		m["dynamic"] = true
	}
	return m
}

// soundPositions counts the titles of all active people.
func (w *world) soundPositions(state sandbox.State, people map[string]sandbox.Person) {
	w.Helper()
	want := make(map[string]int)
	for _, p := range people {
		if title, ok := p.Properties["jobTitle"].(string); ok && p.Active {
			want[directory.PositionID(title)]++
		}
	}
	active := make(map[string]bool)
	for after := ""; ; {
		ps, next, err := w.store.Positions(w.ctx, w.conn, after, 1000)
		w.ok(err)
		for _, p := range ps {
			if p.People != want[p.ID] || p.Active() != (p.People > 0) {
				w.Errorf("position %q: %d people, active %v; want %d", p.Title, p.People, p.Active(), want[p.ID])
			}
			delete(want, p.ID)
			if active[p.ID] = p.Active(); state.Things["position"][p.ID].Active != p.Active() {
				w.Errorf("position %q: active %v, the feed says otherwise", p.Title, p.Active())
			}
		}
		if after = next; after == "" {
			break
		}
	}
	if len(want) > 0 || len(active) != len(state.Things["position"]) {
		w.Errorf("positions that are not stored: %v; the feed knows %d, %d are stored", want, len(state.Things["position"]), len(active))
	}
}

// settledWhole checks that everything stored is what Microsoft holds.
func (w *world) settledWhole() {
	w.Helper()
	w.settled()
	c := w.connection()
	s := c.Chosen()
	want := make(map[string][]string)
	for _, g := range w.tenant.Groups() {
		security := g.SecurityEnabled && !g.Unified() && !g.Team()
		if g.Team() && s.Teams || security && s.SecurityGroups {
			want[g.ID] = nil
			for _, m := range w.tenant.Members(g.ID) {
				if _, ok := w.tenant.Person(m); ok {
					want[g.ID] = append(want[g.ID], m)
				}
			}
		}
	}
	truth := w.truth()
	ts, _, err := w.store.Teams(w.ctx, w.conn, "", 1000)
	w.ok(err)
	for _, t := range ts {
		members, present := want[t.ID]
		delete(want, t.ID)
		if t.Active() != present {
			w.Errorf("team %s: active %v, at Microsoft %v", t.DisplayName, t.Active(), present)
			continue
		}
		if !present {
			continue
		}
		g, _ := w.tenant.Group(t.ID)
		if t.DisplayName != g.DisplayName || t.Description != g.Description || t.Mail != g.Mail {
			w.Errorf("team %+v, at Microsoft %+v", t.Team, g)
		}
		rows, err := w.store.Rosters(w.ctx, w.conn, t.ID)
		w.ok(err)
		got := make(map[string]bool)
		for _, r := range rows {
			for _, m := range r.Members {
				id := uuid.UUID(m.Key).String()
				if got[id] = true; len(s.Groups) == 0 && !slices.Contains(members, id) {
					w.Errorf("team %s: %s is a member, not at Microsoft", t.DisplayName, id)
				}
			}
		}
		for _, id := range members {
			if _, in := truth[id]; !got[id] && (in || len(s.Groups) == 0) {
				w.Errorf("team %s: %s is no member, at Microsoft they are", t.DisplayName, id)
			}
		}
	}
	if len(want) > 0 {
		w.Errorf("teams that are not stored: %v", want)
	}
}

// Everything of a tenant comes with the first run, and its changes with the
// next.
func TestWhole(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 25)
	r := w.succeed()
	if r.Teams.Created != 4 || r.Memberships.Created == 0 || len(r.Skipped) > 0 {
		t.Errorf("run %+v", r)
	}
	w.settledWhole()
	gs, ps := w.tenant.Groups(), w.tenant.People()
	for _, p := range ps[:7] {
		for _, g := range gs {
			if slices.Contains(w.tenant.Members(g.ID), p.ID) {
				w.ok(w.tenant.RemoveMember(g.ID, p.ID))
			} else {
				w.ok(w.tenant.AddMember(g.ID, p.ID))
			}
		}
	}
	w.ok(w.tenant.UpdateGroup(gs[0].ID, tenant.Fields{"displayName": "Renamed"}))
	w.ok(w.tenant.RemoveGroup(gs[1].ID))
	w.ok(w.tenant.Remove(ps[9].ID))
	r = w.succeed()
	if r.Teams.Updated != 1 || r.Teams.Archived != 1 || r.Memberships.Created == 0 || r.Memberships.Archived == 0 {
		t.Errorf("run %+v", r)
	}
	w.settledWhole()
	w.ok(w.tenant.RestoreGroup(gs[1].ID))
	w.ok(w.tenant.Restore(ps[9].ID))
	if r = w.succeed(); r.Teams.Reactivated != 1 || r.Reactivated != 1 {
		t.Errorf("run %+v", r)
	}
	w.settledWhole()
	w.clock.Advance(7 * 24 * time.Hour) // everything is enumerated
	if r = w.succeed(); !r.Full || r.Created+r.Updated+r.Archived+r.Teams.Updated+r.Teams.Archived+r.Memberships.Created+r.Memberships.Archived != 0 {
		t.Errorf("a full run without a change: %+v", r)
	}
	w.settledWhole()
}

// What a build that counted no positions has left is counted by looking at
// the people.
func TestPositionsNeverCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.succeed()
	ps, _, err := w.store.Positions(w.ctx, w.conn, "", 1)
	w.ok(err)
	wrong := ps[0]
	wrong.People, wrong.Through = 99, 0
	f := w.fence()
	f.Positions = job.Fold{}
	_, err = w.store.Commit(w.ctx, w.conn, f, directory.Batch{Positions: []directory.PositionRecord{wrong}})
	w.ok(err)
	w.ok(w.tenant.Update(w.tenant.People()[3].ID, fields("jobTitle", "Newly named")))
	w.succeed()
	w.settled()
	if f := w.fence(); f.Positions.Through != f.LastChange || f.Positions.To != 0 {
		t.Errorf("fold %+v, last change %d", f.Positions, f.LastChange)
	}
}
