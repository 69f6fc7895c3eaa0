package consent_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
)

// token is what the connection's link holds.
func (w *world) token(id string) string {
	link := w.link(id)
	return link[strings.LastIndex(link, "/")+1:]
}

// look is what the connection's link shows.
func (w *world) look(id string) consent.View {
	w.t.Helper()
	v, err := w.flow.Look(w.t.Context(), w.token(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// cause is why an error refuses; empty if it is no refusal.
func cause(err error) consent.Cause {
	var r *consent.Refusal
	if errors.As(err, &r) {
		return r.Cause
	}
	return ""
}

func (w *world) choose(id string, s connection.Settings) {
	w.change(id, func(c *connection.Connection) { c.Settings = &s })
}

var (
	people  = connection.Settings{Positions: true, ReportingLines: true, Licenses: true}
	teams   = connection.Settings{Teams: true}
	boxes   = connection.Settings{Mailboxes: true, MailboxTypes: true}
	scoped  = connection.Settings{Groups: []string{tenantB}}
	reports = connection.Settings{Mailboxes: true}
)

// Who chooses little is asked for little: both trips are for the smallest app
// that covers the settings, and that app is on record.
func TestSmallestApp(t *testing.T) {
	for _, tc := range []struct {
		name          string
		settings      connection.Settings
		without       string // an app that is not registered
		profile, app  string
		first, absent string // of the permissions
	}{
		{"people", people, "", "base", baseApp, "LicenseAssignment.Read.All", "GroupMember.Read.All"},
		{"as recommended", connection.Defaults, "", "teams", teamsApp, "Member.Read.Hidden", "Reports.Read.All"},
		{"teams", teams, "", "teams", teamsApp, "GroupMember.Read.All", "Reports.Read.All"},
		{"a scope group", scoped, "", "teams", teamsApp, "GroupMember.Read.All", "Reports.Read.All"},
		{"mailbox reports", reports, "", "mailboxes", mailApp, "Reports.Read.All", "Mail.Read"},
		{"mailboxes", boxes, "", "mailboxes", mailApp, "MailboxSettings.Read", "Mail.Read"},
		{"people without a base app", people, "base", "teams", teamsApp, "GroupMember.Read.All", "Reports.Read.All"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.app = tc.app
			w.choose(contoso, tc.settings)
			delete(w.flow.Registered, tc.without)
			v := w.look(contoso)
			if v.Profile.Name != tc.profile || v.App != tc.app || v.Own || !slices.Contains(v.Profile.Permissions, tc.first) || slices.Contains(v.Profile.Permissions, tc.absent) {
				t.Errorf("offered %+v by %s", v.Profile, v.App)
			}
			w.finish(w.browser(), contoso, admin)
			c := w.connections[contoso]
			if want := (connection.Access{Tenant: tenantA, App: tc.app}); c.Profile != tc.profile || c.Access() != want || !c.Covered() {
				t.Errorf("stored profile %q, access %+v, want %+v", c.Profile, c.Access(), want)
			}
			if v := w.look(contoso); v.Stage != consent.Verifying || v.Profile.Name != tc.profile || v.App != tc.app || v.Missing != nil {
				t.Errorf("shown %+v", v)
			}
		})
	}
}

// Settings that change on the way mix up no apps: what was consented to is on
// record, and if that does not suffice the link leads to the rest.
func TestSettingsChangeBetweenLegs(t *testing.T) {
	for _, when := range []string{"sign-in", "consent"} {
		t.Run(when, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			w.app = baseApp
			w.choose(contoso, people)
			to := w.press(b, w.link(contoso)).location
			if when == "sign-in" {
				w.choose(contoso, boxes)
			}
			state, code := w.entra.signIn(t, to, admin, nil)
			s := w.consentState(w.back(b, "state", state, "code", code), tenantA)
			w.choose(contoso, boxes)
			w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA)
			c := w.connections[contoso]
			if c.Status != connection.Consenting || c.Profile != "base" || c.App != baseApp || c.Covered() {
				t.Fatalf("stored %+v", c)
			}
			w.change(contoso, func(c *connection.Connection) { c.Status, c.Verified = connection.Connected, w.clock })
			v := w.look(contoso)
			want := []string{"Reports.Read.All", "MailboxSettings.Read"}
			if v.Stage != consent.Invitation || !v.Verified || v.Profile.Name != "mailboxes" || !slices.Equal(v.Missing, want) {
				t.Errorf("shown %+v", v)
			}
			w.app = mailApp
			w.finish(b, contoso, admin)
			if c := w.connections[contoso]; c.App != mailApp || c.Profile != "mailboxes" || !c.Covered() {
				t.Errorf("stored %+v", c)
			}
		})
	}
}

// Without an app that covers the settings nobody is sent anywhere, and the
// page still stands.
func TestNoProfile(t *testing.T) {
	w := newWorld(t)
	w.choose(contoso, boxes)
	delete(w.flow.Registered, "mailboxes")
	before := w.picture()
	_, err := w.flow.Begin(t.Context(), w.token(contoso), consent.NewSecret())
	if cause(err) != consent.NoProfile || fault.Of(err).Kind != fault.Denied {
		t.Errorf("begin: %v", err)
	}
	if v := w.look(contoso); v.Stage != consent.Invitation || v.App != "" || v.Profile.Name != "" {
		t.Errorf("shown %+v", v)
	}
	if w.picture() != before || len(w.nonces)+len(w.entries) != 0 {
		t.Errorf("kept %s, %v, %v", w.picture(), w.nonces, w.entries)
	}
}

// A connection with an app of its own consents to that one, which proves
// itself by its own secret.
func TestOwnApp(t *testing.T) {
	w := newWorld(t)
	w.app = contosoApp
	w.change(contoso, func(c *connection.Connection) { c.OwnApp = ownSecret })
	w.flow.Registered = nil // it needs none of the vendor's
	if v := w.look(contoso); v.App != contosoApp || !v.Own || v.Stage != consent.Invitation || !slices.Equal(v.Profile.Permissions, []string{
		"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All", "GroupMember.Read.All", "Member.Read.Hidden",
	}) {
		t.Errorf("shown %+v", v)
	}
	w.finish(w.browser(), contoso, admin)
	want := connection.Access{Tenant: tenantA, App: contosoApp, Own: ownSecret}
	if c := w.connections[contoso]; c.Status != connection.Consenting || c.Profile != "" || !c.Covered() || c.Access() != want {
		t.Errorf("stored %+v", c)
	}
}

// A trip for one app registration ends if the connection has another by then:
// the consent would be taken for one to the other.
func TestOwnAppChangesBetweenLegs(t *testing.T) {
	for _, tc := range []struct {
		name, before, after, app string
		change                   func(*world)
	}{
		{"given", "", ownSecret, teamsApp, func(*world) {}},
		{"taken away", ownSecret, "", contosoApp, func(*world) {}},
		{"exchanged", ownSecret, "rollcall-app-other", contosoApp, func(w *world) { w.own["rollcall-app-other"] = contosoApp }},
		{"another in the same secret", ownSecret, ownSecret, contosoApp, func(w *world) { w.own[ownSecret] = baseApp }},
		{"secret deleted", ownSecret, ownSecret, contosoApp, func(w *world) { delete(w.own, ownSecret) }},
		{"the vendor's registered anew", "", "", teamsApp, func(w *world) { w.flow.Registered["teams"] = contosoApp }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.app = tc.app
			w.change(contoso, func(c *connection.Connection) { c.OwnApp = tc.before })
			b := w.browser()
			one := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			to := w.press(b, w.link(contoso)).location
			two, code := w.entra.signIn(t, to, admin, nil)
			w.change(contoso, func(c *connection.Connection) { c.OwnApp = tc.after })
			tc.change(w)
			before := w.picture()
			for _, pairs := range [][]string{{"state", one, "admin_consent", "True", "tenant", tenantA}, {"state", two, "code", code}} {
				if a := w.back(b, pairs...); a.status != http.StatusBadRequest || w.picture() != before {
					t.Errorf("%v: status %d, stored %s", pairs, a.status, w.picture())
				}
			}
		})
	}
	// So does one that is exchanged while the consent is being stored.
	w := newWorld(t)
	b := w.browser()
	s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	once := true
	w.fail = func(op string) error {
		if op == "update" && once {
			once = false
			c := w.connections[contoso]
			c.OwnApp, c.Version = ownSecret, c.Version+"x"
			w.connections[contoso] = c
		}
		return nil
	}
	if a := w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA); a.status != http.StatusBadRequest || w.connections[contoso].Status != connection.Invited || once {
		t.Errorf("status %d, stored %+v", a.status, w.connections[contoso])
	}
}

// A missing secret is the vendor's to mend; a vault that is down may pass.
func TestOwnAppUnreadable(t *testing.T) {
	w := newWorld(t)
	w.change(contoso, func(c *connection.Connection) { c.OwnApp = "rollcall-app-other" })
	if _, err := w.flow.Begin(t.Context(), w.token(contoso), consent.NewSecret()); cause(err) != consent.NoProfile {
		t.Errorf("no secret: %v", err)
	}
	if v := w.look(contoso); v.App != "" || !v.Own {
		t.Errorf("no secret: shown %+v", v)
	}
	w.fail = func(op string) error {
		if op == "own" {
			return errors.New("vault is down")
		}
		return nil
	}
	if _, err := w.flow.Begin(t.Context(), w.token(contoso), consent.NewSecret()); cause(err) != "" || !fault.Is(err, fault.Unknown) {
		t.Errorf("vault down: %v", err)
	}
	if v := w.look(contoso); v.App != "" || v.Company == "" {
		t.Errorf("vault down: shown %+v", v)
	}
}
