package reconcile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// marked is a person whose every value can be told from everybody else's.
type marked struct {
	id     string
	values []string // what must be nowhere after an erasure
	title  string   // likewise, but as the name of a position
	report string   // somebody whose manager the person is
	upn    string   // the first user principal name
}

// mark stores such a person, who is in every group, has a mailbox, and has
// been renamed once.
func (w *house) mark() marked { return w.marks(1)[0] }

// marks stores several such people.
func (w *house) marks(count int) (ms []marked) {
	w.Helper()
	var renames []func()
	for n := range count {
		m, rename := w.create(n)
		ms, renames = append(ms, m), append(renames, rename)
	}
	w.succeed()
	for _, rename := range renames {
		rename()
	}
	w.succeed()
	return ms
}

// create makes such a person at Microsoft: n makes them unlike others of their
// kind.
func (w *house) create(n int) (m marked, rename func()) {
	w.Helper()
	name := func(what string, turn int) string { return fmt.Sprintf("zq%s%dx%d", what, n, turn) }
	m.title = name("title", 0)
	fields := func(turn int) tenant.Fields {
		f := tenant.Fields{
			"userPrincipalName": name("upn", turn) + "@" + w.tenant.Domain, "displayName": name("display", turn), "givenName": name("given", turn),
			"surname": name("sur", turn), "mail": name("mail", turn) + "@" + w.tenant.Domain, "mobilePhone": name("mobile", turn),
			"businessPhones": []string{name("phone", turn)}, "otherMails": []string{name("other", turn) + "@zq.example"}, "employeeId": name("emp", turn),
		}
		for _, v := range f {
			switch v := v.(type) {
			case string:
				local, _, _ := strings.Cut(v, "@")
				m.values = append(m.values, local)
			case []string:
				local, _, _ := strings.Cut(v[0], "@")
				m.values = append(m.values, local)
			}
		}
		return f
	}
	f := fields(0)
	f["jobTitle"] = m.title
	m.upn = f["userPrincipalName"].(string)
	var err error
	m.id, err = w.tenant.Create(f)
	w.ok(err)
	for _, group := range w.groups {
		w.ok(w.tenant.AddMember(group, m.id))
	}
	m.report = w.tenant.People()[1].ID
	w.ok(w.tenant.Update(m.report, tenant.Fields{"manager": m.id}))
	again := fields(1)
	return m, func() { w.ok(w.tenant.Update(m.id, again)) }
}

// raw is a row of a table as its bytes: what was written, without the wrapping.
type raw struct {
	table, part, row string
	data             []byte
}

// stores is every row of the tables of people and runs, and of what a preview
// has left.
func (w *world) stores() (out []raw) {
	w.Helper()
	for _, table := range []string{"directory", "runs"} {
		for _, part := range []string{w.conn, w.preview()} {
			for row, b := range w.rows(table, part) {
				var props map[string]json.RawMessage
				w.ok(json.Unmarshal([]byte(b), &props))
				r := raw{table, part, row, nil}
				for i := 0; props[fmt.Sprint("D", i)] != nil; i++ {
					var chunk []byte
					w.ok(json.Unmarshal(props[fmt.Sprint("D", i)], &chunk))
					r.data = append(r.data, chunk...)
				}
				if string(props["V"]) == "2" { // compressed
					var err error
					r.data, err = s2.Decode(nil, r.data)
					w.ok(err)
				}
				out = append(out, r)
			}
		}
	}
	return out
}

// traces says where anything of the person is stored: a value anywhere, or the
// ID where it need not be.
func (w *house) traces(m marked) (found []string) {
	w.Helper()
	key, _ := directory.Key(m.id)
	tell := func(r raw, what string) {
		found = append(found, fmt.Sprintf("%s in %s %s/%s", what, r.table, r.part, r.row))
	}
	for _, r := range w.stores() {
		text := string(r.data)
		if strings.Contains(r.row, m.id) && r.row != "k!"+m.id {
			tell(r, "the ID as a key")
		}
		for _, v := range m.values {
			if strings.Contains(text, v) || strings.Contains(r.row, v) {
				tell(r, v)
			}
		}
		for _, upn := range m.values {
			if id := directory.MailboxID(upn + "@" + w.tenant.Domain); strings.Contains(text, id) || strings.Contains(r.row, id) && r.row != "k!"+id {
				tell(r, "the mailbox of "+upn)
			}
		}
		switch kind, _, _ := strings.Cut(r.row, "!"); kind {
		case "m", "s", "g": // keys, 16 bytes each; scopes and IDs seen are JSON of base 64
			var packed []byte
			if json.Unmarshal(r.data, &packed) != nil {
				packed = r.data
			}
			if bytes.Contains(packed, key[:]) {
				tell(r, "the key")
			}
		case "e":
			var cs []directory.Change
			w.ok(json.Unmarshal(r.data, &cs))
			for _, c := range cs {
				if manager, told := c.Set.Get("manager"); told { // others may name the person
					c.Set = bytes.Replace(c.Set, slices.Concat([]byte(`"manager":`), manager), []byte(`"manager":null`), 1)
				}
				b, err := json.Marshal(c)
				w.ok(err)
				if c.Type != directory.Erased && strings.Contains(string(b), m.id) {
					tell(r, "the ID in a "+string(c.Type))
				}
				if !strings.HasPrefix(string(c.Type), "position.") && strings.Contains(string(b), m.title) {
					tell(r, "the title in a "+string(c.Type))
				}
			}
			continue
		case "u":
			text = strings.ReplaceAll(text, `"manager":"`+m.id+`"`, "")
		case "p":
			text = ""
		default: // the fence, and records of runs
			text = strings.ReplaceAll(text, `"person":"`+m.id+`"`, "")
		}
		if strings.Contains(text, m.id) {
			tell(r, "the ID")
		}
		if strings.Contains(text, m.title) {
			tell(r, "the title")
		}
	}
	return found
}

// erased checks that nothing of the person is left, that the feed says so once,
// and that everything else is sound.
func (w *house) erased(m marked) {
	w.Helper()
	if found := w.traces(m); len(found) > 0 {
		w.Errorf("after the erasure: %s", strings.Join(found, "\n"))
	}
	told := 0
	for _, c := range w.told(w.conn, 0) {
		if c.Type == directory.Erased && c.ID == m.id {
			told++
		}
	}
	if told != 1 {
		w.Errorf("the feed tells %d times of the erasure", told)
	}
	delete(w.ever, m.id)
	w.sound()
}

// After an erasure nothing of the person is stored, nothing brings them back
// but a human, and the feed still gives what is stored.
func TestErased(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.choose(func(s *connection.Settings) { s.Groups = w.groups[2:] })
	m := w.mark()
	mailbox := directory.MailboxID(m.upn)
	if stored, err := w.store.MailboxRecords(w.ctx, w.conn, []string{mailbox}); err != nil || len(stored) != 1 {
		t.Fatalf("before the erasure the mailbox is %v, %v", stored, err)
	}
	w.ok(w.tenant.Update(m.id, tenant.Fields{"officeLocation": "zqoffice"}))
	m.values = append(m.values, "zqoffice")
	w.asked(job.Preview, "")
	w.byHand(m.id)
	if n := len(w.traces(m)); n < 10 { // else the search finds nothing anyway
		t.Fatalf("before the erasure there are %d traces", n)
	}
	before := w.members(w.groups[0])
	r := w.asked(job.Erase, m.id)
	if r.State != job.Succeeded || r.Person != m.id || len(r.Steps) != 2 || r.Steps[0].Result != "active" || r.Steps[1].Result != "erased" || r.LastChange-r.FirstChange != 2 {
		t.Fatalf("erasure %+v", r) // a change for the person, one for the position
	}
	w.erased(m)
	if after := w.members(w.groups[0]); len(after) != len(before)-1 {
		t.Errorf("members before %v, after %v", before, after)
	}
	if got := w.records()[m.report].Manager; got != m.id {
		t.Errorf("the manager of a report has become %q", got)
	}
	if rows := w.rows("directory", w.preview()); len(rows) != 0 {
		t.Errorf("the preview is still there: %v", slices.Sorted(maps.Keys(rows)))
	}

	// Syncs of all kinds leave them out.
	w.ok(w.tenant.Update(m.id, tenant.Fields{"displayName": "zqdisplay0x2"}))
	m.values = append(m.values, "zqdisplay0x2")
	w.ok(w.tenant.RemoveMember(w.groups[0], m.id))
	w.succeed()
	w.erased(m)
	w.ok(w.tenant.AddMember(w.groups[0], m.id))
	w.succeed()
	w.erased(m)
	w.tenant.Forget()
	if r := w.succeed(); !r.Full {
		t.Error("no full run")
	}
	w.erased(m)
	w.asked(job.Preview, "")
	w.erased(m)

	// Again there is nothing to do.
	last := w.fence().LastChange
	if r := w.asked(job.Erase, m.id); r.State != job.Succeeded || len(r.Steps) != 1 || r.Steps[0].Result != "erased" || w.fence().LastChange != last {
		t.Errorf("second erasure %+v", r)
	}
	w.erased(m)

	// A human brings them back.
	if r := w.byHand(m.id); r.Created != 1 || r.Steps[0].Result != "present" || !strings.Contains(r.Steps[0].Detail, "erased") {
		t.Errorf("by hand: %+v", r)
	}
	w.sound()
	if !slices.Contains(w.members(w.groups[0]), m.id) {
		t.Error("the person is in the team again, and not stored as its member")
	}
	if r := w.succeed(); r.Created+r.Updated+r.Archived != 0 {
		t.Errorf("the next run: %+v", r.Counters)
	}
	if r := w.asked(job.Erase, m.id); r.State != job.Succeeded || len(w.traces(m)) != 0 {
		t.Errorf("erased anew: %+v, %v", r, w.traces(m))
	}
}

// The mailbox of an erased person is not stored when mailboxes are chosen later.
func TestErasedMailbox(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.choose(func(s *connection.Settings) { s.Mailboxes = false })
	m := w.mark()
	_, err := w.store.TrimChanges(w.ctx, w.conn, w.clock.Now().Add(time.Hour)) // the record alone tells the name
	w.ok(err)
	w.asked(job.Erase, m.id)
	w.choose(func(s *connection.Settings) { s.Mailboxes = true })
	if r := w.succeed(); r.Mailboxes.Created == 0 {
		t.Fatal("no mailbox was stored at all")
	}
	if found := w.traces(m); len(found) > 0 {
		t.Errorf("after the erasure: %s", strings.Join(found, "\n"))
	}
}

// Who is not stored can be erased as well: they are not stored later.
func TestErasedBeforeStored(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.succeed()
	id, err := w.tenant.Create(tenant.Fields{"userPrincipalName": "zqnew@" + w.tenant.Domain, "displayName": "zqnew"})
	w.ok(err)
	w.ok(w.tenant.AddMember(w.groups[0], id))
	if r := w.asked(job.Erase, id); r.State != job.Succeeded || r.Steps[0].Result != "notStored" {
		t.Fatalf("erasure %+v", r)
	}
	for range 2 {
		w.succeed()
		if _, ok := w.records()[id]; ok {
			t.Fatal("an erased person was stored")
		}
		w.erased(marked{id: id, title: "no such title"})
		w.tenant.Forget()
	}
}

// What waits of an erased person waits no more, and a plan that held nobody
// else is gone.
func TestErasedWhileHeld(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.engine.Guard = connection.Guard{MaxCount: 1, MaxMemberships: 1}
	w.succeed()
	gone := w.leaves(2)
	r := w.run()
	if r.State != job.Held || r.Plan == nil || r.Plan.Count != 2 || r.Plan.Memberships < 2 {
		t.Fatalf("run %+v", r.Plan)
	}
	held := w.fence()
	for i, id := range gone {
		if r := w.asked(job.Erase, id); r.Steps[0].Result != "active" {
			t.Fatalf("erasure %+v", r)
		}
		listed, err := w.store.Listed(w.ctx, w.conn, directory.HeldPeople, "", 10)
		w.ok(err)
		members := 0
		for _, group := range w.groups {
			for _, m := range w.members(group) {
				if strings.Contains(m, "marked") {
					members++
				}
			}
		}
		f := w.fence()
		if n := 1 - i; f.Held != n || len(listed) != n || f.Stored != held.Stored-i-1 || f.Active != held.Active-i-1 || f.Memberships.Held != members {
			t.Errorf("after %d erasures: %+v, listed %v, memberships %+v, %d marked", i+1, f.Tally, listed, f.Memberships, members)
		}
		if (f.Plan == nil) != (i == 1) {
			t.Errorf("after %d erasures the plan is %+v", i+1, f.Plan)
		}
	}
	w.ever = map[string]bool{}
	if r := w.succeed(); r.Archived != 0 {
		t.Errorf("the next run: %+v", r.Counters)
	}
	w.sound()
}

// Killed before any of its writes, an erasure is the same in the end.
func TestEraseKilled(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 4)
	w.choose(func(s *connection.Settings) { s.Groups = w.groups[2:] })
	for i, m := range w.marks(18) {
		n := i + 1
		if n%3 == 0 {
			w.asked(job.Preview, "")
		}
		small := n == 2 // each slice does one step, and the killed one is the first
		if small {
			w.engine.Budget = -1
		}
		fired := w.killed(n, w.ask(job.Erase, m.id))
		w.engine.Budget = time.Hour
		w.erased(m)
		if !fired && !small {
			if n < 8 { // the start, the mailbox, the feed, the rosters, the scope, the end, the record, the connection
				t.Errorf("an erasure of only %d writes", n-1)
			}
			w.succeed()
			w.erased(m)
			return
		}
	}
	t.Error("an erasure has no end")
}
