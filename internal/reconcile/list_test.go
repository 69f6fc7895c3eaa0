package reconcile_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// lister is a transport under which lists of people have small pages, and
// which tells of each page before it is asked for.
type lister struct {
	next http.RoundTripper
	mu   sync.Mutex
	n    int
	each func(n int)
	// refuses answers as Graph does to a query that it does not support.
	refuses bool
}

func (l *lister) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/users") && strings.Contains(req.URL.RawQuery, "startswith") {
		l.mu.Lock()
		l.n++
		if l.each != nil {
			l.each(l.n)
		}
		l.mu.Unlock()
		if l.refuses {
			const body = `{"error":{"code":"Request_UnsupportedQuery","message":"Unsupported query."}}`
			return &http.Response{
				StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
				Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			}, nil
		}
		req = req.Clone(req.Context())
		req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "top=999", "top=5", 1)
	}
	return l.next.RoundTrip(req)
}

// lists makes the world's worker list people in parallel, five a page.
func (w *world) lists(t *testing.T, lanes int) *lister {
	t.Helper()
	l := &lister{next: wires.Transport}
	w.engine = w.newEngine(t, l)
	w.engine.Lanes = lanes
	return l
}

// spread gives people names that begin with few letters, so that there are
// shards of many pages and shards of none.
func (w *world) spread(name func(i int) string) {
	for i, p := range w.tenant.People() {
		w.ok(w.tenant.Update(p.ID, fields("userPrincipalName", name(i)+"@"+w.tenant.Domain)))
	}
}

func fewLetters(i int) string {
	return fmt.Sprintf("%s%d", []string{"a", "sa", "O'", "_x", "9"}[i%5], i)
}

// Listed in parallel, a tenant is stored as it is, in fewer calls than there
// are pages of a chain; the next run follows a chain, and finds nothing new.
func TestListed(t *testing.T) {
	t.Parallel()
	for name, names := range map[string]func(int) string{
		"few letters":   fewLetters,
		"one letter":    func(i int) string { return fmt.Sprintf("a%c%d", 'a'+i%26, i) },
		"one long name": func(i int) string { return fmt.Sprintf("employee%d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 90)
			w.spread(names)
			l := w.lists(t, 4)
			r := w.succeed()
			if r.Created != 90 || r.Updated != 0 || !r.Full || l.n < 90/5 {
				t.Errorf("first run: %d created, %d updated, full %v, %d pages", r.Created, r.Updated, r.Full, l.n)
			}
			w.settled()
			before := l.n
			r = w.succeed()
			if !r.Full || r.Why != "the first run listed people in parallel" || r.Unchanged != 90 || l.n != before {
				t.Errorf("second run: full %v, %s, %d unchanged, %d pages listed", r.Full, r.Why, r.Unchanged, l.n-before)
			}
			w.settled()
			if r = w.succeed(); r.Full || r.GraphCalls > 2 {
				t.Errorf("third run: full %v, %d calls", r.Full, r.GraphCalls)
			}
		})
	}
}

// A tenant that is small, or that Microsoft does not list so, is read page by
// page from the page that is there already.
func TestNotListed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		people int
		fault  fault.Fault
	}{
		{"small", 15, fault.Fault{}},
		{"count is refused", 40, fault.Fault{Kind: fault.Forbidden, Path: fault.UsersCount, Count: 9}},
		{"list is refused", 40, fault.Fault{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.people)
			l := w.lists(t, 3)
			l.refuses = c.name == "list is refused"
			if c.fault.Kind != "" {
				wires.Fault(t, w.tenant, c.fault)
			}
			if r := w.succeed(); r.Created != c.people || !r.Full {
				t.Errorf("%d created, full %v", r.Created, r.Full)
			}
			if !l.refuses && l.n != 0 {
				t.Errorf("%d pages listed", l.n)
			}
			w.settled()
			if r := w.succeed(); r.Full || r.GraphCalls > 3 {
				t.Errorf("second run: full %v, %d calls", r.Full, r.GraphCalls)
			}
		})
	}
}

// A list from which people are missing that Microsoft has counted is not
// believed: the chain is followed, in the same run.
func TestListNotWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.spread(func(i int) string {
		if i%3 == 0 {
			return fmt.Sprintf("Ωmega%d", i) // no letter that names may begin with
		}
		return fmt.Sprintf("u%d", i)
	})
	w.lists(t, 3)
	if r := w.succeed(); r.Created != 60 || r.Why != "people cannot be listed in parallel" {
		t.Errorf("%d created, %s", r.Created, r.Why)
	}
	w.settled()
}

// Cut into slices of one page each, the list comes to the same end.
func TestListInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.spread(fewLetters)
	w.lists(t, 3)
	w.engine.Budget = -1
	if r := w.succeed(); r.Created != 60 || r.Slices < 60/5 || r.Full && r.Why != "first run" {
		t.Errorf("%d created in %d slices, %s", r.Created, r.Slices, r.Why)
	}
	w.settled()
}

// People come, change, go and return while they are listed, and requests fail:
// the end of the run is what Microsoft holds then, as a chain would have it.
func TestListWhileChanging(t *testing.T) {
	t.Parallel()
	line := newLine(t)
	rapid.Check(t, func(rt *rapid.T) {
		w := line.world(t, rt, rapid.IntRange(20, 70).Draw(rt, "people"))
		if rapid.Bool().Draw(rt, "few letters") {
			w.spread(fewLetters)
		}
		l := w.lists(t, rapid.IntRange(1, 8).Draw(rt, "lanes"))
		if rapid.Bool().Draw(rt, "slices") {
			w.engine.Budget = -1
		}
		at := make(map[int][]string)
		for range rapid.IntRange(0, 12).Draw(rt, "edits") {
			n := rapid.IntRange(1, 30).Draw(rt, "at")
			at[n] = append(at[n], rapid.SampledFrom([]string{"create", "title", "rename", "remove", "purge", "restore", "manager"}).Draw(rt, "edit"))
		}
		seed := rapid.IntRange(0, 1000).Draw(rt, "seed")
		l.each = func(n int) {
			for i, kind := range at[n] {
				w.listEdit(kind, seed+7*n+i)
			}
		}
		if rapid.IntRange(0, 2).Draw(rt, "broken") == 0 {
			f := drawFault(rt)
			f.Path = rapid.SampledFrom([]string{fault.Users, fault.UsersCount, fault.UsersDelta}).Draw(rt, "path")
			switch f.Kind {
			case fault.Throttle, fault.Error, fault.Cut, fault.CutChunked, fault.Replay, fault.Expired, fault.Resync:
				wires.Fault(t, w.tenant, f)
			}
		}
		w.succeed()
		w.settled()
		l.each = nil
		w.succeed()
		w.settled()
	})
}

// listEdit makes one change at Microsoft.
func (w *world) listEdit(kind string, n int) {
	people, gone := w.tenant.People(), w.tenant.Deleted()
	pick := func(ps []tenant.Person) string { return ps[n%len(ps)].ID }
	switch {
	case kind == "create":
		_, err := w.tenant.Create(tenant.Fields{"userPrincipalName": fmt.Sprintf("%c%d@%s", 'a'+n%26, n, w.tenant.Domain), "displayName": "New"})
		_ = err // or the name is taken
	case kind == "restore" && len(gone) > 0:
		w.ok(w.tenant.Restore(pick(gone)))
	case len(people) < 2:
	case kind == "title":
		w.ok(w.tenant.Update(pick(people), fields("jobTitle", fmt.Sprint("Title ", n%5))))
	case kind == "rename": // into another shard
		_ = w.tenant.Update(pick(people), fields("userPrincipalName", fmt.Sprintf("%c%d@%s", 'z'-n%26, n, w.tenant.Domain)))
	case kind == "manager":
		w.ok(w.tenant.Update(pick(people), fields("manager", people[(n+1)%len(people)].ID)))
	case kind == "remove":
		w.leave(pick(people), w.tenant.Remove)
	case kind == "purge":
		w.leave(pick(people), w.tenant.Purge)
	}
}

// A worker that dies before any write of a list loses nothing.
func TestListKilled(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for n := 2; ; n++ {
		w := l.world(t, t, 45)
		w.choose(func(s *connection.Settings) { s.Licenses, s.Positions = false, false })
		w.spread(fewLetters)
		w.lists(t, 2)
		fired := w.killed(n, w.job(job.Schedule, ""))
		w.settled()
		if !fired {
			if n < 5 { // open, begin, people, end
				t.Errorf("a list of only %d writes", n-1)
			}
			break
		}
	}
}
