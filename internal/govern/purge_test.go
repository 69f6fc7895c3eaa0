package govern_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/tables"
)

// purged checks that nothing is left of the connection but what says that it
// was, and how it ended. Without figures it takes those that are told.
func (w *world) purged(id string, was connection.Connection, deleted map[string]int) {
	w.t.Helper()
	c := w.read(id)
	o := c.Offboarding
	if deleted == nil && o != nil {
		deleted = o.Deleted
	}
	if o == nil || o.Purged.IsZero() || !maps.Equal(o.Deleted, deleted) {
		w.t.Fatalf("purged %+v, want %v deleted", o, deleted)
	}
	want := connection.Connection{
		ID: id, Company: was.Company, Status: connection.Offboarded, Link: c.Link, Verified: was.Verified, LastSuccess: was.LastSuccess,
		Offboarding: o, CreatedAt: was.CreatedAt, Version: c.Version,
	}
	if !reflect.DeepEqual(c, want) || c.Link <= was.Link {
		w.t.Errorf("its row %+v, want %+v", c, want)
	}
	if n := w.left(id); n != 0 {
		w.t.Errorf("%d rows left", n)
	}
	if q := w.queued(id); len(q) > 0 {
		w.t.Errorf("queued %v", q)
	}
	if got := w.owner(was.Tenant); got != "" {
		w.t.Errorf("its tenant is of %s", got)
	}
	detail := map[string]string{"purge": o.ID}
	for what, n := range deleted {
		detail[what] = strconv.Itoa(n)
	}
	told := slices.DeleteFunc(w.entries(id), func(e connection.Entry) bool { return e.Action != "purged" })
	if len(told) != 1 || told[0].Outcome != "done" || told[0].Source != connection.FromRollcall || !told[0].At.Equal(o.Purged) || !maps.Equal(told[0].Detail, detail) {
		w.t.Errorf("audit log %+v, want %v", told, detail)
	}
}

// doomed is a connection with a person's name in whatever is stored of it, and
// what a purge deletes of it.
func (w *world) doomed(people int) (id string, deleted map[string]int) {
	w.t.Helper()
	id = w.add(func(c *connection.Connection) {
		name := planted(c.ID)
		c.Name, c.Problem, c.CreatedBy = name, &connection.Problem{Message: name}, name
		c.Manual.By, c.Decision.By, c.Approved = name, name, &connection.Approval{By: name}
		c.Asks = []connection.Ask{{Trigger: "preview", Run: "q", By: name}, {Trigger: "person", Run: "p", By: name}}
	})
	return id, w.plant(id, people)
}

// small deletes at most 40 rows at a time.
type small struct{ *tables.Store }

func (s small) PurgeAll(ctx context.Context, id string, limit int) (map[string]int, bool, error) {
	return s.Store.PurgeAll(ctx, id, min(limit, 40))
}

// inSlices lets every slice of a purge delete once, and few rows.
func (w *world) inSlices() { w.Budget, w.Data = 0, small{w.store} }

// A purge goes through slices until nothing is left, in all tables, on the
// queue and among its dead letters; nobody else loses anything.
func TestPurge(t *testing.T) {
	w := newWorld(t)
	w.inSlices()
	id, deleted := w.doomed(100)
	neighbor, _ := w.doomed(3)
	was := w.read(id)
	w.must(w.store.Note(t.Context(), connection.Entry{Connection: id, At: w.clock.Now().Add(-time.Second), Action: "offboard", Outcome: "asked", Actor: "anna"}))
	if got := w.tablesNaming(planted(id)); !slices.Equal(got, []string{"connections", "directory", "runs"}) {
		t.Fatalf("planted in %v", got)
	}
	later := w.clock.Now().Add(24 * time.Hour)
	w.must(w.Queue.Send(t.Context(), job.Job{Kind: job.Sync, Connection: neighbor, Run: "n"}, later))
	for _, run := range []string{"s1", "s2"} {
		w.must(w.Queue.Send(t.Context(), job.Job{Kind: job.Sync, Connection: id, Run: run}, later))
	}
	deleted["scheduled"] = 2
	c, err := w.Offboard(t.Context(), id, true, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync s1 0 scheduled", "sync s2 0 scheduled", "offboard " + c.Offboarding.ID + " 0 active"}; !slices.Equal(w.queued(id), want) {
		t.Errorf("queued %v", w.queued(id))
	}
	if n := w.work(); n != 6 { // 107 rows in each of two partitions and 2 runs, 40 at a time
		t.Errorf("%d slices", n)
	}
	w.purged(id, was, deleted)
	if got := w.tablesNaming(planted(id)); len(got) > 0 {
		t.Errorf("a person's name is still in %v", got)
	}
	if got := w.tablesNaming(planted(neighbor)); !slices.Equal(got, []string{"connections", "directory", "runs"}) {
		t.Errorf("a neighbor's people are in %v", got)
	}
	if q := w.queued(neighbor); len(q) != 1 {
		t.Errorf("a neighbor's messages: %v", q)
	}
	if es := w.entries(id); len(es) != 2 || es[1].Actor != "anna" {
		t.Errorf("audit log %+v", es)
	}
}

// A message of an earlier slice, or of a purge that is done or that nobody
// asked for, deletes and writes nothing.
func TestStalePurgeMessages(t *testing.T) {
	w := newWorld(t)
	w.inSlices()
	id, deleted := w.doomed(30)
	was := w.read(id)
	c, err := w.Offboard(t.Context(), id, true, "")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := w.next()
	if err := w.Purge(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	idle := func(name string, j job.Job, queued int) {
		t.Helper()
		before, row := wires.Tables.Writes(), w.read(id)
		if err := w.Purge(t.Context(), j); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := wires.Tables.Writes() - before; n != 0 || !reflect.DeepEqual(w.read(id), row) || len(w.queued(id)) != queued {
			t.Errorf("%s: %d writes, queued %v", name, n, w.queued(id))
		}
	}
	idle("earlier slice", first, 1)
	other := first
	other.Run, other.Slice = "someone", w.read(id).Offboarding.Step
	idle("another purge", other, 1)
	ahead := first
	ahead.Slice = 7
	if err := w.Purge(t.Context(), ahead); !fault.Is(err, fault.Invalid) {
		t.Errorf("a slice ahead: %v", err)
	}
	w.work()
	w.purged(id, was, deleted)
	w.clock.Advance(25 * time.Hour) // the queue has forgotten its messages
	idle("purge that is done", first, 0)
	first.Slice = w.read(id).Offboarding.Step
	idle("purge that is done", first, 0)
	kept := w.add(nil)
	c, err = w.Offboard(t.Context(), kept, false, "")
	if err != nil {
		t.Fatal(err)
	}
	rows := w.left(kept)
	idle("kept", job.Job{Kind: job.Offboard, Connection: kept, Run: c.Offboarding.ID}, 0)
	if w.left(kept) != rows {
		t.Error("what is kept was purged")
	}
	alive := w.add(nil)
	idle("alive", job.Job{Kind: job.Offboard, Connection: alive, Run: "x"}, 0)
	idle("unknown", job.Job{Kind: job.Offboard, Connection: "none", Run: "x"}, 0)
}

// Two workers that do the same slice end like one. What the slower one has
// deleted may come too late to be counted.
func TestPurgeTwice(t *testing.T) {
	w := newWorld(t)
	id, _ := w.doomed(40)
	was := w.read(id)
	if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	j, _ := w.next()
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- w.Purge(context.WithoutCancel(t.Context()), j) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	w.clock.Advance(time.Minute) // one may have met the other
	w.work()
	w.purged(id, was, nil)
}

// A message that is being delivered is waited for.
func TestPurgeWaitsForWorkers(t *testing.T) {
	w := newWorld(t)
	id, deleted := w.doomed(3)
	was := w.read(id)
	c, err := w.Offboard(t.Context(), id, true, "")
	if err != nil {
		t.Fatal(err)
	}
	j, _ := w.next()
	w.must(w.Queue.Send(t.Context(), job.Job{Kind: job.Sync, Connection: id, Run: "late"}, time.Time{}))
	if err := w.Purge(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if q, want := w.queued(id), fmt.Sprint("offboard ", c.Offboarding.ID, " 1 scheduled"); !slices.Contains(q, want) || !w.read(id).Offboarding.Purged.IsZero() {
		t.Errorf("queued %v", q)
	}
	w.work() // drops the late one
	w.clock.Advance(time.Minute)
	w.work()
	w.purged(id, was, deleted)
}

// Who set up the queue without the right to receive is told so where they
// look, and the purge ends once it is given.
func TestPurgeMayNotReceive(t *testing.T) {
	w := newWorld(t)
	id, deleted := w.doomed(3)
	was := w.read(id)
	if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	j, _ := w.next()
	good := w.Queue
	w.Queue = w.queue("bad")
	for range 2 {
		if err := w.Purge(t.Context(), j); !fault.Is(err, fault.Unknown) {
			t.Fatalf("error %v", err)
		}
		c := w.read(id)
		if p := c.Problem; p == nil || !strings.Contains(p.Remedy, "Data Receiver") || !c.Offboarding.Purged.IsZero() || c.Offboarding.Step != 0 {
			t.Errorf("problem %+v, %+v", p, c.Offboarding)
		}
	}
	w.Queue = good
	if err := w.Purge(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	w.purged(id, was, deleted)
}

// What no purge deletes keeps one from its end: it is not believed that all is
// gone, but looked for.
func TestPurgeIsProved(t *testing.T) {
	w := newWorld(t)
	id, _ := w.doomed(3)
	was := w.read(id)
	rest := id + "~later" // of a build to come
	w.open(rest, "r")
	if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	for step := range 3 {
		if n := w.work(); n != 1 {
			t.Fatalf("%d jobs", n)
		}
		c := w.read(id)
		if o := c.Offboarding; !o.Purged.IsZero() || o.Step != step+1 || c.Name == "" || len(w.entries(id)) > 0 {
			t.Errorf("purged with a row left: %+v", o)
		}
		w.clock.Advance(time.Minute)
	}
	if done, err := w.store.Purge(t.Context(), rest, 10); err != nil || !done {
		t.Fatal(done, err)
	}
	w.work()
	w.purged(id, was, nil)
}
