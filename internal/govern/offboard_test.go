package govern_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/tables"
)

// A connection of any status ends: nothing of it goes on, and its tenant is
// free for another.
func TestOffboard(t *testing.T) {
	w := newWorld(t)
	for status := range connection.Transitions {
		if status == connection.Offboarded {
			continue
		}
		id := w.add(func(c *connection.Connection) {
			now := w.clock.Now()
			c.Status = status
			c.Displaced, c.Again = now, "r9"
			c.Approved, c.Problem = &connection.Approval{Tenant: "t", By: "anna"}, &connection.Problem{Message: "m"}
			c.Manual, c.Decision = connection.Manual{Run: "m", By: "anna"}, connection.Decision{Run: "d", By: "anna"}
			c.Override, c.Paused = &connection.Override{By: "anna"}, &connection.Pause{By: "anna"}
			c.Verify, c.Health = connection.Verify{ID: "v"}, connection.Health{Failures: 2}
			c.Settings, c.Guard = &connection.Settings{Teams: true}, &connection.Guard{MaxCount: 1}
			c.Asks = []connection.Ask{{Trigger: "person", Run: "p", Person: "x"}, {Trigger: "preview", Run: "q", At: now}, {Trigger: "preview", Run: "o"}}
		})
		was := w.read(id)
		c, err := w.Offboard(t.Context(), id, false, "bob")
		if err != nil {
			t.Fatalf("%s: %v", status, err)
		}
		if o := c.Offboarding; o == nil || o.ID == "" || !o.At.Equal(w.clock.Now()) || o.By != "bob" || o.Tenant != was.Tenant || o.To != "" || o.Purge || o.Step != 0 || !o.Purged.IsZero() {
			t.Errorf("%s: %+v", status, o)
		}
		if c.Link <= was.Link {
			t.Errorf("%s: the link of generation %d is alive", status, was.Link)
		}
		want := connection.Connection{
			ID: id, Company: was.Company, Name: was.Name, Tenant: was.Tenant, Status: connection.Offboarded, Verified: was.Verified, LastSuccess: was.LastSuccess,
			Settings: was.Settings, Guard: was.Guard, CreatedAt: was.CreatedAt,
			Asks: []connection.Ask{{Trigger: "preview", Run: "q", At: w.clock.Now(), Sent: true}}, // for the janitor, which drops it
			Link: c.Link, Offboarding: c.Offboarding, Version: c.Version,
		}
		if stored := w.read(id); !reflect.DeepEqual(stored, want) || !reflect.DeepEqual(c, stored) {
			t.Errorf("%s: stored %+v\nreturned %+v\nwant %+v", status, stored, c, want)
		}
		if f := w.fence(id); !f.Closed {
			t.Errorf("%s: a run could open", status)
		}
		if got := w.owner(was.Tenant); got != "" {
			t.Errorf("%s: the tenant is of %s", status, got)
		}
		if q := w.queued(id); len(q) > 0 {
			t.Errorf("%s: queued %v", status, q)
		}
		again, err := w.Offboard(t.Context(), id, false, "carl")
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: again %+v, %v", status, again, err)
		}
	}
	if _, err := w.Offboard(t.Context(), "none", true, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
}

// A worker in the middle of a run writes nothing more, whether of a sync or of
// a preview, and its run is recorded as stopped.
func TestOffboardStopsRuns(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	parts := map[string]string{id: "r-sync", id + "~preview": "r-preview"}
	held := map[string]job.Fence{}
	for part, run := range parts {
		held[part] = w.open(part, run)
	}
	w.clock.Advance(time.Second)
	if _, err := w.Offboard(t.Context(), id, false, ""); err != nil {
		t.Fatal(err)
	}
	for part, run := range parts {
		_, err := w.store.Commit(t.Context(), part, held[part], directory.Batch{Add: []directory.Record{{Person: directory.Person{ID: "00000001-0000-0000-0000-000000000000"}}}})
		if e := fault.Of(err); err == nil || e.Code != job.FenceMoved {
			t.Errorf("%s: the worker's commit: %v", run, err)
		}
		if f := w.fence(part); !f.Closed || f.Open() || !f.Ended(run) || f.Epoch != held[part].Epoch+1 {
			t.Errorf("%s: fence %+v", run, f)
		}
		rs, _, err := w.store.Runs(t.Context(), id, "", 10)
		i := slices.IndexFunc(rs, func(r job.Run) bool { return r.ID == run })
		if err != nil || i < 0 || rs[i].State != job.Stopped || !rs[i].Ended.Equal(w.clock.Now()) || rs[i].Remedy == "" {
			t.Errorf("%s: recorded %+v, %v", run, rs, err)
		}
	}
	if c := w.read(id); c.LastRun != "r-sync" {
		t.Errorf("last run %q", c.LastRun)
	}
}

// A run that ended, and whose record was not written yet, is recorded.
func TestOffboardRecordsTheLastRun(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	f := w.open(id, "r1")
	f.End(job.Succeeded, w.clock.Now())
	if _, err := w.store.Commit(t.Context(), id, f, directory.Batch{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Offboard(t.Context(), id, false, ""); err != nil {
		t.Fatal(err)
	}
	// Without the fence, which knows its last run, the record must tell.
	if gone, err := w.store.Purge(t.Context(), id, 10); err != nil || !gone {
		t.Fatal(gone, err)
	}
	if r, err := w.store.Run(t.Context(), id, "r1"); err != nil || r.State != job.Succeeded {
		t.Errorf("recorded %+v, %v", r, err)
	}
}

// racing lets somebody else commit before each commit.
type racing struct {
	*tables.Store
	meanwhile func()
}

func (r racing) Commit(ctx context.Context, part string, f job.Fence, b directory.Batch) (job.Fence, error) {
	r.meanwhile()
	return r.Store.Commit(ctx, part, f, b)
}

// The race against a worker that commits all the time is won.
func TestOffboardMeetsWorker(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	w.open(id, "r1")
	worker := wires.Store(t)
	commits := 0
	w.Fences = racing{w.store, func() {
		if commits++; commits > 5 {
			return
		}
		f, err := worker.Fence(t.Context(), id)
		if err == nil {
			_, err = worker.Commit(t.Context(), id, f, directory.Batch{})
		}
		if err != nil {
			t.Error(err)
		}
	}}
	if _, err := w.Offboard(t.Context(), id, false, ""); err != nil {
		t.Fatal(err)
	}
	if f := w.fence(id); !f.Closed || f.Run.State != job.Stopped || commits < 6 {
		t.Errorf("%d commits in between, fence %+v", commits, f)
	}
}

// A decision to purge can follow one to keep, and is final.
func TestPurgeAfterKeep(t *testing.T) {
	w := newWorld(t)
	id := w.add(nil)
	w.plant(id, 5)
	kept, err := w.Offboard(t.Context(), id, false, "anna")
	if err != nil || w.work() != 0 || w.left(id) == 0 {
		t.Fatalf("kept: %d rows, %v", w.left(id), err)
	}
	w.clock.Advance(48 * time.Hour)
	c, err := w.Offboard(t.Context(), id, true, "bob")
	if o := c.Offboarding; err != nil || !o.Purge || o.ID != kept.Offboarding.ID || !o.At.Equal(kept.Offboarding.At) {
		t.Fatalf("purge: %+v, %v", o, err)
	}
	for range 2 { // while it is purged, and afterwards
		if _, err := w.Offboard(t.Context(), id, false, ""); !fault.Is(err, fault.Conflict) || fault.Of(err).Code != "purging" || fault.Of(err).Remedy == "" {
			t.Errorf("keep after purge: %v", err)
		}
		if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
			t.Errorf("purge twice: %v", err)
		}
		w.work()
		if n := w.left(id); n != 0 {
			t.Errorf("%d rows left", n)
		}
	}
	if c := w.read(id); c.Offboarding.Purged.IsZero() || c.Offboarding.Step != 0 {
		t.Errorf("purged: %+v", c.Offboarding)
	}
}
