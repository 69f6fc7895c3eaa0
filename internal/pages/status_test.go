package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// Every status has a page that says what it means and what to do.
func TestStatuses(t *testing.T) {
	worked := func(s connection.Status, p *connection.Problem) consent.View {
		return consent.View{Stage: consent.Invitation, Verified: true, Status: s, Standing: s, Problem: p, App: appID}
	}
	connected := func(s connection.Status, r job.Run) consent.View {
		return consent.View{Stage: consent.Connected, Verified: true, Status: s, Standing: s, Run: &r, Paused: s == connection.Paused}
	}
	throttled := connected(connection.OK, job.Run{State: job.Waiting, Throttled: true, NextTry: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)})
	throttled.Standing = connection.Throttled
	due := connected(connection.OK, job.Run{State: job.Succeeded})
	due.NextDue = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		view       consent.View
		want, lack string
	}{
		"invited":   {consent.View{Stage: consent.Invitation, App: appID}, "Connect Contoso to Desk", `class="note warn"`},
		"withdrawn": {worked(connection.Disconnected, &connection.Problem{Code: "AADSTS700016", Message: "x", Consent: true}), "Desk no longer has access to your directory", "in English"},
		"failed by policy": {
			worked(connection.Failed, &connection.Problem{Code: "AADSTS53003", Message: "x"}), "A policy of your organization blocks the app.", "in English",
		},
		"switched off":  {worked(connection.Failed, &connection.Problem{Code: "AADSTS7000112"}), "The app is switched off in your tenant.", "in English"},
		"our trouble":   {worked(connection.Failed, &connection.Problem{Code: "AADSTS7000222"}), "The trouble is on our side.", "in English"},
		"a wave":        {worked(connection.Failed, &connection.Problem{Code: connection.WaveCode}), "The trouble is on our side.", "in English"},
		"unknown":       {worked(connection.Failed, &connection.Problem{Code: "Weird", Message: "It broke.", Remedy: "Mend it."}), `<span lang="en">It broke. Mend it. Weird</span>`, "Connect Contoso"},
		"degraded":      {worked(connection.Degraded, &connection.Problem{Code: "New_Code", Consent: true}), "A permission is missing.", "in English"},
		"settings":      {worked(connection.OK, nil), "The settings now need more permissions", "Code:"},
		"never worked":  {consent.View{Stage: consent.Invitation, App: appID, Status: connection.Failed, Problem: &connection.Problem{Message: "It broke."}}, "did not confirm the permissions within 30 minutes", "It broke."},
		"first blocked": {consent.View{Stage: consent.Invitation, App: appID, Status: connection.Failed, Problem: &connection.Problem{Code: "AADSTS53003"}}, "A policy of your organization blocks", "in English"},
		"verifying":     {consent.View{Stage: consent.Verifying, Problem: &connection.Problem{Message: "It broke."}}, "does not confirm the permissions yet", "It broke."},
		"verifying, blocked": {
			consent.View{Stage: consent.Verifying, Problem: &connection.Problem{Code: "AADSTS53003"}}, "A policy of your organization blocks", "not confirm the permissions yet",
		},
		"no run yet":  {consent.View{Stage: consent.Connected, Status: connection.Connected}, "The first sync is about to start.", "Next sync"},
		"after again": {connected(connection.Connected, job.Run{State: job.RunFailed}), "A sync is about to start.", "did not finish"},
		"running":     {connected(connection.OK, job.Run{State: job.Running}), "A sync is under way.", "slow down"},
		"waiting":     {connected(connection.OK, job.Run{State: job.Waiting}), "It waits for a moment and goes on by itself.", "slow down"},
		"throttled":   {throttled, "Microsoft asked us to slow down; it goes on by itself.", "note warn"},
		"goes on":     {throttled, "2026-01-02 03:04 UTC", "Next sync"},
		"due":         {due, "<dt>Next sync</dt>", "slow down"},
		"held":        {connected(connection.Held, job.Run{State: job.Held}), "they stay until that is confirmed, and you need not do anything", "note warn"},
		"paused":      {connected(connection.Paused, job.Run{State: job.Stopped}), "Syncs are paused", `http-equiv="refresh"`},
		"merged":      {connected(connection.OK, job.Run{State: job.Merged}), "together with another one", "note warn"},
	} {
		c.view.Company, c.view.Link = "Contoso", "https://sync.example/connect/x"
		body := show(t, "en", c.view)
		if !strings.Contains(body, c.want) || strings.Contains(body, c.lack) {
			t.Errorf("%s: want %q and not %q: %s", name, c.want, c.lack, body)
		}
	}
}

// What a run left out is told in parts, in the reader's language; what runs say
// in English is marked as such.
func TestSkippedParts(t *testing.T) {
	v := consent.View{
		Stage: consent.Connected, Status: connection.Degraded, Problem: &connection.Problem{Code: "concealed_names", Message: "x"},
		Run: &job.Run{State: job.Succeeded, Skipped: []job.Skipped{
			{What: "mailboxes", Code: "concealed_names", Message: "Concealed."}, {What: "licenses", Code: "empty_answer"},
			{What: "6b0c", Code: "scope_group_gone"}, {What: "teams", Code: "Weird", Message: "Odd.", Remedy: "Ask."},
		}},
	}
	body := show(t, "de", v)
	for _, want := range []string{
		"<strong>Postfächer:</strong> In Ihren Nutzungsberichten sind die Namen verborgen", "<strong>Lizenzen:</strong> Die Antwort von Microsoft war unvollständig",
		"<strong>Ausgewählte Gruppe:</strong> <code>6b0c</code> Die Gruppe gibt es nicht mehr.", `<span lang="en">Odd. Ask. Weird</span>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q: %s", want, body)
		}
	}
	if strings.Contains(body, "Concealed.") {
		t.Error("English of a known code is shown")
	}
}

// The box must be checked: the browser sees to it, and so do we.
func TestUnconfirmed(t *testing.T) {
	p := testPages(t)
	v := consent.View{Stage: consent.Invitation, Company: "Contoso", App: appID, Link: "https://sync.example/connect/x"}
	plain := show(t, "en", v)
	if !strings.Contains(plain, ` required aria-describedby="may-why">`) || strings.Contains(plain, `aria-invalid="true"`) {
		t.Error("the box need not be checked:", plain)
	}
	w := httptest.NewRecorder()
	p.Unconfirmed(w, httptest.NewRequest(http.MethodPost, "/connect/x/authorize", nil), v)
	for _, want := range []string{
		`role="alert">Please confirm that you may consent on behalf of Contoso.`, `aria-describedby="may-missing may-why" aria-invalid="true" autofocus`,
		`href="https://sync.example/connect/x?lang=de"`,
	} {
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %q: %s", w.Code, want, w.Body)
		}
	}
	w = httptest.NewRecorder()
	v.Stage = consent.Connected
	if p.Unconfirmed(w, asked("en"), v); w.Code != http.StatusOK {
		t.Errorf("connected meanwhile: %d", w.Code)
	}
	for body, want := range map[string]bool{"may=yes": true, "may=yes&x=%41": true, "": false, "may=no": false, "may=": false, "%": false, "x;may=yes": false} {
		r := httptest.NewRequest(http.MethodPost, "/connect/x/authorize", strings.NewReader(body))
		if confirmed, ok := p.Button(httptest.NewRecorder(), r); !ok || confirmed != want {
			t.Errorf("%q: confirmed %v, %v", body, confirmed, ok)
		}
	}
}

// Who lacks the role gets what to send to somebody who has it, and the way
// round by the vendor.
func TestNotAdministrator(t *testing.T) {
	w := httptest.NewRecorder()
	testPages(t).Fail(w, httptest.NewRequest(http.MethodGet, "/consent/callback?state=x", nil), &consent.Refusal{
		Cause: consent.NotAdministrator, Company: "A & B", Link: "https://sync.example/connect/x", Tenant: "t-1", Object: "o-1",
	})
	body := w.Body.String()
	for _, want := range []string{
		"Global Administrator", "Privileged Role Administrator", "Desk would like to read the people of A &amp; B", "https://sync.example/connect/x</textarea>",
		`href="mailto:?subject=Please%20connect%20A%20%26%20B%20to%20Desk&amp;body=Hello%2C%0D%0A`, "https%3A%2F%2Fsync.example%2Fconnect%2Fx\"",
		"they can approve you", "<code>t-1</code>", "<code>o-1</code>",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q: %s", want, body)
		}
	}
}

// The secret of a customer's own app is not ours to mend.
func TestOwnAppsCredential(t *testing.T) {
	english, err := loadCatalog("en")
	if err != nil {
		t.Fatal(err)
	}
	for own, want := range map[bool]string{false: "problem.ours", true: "problem.ownApp"} {
		p := page{speech: speech{texts: english}, View: consent.View{Own: own}}
		if got := p.explained("AADSTS7000222", false, "", ""); got.Happened != english[want] || got.Todo != english[want+".todo"] {
			t.Errorf("own app %v: %q, %q", own, got.Happened, got.Todo)
		}
	}
}
