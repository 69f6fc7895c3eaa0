package reconcile_test

import (
	"testing"
	"time"

	"rollcall/internal/job"
)

// A sync of one person that was asked for before the erasure, and comes after
// it, does not bring the person back; one that is asked for since does.
func TestOlderRequestEndsNoErasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	id := w.tenant.People()[2].ID
	stored := func() bool {
		recs, err := w.store.Records(w.ctx, w.conn, []string{id})
		w.ok(err)
		_, ok := recs[id]
		return ok
	}
	late := w.ask(job.Person, id)
	w.clock.Advance(time.Second)
	w.ok(w.engine.Sync(w.ctx, w.ask(job.Erase, id)))
	w.ok(w.engine.Sync(w.ctx, late))
	if r := w.record(late.Run); stored() || len(r.Steps) == 0 || r.Steps[0].Result != "erased" {
		t.Errorf("stored %v after an older request, steps %+v", stored(), r.Steps)
	}
	w.clock.Advance(time.Second)
	w.ok(w.engine.Sync(w.ctx, w.ask(job.Person, id)))
	if !stored() {
		t.Error("not stored after a newer request")
	}
}
