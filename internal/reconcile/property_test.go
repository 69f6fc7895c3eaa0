package reconcile_test

import (
	"flag"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// Ten stories a run; -rapid.checks tells more of them.
func init() { _ = flag.Set("rapid.checks", "10") }

// drawFault is any fault that can hit the sync of people.
func drawFault(t *rapid.T) fault.Fault {
	f := fault.Fault{
		Kind: rapid.SampledFrom([]fault.Kind{
			fault.Throttle, fault.Error, fault.Forbidden, fault.Resync, fault.Expired, fault.Cut, fault.CutChunked,
			fault.Empty, fault.Replay, fault.Duplicate, fault.Flap, fault.Permute, fault.AADSTS, fault.NoRoles,
		}).Draw(t, "fault"),
		Skip:  rapid.IntRange(0, 3).Draw(t, "skip"),
		Count: rapid.IntRange(1, 4).Draw(t, "count"),
	}
	switch f.Kind {
	case fault.Throttle:
		f.RetryAfter = rapid.SampledFrom([]string{"", "7", "2.128", "date:30s"}).Draw(t, "retryAfter")
	case fault.Error:
		f.Status = rapid.SampledFrom([]int{500, 502, 503, 504}).Draw(t, "status")
		f.RetryAfter = rapid.SampledFrom([]string{"", "9"}).Draw(t, "retryAfter")
	case fault.AADSTS:
		f.Code = rapid.SampledFrom([]int{700016, 7000229, 53003, 7000222, 90033, 50196}).Draw(t, "code")
	}
	return f
}

// edit changes the directory at Microsoft at random.
func (w *world) edit(t *rapid.T) {
	people, gone := w.tenant.People(), w.tenant.Deleted()
	pick := func(ps []tenant.Person) string { return ps[rapid.IntRange(0, len(ps)-1).Draw(t, "who")].ID }
	switch kind := rapid.SampledFrom([]string{"bulk", "create", "update", "manager", "unmanage", "remove", "purge", "restore", "forget"}).Draw(t, "edit"); {
	case kind == "bulk":
		_, err := w.tenant.Apply(tenant.Bulk{
			Seed: rapid.Uint64().Draw(t, "seed"), Edit: rapid.IntRange(0, 15).Draw(t, "edits"),
			Restore: rapid.IntRange(0, 6).Draw(t, "restores"), Create: rapid.IntRange(0, 12).Draw(t, "creations"),
		})
		w.ok(err)
		for range min(rapid.IntRange(0, 8).Draw(t, "removals"), len(people)) {
			w.leave(pick(w.tenant.People()), w.tenant.Remove)
		}
	case kind == "create":
		w.begin++
		_, err := w.tenant.Create(tenant.Fields{"userPrincipalName": fmt.Sprintf("n%d@%s", w.begin, w.tenant.Domain), "displayName": "Née \"O'Neil\" \u2028"})
		w.ok(err)
	case kind == "forget":
		w.tenant.Forget()
	case kind == "restore" && len(gone) > 0:
		w.ok(w.tenant.Restore(pick(gone)))
	case len(people) < 2:
	case kind == "update":
		w.ok(w.tenant.Update(pick(people), tenant.Fields{
			"jobTitle": rapid.SampledFrom([]any{nil, "Boss", "Worker"}).Draw(t, "title"), "otherMails": []string{"b@x.example", "a@x.example"},
		}))
	case kind == "manager":
		w.ok(w.tenant.Update(pick(people), tenant.Fields{"manager": pick(people)}))
	case kind == "unmanage":
		w.ok(w.tenant.Update(pick(people), tenant.Fields{"manager": nil}))
	case kind == "remove":
		w.leave(pick(people), w.tenant.Remove)
	case kind == "purge":
		w.leave(pick(people), w.tenant.Purge)
	}
}

// leave takes somebody away, unless a deleted person reports to them: when
// that one is restored, the stand-in tells of no lost manager.
func (w *world) leave(id string, how func(string) error) {
	for _, p := range w.tenant.Deleted() {
		if p.Manager == id {
			return
		}
	}
	w.ok(how(id))
}

// Whatever happens to a tenant and on the wires, when it is over the stored
// people are Microsoft's, whoever left is archived, and the feed tells it all
// without a gap.
func TestAnyStory(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := l.world(t, rt, rapid.IntRange(0, 30).Draw(rt, "people"))
		w.story(t, rt, script{
			steps: []string{"edit", "edit", "fault", "late", "work", "work", "run", "run", "relogin"}, most: 12, change: w.edit,
		})
		w.succeed()
		w.settled()
	})
}
