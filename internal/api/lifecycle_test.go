package api

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

func TestLifecycle(t *testing.T) {
	path := "/v1/connections/" + fabrica
	for _, test := range []struct {
		method, path, body, how string
	}{
		{post, path + "/pause", "", "pause"},
		{post, path + "/resume", "", "resume"},
		{post, path + "/transfer", `{"to":"` + contoso + `"}`, "transfer to " + contoso},

		{del, path + "?data=keep", "", "offboard, purge false"},
		{del, path + "?data=purge", "", "offboard, purge true"},
	} {
		b := newBench()
		var fail error
		b.govern = func(how, id, actor string) (connection.Connection, error) {
			if how != test.how || id != fabrica || actor != "Ada" {
				t.Errorf("%s of %s by %q, want %s", how, id, actor, test.how)
			}
			return b.connections[contoso], fail
		}
		var v Connection
		read(t, b.do(test.method, test.path, test.body, actorHeader, "Ada"), 200, &v)
		if v.ID != contoso || v.Link != "" {
			t.Errorf("%s: %+v", test.how, v)
		}
		for _, f := range []struct {
			err    error
			status int
			code   string
		}{
			{fault.New(fault.Conflict, "secret").WithCode("paused"), 409, codePaused},
			{fault.New(fault.Conflict, "secret").WithCode("tenant_owned").WithRemedy("Offboard the other one."), 409, codeTransfer},
			{fault.New(fault.Conflict, "secret").WithCode("cannot_receive").WithRemedy("Offboard the other one."), 409, codeTransfer},
			{fault.New(fault.Conflict, "secret").WithCode("purging"), 409, codePurging},
			{fault.New(fault.Conflict, "secret").WithCode("offboarded"), 409, codeOffboarded},
			{fault.New(fault.Denied, "secret").WithCode("not_connected"), 409, codeNotConnected},
			{fault.New(fault.Conflict, "secret"), 409, codeConflict},
			{fault.New(fault.Conflict, "secret").WithCode("Table's own"), 409, codeConflict},
			{errors.New("secret"), 503, codeUnavailable},
		} {
			fail = f.err
			w := b.do(test.method, test.path, test.body, actorHeader, "Ada")
			if p := refused(t, w, f.status, f.code); strings.Contains(w.Body.String(), "secret") || f.code == codeTransfer && p.Remedy != "Offboard the other one." {
				t.Errorf("%s: %s", test.how, w.Body)
			}
		}
	}
}

func TestLifecycleRefused(t *testing.T) {
	b := newBench()
	asked := 0
	b.govern = func(string, string, string) (connection.Connection, error) {
		asked++
		return connection.Connection{}, fault.New(fault.NotFound, "no row")
	}
	path := "/v1/connections/" + fabrica
	for body, field := range map[string]string{
		`{"to":"` + strings.ToUpper(contoso) + `"}`: "body.to", `{"to":"` + strings.Repeat("a", 65) + `"}`: "body.to", `{"to":""}`: "body.to", `{"to":null}`: "body.to",
		`{"to":"a/b"}`: "body.to", `{"to":"` + fabrica + `"}`: "body.to", `{}`: "body", `{"To":"` + contoso + `"}`: "body.To", `{"to":"` + contoso + `","force":true}`: "body.force",
	} {
		if p := refused(t, b.do(post, path+"/transfer", body), 422, codeValidation); !p.names(field) || asked > 0 {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
	if p := refused(t, b.do(post, path+"/transfer", `{"to":"unknown"}`), 422, codeValidation); !p.names("body.to") || asked != 1 {
		t.Errorf("%+v", p)
	}
	for _, query := range []string{"?data=all", "?data=PURGE", "?data=keep&data=purge", "?purge=true", "?dat=purge", "", "?data="} {
		refused(t, b.do(del, path+query, ""), 422, codeValidation)
	}
	for _, id := range []string{"unknown", "UPPER", "a%27b"} {
		refused(t, b.do(del, "/v1/connections/"+id+"?data=keep", ""), 404, codeNotFound)
		refused(t, b.do(post, "/v1/connections/"+id+"/pause", ""), 404, codeNotFound)
	}
	if asked != 1 {
		t.Errorf("%d hostile requests were asked", asked-1)
	}
}

// Who has ended is read like anybody, and changed no more, but for a purge of
// what was kept.
func TestOffboarded(t *testing.T) {
	b, bodies, _ := furnished()
	b.set(fabrica, func(c *connection.Connection) {
		c.Status, c.App = connection.Offboarded, appBase
		c.Offboarding = &connection.Offboarding{At: now, By: "Ada", ID: "o", Tenant: tenant, Purge: true, Deleted: map[string]int{"directory": 7}}
	})
	path := "/v1/connections/" + fabrica
	b.govern = func(string, string, string) (connection.Connection, error) { return b.connections[fabrica], nil }
	want := Offboarding{At: now, By: "Ada", Data: "purge", Deleted: map[string]int{"directory": 7}}
	for _, method := range []string{del, get} {
		w := b.do(method, path+map[string]string{del: "?data=purge"}[method], "")
		var v Connection
		read(t, w, map[string]int{del: 202, get: 200}[method], &v)
		if v.Status != "offboarded" || v.Offboarding == nil || !reflect.DeepEqual(*v.Offboarding, want) || v.ConsentNeeded {
			t.Errorf("%s: %s", method, w.Body)
		}
		r := v.Revoke
		if r == nil || r.Tenant != tenant || r.App != appBase || r.Portal != "https://entra.microsoft.com" || len(r.Steps) != 3 {
			t.Fatalf("%s: %+v", method, r)
		}
		for i, words := range []string{"https://entra.microsoft.com " + tenant, "Enterprise applications " + appBase, "Properties Delete"} {
			for _, word := range strings.Fields(words) {
				if !strings.Contains(r.Steps[i], word) {
					t.Errorf("step %d: %q has no %s", i, r.Steps[i], word)
				}
			}
		}
	}
	b.set(fabrica, func(c *connection.Connection) { c.Offboarding.Purge, c.OwnApp, c.App = false, "s", "" })
	b.api.Service.Cloud = "china"
	var v Connection
	read(t, b.do(del, path+"?data=keep", ""), 200, &v)
	if v.Offboarding.Data != "keep" || len(v.Revoke.Steps) != 4 || !strings.Contains(v.Revoke.Steps[3], "App registrations") || v.Revoke.App != appMailboxes || v.Revoke.Portal != "https://entra.microsoftonline.cn" {
		t.Errorf("%+v", v.Revoke)
	}
	b.set(fabrica, func(c *connection.Connection) { c.Offboarding.To, c.Offboarding.Purged = contoso, now })
	v = Connection{}
	read(t, b.do(get, path, ""), 200, &v)
	if v.Revoke != nil || v.Offboarding.To != contoso || !v.Offboarding.Purged.Equal(now) {
		t.Errorf("transferred: %+v", v)
	}

	b.set(fabrica, func(c *connection.Connection) { c.Offboarding.To, c.OwnApp = "", "" })
	v = Connection{}
	read(t, b.do(get, path, ""), 200, &v)
	if v.Revoke == nil || v.Revoke.App != "" || !strings.Contains(v.Revoke.Steps[1], appBase) || !strings.Contains(v.Revoke.Steps[1], appMailboxes) {
		t.Errorf("purged with its app: %+v", v.Revoke)
	}

	before := b.connections[fabrica]
	b.govern = func(string, string, string) (connection.Connection, error) {
		return before, fault.New(fault.Conflict, "ended").WithCode("offboarded")
	}
	for _, change := range []struct{ method, path, body string }{
		{patch, path, `{"settings":{"guests":false}}`}, {patch, path, `{"schedule":null}`}, {post, path + "/link", `{"action":"resend"}`},
		{post, path + "/approval", bodies["approve-person"]}, {del, path + "/approval", ""}, {post, path + "/sync", ""}, {post, path + "/preview", ""},
		{post, path + "/people/" + personID(0) + "/sync", ""}, {post, path + "/people/" + personID(0) + "/erase", bodies["erase-person"]},
		{post, path + "/runs/r/approve", bodies["approve-removals"]}, {post, path + "/pause", ""}, {post, path + "/resume", ""},
		{post, path + "/transfer", `{"to":"` + contoso + `"}`}, {put, path + "/app", ""}, {del, path + "/app", ""},
	} {
		if p := refused(t, b.do(change.method, change.path, change.body), 409, codeOffboarded); !strings.Contains(p.Remedy, "POST /v1/connections") {
			t.Errorf("remedy %q", p.Remedy)
		}
	}
	if !reflect.DeepEqual(b.connections[fabrica], before) {
		t.Errorf("changed to %+v", b.connections[fabrica])
	}
	if w := b.do(get, path+"/audit", ""); w.Code != 200 || strings.Count(w.Body.String(), "refused: offboarded") != 15 {
		t.Errorf("%s", w.Body)
	}
	for _, list := range []string{"/people", "/runs", "/changes", "/teams", "/positions", "/licenses", "/mailboxes", "/removals"} {
		if w := b.do(get, path+list, ""); w.Code != 200 {
			t.Errorf("%s: %d", list, w.Code)
		}
	}
	refused(t, b.do(get, path+"/groups?search=abc", ""), 409, codeOffboarded)
	// One that ends while a change is under way stays as it is.
	b.set(contoso, func(c *connection.Connection) { c.Offboarding = &connection.Offboarding{} })
	if _, err := b.api.update(t.Context(), contoso, func(*connection.Connection) error { return nil }); err == nil {
		t.Error("changed what has ended")
	}
}

func TestPaused(t *testing.T) {
	b := newBench()
	b.set(fabrica, func(c *connection.Connection) {
		c.Status, c.Paused = connection.Paused, &connection.Pause{At: now, By: "Ada", Before: connection.OK}
	})
	b.fences[fabrica] = job.Fence{Run: job.Run{State: job.Running}}
	path := "/v1/connections/" + fabrica
	var v Connection
	read(t, b.do(get, path, ""), 200, &v)
	if v.Status != "paused" || v.Paused == nil || *v.Paused != (Paused{now, "Ada", false}) {
		t.Errorf("%+v", v)
	}
	b.manual = func(string, string) (string, error) {
		return "", fault.New(fault.Denied, "status").WithCode("not_connected").WithRemedy("Send the link.")
	}
	for _, w := range []struct{ method, path, body string }{
		{post, "/sync", ""}, {post, "/link", `{"action":"resend"}`}, {get, "/groups?search=abc", ""}, {put, "/app", ""}, {del, "/app", ""},
	} {
		b.ownApp = func(string) (string, error) { return appOwn, nil }
		if p := refused(t, b.do(w.method, path+w.path, w.body), 409, codePaused); !strings.Contains(p.Remedy, "/resume") {
			t.Errorf("%s: %+v", w.path, p)
		}
	}
}

// Whoever withdrew the app, or needs more than was consented to, can be sent
// a new link.
func TestLinkAgain(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + fabrica
	for status, change := range map[connection.Status]func(*connection.Connection){
		connection.Disconnected: func(*connection.Connection) {},
		connection.Failed:       func(*connection.Connection) {},
		connection.Degraded:     func(c *connection.Connection) { c.Profile = "base" },
		connection.Held:         func(c *connection.Connection) { c.Profile = "base" },
		connection.OK:           func(c *connection.Connection) { c.Profile = "base" },
	} {
		b.set(fabrica, func(c *connection.Connection) { c.Status, c.Profile = status, ""; change(c) })
		var v Connection
		read(t, b.do(post, path+"/link", `{"action":"resend"}`), 200, &v)
		if v.Link == "" || v.Status != string(status) || v.ConsentNeeded != (v.Profile == "base") {
			t.Errorf("%s: %+v", status, v)
		}
	}
}
