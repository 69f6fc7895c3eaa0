package govern_test

import (
	"reflect"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// A purge whose message is lost goes on: at once if the queue has never seen
// it, under another identity if it has, and a living worker is not disturbed.
func TestRepairLostPurge(t *testing.T) {
	for name, tt := range map[string]struct {
		after time.Duration
		step  int
	}{"never sent": {time.Minute, 0}, "lost": {31 * time.Minute, 1}} {
		w := newWorld(t)
		id, deleted := w.doomed(3)
		was := w.read(id)
		if tt.step == 0 {
			w.bus.FailSends("sync-jobs", 1, "amqp:not-allowed")
		}
		if _, err := w.Offboard(t.Context(), id, true, ""); (err == nil) != (tt.step > 0) {
			t.Fatalf("%s: %v", name, err)
		}
		lost, _ := w.next()
		w.clock.Advance(tt.after)
		for range 2 {
			w.repair(id)
		}
		if c := w.read(id); c.Offboarding.Step < tt.step {
			t.Errorf("%s: %+v", name, c.Offboarding)
		}
		if n := w.work(); n == 0 {
			t.Errorf("%s: no message", name)
		}
		w.purged(id, was, deleted)
		if lost.Connection != "" {
			if err := w.Purge(t.Context(), lost); err != nil {
				t.Errorf("%s: the old message: %v", name, err)
			}
		}
		for range 2 {
			w.repair(id)
		}
		w.purged(id, was, deleted)
	}
}

// What a worker that had frozen writes after the purge is purged too, as long
// as there can be such a worker.
func TestRepairLateWorker(t *testing.T) {
	w := newWorld(t)
	id, _ := w.doomed(3)
	was := w.read(id)
	if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
		t.Fatal(err)
	}
	w.work()
	first := w.read(id).Offboarding.Purged
	w.clock.Advance(time.Hour)
	claims := wires.Tables.Requests().Tables["claims"]
	w.repair(id)
	if c := w.read(id); !c.Offboarding.Purged.Equal(first) {
		t.Fatalf("purged again for nothing: %+v", c.Offboarding)
	}
	if got := wires.Tables.Requests().Tables["claims"]; got != claims {
		t.Errorf("it reads the claims of all connections: %+v, before %+v", got, claims)
	}
	w.open(id, "r-late")
	w.must(w.store.PutRun(t.Context(), id, job.Run{ID: "r-late", By: planted(id)}))
	w.repair(id)
	if n := w.work(); n != 1 || w.left(id) != 0 || len(w.tablesNaming(planted(id))) > 0 {
		t.Errorf("%d jobs, %d rows left", n, w.left(id))
	}
	c := w.read(id)
	if o := c.Offboarding; !o.Purged.Equal(w.clock.Now()) || o.Deleted["runs"] != 3 {
		t.Errorf("purged %+v", o)
	}
	if es := w.entries(id); len(es) != 2 || es[0].Detail["runs"] != "3" || es[1].Detail["runs"] != "2" {
		t.Errorf("audit log %+v", es)
	}
	if w.owner(was.Tenant) != "" {
		t.Error("the tenant is not free")
	}
	w.clock.Advance(25 * time.Hour)
	reads := wires.Tables.Requests().Total
	row := w.read(id)
	if err := w.Repair(t.Context(), row, w.clock.Now()); err != nil {
		t.Error(err)
	}
	if got := wires.Tables.Requests().Total; got.Writes != reads.Writes || got.Reads != reads.Reads+1 {
		t.Errorf("%+v asked of the tables, before %+v", got, reads)
	}
}

// Of those that go on, and those that ended well, nothing is written.
func TestRepairNothing(t *testing.T) {
	w := newWorld(t)
	kept := w.add(nil)
	if _, err := w.Offboard(t.Context(), kept, false, ""); err != nil {
		t.Fatal(err)
	}
	w.entries(kept) // a table that is read for the first time is made
	before := wires.Tables.Writes()
	for _, id := range []string{w.read(kept).ID, w.add(nil), w.invited("")} {
		row := w.read(id)
		w.repair(id)
		if !reflect.DeepEqual(w.read(id), row) || len(w.queued(id)) > 0 || len(w.entries(id)) > 0 {
			t.Errorf("%s: changed", row.Status)
		}
	}
	if n := wires.Tables.Writes() - before; n != 3 { // those that add has made
		t.Errorf("%d writes", n)
	}
	if w.read(kept).Status != connection.Offboarded {
		t.Error("the end is undone")
	}
}
