package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// newspaper makes up the reports of a tenant, one a day: the size of each
// mailbox by user name.
type newspaper struct {
	day   time.Time
	sizes map[string]int64
	asked atomic.Int32
	mixed bool // every download has another order
	twice bool // some names come again, in other letters or with other figures
}

func newNewspaper(mailboxes int) *newspaper {
	n := &newspaper{day: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), sizes: map[string]int64{}}
	for i := range mailboxes {
		n.sizes[fmt.Sprintf("M%04d@x.example", i)] = int64(i)
	}
	return n
}

func (n *newspaper) rows([]string) (rows []string) {
	asked := n.asked.Add(1)
	names := slices.Sorted(maps.Keys(n.sizes))
	if n.mixed && asked%2 == 0 {
		slices.Reverse(names)
	}
	for _, name := range names {
		rows = append(rows, fmt.Sprintf("%s,%s,x,False,,2020-01-02,,7,%d,,,100,,,,True,7", n.day.Format(time.DateOnly), name, n.sizes[name]))
	}
	if n.twice {
		rows = append(rows, strings.ToUpper(rows[0]), strings.ToUpper(rows[1]))
		rows[len(rows)-1] = strings.Replace(rows[1], ",7,", ",8,", 1)
	}
	return rows
}

// mailed is a world of few people whose mailboxes are the newspaper's.
func mailed(t *testing.T, l *line, n *newspaper) *world {
	t.Helper()
	w := l.world(t, t, 3)
	w.choose(func(s *connection.Settings) { s.Mailboxes = true })
	w.engine = w.newEngine(t, report{wires.Transport, n.rows})
	return w
}

// mailboxes are the stored ones, and how many of them are active.
func (w *world) mailboxes() (all map[string]directory.MailboxRecord, active int) {
	w.Helper()
	all = map[string]directory.MailboxRecord{}
	for after := ""; ; {
		ms, next, err := w.store.Mailboxes(w.ctx, w.conn, after, 700)
		w.ok(err)
		for _, m := range ms {
			if all[m.ID] = m; m.Active() {
				active++
			}
		}
		if after = next; after == "" {
			return all, active
		}
	}
}

// delivered checks that what is stored, and told, is the newspaper's.
func (w *world) delivered(n *newspaper) {
	w.Helper()
	all, active := w.mailboxes()
	if active != len(n.sizes) {
		w.Errorf("%d mailboxes, want %d", active, len(n.sizes))
	}
	lives := map[string]directory.Life{}
	for id, m := range all {
		lives[id] = m.Life
	}
	w.dated("mailbox", lives)
	told := w.toldOf("mailbox")
	for name, size := range n.sizes {
		m := all[directory.MailboxID(name)]
		if !m.Active() || m.UserPrincipalName != name || m.Size != size || m.Items != 7 || m.Quota != 100 || !m.HasArchive {
			w.Errorf("%s of %d bytes stored as %+v", name, size, m)
		}
		if t := told[m.ID]; t["storageUsed"] != float64(size) || t["userPrincipalName"] != name || t["itemCount"] != 7.0 || t["quota"] != 100.0 {
			w.Errorf("%s of %d bytes told as %v", name, size, t)
		}
	}
	if len(told) != active {
		w.Errorf("%d told, %d active", len(told), active)
	}
	if c := w.fence().Mailboxes; c.Done != n.day.Format(time.DateOnly) || c.Reading != "" || c.Row != 0 {
		w.Errorf("place in the report: %+v", c)
	}
}

// Mailboxes are those of the newest report, which is read once; whoever is not
// in it any more is archived, and active again when it is.
func TestMailboxes(t *testing.T) {
	t.Parallel()
	n := newNewspaper(60)
	n.twice = true
	w := mailed(t, newLine(t), n)
	counted := func(what string, want job.KindCounters) {
		t.Helper()
		if r := w.succeed(); r.Mailboxes != want || len(r.Skipped) != 0 {
			t.Errorf("%s: counted %+v, skipped %+v", what, r.Mailboxes, r.Skipped)
		}
	}
	counted("first", job.KindCounters{Created: 60})
	w.delivered(n)
	n.sizes["M0001@x.example"] = 99
	counted("the same report", job.KindCounters{})
	n.day = n.day.AddDate(0, 0, -1)
	counted("an older report", job.KindCounters{})
	n.day = n.day.AddDate(0, 0, 2)
	delete(n.sizes, "M0002@x.example")
	n.sizes["new@x.example"] = 5
	counted("the next day", job.KindCounters{Created: 1, Updated: 1, Archived: 1})
	w.delivered(n)
	if all, _ := w.mailboxes(); all[directory.MailboxID("m0002@X.example")].Reason != directory.Missing {
		t.Error("archived without a reason")
	}
	n.day = n.day.AddDate(0, 0, 1)
	n.sizes["M0002@x.example"] = 3
	counted("back", job.KindCounters{Reactivated: 1})
	w.delivered(n)
}

// A report that may be wrong archives nobody.
func TestMailboxReportInDoubt(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, c := range []struct {
		name   string
		fault  fault.Fault
		before int // mailboxes, and those of them in the next report
		after  int
		gone   int
		code   string
	}{
		{"empty", fault.Fault{}, 30, 0, 0, "empty_answer"},
		{"most are missing", fault.Fault{}, 30, 14, 0, "many_missing"},
		{"half are missing", fault.Fault{}, 30, 15, 15, ""},
		{"most of a few are missing", fault.Fault{}, 19, 1, 18, ""},
		{"download fails", fault.Fault{Kind: fault.Error, Status: 500, Path: fault.ReportDownload, Count: 2}, 30, 30, 0, ""},
		{"forbidden", fault.Fault{Kind: fault.Forbidden, Path: fault.MailboxReport, Count: 3}, 30, 1, 0, "Authorization_RequestDenied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNewspaper(c.before)
			w := mailed(t, l, n)
			w.succeed()
			n.day = n.day.AddDate(0, 0, 1)
			for name, i := range n.sizes {
				if int(i) >= c.after {
					delete(n.sizes, name)
				}
			}
			fired := func() {}
			if c.fault.Kind != "" {
				fired = wires.Fault(t, w.tenant, c.fault)
			}
			r := w.succeed()
			fired()
			if s := skipped(r, "mailboxes"); s.Code != c.code || (s.Message == "" || s.Remedy == "") != (c.code == "") {
				t.Errorf("skipped %+v, want %q", s, c.code)
			}
			if _, active := w.mailboxes(); r.Mailboxes.Archived != c.gone || active != c.before-c.gone {
				t.Errorf("%d archived, %d active; %d are gone of %d", r.Mailboxes.Archived, active, c.gone, c.before)
			}
		})
	}
}

// Names that are hashes are no names.
func TestConcealedMailboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.choose(func(s *connection.Settings) { s.Mailboxes = true })
	w.tenant.Conceal(true)
	r := w.succeed()
	if s := skipped(r, "mailboxes"); s.Code != "concealed_names" || s.Remedy == "" || s.Message == "" {
		t.Errorf("skipped %+v", r.Skipped)
	}
	if all, _ := w.mailboxes(); len(all) != 0 {
		t.Errorf("%d mailboxes with concealed names", len(all))
	}
	w.tenant.Conceal(false)
	if r := w.succeed(); len(r.Skipped) != 0 || r.Mailboxes.Created < 10 {
		t.Errorf("skipped %+v, counted %+v", r.Skipped, r.Mailboxes)
	}
	w.settled()
}

// A report of several pages, read a page a slice, even if each download has
// another order and the next day's report comes in between.
func TestMailboxesInSlices(t *testing.T) {
	t.Parallel()
	n := newNewspaper(610)
	w := mailed(t, newLine(t), n)
	n.mixed = true
	w.engine.Budget = -1
	// In another order, a slice may skip rows that none has done, which the next
	// report makes up for.
	if r := w.succeed(); r.Mailboxes.Created < 500 || r.Mailboxes.Archived+r.Mailboxes.Updated > 0 || r.Slices < 3 {
		t.Errorf("counted %+v in %d slices", r.Mailboxes, r.Slices)
	}
	n.mixed = false
	n.day = n.day.AddDate(0, 0, 1)
	for i := range 100 {
		delete(n.sizes, fmt.Sprintf("M%04d@x.example", i))
	}
	id := w.send(job.Schedule)
	for before := n.asked.Load(); n.asked.Load() < before+2; {
		w.step(w.engine.Sync)
	}
	n.day = n.day.AddDate(0, 0, 1)
	n.sizes["M0700@x.example"] = 1
	w.quiet(w.engine.Sync)
	if r := w.record(id); r.State != job.Succeeded || r.Mailboxes.Archived != 100 {
		t.Errorf("%s, counted %+v", r.State, r.Mailboxes)
	}
	w.delivered(n)
}

// Killed before any write, the end is the report's.
func TestMailboxesKilled(t *testing.T) {
	t.Parallel()
	n := newNewspaper(98)
	w := mailed(t, newLine(t), n)
	w.succeed()
	for i := 1; ; i++ {
		n.day = n.day.AddDate(0, 0, 1)
		for name := range n.sizes {
			n.sizes[name]++
		}
		delete(n.sizes, fmt.Sprintf("M%04d@x.example", i))
		n.sizes[fmt.Sprint("new", i, "@x.example")] = 1
		fired := w.killed(i, w.job(job.Schedule, ""))
		w.delivered(n)
		if !fired {
			if i < 5 {
				t.Errorf("only %d writes", i-1)
			}
			return
		}
	}
}

// Types are asked for once a report where they are not known, and are kept. A
// missing permission costs the types only.
func TestMailboxTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.engine = w.newEngine(t, report{wires.Transport, func(rows []string) []string {
		for i, r := range rows {
			rows[i] = day.Format(time.DateOnly) + r[strings.Index(r, ","):]
		}
		return rows
	}})
	people := w.tenant.People()
	w.ok(w.tenant.SetMailbox(people[3].ID, tenant.Mailbox{Purpose: "equipment", Items: 4, Used: 5, NoReceive: 6}))
	w.tenant.RemoveRole(wires.Microsoft.AppID(), "MailboxSettings.Read")
	w.choose(func(s *connection.Settings) { s.Mailboxes, s.MailboxTypes = true, true })
	r := w.succeed()
	if s := skipped(r, "mailboxTypes"); s.Code == "" || s.Remedy == "" || len(r.Skipped) != 1 {
		t.Errorf("skipped %+v", r.Skipped)
	}
	all, active := w.mailboxes()
	if active < 20 {
		t.Fatalf("only %d mailboxes", active)
	}
	for _, m := range all {
		if m.Purpose != "" {
			t.Errorf("%s is %s without permission", m.UserPrincipalName, m.Purpose)
		}
	}
	w.tenant.AddRole(wires.Microsoft.AppID(), "MailboxSettings.Read")
	w.relogin()
	w.engine.Budget = -1
	r = w.succeed()
	w.engine.Budget = time.Hour
	if r.Mailboxes.Updated != active || len(r.Skipped) != 0 {
		t.Errorf("%d of %d typed, skipped %+v", r.Mailboxes.Updated, active, r.Skipped)
	}
	typed := func() {
		t.Helper()
		all, active := w.mailboxes()
		told := w.toldOf("mailbox")
		n := 0
		for _, p := range w.tenant.People() {
			want, ok := w.tenant.Mailbox(p.ID, day)
			m := all[directory.MailboxID(p.UserPrincipalName)]
			if !ok {
				continue
			}
			n++
			if m.Purpose != want.Purpose || m.Items != want.Items || m.Size != want.Used || m.Quota != want.NoReceive || m.HasArchive != want.Archive || told[m.ID]["purpose"] != want.Purpose {
				t.Errorf("%s is %+v, told as %v; want %+v", p.UserPrincipalName, m.Mailbox, told[m.ID], want)
			}
		}
		if n != active {
			t.Errorf("%d mailboxes, want %d", active, n)
		}
	}
	typed()
	asked := w.tenant.Calls()[fault.MailboxSettings]
	w.succeed()
	day = day.AddDate(0, 0, 1)
	w.ok(w.tenant.RemoveMailbox(people[3].ID))
	w.succeed()
	if again := w.tenant.Calls()[fault.MailboxSettings]; again != asked {
		t.Errorf("asked %d times for what is known", again-asked)
	}
	typed()
	day = day.AddDate(0, 0, 1)
	w.ok(w.tenant.SetMailbox(people[3].ID, tenant.Mailbox{Purpose: "equipment", Items: 9}))
	if r := w.succeed(); r.Mailboxes.Reactivated != 1 {
		t.Errorf("counted %+v", r.Mailboxes)
	}
	typed()
	w.settled()
}

// Only the mailboxes of people whom the settings choose are stored; those of
// people who are chosen no more are archived as out of scope.
func TestMailboxesInScope(t *testing.T) {
	t.Parallel()
	w := newLine(t).whole(t, t, 20)
	w.succeed()
	all, _, err := w.store.Mailboxes(w.ctx, w.conn, "", 1000)
	w.ok(err)
	scope := w.team("Scope", false)
	in := make(map[string]bool)
	for _, p := range w.tenant.People()[:6] {
		w.ok(w.tenant.AddMember(scope, p.ID))
		in[directory.MailboxID(p.UserPrincipalName)] = true
	}
	w.choose(func(s *connection.Settings) { s.Groups = []string{scope} })
	w.succeed()                                                                      // archives the others, and knows the report already
	w.engine = w.newEngine(t, report{wires.Transport, func(rows []string) []string { // the next one
		for i, r := range rows {
			_, rest, _ := strings.Cut(r, ",")
			rows[i] = "2099-01-01," + rest
		}
		return rows
	}})
	w.succeed()
	ms, _, err := w.store.Mailboxes(w.ctx, w.conn, "", 1000)
	w.ok(err)
	active := 0
	for _, m := range ms {
		switch {
		case m.Active() && !in[m.ID]:
			t.Errorf("mailbox %s is active, and its owner is out of scope", m.UserPrincipalName)
		case m.Active():
			active++
		case m.Reason != directory.OutOfScope:
			t.Errorf("mailbox %s is archived for %q", m.UserPrincipalName, m.Reason)
		}
	}
	if active == 0 || len(ms) != len(all) {
		t.Errorf("%d active, %d stored, %d before", active, len(ms), len(all))
	}
}
