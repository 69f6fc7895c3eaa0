package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/host"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// together runs the cases eight at a time, however few processors there are:
// they wait more than they work.
func together[C any](t *testing.T, cases map[string]C, f func(t *testing.T, name string, c C)) {
	t.Helper()
	var all sync.WaitGroup
	turns := make(chan struct{}, 8)
	for name, c := range cases {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			t.Run(name, func(t *testing.T) { f(t, name, c) })
		})
	}
	all.Wait()
}

// syncNow asks for a sync, as often as the cooldown refuses.
func syncNow(t *testing.T, s *sandbox.Sandbox, c customer) {
	t.Helper()
	if err := sandbox.Await(within(t, 20*time.Second), "a sync by hand", func() (bool, error) {
		a, err := s.Call(t.Context(), "POST", c.path("/sync"), nil, nil)
		if err == nil && a.Status != 202 && a.Status != 429 {
			err = fmt.Errorf("status %d: %s", a.Status, a.Body)
		}
		return a.Status == 202, err
	}); err != nil {
		t.Fatal(err)
	}
}

// arm lets something go wrong in the customer's tenant. The returned function
// ends it and fails unless it happened.
func (c customer) arm(t *testing.T, s *sandbox.Sandbox, fs ...fault.Fault) (disarm func()) {
	t.Helper()
	ids := make([]int, len(fs))
	for i, f := range fs {
		var err error
		if f.Tenant = c.tenant.ID; f.Path == "" {
			f.Path = fault.UsersDelta
		}
		if ids[i], err = s.Microsoft.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		for i, id := range ids {
			if s.Microsoft.ClearFault(id); s.Microsoft.Fired(id) == 0 {
				t.Errorf("the fault %+v never fired", fs[i])
			}
		}
	}
}

// took is how long a run was open.
func (c customer) took(t *testing.T, s *sandbox.Sandbox, r run) time.Duration {
	t.Helper()
	var times struct{ Began, Ended time.Time }
	if _, err := s.Call(t.Context(), "GET", c.path("/runs/"+r.ID), nil, &times); err != nil {
		t.Fatal(err)
	}
	return times.Ended.Sub(times.Began)
}

// day is a day's changes in a tenant: on more than one page of 20, with leavers.
func (c customer) day(t *testing.T) tenant.Done {
	t.Helper()
	done, err := c.tenant.Apply(tenant.Bulk{Seed: 9, Edit: 30, Remove: 7, Restore: 2, Create: 6})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// left checks that the last run archived those who left, each once, and
// nobody else; what was restored at once never shows.
func left(t *testing.T, s *sandbox.Sandbox, c customer, r run, done tenant.Done) {
	t.Helper()
	check(t, s, c)
	people, err := s.People(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, id := range done.Removed {
		want[id] = true
	}
	for _, id := range done.Restored {
		delete(want, id)
	}
	for id := range want {
		if p, ok := people[id]; !ok || p.Active {
			t.Errorf("%s left and is active: %v", id, ok)
		}
	}
	for id, p := range people {
		if !p.Active && !want[id] {
			t.Errorf("%s is archived and never left", id)
		}
	}
	if r.Counters.Archived != len(want) || r.Counters.Created != len(done.Created) {
		t.Errorf("run %+v, want %d archived and %d created", r, len(want), len(done.Created))
	}
}

// The handler understands the host in each of the ways in which it may
// behave, and every message that comes twice.
func TestHostModes(t *testing.T) {
	t.Parallel()
	type mode struct {
		text    bool // the queue's message as text, not as bytes
		quoting host.Quoting
		empty   host.EmptyBody
	}
	together(t, map[string]mode{
		"text, quoted twice":  {true, host.QuotingDouble, host.EmptyBodySucceed},
		"text, quoted once":   {true, host.QuotingSingle, host.EmptyBodyHang},
		"bytes, empty counts": {false, host.QuotingSingle, host.EmptyBodySucceed},
	}, func(t *testing.T, _ string, m mode) {
		from := dist
		if m.text {
			from = filepath.Join(t.TempDir(), "dist")
			if err := os.CopyFS(from, os.DirFS(dist)); err != nil {
				t.Fatal(err)
			}
			binding := filepath.Join(from, "syncworker", "function.json")
			b, err := os.ReadFile(binding)
			if err != nil {
				t.Fatal(err)
			}
			asText := strings.Replace(string(b), `"binary"`, `"string"`, 1)
			if asText == string(b) {
				t.Fatalf("the staged binding is not binary: %s", b)
			}
			if err := os.WriteFile(binding, []byte(asText), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := sandbox.Start(t.Context(), sandbox.Options{
			Dist: from, NodeModules: filepath.Join("..", "..", "..", "node_modules"), Seed: 1, Log: testLog{}, PageSize: 20,
			Settings: map[string]string{"VERIFY_MIN_DELAY": "50ms"}, Quoting: m.quoting, EmptyBody: m.empty, Deliveries: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		c := connected(t, s, tenant.Spec{People: 70})
		done := c.day(t)
		syncNow(t, s, c)
		left(t, s, c, awaitRuns(t, s, c, 2)[0], done)
		settled(t, s, c)
		n, err := s.Bus.Counts(sandbox.Queue)
		if err != nil {
			t.Fatal(err)
		}
		if w := s.Host.Stats().Functions["syncworker"]; w.Failures > 0 || n.DeadLetter > 0 || int64(w.Invocations) != 2*n.Completed {
			t.Errorf("%+v for %+v: want two invocations a message and no failure", w, n)
		}
	})
}

// trouble is something that goes wrong and passes.
type trouble struct {
	faults []fault.Fault
	// waits is the least time that the run must have let pass.
	waits time.Duration
	// throttles are how often the run was asked to slow down; -1 means that
	// nothing at all was amiss.
	throttles int
	// full is whether a later run must have read the whole tenant.
	full bool
}

var troubles = map[string]trouble{
	// What a page may hold.
	"empty pages":      {faults: []fault.Fault{{Kind: fault.Empty, Count: 3}}, throttles: -1},
	"replayed people":  {faults: []fault.Fault{{Kind: fault.Replay}}, throttles: -1},
	"doubled people":   {faults: []fault.Fault{{Kind: fault.Duplicate}}, throttles: -1},
	"people who flap":  {faults: []fault.Fault{{Kind: fault.Flap}}, throttles: -1},
	"pages backwards":  {faults: []fault.Fault{{Kind: fault.Permute}}, throttles: -1},
	"all pages' whims": {faults: []fault.Fault{{Kind: fault.Empty, Skip: 1, Count: 2}, {Kind: fault.Replay}, {Kind: fault.Duplicate}, {Kind: fault.Flap}, {Kind: fault.Permute}}, throttles: -1},
	// What may come instead of a page.
	"429 with seconds":        {faults: []fault.Fault{{Kind: fault.Throttle, Skip: 1, Count: 1, RetryAfter: "1"}}, waits: time.Second, throttles: 1},
	"429 with a fraction":     {faults: []fault.Fault{{Kind: fault.Throttle, Count: 2, RetryAfter: "0.4"}}, waits: 800 * time.Millisecond, throttles: 2},
	"429 with a date":         {faults: []fault.Fault{{Kind: fault.Throttle, Count: 1, RetryAfter: "date:2s"}}, waits: time.Second, throttles: 1},
	"429 without Retry-After": {faults: []fault.Fault{{Kind: fault.Throttle, Count: 3, Scope: "none"}}, waits: 350 * time.Millisecond, throttles: 3},
	"500":                     {faults: []fault.Fault{{Kind: fault.Error, Status: 500, Count: 2}}},
	"502 in HTML":             {faults: []fault.Fault{{Kind: fault.Error, Status: 502, Skip: 1, Count: 2}}},
	"503":                     {faults: []fault.Fault{{Kind: fault.Error, Status: 503, Count: 2}}},
	"503 with Retry-After":    {faults: []fault.Fault{{Kind: fault.Error, Status: 503, Count: 1, RetryAfter: "1"}}, waits: time.Second, throttles: 1},
	"504":                     {faults: []fault.Fault{{Kind: fault.Error, Status: 504, Count: 2}}},
	"a body cut off":          {faults: []fault.Fault{{Kind: fault.Cut, Skip: 1, Count: 2}}},
	"a chunked body cut off":  {faults: []fault.Fault{{Kind: fault.CutChunked, Skip: 1, Count: 2}}},
	// What forgets where we were. The second fault of some strikes during the
	// full enumeration that follows.
	"410 on a link":          {faults: []fault.Fault{{Kind: fault.Resync, Count: 1}}, throttles: -1, full: true},
	"400 on a link":          {faults: []fault.Fault{{Kind: fault.Expired, Count: 1}}, throttles: -1, full: true},
	"410 again and again":    {faults: []fault.Fault{{Kind: fault.Resync, Count: 3}}, full: true},
	"410, then cut bodies":   {faults: []fault.Fault{{Kind: fault.Resync, Count: 1}, {Kind: fault.Cut, Skip: 1, Count: 2}}, full: true},
	"410, then pages' whims": {faults: []fault.Fault{{Kind: fault.Resync, Count: 1}, {Kind: fault.Empty, Skip: 1, Count: 2}, {Kind: fault.Replay}, {Kind: fault.Flap}, {Kind: fault.Permute}}, throttles: -1, full: true},
}

// Whatever Graph does in a first run and in a later one, the run ends by
// itself with exactly what the directory holds, waits as it was asked to, and
// archives those who left and nobody else.
func TestGraphTrouble(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20, Settings: map[string]string{"RETRY_MIN_DELAY": "50ms", "RETRY_MAX_DELAY": "1s"}})
	together(t, troubles, func(t *testing.T, _ string, tr trouble) {
		c := invited(t, s, tenant.Spec{People: 70})
		judge := func(n int) run {
			t.Helper()
			r := awaitRuns(t, s, c, n)[0]
			if r.State != "succeeded" || r.Problem != nil {
				t.Errorf("run %d: %+v", n, r)
			}
			// A first run asks for several things at once, and waits for all of
			// their refusals together.
			got := r.Counters.Throttles
			together := n == 1 && got > 0 && got < tr.throttles
			if calm := tr.throttles < 0; !calm && (r.Counters.Retries == 0 || got != tr.throttles && !together) {
				t.Errorf("run %d: %+v, want retries and %d throttles", n, r, tr.throttles)
			}
			if took := c.took(t, s, r); took < tr.waits && !together {
				t.Errorf("run %d took %v, was asked to wait %v", n, took, tr.waits)
			}
			return r
		}
		disarm := c.arm(t, s, tr.faults...)
		if _, err := s.Consent(t.Context(), c.Link, c.admin()); err != nil {
			t.Fatal(err)
		}
		if r := judge(1); r.Counters.Created != 70 || r.Counters.Archived != 0 {
			t.Errorf("the first run created %d and archived %d, want 70 and none", r.Counters.Created, r.Counters.Archived)
		}
		disarm()
		check(t, s, c)

		done := c.day(t)
		disarm = c.arm(t, s, tr.faults...)
		syncNow(t, s, c)
		r := judge(2)
		disarm()
		left(t, s, c, r, done)
		if r.Full != tr.full || (r.Why != "") != tr.full {
			t.Errorf("run %+v, want a full one: %v", r, tr.full)
		}

		// With nothing amiss and nothing new, nothing changes.
		syncNow(t, s, c)
		if r := awaitRuns(t, s, c, 3)[0]; r.State != "succeeded" || r.Counters.GraphCalls != 3 || r.Counters.Created+r.Counters.Updated+r.Counters.Archived+r.Counters.Reactivated > 0 {
			t.Errorf("the run after it: %+v, want a call for people, teams and licenses, and no change", r)
		}
	})
}
