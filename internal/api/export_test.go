package api

import (
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/connection"
)

// What is exported makes the same connection again, invited, and holds nothing
// that is stored, secret or proven.
func TestExportImport(t *testing.T) {
	b := newBench()
	full := connection.Connection{
		ID: fabrica, Company: "c-<2>", Name: "Fabrikam & Söhne", NamedTenant: tenant, Tenant: "11111111-2222-3333-4444-555555555555", Status: connection.OK,
		Problem: &connection.Problem{Code: "hidden", Message: "hidden", Remedy: "hidden"}, Link: 7, LinkExpires: now, Profile: "hidden", App: appBase, OwnApp: "hidden",
		Approved: &connection.Approval{Tenant: tenant, Object: object, By: "hidden"}, LastRun: "hidden", CreatedBy: "hidden", Version: "1", Verified: now, NextDue: now,
		Settings: &connection.Settings{ReportingLines: true, Mailboxes: true, MailboxTypes: true, Disabled: true, Groups: []string{team1}},
		Schedule: &connection.Schedule{Every: connection.Daily, At: "06:30", Zone: "Europe/Amsterdam"},
		Guard:    &connection.Guard{MaxCount: 0, MaxPercent: 2, MaxTeams: 3, MaxMemberships: 4}, Override: &connection.Override{By: "hidden", At: now},
		Asks: []connection.Ask{{Run: "hidden"}}, Manual: connection.Manual{Run: "hidden"},
	}
	bare := connection.Connection{ID: contoso, Company: "c", Name: "n", Status: connection.Invited, Link: 1, LinkExpires: now, Version: "1"}
	for _, c := range []connection.Connection{full, bare} {
		b.connections[c.ID] = c
		w := b.do(get, "/v1/connections/"+c.ID+"/export", "")
		if w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
		exported := w.Body.String()
		for _, never := range []string{"hidden", c.ID, object, appBase, "links.example", "11111111-2222"} {
			if strings.Contains(exported, never) {
				t.Errorf("%s is exported: %s", never, exported)
			}
		}
		w = b.do(post, "/v1/operations/import", exported, actorHeader, "Ada")
		var v Connection
		read(t, w, 201, &v)
		got := b.connections[v.ID]
		chosen := c.Chosen()
		want := connection.Connection{
			ID: v.ID, Company: c.Company, Name: c.Name, NamedTenant: c.NamedTenant, Status: connection.Invited, Link: 1, LinkExpires: now.Add(b.api.LinkTTL),
			Settings: &chosen, Schedule: c.Schedule, Guard: c.Guard, CreatedAt: now, CreatedBy: "Ada",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("imported %+v, want %+v", got, want)
		}
		if v.ID == c.ID || v.Link == "" || w.Header().Get("Location") != "/v1/connections/"+v.ID || !reflect.DeepEqual(b.connections[c.ID], c) {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
		if again := b.do(get, "/v1/connections/"+v.ID+"/export", "").Body.String(); again != exported {
			t.Errorf("exported again: %s, was %s", again, exported)
		}
		e := b.entries[len(b.entries)-1]
		if e.Connection != v.ID || e.Action != "connection.import" || strings.Contains(e.Detail["name"]+e.Detail["company"], "n") || (c.Guard != nil) != (e.Detail["maxTeams"] == "3") {
			t.Errorf("noted %+v", e)
		}
	}
	b.set(fabrica, func(c *connection.Connection) {
		c.Name, c.Status, c.Offboarding = "", connection.Offboarded, &connection.Offboarding{}
	})
	refused(t, b.do(get, "/v1/connections/"+fabrica+"/export", ""), 409, codePurging)
	refused(t, b.do(get, "/v1/connections/none/export", ""), 404, codeNotFound)
}

// An import is held to what an invitation is.
func TestImportRefused(t *testing.T) {
	b := newBench()
	before := len(b.connections)
	with := func(more string) string { return `{"version":1,"company":"c","name":"n"` + more + `}` }
	for body, field := range map[string]string{
		`{"company":"c","name":"n"}`:                                                      "body",
		`{"version":2,"company":"c","name":"n"}`:                                          "body.version",
		`{"version":0,"company":"c","name":"n"}`:                                          "body.version",
		`{"version":1,"company":" c","name":"n"}`:                                         "body.company",
		`{"version":1,"company":"c","name":"a\u202eb"}`:                                   "body.name",
		`{"version":1,"company":"c","name":""}`:                                           "body.name",
		with(`,"tenant":"x"`):                                                             "body.tenant",
		with(`,"settings":{"mailboxTypes":true}`):                                         "body.settings.mailboxTypes",
		with(`,"settings":{"guests":null}`):                                               "body.settings.guests",
		with(`,"settings":{"groups":["` + strings.ToUpper(object) + `"]}`):                "body.settings.groups[0]",
		with(`,"schedule":{"every":"daily","at":"06:30","zone":"Nowhere"}`):               "body.schedule.zone",
		with(`,"schedule":{"every":"weekly"}`):                                            "body.schedule.every",
		with(`,"guard":{"maxCount":1}`):                                                   "body.guard",
		with(`,"guard":{"maxCount":null,"maxPercent":2,"maxTeams":3,"maxMemberships":4}`): "body.guard",
		with(`,"guard":{"maxCount":1,"maxPercent":101,"maxTeams":3,"maxMemberships":4}`):  "body.guard.maxPercent",
		with(`,"link":"x"`):                                                               "body.link",
		with(`,"id":"x"`):                                                                 "body.id",
	} {
		if p := refused(t, b.do(post, "/v1/operations/import", body), 422, codeValidation); !p.names(field) {
			t.Errorf("%s: %+v, want %s", body, p.Errors, field)
		}
	}
	if len(b.connections) != before {
		t.Errorf("%d connections", len(b.connections))
	}
}
