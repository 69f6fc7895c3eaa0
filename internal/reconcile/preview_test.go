package reconcile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	msfault "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/tablestore"
	"rollcall/internal/sandbox/wiretest"
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
	w.begin++
	j := job.Job{Kind: job.Sync, Connection: w.conn, Run: job.RunID(w.clock.Now(), w.conn, fmt.Sprint(w.begin)), Trigger: trigger, Person: person}
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

// was checks that the preview's changes tell the values that they replace.
func (w *house) was(before map[string]map[string]any) {
	w.Helper()
	cs, err := w.store.Changes(w.ctx, w.preview(), 0, 10_000)
	w.ok(err)
	for _, c := range cs {
		if c.Type == directory.Created && len(c.Was) != 0 {
			w.Errorf("change %d creates and tells earlier values %s", c.Number, c.Was)
		}
		if before[c.ID] == nil {
			before[c.ID] = make(map[string]any)
		}
		if c.Type != directory.Created && c.Type != directory.Updated && c.Type != directory.Reactivated && c.Type != directory.Archived {
			continue
		}
		for name, v := range c.Set {
			var was, is any
			if c.Type != directory.Created {
				w.ok(json.Unmarshal(c.Was[name], &was))
			}
			w.ok(json.Unmarshal(v, &is))
			if now := before[c.ID]; !reflect.DeepEqual(was, now[name]) {
				w.Errorf("change %d: %s was %v, is told as %v", c.Number, name, now[name], was)
			} else {
				now[name] = is
			}
		}
	}
}

// dear tells whether a story is told of a property that takes seconds: one in
// three is.
func dear(t *rapid.T) bool { return rapid.IntRange(0, 2).Draw(t, "told") == 0 }

// A preview says what the sync after it does, of whatever has happened, and
// touches nothing that anybody reads.
func TestPreviewIsTheTruth(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		if !dear(rt) {
			return
		}
		w := l.furnished(t, rt, rapid.IntRange(0, 14).Draw(rt, "people"))
		w.engine.Guard = rapid.SampledFrom([]connection.Guard{{}, {MaxCount: 2, MaxTeams: 1, MaxMemberships: 2}, {MaxPercent: 30}}).Draw(rt, "guard")
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 8).Draw(rt, "edits") {
				w.stir(rt)
			}
			switch rapid.SampledFrom([]string{"", "", "", "forget", "guests", "disabled", "groups", "categories"}).Draw(rt, "also") {
			case "forget":
				w.tenant.Forget()
			case "guests":
				w.choose(func(s *connection.Settings) { s.Guests = !s.Guests })
			case "disabled":
				w.choose(func(s *connection.Settings) { s.Disabled = !s.Disabled })
			case "groups":
				w.choose(func(s *connection.Settings) {
					if s.Groups = w.groups[1:3]; rapid.Bool().Draw(rt, "everybody") {
						s.Groups = nil
					}
				})
			case "categories":
				w.choose(func(s *connection.Settings) { s.Teams = !s.Teams })
			}
			w.engine.Budget = rapid.SampledFrom([]time.Duration{time.Hour, -1}).Draw(rt, "budget")
			before := w.rows("directory", w.conn)
			people := make(map[string]map[string]any)
			for id, r := range w.records() {
				people[id] = properties(r.Person)
			}
			last := w.fence().LastChange
			p := w.asked(job.Preview, "")
			if after := w.rows("directory", w.conn); !reflect.DeepEqual(before, after) {
				rt.Fatalf("the preview touched the directory")
			}
			if c := w.connection(); c.LastRun == p.ID {
				rt.Fatalf("the preview is the connection's last run")
			}
			w.was(people)
			r := w.run()
			if got, want := foretold(p), w.done(r); !reflect.DeepEqual(got, want) {
				rt.Fatalf("preview says\n%+v, the run does\n%+v", got, want)
			}
			if got, want := w.told(w.preview(), 0), w.told(w.conn, last); !reflect.DeepEqual(got, want) {
				rt.Fatalf("preview tells of\n%v, the run of\n%v", got, want)
			}
		}
	})
}

// Where a run has left its enumerations unfinished, a preview says what the next
// run does all the same: what was seen so far does not show through to it.
func TestPreviewAfterUnfinished(t *testing.T) {
	t.Parallel()
	for _, f := range []msfault.Fault{
		{Kind: msfault.Forbidden, Path: msfault.UsersDelta, Skip: 1, Count: 2},
		{Kind: msfault.Forbidden, Path: msfault.GroupsDelta, Skip: 1, Count: 2},
		{Kind: msfault.Forbidden, Path: msfault.ByIDs, Count: 2},
	} {
		w := newLine(t).furnished(t, t, 25)
		w.succeed()
		gone := w.leaves(2)
		w.ok(w.tenant.Purge(gone[0]))
		w.ok(w.tenant.PurgeGroup(w.groups[0]))
		w.tenant.Forget()
		silent := w.newEngine(t, dropping(gone[1])) // somebody is missing without a word
		fired := wires.Fault(t, w.tenant, f)
		w.send(job.Schedule)
		w.quiet(silent.Sync)
		fired()
		if f := w.fence(); f.People.Enum == "" && f.Groups.Enum == "" {
			t.Errorf("nothing was left unfinished by a run that %s in %d phases", f.Run.State, len(f.Run.Phases))
		}
		w.ok(w.tenant.RemoveMember(w.groups[1], w.tenant.Members(w.groups[1])[0]))
		p := w.asked(job.Preview, "")
		if got, want := foretold(p), w.done(w.run()); !reflect.DeepEqual(got, want) {
			t.Errorf("after %v the preview says\n%+v, the run does\n%+v", f, got, want)
		}
	}
}

// The tests from here on watch or lose writes of the one store, so none of
// them is parallel.

// A preview writes beside the directory and in the list of runs, and keeps its
// record up to date from the beginning.
func TestPreviewWrites(t *testing.T) {
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	live := w.rows("directory", w.conn)
	sent, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	j := w.ask(job.Preview, "")
	tables := make(map[string]int)
	wires.Tables.OnWrite(func(_ int64, table string) tablestore.Verdict {
		if tables[table]++; table == "runs" && len(tables) == 1 {
			if r := w.record(j.Run); r.State != job.Running || r.By != "Ada" {
				t.Errorf("record at the beginning: %+v", r)
			}
		}
		if now := w.rows("directory", w.conn); !reflect.DeepEqual(live, now) {
			t.Errorf("write %v touched the directory", tables)
		}
		return tablestore.Pass
	})
	err = w.engine.Sync(w.ctx, j)
	wires.Tables.OnWrite(nil)
	w.ok(err)
	for table := range tables {
		if table != "runs" && table != "directory" {
			t.Errorf("a preview wrote to %s", table)
		}
	}
	now, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	if now.Sent != sent.Sent {
		t.Errorf("a preview of one slice sent %d messages", now.Sent-sent.Sent)
	}
	if r := w.record(j.Run); r.State != job.Succeeded || r.Created != 3 || r.Archived != 3 || r.Forecast == nil || r.Forecast.Total != 25 {
		t.Errorf("record at the end: %+v, %+v", r, r.Forecast)
	}
	if len(w.rows("directory", w.preview())) < 10 {
		t.Error("a preview left nothing to read")
	}
}

// A preview that is killed before any of its writes says the same in the end.
func TestPreviewKilled(t *testing.T) {
	w := newLine(t).furnished(t, t, 12)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	for _, group := range w.groups {
		_ = w.tenant.RemoveMember(group, w.tenant.People()[0].ID)
	}
	calm := foretold(w.asked(job.Preview, ""))
	for n := 1; ; n++ {
		j := w.ask(job.Preview, "")
		fired := w.killedIn(n, j)
		if got := foretold(w.record(j.Run)); !reflect.DeepEqual(got, calm) {
			t.Fatalf("killed before write %d it says\n%+v, want\n%+v", n, got, calm)
		}
		if !fired {
			if n < 8 { // the record, deleting twice, opening, people, teams, holdings, the record
				t.Errorf("a preview of only %d writes", n-1)
			}
			break
		}
	}
	if got := w.done(w.run()); !reflect.DeepEqual(got, calm) {
		t.Errorf("the run does\n%+v, the preview said\n%+v", got, calm)
	}
}

// killedIn does a job whose first worker can write n-1 times and then no more,
// and tells whether it wanted to.
func (w *world) killedIn(n int, j job.Job) (fired bool) {
	w.Helper()
	var first int64
	wires.Tables.BeforeWrite(func(count int64, _ string) error {
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
	wires.Tables.BeforeWrite(nil)
	if fired == (err == nil) {
		w.Fatalf("killed before write %d: %v, the worker says %v", n, fired, err)
	}
	w.clock.Advance(time.Minute)
	w.ok(w.engine.Sync(w.ctx, j))
	w.quiet(w.engine.Sync)
	return fired
}

// Who asks for a preview while a sync is open waits for it; who asks twice gets
// the second one; and one of a connection that cannot be read ends at once.
func TestPreviewInTurn(t *testing.T) {
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 20})
	w.ok(err)
	w.engine.Budget = -1
	w.send(job.Schedule)
	w.step(w.engine.Sync)
	j := w.ask(job.Preview, "")
	if err := w.engine.Sync(w.ctx, j); !fault.Is(err, fault.Throttled) || fault.Of(err).After <= 0 {
		t.Fatalf("beside an open run: %v", err)
	}
	w.quiet(w.engine.Sync)
	_, err = w.tenant.Apply(tenant.Bulk{Seed: 2, Edit: 20})
	w.ok(err)
	w.ok(w.engine.Sync(w.ctx, j)) // its first slice
	if r := w.record(j.Run); r.State != job.Running {
		t.Errorf("first preview: %+v", r)
	}
	second := w.asked(job.Preview, "")
	if second.State != job.Succeeded || second.Updated == 0 {
		t.Errorf("second preview: %+v", second)
	}
	if r := w.record(j.Run); r.State != job.RunFailed || r.Code != "superseded" || r.Remedy == "" {
		t.Errorf("first preview: %+v", r)
	}
	rows := w.rows("directory", w.preview())
	w.ok(w.engine.Sync(w.ctx, j)) // late
	if !reflect.DeepEqual(rows, w.rows("directory", w.preview())) {
		t.Error("a late message of the first preview did something")
	}
	c := w.connection()
	c.Status, c.NextDue = connection.Failed, time.Time{}
	_, err = w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	if r := w.asked(job.Preview, ""); r.State != job.RunFailed || r.Code != "not_connected" || r.Remedy == "" {
		t.Errorf("preview of a connection that is not live: %+v", r)
	}
}

// Two workers that begin a preview at the same time leave one that is right.
func TestPreviewBegunTwice(t *testing.T) {
	w := newLine(t).furnished(t, t, 25)
	w.succeed()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 8, Remove: 3, Create: 3})
	w.ok(err)
	calm := foretold(w.asked(job.Preview, ""))
	twin := w.newEngine(t, wires.Transport)
	for range 5 {
		j := w.ask(job.Preview, "")
		done := make(chan error, 2)
		for _, e := range []worker{w.engine.Sync, twin.Sync} {
			go func() { done <- e(w.ctx, j) }()
		}
		w.ok(errors.Join(<-done, <-done))
		w.ok(w.engine.Sync(w.ctx, j))
		if got := foretold(w.record(j.Run)); !reflect.DeepEqual(got, calm) {
			t.Fatalf("begun twice it says\n%+v, want\n%+v", got, calm)
		}
	}
}
