package reconcile_test

import (
	"context"
	"reflect"
	"testing"

	"rollcall/internal/job"
)

// A run whose message has died goes on where it was once that is resubmitted;
// a message of a run that has ended changes nothing.
func TestResubmittedRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 35)
	w.engine.Budget = -1 // a slice is one step of the work
	run := w.send(job.Schedule)
	w.step(w.engine.Sync)
	die := func() {
		t.Helper()
		m := w.next()
		if m == nil {
			t.Fatal("no message")
		}
		w.ok(w.rx.DeadLetterMessage(w.ctx, m, nil))
	}
	die()
	if f := w.fence(); w.next() != nil || !f.Open() {
		t.Fatal("the run is not stuck")
	}
	resubmit := func() {
		t.Helper()
		met, more, err := w.queue.Resubmit(w.ctx, w.conn, 0, 10, func(context.Context, job.Job) (job.Fate, error) { return job.Resent, nil })
		if w.ok(err); met[job.Resent] != 1 || more {
			t.Fatalf("met %v, more %t", met, more)
		}
	}
	resubmit()
	w.quiet(w.engine.Sync)
	if r := w.record(run); r.State != job.Succeeded {
		t.Errorf("run %+v", r)
	}
	w.settled()

	before, calls := w.fence(), w.tenant.Calls()
	w.again(w.late[0])
	die()
	resubmit()
	w.quiet(w.engine.Sync)
	if after := w.fence(); !reflect.DeepEqual(before, after) || !reflect.DeepEqual(calls, w.tenant.Calls()) {
		t.Errorf("a message of an ended run: fence %+v, was %+v", after, before)
	}
}
