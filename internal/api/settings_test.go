package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/connection"
)

// recommended is what is synced if nobody said otherwise.
var recommended = Settings{Positions: true, ReportingLines: true, Teams: true, Licenses: true, Guests: true, Disabled: true}

func TestSettings(t *testing.T) {
	b := newBench()
	var v Connection
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"}`), 201, &v)
	if !reflect.DeepEqual(v.Settings, &recommended) || b.connections[v.ID].Settings != nil {
		t.Errorf("none named: answered %+v, stored %+v", v.Settings, b.connections[v.ID].Settings)
	}
	v = Connection{}
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","settings":{"mailboxes":true,"mailboxTypes":true,"guests":false,"groups":["`+team2+`","`+team1+`","`+team2+`"]}}`), 201, &v)
	want := recommended
	want.Mailboxes, want.MailboxTypes, want.Guests, want.Groups = true, true, false, []string{team2, team1}
	if s := b.connections[v.ID].Settings; !reflect.DeepEqual(v.Settings, &want) || s == nil || !reflect.DeepEqual(Settings(*s), want) {
		t.Errorf("created with %+v, stored %+v", v.Settings, s)
	}

	path := "/v1/connections/" + v.ID
	b.conflicts = 2
	for _, step := range []struct {
		patch  string
		change func(*Settings)
	}{
		{`{"settings":{}}`, func(*Settings) {}},
		{`{"settings":{"guests":true}}`, func(s *Settings) { s.Guests = true }},
		{`{"settings":{"disabled":false,"positions":false,"reportingLines":false,"teams":false,"securityGroups":true,"licenses":false}}`, func(s *Settings) {
			s.Disabled, s.Positions, s.ReportingLines, s.Teams, s.SecurityGroups, s.Licenses = false, false, false, false, true, false
		}},
		{`{"settings":{"mailboxes":false,"mailboxTypes":false}}`, func(s *Settings) { s.Mailboxes, s.MailboxTypes = false, false }},
		{`{"settings":{"groups":[]},"guard":null}`, func(s *Settings) { s.Groups = nil }},
	} {
		step.change(&want)
		for _, how := range []string{patch, get} {
			body := ""
			if how == patch {
				body = step.patch
			}
			v = Connection{}
			read(t, b.do(how, path, body), 200, &v)
			if !reflect.DeepEqual(v.Settings, &want) {
				t.Errorf("%s %s: %+v, want %+v", how, step.patch, v.Settings, want)
			}
		}
	}
	if c := b.connections[v.ID]; c.LastRun != "other" {
		t.Errorf("another writer's %+v was lost", c)
	}
	if !reflect.DeepEqual(shapeSettings(connection.Defaults), recommended) {
		t.Errorf("the defaults themselves became %+v", connection.Defaults)
	}
}

func TestSettingsRefused(t *testing.T) {
	b := newBench()
	c := b.connections[contoso]
	c.Settings = &connection.Settings{Mailboxes: true, MailboxTypes: true}
	b.connections[contoso] = c
	groups := func(n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf(`"00000000-0000-4000-8000-%012d"`, i)
		}
		return `{"groups":[` + strings.Join(ids, ",") + `]}`
	}
	for settings, field := range map[string]string{
		`{"mailboxTypes":true,"mailboxes":false}`:        "body.settings.mailboxTypes",
		`{"mailboxes":false}`:                            "body.settings.mailboxTypes", // the types stay wanted
		`{"groups":["` + strings.ToUpper(object) + `"]}`: "body.settings.groups[0]",
		`{"groups":["` + team1 + `","compilers"]}`:       "body.settings.groups[1]",
		`{"groups":[null]}`:                              "body.settings.groups[0]",
		`{"groups":"` + team1 + `"}`:                     "body.settings.groups",
		groups(21):                                       "body.settings.groups",
		`{"groups":null}`:                                "body.settings.groups",
		`{"guests":null}`:                                "body.settings.guests",
		`{"guests":"yes"}`:                               "body.settings.guests",
		`{"guests":1}`:                                   "body.settings.guests",
		`{"Guests":true}`:                                "body.settings.Guests",
		`{"people":true}`:                                "body.settings.people",
		`[]`:                                             "body.settings",
		`true`:                                           "body.settings",
		`null`:                                           "body.settings",
	} {
		p := refused(t, b.do(patch, "/v1/connections/"+contoso, `{"settings":`+settings+`}`), 422, codeValidation)
		if !p.names(field) {
			t.Errorf("patch %s: errors %+v, want one at %q", settings, p.Errors, field)
		}
		if settings == `{"mailboxes":false}` {
			continue // new connections have no types
		}
		stored := len(b.connections)
		p = refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","settings":`+settings+`}`), 422, codeValidation)
		if !p.names(field) || len(b.connections) != stored {
			t.Errorf("create with %s: errors %+v, want one at %q", settings, p.Errors, field)
		}
	}
	refused(t, b.do(patch, "/v1/connections/"+contoso, `{"settings":{"guests":true,"guests":false}}`), 400, codeMalformed)
	if s := b.connections[contoso].Settings; !reflect.DeepEqual(*s, connection.Settings{Mailboxes: true, MailboxTypes: true}) {
		t.Errorf("a refused patch stored %+v", s)
	}
	var v Connection
	read(t, b.do(patch, "/v1/connections/"+contoso, `{"settings":`+groups(20)+`}`), 200, &v)
	if len(v.Settings.Groups) != 20 {
		t.Errorf("%d groups", len(v.Settings.Groups))
	}
}

func TestGuardOverride(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + fabrica
	for range 2 {
		var v Connection
		read(t, b.do(patch, path, `{"guardOverride":true}`, "X-Rollcall-Actor", "Ada"), 200, &v)
		if o := b.connections[fabrica].Override; o == nil || *o != (connection.Override{By: "Ada", At: now}) || v.Override == nil || *v.Override != (Override{"Ada", now}) {
			t.Errorf("stored %+v, answered %+v", o, v.Override)
		}
	}
	var v Connection
	read(t, b.do(patch, path, `{"settings":{"guests":false}}`), 200, &v)
	if v.Override == nil || b.connections[fabrica].Override == nil {
		t.Error("another change took the leave back")
	}
	for range 2 {
		v = Connection{}
		read(t, b.do(patch, path, `{"guardOverride":false}`), 200, &v)
		if b.connections[fabrica].Override != nil || v.Override != nil {
			t.Errorf("taken back: %+v", v.Override)
		}
	}
}

// Degraded is a status of its own; its syncs go on, and its administrator may
// consent again if that helps.
func TestDegradedConnection(t *testing.T) {
	b := newBench()
	c := b.connections[fabrica]
	c.Status = connection.Degraded
	c.Problem = &connection.Problem{Code: "concealed_names", Message: "The report conceals names.", Remedy: "Show them.", At: now}
	b.connections[fabrica] = c
	refused(t, b.do(post, "/v1/connections/"+fabrica+"/link", `{"action":"resend"}`), 409, codeConnected)
	c.Problem.Consent = true
	var v Connection
	read(t, b.do(post, "/v1/connections/"+fabrica+"/link", `{"action":"resend"}`), 200, &v)
	if v.Status != "degraded" || v.Link == "" || v.Problem == nil || v.Problem.Remedy != "Show them." {
		t.Errorf("%+v", v)
	}
}

// Whatever is taken for settings is what a client meant: its members are
// known, once each, and its groups few, different and in canonical form.
func FuzzSettings(f *testing.F) {
	for _, s := range []string{`{}`, `{"guests":true,"groups":["` + team1 + `","` + team1 + `"]}`, `{"mailboxTypes":true}`, `{"groups":[]}`,
		`{"groups":null}`, `null`, `{"guests":null}`, `{"GUESTS":true}`, `{"guests":true,"guests":false}`, `[`} {
		f.Add(s)
	}
	b := newBench()
	fresh := b.connections[contoso]
	f.Fuzz(func(t *testing.T, body string) {
		b.connections[contoso] = fresh
		w := b.do(patch, "/v1/connections/"+contoso, `{"settings":`+body+`}`)
		s := b.connections[contoso].Settings
		if w.Code != 200 {
			if s != nil {
				t.Errorf("%d for %q, and stored %+v", w.Code, body, s)
			}
			return
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(body), &members); err != nil || members == nil {
			if s != nil {
				t.Errorf("took %q", body)
			}
			return
		}
		if s.MailboxTypes && !s.Mailboxes || len(s.Groups) > 20 || len(slices.Compact(slices.Sorted(slices.Values(s.Groups)))) != len(s.Groups) {
			t.Errorf("took %q as %+v", body, s)
		}
		var stored map[string]any
		data, _ := json.Marshal(s)
		_ = json.Unmarshal(data, &stored)
		for name, value := range members {
			if name != "groups" && stored[name] != value {
				t.Errorf("took %q, and %s is %v", body, name, stored[name])
			}
		}
	})
}
