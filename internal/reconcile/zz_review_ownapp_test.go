package reconcile_test

import (
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// An own app whose credential is missing, expired or refused is its owner's to
// mend: the connection says so, since nobody else is told.
func TestReviewOwnAppCredentialShows(t *testing.T) {
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
	if c = w.connection(); c.Status == connection.OK || c.Problem == nil {
		t.Errorf("a connection that cannot be synced any more is %s, problem %+v", c.Status, c.Problem)
	}
}
