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

// facts reads a page's names and values.
func facts(body string) map[string]string {
	found := map[string]string{}
	for _, part := range strings.Split(body, "<div><dt>")[1:] {
		name, rest, _ := strings.Cut(part, "</dt><dd>")
		value, _, _ := strings.Cut(rest, "</dd>")
		found[name] = value
	}
	return found
}

// A connected page tells what is stored, and what the latest sync has changed;
// never what a delta happened to list.
func TestConnectedFigures(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	v := consent.View{
		Stage: consent.Connected, Status: connection.OK, Standing: connection.OK, LastSuccess: at, Settings: connection.Defaults,
		Stored: &consent.Stored{People: 1842, Teams: 40, Memberships: 3001},
		Run: &job.Run{
			State: job.Succeeded, Ended: at, Counters: job.Counters{Seen: 7, Created: 2, Updated: 3, Archived: 1, Reactivated: 4},
			Teams: job.KindCounters{Created: 1, Archived: 1}, Memberships: job.KindCounters{Created: 5, Archived: 6},
		},
	}
	body := show(t, "en", v)
	got := facts(body)
	for name, want := range map[string]string{
		"People": "1,842", "Teams and groups": "40", "Memberships in them": "3,001", "People added": "2", "People changed": "3",
		"People archived, because they left": "1", "People who came back": "4", "Teams and groups added, changed or archived": "2",
		"Memberships that began or ended": "11",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if !strings.Contains(body, ">What is stored</h2>") || !strings.Contains(body, ">Latest sync</h2>") || strings.Contains(body, "read") && got["People read so far"] != "" {
		t.Error(body)
	}
	v.Run.Counters, v.Run.Teams, v.Run.Memberships = job.Counters{}, job.KindCounters{}, job.KindCounters{}
	v.Settings = connection.Settings{}
	body = show(t, "en", v)
	if got = facts(body); got["People"] != "1,842" || len(got) != 3 || !strings.Contains(body, "Nothing about people and teams had changed") {
		t.Errorf("nothing new: %v", got)
	}
}

// The first sync shows what it is at, and how far it has come.
func TestFirstSync(t *testing.T) {
	v := consent.View{Stage: consent.Connected, Status: connection.Connected, Standing: connection.Syncing, Settings: connection.Defaults, Run: &job.Run{State: job.Running}}
	for phase, want := range map[string]string{
		"people": "reading people", "members": "reading teams and their members", "licenses": "reading licenses", "mailboxes": "reading mailboxes",
		"managers": "reading reporting lines", "sweep": "checking who has left", "scope": "reading the chosen groups", "positions": "finishing", "unheard-of": "",
	} {
		v.Run.Phase, v.Run.Seen, v.Run.Created = phase, 600, 580
		v.Stored = &consent.Stored{People: 580}
		body := show(t, "en", v)
		got := facts(body)
		if got["Now"] != want || got["People read so far"] != "600" || got["People added"] != "580" || got["People"] != "580" || !strings.Contains(body, ">First sync</h2>") || strings.Contains(body, "Nothing about") {
			t.Errorf("%s: %v: %s", phase, got, body)
		}
	}
}

// Who has decided is not told that people wait.
func TestDecidedIsNotHeld(t *testing.T) {
	v := consent.View{Stage: consent.Connected, Status: connection.OK, Standing: connection.OK, Run: &job.Run{State: job.Held}}
	const waits = "they stay until that is confirmed"
	if body := show(t, "en", v); strings.Contains(body, waits) || !strings.Contains(body, "The last sync is complete.") {
		t.Error("decided:", body)
	}
	v.Status, v.Held = connection.Held, true
	if body := show(t, "en", v); !strings.Contains(body, waits) {
		t.Error("held:", body)
	}
}

// Whoever has something to mend is not told that there is nothing to do.
func TestSomethingLeftToDo(t *testing.T) {
	const done, left = "There is nothing left for you to do. You may close", "What there is to do is named above."
	for code, todo := range map[string]bool{
		"": false, "scope_group_gone": true, "scope_group_empty": true, "concealed_names": true, "empty_answer": false, "Weird": false,
	} {
		v := consent.View{Stage: consent.Connected, Status: connection.OK, Run: &job.Run{State: job.Succeeded}}
		if code != "" {
			v.Status, v.Problem = connection.Degraded, &connection.Problem{Code: code}
			v.Run.Skipped = []job.Skipped{{What: "6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94", Code: code}}
		}
		if body := show(t, "en", v); strings.Contains(body, left) != todo || strings.Contains(body, done) == todo {
			t.Errorf("%q: %s", code, body)
		}
	}
}

// An app registration of the customer's own that lacks a permission is not
// mended by consenting again, and the page says so wherever it says what lacks.
func TestOwnAppLacksPermission(t *testing.T) {
	const own, again, add = "Your own app registration lacks a permission.", "Approve the permissions again.", "App registrations, the app, API permissions, Microsoft Graph, Application permissions."
	denied := &job.Run{State: job.Succeeded, Skipped: []job.Skipped{{What: "mailboxes", Code: "Authorization_RequestDenied", Consent: true}}}
	for name, v := range map[string]consent.View{
		"degraded":    {Verified: true, Status: connection.Degraded, Problem: &connection.Problem{Code: "Authorization_RequestDenied", Consent: true}, Run: denied},
		"failed":      {Verified: true, Status: connection.Failed, Problem: &connection.Problem{Code: "Authorization_RequestDenied"}, Missing: []string{"Reports.Read.All"}},
		"unconfirmed": {Status: connection.Failed, Problem: &connection.Problem{Code: "Authorization_RequestDenied"}, Missing: []string{"Reports.Read.All"}},
	} {
		v.Stage, v.App, v.Settings, v.Company, v.Link = consent.Invitation, appID, everything, "Contoso", "https://sync.example/connect/x"
		v.Profile = connection.Profile{Name: "own", Permissions: connection.Needs(everything)}
		v.Own = true
		body := show(t, "en", v)
		for _, want := range []string{own, add, "<li>Read usage reports <code>Reports.Read.All</code></li>", `<span class="badge">Missing<`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q: %s", name, want, body)
			}
		}
		for _, lack := range []string{again, "Please approve them once more", "A new approval is needed for the rest", `<span class="badge">New<`} {
			if strings.Contains(body, lack) {
				t.Errorf("%s: %q: %s", name, lack, body)
			}
		}
		v.Own = false
		if body := show(t, "en", v); strings.Contains(body, own) {
			t.Errorf("%s of the vendor's app: %s", name, body)
		}
	}
}

// A refusal says what it leaves behind: of an attempt that proved somebody, the
// IDs in the audit log; of a connection that worked, all that it had.
func TestRefusalsSayWhatIsKept(t *testing.T) {
	p := testPages(t)
	kept := map[string]map[string]string{
		"en": {"ids": "object ID of the account that signed in", "nobody": "not by whom", "again": "Everything stays as it was", "first": "Nothing was connected"},
		"fr": {"ids": "ID d’objet du compte", "nobody": "mais pas son auteur", "again": "Tout reste comme avant", "first": "Rien n’a été connecté"},
		"nl": {"ids": "object-ID van het account", "nobody": "niet door wie", "again": "Alles blijft zoals het was", "first": "Er is niets verbonden"},
		"de": {"ids": "Objekt-ID des angemeldeten Kontos", "nobody": "nicht, von wem", "again": "Alles bleibt, wie es war", "first": "Es wurde nichts verbunden"},
	}
	for language, texts := range kept {
		for name, c := range map[string]struct {
			refusal    consent.Refusal
			want, lack []string
		}{
			"nobody":       {consent.Refusal{Cause: consent.SignInDeclined}, []string{"first", "nobody"}, []string{"ids", "again"}},
			"somebody":     {consent.Refusal{Cause: consent.NotAdministrator, Object: "o"}, []string{"first", "ids"}, []string{"nobody", "again"}},
			"again":        {consent.Refusal{Cause: consent.ConsentDeclined, Object: "o", Renewal: true}, []string{"again", "ids"}, []string{"first", "nobody"}},
			"a dead link":  {consent.Refusal{Cause: consent.LinkEnded}, nil, []string{"first", "again", "ids", "nobody"}},
			"nothing done": {consent.Refusal{Cause: consent.StateUnknown, Renewal: true}, nil, []string{"first", "again", "ids", "nobody"}},
		} {
			w := httptest.NewRecorder()
			p.Fail(w, asked(language), &c.refusal)
			body := w.Body.String()
			for _, key := range c.want {
				if !strings.Contains(body, texts[key]) {
					t.Errorf("%s, %s: no %q: %s", language, name, texts[key], body)
				}
			}
			for _, key := range c.lack {
				if strings.Contains(body, texts[key]) {
					t.Errorf("%s, %s: %q", language, name, texts[key])
				}
			}
		}
	}
	// Who declines once more loses nothing.
	for renewal, want := range map[bool]string{false: "Without the permissions Desk cannot read your directory.", true: "Desk goes on reading what it was allowed before, and nothing else."} {
		w := httptest.NewRecorder()
		p.Fail(w, asked("en"), &consent.Refusal{Cause: consent.ConsentDeclined, Renewal: renewal})
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), want) {
			t.Errorf("renewal %v: %d %s", renewal, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	if p.Fail(w, asked("en"), &consent.Refusal{Cause: consent.LinkEnded}); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "The connection that it belongs to has ended.") {
		t.Errorf("ended: %d %s", w.Code, w.Body)
	}
}
