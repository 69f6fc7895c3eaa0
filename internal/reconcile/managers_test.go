package reconcile_test

import (
	"bytes"
	"io"
	"net/http"
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

// forgetful is a transport on which the delta never mentions managers, as in
// some tenants, and lists of users come ten at a time. The page link of the
// request named by expired, from 1, is refused, with all after it if that is
// negative.
type forgetful struct {
	lists   atomic.Int32
	expired int32
}

func (f *forgetful) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/users") || !strings.Contains(req.URL.RawQuery, "expand") {
		return edits{wires.Transport, "/users/delta", func(m map[string]any) {
			for _, v := range m["value"].([]any) {
				delete(v.(map[string]any), "manager@delta")
			}
		}}.RoundTrip(req)
	}
	n := f.lists.Add(1)
	if q := req.URL.Query(); q.Has("$skiptoken") && (n == f.expired || -n <= f.expired && f.expired < 0) {
		body := []byte(`{"error":{"code":"Directory_ExpiredPageToken","message":"x"}}`)
		return &http.Response{
			StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	}
	req = req.Clone(req.Context())
	req.URL.RawQuery = strings.ReplaceAll(req.URL.RawQuery, "top=999", "top=10")
	return wires.Transport.RoundTrip(req)
}

// swept reports whether the run has compared all reporting lines.
func swept(r job.Run) bool {
	for _, p := range r.Phases {
		if p.Name == "managers" {
			return true
		}
	}
	return false
}

// lines gives people managers, some of whom report to themselves, to each
// other, or to nobody who is stored.
func (w *world) lines() {
	w.Helper()
	people := w.tenant.People()
	for i, to := range map[int]int{0: 0, 1: 2, 2: 1, 3: 4, 4: 5, 5: 3, 6: 0, 7: 11, 12: 2} {
		w.ok(w.tenant.Update(people[i].ID, tenant.Fields{"manager": people[to].ID}))
	}
	w.ok(w.tenant.Update(people[13].ID, tenant.Fields{"manager": nil}))
}

// week lets the connection sync every other day for a week.
func (w *world) week() (sweeps int) {
	w.Helper()
	for range 4 {
		w.clock.Advance(49 * time.Hour)
		if swept(w.succeed()) {
			sweeps++
		}
	}
	return sweeps
}

// Managers whom the delta does not mention are put right within a week, and
// reporting lines are stored as they are: with cycles, and with managers who
// are not stored.
func TestManagersAreRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	if swept(w.succeed()) {
		t.Error("the first run sweeps")
	}
	w.settled()
	f := &forgetful{}
	w.engine = w.newEngine(t, f)
	w.lines()
	if swept(w.succeed()) {
		t.Error("a sweep on the first day")
	}
	if n := w.week(); n != 1 {
		t.Errorf("%d sweeps in eight days", n)
	}
	w.settled()
	if n := f.lists.Load(); n != 3 {
		t.Errorf("%d pages of 25 people", n)
	}
	w.choose(func(s *connection.Settings) { s.ReportingLines = false })
	if w.week(); f.lists.Load() != 3 {
		t.Error("managers are asked for though they are not wanted")
	}
}

// A manager who is not among those whom the settings choose is named all the
// same; whoever is not stored does not become so by a sweep.
func TestManagersOutOfScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.choose(func(s *connection.Settings) { s.Disabled = false })
	people := w.tenant.People()
	w.ok(w.tenant.Update(people[3].ID, fields("accountEnabled", false)))
	w.ok(w.tenant.Update(people[4].ID, fields("accountEnabled", true)))
	w.succeed()
	before := len(w.stored())
	w.engine = w.newEngine(t, &forgetful{})
	w.ok(w.tenant.Update(people[4].ID, fields("manager", people[3].ID)))
	if n := w.week(); n != 1 {
		t.Errorf("%d sweeps in eight days", n)
	}
	stored := w.sound()
	if m := stored[people[4].ID].Properties["manager"]; m != people[3].ID || len(stored) != before {
		t.Errorf("manager %v, want %s; %d stored, %d before", m, people[3].ID, len(stored), before)
	}
}

// A sweep cut into slices, killed before any write, or whose page links are
// forgotten ends like an undisturbed one.
func TestManagerSweepInterrupted(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	overdue := func(t *testing.T, f *forgetful) *world {
		w := l.world(t, t, 25)
		w.succeed()
		w.engine = w.newEngine(t, f)
		w.lines()
		for range 3 {
			w.clock.Advance(50 * time.Hour)
			w.succeed()
		}
		w.clock.Advance(50 * time.Hour)
		return w
	}
	for _, c := range []struct {
		name    string
		expired int32
		budget  time.Duration
		lists   int32 // three pages, and those before the one that is refused, and that
	}{
		{"slices", 0, -1, 3},
		{"expired once", 3, time.Hour, 3 + 3},
		{"expired in slices", 3, -1, 3 + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &forgetful{expired: c.expired}
			w := overdue(t, f)
			w.engine.Budget = c.budget
			if r := w.succeed(); !swept(r) || r.Updated == 0 || f.lists.Load() != c.lists {
				t.Errorf("swept %v, %d updated, %d lists, want %d", swept(r), r.Updated, f.lists.Load(), c.lists)
			}
			w.settled()
		})
	}
	t.Run("expired for good", func(t *testing.T) {
		f := &forgetful{expired: -1}
		w := overdue(t, f)
		w.send(job.Schedule)
		for range 5 {
			w.step(w.engine.Sync)
		}
		if r := w.fence().Run; r.State != job.Waiting || f.lists.Load() > 20 {
			t.Errorf("run %s after %d lists", r.State, f.lists.Load())
		}
		f.expired = 0
		w.quiet(w.engine.Sync)
		w.settled()
	})
	t.Run("killed", func(t *testing.T) {
		for n := 1; ; n++ {
			w := overdue(t, &forgetful{})
			fired := w.killed(n, w.job(job.Schedule, ""))
			w.settled()
			if !fired {
				if n < 4 {
					t.Errorf("only %d writes", n-1)
				}
				return
			}
		}
	})
}

// A missing permission leaves reporting lines as they are, and says so.
func TestManagersForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	w.engine = w.newEngine(t, &forgetful{})
	w.lines()
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.Users, Count: 2})
	for range 4 {
		w.clock.Advance(49 * time.Hour)
		if r := w.succeed(); swept(r) {
			if s := skipped(r, "reportingLines"); s.Code == "" || s.Message == "" || s.Remedy == "" {
				t.Errorf("skipped %+v", r.Skipped)
			}
		}
	}
	fired()
	w.week()
	w.settled()
}

// titles is the number of active people by title, read without our code.
func titles(people []tenant.Person) map[string]int {
	n := map[string]int{}
	for _, p := range people {
		if t := strings.ToLower(strings.Join(strings.Fields(p.JobTitle), " ")); t != "" {
			n[t]++
		}
	}
	return n
}

// positioned checks that the stored positions are a recount of the people at
// Microsoft, and that the feed tells of them.
func (w *world) positioned() {
	w.Helper()
	want, told := titles(w.tenant.People()), w.toldOf("position")
	ps, next, err := w.store.Positions(w.ctx, w.conn, "", 1000)
	w.ok(err)
	active, lives := 0, map[string]directory.Life{}
	for _, p := range ps {
		lives[p.ID] = p.Life
		title := strings.ToLower(p.Title)
		if p.People != want[title] || p.Active() != (want[title] > 0) || (told[p.ID] != nil) != p.Active() {
			w.Errorf("position %q: %d people, active %v, told %v; want %d", p.Title, p.People, p.Active(), told[p.ID], want[title])
		}
		if p.Active() {
			active++
			if told[p.ID]["title"] != p.Title {
				w.Errorf("position %q is told as %v", p.Title, told[p.ID])
			}
		}
	}
	w.dated("position", lives)
	if f := w.fence(); active != len(want) || next != "" || f.Positions.Through != f.LastChange || f.Positions.To != 0 {
		w.Errorf("%d positions, want %d; fold %+v of %d changes", active, len(want), f.Positions, f.LastChange)
	}
}

// Positions follow the people through every kind of run.
func TestPositions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.engine.Budget = -1
	if r := w.succeed(); r.Positions.Created != len(titles(w.tenant.People())) || r.Positions.Created < 3 {
		t.Errorf("first run counted %+v", r.Positions)
	}
	w.positioned()
	w.engine.Budget = time.Hour
	if r := w.succeed(); r.Positions != (job.KindCounters{}) {
		t.Errorf("nothing has changed, counted %+v", r.Positions)
	}
	people := w.tenant.People()
	w.ok(w.tenant.Update(people[0].ID, fields("jobTitle", "Ringmaster")))
	w.ok(w.tenant.Update(people[1].ID, fields("jobTitle", " ringMaster ")))
	w.ok(w.tenant.Update(people[2].ID, fields("jobTitle", nil)))
	r := w.succeed()
	w.positioned()
	if r.Positions.Created != 1 {
		t.Errorf("two ringmasters, counted %+v", r.Positions)
	}
	w.ok(w.tenant.Remove(people[0].ID))
	w.succeed()
	w.positioned()
	w.ok(w.tenant.Update(people[1].ID, fields("displayName", "Other")))
	w.ok(w.tenant.Remove(people[1].ID))
	if r := w.succeed(); r.Positions.Archived < 1 {
		t.Errorf("no ringmaster left, counted %+v", r.Positions)
	}
	w.positioned()
	w.ok(w.tenant.Restore(people[0].ID))
	if r := w.succeed(); r.Positions.Reactivated != 1 {
		t.Errorf("a ringmaster is back, counted %+v", r.Positions)
	}
	w.positioned()
	w.choose(func(s *connection.Settings) { s.Positions = false })
	w.succeed()
	if told := w.toldOf("position"); len(told) != 0 {
		t.Errorf("positions are off, told are %v", told)
	}
	w.choose(func(s *connection.Settings) { s.Positions = true })
	w.succeed()
	w.positioned()
	w.settled()
}

// Killed before any write, the positions are those of the people.
func TestPositionsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.succeed()
	for n := 1; ; n++ {
		_, err := w.tenant.Apply(tenant.Bulk{Seed: uint64(n), Edit: 12, Remove: 2, Create: 2})
		w.ok(err)
		fired := w.killed(n, w.job(job.Schedule, ""))
		w.positioned()
		if !fired {
			if n < 5 {
				t.Errorf("only %d writes", n-1)
			}
			return
		}
	}
}

// Whoever comes in for the first time by a change of something else is stored
// with their manager, of whom such a change tells nothing.
func TestManagerOfWhoComesIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		choose         func(s *connection.Settings)
		before, change tenant.Fields
	}{
		"enabled": {func(s *connection.Settings) { s.Disabled = false }, fields("accountEnabled", false), fields("accountEnabled", true)},
		"member":  {func(s *connection.Settings) { s.Guests = false }, fields("userType", "Guest"), fields("userType", "Member")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 12)
			w.choose(c.choose)
			people := w.tenant.People()
			for _, who := range []int{3, 4} {
				w.ok(w.tenant.Update(people[who].ID, c.before))
			}
			w.ok(w.tenant.Update(people[3].ID, fields("manager", people[0].ID)))
			w.ok(w.tenant.Update(people[4].ID, fields("manager", nil)))
			w.succeed()
			if stored := w.records(); stored[people[3].ID].ID != "" || stored[people[4].ID].ID != "" {
				t.Fatal("they are stored from the beginning")
			}
			for _, who := range []int{3, 4} {
				w.ok(w.tenant.Update(people[who].ID, c.change))
			}
			if r := w.succeed(); r.Created != 2 || r.Full || r.GraphCalls != 3 { // changes, managers, and what is licensed
				t.Errorf("%d created, full %v, %d calls", r.Created, r.Full, r.GraphCalls)
			}
			stored := w.records()
			if got, none := stored[people[3].ID].Manager, stored[people[4].ID].Manager; got != people[0].ID || none != "" {
				t.Errorf("they report to %q and %q, want %q and nobody", got, none, people[0].ID)
			}
			w.settled()
		})
	}
}

// Whoever was purged by age is a stranger when they are restored, and Graph may
// tell nothing of their manager, though the settings leave nobody out.
func TestManagerOfWhoWasPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	w.engine = w.newEngine(t, edits{wires.Transport, "/users/delta", func(m map[string]any) {
		if w.begin < 4 {
			return
		}
		for _, item := range m["value"].([]any) {
			delete(item.(map[string]any), "manager@delta")
		}
	}})
	w.engine.ArchivedMaxAge = time.Hour
	people := w.tenant.People()
	who, boss := people[3].ID, people[0].ID
	w.ok(w.tenant.Update(who, fields("manager", boss)))
	w.succeed()
	w.ok(w.tenant.Remove(who))
	w.succeed()
	w.clock.Advance(25 * time.Hour)
	if r := w.succeed(); r.Purged != 1 {
		t.Fatalf("%d purged", r.Purged)
	}
	w.ok(w.tenant.Restore(who))
	if r := w.succeed(); r.Created != 1 || r.Full {
		t.Errorf("%d created, full %v", r.Created, r.Full)
	}
	if got := w.records()[who].Manager; got != boss {
		t.Errorf("they report to %q, want %q", got, boss)
	}
	w.settled()
}
