package consent_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// A link tells whether a sync is under way, as everybody else is told.
func TestLookTellsStanding(t *testing.T) {
	for _, tc := range []struct {
		status    connection.Status
		state     job.State
		throttled bool
		want      connection.Status
		stage     consent.Stage
		paused    bool
	}{
		{connection.Connected, job.Running, false, connection.Syncing, consent.Connected, false},
		{connection.OK, job.Waiting, false, connection.Syncing, consent.Connected, false},
		{connection.OK, job.Waiting, true, connection.Throttled, consent.Connected, false},
		{connection.OK, job.Succeeded, true, connection.OK, consent.Connected, false},
		{connection.OK, job.Queued, false, connection.OK, consent.Connected, false},
		{connection.Held, job.Held, false, connection.Held, consent.Connected, false},
		{connection.Failed, job.Running, false, connection.Syncing, consent.Invitation, false},
		{connection.Disconnected, job.RunFailed, false, connection.Disconnected, consent.Invitation, false},
		{connection.Disconnected, job.Running, false, connection.Syncing, consent.Invitation, false},
		{connection.Paused, job.Running, false, connection.Paused, consent.Connected, true},
		{connection.Consenting, job.Running, false, connection.Consenting, consent.Verifying, false},
	} {
		w := newWorld(t)
		w.runs = []job.Run{{ID: "r", Trigger: job.Schedule, State: tc.state, Throttled: tc.throttled}}
		w.change(contoso, func(c *connection.Connection) {
			c.Status, c.Tenant, c.Verified, c.Profile, c.App = tc.status, tenantA, w.clock, "teams", teamsApp
			c.NextDue, c.LastSuccess = w.clock.Add(time.Hour), w.clock.Add(-time.Hour)
		})
		v := w.look(contoso)
		if v.Status != tc.status || v.Standing != tc.want || v.Stage != tc.stage || v.Paused != tc.paused || !v.Verified {
			t.Errorf("%s, run %s, throttled %v: %+v", tc.status, tc.state, tc.throttled, v)
		}
		if !v.NextDue.Equal(w.clock.Add(time.Hour)) || !v.LastSuccess.Equal(w.clock.Add(-time.Hour)) || v.Profile.Name != "teams" || v.App != teamsApp {
			t.Errorf("%s: %+v", tc.status, v)
		}
	}
}

// A connection from before there were profiles consented to the app that asks
// for most.
func TestLookBeforeProfiles(t *testing.T) {
	w := newWorld(t)
	w.change(contoso, func(c *connection.Connection) { c.Status, c.Tenant, c.Verified = connection.OK, tenantA, w.clock })
	if v := w.look(contoso); v.Stage != consent.Connected || v.Profile.Name != "mailboxes" || v.App != mailApp || v.Missing != nil {
		t.Errorf("%+v", v)
	}
}

// A paused connection shows where it stands, and nobody can consent to it.
func TestPaused(t *testing.T) {
	for _, when := range []string{"button", "sign-in", "consent"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			var state, code string
			switch when {
			case "sign-in":
				state, code = w.entra.signIn(t, w.press(b, w.link(contoso)).location, admin, nil)
			case "consent":
				state = w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			}
			w.change(contoso, func(c *connection.Connection) {
				c.Status, c.Tenant, c.Verified, c.Paused = connection.Paused, tenantA, w.clock, &connection.Pause{Before: connection.Failed}
			})
			before, states := w.picture(), len(w.nonces)
			a := map[string]func() answer{
				"button":  func() answer { return w.press(b, w.link(contoso)) },
				"sign-in": func() answer { return w.back(b, "state", state, "code", code) },
				"consent": func() answer { return w.back(b, "state", state, "admin_consent", "True", "tenant", tenantA) },
			}[when]()
			if a.status != http.StatusSeeOther || a.location != w.link(contoso) || w.picture() != before || len(w.nonces) > states {
				t.Errorf("status %d, to %q, stored %s", a.status, a.location, w.picture())
			}
		})
	}
}

// After the end a link is dead at every step, and nothing more is written of
// the connection, not even that somebody tried.
func TestOffboarded(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	link := w.link(contoso)
	state, code := w.entra.signIn(t, w.press(b, link).location, admin, nil)
	second := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	w.change(contoso, func(c *connection.Connection) { c.Status = connection.Offboarded })
	before, noted := w.picture(), len(w.entries)
	for name, a := range map[string]answer{
		"page": w.get(b, link), "button": w.press(b, link),
		"sign-in": w.back(b, "state", state, "code", code),
		"consent": w.back(b, "state", second, "admin_consent", "True", "tenant", tenantA),
	} {
		if a.status != http.StatusGone {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
	if w.picture() != before || len(w.entries) != noted || len(w.nonces) != 0 {
		t.Errorf("kept %s, %v, %v", w.picture(), w.entries, w.nonces)
	}
}

// What opens an address without cookies ends nobody's trip, and leaves no
// trace: whoever began it goes on.
func TestScanner(t *testing.T) {
	w := newWorld(t)
	b, scanner := w.browser(), &http.Client{Transport: w.ours.Client().Transport, CheckRedirect: w.browser().CheckRedirect}
	scan := func(pairs ...string) {
		t.Helper()
		before, states, noted := w.picture(), fmt.Sprint(w.nonces), fmt.Sprint(w.entries)
		for range 2 {
			if a := w.back(scanner, pairs...); a.status != http.StatusForbidden || a.header.Get("Set-Cookie") != "" {
				t.Errorf("status %d, cookie %q", a.status, a.header.Get("Set-Cookie"))
			}
			if a := w.get(scanner, w.link(contoso)); a.status != http.StatusOK || a.header.Get("Set-Cookie") != "" {
				t.Errorf("page: status %d", a.status)
			}
		}
		if w.picture() != before || fmt.Sprint(w.nonces) != states || fmt.Sprint(w.entries) != noted {
			t.Errorf("changed: %s, %v, %v", w.picture(), w.nonces, w.entries)
		}
	}
	state, code := w.entra.signIn(t, w.press(b, w.link(contoso)).location, admin, nil)
	scan("state", state, "code", code)
	second := w.consentState(w.back(b, "state", state, "code", code), tenantA)
	scan("state", second, "admin_consent", "True", "tenant", tenantA)
	if a := w.back(b, "state", second, "admin_consent", "True", "tenant", tenantA); a.location != w.link(contoso) || w.connections[contoso].Status != connection.Consenting {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

// Two people with the same link, each in a browser of their own, end in one
// consent.
func TestTwoBrowsers(t *testing.T) {
	w := newWorld(t)
	one, two := w.browser(), w.browser()
	s1 := w.consentState(w.signIn(one, contoso, admin, nil), tenantA)
	s2 := w.consentState(w.signIn(two, contoso, user{tenantA, objectE, []string{roleAdm}}, nil), tenantA)
	for b, s := range map[*http.Client]string{one: s1, two: s2} {
		if a := w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA); a.location != w.link(contoso) {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	if len(w.sent) != 1 || w.claims[tenantA] != contoso {
		t.Errorf("sent %v, claims %v", w.sent, w.claims)
	}
}
