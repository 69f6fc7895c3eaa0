package reconcile_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// The requests of a first run that lists people in parallel.
const (
	askChain   = "chain"   // users/delta from the beginning, or from a page's link
	askLatest  = "latest"  // the delta link from now on
	askCatchUp = "catchUp" // users/delta from that link
	askCount   = "count"   // of all, or of a shard
	askShard   = "shard"   // the first page of a shard
	askPage    = "page"    // any other page of a shard
)

// tap is a transport under which lists of people have few on a page, and which
// tells of each request for people before it is sent, with the number of those
// of its kind.
type tap struct {
	mu   sync.Mutex
	n    map[string]int
	each func(kind string, n int)
	// forgets answers as Graph does to a link that it has forgotten.
	forgets func(kind string, n int) bool
	// change is what becomes of the pages of a catch-up, nil for nothing.
	change func(page map[string]any)
	// names are the shards whose first pages were asked for.
	names []string
}

func askedFor(req *http.Request) string {
	q := req.URL.Query()
	switch path := req.URL.Path; {
	case strings.HasSuffix(path, "/users/$count"):
		return askCount
	case strings.HasSuffix(path, "/users/delta") && q.Get("$deltatoken") == "latest":
		return askLatest
	case strings.HasSuffix(path, "/users/delta") && q.Has("$deltatoken"):
		return askCatchUp
	case strings.HasSuffix(path, "/users/delta"):
		return askChain
	case strings.HasSuffix(path, "/users") && strings.HasPrefix(q.Get("$filter"), "startswith") && q.Has("$skiptoken"):
		return askPage
	case strings.HasSuffix(path, "/users") && strings.HasPrefix(q.Get("$filter"), "startswith"):
		return askShard
	}
	return ""
}

func (p *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	kind := askedFor(req)
	if kind == "" {
		return wires.Transport.RoundTrip(req)
	}
	p.mu.Lock()
	p.n[kind]++
	if kind == askShard {
		p.names = append(p.names, req.URL.Query().Get("$filter"))
	}
	if p.each != nil {
		p.each(kind, p.n[kind])
	}
	forgotten := p.forgets != nil && p.forgets(kind, p.n[kind])
	p.mu.Unlock()
	if forgotten {
		const body = `{"error":{"code":"Directory_ExpiredPageToken","message":"The specified page token value has expired."}}`
		return &http.Response{
			StatusCode: http.StatusBadRequest, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	}
	req = req.Clone(req.Context())
	req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "top=999", "top=5", 1)
	if p.change != nil && (kind == askCatchUp || kind == askChain && req.URL.Query().Has("$skiptoken")) {
		return edits{wires.Transport, "/users/delta", p.change}.RoundTrip(req)
	}
	return wires.Transport.RoundTrip(req)
}

// taps makes the world's worker list people in parallel, five a page.
func (w *world) taps(t *testing.T, lanes int) *tap {
	t.Helper()
	p := &tap{n: make(map[string]int)}
	w.engine = w.newEngine(t, p)
	w.engine.Lanes = lanes
	return p
}

// listed checks that the run listed people, and followed no chain.
func (w *world) listed(r job.Run) {
	w.Helper()
	if f := w.fence(); r.Why != "first run" || !f.People.Sharded || f.People.Chain {
		w.Errorf("people were not listed to the end: %s, %+v", r.Why, f.People)
	}
}

// manyA are names of which most begin alike, so that shards are split.
func manyA(i int) string { return fmt.Sprintf("%s%c%d", []string{"a", "a", "a", "s"}[i%4], 'a'+i%7, i) }

// A shard whose next page Microsoft has forgotten is begun anew, as often as
// that happens; it makes nobody come twice, and the list is still believed.
func TestListLinkForgotten(t *testing.T) {
	t.Parallel()
	for _, times := range []int{1, 6} {
		for _, guests := range []bool{true, false} {
			t.Run(fmt.Sprint(times, " guests ", guests), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 80)
				w.spread(manyA)
				w.choose(func(s *connection.Settings) { s.Guests = guests })
				for i, p := range w.tenant.People() {
					if i%2 == 0 {
						w.ok(w.tenant.Update(p.ID, fields("userType", "Guest")))
					}
				}
				p := w.taps(t, 3)
				left := times
				p.forgets = func(kind string, n int) bool {
					if kind != askPage || n%3 != 0 || left == 0 {
						return false
					}
					left--
					return true
				}
				r := w.succeed()
				if left != 0 || r.Updated != 0 {
					t.Errorf("%d links are left to be forgotten, %d updated", left, r.Updated)
				}
				w.listed(r)
				w.settled()
			})
		}
	}
}

// Where Microsoft forgets the same shard's place each time, the chain is followed.
func TestListNeverRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.spread(manyA)
	forgotten := 0
	w.taps(t, 3).forgets = func(kind string, n int) bool {
		if kind == askPage {
			forgotten++
		}
		return kind == askPage
	}
	r := w.succeed()
	if f := w.fence(); forgotten < 8 || f.People.Sharded || !r.Full || r.Created != 60 {
		t.Errorf("%d times forgotten, %d created, cursor %+v", forgotten, r.Created, f.People)
	}
	w.settled()
}

// The delta link from before the list may be forgotten when it is followed:
// then the chain is, with the search for the missing.
func TestListCatchUpForgotten(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Expired, fault.Resync} {
		for _, times := range []int{1, 3} {
			t.Run(fmt.Sprint(kind, times), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 50)
				w.spread(fewLetters)
				p := w.taps(t, 3)
				gone := w.tenant.People()[7].ID
				p.each = func(kind string, n int) {
					if kind == askCatchUp && n == 1 {
						w.ok(w.tenant.Purge(gone))
					}
				}
				wires.Fault(t, w.tenant, fault.Fault{Kind: kind, Path: fault.UsersDelta, Count: times})
				r := w.succeed()
				if f := w.fence(); r.Created != 50 || r.Archived != 1 || f.People.Sharded || f.People.FullAt.IsZero() {
					t.Errorf("run %+v, cursor %+v", r.Counters, f.People)
				}
				w.settled()
				if r := w.succeed(); r.Full {
					t.Errorf("the next run is full: %s", r.Why)
				}
			})
		}
	}
}

// What has happened to people since the link from before the list is in the
// catch-up, in however many slices that is.
func TestListCatchesUp(t *testing.T) {
	t.Parallel()
	for _, slices := range []bool{false, true} {
		t.Run(fmt.Sprint("slices ", slices), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 60)
			w.spread(fewLetters)
			w.choose(func(s *connection.Settings) { s.Disabled = false })
			ps := w.tenant.People()
			boss := ps[50].ID
			for _, p := range ps {
				f := tenant.Fields{"accountEnabled": true}
				if p.ID != boss {
					f["manager"] = boss
				}
				w.ok(w.tenant.Update(p.ID, f))
			}
			p := w.taps(t, 3)
			if slices {
				w.engine.Budget = -1
			}
			began, caught := false, false
			var born string
			p.each = func(kind string, n int) {
				switch {
				case kind == askShard && !began: // nobody is listed yet
					began = true
					w.ok(w.tenant.Remove(boss)) // so everybody is listed without
					for _, p := range ps[:20] {
						w.ok(w.tenant.Update(p.ID, fields("jobTitle", "Told again")))
					}
				case kind == askCatchUp && !caught: // all are listed
					caught = true
					w.ok(w.tenant.Restore(boss))
					w.ok(w.tenant.Remove(ps[3].ID))  // listed, gone
					w.ok(w.tenant.Purge(ps[4].ID))   // for good
					w.ok(w.tenant.Remove(ps[5].ID))  // and
					w.ok(w.tenant.Restore(ps[5].ID)) // back
					w.ok(w.tenant.Update(ps[6].ID, fields("accountEnabled", false)))
					w.ok(w.tenant.Update(ps[7].ID, fields("userPrincipalName", "zzz@"+w.tenant.Domain)))
					var err error
					born, err = w.tenant.Create(tenant.Fields{"userPrincipalName": "new@" + w.tenant.Domain, "displayName": "New", "accountEnabled": true})
					w.ok(err)
				}
			}
			r := w.succeed()
			w.listed(r)
			w.settled()
			// A slice may end before it has written the last page, of which the
			// next one then lists those who are left.
			if !caught || born == "" || r.Archived > 3 || r.Archived < 3 && !slices {
				t.Errorf("caught up %v, %d archived", caught, r.Archived)
			}
			p.each = nil
			w.succeed()
			w.settled()
		})
	}
}

// Who moves from a shard that is still to be listed to one that was is never
// listed, and comes when catching up: with the manager, of whom that does not
// tell, since nothing changed.
func TestListMissesSomebody(t *testing.T) {
	t.Parallel()
	for _, slices := range []bool{false, true} {
		t.Run(fmt.Sprint("slices ", slices), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 40)
			w.spread(func(i int) string { return fmt.Sprintf("%s%d", []string{"s", "q"}[i/39], i) })
			ps := w.tenant.People()
			mover := ps[39].ID
			w.ok(w.tenant.Update(mover, fields("manager", ps[0].ID)))
			p := w.taps(t, 1) // so that the shards come one by one
			if slices {
				w.engine.Budget = -1
			}
			moved := false
			p.each = func(kind string, n int) {
				if name := p.names[max(len(p.names)-1, 0):]; kind == askShard && strings.Contains(name[0], "'q'") && !moved {
					moved = true
					w.ok(w.tenant.Update(mover, fields("userPrincipalName", "m0@"+w.tenant.Domain)))
				}
			}
			r := w.succeed()
			w.listed(r)
			if w.settled(); !moved || r.Created != 40 {
				t.Errorf("moved %v, %d created", moved, r.Created)
			}
		})
	}
}

// A manager who was gone while people were listed, and of whose return
// Microsoft does not tell with those who report to them, is asked for, in
// whatever slice that is noticed.
func TestListLosesManager(t *testing.T) {
	t.Parallel()
	for _, slices := range []bool{false, true} {
		t.Run(fmt.Sprint("slices ", slices), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 40)
			ps := w.tenant.People()
			boss := ps[30].ID
			w.ok(w.tenant.Update(ps[3].ID, fields("manager", boss)))
			p := w.taps(t, 2)
			p.change = func(m map[string]any) {
				for _, v := range m["value"].([]any) {
					delete(v.(map[string]any), "manager@delta")
				}
			}
			if slices {
				w.engine.Budget = -1
			}
			began, caught := false, false
			p.each = func(kind string, n int) {
				switch {
				case kind == askShard && !began: // nobody is listed yet
					began = true
					for i := 25; i >= 3; i-- { // who is told of last is on another page
						w.ok(w.tenant.Update(ps[i].ID, fields("jobTitle", "Told again")))
					}
					w.ok(w.tenant.Remove(boss))
				case kind == askCatchUp && !caught: // all are listed
					caught = true
					w.ok(w.tenant.Restore(boss))
				}
			}
			w.listed(w.succeed())
			if got := w.records()[ps[3].ID].Manager; got != boss {
				t.Errorf("manager %q, want %s", got, boss)
			}
		})
	}
}

// Somebody whom the first run has stored, and whom the settings do not want any
// more when a later page of it tells of them again, is archived.
func TestFirstRunTellsTwice(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{askChain, askCatchUp} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 210)
			w.choose(func(s *connection.Settings) { s.Disabled = false })
			for _, p := range w.tenant.People() {
				w.ok(w.tenant.Update(p.ID, fields("accountEnabled", true)))
			}
			p := w.taps(t, 3)
			first, pages := w.tenant.People()[0].ID, 0
			if kind == askChain {
				w.engine.Lanes = 0
			}
			p.each = func(k string, n int) {
				if k == kind && n == 1 || k == askChain && pages > 0 {
					pages++
				}
				tell := func() {
					for _, p := range w.tenant.People()[:180] {
						w.ok(w.tenant.Update(p.ID, fields("jobTitle", fmt.Sprint("Told on ", pages))))
					}
				}
				switch {
				case kind == askCatchUp && k == kind && n == 1:
					tell()
					w.clock.Advance(2 * time.Hour) // so that a later slice catches up
				case kind == askCatchUp && k == askChain && pages == 5: // in a slice that has read the index
					var err error
					first, err = w.tenant.Create(tenant.Fields{"userPrincipalName": "new@" + w.tenant.Domain, "displayName": "New", "accountEnabled": true})
					w.ok(err)
					tell()
				case k == askChain && pages == 19: // ten a page: the first hundred are stored
					w.ok(w.tenant.Update(first, fields("accountEnabled", false)))
				}
			}
			w.ok(w.engine.Sync(w.ctx, w.job(job.Schedule, "")))
			w.quiet(w.engine.Sync)
			if pages < 20 {
				t.Errorf("%d pages", pages)
			}
			w.settled()
		})
	}
}

// A list is believed however it is cut: what the settings leave out is counted
// once, although it is stored nowhere.
func TestListBelievedInSlices(t *testing.T) {
	t.Parallel()
	for n := 0; n < 12; n += 4 {
		t.Run(fmt.Sprint("killed ", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 120)
			w.spread(func(i int) string { return fmt.Sprintf("%c%d", 'a'+i%3, i) })
			w.choose(func(s *connection.Settings) { s.Guests = false })
			for i, p := range w.tenant.People() {
				if i%2 == 0 {
					w.ok(w.tenant.Update(p.ID, fields("userType", "Guest")))
				}
			}
			p := w.taps(t, 2)
			if n == 0 {
				w.engine.Budget = -1
				r := w.succeed()
				w.listed(r)
			} else {
				j := w.job(job.Schedule, "")
				w.killed(n, j)
				w.listed(w.record(j.Run))
			}
			if p.n[askCount] < 2 {
				t.Errorf("requests %v: no shard was looked at", p.n)
			}
			w.settled()
		})
	}
}
