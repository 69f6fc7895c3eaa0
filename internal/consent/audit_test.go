package consent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
)

// log is the audit log as lines of source, actor, action, outcome and code.
func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, e := range w.entries {
		if !e.At.Equal(w.clock) || e.ID != "" {
			w.t.Errorf("entry %+v", e)
		}
		b.WriteString(strings.Join([]string{e.Connection, e.Source, e.Actor, e.Action, e.Outcome, e.Detail["profile"], e.Detail["code"]}, "|") + "\n")
	}
	return b.String()
}

// Each step of a consent is on record, with who is proven to have taken it.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	w.finish(w.browser(), contoso, admin)
	m := &microsoft{}
	v := w.verifier(m)
	v.Verify(t.Context(), w.sent[0].job)
	who := tenantA + "/" + objectA
	want := contoso + "|administrator||consent.begin|done|teams|\n" +
		contoso + "|administrator|" + who + "|consent.signed-in|done|teams|\n" +
		contoso + "|administrator|" + who + "|consent.given|asked|teams|\n" +
		contoso + "|administrator|" + who + "|consent.given|done|teams|\n" +
		contoso + "|rollcall||consent.verified|done|teams|\n"
	if got := w.log(); got != want {
		t.Errorf("noted\n%swant\n%s", got, want)
	}
	for _, e := range w.entries[2:4] {
		if given := e.Detail; given["tenant"] != tenantA || given["app"] != teamsApp || given["consent"] != w.connections[contoso].Verify.ID {
			t.Errorf("given: %v", given)
		}
	}
	if b, _ := json.Marshal(w.entries); strings.Contains(string(b), "Contoso") || strings.Contains(string(b), w.token(contoso)) {
		t.Errorf("the log holds a name or a link: %s", b)
	}
}

// A refusal is on record with its cause, and with the person if one is proven.
func TestAuditRefusals(t *testing.T) {
	as := func(u user) string { return u.tenant + "/" + u.object }
	for _, tc := range []struct {
		name, actor, cause, code string
		before                   func(*world)
		do                       step
	}{
		{"no administrator", as(employee), "not-administrator", "", nil, onSignIn(employee, nil)},
		{"owned", as(admin), "tenant-owned", "", owned, onSignIn(admin, nil)},
		{"forged token", "", "unproven", "", nil, onSignIn(admin, forge(unsigned))},
		{"declined", as(admin), "consent-declined", "AADSTS65004", nil, onConsent(append(good, "error", "access_denied", "error_description", "AADSTS65004: Jane Doe declined")...)},
		{"another tenant", as(admin), "other-tenant", "", nil, onConsent("admin_consent", "True", "tenant", tenantB)},
		{"link revoked on the way", as(admin), "link-revoked", "", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
			w.change(contoso, func(c *connection.Connection) { c.Link++ })
			return w.back(b, append([]string{"state", s}, good...)...)
		}},
		{"an error instead of a sign-in", "", "sign-in-failed", "server_error", nil, func(w *world, b *http.Client) answer {
			state, _ := w.entra.signIn(w.t, w.press(b, w.link(contoso)).location, admin, nil)
			return w.back(b, "state", state, "error", "server_error")
		}},
		{"sign-in of another browser", "", "other-browser", "", nil, func(w *world, b *http.Client) answer {
			state, code := w.entra.signIn(w.t, w.press(w.browser(), w.link(contoso)).location, admin, nil)
			w.press(b, w.link(contoso))
			return w.back(b, "state", state, "code", code)
		}},
		{"consent of another browser", "", "other-browser", "", nil, func(w *world, b *http.Client) answer {
			s := w.consentState(w.signIn(w.browser(), contoso, admin, nil), tenantA)
			w.press(b, w.link(contoso))
			return w.back(b, append([]string{"state", s}, good...)...) // not by the administrator
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.before != nil {
				tc.before(w)
			}
			tc.do(w, w.browser())
			want := contoso + "|administrator|" + tc.actor + "|consent.refused|refused: " + tc.cause + "||" + tc.code + "\n"
			if got := w.log(); !strings.HasSuffix(got, want) || strings.Count(got, "refused") != 2 {
				t.Errorf("noted\n%swant at the end\n%s", got, want)
			}
		})
	}
}

// What proves nothing is not on record: scanners, forged links and states, and
// of what is done without end only so much an hour, each kind by itself.
func TestAuditVolume(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.get(b, w.link(contoso))
	w.get(b, w.link(contoso)+"x")
	w.press(b, w.ours.URL+"/connect/forged")
	w.back(b, "state", consent.NewSecret(), "code", "c")
	w.back(b, "state", "x", "state", "y")
	w.flow.Begin(t.Context(), w.token(contoso), "no browser")
	if got := w.log(); got != "" {
		t.Fatalf("noted\n%s", got)
	}
	press := func(id string, times int) {
		for i := range times {
			if i%30 == 0 && i > 0 {
				w.clock = w.clock.Add(15 * time.Minute) // the button's own bound
			}
			if _, err := w.flow.Begin(t.Context(), w.token(id), consent.NewSecret()); err != nil {
				t.Fatal(err)
			}
		}
	}
	noted := func(what string, want int) {
		t.Helper()
		if len(w.entries) != want {
			t.Errorf("%s: %d entries, want %d", what, len(w.entries), want)
		}
	}
	press(contoso, 60)
	press(fabrik, 2)
	noted("30 of the one and 2 of the other", 32)
	w.clock = w.clock.Add(15 * time.Minute)
	w.signIn(b, contoso, admin, nil)
	noted("a proven person nevertheless", 33)
	for range 20 {
		w.signIn(b, contoso, admin, forge(unsigned))
	}
	noted("refusals, whatever was pressed", 53)
	w.clock = w.clock.Add(15 * time.Minute)
	for range 20 {
		w.signIn(b, contoso, admin, forge(unsigned))
	}
	noted("but not without end", 63)
	w.clock = w.clock.Add(time.Hour)
	press(contoso, 1)
	noted("and one more in another hour", 64)
}

// An audit log that is down binds no tenant, and stops nothing else.
func TestAuditDown(t *testing.T) {
	w := newWorld(t)
	down, failed := "", 0
	audit := auditFunc(func(ctx context.Context, e connection.Entry) error {
		if down == "" || strings.HasPrefix(e.Action+" "+e.Outcome, down) {
			failed++
			return errors.New("log is down")
		}
		return w.Note(ctx, e)
	})
	w.flow.Audit = audit
	before := w.picture()
	w.refused(w.finish(w.browser(), contoso, admin), http.StatusServiceUnavailable, "Please try again in a moment", before)
	if failed != 3 {
		t.Errorf("asked %d times", failed)
	}
	down, failed = "consent.given done", 0
	if a := w.finish(w.browser(), contoso, admin); a.location != w.link(contoso) || w.connections[contoso].Status != connection.Consenting || failed != 1 {
		t.Errorf("status %d, asked %d times: %s", a.status, failed, a.body)
	}
	down, failed = "", 0
	v := w.verifier(&microsoft{})
	v.Audit = audit
	if err := v.Verify(t.Context(), w.sent[0].job); err != nil || w.connections[contoso].Status != connection.Connected || failed != 1 {
		t.Errorf("%v, %s, asked %d times", err, w.connections[contoso].Status, failed)
	}
}

type auditFunc func(context.Context, connection.Entry) error

func (f auditFunc) Note(ctx context.Context, e connection.Entry) error { return f(ctx, e) }

// A consent that loses a race is asked for once, and one whose tenant is taken
// says so.
func TestAuditOfRace(t *testing.T) {
	w := newWorld(t)
	once := true
	w.fail = func(op string) error {
		if op == "update" && once {
			once = false
			c := w.connections[contoso]
			c.Version += "x"
			w.connections[contoso] = c
		}
		return nil
	}
	w.finish(w.browser(), contoso, admin)
	if got := w.log(); once || strings.Count(got, "consent.given|asked") != 1 || strings.Count(got, "consent.given|done") != 1 {
		t.Errorf("noted\n%s", got)
	}
	w = newWorld(t)
	b := w.browser()
	s := w.consentState(w.signIn(b, contoso, admin, nil), tenantA)
	w.claims[tenantA] = fabrik
	w.back(b, append([]string{"state", s}, good...)...)
	if got := w.log(); !strings.Contains(got, "consent.given|asked|teams|\n") || !strings.HasSuffix(got, "consent.refused|refused: tenant-owned||\n") || strings.Contains(got, "given|done") {
		t.Errorf("noted\n%s", got)
	}
}
