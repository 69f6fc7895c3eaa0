package reconcile_test

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	msfault "rollcall/internal/sandbox/microsoft/fault"
)

// refused does a run while the tenant gets no token, for the cause named.
func (w *world) refused(t *testing.T, code int) job.Run {
	w.Helper()
	w.relogin()
	id, err := wires.Microsoft.AddFault(msfault.Fault{Kind: msfault.AADSTS, Code: code, Tenant: w.tenant.ID})
	w.ok(err)
	r := w.run()
	wires.Microsoft.ClearFault(id)
	if r.State != job.RunFailed || r.Remedy == "" || r.Error == "" {
		t.Errorf("AADSTS%d: run %s, %q, %q", code, r.State, r.Error, r.Remedy)
	}
	w.relogin()
	return r
}

// audit keeps what is noted.
type audit []connection.Entry

func (a *audit) Note(_ context.Context, e connection.Entry) error {
	*a = append(*a, e)
	return nil
}

// A tenant that does not know the app is suspected of having withdrawn it, and
// no run concludes that it has. Who is disconnected stays so until a run
// succeeds, which is in the audit log.
func TestDisconnectedAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	var noted audit
	w.engine.Audit = &noted
	w.succeed()
	r := w.refused(t, 700016)
	c := w.connection()
	if s := c.Health.Suspicion; r.Class != fault.Disconnected || c.Status != connection.Failed || c.Problem == nil || s == nil || s.Sightings != 1 || s.Code != "AADSTS700016" {
		t.Fatalf("after one run: class %q, %s, %+v", r.Class, c.Status, c.Health)
	}
	w.clock.Advance(time.Minute)
	w.refused(t, 700016)
	if c = w.connection(); c.Status != connection.Failed || c.Health.Suspicion.Sightings != 1 {
		t.Errorf("a minute later: %s, %+v", c.Status, c.Health.Suspicion)
	}
	w.clock.Advance(5 * time.Hour)
	w.refused(t, 700016)
	if c = w.connection(); c.Status != connection.Failed || c.Health.Suspicion.Sightings != 2 {
		t.Errorf("hours later: %s, %+v", c.Status, c.Health.Suspicion)
	}

	c.Status = connection.Disconnected // the janitor's verdict
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	w.clock.Advance(24 * time.Hour)
	for _, code := range []int{700016, 53003} {
		r = w.refused(t, code)
		if c = w.connection(); c.Status != connection.Disconnected || c.Problem == nil || c.Problem.Code != r.Code || c.LastRun != r.ID {
			t.Errorf("a day later: %s, %+v", c.Status, c.Problem)
		}
	}
	if len(noted) != 0 {
		t.Errorf("noted %+v", noted)
	}
	r = w.succeed()
	if c = w.connection(); c.Status != connection.OK || c.Problem != nil || c.Health != (connection.Health{}) {
		t.Errorf("after a success: %s, %+v, %+v", c.Status, c.Problem, c.Health)
	}
	if len(noted) != 1 || noted[0].Action != "reconnected" || noted[0].Connection != w.conn || noted[0].Source != connection.FromRollcall || noted[0].Detail["run"] != r.ID {
		t.Errorf("noted %+v", noted)
	}
	w.succeed()
	if len(noted) != 1 {
		t.Errorf("noted again: %+v", noted[1:])
	}
}

// What the customer's policy or a permission that is missing refuses counts
// as the customer's, and a success ends the count.
func TestPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	if r := w.refused(t, 53003); r.Class != fault.Policy {
		t.Errorf("class %q", r.Class)
	}
	fired := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Forbidden, Path: msfault.UsersDelta, Count: 2})
	if r := w.run(); r.State != job.RunFailed || r.Class != fault.Policy {
		t.Errorf("run %s, class %q", r.State, r.Class)
	}
	fired()
	if c := w.connection(); c.Status != connection.Failed || c.Health.Failures != 2 || c.Health.Suspicion != nil {
		t.Errorf("%s, %+v", c.Status, c.Health)
	}
	w.succeed()
	if c := w.connection(); c.Status != connection.OK || c.Health.Failures != 0 {
		t.Errorf("after a success: %s, %+v", c.Status, c.Health)
	}
}

// A credential of ours that is refused is waited for, and never held against a
// tenant.
func TestOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	before := w.connection()
	w.engine.MaxAge = time.Hour
	start := w.clock.Now()
	r := w.refused(t, 7000222)
	if r.Class != fault.Ours || r.Retries < 4 || w.clock.Now().Sub(start) < time.Hour {
		t.Errorf("class %q, %d tries in %s", r.Class, r.Retries, w.clock.Now().Sub(start))
	}
	if c := w.connection(); c.Status != connection.OK || c.Problem != nil || c.Health != before.Health || c.LastRun != r.ID {
		t.Errorf("%s, %+v, %+v", c.Status, c.Problem, c.Health)
	}
	w.succeed()
	w.settled()
}

// Who gets no token in the middle of a run has not lost a category: the run
// fails as a whole.
func TestNoTokenForACategory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	fired := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Forbidden, Path: msfault.SubscribedSKUs, Count: 1})
	gone := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.AADSTS, Code: 700016, Count: 1})
	r := w.run()
	fired()
	gone()
	if r.State != job.RunFailed || r.Class != fault.Disconnected || len(r.Skipped) != 0 {
		t.Errorf("run %s, class %q, skipped %+v", r.State, r.Class, r.Skipped)
	}
}

// The credential of an app of the connection's own is its owner's to mend: the
// connection says so, since nobody else is told.
func TestOwnAppRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	w.engine.MaxAge = time.Hour
	c := w.connection()
	c.OwnApp, c.App = "rollcall-app-"+c.ID, "0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b7" // and no such secret
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	if r := w.run(); r.State != job.RunFailed {
		t.Fatalf("run %s", r.State)
	}
	if c = w.connection(); c.Status != connection.Failed || c.Problem == nil || c.Problem.Remedy == "" {
		t.Errorf("a connection that cannot be synced any more is %s, problem %+v", c.Status, c.Problem)
	}
}

// A run that is open while somebody consents anew says nothing of the consent,
// which is still spreading: it neither ends the verification nor makes the
// customer a suspect.
func TestConsentingMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	fired := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.Throttle, RetryAfter: "600", Path: msfault.UsersDelta, Count: 1})
	run := w.send(job.Schedule)
	w.step(w.engine.Sync)
	fired()
	c := w.connection() // as it is when the administrator has returned
	c.Status, c.Problem = connection.Consenting, nil
	c.Verify = connection.Verify{ID: connection.NewID(), Since: w.clock.Now()}
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	w.relogin()
	gone := wires.Fault(t, w.tenant, msfault.Fault{Kind: msfault.AADSTS, Code: 700016}) // has not spread yet
	w.quiet(w.engine.Sync)
	gone()
	if c = w.connection(); w.record(run).State != job.RunFailed || c.Status != connection.Consenting || c.Health.Suspicion != nil || c.Problem != nil || c.LastRun != run {
		t.Errorf("run %s: status %s, suspicion %+v, problem %+v", w.record(run).State, c.Status, c.Health.Suspicion, c.Problem)
	}
}
