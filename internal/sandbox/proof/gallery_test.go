package proof

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	state "rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/pages"
)

// shelf holds pages by name, each as it is had without its long story.
type shelf map[string]func(p *pages.Pages, w http.ResponseWriter, r *http.Request)

// gallery is every page that there is, with what the real ones hold.
func gallery() shelf {
	at := time.Date(2026, 3, 14, 9, 26, 0, 0, time.UTC)
	every := state.Settings{
		Positions: true, ReportingLines: true, Teams: true, SecurityGroups: true, Licenses: true, Mailboxes: true, MailboxTypes: true,
		Groups: []string{"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"},
	}
	base := consent.View{
		Company: "Contoso", Link: "/connect/x", Expires: at.AddDate(0, 0, 14), App: "5f3c0a57-2d8b-4a1e-9a44-7a1f0a3c9b11",
		Tenant: "1c9f3f0e-52f7-4b2e-8d0a-5a6f3b1f7d11", Settings: every, Profile: state.Profiles[2], Since: at, Checks: 3,
	}
	counted := job.Counters{Seen: 12345, Created: 1200, Updated: 34}
	all := shelf{}
	view := func(name string, change func(v *consent.View)) {
		v := base
		change(&v)
		all[name] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.View(w, r, v) }
	}
	again := func(name string, s state.Status, p *state.Problem, change func(v *consent.View)) {
		view(name, func(v *consent.View) {
			v.Stage, v.Verified, v.Status, v.Standing, v.Problem = consent.Invitation, true, s, s, p
			change(v)
		})
	}
	done := func(name string, s state.Status, r job.Run, change func(v *consent.View)) {
		view(name, func(v *consent.View) {
			r.Counters, r.Teams, r.Memberships = counted, job.KindCounters{Created: 3, Updated: 1}, job.KindCounters{Created: 120, Archived: 7}
			v.Stored = &consent.Stored{People: 12290, Teams: 412, Memberships: 40217}
			v.Stage, v.Verified, v.Status, v.Standing, v.Run = consent.Connected, true, s, s, &r
			change(v)
		})
	}
	view("invitation-smallest", func(v *consent.View) {
		v.Stage, v.Profile, v.Settings, v.NamedTenant = consent.Invitation, state.Profiles[2], state.Settings{}, v.Tenant
	})
	view("invitation-own-app", func(v *consent.View) { v.Stage, v.Own, v.Profile = consent.Invitation, true, state.Profile{} })
	view("invitation-no-app", func(v *consent.View) { v.Stage, v.App = consent.Invitation, "" })
	v := base
	v.Stage = consent.Invitation
	all["invitation-not-confirmed"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.Unconfirmed(w, r, v) }
	view("unconfirmed", func(v *consent.View) { v.Stage, v.Status = consent.Invitation, state.Failed })
	again("disconnected", state.Disconnected, &state.Problem{Code: "AADSTS700016", Consent: true}, func(*consent.View) {})
	again("failed-by-policy", state.Failed, &state.Problem{Code: "AADSTS53003"}, func(*consent.View) {})
	again("failed", state.Failed, &state.Problem{Code: "Weird", Message: "Something odd happened.", Remedy: "Ask the operator."}, func(*consent.View) {})
	again("more", state.OK, nil, func(v *consent.View) { v.Missing = []string{"Reports.Read.All", "MailboxSettings.Read"} })
	again("degraded", state.Degraded, &state.Problem{Consent: true}, func(v *consent.View) {
		v.Run = &job.Run{State: job.Succeeded, Skipped: []job.Skipped{
			{What: "licenses", Code: "Authorization_RequestDenied", Consent: true}, {What: "mailboxes", Code: "concealed_names"},
		}}
	})
	again("own-app-lacks", state.Degraded, &state.Problem{Code: "Authorization_RequestDenied", Consent: true}, func(v *consent.View) {
		v.Own, v.Profile = true, state.Profile{}
		v.Run = &job.Run{State: job.Succeeded, Skipped: []job.Skipped{{What: "mailboxes", Code: "Authorization_RequestDenied", Consent: true}}}
	})
	done("connected-nothing-new", state.OK, job.Run{State: job.Succeeded, Ended: at}, func(v *consent.View) {
		v.Run.Counters, v.Run.Teams, v.Run.Memberships = job.Counters{}, job.KindCounters{}, job.KindCounters{}
		v.NextDue = at.Add(12 * time.Hour)
	})
	view("verifying", func(v *consent.View) { v.Stage, v.Problem = consent.Verifying, &state.Problem{} })
	view("connected-first", func(v *consent.View) { v.Stage, v.Status = consent.Connected, state.Connected })
	done("connected-running", state.Connected, job.Run{State: job.Running, Phase: "members"}, func(*consent.View) {})
	done("connected-throttled", state.OK, job.Run{State: job.Waiting, Throttled: true, NextTry: at}, func(v *consent.View) { v.Standing = state.Throttled })
	done("connected-held", state.Held, job.Run{State: job.Held, Ended: at}, func(v *consent.View) { v.NextDue = at.Add(12 * time.Hour) })
	done("connected-paused", state.Paused, job.Run{State: job.Stopped, Ended: at}, func(v *consent.View) { v.Paused = true })
	done("connected-degraded", state.Degraded, job.Run{State: job.Succeeded, Ended: at, Skipped: []job.Skipped{
		{What: "mailboxes", Code: "concealed_names"}, {What: every.Groups[0], Code: "scope_group_gone"},
	}}, func(v *consent.View) { v.Problem = &state.Problem{Code: "concealed_names"} })
	for _, cause := range consent.Causes {
		refusal := &consent.Refusal{Cause: cause, Company: "Contoso", Link: "/connect/x"}
		switch cause {
		case consent.LinkUnknown, consent.LinkExpired, consent.LinkRevoked, consent.LinkEnded, consent.BadRequest, consent.StateUnknown:
			refusal.Company, refusal.Link = "", ""
		case consent.NotNamedTenant, consent.BoundElsewhere:
			refusal.Expected = "7c9f3f0e-52f7-4b2e-8d0a-5a6f3b1f7d33"
			fallthrough
		case consent.NotAdministrator:
			refusal.Object = "0b9f3f0e-52f7-4b2e-8d0a-5a6f3b1f7d22"
			fallthrough
		case consent.TenantOwned:
			refusal.Tenant = base.Tenant
		case consent.ConsentDeclined: // of who has consented before
			refusal.Renewal = true
		case consent.SignInFailed, consent.ConsentFailed:
			refusal.Code = "AADSTS90094"
		}
		all["refused-"+string(cause)] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.Fail(w, r, refusal) }
	}
	all["busy"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) {
		p.Fail(w, r, fault.New(fault.Unknown, "x"))
	}
	all["error"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) {
		p.Fail(w, r, fault.New(fault.Invalid, "x"))
	}
	all["not-found"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.NotFound(w, r) }
	all["too-large"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.TooLarge(w, r) }
	all["wrong-method"] = func(p *pages.Pages, w http.ResponseWriter, r *http.Request) { p.WrongMethod(w, r, "GET") }
	return all
}

// distinct are the pages whose structure no other one has.
var distinct = []string{
	"invitation-smallest", "invitation-own-app", "invitation-no-app", "invitation-not-confirmed", "more", "degraded", "verifying",
	"connected-running", "connected-throttled", "connected-paused", "connected-degraded", "refused-" + string(consent.NotAdministrator),
}

// visits opens every page in one language. Of the pages that differ from
// others in their words alone axe looks at a part in each language, so that it
// has seen all, unless ROLLCALL_BROWSER_FULL asks for more.
func (w window) visits(language string) {
	w.t.Helper()
	var p *pages.Pages
	all := gallery()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		show, ok := all[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok { // such as a favicon
			http.NotFound(rw, r)
			return
		}
		show(p, rw, r)
	}))
	defer server.Close()
	var err error
	if p, err = pages.New("Rollcall", server.URL, "https://login.example", slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
	turn := slices.IndexFunc(ways, func(here way) bool { return here.language == language })
	for i, name := range slices.Sorted(maps.Keys(all)) {
		thorough := slices.Contains(distinct, name) || i%len(ways) == turn || os.Getenv("ROLLCALL_BROWSER_FULL") != ""
		w.do(chromedp.Navigate(server.URL + "/" + name))
		w.sound(language, name, thorough)
	}
}
