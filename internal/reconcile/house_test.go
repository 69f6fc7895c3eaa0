package reconcile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// everything asks Graph for all there is, of everybody.
var everything = connection.Settings{
	Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, Guests: true, Disabled: true,
}

// house is a world with groups, of which everything is synced.
type house struct {
	*world
	groups []string
}

// furnished is a world of so many people with three teams and a security
// group, of which everything is synced.
func (l *line) furnished(t *testing.T, b tb, people int) *house {
	t.Helper()
	w := &house{world: l.world(t, b, people)}
	w.choose(func(s *connection.Settings) { *s = everything })
	for i := range 4 {
		f := tenant.Fields{"displayName": fmt.Sprint("Group ", i), "mailNickname": fmt.Sprint("g", i)}
		if i < 3 {
			f["groupTypes"], f["resourceProvisioningOptions"], f["mailEnabled"] = []string{"Unified"}, []string{"Team"}, true
		} else {
			f["securityEnabled"] = true
		}
		group, err := w.tenant.CreateGroup(f)
		w.ok(err)
		w.groups = append(w.groups, group)
		for k, p := range w.tenant.People() {
			if (k+i)%3 == 0 {
				w.ok(w.tenant.AddMember(group, p.ID))
			}
		}
	}
	return w
}

// stir changes the directory at Microsoft at random, teams included.
func (w *house) stir(t *rapid.T) {
	w.stirSome(t, []string{"create", "title", "phone", "manager", "disable", "guest", "remove", "purge", "restore", "join", "leave", "rename", "drop"})
}

// stirSome makes one change of one of the kinds.
func (w *house) stirSome(t *rapid.T, kinds []string) {
	people, gone := w.tenant.People(), w.tenant.Deleted()
	group := rapid.SampledFrom(w.groups).Draw(t, "group")
	pick := func(ps []tenant.Person) string { return ps[rapid.IntRange(0, len(ps)-1).Draw(t, "who")].ID }
	set := func(f tenant.Fields) { w.ok(w.tenant.Update(pick(people), f)) }
	switch kind := rapid.SampledFrom(kinds).Draw(t, "edit"); {
	case kind == "create":
		w.begin++
		_, err := w.tenant.Create(tenant.Fields{"userPrincipalName": fmt.Sprintf("n%d@%s", w.begin, w.tenant.Domain), "displayName": "New"})
		w.ok(err)
	case kind == "restore" && len(gone) > 0:
		w.ok(w.tenant.Restore(pick(gone)))
	case kind == "rename":
		_ = w.tenant.UpdateGroup(group, tenant.Fields{"displayName": rapid.SampledFrom([]string{"A", "B"}).Draw(t, "name")}) // or it is gone
	case kind == "drop":
		_ = w.tenant.RemoveGroup(group)
	case len(people) < 2:
	case kind == "title":
		set(tenant.Fields{"jobTitle": rapid.SampledFrom([]any{nil, "Boss", "Worker"}).Draw(t, "title")})
	case kind == "phone":
		set(tenant.Fields{"mobilePhone": rapid.SampledFrom([]any{nil, "1", "2"}).Draw(t, "phone")})
	case kind == "manager":
		set(tenant.Fields{"manager": pick(people)})
	case kind == "disable":
		set(tenant.Fields{"accountEnabled": rapid.Bool().Draw(t, "enabled")})
	case kind == "guest":
		set(tenant.Fields{"userType": rapid.SampledFrom([]string{"Guest", "Member"}).Draw(t, "type")})
	case kind == "remove":
		w.leave(pick(people), w.tenant.Remove)
	case kind == "purge":
		w.leave(pick(people), w.tenant.Purge)
	case kind == "join":
		_ = w.tenant.AddMember(group, pick(people)) // or they are one
	case kind == "leave":
		_ = w.tenant.RemoveMember(group, pick(people)) // or they are none
	}
}

// ask notes that somebody asked for a run, and returns its job.
func (w *world) ask(trigger job.Trigger, person string) job.Job {
	w.Helper()
	j := w.job(trigger, "")
	j.Person = person
	c := w.connection()
	c.Ask(connection.Ask{Trigger: string(trigger), Run: j.Run, Person: person, At: w.clock.Now(), By: "Ada"})
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	return j
}

// asked does a run that somebody asked for, and returns its record.
func (w *world) asked(trigger job.Trigger, person string) job.Run {
	w.Helper()
	j := w.ask(trigger, person)
	w.ok(w.queue.Send(w.ctx, j, time.Time{}))
	w.quiet(w.engine.Sync)
	return w.record(j.Run)
}

// rows are the raw rows of a partition by key, as the service has them: its
// time of the last write is in each.
func (w *world) rows(table, part string) map[string]string {
	w.Helper()
	filter := "PartitionKey eq '" + part + "'"
	rows := make(map[string]string)
	for pager := wires.Tables.Client().NewClient(table).NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter}); pager.More(); {
		page, err := pager.NextPage(w.ctx)
		if re, ok := errors.AsType[*azcore.ResponseError](err); ok && re.ErrorCode == "TableNotFound" {
			break
		}
		w.ok(err)
		for _, b := range page.Entities {
			var key struct{ RowKey string }
			w.ok(json.Unmarshal(b, &key))
			rows[key.RowKey] = string(b)
		}
	}
	return rows
}

func (w *world) preview() string { return w.conn + "~preview" }

// did is what a run says that it did, comparable between runs.
type did struct {
	state                                                              job.State
	created, updated, archived, reactivated, unchanged, seen           int
	teams, memberships, licenses, mailboxes, positions                 job.KindCounters
	total, heldPeople, heldTeams, heldMembers, licenseCount, available int
	skipped                                                            []job.Skipped
	full                                                               bool
}

func doneBy(r job.Run) did {
	return did{
		state: r.State, created: r.Created, updated: r.Updated, archived: r.Archived, reactivated: r.Reactivated, unchanged: r.Unchanged, seen: r.Seen,
		teams: r.Teams, memberships: r.Memberships, licenses: r.Licenses, mailboxes: r.Mailboxes, positions: r.Positions, skipped: r.Skipped, full: r.Full,
	}
}

// foretold is what a preview's record says.
func foretold(r job.Run) did {
	d := doneBy(r)
	if f := r.Forecast; f != nil {
		d.total, d.heldPeople, d.heldTeams, d.heldMembers, d.licenseCount, d.available = f.Total, f.HeldPeople, f.HeldTeams, f.HeldMemberships, f.LicensesTotal, f.LicensesAvailable
	}
	return d
}

// done is what a run has done, by its record and by what is stored after it.
func (w *house) done(r job.Run) did {
	w.Helper()
	d := doneBy(r)
	for _, r := range w.records() {
		if r.Active() {
			d.total++
		}
	}
	listed := func(ls ...directory.List) (n int) {
		for _, l := range ls {
			ids, err := w.store.Listed(w.ctx, w.conn, l, "", 1000)
			w.ok(err)
			n += len(ids)
		}
		return n
	}
	d.heldPeople, d.heldTeams = listed(directory.PendingPeople, directory.HeldPeople), listed(directory.PendingTeams, directory.HeldTeams)
	for _, group := range w.groups {
		rows, err := w.store.Rosters(w.ctx, w.conn, group)
		w.ok(err)
		for _, row := range rows {
			for _, m := range row.Members {
				if m.Marks&(directory.MarkPending|directory.MarkHeld) != 0 {
					d.heldMembers++
				}
			}
		}
	}
	ls, err := w.store.Licenses(w.ctx, w.conn)
	w.ok(err)
	for _, l := range ls {
		if l.Archived.IsZero() {
			d.licenseCount += l.Total
			d.available += max(l.Total-l.Consumed, 0)
		}
	}
	return d
}

// records are all people stored.
func (w *world) records() map[string]directory.Record {
	w.Helper()
	out := make(map[string]directory.Record)
	for after := ""; ; {
		rs, next, err := w.store.People(w.ctx, w.conn, after, 1000)
		w.ok(err)
		for _, r := range rs {
			out[r.ID] = r
		}
		if after = next; after == "" {
			return out
		}
	}
}

// told are changes as two runs can be compared by them: without their numbers,
// runs, times and earlier values.
func (w *world) told(part string, after int64) (cs []directory.Change) {
	w.Helper()
	cs, err := w.store.Changes(w.ctx, part, after, 10_000)
	w.ok(err)
	for i := range cs {
		cs[i].Run, cs[i].At, cs[i].Was = "", time.Time{}, nil
	}
	return cs
}

// killed does a job whose first worker can write n-1 times and then no more,
// and tells whether it wanted to.
func (w *world) killed(n int, j job.Job) (fired bool) {
	w.Helper()
	var first int64
	w.cable.cut(func(count int64) error {
		if first == 0 {
			first = count
		}
		if count >= first+int64(n)-1 {
			fired = true
			return errors.New("killed")
		}
		return nil
	})
	err := w.engine.Sync(w.ctx, j)
	w.cable.cut(nil)
	if fired == (err == nil) {
		w.Fatalf("killed before write %d: %v, the worker says %v", n, fired, err)
	}
	w.clock.Advance(time.Minute)
	w.ok(w.engine.Sync(w.ctx, j))
	w.quiet(w.engine.Sync)
	return fired
}

// dear tells whether a story is told of a property that takes seconds: one in
// four is.
func dear(t *rapid.T) bool { return rapid.IntRange(0, 3).Draw(t, "told") == 0 }
