package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// wire is every path of Graph that a run may take.
var wire = []string{
	"", fault.UsersDelta, fault.ByIDs, fault.Users, fault.User, fault.Batch, fault.GroupsDelta, fault.GroupMembers, fault.TransitiveMembers,
	fault.MemberOf, fault.CheckMemberGroups, fault.SubscribedSKUs, fault.MailboxReport, fault.ReportDownload, fault.DeletedItems, fault.MailboxSettings,
}

// stir changes groups, memberships and settings at random.
func (w *world) stir(t *rapid.T) {
	groups, people := w.tenant.Groups(), w.tenant.People()
	pick := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
	kind := rapid.SampledFrom([]string{"create", "join", "join", "leave", "leave", "rename", "remove", "restore", "teamify", "nest", "scope", "unscope", "guests", "disabled", "categories", "disable"}).Draw(t, "stir")
	switch {
	case kind == "create":
		w.begin++
		id := w.team(fmt.Sprintf("New %d", w.begin), rapid.Bool().Draw(t, "team"))
		for range pick(4, "members") {
			if len(people) > 0 {
				_ = w.tenant.AddMember(id, people[pick(len(people), "who")].ID) // twice is refused
			}
		}
	case kind == "restore":
		if gone := w.tenant.DeletedGroups(); len(gone) > 0 {
			w.ok(w.tenant.RestoreGroup(gone[pick(len(gone), "which")].ID))
		}
	case kind == "guests":
		w.choose(func(s *connection.Settings) { s.Guests = !s.Guests })
	case kind == "disabled":
		w.choose(func(s *connection.Settings) { s.Disabled = !s.Disabled })
	case kind == "categories":
		w.choose(func(s *connection.Settings) {
			for _, on := range []*bool{&s.Positions, &s.ReportingLines, &s.Teams, &s.SecurityGroups, &s.Licenses, &s.Mailboxes} {
				*on = rapid.Bool().Draw(t, "on")
			}
		})
	case kind == "unscope":
		w.choose(func(s *connection.Settings) { s.Groups = nil })
	case kind == "disable" && len(people) > 0:
		w.ok(w.tenant.Update(people[pick(len(people), "who")].ID, tenant.Fields{"accountEnabled": rapid.Bool().Draw(t, "enabled")}))
	case len(groups) == 0 || len(people) == 0:
	case kind == "join":
		_ = w.tenant.AddMember(groups[pick(len(groups), "which")].ID, people[pick(len(people), "who")].ID)
	case kind == "leave":
		g := groups[pick(len(groups), "which")].ID
		if m := w.tenant.Members(g); len(m) > 0 {
			w.ok(w.tenant.RemoveMember(g, m[pick(len(m), "member")]))
		}
	case kind == "rename":
		w.ok(w.tenant.UpdateGroup(groups[pick(len(groups), "which")].ID, tenant.Fields{"displayName": rapid.SampledFrom([]string{"A", "B", "Ünï \"x\""}).Draw(t, "name")}))
	case kind == "remove":
		w.ok(w.tenant.RemoveGroup(groups[pick(len(groups), "which")].ID))
	case kind == "teamify":
		if g := groups[pick(len(groups), "which")]; g.Unified() {
			options := []string{"Team"}
			if g.Team() {
				options = nil
			}
			w.ok(w.tenant.UpdateGroup(g.ID, tenant.Fields{"resourceProvisioningOptions": options}))
		}
	case kind == "nest":
		_ = w.tenant.AddMember(groups[pick(len(groups), "outer")].ID, groups[pick(len(groups), "inner")].ID)
	case kind == "scope":
		w.choose(func(s *connection.Settings) {
			g := groups[pick(len(groups), "which")].ID
			if i := slices.Index(s.Groups, g); i >= 0 {
				s.Groups = slices.Delete(s.Groups, i, i+1)
			} else {
				s.Groups = append(s.Groups, g)
			}
		})
	}
}

// peaceful leaves out of the scope what would rightly stop removals: groups
// that are gone or have no members.
func (w *world) peaceful() {
	w.Helper()
	w.choose(func(s *connection.Settings) {
		s.Groups = slices.DeleteFunc(s.Groups, func(id string) bool {
			_, ok := w.tenant.Group(id)
			return !ok || len(w.tenant.TransitiveUsers(id)) == 0
		})
	})
}

// script is what may happen in a story.
type script struct {
	steps []string // to choose from
	most  int      // steps
	// change is what happens between the slices of a run.
	change func(*rapid.T)
	// paths are those that a fault may hit, nil for those of people.
	paths []string
}

// story lets anything happen to a world, in any order, and at last nothing:
// then all faults are over, and no message is left.
func (w *world) story(t *testing.T, rt *rapid.T, s script) {
	w.Helper()
	w.engine.Budget = rapid.SampledFrom([]time.Duration{time.Hour, -1}).Draw(rt, "budget") // -1: one page a slice
	twin := w.newEngine(t, wires.Transport)
	twin.Budget = w.engine.Budget
	var faults []int
	both := func(ctx context.Context, j job.Job) error { // the same message in two workers at once
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = w.engine.Sync(ctx, j) })
		wg.Go(func() { errs[1] = twin.Sync(ctx, j) })
		wg.Wait()
		return errors.Join(errs[:]...)
	}
	do := func() worker {
		if rapid.IntRange(0, 3).Draw(rt, "twice") == 0 {
			return both
		}
		return w.engine.Sync
	}
	for range rapid.IntRange(1, s.most).Draw(rt, "steps") {
		switch rapid.SampledFrom(s.steps).Draw(rt, "step") {
		case "edit":
			w.edit(rt)
		case "stir":
			w.stir(rt)
		case "fault":
			f := drawFault(rt)
			f.Tenant = w.tenant.ID
			if s.paths != nil {
				f.Path = rapid.SampledFrom(s.paths).Draw(rt, "path")
			}
			if id, err := wires.Microsoft.AddFault(f); err == nil {
				faults = append(faults, id)
			} else if s.paths == nil { // else not every fault can hit every path
				w.ok(err)
			}
		case "late":
			if n := len(w.late); n > 0 {
				w.again(w.late[rapid.IntRange(0, n-1).Draw(rt, "which")])
			}
		case "work":
			w.step(do())
		case "relogin":
			w.relogin()
		case "week":
			w.clock.Advance(8 * 24 * time.Hour)
		case "pause": // whatever is open ends
			w.pause()
			w.step(do())
			w.quiet(w.engine.Sync)
			w.resume()
			w.sound()
		case "run":
			w.send(rapid.SampledFrom([]job.Trigger{job.Schedule, job.Manual}).Draw(rt, "trigger"))
			for w.step(do()) {
				if rapid.IntRange(0, 4).Draw(rt, "meanwhile") == 0 {
					s.change(rt)
				}
			}
			w.sound()
		}
	}
	for _, id := range faults {
		wires.Microsoft.ClearFault(id)
	}
	w.relogin() // a token without roles would be kept for its hour
	w.quiet(w.engine.Sync)
}

// Whatever happens to people, groups, settings and wires, when it is over all
// that is stored is Microsoft's, and a connection that begins now ends with
// the same.
func TestAnyWholeStory(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := l.whole(t, rt, rapid.IntRange(0, 25).Draw(rt, "people"))
		w.story(t, rt, script{
			steps: []string{"edit", "stir", "stir", "stir", "fault", "late", "work", "run", "run", "relogin", "week", "pause"}, most: 14,
			change: w.stir, paths: wire,
		})
		w.peaceful()
		w.succeed()
		w.settledWhole()

		fresh := l.world(t, rt, 0)
		fresh.tenant, fresh.engine = w.tenant, w.newEngine(t, wires.Transport)
		c := fresh.connection()
		of := w.connection()
		settings := of.Chosen()
		c.Tenant, c.Settings = w.tenant.ID, &settings
		_, err := fresh.store.UpdateConnection(fresh.ctx, c)
		fresh.ok(err)
		fresh.succeed()
		fresh.settledWhole()
	})
}
