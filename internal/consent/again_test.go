package consent_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
)

// A consent that is not confirmed takes nothing away: what the tenant had
// consented to before is in force again, and the link leads to consent anew.
func TestUnconfirmedConsentTakesNothingAway(t *testing.T) {
	for _, tc := range []struct {
		name          string
		status        connection.Status
		chosen        connection.Settings
		app, profile  string // that the new consent is for
		verified      bool
		want          connection.Status
		wantApp, left string
	}{
		{"works", connection.OK, boxes, mailApp, "mailboxes", true, connection.Connected, baseApp, "base"},
		{"works but for a part", connection.Degraded, boxes, mailApp, "mailboxes", true, connection.Connected, baseApp, "base"},
		{"the same app once more", connection.Degraded, people, baseApp, "base", true, connection.Failed, baseApp, "base"},
		{"failed", connection.Failed, boxes, mailApp, "mailboxes", true, connection.Failed, baseApp, "base"},
		{"withdrawn", connection.Disconnected, boxes, mailApp, "mailboxes", true, connection.Failed, baseApp, "base"},
		{"never verified", connection.Failed, boxes, mailApp, "mailboxes", false, connection.Failed, mailApp, "mailboxes"},
	} {
		for _, lost := range []bool{false, true} {
			w := newWorld(t)
			w.app = tc.app
			w.change(contoso, func(c *connection.Connection) {
				c.Status, c.Tenant, c.Profile, c.App, c.Settings = tc.status, tenantA, "base", baseApp, &tc.chosen
				if tc.verified {
					c.Verified, c.NextDue = w.clock.AddDate(0, -1, 0), w.clock.Add(5*time.Hour)
				}
				if tc.status == connection.Degraded {
					c.Problem = &connection.Problem{Consent: true}
				}
			})
			due := w.connections[contoso].NextDue
			w.finish(w.browser(), contoso, admin)
			m := &microsoft{err: errors.New("not yet")}
			v := w.verifier(m)
			check := w.sent[0].job
			if err := v.Verify(t.Context(), check); err != nil || w.connections[contoso].App != tc.app || m.probes[0].App != tc.app {
				t.Fatalf("%s: %v, probed %+v", tc.name, err, m.probes)
			}
			w.clock = w.clock.Add(time.Hour)
			var err error
			if lost {
				err = v.Repair(t.Context(), w.connections[contoso], w.clock)
			} else {
				check.Slice++
				err = v.Verify(t.Context(), check)
			}
			c := w.connections[contoso]
			if err != nil || c.Status != tc.want || c.App != tc.wantApp || c.Profile != tc.left || c.Verify.Before != nil || !c.NextDue.Equal(due) || c.Problem == nil {
				t.Errorf("%s, lost %v: %v, stored %+v, problem %+v", tc.name, lost, err, c, c.Problem)
			}
			if goesOn := strings.Contains(c.Problem.Message, "goes on"); goesOn != tc.verified || c.Live() != tc.verified || len(m.starts) != 0 {
				t.Errorf("%s, lost %v: says %q, live %v, started %v", tc.name, lost, c.Problem.Message, c.Live(), m.starts)
			}
			if last := w.entries[len(w.entries)-1]; last.Action != "consent.failed" || last.Detail["app"] != tc.app || last.Detail["profile"] != tc.profile {
				t.Errorf("%s, lost %v: noted %+v", tc.name, lost, last)
			}
			if v := w.look(contoso); v.Stage != consent.Invitation || v.App != tc.app {
				t.Errorf("%s, lost %v: shown %+v", tc.name, lost, v)
			}
			w.finish(w.browser(), contoso, admin)
			if m.err = nil; v.Verify(t.Context(), w.sent[len(w.sent)-1].job) != nil {
				t.Errorf("%s, lost %v: consent again: %v", tc.name, lost, m)
			}
			if c := w.connections[contoso]; c.Status != connection.Connected || c.App != tc.app || c.Verify.Before != nil || c.Problem != nil || len(m.starts) != 1 {
				t.Errorf("%s, lost %v: consent again: stored %+v", tc.name, lost, c)
			}
		}
	}
}

// The vendor's approval of a person is for one consent: it lasts while that is
// tried, and no longer.
func TestApprovalIsUsedUp(t *testing.T) {
	w := newWorld(t)
	approve(tenantA, objectE)(w)
	w.finish(w.browser(), contoso, employee)
	m := &microsoft{err: errors.New("not yet")}
	v := w.verifier(m)
	w.clock = w.clock.Add(time.Hour)
	if err := v.Verify(t.Context(), w.sent[0].job); err != nil || w.connections[contoso].Status != connection.Failed || w.connections[contoso].Approved == nil {
		t.Fatalf("not confirmed: %v, stored %+v", err, w.connections[contoso])
	}
	w.finish(w.browser(), contoso, employee)
	m.err = nil
	if err := v.Verify(t.Context(), w.sent[len(w.sent)-1].job); err != nil || w.connections[contoso].Status != connection.Connected || w.connections[contoso].Approved != nil {
		t.Fatalf("%v, stored %+v", err, w.connections[contoso])
	}
	w.change(contoso, func(c *connection.Connection) { c.Status = connection.Failed })
	before := w.picture()
	w.refused(w.signIn(w.browser(), contoso, employee, nil), 403, "An administrator is needed", before)
}
