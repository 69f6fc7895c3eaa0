package reconcile_test

import (
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// soundIndex checks that the index, if there is one, tells of each stored
// person what the record says, and of nobody else.
func (w *world) soundIndex() {
	w.Helper()
	f := w.fence()
	if f.Index.From == 0 {
		return
	}
	told := make(map[[16]byte]directory.Mark)
	rows := 0
	w.ok(w.store.Index(w.ctx, w.conn, f.Index.From, func(row []directory.Indexed) error {
		rows++
		for _, e := range row {
			told[e.Key] = e.Mark
		}
		return nil
	}))
	if rows > f.Index.Rows {
		w.Errorf("the index has %d rows, the fence counts %d", rows, f.Index.Rows)
	}
	for id, r := range w.records() {
		key, _ := directory.Key(id)
		if told[key] != directory.MarkOf(&r) {
			w.Errorf("%s: the index says %x, the record %x", id, told[key], directory.MarkOf(&r))
		}
		delete(told, key)
	}
	for key, m := range told {
		if m != 0 {
			w.Errorf("%x is in the index, and not stored", key)
		}
	}
}

// A full enumeration reads the records of those only of whom it tells
// something new.
func TestIndexSparesReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 60)
	w.choose(func(s *connection.Settings) { s.Positions = false })
	w.succeed()
	for _, p := range w.tenant.People()[10:13] {
		w.ok(w.tenant.Update(p.ID, fields("department", "Moved")))
	}
	w.tenant.Forget()
	before := w.cable.passed()
	r := w.succeed()
	reads := w.cable.passed().reads - before.reads
	if !r.Full || r.Updated != 3 || r.Unchanged != 57 {
		t.Fatalf("full %v, %d updated, %d unchanged", r.Full, r.Updated, r.Unchanged)
	}
	// The connection, the fence, the index twice, IDs seen, rows to tidy (four
	// kinds), and the three.
	if reads > 14 {
		t.Errorf("%d reads", reads)
	}
	w.settled()
}

// An index that is not there, as after an upgrade or an erasure, is made of the
// records before everybody is compared, in slices too.
func TestIndexIsMade(t *testing.T) {
	t.Parallel()
	for name, budget := range map[string]bool{"at once": false, "in slices": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 70)
			w.succeed()
			f := w.fence()
			f.Index = job.Index{}
			_, err := w.store.Commit(w.ctx, w.conn, f, directory.Batch{})
			w.ok(err)
			_, err = w.tenant.Apply(tenant.Bulk{Seed: 3, Edit: 10, Remove: 4, Create: 5})
			w.ok(err)
			w.succeed() // a delta run needs none
			if f := w.fence(); f.Index.From != 0 {
				t.Errorf("index %+v", f.Index)
			}
			w.settled()
			w.tenant.Forget()
			if budget {
				w.engine.Budget = -1
			}
			r := w.succeed()
			if f := w.fence(); !r.Full || r.Updated+r.Archived+r.Created != 0 || f.Index.From == 0 || f.Index.Next != 0 {
				t.Errorf("run %+v, index %+v", r.Counters, f.Index)
			}
			w.settled()
		})
	}
}

// An index in many rows is made anew in few, and the old ones go.
func TestIndexIsTidied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 50)
	w.succeed()
	for i := range 15 {
		w.ok(w.tenant.Update(w.tenant.People()[i].ID, fields("department", "Moved")))
		w.succeed()
		w.settled()
	}
	f := w.fence()
	stale, err := w.store.IndexRows(w.ctx, w.conn, f.Index.From, 100)
	w.ok(err)
	if f.Index.Rows > 10 || len(stale) != 0 {
		t.Errorf("index %+v, stale rows %v", f.Index, stale)
	}
}

// Nothing of an erased person is left in the index.
func TestIndexForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.succeed()
	if r := w.asked(job.Erase, w.tenant.People()[4].ID); r.State != job.Succeeded {
		t.Fatalf("erasure: %s %s", r.State, r.Error)
	}
	rows, err := w.store.IndexRows(w.ctx, w.conn, 1<<60, 100)
	w.ok(err)
	if len(rows) != 0 {
		t.Errorf("rows of the index after an erasure: %v", rows)
	}
	w.tenant.Forget()
	if r := w.succeed(); !r.Full || r.Created+r.Archived != 0 {
		t.Errorf("run %+v", r.Counters)
	}
}
