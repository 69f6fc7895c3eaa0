package consent_test

import (
	"context"
	"errors"
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// A link tells what is stored, and whether a plan of removals waits: by the
// fence, not by the newest sync, which a decision comes after.
func TestLookTellsWhatIsStored(t *testing.T) {
	w := newWorld(t)
	w.runs = []job.Run{{ID: "d", Trigger: job.Reject, State: job.Succeeded}, {ID: "r", Trigger: job.Schedule, State: job.Held}}
	w.change(contoso, func(c *connection.Connection) {
		c.Status, c.Tenant, c.Verified, c.Profile, c.App = connection.OK, tenantA, w.clock, "teams", teamsApp
	})
	if v := w.look(contoso); v.Stored != nil || v.Held {
		t.Errorf("nothing stored: %+v, held %v", v.Stored, v.Held)
	}
	w.fence = job.Fence{
		Tally: job.Tally{Stored: 12, Active: 10}, Teams: job.Tally{Stored: 3, Active: 2}, Memberships: job.Tally{Stored: 9, Active: 8}, Plan: &job.Plan{},
	}
	if v := w.look(contoso); v.Stored == nil || *v.Stored != (consent.Stored{People: 10, Teams: 2, Memberships: 8}) || !v.Held {
		t.Errorf("%+v, held %v", v.Stored, v.Held)
	}
	w.fence.Plan = nil
	if v := w.look(contoso); v.Held || v.Run == nil || v.Run.State != job.Held {
		t.Errorf("decided: held %v, run %+v", v.Held, v.Run)
	}
	w.unread = errors.New("away")
	if v := w.look(contoso); v.Stored != nil || v.Held || v.Stage != consent.Connected {
		t.Errorf("unreadable: %+v", v)
	}
}

// The page of a refusal says that the IDs of who signed in are kept, exactly
// where the audit log holds them.
func TestRefusalSaysThatIDsAreKept(t *testing.T) {
	const ids, nobody = "object ID of the account that signed in", "not by whom"
	for name, c := range map[string]struct {
		act  func(w *world) answer
		kept bool
	}{
		"no administrator": {func(w *world) answer { return w.signIn(w.browser(), contoso, employee, nil) }, true},
		"sign-in declined": {func(w *world) answer {
			b := w.browser()
			a := w.press(b, w.link(contoso))
			state, _ := w.entra.signIn(w.t, a.location, admin, nil)
			return w.back(b, "error", "access_denied", "state", state)
		}, false},
		"consent declined": {func(w *world) answer {
			b := w.browser()
			return w.back(b, "error", "access_denied", "state", w.consentState(w.signIn(b, contoso, admin, nil), tenantA))
		}, true},
	} {
		w := newWorld(t)
		text := html.UnescapeString(c.act(w).body)
		last := w.entries[len(w.entries)-1]
		if last.Action != "consent.refused" || (last.Actor != "") != c.kept {
			t.Errorf("%s: noted %+v", name, last)
		}
		if strings.Contains(text, ids) != c.kept || strings.Contains(text, nobody) == c.kept {
			t.Errorf("%s: %s", name, text[strings.Index(text, "<main"):])
		}
	}
}

// Who declines a consent once more loses nothing, and is told so.
func TestDeclinedAgain(t *testing.T) {
	w := newWorld(t)
	w.app = mailApp
	w.change(contoso, func(c *connection.Connection) {
		c.Status, c.Tenant, c.Verified, c.Profile, c.App, c.Settings = connection.OK, tenantA, w.clock, "base", baseApp, &boxes
	})
	b := w.browser()
	state := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	before := w.picture()
	a := w.back(b, "error", "access_denied", "state", state)
	w.refused(a, 403, "The permissions were not approved", before)
	text := html.UnescapeString(a.body)
	if !strings.Contains(text, "Everything stays as it was") || !strings.Contains(text, "goes on reading what it was allowed before") || strings.Contains(text, "cannot read your directory") {
		t.Error(text[strings.Index(text, "<main"):])
	}
}

// A check that finds permissions missing names them, while it waits and when it
// gives up; of an app of the connection's own with what mends that.
func TestVerifyNamesWhatIsMissing(t *testing.T) {
	const again = "Open the link again and repeat the consent."
	for _, own := range []bool{false, true} {
		for _, denied := range []bool{false, true} {
			w, m, v := consenting(t)
			w.change(contoso, func(c *connection.Connection) {
				if c.Profile, c.App = "mailboxes", mailApp; own {
					c.Profile, c.App, c.OwnApp = "", contosoApp, ownSecret
				}
				c.Settings = &boxes
			})
			m.err = nil
			if denied { // as Graph's 403 for the tenant's own name
				m.err = fault.New(fault.Denied, "403").WithCode("Authorization_RequestDenied").WithRemedy("Ask them to consent again.")
			}
			v.Roles = func(context.Context, connection.Access) ([]string, error) { return []string{"User.Read.All"}, nil }
			if err := v.Verify(t.Context(), check(0)); err != nil {
				t.Fatal(err)
			}
			c := w.connections[contoso]
			want := []string{"Organization.Read.All", "Reports.Read.All", "MailboxSettings.Read"}
			if c.Status != connection.Consenting || !slices.Equal(c.Verify.Lacks, want) || !strings.HasSuffix(c.Problem.Message, "Missing: Organization.Read.All, Reports.Read.All, MailboxSettings.Read.") {
				t.Errorf("own %v, denied %v: %v, %+v", own, denied, c.Verify.Lacks, c.Problem)
			}
			w.clock = w.clock.Add(time.Hour)
			if !denied {
				w.change(contoso, func(c *connection.Connection) { c.Verify.Attempt = 5 })
				if err := v.Verify(t.Context(), check(5)); err != nil {
					t.Fatal(err)
				}
				// The sync goes without, and tells; what lacks is noted.
				c = w.connections[contoso]
				if last := w.entries[len(w.entries)-1]; c.Status != connection.Connected || last.Action != "consent.verified" || last.Detail["lacks"] != strings.Join(want, " ") || !slices.Equal(c.Verify.Lacks, want) {
					t.Errorf("own %v: %+v, noted %+v", own, c, last)
				}
				continue
			}
			if err := v.Verify(t.Context(), check(1)); err != nil {
				t.Fatal(err)
			}
			c = w.connections[contoso]
			remedy := again + " If the link has expired, ask for a new one."
			if own {
				remedy = c.OwnLack(want...) + " Then open the link again and repeat the consent."
			}
			if c.Status != connection.Failed || !strings.Contains(c.Problem.Message, "Missing: Organization.Read.All") || c.Problem.Remedy != remedy {
				t.Errorf("own %v: %+v", own, c.Problem)
			}
			if view := w.look(contoso); own != slices.Equal(view.Missing, want) {
				t.Errorf("own %v: shown %v", own, view.Missing)
			}
		}
	}
}

// A remedy is told once.
func TestVerifyTellsOneRemedy(t *testing.T) {
	for remedy, c := range map[string]struct {
		err  *fault.Error
		want string
	}{
		"withdrawn": {&fault.Error{Kind: fault.Denied, Class: fault.Disconnected, Code: "AADSTS700016", Remedy: "Send a new link."}, "Send a new link."},
		"policy":    {&fault.Error{Kind: fault.Denied, Class: fault.Policy, Code: "AADSTS53003", Remedy: "Exclude the app."}, "Exclude the app. Then open the link again and repeat the consent."},
		"passing":   {&fault.Error{Kind: fault.Unknown, Class: fault.Transient, Remedy: "Rollcall tries again."}, "Open the link again and repeat the consent. If the link has expired, ask for a new one."},
	} {
		w, m, v := consenting(t)
		m.err, w.clock = c.err, w.clock.Add(time.Hour)
		if err := v.Verify(t.Context(), check(0)); err != nil {
			t.Fatal(err)
		}
		if got := w.connections[contoso].Problem.Remedy; got != c.want {
			t.Errorf("%s: %q", remedy, got)
		}
	}
}
