package proof

import (
	"net/http"
	"testing"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// emptied is a connected customer of whom a fifth has left, and the plan that
// holds them.
func emptied(t *testing.T, s *sandbox.Sandbox) (c customer, gone []string, path, hash string) {
	t.Helper()
	c = connected(t, s, tenant.Spec{People: 60})
	for _, p := range c.tenant.People()[:12] {
		gone = append(gone, p.ID)
		if err := c.tenant.Remove(p.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.tenant.Create(tenant.Fields{"userPrincipalName": "new@" + c.tenant.Domain, "displayName": "New"}); err != nil {
		t.Fatal(err)
	}
	syncNow(t, s, c)
	awaitRuns(t, s, c, 2)
	var page struct {
		Removals []struct{ ID string }
		Plan     *struct {
			Hash, Run string
			Count     int
		}
	}
	if _, err := s.Call(t.Context(), http.MethodGet, c.path("/removals?limit=1000"), nil, &page); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, r := range page.Removals {
		listed[r.ID] = true
	}
	for _, id := range gone {
		if !listed[id] {
			t.Errorf("%s has left and is not among the removals", id)
		}
	}
	if len(page.Removals) != 12 || page.Plan == nil || page.Plan.Count != 12 {
		t.Fatalf("%d removals, plan %+v", len(page.Removals), page.Plan)
	}
	stored, err := s.People(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	active := 0
	for _, p := range stored {
		if p.Active {
			active++
		}
	}
	if len(stored) != 61 || active != 61 {
		t.Errorf("%d stored, %d active, want all 61", len(stored), active)
	}
	return c, gone, c.path("/runs/" + page.Plan.Run), page.Plan.Hash
}

// status is what the connection says of itself.
func (c customer) status(t *testing.T, s *sandbox.Sandbox) string {
	t.Helper()
	var conn struct{ Status string }
	if _, err := s.Call(t.Context(), http.MethodGet, c.path(""), nil, &conn); err != nil {
		t.Fatal(err)
	}
	return conn.Status
}

// A held plan is decided over the machine API, by its hash and once.
func TestHeldPlanIsDecided(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	decide := func(t *testing.T, path, hash string, want int) {
		t.Helper()
		a, err := s.Call(t.Context(), http.MethodPost, path, map[string]string{"hash": hash}, nil)
		if err != nil || a.Status != want {
			t.Errorf("%s: status %d, want %d: %s %v", path, a.Status, want, a.Body, err)
		}
	}
	const other = "00112233445566778899aabbccddeeff"
	t.Run("approved", func(t *testing.T) {
		c, _, path, hash := emptied(t, s)
		if got := c.status(t, s); got != "held" {
			t.Errorf("status %s", got)
		}
		decide(t, path+"/approve", other, http.StatusConflict)
		decide(t, path+"/approve", hash, http.StatusAccepted)
		decide(t, path+"/approve", hash, http.StatusAccepted) // the same call again does nothing
		decide(t, path+"/reject", hash, http.StatusConflict)  // the first decision counts
		by := map[string]string{}
		all := awaitRuns(t, s, c, 3)
		for _, r := range all {
			by[r.Trigger] = r.By
		}
		if len(all) != 3 || by["first"] != "" || by["manual"] != "sandbox" || by["approve"] != "sandbox" {
			t.Errorf("%d runs, asked for by %v", len(all), by)
		}
		check(t, s, c)
		if got := c.status(t, s); got != "ok" {
			t.Errorf("status %s", got)
		}
		decide(t, path+"/reject", hash, http.StatusConflict)
	})
	t.Run("rejected", func(t *testing.T) {
		c, gone, path, hash := emptied(t, s)
		decide(t, path+"/reject", hash, http.StatusAccepted)
		awaitRuns(t, s, c, 3)
		stored, err := s.People(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range gone {
			if !stored[id].Active {
				t.Errorf("%s was kept and is archived", id)
			}
		}
		if got := c.status(t, s); got != "ok" {
			t.Errorf("status %s", got)
		}
	})
}
