package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

var update = flag.Bool("update", false, "rewrite openapi.json")

// The committed document is the served one.
func TestOpenAPICommitted(t *testing.T) {
	b := newBench()
	w := b.do(get, "/v1/openapi.json", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/openapi+json" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if *update {
		if err := os.WriteFile("openapi.json", w.Body.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, w.Body.Bytes()) {
		t.Error("openapi.json is not what is served: run go test ./internal/api -run OpenAPI -update, and read the difference")
	}
	if y := b.do(get, "/v1/openapi.yaml", ""); y.Code != 200 || !strings.Contains(y.Body.String(), "openapi: 3.1.0\n") {
		t.Errorf("yaml: %d %.100s", y.Code, y.Body)
	}
}

type document struct {
	OpenAPI    string
	Security   []map[string][]string
	Components struct {
		Schemas map[string]struct {
			Properties           map[string]map[string]any
			AdditionalProperties any
		}
	}
	Paths map[string]map[string]struct {
		OperationID, Summary, Description string
		Tags                              []string
		Parameters                        []struct{ Name, In, Description string }
		RequestBody                       *struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]struct {
			Description string
			Headers     map[string]any
			Content     map[string]struct {
				Schema   map[string]any
				Examples map[string]struct{ Value Problem }
			}
		}
	}
}

func openapi(t *testing.T) (d document) {
	t.Helper()
	if err := json.Unmarshal(newBench().api.Document(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// invited is a connection whose administrator may consent.
const invited = "bbbq2x5n3jd4mzs6ab2chtwyeu"

// halted is a connection that was paused with all others.
const halted = "2aaq2x5n3jd4mzs6ab2chtwyeu"

// furnished is a bench on which every operation succeeds, with the bodies to
// send, by operation, and what makes a path of its pattern.
func furnished() (b *bench, bodies map[string]string, path func(pattern, operation string) string) {
	b = newBench()
	b.manual = func(string, string) (string, error) { return "r", nil }
	b.decide = func(string, string, string, bool) (string, error) { return "d", nil }
	b.ask = func(job.Trigger, string, string, string) (string, error) { return "r", nil }
	b.search = func(string, string) ([]directory.Team, error) { return nil, nil }
	b.govern = func(_, id, _ string) (connection.Connection, error) { return b.connections[id], nil }
	b.ownApp = func(string) (string, error) { return appOwn, nil }
	b.expiring = func(time.Duration, map[string]string) ([]connection.Expiry, error) { return nil, nil }
	b.connections[invited], b.connections[contoso] = b.connections[contoso], b.connections[fabrica]
	for id := range b.connections {
		b.set(id, func(c *connection.Connection) { c.ID = id })
	}
	b.connections[halted] = connection.Connection{
		ID: halted, Company: "c3", Name: "Halted", Status: connection.Paused, Tenant: tenant, Link: 1, LinkExpires: now, CreatedAt: now, Version: "1",
		Paused: &connection.Pause{At: now, By: "Ada", Before: connection.OK, All: true},
	}
	b.requeue = func(string, time.Time, time.Duration) (string, error) { return "r", nil }
	b.resubmit = func(string, int64, int) (map[job.Fate]int, bool, error) { return nil, false, nil }
	b.crowd(contoso, 1)
	b.hold(contoso, 0)
	b.runs[contoso] = []job.Run{{ID: "r", State: job.Running}}
	bodies = map[string]string{
		"create-connection":   `{"company":"c","name":"n"}`,
		"approve-person":      `{"tenant":"` + tenant + `","object":"` + object + `"}`,
		"change-link":         `{"action":"resend"}`,
		"change-connection":   `{"guardOverride":true}`,
		"erase-person":        `{"confirm":"` + personID(0) + `"}`,
		"approve-removals":    `{"hash":"` + planHash + `"}`,
		"reject-removals":     `{"hash":"` + planHash + `"}`,
		"transfer-connection": `{"to":"` + fabrica + `"}`,
		"import-connection":   `{"version":1,"company":"another","name":"n"}`,
	}
	return b, bodies, func(pattern, operation string) string {
		target := strings.NewReplacer("{id}", contoso, "{run}", "r", "{person}", personID(0), "{team}", team1, "{position}", position).Replace(pattern)
		switch operation {
		case "search-groups":
			target += "?search=compilers"
		case "offboard-connection":
			target += "?data=keep"
		case "approve-person", "change-link": // these need somebody who can still consent
			target = strings.Replace(target, contoso, invited, 1)
		}
		return target
	}
}

// Every operation says what it does and how it fails, and is answered.
func TestOpenAPIComplete(t *testing.T) {
	d := openapi(t)
	if d.OpenAPI != "3.1.0" || len(d.Security) != 1 {
		t.Errorf("version %q, security %v", d.OpenAPI, d.Security)
	}
	b, bodies, path := furnished()
	want := []string{"approve-person", "approve-removals", "change-connection", "change-link", "clear-app", "create-connection", "erase-person", "export-connection", "import-connection", "list-audit", "list-changes",
		"list-connections", "list-dead-letters", "list-licenses", "list-mailboxes", "list-members", "list-people", "list-positions", "list-removals", "list-runs", "list-teams",
		"offboard-connection", "pause-all", "pause-connection", "preview-connection", "read-connection", "read-person", "read-position", "read-run", "read-service",
		"read-team", "reject-removals", "requeue-all", "requeue-connection", "resubmit-dead-letters", "resume-all", "resume-connection", "search-groups", "set-app", "sync-connection", "sync-person", "transfer-connection", "withdraw-approval"}
	var got []string
	for p, item := range d.Paths {
		for method, op := range item {
			got = append(got, op.OperationID)
			if op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
				t.Errorf("%s: no summary, description or tag", op.OperationID)
			}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s: parameter %s is not described", op.OperationID, p.Name)
				}
			}
			for _, status := range []string{"401", "403", "422", "429", "503"} {
				if _, ok := op.Responses[status]; !ok {
					t.Errorf("%s: no %s", op.OperationID, status)
				}
			}
			if _, ok := op.Responses["404"]; ok != strings.Contains(p, "{id}") {
				t.Errorf("%s: 404 is %t", op.OperationID, ok)
			}
			success := 0
			for status, r := range op.Responses {
				if status[0] == '2' {
					success++
					continue
				}
				media, ok := r.Content["application/problem+json"]
				if status != "401" && (!ok || len(media.Examples) == 0 || media.Schema["$ref"] != "#/components/schemas/Problem") {
					t.Errorf("%s: %s has no example of a problem", op.OperationID, status)
				}
				for code, e := range media.Examples {
					if e.Value.Type != "urn:rollcall:problem:"+code || e.Value.Detail == "" || e.Value.Remedy == "" {
						t.Errorf("%s: example %+v", op.OperationID, e.Value)
					}
				}
			}
			if want := map[bool]int{true: 2, false: 1}[op.OperationID == "offboard-connection"]; success != want {
				t.Errorf("%s: %d ways to succeed", op.OperationID, success)
			}
			if r := op.Responses["429"]; r.Headers["Retry-After"] == nil {
				t.Errorf("%s: no Retry-After", op.OperationID)
			}
			refers := map[string]bool{"sync-connection": true, "preview-connection": true, "sync-person": true}
			if r := op.Responses["429"]; (r.Headers["Location"] != nil) != refers[op.OperationID] {
				t.Errorf("%s: 429 with headers %v", op.OperationID, r.Headers)
			}
			if (op.RequestBody != nil) != (bodies[op.OperationID] != "") {
				t.Errorf("%s: body", op.OperationID)
			}
			w := b.do(strings.ToUpper(method), path(p, op.OperationID), bodies[op.OperationID])
			if _, ok := op.Responses[statusText(w.Code)]; !ok || w.Code >= 300 {
				t.Errorf("%s %s answers %d: %s", method, p, w.Code, w.Body)
			}
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
}

func statusText(n int) string { b, _ := json.Marshal(n); return string(b) }

// Requests are exact, answers may grow, and what a client must write has an
// example.
func TestOpenAPISchemas(t *testing.T) {
	d := openapi(t)
	for name, s := range d.Components.Schemas {
		request := strings.HasSuffix(name, "Request")
		if exact := s.AdditionalProperties == false; exact != request {
			t.Errorf("%s: exact is %t", name, exact)
		}
		for prop, p := range s.Properties {
			if request && (p["examples"] == nil || p["description"] == nil) {
				t.Errorf("%s.%s: no example or description", name, prop)
			}
			if required := map[string]int{"ConnectionChangeRequest.guard": 4, "ConnectionChangeRequest.schedule": 1, "ConnectionRequest.schedule": 1, "ImportRequest.schedule": 1, "ImportRequest.guard": 4}[name+"."+prop]; required > 0 {
				if !reflect.DeepEqual(p["type"], []any{"object", "null"}) || p["additionalProperties"] != false || len(p["required"].([]any)) != required {
					t.Errorf("%s.%s: %v", name, prop, p)
				}
				continue // null clears it
			}
			if p["type"] != nil && reflect.TypeOf(p["type"]).Kind() != reflect.String {
				t.Errorf("%s.%s: type %v, want never null", name, prop, p["type"])
			}
		}
	}
	if _, ok := d.Components.Schemas["ErrorModel"]; ok {
		t.Error("huma's own error is in the document")
	}
	enum := func(schema, prop string) (s []string) {
		for _, v := range d.Components.Schemas[schema].Properties[prop]["enum"].([]any) {
			s = append(s, v.(string))
		}
		slices.Sort(s)
		return s
	}
	statuses := sorted(connection.Syncing, connection.Throttled) // shown, never stored
	for s := range connection.Transitions {
		statuses = append(statuses, string(s))
	}
	slices.Sort(statuses)
	reasons := sorted(directory.SoftDeleted, directory.Deleted, directory.Missing, directory.OutOfScope)
	for _, test := range []struct {
		schema, prop string
		want         []string
	}{
		{"Connection", "status", statuses},
		{"Schedule", "every", sorted(connection.Daily, connection.Twice, connection.Hourly, connection.Off)},
		{"Entry", "source", sorted(connection.FromAPI, connection.FromAdministrator, connection.FromRollcall)},
		{"Run", "state", sorted(job.Queued, job.Running, job.Waiting, job.Succeeded, job.RunFailed, job.Merged, job.Held, job.Stopped)},
		{"Run", "trigger", sorted(job.First, job.Schedule, job.Manual, job.Again, job.Approve, job.Reject, job.Preview, job.Person, job.Erase)},
		{"Change", "type", sorted(directory.Created, directory.Updated, directory.Archived, directory.Reactivated, directory.Erased, directory.Redacted,
			directory.TeamCreated, directory.TeamUpdated, directory.TeamArchived, directory.TeamReactivated, directory.TeamMembers,
			directory.LicenseCreated, directory.LicenseUpdated, directory.LicenseArchived, directory.LicenseReactivated,
			directory.MailboxCreated, directory.MailboxUpdated, directory.MailboxArchived, directory.MailboxReactivated,
			directory.PositionCreated, directory.PositionArchived, directory.PositionReactivated)},
		{"Change", "reason", reasons}, {"Removal", "reason", reasons}, {"Sample", "reason", reasons},
		{"Person", "reason", reasons}, {"PersonDetail", "reason", reasons}, {"Team", "reason", reasons}, {"License", "reason", reasons},
		{"Mailbox", "reason", reasons}, {"Position", "reason", reasons},
		{"Team", "kind", sorted(directory.MicrosoftTeam, directory.SecurityGroup)},
		{"Group", "kind", sorted(directory.MicrosoftTeam, directory.SecurityGroup, directory.OtherGroup)},
	} {
		if got := enum(test.schema, test.prop); !slices.Equal(got, test.want) {
			t.Errorf("%s.%s: %q, want %q", test.schema, test.prop, got, test.want)
		}
	}
	for _, p := range append(directory.Properties(), "id") {
		if _, ok := d.Components.Schemas["Person"].Properties[p]; !ok {
			t.Errorf("Person has no %s", p)
		}
	}
}

func sorted[S ~string](in ...S) (out []string) {
	for _, s := range in {
		out = append(out, string(s))
	}
	slices.Sort(out)
	return out
}

// Every property of a stored person is answered under its name.
func TestPersonComplete(t *testing.T) {
	yes := true
	r := directory.Record{Person: directory.Person{AccountEnabled: &yes}, Life: directory.Life{Created: now}}
	v := reflect.ValueOf(&r.Person).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{v.Type().Field(i).Name}))
		}
	}
	stored, _ := json.Marshal(r.Person)
	shown, _ := json.Marshal(shapePerson(&r))
	var want, got map[string]any
	_ = json.Unmarshal(stored, &want)
	_ = json.Unmarshal(shown, &got)
	if len(want) != len(directory.Properties())+1 {
		t.Fatalf("%d properties stored", len(want))
	}
	for name, value := range want {
		if !reflect.DeepEqual(got[name], value) {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

// What is streamed is what the document says of the page.
func TestStreamedFitsDocument(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 3)
	b.hold(contoso, 0, 1)
	b.runs[contoso] = []job.Run{{ID: "r", Trigger: job.First, State: job.Held, Began: now, Plan: &job.Plan{Hash: planHash, Run: "r", At: now}}}
	b.plan(contoso, 2)
	c := b.connections[contoso]
	c.Guard = &connection.Guard{}
	b.connections[contoso] = c
	schemas := b.api.huma.OpenAPI().Components.Schemas
	for path, item := range b.api.huma.OpenAPI().Paths {
		if item.Get == nil || !strings.HasPrefix(item.Get.OperationID, "list-") {
			continue
		}
		limit := "?limit=1"
		if item.Get.OperationID == "list-licenses" {
			limit = ""
		}
		w := b.do(http.MethodGet, strings.NewReplacer("{id}", contoso, "{team}", team1).Replace(path)+limit, "")
		var v any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatal(path, err)
		}
		var res huma.ValidateResult
		huma.Validate(schemas, item.Get.Responses["200"].Content["application/json"].Schema,
			huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, &res)
		if len(res.Errors) > 0 {
			t.Errorf("%s: %v", path, res.Errors)
		}
	}
}
