package schedule_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

const planHash = "0123456789abcdef0123456789abcdef"

// planned is a world with a connection whose plan of removals waits.
func planned(t *testing.T, change func(*job.Fence)) (*world, string, job.Fence) {
	t.Helper()
	w := newWorld(t)
	w.Plans = w.store
	id := w.add(w.clock.Now().Add(time.Hour), func(c *connection.Connection) { c.Status = connection.Held })
	f := job.Fence{Tally: job.Tally{Held: 7, Active: 60}}
	f.Run = job.Run{ID: job.RunID(w.clock.Now(), id, "slot"), Trigger: job.Schedule, State: job.Held}
	f.Plan = &job.Plan{Hash: planHash, Run: f.Run.ID, At: w.clock.Now(), Count: 7, Active: 60}
	if change != nil {
		change(&f)
	}
	if _, err := w.store.Commit(t.Context(), id, f, directory.Batch{}); err != nil {
		t.Fatal(err)
	}
	return w, id, f
}

// A decision is one message that names the plan, however often it is made.
func TestDecide(t *testing.T) {
	for trigger, approve := range map[job.Trigger]bool{"approve": true, "reject": false} {
		w, id, f := planned(t, nil)
		want := job.RunID(f.Plan.At.Add(time.Millisecond), id, string(trigger)+planHash)
		for range 3 {
			run, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, approve, "ada")
			if err != nil || run != want {
				t.Errorf("%s: run %s, want %s: %v", trigger, run, want, err)
			}
			w.clock.Advance(time.Hour)
		}
		if _, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, !approve, "eve"); fault.Of(err).Code != "plan_decided" {
			t.Errorf("the opposite of %s: %v", trigger, err)
		}
		if c, err := w.store.Connection(t.Context(), id); err != nil || c.Decision.By != "ada" || c.StartedBy(want) != "ada" || c.Decision.Approve != approve {
			t.Errorf("%s: noted as %+v, %v", trigger, c.Decision, err)
		}
		m := w.one(id)
		if m.Kind != job.Sync || m.Run != want || m.Trigger != trigger || m.Plan != planHash || m.Slice != 0 || m.State != "active" {
			t.Errorf("%s: message %+v", trigger, m)
		}
	}
}

func TestDecideRefused(t *testing.T) {
	w, id, f := planned(t, nil)
	none, noPlan, _ := planned(t, func(f *job.Fence) { f.Plan, f.Held = nil, 0 })
	fresh := w.add(time.Time{}, func(c *connection.Connection) { c.Status = connection.Invited })
	for name, test := range map[string]struct {
		w             *world
		id, run, hash string
	}{
		"other run":    {w, id, f.Plan.Run + "0", planHash},
		"other hash":   {w, id, f.Plan.Run, planHash[:31] + "0"},
		"short hash":   {w, id, f.Plan.Run, planHash[:12]},
		"no hash":      {w, id, f.Plan.Run, ""},
		"no plan":      {none, noPlan, f.Plan.Run, planHash},
		"nothing ever": {w, fresh, "", ""},
	} {
		_, err := test.w.Decide(t.Context(), test.id, test.run, test.hash, true, "ada")
		if e := fault.Of(err); err == nil || e.Kind != fault.Conflict || e.Code != "plan_decided" || e.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Decide(t.Context(), connection.NewID(), f.Plan.Run, planHash, true, "ada"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown connection: %v", err)
	}
	if n := len(w.queued()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// The worker drops what comes for a connection that cannot run; a decision
// that was promised must not end so.
func TestDecideNotLive(t *testing.T) {
	w, id, f := planned(t, nil)
	c := w.read(id)
	c.Status = connection.Consenting // anew, after the consent was withdrawn
	if _, err := w.store.UpdateConnection(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	_, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, true, "ada")
	if e := fault.Of(err); err == nil || e.Kind != fault.Denied || e.Code != "not_connected" || e.Remedy == "" {
		t.Error(err)
	}
	if n := len(w.queued()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// While one decision is carried out its repeats are welcome, and the opposite
// one comes too late.
func TestDecideUnderWay(t *testing.T) {
	w, id, f := planned(t, nil)
	approval := job.RunID(f.Plan.At.Add(time.Millisecond), id, "approve"+planHash)
	stored, err := w.store.Fence(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stored.Run = job.Run{ID: approval, Trigger: job.Approve, State: job.Waiting, Plan: stored.Plan}
	if _, err := w.store.Commit(t.Context(), id, stored, directory.Batch{}); err != nil {
		t.Fatal(err)
	}
	if run, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, true, "ada"); err != nil || run != approval {
		t.Errorf("repeated: %s, %v", run, err)
	}
	if _, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, false, "ada"); fault.Of(err).Code != "plan_decided" {
		t.Errorf("opposite: %v", err)
	}
	w.one(id)
}

// A decision whose run has failed can be made again: under a new run, since
// the old one's message opens nothing.
func TestDecideAgain(t *testing.T) {
	w, id, f := planned(t, nil)
	stored, err := w.store.Fence(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, true, "ada")
	if err != nil {
		t.Fatal(err)
	}
	stored.Run = job.Run{ID: first, Trigger: job.Approve, State: job.Running, Plan: stored.Plan}
	stored.End(job.RunFailed, w.clock.Now())
	if _, err := w.store.Commit(t.Context(), id, stored, directory.Batch{}); err != nil {
		t.Fatal(err)
	}
	second, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, true, "ada")
	if err != nil || second == first {
		t.Errorf("again: run %s after %s, %v", second, first, err)
	}
	if third, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, true, "ada"); err != nil || third != second {
		t.Errorf("repeated: run %s, want %s, %v", third, second, err)
	}
	if n := len(w.queued()[id]); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

type brokenPlans struct{}

func (brokenPlans) Fence(context.Context, string) (job.Fence, error) {
	return job.Fence{}, errors.New("down")
}

// What could not be sent or looked up is an error, and nothing is promised.
func TestDecideFails(t *testing.T) {
	w, id, f := planned(t, nil)
	w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
	if _, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, false, "ada"); err == nil {
		t.Error("a lost message was promised")
	}
	if n := len(w.queued()); n != 0 {
		t.Fatalf("%d messages", n)
	}
	run, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, false, "ada")
	if err != nil || w.one(id).Run != run {
		t.Errorf("repeated: run %s, %v", run, err)
	}
	w.Plans = brokenPlans{}
	if _, err := w.Decide(t.Context(), id, f.Plan.Run, planHash, false, "ada"); !fault.Is(err, fault.Unknown) {
		t.Errorf("no fence: %v", err)
	}
}
