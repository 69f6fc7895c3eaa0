package api

import (
	"errors"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// A scope group that the tenant does not have is refused where it is named, and
// only those that are new are asked for. If Microsoft cannot be asked, they are
// taken, and the answer says so.
func TestScopeGroupsAreLookedFor(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + fabrica
	var asked []string
	answers := map[string]error{}
	b.group = func(id string) (directory.Team, error) {
		asked = append(asked, id)
		return directory.Team{ID: id}, answers[id]
	}
	change := func(groups ...string) string {
		return `{"settings":{"groups":["` + strings.Join(groups, `","`) + `"]}}`
	}
	var v Connection
	read(t, b.do(patch, path, change(team1)), 200, &v)
	if v.Notice != "" || len(asked) != 1 {
		t.Errorf("there: notice %q, asked for %v", v.Notice, asked)
	}
	answers[team2] = fault.New(fault.NotFound, "no such group")
	asked = nil
	p := refused(t, b.do(patch, path, change(team1, team2)), 422, codeValidation)
	if !p.names("body.settings.groups[1]") || len(p.Errors) != 1 || !strings.Contains(p.Remedy, "/v1/connections/"+fabrica+"/groups?search=") || len(asked) != 1 || asked[0] != team2 {
		t.Errorf("not there: %+v, asked for %v", p, asked)
	}
	c := b.connections[fabrica]
	if got := c.Chosen().Groups; len(got) != 1 {
		t.Errorf("stored %v all the same", got)
	}
	answers[team2] = errors.New("secret trouble")
	read(t, b.do(patch, path, change(team1, team2)), 200, &v)
	if !strings.Contains(v.Notice, team2) || strings.Contains(v.Notice, team1) || strings.Contains(v.Notice, "secret") || len(v.Settings.Groups) != 2 {
		t.Errorf("not asked: notice %q, groups %v", v.Notice, v.Settings.Groups)
	}
	v = Connection{}
	if read(t, b.do(get, path, ""), 200, &v); v.Notice != "" {
		t.Errorf("the notice is repeated: %q", v.Notice)
	}
	// Without a tenant nobody can be asked.
	asked = nil
	v = Connection{}
	read(t, b.do(patch, "/v1/connections/"+contoso, change(team1)), 200, &v)
	if v.Notice == "" || len(asked) != 0 {
		t.Errorf("invited: notice %q, asked for %v", v.Notice, asked)
	}
	v = Connection{}
	read(t, b.do(post, "/v1/connections", `{"company":"c9","name":"n",`+change(team1)[1:]), 201, &v)
	if v.Notice == "" || len(asked) != 0 {
		t.Errorf("created: notice %q, asked for %v", v.Notice, asked)
	}
	// Other changes ask for nothing.
	read(t, b.do(patch, path, `{"settings":{"guests":false}}`), 200, &v)
	if len(asked) != 0 {
		t.Errorf("asked for %v", asked)
	}
}

// An app of the connection's own that lacks a permission is no matter of
// consenting again: the remedy names what the registration lacks.
func TestOwnAppLacks(t *testing.T) {
	const again = "Send the administrator the link and ask them to consent again."
	b := newBench()
	path := "/v1/connections/" + fabrica
	b.runs[fabrica] = nil
	b.leaveOut(fabrica, "mailboxes", again)
	for _, test := range []struct {
		name   string
		change func(*connection.Connection)
		want   []string
		lack   string
	}{
		{"degraded", func(c *connection.Connection) { c.Status = connection.Degraded }, []string{"Add Reports.Read.All to the connection's own app registration", "grant admin consent", "Also."}, again},
		{"paused", func(c *connection.Connection) {
			c.Status, c.Paused = connection.Paused, &connection.Pause{At: now, Before: connection.Degraded}
		}, []string{"Add Reports.Read.All"}, again},
		{"the run is gone", func(c *connection.Connection) { c.Status, c.LastRun = connection.Degraded, "gone" }, []string{"whatever it lacks of User.Read.All, Organization.Read.All"}, again},
		{"failed", func(c *connection.Connection) {
			c.Status, c.LastRun, c.Problem.Consent = connection.Failed, "", false
			c.Verify.Lacks = []string{"User.Read.All"}
		}, []string{"Add User.Read.All to"}, again},
		{"withdrawn", func(c *connection.Connection) { c.Status, c.Problem.Code = connection.Failed, "AADSTS700016" }, []string{again}, "Add "},
		{"disconnected", func(c *connection.Connection) { c.Status = connection.Disconnected }, []string{again}, "Add "},
		{"the vendor's app", func(c *connection.Connection) { c.Status, c.OwnApp = connection.Degraded, "" }, []string{again}, "Add "},
	} {
		b.set(fabrica, func(c *connection.Connection) {
			c.OwnApp, c.LastRun, c.Paused, c.Verify = "rollcall-app-"+fabrica, "r", nil, connection.Verify{}
			c.Problem = &connection.Problem{Code: "Authorization_RequestDenied", Message: "x", Remedy: again + " Also.", At: now, Consent: true}
			test.change(c)
		})
		for _, at := range []string{path, "/v1/connections?company=c2"} {
			w := b.do(get, at, "")
			body := strings.ReplaceAll(w.Body.String(), `\u0026`, "&")
			for _, want := range test.want {
				if w.Code != 200 || !strings.Contains(body, want) || strings.Contains(body, test.lack) {
					t.Errorf("%s: want %q and not %q: %s", test.name, want, test.lack, body)
				}
			}
		}
	}
	b.set(fabrica, func(c *connection.Connection) { c.OwnApp = "rollcall-app-" + fabrica })
	for _, at := range []string{"/runs", "/runs/r"} {
		if w := b.do(get, path+at, ""); w.Code != 200 || strings.Contains(w.Body.String(), again) || !strings.Contains(w.Body.String(), "Add Reports.Read.All to") {
			t.Errorf("%s: %s", at, w.Body)
		}
	}
}
