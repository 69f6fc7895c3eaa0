package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/api"
	"rollcall/internal/bus"
	"rollcall/internal/connection"
	"rollcall/internal/govern"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/schedule"
	"rollcall/internal/tables"
)

const opsKey = "the-function-key"

// desk is an operator's: a deployment's API on Azurite and Service Bus behind
// the check of the key that the host makes, and the command that calls it.
type desk struct {
	t      *testing.T
	store  *tables.Store
	bus    *servicebus.Server
	srv    *httptest.Server
	failed int           // how many requests more fail for now
	calls  []string      // that came through
	waited time.Duration // by the command
	env    map[string]string
}

type nobody struct{}

func (nobody) URL(connection.Connection) string { return "https://links.example/secret" }

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, store: wires.Store(t)}
	d.bus = wires.Bus(t, time.Now, nil)
	q, err := bus.New(wiretest.Token("any"), bus.Options{Namespace: wiretest.Namespace, Endpoint: d.bus.Addr(), TLS: wires.TLS(), Queue: wiretest.Queue})
	if err != nil {
		t.Fatal(err)
	}
	scheduler := &schedule.Scheduler{Connections: d.store, Runs: d.store, Plans: d.store, Queue: q, Now: time.Now, Log: wiretest.Silent(), Interval: 12 * time.Hour}
	governor := &govern.Governor{Connections: d.store, Fences: d.store, Claims: d.store, Data: d.store, Queue: q, Audit: d.store, Now: time.Now, Log: wiretest.Silent(), Budget: time.Minute}
	machine := api.New(api.Options{
		Connections: d.store, Runs: d.store, Plans: d.store, Syncer: scheduler, Governor: governor, Audit: d.store, Linker: nobody{},
		Registered: connection.Apps{"mailboxes": "0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b2"}, LinkTTL: time.Hour, Now: time.Now, Log: wiretest.Silent(),
		Operations: api.Operations{Fleet: governor, Requeuer: scheduler, DeadLetters: q},
	})
	d.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("x-functions-key") != opsKey:
			w.WriteHeader(http.StatusUnauthorized)
		case d.failed > 0:
			d.failed--
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			d.calls = append(d.calls, r.Method+" "+r.URL.Path)
			machine.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(d.srv.Close)
	t.Cleanup(d.forget)
	d.env = map[string]string{"ROLLCALL_PUBLIC_URL": d.srv.URL, "ROLLCALL_FUNCTION_KEY": opsKey, "USER": "ada"}
	return d
}

// forget deletes all connections: the tests share their table.
func (d *desk) forget() {
	cs, _, err := d.store.Connections(context.Background(), "", 1000)
	if err != nil {
		d.t.Error(err)
	}
	for _, c := range cs {
		if _, err := wires.Tables.Client().NewClient("connections").DeleteEntity(context.Background(), "connection", c.ID, nil); err != nil {
			d.t.Error(err)
		}
	}
}

// do runs the command as it was typed.
func (d *desk) do(in string, args ...string) (out, report string, err error) {
	d.t.Helper()
	var o, e bytes.Buffer
	c, err := parseOps(args, func(k string) string { return d.env[k] }, &e)
	if err != nil {
		d.t.Fatal(args, err)
	}
	c.client.Transport = d.srv.Client().Transport
	c.wait = func(_ context.Context, t time.Duration) error { d.waited += t; return nil }
	err = c.run(d.t.Context(), strings.NewReader(in), &o, &e)
	return o.String(), e.String(), err
}

func (d *desk) want(want string, args ...string) {
	d.t.Helper()
	if out, report, err := d.do("", args...); err != nil || out != want {
		d.t.Errorf("%v: %q, want %q (%v, %s)", args, out, want, err, report)
	}
}

func (d *desk) add(status connection.Status) string {
	d.t.Helper()
	c := connection.Connection{ID: connection.NewID(), Company: "c", Name: "n", Status: status, LastRun: "before", CreatedAt: time.Now()}
	if err := d.store.CreateConnection(d.t.Context(), c); err != nil {
		d.t.Fatal(err)
	}
	return c.ID
}

func (d *desk) status(id string) connection.Status {
	d.t.Helper()
	c, err := d.store.Connection(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return c.Status
}

// die dead-letters jobs.
func (d *desk) die(js ...job.Job) {
	d.t.Helper()
	client, err := azservicebus.NewClient(wiretest.Namespace, wiretest.Token("any"), &azservicebus.ClientOptions{CustomEndpoint: d.bus.Addr(), TLSConfig: wires.TLS()})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = client.Close(context.Background()) }()
	tx, err := client.NewSender(wiretest.Queue, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	rx, err := client.NewReceiverForQueue(wiretest.Queue, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, j := range js {
		id := j.MessageID()
		if err := tx.SendMessage(d.t.Context(), &azservicebus.Message{MessageID: &id, Body: j.Encode()}, nil); err != nil {
			d.t.Fatal(err)
		}
		ms, err := rx.ReceiveMessages(d.t.Context(), 1, nil)
		if err != nil || len(ms) != 1 {
			d.t.Fatal(len(ms), err)
		}
		if err := rx.DeadLetterMessage(d.t.Context(), ms[0], nil); err != nil {
			d.t.Fatal(err)
		}
	}
}

// there is what the queue holds, by state.
func (d *desk) there() (ids []string) {
	d.t.Helper()
	ms, err := d.bus.Messages(wiretest.Queue)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range ms {
		ids = append(ids, m.State+" "+m.MessageID)
	}
	slices.Sort(ids)
	return ids
}

// An operator's day, by the command, on a real store and queue.
func TestOps(t *testing.T) {
	d := newDesk(t)
	a, b, own, open := d.add(connection.OK), d.add(connection.Held), d.add(connection.OK), d.add(connection.Invited)

	if out, _, err := d.do("", "pause", "-connection", own); err != nil || !strings.Contains(out, `"status":"paused"`) {
		t.Errorf("%s, %v", out, err)
	}
	d.failed = 2
	d.want("pause: done 2, skipped map[invited:1 paused:1], refused map[]\n", "pause", "-all")
	if d.waited != 14*time.Second || d.status(a) != connection.Paused || d.status(b) != connection.Paused || d.status(open) != connection.Invited {
		t.Errorf("waited %s: %s, %s, %s", d.waited, d.status(a), d.status(b), d.status(open))
	}
	d.want("requeue: done 0, skipped map[invited:1 paused:3], refused map[]\n", "requeue", "-all")
	d.want("resume: done 2, skipped map[invited:1 paused:1], refused map[]\n", "resume", "-all")
	if d.status(a) != connection.OK || d.status(b) != connection.Held || d.status(own) != connection.Paused {
		t.Errorf("resumed: %s, %s, %s", d.status(a), d.status(b), d.status(own))
	}
	es, _, err := d.store.Entries(t.Context(), b, "", 10)
	var log []string
	for _, e := range es {
		log = append(log, e.Action+" "+e.Actor+" "+e.Outcome)
	}
	if slices.Sort(log); err != nil || !slices.Equal(log, []string{"pause.all ada asked", "resume.all ada asked"}) {
		t.Errorf("noted %q, %v", log, err)
	}

	d.want("requeue: done 2, skipped map[invited:1 paused:1], refused map[]\n", "requeue", "-all", "-spread", "0s")
	if out, _, err := d.do("", "requeue", "-connection", a); err != nil || !strings.Contains(out, `"state":"queued"`) {
		t.Errorf("%s, %v", out, err)
	}
	if there := d.there(); len(there) != 3 {
		t.Errorf("queued: %v", there)
	}
	if _, _, err := d.do("", "requeue", "-connection", own); err == nil || !strings.Contains(err.Error(), "409") || !strings.Contains(err.Error(), "Resume the connection") {
		t.Errorf("paused: %v", err)
	}
}

func TestOpsDeadLetters(t *testing.T) {
	d := newDesk(t)
	a, b, own := d.add(connection.OK), d.add(connection.OK), d.add(connection.Paused)
	of := func(id, run string) job.Job {
		return job.Job{Kind: job.Sync, Connection: id, Run: run, Trigger: job.Schedule}
	}
	if err := d.store.PutRun(t.Context(), a, job.Run{ID: "ended", State: job.Succeeded, Began: time.Now(), Ended: time.Now()}); err != nil {
		t.Fatal(err)
	}
	d.die(of(a, "ended"), of(a, "open"), of(b, "r"), of(own, "r"))
	out, _, err := d.do("", "dead-letters")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var first api.DeadLetter
	if err != nil || len(lines) != 4 || json.Unmarshal([]byte(lines[0]), &first) != nil || first.Run != "ended" || first.Message != a+"/ended/0" {
		t.Errorf("%v: %s", err, out)
	}
	out, _, err = d.do("", "dead-letters", "-connection", b)
	if err != nil || strings.Count(out, "\n") != 1 || json.Unmarshal([]byte(out), &first) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.want(b+": resubmitted 0, ended 0, left 0\n", "resubmit", "-connection", b, "-sequence", "999999")
	d.want(b+": resubmitted 1, ended 0, left 0\n", "resubmit", "-connection", b, "-sequence", first.Sequence)
	out, report, err := d.do("", "resubmit", "-all")
	if err == nil || !strings.Contains(out, a+": resubmitted 1, ended 1, left 0\n") || !strings.Contains(report, "paused") || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("%s, %s, %v", out, report, err)
	}
	there := d.there()
	if len(there) != 3 || !strings.HasPrefix(there[2], "dead-lettered "+own+"/r/0") {
		t.Errorf("there is %v", there)
	}
	for _, id := range []string{a + "/open/0/again-", b + "/r/0/again-"} {
		if !slices.ContainsFunc(there, func(s string) bool { return strings.HasPrefix(s, "active "+id) }) {
			t.Errorf("%s is not in %v", id, there)
		}
	}
}

func TestOpsExport(t *testing.T) {
	d := newDesk(t)
	id := d.add(connection.OK)
	exported, _, err := d.do("", "export", "-connection", id)
	if err != nil || !strings.HasPrefix(exported, `{"version":1,"company":"c","name":"n","settings":{`) {
		t.Fatal(exported, err)
	}
	out, _, err := d.do(exported, "import")
	var made api.Connection
	if err != nil || json.Unmarshal([]byte(out), &made) != nil || made.ID == id || d.status(made.ID) != connection.Invited {
		t.Fatal(out, err)
	}
	if again, _, err := d.do("", "export", "-connection", made.ID); err != nil || again != exported {
		t.Errorf("%s, %v", again, err)
	}
	calls := len(d.calls)
	d.failed = 1
	if _, _, err := d.do(exported, "import"); err == nil || len(d.calls) != calls { // it may have been done
		t.Errorf("%v, %v", d.calls, err)
	}
}

// A sweep that fails for good says where to go on, and goes on there.
func TestOpsGoesOn(t *testing.T) {
	d := newDesk(t)
	srv, n := d.srv, 0
	d.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n++; {
		case n == 1:
			fmt.Fprint(w, `{"done":3,"skipped":{},"refused":{"conflict":1},"continuation":"here"}`)
		case r.URL.Query().Get("continuation") != "here":
			t.Errorf("%s", r.URL)
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer d.srv.Close()
	d.env["ROLLCALL_PUBLIC_URL"] = d.srv.URL
	out, _, err := d.do("", "pause", "-all")
	if n != 1+maxTries || err == nil || !strings.Contains(err.Error(), "-continuation here") || out != "pause: done 3, skipped map[], refused map[conflict:1]\n" {
		t.Errorf("%d calls: %s, %v", n, out, err)
	}
	_, _, _ = d.do("", "pause", "-all", "-continuation", "here")
	if n != 1+2*maxTries {
		t.Errorf("%d calls", n)
	}
	srv.Close()
}

// The key goes nowhere but to the address, and is in no argument and no output.
func TestOpsKey(t *testing.T) {
	d := newDesk(t)
	d.env["ROLLCALL_FUNCTION_KEY"] = "another"
	out, report, err := d.do("", "dead-letters")
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(out+report+err.Error(), "another") {
		t.Errorf("%s %s %v", out, report, err)
	}
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	away := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	d.env["ROLLCALL_PUBLIC_URL"] = away.URL
	if _, _, err := d.do("", "dead-letters"); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("%v", err)
	}
}

// What is typed wrongly is refused before anything is called.
func TestOpsMistakes(t *testing.T) {
	env := map[string]string{"ROLLCALL_PUBLIC_URL": "https://rollcall.example.com", "ROLLCALL_FUNCTION_KEY": "k"}
	run := func(env map[string]string, args ...string) (int, string) {
		var out bytes.Buffer
		return ops(args, func(k string) string { return env[k] }, strings.NewReader(""), &out, &out), out.String()
	}
	for _, args := range [][]string{
		{}, {"nonsense"}, {"pause"}, {"pause", "-connection", "a", "-all"}, {"pause", "-connection", "A/b"}, {"resume", "-all", "x"}, {"export"}, {"requeue", "-all", "-spread", "7h"},
		{"requeue", "-all", "-spread", "-1s"}, {"resubmit", "-all", "-sequence", "1"}, {"pause", "-connection", "a", "-continuation", "x"}, {"pause", "-key", "x"}, {"import", "-connection", "a"},
	} {
		if code, out := run(env, args...); code != 2 || out == "" {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
	for name, wrong := range map[string]string{"ROLLCALL_PUBLIC_URL": "http://rollcall.example.com", "ROLLCALL_FUNCTION_KEY": ""} {
		bad := map[string]string{"ROLLCALL_PUBLIC_URL": env["ROLLCALL_PUBLIC_URL"], "ROLLCALL_FUNCTION_KEY": "k", name: wrong}
		if code, out := run(bad, "dead-letters"); code != 2 || !strings.Contains(out, strings.TrimPrefix(name, "ROLLCALL_PUBLIC_")) && !strings.Contains(out, "PUBLIC_URL") {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	if code, out := run(env, "-help"); code != 0 || !strings.Contains(out, "resubmit") {
		t.Errorf("help: %d %s", code, out)
	}
}
