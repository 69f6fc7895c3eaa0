package consent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// stateKey is where a state is stored: not under itself.
func stateKey(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "consent-state-" + hex.EncodeToString(sum[:])
}

// finish goes the whole way and returns the last answer.
func (w *world) finish(b *http.Client, id string, who user) answer {
	w.t.Helper()
	s := w.consentState(w.signIn(b, id, who, nil), who.tenant)
	return w.back(b, "state", s, "admin_consent", "True", "tenant", strings.ToUpper(who.tenant), "scope", "x")
}

// Whoever may bind a tenant gets there: consent is stored, the tenant claimed,
// the check sent, and the link then shows how it stands.
func TestConsent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		who    user
		before func(*world)
	}{
		{"global administrator", admin, nil},
		{"privileged role administrator", user{tenantA, objectE, []string{roleAdm}}, nil},
		{"approved person", employee, approve(tenantA, objectE)},
		{"named tenant", admin, func(w *world) {
			w.change(contoso, func(c *connection.Connection) { c.NamedTenant = tenantA })
		}},
		{"claim left by a crash", admin, func(w *world) { w.claims[tenantA] = contoso }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.before != nil {
				tc.before(w)
			}
			b := w.browser()
			page := w.get(b, w.link(contoso))
			for _, want := range []string{"Contoso &lt;Ltd&gt;", "User.Read.All", "Organization.Read.All", "twice", `method="post"`} {
				if page.status != http.StatusOK || !strings.Contains(page.body, want) {
					t.Fatalf("status %d, page lacks %q", page.status, want)
				}
			}
			a := w.finish(b, contoso, tc.who)
			if a.status != http.StatusSeeOther || a.location != w.link(contoso) {
				t.Fatalf("status %d, to %q: %s", a.status, a.location, a.body)
			}
			c := w.connections[contoso]
			if c.Status != connection.Consenting || c.Tenant != tenantA || !c.Verify.Since.Equal(w.clock) || w.claims[tenantA] != contoso {
				t.Errorf("stored %+v, claims %v", c, w.claims)
			}
			want := job.Job{Kind: job.Verify, Connection: contoso, Run: c.Verify.ID}
			if len(w.sent) != 1 || w.sent[0].job != want || c.Verify.ID == "" {
				t.Errorf("sent %+v, want %+v", w.sent, want)
			}
			if len(w.nonces) != 0 {
				t.Errorf("states left: %v", w.nonces)
			}
			if status := w.get(b, a.location); !strings.Contains(status.body, `http-equiv="refresh" content="5"`) || strings.Contains(status.body, "<form") {
				t.Errorf("status page: %s", status.body)
			}
		})
	}
}

// A link changes nothing by being looked at, and needs no cookie for it.
func TestLookChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.picture()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r, _ := http.NewRequest(method, w.link(contoso), nil)
		a := w.do(&http.Client{Transport: w.ours.Client().Transport}, r)
		if a.status != http.StatusOK || a.header.Get("Set-Cookie") != "" || (method == http.MethodHead) != (a.body == "") {
			t.Errorf("%s: %d, cookie %q", method, a.status, a.header.Get("Set-Cookie"))
		}
	}
	for path, want := range map[string]int{"/authorize": http.StatusMethodNotAllowed, "/other": http.StatusNotFound} {
		if a := w.get(w.browser(), w.link(contoso)+path); a.status != want {
			t.Errorf("GET %s: %d, want %d", path, a.status, want)
		}
	}
	r, _ := http.NewRequest(http.MethodHead, w.ours.URL+"/consent/callback?state=x", nil)
	if a := w.do(w.browser(), r); a.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD of the callback: %d", a.status)
	}
	if after := w.picture(); after != before || len(w.nonces) != 0 {
		t.Errorf("changed: %s", after)
	}
}

// The button works from our own page only.
func TestCrossSite(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		site, origin string
		want         int
	}{
		{"same-origin", "null", http.StatusSeeOther},
		{"none", "", http.StatusSeeOther},
		{"", w.ours.URL, http.StatusSeeOther},
		{"", "", http.StatusSeeOther},
		{"cross-site", "https://evil.example", http.StatusForbidden},
		{"same-site", w.ours.URL, http.StatusForbidden},
		{"", "null", http.StatusForbidden},
		{"", "https://evil.example", http.StatusForbidden},
	} {
		r, _ := http.NewRequest(http.MethodPost, w.link(contoso)+"/authorize", strings.NewReader(confirmed))
		for k, v := range map[string]string{"Sec-Fetch-Site": tc.site, "Origin": tc.origin} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		r.Host = "evil.example" // nothing may depend on it
		clear(w.nonces)
		a := w.do(w.browser(), r)
		if a.status != tc.want || (len(w.nonces) == 1) != (tc.want == http.StatusSeeOther) || strings.Contains(a.location, "evil") {
			t.Errorf("%q, %q: status %d, want %d; %d states", tc.site, tc.origin, a.status, tc.want, len(w.nonces))
		}
	}
	r, _ := http.NewRequest(http.MethodPost, w.link(contoso)+"/authorize", strings.NewReader(strings.Repeat("x", 64<<10+1)))
	if a := w.do(w.browser(), r); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d", a.status)
	}
	if a := w.back(w.browser(), "state", strings.Repeat("x", 16<<10)); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("large query: %d", a.status)
	}
}

// A browser is bound by a cookie that only our host can set and no script read.
func TestCookie(t *testing.T) {
	w := newWorld(t)
	got := w.press(w.browser(), w.link(contoso)).header.Get("Set-Cookie")
	for _, want := range []string{"__Host-rollcall-browser=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(got, want) || strings.Contains(got, "Domain") {
			t.Errorf("cookie %q lacks %q, or names a domain", got, want)
		}
	}
}

// A step that dies is repaired by doing it again.
func TestCrash(t *testing.T) {
	for _, op := range []string{"put", "take", "owner", "claim", "update", "send"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			fired := false
			w.fail = func(o string) error {
				if o == op && !fired {
					fired = true
					return errors.New("killed")
				}
				return nil
			}
			w.try(w.browser())
			if !fired {
				t.Fatal("the fault never fired")
			}
			w.try(w.browser())
			c := w.connections[contoso]
			if c.Status != connection.Consenting || c.Tenant != tenantA || w.claims[tenantA] != contoso || len(w.sent) == 0 {
				t.Errorf("stored %+v, claims %v, sent %v", c, w.claims, w.sent)
			}
		})
	}
}

// try goes as far as it gets.
func (w *world) try(b *http.Client) {
	a := w.press(b, w.link(contoso))
	if !strings.HasPrefix(a.location, w.entra.URL) {
		return
	}
	state, code := w.entra.signIn(w.t, a.location, admin, nil)
	a = w.back(b, "state", state, "code", code)
	if !strings.HasPrefix(a.location, w.entra.URL) {
		return
	}
	w.back(b, "state", w.consentState(a, tenantA), "admin_consent", "True", "tenant", tenantA)
}

// Two tabs of one administrator end in one consent.
func TestTwoTabs(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	one := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	two := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	for _, s := range []string{one, two} {
		if a := w.back(b, "state", s, "admin_consent", "True", "tenant", tenantA); a.location != w.link(contoso) {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	if len(w.sent) != 1 {
		t.Errorf("sent %v, want one check", w.sent)
	}
}

// Once connected, a link shows and does no more; once that failed or does not
// suffice, it leads to consent again, but to no other tenant than the one whose people are stored.
func TestAfterwards(t *testing.T) {
	w := newWorld(t)
	may := false // whether another consent gives what a part of the directory lacks
	set := func(s connection.Status) {
		w.change(contoso, func(c *connection.Connection) {
			c.Status, c.Tenant, c.NextDue, c.LastRun = s, tenantB, w.clock.Add(time.Hour), "r1"
			c.Problem = &connection.Problem{Consent: s == connection.Degraded && may}
		})
	}
	for _, s := range []connection.Status{connection.Connected, connection.OK, connection.Degraded} {
		set(s)
		b := w.browser()
		if a := w.get(b, w.link(contoso)); !strings.Contains(a.body, "is connected") || strings.Contains(a.body, "<form") {
			t.Errorf("%s: %s", s, a.body)
		}
		if a := w.press(b, w.link(contoso)); a.location != w.link(contoso) || len(w.nonces) != 0 {
			t.Errorf("%s: button leads to %q", s, a.location)
		}
	}
	may = true
	for _, s := range []connection.Status{connection.Failed, connection.Degraded} {
		set(s)
		before := w.picture()
		w.refused(w.signIn(w.browser(), contoso, admin, nil), http.StatusConflict, "Contoso <Ltd> is already tied to another tenant", before)
		if a := w.finish(w.browser(), contoso, user{tenantB, objectA, []string{global}}); a.location != w.link(contoso) || w.connections[contoso].Status != connection.Consenting {
			t.Errorf("%s: consent again: status %d, %+v", s, a.status, w.connections[contoso])
		}
	}
}

// Trouble of ours is not blamed on the person, and says nothing of its cause.
func TestTrouble(t *testing.T) {
	w := newWorld(t)
	w.fail = func(string) error { return fault.New(fault.Unknown, "secret detail") }
	a := w.get(w.browser(), w.link(contoso))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "secret detail") || !strings.Contains(a.body, "Reference") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

// A link says what the connection's own settings read, and whether it works
// but for a part.
func TestLookTellsSettings(t *testing.T) {
	w := newWorld(t)
	for _, status := range []connection.Status{connection.Invited, connection.Degraded} {
		for app, s := range map[string]*connection.Settings{
			teamsApp: nil, // as recommended
			mailApp:  {Mailboxes: true, MailboxTypes: true},
		} {
			w.change(contoso, func(c *connection.Connection) {
				c.Status, c.Settings, c.Problem = status, s, &connection.Problem{Message: "Licenses were not synced.", Remedy: "Consent again.", Consent: true}
			})
			v := w.look(contoso)
			if v.App != app || v.Settings.MailboxTypes != (s != nil) || v.Degraded != (status == connection.Degraded) || v.Problem == nil {
				t.Errorf("%s, settings %+v: shown %+v", status, s, v)
			}
			if a := w.get(w.browser(), w.link(contoso)); a.status != http.StatusOK {
				t.Errorf("%s: status %d", status, a.status)
			}
		}
	}
}

// A connected link tells of the newest sync, whatever else somebody has asked
// for since.
func TestLookTellsNewestSync(t *testing.T) {
	w := newWorld(t)
	w.change(contoso, func(c *connection.Connection) {
		c.Status, c.Tenant, c.NextDue = connection.OK, tenantA, w.clock.Add(time.Hour)
	})
	token := w.link(contoso)[strings.LastIndex(w.link(contoso), "/")+1:]
	look := func() string {
		v, err := w.flow.Look(t.Context(), token)
		if err != nil || v.Stage != consent.Connected {
			t.Fatalf("%+v, %v", v, err)
		}
		if v.Run == nil {
			return ""
		}
		return v.Run.ID
	}
	others := []job.Trigger{job.Preview, job.Person, job.Erase, job.Approve, job.Reject}
	var asked []job.Run
	for i := range 123 { // more than are read at a time
		asked = append(asked, job.Run{ID: fmt.Sprintf("%03d", i), Trigger: others[i%len(others)]})
	}
	if w.runs = asked; look() != "" {
		t.Errorf("without a sync: run %s", look())
	}
	for _, trigger := range []job.Trigger{job.First, job.Schedule, job.Manual, job.Again} {
		w.runs = append(asked[:len(asked):len(asked)], job.Run{ID: "sync", Trigger: trigger}, job.Run{ID: "sync-before", Trigger: job.Schedule})
		if got := look(); got != "sync" {
			t.Errorf("%s: run %q", trigger, got)
		}
	}
}
