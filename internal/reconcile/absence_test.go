package reconcile_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
)

// Absence is no proof: however an enumeration ends, nobody is archived by it
// who is still there.
func TestAbsenceIsNoProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	for _, c := range []struct {
		name  string
		fault fault.Fault
		fails bool // the run ends as failed
	}{
		{"cut", fault.Fault{Kind: fault.Cut, Path: fault.UsersDelta, Skip: 1, Count: 2}, false},
		{"cut chunked", fault.Fault{Kind: fault.CutChunked, Path: fault.UsersDelta, Skip: 2, Count: 1}, false},
		{"server error", fault.Fault{Kind: fault.Error, Status: 500, Path: fault.UsersDelta, Skip: 1, Count: 3}, false},
		{"gateway in HTML", fault.Fault{Kind: fault.Error, Status: 502, Path: fault.UsersDelta, Skip: 1, Count: 1}, false},
		{"forbidden midway", fault.Fault{Kind: fault.Forbidden, Path: fault.UsersDelta, Skip: 1, Count: 2}, true},
		{"forbidden at once", fault.Fault{Kind: fault.Forbidden, Path: fault.UsersDelta, Count: 2}, true},
		{"empty pages", fault.Fault{Kind: fault.Empty, Path: fault.UsersDelta, Skip: 1, Count: 5}, false},
		{"expired midway, 410", fault.Fault{Kind: fault.Resync, Path: fault.UsersDelta, Skip: 1, Count: 1}, false},
		{"expired midway, 400", fault.Fault{Kind: fault.Expired, Path: fault.UsersDelta, Skip: 1, Count: 1}, false},
		{"confirmation forbidden", fault.Fault{Kind: fault.Forbidden, Path: fault.ByIDs, Count: 2}, true},
		{"confirmation fails", fault.Fault{Kind: fault.Error, Status: 503, Path: fault.ByIDs, Count: 2}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.tenant.Forget()
			lying := w.newEngine(t, dropping(w.tenant.People()[5].ID)) // so that there is somebody to confirm
			fired := wires.Fault(t, w.tenant, c.fault)
			id := w.send(job.Schedule)
			calls := w.tenant.Calls()[fault.UsersDelta]
			w.quiet(lying.Sync)
			fired()
			r := w.record(id)
			if t.Failed() {
				t.Logf("%d calls of users/delta, run %+v", w.tenant.Calls()[fault.UsersDelta]-calls, r)
			}
			full := c.fault.Path == fault.ByIDs || c.fault.Skip > 0 // else it did not come that far
			if (r.State == job.RunFailed) != c.fails || r.Full != full {
				t.Errorf("run %s, full %v: %s %s", r.State, r.Full, r.Code, r.Remedy)
			}
			if c.fails && r.Remedy == "" {
				t.Error("the run failed without a remedy")
			}
			if n := w.active(); r.Archived != 0 || n != 25 {
				t.Errorf("%d archived, %d active, want 0 and 25", r.Archived, n)
			}
			w.succeed()
			w.settled()
		})
	}
}

// Somebody missing from a complete enumeration who exists stays; somebody
// missing who is gone is archived, as missing.
func TestMissingIsConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	people := w.tenant.People()
	stays, leaves := people[7].ID, people[9].ID
	w.ok(w.tenant.Purge(leaves))
	w.tenant.Forget()
	rt := dropping(stays).(edits)
	both := rt.page
	rt.page = func(m map[string]any) { // nor does Microsoft tell that the other has left
		both(m)
		var kept []any
		for _, v := range m["value"].([]any) {
			if v.(map[string]any)["id"] != leaves {
				kept = append(kept, v)
			}
		}
		m["value"] = append([]any{}, kept...)
	}
	before := w.tenant.Calls()[fault.ByIDs]
	id := w.send(job.Schedule)
	w.quiet(w.newEngine(t, rt).Sync)
	if n := w.tenant.Calls()[fault.ByIDs] - before; n != 1 {
		t.Errorf("%d confirmations, want 1", n)
	}
	if r := w.record(id); r.State != job.Succeeded || !r.Full || r.Archived != 1 {
		t.Errorf("run %+v", r)
	}
	recs, err := w.store.Records(w.ctx, w.conn, []string{stays, leaves})
	w.ok(err)
	if r := recs[stays]; !r.Active() {
		t.Error("a person who exists was archived for being missing from a list")
	}
	if r := recs[leaves]; r.Active() || r.Reason != "deleted" {
		t.Errorf("the one who left: archived %s, reason %q", r.Archived, r.Reason)
	}
	w.settled()
}

// A delta round that does not mention a manager has said nothing about one;
// an enumeration that does not is asked again.
func TestUnmentionedManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	people := w.tenant.People()
	boss, kept, lost := people[0].ID, people[1].ID, people[2].ID
	for _, id := range []string{kept, lost} {
		w.ok(w.tenant.Update(id, fields("manager", boss)))
	}
	w.succeed()
	silent := w.newEngine(t, edits{wires.Transport, "/users/delta", func(m map[string]any) {
		for _, v := range m["value"].([]any) {
			delete(v.(map[string]any), "manager@delta")
		}
	}})
	w.ok(w.tenant.Update(kept, fields("jobTitle", "Told in a delta")))
	w.send(job.Schedule)
	w.quiet(silent.Sync)
	w.settled()
	w.ok(w.tenant.Update(lost, fields("manager", nil)))
	w.tenant.Forget()
	id := w.send(job.Schedule)
	w.quiet(silent.Sync)
	if r := w.record(id); !r.Full || r.Updated != 1 {
		t.Errorf("run %+v, want a full one that updates the one who lost the manager", r)
	}
	w.settled()
}

// A refusal ends the run at once, tells what to do, and shows at the
// connection; the next run mends everything.
func TestForbidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	_, err := w.tenant.Apply(bulk(1))
	w.ok(err)
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.UsersDelta, Count: 2})
	calls := w.tenant.Calls()[fault.UsersDelta]
	r := w.run()
	fired()
	if r.State != job.RunFailed || r.Code != "Authorization_RequestDenied" || !strings.Contains(r.Remedy, "consent") {
		t.Errorf("run %+v", r)
	}
	if n := w.tenant.Calls()[fault.UsersDelta] - calls; n != 2 {
		t.Errorf("%d calls, want one that is refused and one more with a new token", n)
	}
	c := w.connection()
	if c.Status != connection.Failed || c.Problem == nil || c.Problem.Remedy != r.Remedy || c.LastRun != r.ID {
		t.Errorf("connection %+v, %+v", c, c.Problem)
	}
	w.succeed()
	w.settled()
	if c = w.connection(); c.Status != connection.OK || c.Problem != nil || c.LastSuccess.IsZero() {
		t.Errorf("connection after the recovery: %+v", c)
	}
}

// A run that fails for longer than the limit ends, tells what to do, and the
// next one goes on from where it was.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	_, err := w.tenant.Apply(bulk(2))
	w.ok(err)
	w.engine.MaxAge = 2 * time.Hour
	start := w.clock.Now()
	down := fault.Fault{Kind: fault.Error, Status: 503, Path: fault.UsersDelta, Tenant: w.tenant.ID}
	id, err := wires.Microsoft.AddFault(down)
	w.ok(err)
	r := w.run()
	if r.State != job.RunFailed || r.Remedy == "" || r.Retries == 0 {
		t.Errorf("run %+v", r)
	}
	if took := w.clock.Now().Sub(start); took < w.engine.MaxAge || took > w.engine.MaxAge+2*w.engine.MaxDelay {
		t.Errorf("ended after %s, want %s", took, w.engine.MaxAge)
	}
	// 15 s, doubled to 15 min: thirteen waits fill two hours.
	if n := wires.Microsoft.Fired(id); n != r.GraphCalls || n < 13 || n > 16 {
		t.Errorf("%d tries, the run counts %d", n, r.GraphCalls)
	}
	wires.Microsoft.ClearFault(id)
	if w.succeed().Full {
		t.Error("an outage cost a full enumeration")
	}
	w.settled()
}

// hanging is a Graph that takes requests and never answers, until the client
// gives up on its own account.
type hanging struct{ calls atomic.Int32 }

func (h *hanging) RoundTrip(*http.Request) (*http.Response, error) {
	h.calls.Add(1)
	return nil, timeout{}
}

// timeout is how net/http reports a response header that did not come.
type timeout struct{}

func (timeout) Error() string   { return "net/http: timeout awaiting response headers" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
func (timeout) Is(err error) bool {
	return err.Error() == "context deadline exceeded"
}

// A Graph that hangs is a Graph that fails: the run waits longer and longer,
// and does not take it for its own time that is up.
func TestHangingGraph(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	h := &hanging{}
	e := w.newEngine(t, h)
	start := w.clock.Now()
	w.send(job.Schedule)
	for n := 0; n < 4 && w.step(e.Sync); n++ {
		w.bus.Tick()
	}
	// 15 s, 30 s and 60 s before the second, third and fourth try.
	if waited := w.clock.Now().Sub(start); h.calls.Load() != 4 || waited.Round(time.Second) != 105*time.Second {
		t.Errorf("%d calls within %s, want 4 in 1m45s", h.calls.Load(), waited)
	}
	if r := w.fence().Run; r.State != job.Waiting || r.Retries != 4 {
		t.Errorf("run %+v", r)
	}
	w.quiet(w.engine.Sync)
	w.settled()
}
