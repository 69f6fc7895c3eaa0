package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/host"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// clock is the time of the whole world: the handler's, the Functions host's,
// Service Bus's and Microsoft's.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.at) {
		c.at = at
	}
}

// inProcess is the handler as a process that the Functions host can start and
// kill, but with the world's clock.
type inProcess struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (p *inProcess) Wait() (int, error) { <-p.done; return 137, nil }
func (p *inProcess) Kill() error        { p.cancel(); return nil }
func (p *inProcess) Pid() int           { return os.Getpid() }

// launch builds the handler as main does, from the same settings.
func launch(t *testing.T, clk *clock) func(context.Context, host.Launch) (host.Process, error) {
	return func(_ context.Context, l host.Launch) (host.Process, error) {
		env := map[string]string{}
		for _, kv := range l.Env {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		// Read from the process by azidentity and crypto/x509.
		for _, k := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "SSL_CERT_FILE"} {
			t.Setenv(k, env[k])
		}
		c, _, err := load(func(k string) string { return env[k] })
		if err != nil {
			return nil, err
		}
		log := slog.New(slog.NewJSONHandler(l.Stdout, nil))
		h, err := build(c, log, clk.now, nil)
		if err != nil {
			return nil, err
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		p := &inProcess{cancel: cancel, done: make(chan struct{})}
		go func() {
			defer close(p.done)
			_ = serve(ctx, ln, h, log)
		}()
		return p, nil
	}
}

// world is a sandbox on one clock.
type world struct {
	*sandbox.Sandbox
	t   *testing.T
	clk *clock
}

func newWorld(t *testing.T) *world {
	clk := &clock{at: time.Now().UTC().Truncate(time.Second)}
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Dist: staged(t), NodeModules: "../node_modules", Seed: 3, Now: clk.now, Launch: launch(t, clk),
		Settings: map[string]string{"SYNC_INTERVAL": "1h"},
	})
	if err != nil {
		t.Fatalf("%v (is node_modules there? run: make deps)", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{s, t, clk}
}

// staged is the package without its binary, which runs in this process.
func staged(t *testing.T) string {
	dir := t.TempDir()
	put := func(from, to string, mode os.FileMode) {
		b := []byte("#!/bin/false\n")
		if from != "" {
			var err error
			if b, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(dir+"/"+to, b, mode); err != nil {
			t.Fatal(err)
		}
	}
	put("../host.json", "host.json", 0o644)
	put("", "handler", 0o755)
	for _, f := range []string{"synctimer", "syncworker", "janitor", "connect", "consentcallback", "syncnow", "api"} {
		if err := os.Mkdir(dir+"/"+f, 0o755); err != nil {
			t.Fatal(err)
		}
		put("../functions/"+f+"/function.json", f+"/function.json", 0o644)
	}
	return dir
}

// pass lets the clock go on to at, from one due message to the next, and lets
// each be worked on before time goes on.
func (w *world) pass(at time.Time) {
	w.t.Helper()
	for {
		w.idle()
		due, ok := w.Bus.NextDue()
		if !ok || due.After(at) {
			break
		}
		w.clk.set(due)
		w.Bus.Tick()
	}
	w.clk.set(at)
	w.Bus.Tick()
	w.idle()
}

// idle waits until no message is deliverable and no invocation runs.
func (w *world) idle() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	err := sandbox.Await(ctx, "an idle queue", func() (bool, error) {
		n, err := w.Bus.Counts(sandbox.Queue)
		return n.Active+n.Locked == 0, err
	})
	if err == nil {
		err = w.Host.Idle(ctx)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// runState is the state and retries of a connection's newest run.
func (w *world) runState(id string) (state string, retries int) {
	w.t.Helper()
	var page struct {
		Runs []struct {
			State    string
			Counters struct{ Retries int }
		}
	}
	if _, err := w.Call(w.t.Context(), http.MethodGet, "/v1/connections/"+id+"/runs?limit=1", nil, &page); err != nil {
		w.t.Fatal(err)
	}
	if len(page.Runs) == 0 {
		return "none", 0
	}
	return page.Runs[0].State, page.Runs[0].Counters.Retries
}

func (w *world) manual(id string) {
	w.t.Helper()
	a, err := w.Call(w.t.Context(), http.MethodPost, "/v1/connections/"+id+"/sync", nil, nil)
	if err != nil || a.Status != http.StatusAccepted {
		w.t.Fatalf("manual sync: %d %s %v", a.Status, a.Body, err)
	}
}

// One world for all: the roots of trust are read once in a process.
func TestOutages(t *testing.T) {
	w := newWorld(t)
	t.Run("5xx", func(t *testing.T) { outage(t, w) })
	t.Run("missed slots", func(t *testing.T) { missedSlots(t, w) })
}

// One tenant that answers only 5xx does not delay nine others, and ten minutes
// without Microsoft send nothing to the dead-letter queue.
func outage(t *testing.T, w *world) {
	type customer struct {
		*tenant.Tenant
		id string
	}
	var all []customer
	for i := range 10 {
		tn, err := w.Microsoft.NewTenant(tenant.Spec{Name: fmt.Sprintf("Company %d", i), Domain: fmt.Sprintf("c%d.example", i), People: 20})
		if err != nil {
			t.Fatal(err)
		}
		inv, err := w.Invite(t.Context(), tn.ID, tn.Name)
		if err == nil {
			_, err = w.Consent(t.Context(), inv.Link, tn.Accounts[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, customer{tn, inv.ID})
	}
	w.pass(w.clk.now().Add(time.Minute))
	for i, c := range all {
		if state, _ := w.runState(c.id); state != "succeeded" {
			t.Fatalf("first run of %d is %s", i, state)
		}
	}

	t.Run("one broken tenant", func(t *testing.T) {
		broken := all[4]
		id, err := w.Microsoft.AddFault(fault.Fault{Tenant: broken.ID, Kind: fault.Error, Status: 503})
		if err != nil {
			t.Fatal(err)
		}
		began := w.clk.now()
		for _, c := range all {
			w.manual(c.id)
		}
		w.idle()
		if !w.clk.now().Equal(began) {
			t.Fatal("the clock moved")
		}
		for i, c := range all {
			want := "succeeded"
			if c.id == broken.id {
				want = "waiting"
			}
			if state, _ := w.runState(c.id); state != want {
				t.Errorf("without any time gone by, the run of %d is %s, want %s", i, state, want)
			}
		}
		w.pass(began.Add(10 * time.Minute))
		if _, retries := w.runState(broken.id); w.Microsoft.Fired(id) < 5 || retries != w.Microsoft.Fired(id) {
			t.Errorf("the fault fired %d times in ten minutes, the run counts %d retries", w.Microsoft.Fired(id), retries)
		}
		w.Microsoft.ClearFault(id)
		w.pass(w.clk.now().Add(16 * time.Minute))
		if state, _ := w.runState(broken.id); state != "succeeded" {
			t.Errorf("after the outage the run is %s", state)
		}
	})
	t.Run("ten minutes without Microsoft", func(t *testing.T) {
		w.pass(w.clk.now().Add(31 * time.Minute))
		id, err := w.Microsoft.AddFault(fault.Fault{Kind: fault.Error, Status: 502})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if err := c.Update(c.People()[0].ID, tenant.Fields{"jobTitle": "Survivor"}); err != nil {
				t.Fatal(err)
			}
			w.manual(c.id)
		}
		w.pass(w.clk.now().Add(10 * time.Minute))
		if w.Microsoft.Fired(id) < 50 {
			t.Errorf("the fault fired %d times", w.Microsoft.Fired(id))
		}
		w.Microsoft.ClearFaults()
		w.pass(w.clk.now().Add(16 * time.Minute))
		for i, c := range all {
			stored, err := w.People(t.Context(), c.id)
			if err != nil {
				t.Fatal(err)
			}
			if err := sandbox.Compare(stored, sandbox.Truth(c.People())); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
	n, err := w.Bus.Counts(sandbox.Queue)
	if err != nil || n.DeadLetter != 0 || n.Abandoned != 0 {
		t.Errorf("%d dead letters, %d abandoned messages, %v", n.DeadLetter, n.Abandoned, err)
	}
}

// After an outage of hours, each connection runs once, not once for every
// slot. (Azure's own tokens live by the real clock, for a day.)
func missedSlots(t *testing.T, w *world) {
	tn, err := w.Microsoft.NewTenant(tenant.Spec{People: 5})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := w.Invite(t.Context(), "c", "Company")
	if err == nil {
		_, err = w.Consent(t.Context(), inv.Link, tn.Accounts[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	w.pass(w.clk.now().Add(time.Minute))
	w.pass(w.clk.now().Add(6*time.Hour + 10*time.Minute)) // no timer fires
	calls := tn.Calls()[fault.UsersDelta]
	for range 3 {
		if err := w.Host.Fire(t.Context(), "synctimer"); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(w.clk.now().Add(20 * time.Minute))
	if got := tn.Calls()[fault.UsersDelta] - calls; got != 1 {
		t.Errorf("%d calls of users/delta, want 1: one run for six missed slots", got)
	}
	w.pass(w.clk.now().Add(time.Hour))
	if err := w.Host.Fire(t.Context(), "synctimer"); err != nil {
		t.Fatal(err)
	}
	w.pass(w.clk.now().Add(20 * time.Minute))
	if got := tn.Calls()[fault.UsersDelta] - calls; got != 2 {
		t.Errorf("%d calls of users/delta, want 2: the next slot runs", got)
	}
}
