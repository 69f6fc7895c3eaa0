package consent_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

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
		contoso + "|administrator|" + who + "|consent.given|done|teams|\n" +
		contoso + "|rollcall||consent.verified|done|teams|\n"
	if got := w.log(); got != want {
		t.Errorf("noted\n%swant\n%s", got, want)
	}
	given := w.entries[2].Detail
	if given["tenant"] != tenantA || given["app"] != teamsApp || given["consent"] != w.connections[contoso].Verify.ID {
		t.Errorf("given: %v", given)
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

// What proves nothing is not on record: scanners, forged links and states,
// and of a button that is pressed without end only so much an hour.
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
		for range times {
			if _, err := w.flow.Begin(t.Context(), w.token(id), consent.NewSecret()); err != nil {
				t.Fatal(err)
			}
		}
	}
	press(contoso, 100)
	press(fabrik, 2)
	if len(w.entries) != 32 {
		t.Errorf("%d entries, want 30 of the one and 2 of the other", len(w.entries))
	}
	w.signIn(b, contoso, admin, nil) // a proven person is noted nevertheless
	if last := w.entries[len(w.entries)-1]; len(w.entries) != 33 || last.Action != "consent.signed-in" {
		t.Errorf("%d entries, last %+v", len(w.entries), last)
	}
	w.clock = w.clock.Add(60 * 60e9)
	press(contoso, 1)
	if len(w.entries) != 34 {
		t.Errorf("%d entries, want one more in another hour", len(w.entries))
	}
}

// An audit log that is down stops nobody.
func TestAuditDown(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.fail = func(op string) error {
		if op == "note" {
			asked++
			return errors.New("log is down")
		}
		return nil
	}
	if a := w.finish(w.browser(), contoso, admin); a.location != w.link(contoso) || w.connections[contoso].Status != connection.Consenting {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	v := w.verifier(&microsoft{})
	if err := v.Verify(t.Context(), w.sent[0].job); err != nil || w.connections[contoso].Status != connection.Connected || asked != 4 {
		t.Errorf("%v, %s, asked %d times", err, w.connections[contoso].Status, asked)
	}
}
