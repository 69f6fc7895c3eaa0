package reconcile_test

import (
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
)

// A run that is open while somebody consents anew says nothing of the consent,
// which is still spreading: it neither ends the verification nor makes the
// customer a suspect.
func TestReviewOpenRunDuringConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	w.succeed()
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Throttle, RetryAfter: "600", Path: fault.UsersDelta, Count: 1})
	w.send(job.Schedule)
	w.step(w.engine.Sync)
	fired()
	if r := w.fence().Run; r.State != job.Waiting {
		t.Fatalf("run %s", r.State)
	}
	c := w.connection() // as consent.Flow stores it when the administrator returns
	c.Status, c.Problem = connection.Consenting, nil
	c.Verify = connection.Verify{ID: connection.NewID(), Since: w.clock.Now()}
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
	w.relogin()
	id, err := wires.Microsoft.AddFault(fault.Fault{Kind: fault.AADSTS, Code: 700016, Tenant: w.tenant.ID}) // has not spread yet
	w.ok(err)
	defer wires.Microsoft.ClearFault(id)
	w.clock.Advance(10 * time.Minute)
	w.quiet(w.engine.Sync)
	if c = w.connection(); c.Status != connection.Consenting || c.Health.Suspicion != nil {
		t.Errorf("status %s, suspicion %+v, problem %+v", c.Status, c.Health.Suspicion, c.Problem)
	}
}
