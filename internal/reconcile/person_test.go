package reconcile_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// beside is a second connection of the same tenant, with the same settings.
func (w *house) beside() *house {
	w.Helper()
	other := *w.world
	other.conn, other.ever = connection.NewID(), map[string]bool{}
	c := w.connection()
	w.ok(w.store.CreateConnection(w.ctx, connection.Connection{
		ID: other.conn, Company: "d", Name: "D", Tenant: c.Tenant, Status: connection.Connected, NextDue: w.clock.Now(), CreatedAt: w.clock.Now(),
		Settings: c.Settings,
	}))
	return &house{&other, w.groups}
}

// byHand syncs one person and returns the run's record.
func (w *world) byHand(id string) job.Run {
	w.Helper()
	r := w.asked(job.Person, id)
	if r.State != job.Succeeded || r.Person != id {
		w.Fatalf("person %s by hand: %s: %s %s", id, r.State, r.Code, r.Error)
	}
	return r
}

// seenBy is what a connection knows of people and memberships, comparable
// between connections: without numbers and times.
func (w *house) seenBy() map[string]string {
	w.Helper()
	out := make(map[string]string)
	for id, r := range w.records() {
		b, err := json.Marshal(r.Person)
		w.ok(err)
		out[id] = fmt.Sprintf("active %v, pending %q, held %v, kept %v: %s", r.Active(), r.Pending, r.Held, r.Kept, b)
	}
	for _, group := range w.groups {
		out[group] = fmt.Sprint(w.members(group))
	}
	return out
}

// unlike is how two connections differ.
func unlike(got, want map[string]string) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if got[id] != want[id] {
			fmt.Fprintf(&b, "\n%s: %s\n%s", id, got[id], want[id])
		}
	}
	for id := range got {
		if want[id] == "" {
			fmt.Fprintf(&b, "\n%s: %s\nnot stored", id, got[id])
		}
	}
	return b.String()
}

// members are the stored members of a team, in order.
func (w *world) members(team string) (ids []string) {
	w.Helper()
	rows, err := w.store.Rosters(w.ctx, w.conn, team)
	w.ok(err)
	for _, row := range rows {
		for _, m := range row.Members {
			id := uuid.UUID(m.Key).String()
			if m.Marks != 0 {
				id += fmt.Sprintf(" marked %d", m.Marks)
			}
			ids = append(ids, id)
		}
	}
	return ids
}

// Whoever is synced by hand is stored as a full run would store them. A second
// connection of the same tenant does those.
func TestByHandIsAsInFull(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		if !dear(rt) {
			return
		}
		w := l.furnished(t, rt, rapid.IntRange(2, 6).Draw(rt, "people"))
		known := make(map[string]bool)
		know := func() {
			for _, ps := range [][]tenant.Person{w.tenant.People(), w.tenant.Deleted()} {
				for _, p := range ps {
					known[p.ID] = true
				}
			}
		}
		know()
		scope := func(h *house, groups, guests, disabled bool) {
			h.choose(func(s *connection.Settings) {
				if s.Groups = nil; groups {
					s.Groups = w.groups[:2]
				}
				s.Guests, s.Disabled = guests, disabled
			})
		}
		groups, guests, disabled := rapid.Bool().Draw(rt, "groups"), rapid.Bool().Draw(rt, "guests"), rapid.Bool().Draw(rt, "disabled")
		scope(w, groups, guests, disabled)
		full := w.beside()
		w.succeed()
		full.succeed()
		for range rapid.IntRange(1, 2).Draw(rt, "rounds") {
			for range rapid.IntRange(1, 10).Draw(rt, "edits") {
				w.stirPeople(rt)
				know()
			}
			if rapid.IntRange(0, 3).Draw(rt, "settings") == 0 {
				groups, guests, disabled = rapid.Bool().Draw(rt, "groups"), rapid.Bool().Draw(rt, "guests"), rapid.Bool().Draw(rt, "disabled")
				scope(w, groups, guests, disabled)
				scope(full, groups, guests, disabled)
			}
			w.tenant.Forget() // of use to the other connection: by hand nobody's links are followed
			full.succeed()
			for _, id := range slices.Sorted(maps.Keys(known)) {
				var faults []int
				if rapid.IntRange(0, 5).Draw(rt, "faulty") == 0 {
					id, err := wires.Microsoft.AddFault(fault.Fault{
						Tenant: w.tenant.ID, Kind: rapid.SampledFrom([]fault.Kind{fault.Throttle, fault.Cut}).Draw(rt, "fault"),
						Skip: rapid.IntRange(0, 3).Draw(rt, "skip"), Count: rapid.IntRange(1, 3).Draw(rt, "count"),
					})
					w.ok(err)
					faults = append(faults, id)
				}
				w.byHand(id)
				for _, id := range faults {
					wires.Microsoft.ClearFault(id)
				}
			}
			if got, want := w.seenBy(), full.seenBy(); !reflect.DeepEqual(got, want) {
				rt.Fatalf("by hand, in full:%s", unlike(got, want))
			}
			if r := w.succeed(); r.Created+r.Updated+r.Archived+r.Reactivated != 0 || r.Memberships != (job.KindCounters{}) {
				rt.Fatalf("after everybody was synced by hand a run does %+v, memberships %+v", r.Counters, r.Memberships)
			}
			if f := w.fence(); !f.Waiting() { // else an empty scope group lets nobody go
				w.sound()
			}
			if got, want := w.seenBy(), full.seenBy(); !reflect.DeepEqual(got, want) {
				rt.Fatalf("after one more run, in full:%s", unlike(got, want))
			}
		}
	})
}

// stirPeople changes people and memberships at random, and no groups.
func (w *house) stirPeople(t *rapid.T) {
	w.stirSome(t, []string{"create", "title", "phone", "manager", "disable", "guest", "remove", "purge", "restore", "join", "leave"})
}

// Every run by hand says step by step what it found, and names no value.
func TestPersonSteps(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 20)
	w.choose(func(s *connection.Settings) { s.Guests = false })
	w.succeed()
	people := slices.DeleteFunc(w.tenant.People(), func(p tenant.Person) bool { return p.UserType == "Guest" })
	id := func(i int) string { return people[i].ID }
	const secret = "Zzyzx"
	steps := func(r job.Run) (s []string) {
		for _, step := range r.Steps {
			s = append(s, step.Name+" "+step.Result)
			if step.Detail == "" || strings.Contains(step.Detail, secret) || strings.Contains(step.Detail, w.tenant.Domain) {
				t.Errorf("step %s tells %q", step.Name, step.Detail)
			}
		}
		return s
	}
	unknown := uuid.NewString()
	var created string
	for _, c := range []struct {
		name string
		do   func() string // returns whom
		want string
		last directory.Type
	}{
		{"nothing new", func() string { return id(0) }, "found present, scope in, fields unchanged, manager unchanged, teams unchanged, written unchanged", ""},
		{"other properties", func() string {
			w.ok(w.tenant.Update(id(0), tenant.Fields{"displayName": secret, "mobilePhone": secret}))
			return id(0)
		}, "found present, scope in, fields changed, manager unchanged, teams unchanged, written updated", directory.Updated},
		{"another manager", func() string {
			w.ok(w.tenant.Update(id(1), tenant.Fields{"manager": nil}))
			w.byHand(id(1))
			w.ok(w.tenant.Update(id(1), tenant.Fields{"manager": id(0)}))
			return id(1)
		}, "found present, scope in, fields unchanged, manager changed, teams unchanged, written updated", directory.Updated},
		{"no manager", func() string {
			w.ok(w.tenant.Update(id(1), tenant.Fields{"manager": nil}))
			return id(1)
		}, "found present, scope in, fields unchanged, manager cleared, teams unchanged, written updated", directory.Updated},
		{"another team", func() string {
			// Who is in which group follows from the places of guests among them.
			members := w.tenant.Members(w.groups[0])
			i := slices.IndexFunc(people[8:], func(p tenant.Person) bool { return slices.Contains(members, p.ID) })
			w.ok(w.tenant.RemoveMember(w.groups[0], id(8+i)))
			return id(8 + i)
		}, "found present, scope in, fields unchanged, manager unchanged, teams changed, written unchanged", directory.TeamMembers},
		{"somebody new", func() string {
			var err error
			created, err = w.tenant.Create(tenant.Fields{"userPrincipalName": "zzyzx@" + w.tenant.Domain, "displayName": secret})
			w.ok(err)
			return created
		}, "found present, scope in, fields new, manager unchanged, teams unchanged, written created", directory.Created},
		{"a guest", func() string {
			w.ok(w.tenant.Update(created, tenant.Fields{"userType": "Guest"}))
			return created
		}, "found present, scope guest, fields unchanged, manager unchanged, teams unchanged, written removalProposed, guard passed", directory.Archived},
		{"deleted", func() string {
			w.ok(w.tenant.Remove(id(5)))
			return id(5)
		}, "found restorable, teams changed, written removalProposed, guard passed", directory.TeamMembers},
		{"back", func() string {
			w.ok(w.tenant.Restore(id(5)))
			return id(5)
		}, "found present, scope in, fields unchanged, manager unchanged, teams changed, written reactivated", ""},
		{"gone", func() string {
			w.ok(w.tenant.Purge(id(6)))
			return id(6)
		}, "found gone, teams changed, written removalProposed, guard passed", directory.TeamMembers},
		{"gone and archived", func() string { return id(6) }, "found gone, teams unchanged, written unchanged", ""},
		{"never heard of", func() string { return unknown }, "found gone, teams unchanged, written nothing", ""},
	} {
		whom := c.do()
		before := w.fence().LastChange
		r := w.byHand(whom)
		if got := strings.Join(steps(r), ", "); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
		cs := w.told(w.conn, before)
		switch {
		case c.last == "" && strings.Contains(c.want, "written un") && len(cs) != 0:
			t.Errorf("%s: changes %+v", c.name, cs)
		case c.last != "" && !slices.ContainsFunc(cs, func(c2 directory.Change) bool { return c2.Type == c.last }):
			t.Errorf("%s: changes %+v, want a %s", c.name, cs, c.last)
		}
		for _, change := range cs {
			if strings.HasPrefix(string(change.Type), "person.") && change.ID != whom {
				t.Errorf("%s: a change of somebody else: %+v", c.name, change)
			}
		}
		w.sound()
	}
	for reason, i := range map[directory.Reason]int{directory.Deleted: 6} {
		if got := w.records()[id(i)].Reason; got != reason {
			t.Errorf("%s archived for %q, want %q", id(i), got, reason)
		}
	}
}

// A scope group that cannot be read says nothing of anybody: who is in none is
// not removed by hand either.
func TestPersonOfScopeGroups(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.choose(func(s *connection.Settings) { s.Groups = w.groups[:2] })
	w.succeed()
	member := w.tenant.Members(w.groups[0])[0]
	for _, g := range w.groups[:2] {
		_ = w.tenant.RemoveMember(g, member) // of one it is no member
	}
	w.ok(w.tenant.RemoveGroup(w.groups[1]))
	r := w.byHand(member)
	if got := w.records()[member]; !got.Active() || r.Steps[1].Result != "unknown" || len(r.Skipped) == 0 {
		t.Errorf("beside a group that is gone: %+v, steps %+v, skipped %+v", got.Life, r.Steps, r.Skipped)
	}
	w.choose(func(s *connection.Settings) { s.Groups = w.groups[:1] })
	r = w.byHand(member)
	if got := w.records()[member]; got.Active() || got.Reason != directory.OutOfScope || r.Steps[1].Result != "notInGroups" {
		t.Errorf("in no group: %+v, steps %+v", got.Life, r.Steps)
	}
	w.ok(w.tenant.AddMember(w.groups[0], member))
	w.byHand(member)
	if got := w.records()[member]; !got.Active() {
		t.Errorf("in a group again: %+v", got.Life)
	}
	for _, p := range w.tenant.People() {
		if _, stored := w.records()[p.ID]; !stored {
			member = p.ID
		}
	}
	w.ok(w.tenant.AddMember(w.groups[0], member))
	if r := w.byHand(member); r.Created != 1 {
		t.Errorf("a newcomer to the group: %+v", r)
	}
	listed, err := w.store.Scope(w.ctx, w.conn, w.fence().Scope.Set)
	w.ok(err)
	key, _ := directory.Key(member)
	if _, ok := listed[key]; !ok {
		t.Errorf("they are not on the list of the scope groups' members")
	}
	if r := w.succeed(); r.Created+r.Reactivated != 0 {
		t.Errorf("the next run takes them for somebody else: %+v", r.Counters)
	}
	if got := w.records()[member]; !got.Active() {
		t.Errorf("after the next run: %+v", got.Life)
	}
}

// Killed before any of its writes, a run by hand tells and stores the same.
func TestPersonKilled(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.succeed()
	for n := 1; ; n++ {
		p := w.tenant.People()[n%5]
		w.ok(w.tenant.Update(p.ID, tenant.Fields{"displayName": fmt.Sprint("Name ", n), "jobTitle": fmt.Sprint("Title ", n)}))
		joined, left := 0, 0
		for _, g := range w.groups {
			if err := w.tenant.RemoveMember(g, p.ID); err == nil {
				left++
				continue
			}
			w.ok(w.tenant.AddMember(g, p.ID))
			joined++
		}
		before := w.fence().LastChange
		j := w.ask(job.Person, p.ID)
		fired := w.killed(n, j)
		r := w.record(j.Run)
		var results []string
		for _, s := range r.Steps {
			results = append(results, s.Result)
		}
		if want := []string{"present", "in", "changed", "unchanged", "changed", "updated"}; r.State != job.Succeeded || !reflect.DeepEqual(results, want) {
			t.Fatalf("killed before write %d: %s, steps %v, want %v", n, r.State, results, want)
		}
		if want := fmt.Sprintf("joined %d of the stored teams and left %d", joined, left); !strings.Contains(r.Steps[4].Detail, want) {
			t.Errorf("killed before write %d: %q, want %q", n, r.Steps[4].Detail, want)
		}
		types := make(map[directory.Type]int)
		for _, c := range w.told(w.conn, before) {
			types[c.Type]++
		}
		if types[directory.Updated] != 1 || types[directory.TeamMembers] != len(w.groups) || r.Updated != 1 {
			t.Fatalf("killed before write %d: changes %v, record %+v", n, types, r.Counters)
		}
		w.sound()
		if !fired {
			if n < 6 {
				t.Errorf("a run of only %d writes", n-1)
			}
			break
		}
	}
}

// Who asks for one person while a run is open waits for its end.
func TestPersonInTurn(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 25)
	w.engine.Budget = -1
	w.send(job.Schedule)
	w.step(w.engine.Sync)
	j := w.ask(job.Person, w.tenant.People()[0].ID)
	err := w.engine.Sync(w.ctx, j)
	if err == nil {
		t.Fatal("a run by hand was taken in beside an open one")
	}
	w.quiet(w.engine.Sync)
	w.ok(w.queue.Send(w.ctx, j, time.Time{}))
	w.quiet(w.engine.Sync)
	if r := w.record(j.Run); r.State != job.Succeeded || r.By != "Ada" {
		t.Errorf("run by hand: %+v", r)
	}
}
