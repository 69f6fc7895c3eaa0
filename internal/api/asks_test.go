package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

func TestAsks(t *testing.T) {
	confirm := `{"confirm":"` + object + `"}`
	for _, test := range []struct {
		path, body string
		trigger    job.Trigger
		person     string
	}{
		{"/preview", "", job.Preview, ""},
		{"/people/" + object + "/sync", "", job.Person, object},
		{"/people/" + object + "/erase", confirm, job.Erase, object},
	} {
		b := newBench()
		var fail error
		asked := 0
		b.ask = func(trigger job.Trigger, id, person, actor string) (string, error) {
			if asked++; trigger != test.trigger || id != fabrica || person != test.person || actor != "Ada" {
				t.Errorf("%s of %q, person %q, by %q", trigger, id, person, actor)
			}
			return "04f8-run", fail
		}
		path := "/v1/connections/" + fabrica + test.path
		w := b.do(post, path, test.body, "X-Rollcall-Actor", "Ada")
		var v Run
		read(t, w, 202, &v)
		if want := "/v1/connections/" + fabrica + "/runs/04f8-run"; w.Header().Get("Location") != want {
			t.Errorf("location %q, want %q", w.Header().Get("Location"), want)
		}
		if v.ID != "04f8-run" || v.State != "queued" || v.Trigger != string(test.trigger) || v.Person != test.person || v.Counters != nil || !v.QueuedAt.Equal(now) {
			t.Errorf("%+v", v)
		}
		for _, f := range []struct {
			err    error
			status int
			code   string
		}{
			{fault.New(fault.NotFound, "secret"), 404, codeNotFound},
			{fault.New(fault.Denied, "secret").WithCode("not_connected"), 409, codeNotConnected},
			{fmt.Errorf("x: %w", &fault.Error{Kind: fault.Throttled, After: 90 * time.Second, Err: errors.New("secret"), Remedy: "Wait for the run."}), 429, codeThrottled},
			{errors.New("secret"), 503, codeUnavailable},
		} {
			fail = f.err
			w := b.do(post, path, test.body, "X-Rollcall-Actor", "Ada")
			refused(t, w, f.status, f.code)
			location := ""
			if f.code == codeThrottled { // it names the run that stands in the way
				location = "/v1/connections/" + fabrica + "/runs/04f8-run"
			}
			if strings.Contains(w.Body.String(), "secret") || w.Header().Get("Location") != location {
				t.Errorf("%s: location %q: %s", test.path, w.Header().Get("Location"), w.Body)
			}
			if f.code == codeThrottled && retryAfter(t, w) != 90 {
				t.Errorf("Retry-After %d", retryAfter(t, w))
			}
		}
		fail = &fault.Error{Kind: fault.Throttled, After: time.Second, Err: errors.New("too many")}
		started := b.ask
		b.ask = func(trigger job.Trigger, id, person, actor string) (string, error) {
			_, err := started(trigger, id, person, actor)
			return "", err
		}
		w = b.do(post, path, test.body, "X-Rollcall-Actor", "Ada")
		refused(t, w, 429, codeThrottled)
		if w.Header().Get("Location") != "" || retryAfter(t, w) != 1 {
			t.Errorf("%s: %v", test.path, w.Header())
		}
		asked = 0
		refused(t, b.do(post, strings.Replace(path, fabrica, "UPPER", 1), test.body), 404, codeNotFound)
		if test.person != "" {
			for _, person := range []string{"grace", strings.ToUpper(object), object[1:], "a%27b"} {
				body := strings.Replace(test.body, object, person, 1)
				if w := b.do(post, strings.Replace(path, object, person, 1), body); w.Code != 404 && w.Code != 422 {
					t.Errorf("person %s: %d %s", person, w.Code, w.Body)
				}
			}
		}
		if asked != 0 {
			t.Errorf("%s: %d hostile requests were asked", test.path, asked)
		}
	}
}

// An erasure names the person twice.
func TestErasureConfirmed(t *testing.T) {
	b := newBench()
	b.ask = func(job.Trigger, string, string, string) (string, error) {
		t.Error("erased")
		return "", nil
	}
	path := "/v1/connections/" + fabrica + "/people/" + object + "/erase"
	for body, status := range map[string]int{
		`{}`: 422, `{"confirm":null}`: 422, `{"confirm":"` + tenant + `"}`: 422, `{"confirm":true}`: 422, `{"confirm":"` + strings.ToUpper(object) + `"}`: 422,
		`{"confirm":"` + object + `","force":true}`: 422, `{"confirm":"` + object + `","confirm":"` + object + `"}`: 400, ``: 400, ` `: 400,
	} {
		w := b.do(post, path, body)
		if w.Code != status {
			t.Errorf("%q: %d, want %d: %s", body, w.Code, status, w.Body)
		}
	}
	if p := refused(t, b.do(post, path, `{"confirm":"`+tenant+`"}`), 422, codeValidation); !p.names("body.confirm") {
		t.Errorf("%+v", p.Errors)
	}
}

// What was asked for is shown as queued until a worker has opened it.
func TestQueuedAsk(t *testing.T) {
	b := newBench()
	c := b.connections[fabrica]
	c.Manual = connection.Manual{At: now, Run: "manual"}
	c.Asks = []connection.Ask{
		{Trigger: "erase", Run: "erasing", Person: object, At: now, By: "Ada"},
		{Trigger: "preview", Run: "looking", At: now.Add(-time.Minute), By: "Bob"},
	}
	c.Decision = connection.Decision{Plan: planHash, Run: "deciding", Approve: true, At: now, By: "Cleo"}
	b.connections[fabrica] = c
	for approve, want := range map[bool]string{true: "approve", false: "reject"} {
		c.Decision.Approve = approve
		b.connections[fabrica] = c
		var v Run
		read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/deciding", ""), 200, &v)
		if v.ID != "deciding" || v.State != "queued" || v.Trigger != want || v.By != "Cleo" || !v.QueuedAt.Equal(now) || v.Counters != nil {
			t.Errorf("decision %+v", v)
		}
	}
	for _, want := range c.Asks {
		var v Run
		read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/"+want.Run, ""), 200, &v)
		if v.ID != want.Run || v.State != "queued" || v.Trigger != want.Trigger || v.Person != want.Person || v.By != want.By || !v.QueuedAt.Equal(want.At) || v.Counters != nil {
			t.Errorf("%+v, want %+v", v, want)
		}
	}
	b.runs[fabrica] = []job.Run{{ID: "erasing", Trigger: job.Erase, State: job.Succeeded, Person: object, Began: now, Ended: now}}
	// A preview under way is in its own partition.
	b.fences[fabrica+"~preview"] = job.Fence{Run: job.Run{ID: "looking", Trigger: job.Preview, State: job.Running, Began: now, Counters: job.Counters{Seen: 40}}}
	for run, state := range map[string]string{"erasing": "succeeded", "looking": "running"} {
		var v Run
		read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/"+run, ""), 200, &v)
		if v.State != state || v.QueuedAt != nil || v.Counters == nil {
			t.Errorf("%s once opened: %+v", run, v)
		}
	}
	refused(t, b.do(get, "/v1/connections/"+fabrica+"/runs/other", ""), 404, codeNotFound)
}

// The record of a run is shown whole.
func TestRunRecord(t *testing.T) {
	b := newBench()
	r := job.Run{
		ID: "r", Trigger: job.Preview, State: job.Merged, By: "Ada", Person: object, MergedInto: "other", Override: true, Began: now, Ended: now, FirstChange: 16, LastChange: 17,
		Phases: []job.Phase{{Name: "people", Began: now, Ended: now.Add(time.Second), Full: true, Why: "settings are wider", Pages: 1, GraphCalls: 2, Units: 3, Changes: 4},
			{Name: "teams", Began: now}},
		Skipped:  []job.Skipped{{What: "licenses", Code: "x", Message: "Refused.", Remedy: "Consent."}},
		Steps:    []job.Step{{Name: "found", Result: "yes", Detail: "Microsoft holds the person."}},
		Forecast: &job.Forecast{Total: 1, HeldPeople: 2, HeldTeams: 3, HeldMemberships: 4, LicensesTotal: 5, LicensesAvailable: 6},
		Teams:    job.KindCounters{Created: 1, Updated: 2, Archived: 3, Reactivated: 4}, Memberships: job.KindCounters{Created: 5, Archived: 6},
		Licenses: job.KindCounters{Updated: 7}, Mailboxes: job.KindCounters{Created: 8}, Positions: job.KindCounters{Reactivated: 9},
		Plan: &job.Plan{Hash: planHash, Run: "r", At: now, Count: 1, Active: 2, Teams: 3, Memberships: 4},
	}
	b.runs[contoso] = []job.Run{r}
	var v Run
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs/r", ""), 200, &v)
	shown, _ := json.Marshal(v)
	for _, want := range []string{
		`"by":"Ada"`, `"person":"` + object + `"`, `"mergedInto":"other"`, `"override":true`, `"firstChange":16,"lastChange":17`,
		`"phases":[{"name":"people","began":"2026-11-21T09:30:00Z","ended":"2026-11-21T09:30:01Z","full":true,"why":"settings are wider","pages":1,"graphCalls":2,"units":3,"changes":4},` +
			`{"name":"teams","began":"2026-11-21T09:30:00Z","full":false,"pages":0,"graphCalls":0,"units":0,"changes":0}]`,
		`"skipped":[{"what":"licenses","code":"x","message":"Refused.","remedy":"Consent."}]`,
		`"steps":[{"name":"found","result":"yes","detail":"Microsoft holds the person."}]`,
		`"forecast":{"total":1,"heldPeople":2,"heldTeams":3,"heldMemberships":4,"licensesTotal":5,"licensesAvailable":6}`,
		`"teams":{"created":1,"updated":2,"archived":3,"reactivated":4}`, `"memberships":{"created":5,"updated":0,"archived":6,"reactivated":0}`,
		`"licenses":{"created":0,"updated":7,`, `"mailboxes":{"created":8,`, `"reactivated":9}`, `"teams":3,"memberships":4}`,
	} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("no %s in %s", want, shown)
		}
	}
	if v.Samples != nil {
		t.Errorf("samples %+v of a preview whose changes are dropped", v.Samples)
	}
}

// A preview shows the first few changes of each type that are its own.
func TestSamples(t *testing.T) {
	b := newBench()
	b.runs[contoso] = []job.Run{{ID: "p", Trigger: job.Preview, State: job.Succeeded, Began: now, Ended: now, FirstChange: 999}, {ID: "s", Trigger: job.Manual, State: job.Succeeded, Ended: now}}
	part := contoso + "~preview"
	add := func(c directory.Change) {
		c.Number = int64(1000 + len(b.changes[part]))
		b.changes[part] = append(b.changes[part], c)
	}
	add(directory.Change{Type: directory.Created, ID: personID(0), Run: "earlier"})
	for i := range 7 {
		add(directory.Change{
			Type: directory.Updated, ID: personID(i), Run: "p",
			Set: directory.Set(`{"mail":null,"jobTitle":"Rear Admiral","assignedLicenses":["a"]}`),
			Was: directory.Set(`{"mail":"m@contoso.com","jobTitle":"Captain"}`),
		})
	}
	add(directory.Change{Type: directory.TeamMembers, ID: team1, Run: "p", Joined: []string{personID(1), personID(2)}, Left: []string{personID(3)}})
	fill := func(to int) {
		for len(b.changes[part]) < to {
			add(directory.Change{Type: directory.Created, ID: personID(9), Run: "p"})
		}
	}
	fill(1000)
	add(directory.Change{Type: directory.TeamArchived, ID: team1, Run: "p", Reason: directory.Missing}) // neither in the first nor in the last
	fill(2000)
	for i := range 7 {
		add(directory.Change{Type: directory.Archived, ID: personID(i), Run: "p", Reason: directory.Missing}) // what goes comes last
	}
	b.fences[part] = job.Fence{Run: job.Run{ID: "p"}, LastChange: int64(999 + len(b.changes[part]))}

	var v Run
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs/p", ""), 200, &v)
	count := map[string]int{}
	for _, s := range v.Samples {
		count[s.Type]++
	}
	if len(v.Samples) != 16 || count["person.updated"] != 5 || count["team.members"] != 1 || count["person.created"] != 5 || count["person.archived"] != 5 {
		t.Fatalf("samples %v", count)
	}
	first, _ := json.Marshal(v.Samples[0])
	if want := `{"type":"person.updated","id":"` + personID(0) + `","fields":[{"name":"assignedLicenses","before":null,"after":["a"]},` +
		`{"name":"jobTitle","before":"Captain","after":"Rear Admiral"},{"name":"mail","before":"m@contoso.com","after":null}]}`; string(first) != want {
		t.Errorf("sample %s, want %s", first, want)
	}
	if s := v.Samples[5]; s.Joined != 2 || s.Left != 1 || s.ID != team1 || s.Fields == nil {
		t.Errorf("sample %+v", s)
	}
	if b.reads != 10 {
		t.Errorf("%d reads of 200", b.reads)
	}

	// Of few changes each is looked at once; those of another preview are not.
	b.changes[part] = b.changes[part][:1500]
	b.fences[part] = job.Fence{Run: job.Run{ID: "p"}, LastChange: 2499}
	v = Run{}
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs/p", ""), 200, &v)
	if n := len(v.Samples); n != 12 {
		t.Errorf("%d samples of 1,500 changes, want 12", n)
	}
	b.fences[part] = job.Fence{Run: job.Run{ID: "later"}, LastChange: 2499}
	v = Run{}
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs/p", ""), 200, &v)
	if v.Samples != nil {
		t.Errorf("samples %+v of a preview that was replaced", v.Samples)
	}

	v = Run{}
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs/s", ""), 200, &v)
	if v.Samples != nil {
		t.Error("a run that is no preview has samples")
	}
	var page RunPage
	read(t, b.do(get, "/v1/connections/"+contoso+"/runs", ""), 200, &page)
	if page.Runs[0].Samples != nil {
		t.Error("the list has samples")
	}
}
