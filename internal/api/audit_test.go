package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// auditActions are the actions that the API may note.
var auditActions = []string{
	"app.clear", "app.set", "approval.give", "approval.withdraw", "connection.create", "connection.import", "dead-letters.resubmit", "guard.change", "guard.override",
	"link.resend", "link.revoke", "name.change", "offboard", "pause", "pause.all", "person.erase", "person.sync", "plan.approve", "plan.reject", "preview",
	"requeue", "requeue.all", "resume", "resume.all", "schedule.change", "settings.change", "sync", "transfer",
}

// Whatever is not a GET names its actions in the document, takes an actor, is
// noted before it is done, and is not done if it cannot be noted. All of it is
// taken from the document, so that no route can be left out.
func TestEveryChangeIsAudited(t *testing.T) {
	var d struct {
		Paths map[string]map[string]struct {
			OperationID string
			Audit       []string `json:"x-rollcall-audit"`
			Parameters  []struct{ Name, In string }
		}
	}
	full, _, _ := furnished() // its log takes nothing more
	if err := json.Unmarshal(full.api.Document(), &d); err != nil {
		t.Fatal(err)
	}
	done := 0
	full.notes = 0
	full.manual = func(string, string) (string, error) { done++; return "r", nil }
	full.decide = func(string, string, string, bool) (string, error) { done++; return "d", nil }
	full.ask = func(job.Trigger, string, string, string) (string, error) { done++; return "r", nil }
	full.govern = func(string, string, string) (connection.Connection, error) {
		done++
		return connection.Connection{}, nil
	}
	full.requeue = func(string, time.Time, time.Duration) (string, error) { done++; return "r", nil }
	full.resubmit = func(string, int64, int) (map[job.Fate]int, bool, error) { done++; return nil, false, nil }
	full.ownApp = func(string) (string, error) { done++; return "", nil }
	before := maps.Clone(full.connections)
	var seen []string
	for p, item := range d.Paths {
		for method, op := range item {
			if method == "get" {
				if op.Audit != nil {
					t.Errorf("%s: a read that notes %q", op.OperationID, op.Audit)
				}
				continue
			}
			if len(op.Audit) == 0 {
				t.Errorf("%s: changes without an audit action", op.OperationID)
				continue
			}
			seen = append(seen, op.Audit...)
			if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == actorHeader && p.In == "header" }) {
				t.Errorf("%s takes no %s", op.OperationID, actorHeader)
			}
			ask := func(b *bench, body string, target string) int {
				return b.do(strings.ToUpper(method), target, body, actorHeader, "Ada").Code
			}
			b, bodies, path := furnished()
			if code := ask(b, bodies[op.OperationID], path(p, op.OperationID)); code >= 300 {
				t.Errorf("%s: %d", op.OperationID, code)
			}
			if len(b.entries) == 0 {
				t.Errorf("%s: nothing was noted", op.OperationID)
			}
			for _, e := range b.entries {
				if !slices.Contains(op.Audit, e.Action) || e.Outcome != "asked" || e.Source != connection.FromAPI || e.Actor != "Ada" || !e.At.Equal(now) || b.connections[e.Connection].ID == "" {
					t.Errorf("%s: noted %+v", op.OperationID, e)
				}
			}

			w := full.do(strings.ToUpper(method), path(p, op.OperationID), bodies[op.OperationID])
			refused(t, w, 503, codeUnavailable)
			if retryAfter(t, w) < 1 || strings.Contains(w.Body.String(), "secret.table") || done > 0 || !reflect.DeepEqual(full.connections, before) {
				t.Errorf("%s: done without being noted, or told so: %v %s", op.OperationID, w.Header(), w.Body)
			}
			done = 0
		}
	}
	slices.Sort(seen)
	if !slices.Equal(seen, auditActions) {
		t.Errorf("actions %q, want %q", seen, auditActions)
	}
}

func TestAuditDetails(t *testing.T) {
	b, _, _ := furnished()
	one := func(action string, detail map[string]string) []connection.Entry {
		return []connection.Entry{{Action: action, Detail: detail}}
	}
	at := "/v1/connections/" + contoso
	for _, test := range []struct {
		method, path, body string
		want               []connection.Entry
	}{
		{post, "/v1/connections?again=true", `{"company":"secret","name":"secret","tenant":"` + strings.ToUpper(tenant) + `","settings":{"guests":false},"schedule":{"every":"off"}}`,
			one("connection.create", map[string]string{"tenant": tenant, "guests": "false", "every": "off"})},
		{post, "/v1/connections?again=true", `{"company":"secret","name":"secret"}`, one("connection.create", map[string]string{})},
		{patch, at, `{}`, nil},
		{patch, at, `{"settings":{"groups":[ "` + team1 + `" , "` + team1 + `" ],"teams":true},"guardOverride":false,"guard":null,"schedule":null}`, []connection.Entry{
			{Action: "settings.change", Detail: map[string]string{"groups": `["` + team1 + `","` + team1 + `"]`, "teams": "true"}},
			{Action: "schedule.change", Detail: map[string]string{"schedule": "null"}},
			{Action: "guard.change", Detail: map[string]string{"guard": "null"}},
			{Action: "guard.override", Detail: map[string]string{"leave": "false"}},
		}},
		{patch, at, `{"settings":{"groups":[]},"schedule":{"every":"daily","at":"06:30","zone":"Europe/Paris"},"guard":{"maxCount":1,"maxPercent":2,"maxTeams":3,"maxMemberships":4}}`, []connection.Entry{
			{Action: "settings.change", Detail: map[string]string{"groups": `[]`}},
			{Action: "schedule.change", Detail: map[string]string{"every": "daily", "at": "06:30", "zone": "Europe/Paris"}},
			{Action: "guard.change", Detail: map[string]string{"maxCount": "1", "maxPercent": "2", "maxTeams": "3", "maxMemberships": "4"}},
		}},
		{post, "/v1/connections/" + invited + "/link", `{"action":"revoke"}`, one("link.revoke", nil)},
		{post, "/v1/connections/" + invited + "/approval", `{"tenant":"` + strings.ToUpper(tenant) + `","object":"` + object + `"}`, one("approval.give", map[string]string{"tenant": tenant, "object": object})},
		{post, at + "/people/" + object + "/sync", "", one("person.sync", map[string]string{"person": object})},
		{post, at + "/runs/r1/reject", `{"hash":"` + planHash + `"}`, one("plan.reject", map[string]string{"run": "r1", "plan": planHash})},
		{del, at + "?data=purge", "", one("offboard", map[string]string{"data": "purge"})},
		{del, at + "?data=keep", "", one("offboard", map[string]string{"data": "keep"})},
		{patch, at, `{"name":"secret"}`, one("name.change", nil)},
		{put, at + "/app", "", one("app.set", map[string]string{"secret": "rollcall-app-" + contoso})},
	} {
		b.entries = nil
		if w := b.do(test.method, test.path, test.body); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
		var got []connection.Entry
		for _, e := range b.entries {
			got = append(got, connection.Entry{Action: e.Action, Detail: e.Detail})
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s %s: noted %+v, want %+v", test.method, test.path, test.body, got, test.want)
		}
	}
	// What a path holds in place of an ID may be a name.
	b.entries = nil
	refused(t, b.do(post, at+"/people/grace/sync", ""), 404, codeNotFound)
	refused(t, b.do(post, at+"/runs/GRACE/approve", `{"hash":"`+planHash+`"}`), 404, codeNotFound)
	refused(t, b.do(patch, at, `{"schedule":{"every":"off","zone":"Grace Hopper"}}`), 422, codeValidation)
	refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","schedule":{"every":"off","zone":"Grace Hopper"}}`), 422, codeValidation)
	if len(b.entries) == 0 {
		t.Error("nothing was noted")
	}
	for _, e := range b.entries {
		if strings.Contains(strings.ToLower(fmt.Sprint(e.Detail)), "grace") {
			t.Errorf("noted %+v", e)
		}
	}
	b.entries = nil
	for _, id := range []string{"unknown", "UPPER", "a%27b"} {
		refused(t, b.do(post, "/v1/connections/"+id+"/sync", ""), 404, codeNotFound)
	}
	refused(t, b.do(patch, at, `{"guard":5}`), 422, codeValidation)
	refused(t, b.do(post, at+"/sync", "", actorHeader, "a\tb"), 422, codeValidation)
	if len(b.entries) > 0 {
		t.Errorf("noted %+v", b.entries)
	}
}

// What was asked for and refused is noted twice, the second time with why.
func TestRefusalsAudited(t *testing.T) {
	b := newBench()
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{&fault.Error{Kind: fault.Throttled, After: time.Minute, Err: context.DeadlineExceeded}, 429, codeThrottled},
		{fault.New(fault.Denied, "x").WithCode("not_connected"), 409, codeNotConnected},
		{fault.New(fault.Denied, "x").WithCode("offboarded"), 409, codeOffboarded},
		{fault.New(fault.Conflict, "x").WithCode("paused").WithRemedy("Resume it."), 409, codePaused},
		{fault.New(fault.Unknown, "x").WithCode("paused"), 503, codeUnavailable},
	} {
		b.entries = nil
		b.manual = func(string, string) (string, error) { return "", test.err }
		p := refused(t, b.do(post, "/v1/connections/"+fabrica+"/sync", "", actorHeader, "Ada"), test.status, test.code)
		if test.code == codePaused && p.Remedy != "Resume it." {
			t.Errorf("%+v", p)
		}
		if len(b.entries) != 2 || b.entries[0].Outcome != "asked" || b.entries[1].Outcome != "refused: "+test.code || b.entries[1].Actor != "Ada" || b.entries[1].Action != "sync" {
			t.Errorf("noted %+v", b.entries)
		}
	}
	// A client that has left does not keep a refusal from being noted, nor does
	// a log that takes no more keep it from being answered.
	b.entries, b.notes = nil, 1
	refused(t, b.do(post, "/v1/connections/"+fabrica+"/link", `{"action":"resend"}`), 409, codeConnected)
	if len(b.entries) != 1 || !strings.Contains(b.log.String(), "refusal not in the audit log") {
		t.Errorf("noted %+v, log %s", b.entries, &b.log)
	}
	b.entries, b.notes = nil, 1
	refused(t, b.do(patch, "/v1/connections/"+fabrica, `{"guardOverride":true,"guard":null}`), 503, codeUnavailable)
	if b.connections[fabrica].Override != nil || len(b.entries) != 1 {
		t.Errorf("half noted, and done: %+v", b.connections[fabrica])
	}
}

func TestAuditPages(t *testing.T) {
	b := newBench()
	for i := range 5 {
		_ = b.Note(t.Context(), connection.Entry{Connection: contoso, At: now.In(time.FixedZone("", 3600)), Source: connection.FromAPI, Actor: "<Ada>", Action: fmt.Sprint("a", i), Outcome: "asked", Detail: map[string]string{"n": "<1>"}})
		_ = b.Note(t.Context(), connection.Entry{Connection: fabrica, At: now, Source: connection.FromRollcall, Action: "purged", Outcome: "done"})
	}
	path := "/v1/connections/" + contoso + "/audit?limit=2"
	var got []string
	for next := ""; ; {
		var page AuditPage
		w := b.do(get, path+"&continuation="+next, "")
		read(t, w, 200, &page)
		if strings.ContainsAny(w.Body.String(), "<>") {
			t.Errorf("markup is not escaped: %s", w.Body)
		}
		for _, e := range page.Audit {
			got = append(got, e.Action)
			if e.Source != "api" || e.Actor != "<Ada>" || e.Outcome != "asked" || e.Detail["n"] != "<1>" || e.At.Location() != time.UTC || !e.At.Equal(now) {
				t.Errorf("%+v", e)
			}
		}
		if next = page.Continuation; next == "" {
			break
		}
	}
	if want := []string{"a4", "a3", "a2", "a1", "a0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.failAfter = 0
	refused(t, b.do(get, path, ""), 503, codeUnavailable)
}
