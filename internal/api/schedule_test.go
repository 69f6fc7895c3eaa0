package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

func TestSchedule(t *testing.T) {
	b := newBench()
	var v Connection
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","schedule":{"every":"twice","at":"06:30","zone":"Europe/Amsterdam"}}`), 201, &v)
	if s := b.connections[v.ID].Schedule; s == nil || *s != (connection.Schedule{Every: "twice", At: "06:30", Zone: "Europe/Amsterdam"}) || *v.Schedule != Schedule(*s) || v.NextDue != nil {
		t.Errorf("stored %+v, answered %+v", s, v)
	}
	v = Connection{}
	if w := b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","schedule":null}`); w.Code != 201 || strings.Contains(w.Body.String(), "schedule") {
		t.Errorf("none: %d %s", w.Code, w.Body)
	}

	path := "/v1/connections/" + fabrica
	b.set(fabrica, func(c *connection.Connection) { c.Verified, c.LastRun, c.Interval = now, "r", 12*time.Hour })
	b.conflicts = 2
	for _, step := range []struct {
		schedule string
		want     *Schedule
		next     string // by the clock of now, 2026-11-21 09:30 UTC
	}{
		{`{"every":"daily","at":"06:30","zone":"Europe/Amsterdam"}`, &Schedule{"daily", "06:30", "Europe/Amsterdam"}, "2026-11-22T05:30:00Z"},
		{`{"every":"twice","at":"06:30"}`, &Schedule{"twice", "06:30", ""}, "2026-11-21T18:30:00Z"},
		{`{"every":"hourly","at":"00:45","zone":"Asia/Kolkata"}`, &Schedule{"hourly", "00:45", "Asia/Kolkata"}, "2026-11-21T10:15:00Z"},
		{`{"every":"off"}`, &Schedule{Every: "off"}, ""},
		{`null`, nil, "2026-11-21T21:30:00Z"},
	} {
		for _, method := range []string{patch, get} {
			body := ""
			if method == patch {
				body = `{"schedule":` + step.schedule + `}`
			}
			v = Connection{}
			read(t, b.do(method, path, body), 200, &v)
			next := ""
			if v.NextDue != nil {
				next = v.NextDue.Format(time.RFC3339)
			}
			if !reflect.DeepEqual(v.Schedule, step.want) || next != step.next {
				t.Errorf("%s %s: %+v, next %s, want %s", method, step.schedule, v.Schedule, next, step.next)
			}
		}
	}
	if b.connections[fabrica].LastRun != "other" {
		t.Error("another writer's change was lost")
	}
}

func TestScheduleRefused(t *testing.T) {
	b := newBench()
	before := b.connections[fabrica]
	for schedule, field := range map[string]string{
		`{}`:                              "body.schedule",
		`{"every":"weekly"}`:              "body.schedule.every",
		`{"every":"Daily"}`:               "body.schedule.every",
		`{"every":null}`:                  "body.schedule.every",
		`{"every":1}`:                     "body.schedule.every",
		`{"Every":"off"}`:                 "body.schedule.Every",
		`{"every":"off","days":[1]}`:      "body.schedule.days",
		`{"every":"daily"}`:               "body.schedule.at",
		`{"every":"daily","at":"6:30"}`:   "body.schedule.at",
		`{"every":"daily","at":"24:00"}`:  "body.schedule.at",
		`{"every":"daily","at":null}`:     "body.schedule.at",
		`{"every":"twice","at":""}`:       "body.schedule.at",
		`{"every":"off","zone":null}`:     "body.schedule.zone",
		`{"every":"off","zone":"Local"}`:  "body.schedule.zone",
		`{"every":"off","zone":"<Mars>"}`: "body.schedule.zone",
		`{"every":"off","zone":"../etc"}`: "body.schedule.zone",
		`{"every":"off","zone":"` + strings.Repeat("A", 5000) + `"}`: "body.schedule.zone",
		`[]`: "body.schedule", `"off"`: "body.schedule", `true`: "body.schedule",
	} {
		w := b.do(patch, "/v1/connections/"+fabrica, `{"schedule":`+schedule+`}`)
		if p := refused(t, w, 422, codeValidation); !p.names(field) || strings.Contains(w.Body.String(), "AAAA") || strings.Contains(w.Body.String(), "Mars") {
			t.Errorf("%s: errors %+v, want one at %q", schedule, p.Errors, field)
		}
		stored := len(b.connections)
		p := refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","schedule":`+schedule+`}`), 422, codeValidation)
		if !p.names(field) || len(b.connections) != stored {
			t.Errorf("create with %s: errors %+v", schedule, p.Errors)
		}
	}
	refused(t, b.do(patch, "/v1/connections/"+fabrica, `{"schedule":{"every":"off","every":"daily"}}`), 400, codeMalformed)
	if !reflect.DeepEqual(b.connections[fabrica], before) {
		t.Errorf("a refused patch stored %+v", b.connections[fabrica])
	}
}

// Settings that were saved start a sync an hour later, once, and no later than
// the next slot.
func TestSettingsHasten(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + fabrica
	later := now.Add(5 * time.Hour)
	b.set(fabrica, func(c *connection.Connection) { c.Verified, c.NextDue = now, later })
	var v Connection
	for _, body := range []string{`{"settings":{}}`, `{"settings":{"guests":true}}`, `{"guard":null}`} {
		read(t, b.do(patch, path, body), 200, &v)
		if !v.NextDue.Equal(later) {
			t.Errorf("%s changes nothing, next %s", body, v.NextDue)
		}
	}
	read(t, b.do(patch, path, `{"settings":{"guests":false}}`), 200, &v)
	if c := b.connections[fabrica]; !v.NextDue.Equal(now.Add(time.Hour)) || !c.NextDue.Equal(*v.NextDue) || !c.Displaced.Equal(later) {
		t.Errorf("next %s, stored %s, displaced %s", v.NextDue, c.NextDue, c.Displaced)
	}
	b.set(fabrica, func(c *connection.Connection) { c.NextDue, c.Displaced = now.Add(time.Minute), time.Time{} })
	read(t, b.do(patch, path, `{"settings":{"guests":true},"schedule":{"every":"hourly","at":"00:40"}}`), 200, &v)
	if !v.NextDue.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("next %s", v.NextDue)
	}
	v = Connection{}
	read(t, b.do(patch, "/v1/connections/"+contoso, `{"settings":{"guests":false}}`), 200, &v)
	if v.NextDue != nil {
		t.Errorf("nobody has consented, next %s", v.NextDue)
	}
}

// Settings for which no app is registered could never be consented to.
func TestSettingsNotCovered(t *testing.T) {
	b := newBench()
	b.api.Registered = connection.Apps{"base": appBase}
	b.set(contoso, func(c *connection.Connection) { c.Settings = &connection.Settings{} })
	path := "/v1/connections/" + contoso
	before := b.connections[contoso]
	for settings, profile := range map[string]string{`{"teams":true}`: "teams", `{"groups":["` + team1 + `"]}`: "teams", `{"mailboxes":true}`: "mailboxes"} {
		p := refused(t, b.do(patch, path, `{"settings":`+settings+`}`), 422, codeValidation)
		if !p.names("body.settings") || !strings.Contains(p.Remedy, "ENTRA_APPS") || !strings.Contains(p.Remedy, profile+"=<") || !strings.Contains(p.Remedy, "GroupMember.Read.All") {
			t.Errorf("%s: %+v", settings, p)
		}
	}
	refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"}`), 422, codeValidation) // teams are recommended
	if !reflect.DeepEqual(b.connections[contoso], before) || len(b.connections) != 2 {
		t.Errorf("stored %+v", b.connections)
	}
	var v Connection
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","settings":{"teams":false}}`), 201, &v)
	read(t, b.do(patch, path, `{"guard":null}`), 200, &v)
	b.set(contoso, func(c *connection.Connection) { c.OwnApp = "s" })
	read(t, b.do(patch, path, `{"settings":{"teams":true,"mailboxes":true}}`), 200, &v)
}

// Whatever is taken for a schedule can be kept.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{`null`, `{"every":"daily","at":"02:30","zone":"Europe/Paris"}`, `{"every":"off"}`, `{"every":"twice","at":"12:00","zone":"Etc/GMT+12"}`, `{"every":"hourly","zone":""}`, `{"every":`, `[]`} {
		f.Add(s)
	}
	b := newBench()
	fresh := b.connections[fabrica]
	f.Fuzz(func(t *testing.T, body string) {
		b.connections[fabrica] = fresh
		w := b.do(patch, "/v1/connections/"+fabrica, `{"schedule":`+body+`}`)
		s := b.connections[fabrica].Schedule
		switch {
		case w.Code != 200:
			if s != nil {
				t.Errorf("%d for %q, and stored %+v", w.Code, body, s)
			}
		case s != nil:
			var want connection.Schedule
			if err := json.Unmarshal([]byte(body), &want); s.Check() != nil || err != nil || want != *s {
				t.Errorf("took %q as %+v", body, s)
			}
		}
	})
}
