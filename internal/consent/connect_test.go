package consent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// A consent that is verified makes the connection whole again, whatever it was
// before: its first sync is due, and what failed is forgotten.
func TestReconnect(t *testing.T) {
	w := newWorld(t)
	long := w.clock.Add(-90 * 24 * time.Hour)
	regular := w.clock.Add(20 * time.Hour)
	w.change(contoso, func(c *connection.Connection) {
		c.Status, c.Tenant, c.Verified, c.NextDue, c.LastRun = connection.Disconnected, tenantA, long, regular, "r1"
		c.Profile, c.App = "teams", teamsApp
		c.Health = connection.Health{Failures: 7, Suspicion: &connection.Suspicion{Code: "AADSTS700016", Sightings: 2}}
		c.Problem = &connection.Problem{Code: "AADSTS700016"}
	})
	w.claims[tenantA] = contoso
	if a := w.finish(w.browser(), contoso, admin); a.location != w.link(contoso) {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	m := &microsoft{}
	if err := w.verifier(m).Verify(t.Context(), w.sent[0].job); err != nil {
		t.Fatal(err)
	}
	c := w.connections[contoso]
	if c.Status != connection.Connected || c.Problem != nil || c.Health != (connection.Health{}) || !c.Verified.Equal(long) {
		t.Errorf("stored %+v", c)
	}
	if !c.NextDue.Equal(w.clock) || !c.Displaced.Equal(regular) || len(m.starts) != 1 {
		t.Errorf("due %s in place of %s, starts %v", c.NextDue, c.Displaced, m.starts)
	}
	if want := (connection.Access{Tenant: tenantA, App: teamsApp}); len(m.probes) != 1 || m.probes[0] != want {
		t.Errorf("probed %+v", m.probes)
	}
}

// The first time is noted, once; a slot that passed meanwhile is not used.
func TestVerifiedOnce(t *testing.T) {
	w, m, v := consenting(t)
	w.change(contoso, func(c *connection.Connection) { c.NextDue = w.clock.Add(-time.Hour) })
	m.err = nil
	if err := v.Verify(t.Context(), check(0)); err != nil {
		t.Fatal(err)
	}
	if c := w.connections[contoso]; !c.Verified.Equal(w.clock) || !c.NextDue.Equal(w.clock) || !c.Displaced.IsZero() {
		t.Errorf("stored %+v", c)
	}
}

// The check waits for the permissions that were consented to and are needed,
// but not for ever for one that the first sync can do without.
func TestVerifyWaitsForRoles(t *testing.T) {
	base := []string{"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All"}
	all := append(base[:3:3], "Member.Read.Hidden", "GroupMember.Read.All", "Something.Else")
	for _, tc := range []struct {
		name    string
		profile string
		roles   [][]string // of the tries; the last stands for all further ones
		trouble error
		tries   int
	}{
		{"all at once", "teams", [][]string{all}, nil, 1},
		{"one late", "teams", [][]string{base, all[:4], all}, nil, 3},
		{"one missing", "teams", [][]string{all[:4]}, nil, 6},
		{"consented to less than is needed now", "base", [][]string{base}, nil, 1},
		{"own app", "", [][]string{base, base, all}, nil, 3},
		{"unreadable token", "teams", [][]string{nil}, nil, 1},
		{"trouble", "teams", [][]string{nil, nil, all}, errors.New("cut"), 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, m, v := consenting(t)
			w.change(contoso, func(c *connection.Connection) { c.Profile, c.App = tc.profile, "app" })
			m.err = nil
			tries := 0
			v.Roles = func(_ context.Context, a connection.Access) ([]string, error) {
				if want := (connection.Access{Tenant: tenantA, App: "app"}); a != want || len(m.probes) != tries+1 {
					t.Errorf("asked for %+v after %d probes", a, len(m.probes))
				}
				tries++
				if tc.trouble != nil && tries < len(tc.roles) {
					return nil, tc.trouble
				}
				return tc.roles[min(tries, len(tc.roles))-1], nil
			}
			for i := 0; w.connections[contoso].Status == connection.Consenting && i < 20; i++ {
				if err := v.Verify(t.Context(), check(i)); err != nil {
					t.Fatal(err)
				}
			}
			c := w.connections[contoso]
			if c.Status != connection.Connected || tries != tc.tries || c.Problem != nil {
				t.Errorf("%s after %d tries, want %d", c.Status, tries, tc.tries)
			}
			if tc.tries > 1 && w.entries[0].Detail["tries"] == "1" {
				t.Errorf("noted %+v", w.entries)
			}
		})
	}
}

// A check that gives up is on record with Microsoft's code, whoever finds out.
func TestVerifyFailureIsNoted(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w, _, v := consenting(t)
		began := w.clock
		w.clock = began.Add(time.Hour)
		want := contoso + "|rollcall||consent.failed|done||AADSTS700016\n"
		var err error
		if lost {
			want = contoso + "|rollcall||consent.failed|done||\n"
			err = v.Repair(t.Context(), w.connections[contoso], w.clock)
		} else {
			err = v.Verify(t.Context(), check(0))
		}
		if got := w.log(); err != nil || got != want || w.connections[contoso].Status != connection.Failed {
			t.Errorf("lost %v: %v, noted\n%swant\n%s", lost, err, got, want)
		}
	}
}

// A connection whose tenant was transferred to it binds it once its own
// administrator has consented; the one that gave it away never again.
func TestTransferred(t *testing.T) {
	w := newWorld(t)
	w.change(fabrik, func(c *connection.Connection) {
		c.Status, c.Tenant, c.Verified = connection.OK, tenantA, w.clock
	})
	w.claims[tenantA] = fabrik
	if a := w.signIn(w.browser(), contoso, admin, nil); a.status != 409 {
		t.Fatalf("before: status %d", a.status)
	}
	// What a transfer does.
	w.claims[tenantA] = contoso
	w.change(fabrik, func(c *connection.Connection) { c.Status = connection.Offboarded })
	if a := w.finish(w.browser(), contoso, admin); a.location != w.link(contoso) || w.connections[contoso].Tenant != tenantA || w.claims[tenantA] != contoso {
		t.Errorf("status %d, stored %+v", a.status, w.connections[contoso])
	}
	if a := w.press(w.browser(), w.link(fabrik)); a.status != 410 {
		t.Errorf("the giver's link: status %d", a.status)
	}
	if len(w.sent) != 1 || w.sent[0].job.Kind != job.Verify || w.sent[0].job.Connection != contoso {
		t.Errorf("sent %v", w.sent)
	}
}
