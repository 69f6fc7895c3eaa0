package reconcile_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/wiretest"
)

func fields(name string, v any) tenant.Fields { return tenant.Fields{name: v} }

func bulk(seed uint64) tenant.Bulk {
	return tenant.Bulk{Seed: seed, Edit: 10, Remove: 5, Restore: 1, Create: 5}
}

// Cut into as many slices as there are steps, a run does the same.
func TestTinyBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.engine.Budget = -1
	if r := w.succeed(); r.Slices < 60/10 || r.Created != 60 {
		t.Errorf("first run: %d slices, %d created", r.Slices, r.Created)
	}
	w.settled()
	_, err := w.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 30, Remove: 15, Create: 20})
	w.ok(err)
	w.tenant.Forget()
	if r := w.succeed(); !r.Full || r.Slices < 65/10 || r.Archived != 15 || r.Created != 20 {
		t.Errorf("full run: %+v", r)
	}
	w.settled()
}

// The search for missing people goes on where the slice before ended, even if
// every slice has time for one page of them only.
func TestSweepInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.succeed()
	var left []string
	for i, p := range w.tenant.People() {
		if i%3 == 0 {
			left = append(left, p.ID)
			w.ok(w.tenant.Purge(p.ID))
		}
	}
	w.tenant.Forget()
	silent := w.newEngine(t, edits{wires.Transport, "/users/delta", func(m map[string]any) { // nobody tells that they left
		kept := []any{}
		for _, v := range m["value"].([]any) {
			if v.(map[string]any)["@removed"] == nil {
				kept = append(kept, v)
			}
		}
		m["value"] = kept
	}})
	silent.Budget = -1
	id := w.send(job.Schedule)
	w.quiet(silent.Sync)
	if r := w.record(id); r.State != job.Succeeded || r.Archived != len(left) || r.Slices < 7 {
		t.Errorf("run %+v", r)
	}
	w.settled()
}

// A message of a slice that is done only makes sure that the next one's is
// there.
func TestStaleSlice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.engine.Budget = -1
	run := w.send(job.Schedule)
	for range 2 {
		w.step(w.engine.Sync)
	}
	before, calls := w.fence(), w.tenant.Calls()
	sent, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	w.ok(w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: run}))
	if after := w.fence(); !reflect.DeepEqual(before, after) {
		t.Errorf("fence changed from %+v to %+v", before, after)
	}
	if !reflect.DeepEqual(calls, w.tenant.Calls()) {
		t.Error("a stale message called Graph")
	}
	n, err := w.bus.Counts(wiretest.Queue)
	w.ok(err)
	if n.Sent != sent.Sent || n.Duplicates != sent.Duplicates+1 {
		t.Errorf("queue before %+v, after %+v: want one repeat", sent, n)
	}
	err = w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: run, Slice: 99})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a slice ahead of the run: %v", err)
	}
	w.quiet(w.engine.Sync)
	w.settled()
	w.ok(w.engine.Sync(w.ctx, job.Job{Kind: job.Sync, Connection: w.conn, Run: run, Slice: 1})) // long over
	if after := w.fence(); after.Open() || after.Run.ID != run {
		t.Errorf("a late message opened %+v", after.Run)
	}
}

// gate is a transport that holds one delta request back until it is let go.
type gate struct {
	next         http.RoundTripper
	once         sync.Once
	held, letGo  chan struct{}
	passed, skip int
	mu           sync.Mutex
}

func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.URL.Path, "/users/delta") {
		g.mu.Lock()
		g.passed++
		hold := g.passed > g.skip
		g.mu.Unlock()
		if hold {
			g.once.Do(func() {
				close(g.held)
				<-g.letGo
			})
		}
	}
	return g.next.RoundTrip(req)
}

// A worker that slept through a takeover writes nothing any more.
func TestStaleWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.succeed()
	for _, p := range w.tenant.People() { // rows to replace: rows to add would be refused anyway
		w.ok(w.tenant.Update(p.ID, fields("jobTitle", "Changed")))
	}
	g := &gate{next: wires.Transport, held: make(chan struct{}), letGo: make(chan struct{}), skip: 2}
	sleeper := w.newEngine(t, g)
	j := w.job(job.Schedule, "")
	done := make(chan error, 1)
	go func() { done <- sleeper.Sync(w.ctx, j) }()
	select {
	case <-g.held:
	case err := <-done:
		t.Fatalf("the sleeper ended early: %v", err)
	}
	w.ok(w.engine.Sync(w.ctx, j)) // the lock was lost: the message came again
	w.settled()
	before, conn, writes := w.fence(), w.connection(), w.cable.passed().writes
	close(g.letGo)
	w.ok(<-done)
	if n := w.cable.passed().writes - writes; n != 0 {
		t.Errorf("the sleeper committed %d times", n)
	}
	if !reflect.DeepEqual(before, w.fence()) || !reflect.DeepEqual(conn, w.connection()) {
		t.Error("the sleeper changed something")
	}
	w.settled()
}

// The largest people that Entra allows, in one page, stay within what a
// transaction may have, which the store enforces.
func TestLargePeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	var other, proxies []string
	for i := range 250 {
		other = append(other, fmt.Sprintf("%03d.%s@%s.example", i, strings.Repeat("ö", 20), strings.Repeat("d", 30)))
	}
	for i := range 400 {
		proxies = append(proxies, fmt.Sprintf("smtp:%03d.%s@contoso.example", i, strings.Repeat("p", 40)))
	}
	w.engine.Graph = w.newEngine(t, crowd{other, proxies}).Graph
	r := w.succeed()
	if r.Created != crowdSize || r.Transactions < 3 {
		t.Errorf("%d created in %d transactions", r.Created, r.Transactions)
	}
	for id, p := range w.sound() {
		if n := len(p.Properties["otherMails"].([]any)); n != 250 {
			t.Fatalf("%s has %d other addresses", id, n)
		}
		if n := len(p.Properties["proxyAddresses"].([]any)); n != 400 {
			t.Fatalf("%s has %d proxy addresses", id, n)
		}
	}
}

// A sync by hand that meets an open run is that run's, and one more follows.
func TestManualMeetsOpenRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.engine.Budget = -1
	first := w.send(job.Schedule)
	w.step(w.engine.Sync)
	second := w.send(job.Manual)
	w.send(job.Manual) // its wish is the same
	third := w.send(job.Schedule)
	w.quiet(w.engine.Sync)
	if r := w.record(first); r.State != job.Succeeded {
		t.Errorf("open run: %s", r.State)
	}
	for _, id := range []string{second, third} {
		if r := w.record(id); r.State != job.Merged || r.MergedInto != first {
			t.Errorf("run %s: %s into %q", id, r.State, r.MergedInto)
		}
	}
	runs, _, err := w.store.Runs(w.ctx, w.conn, "", 100)
	w.ok(err)
	var more []job.Run
	for _, r := range runs {
		if r.Trigger == job.Again {
			more = append(more, r)
		}
	}
	if len(more) != 1 || more[0].State != job.Succeeded || len(runs) != 5 {
		t.Errorf("%d runs, of them to make up for the manual ones: %+v", len(runs), more)
	}
	if c := w.connection(); c.Again != "" || c.LastRun != more[0].ID {
		t.Errorf("connection %+v", c)
	}
	w.settled()
}

// A run whose message is lost is revived, once; one that is well is left alone.
func TestRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.engine.Budget = -1
	run := w.send(job.Schedule)
	w.step(w.engine.Sync)
	m := w.next()
	w.ok(w.rx.CompleteMessage(w.ctx, m, nil)) // lost
	for _, after := range []time.Duration{0, 29 * time.Minute} {
		writes := w.cable.passed().writes
		w.ok(w.engine.Repair(w.ctx, w.connection(), w.clock.Now().Add(after)))
		if w.cable.passed().writes != writes {
			t.Errorf("a run without progress for %s was touched", after)
		}
	}
	w.clock.Advance(31 * time.Minute)
	w.ok(w.engine.Repair(w.ctx, w.connection(), w.clock.Now()))
	w.ok(w.engine.Repair(w.ctx, w.connection(), w.clock.Now()))
	w.quiet(w.engine.Sync)
	if r := w.record(run); r.State != job.Succeeded {
		t.Errorf("revived run: %+v", r)
	}
	w.settled()
	writes := w.cable.passed().writes
	w.ok(w.engine.Repair(w.ctx, w.connection(), w.clock.Now().Add(time.Hour)))
	if w.cable.passed().writes != writes {
		t.Error("a healthy connection was written to")
	}
}
