package proof

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/servicebus"
)

// ofTrigger are the runs that a trigger started.
func ofTrigger(all []run, trigger string) (some []run) {
	for _, r := range all {
		if r.Trigger == trigger {
			some = append(some, r)
		}
	}
	return some
}

// settled waits until the queue is empty and returns the connection's runs.
func settled(t *testing.T, s *sandbox.Sandbox, c customer) []run {
	t.Helper()
	if err := sandbox.Await(within(t, 20*time.Second), "an empty queue", func() (bool, error) {
		n, err := s.Bus.Counts(sandbox.Queue)
		return n.Active+n.Scheduled+n.Locked == 0, err
	}); err != nil {
		t.Fatal(err)
	}
	all, err := runs(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !r.ended() {
			t.Errorf("run %+v is open and nothing is queued", r)
		}
	}
	return all
}

// held stops the customer's runs at their first page until released.
func held(t *testing.T, s *sandbox.Sandbox, c customer) (release func()) {
	t.Helper()
	gate := make(chan struct{})
	s.Microsoft.SetDelayHook(func(ctx context.Context, _ time.Duration) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	})
	id, err := s.Microsoft.AddFault(fault.Fault{Tenant: c.tenant.ID, Path: fault.UsersDelta, Kind: fault.Slow, Delay: time.Second, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open) // also where the test has failed before
	return func() {
		t.Helper()
		if s.Microsoft.Fired(id) != 1 {
			t.Error("no run was held")
		}
		open()
	}
}

// Whoever asks for a sync gets one run, however many ask at once, of how many
// instances, and whatever becomes of its message.
func TestManualSync(t *testing.T) {
	t.Parallel()
	const cooldown = 30 * time.Minute
	s := start(t, sandbox.Options{Settings: map[string]string{"SYNC_COOLDOWN": cooldown.String(), "SYNC_SPREAD": "0s"}})
	second, err := s.AnotherHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("a hundred at once", func(t *testing.T) {
		c := connected(t, s, tenant.Spec{People: 15})
		if _, err := c.tenant.Apply(tenant.Bulk{Seed: 3, Edit: 3, Remove: 2, Create: 2}); err != nil {
			t.Fatal(err)
		}
		var (
			mu                sync.Mutex
			all               sync.WaitGroup
			accepted, refused int
			location          string
			begin             = make(chan struct{})
		)
		client := s.Client()
		for i := range 100 {
			at := s.PublicURL
			if i%2 == 1 {
				at = second.URL()
			}
			all.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), "POST", at+c.path("/sync"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("x-functions-key", s.FunctionKey)
				<-begin
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				switch after, err := strconv.Atoi(resp.Header.Get("Retry-After")); {
				case resp.StatusCode == 202:
					accepted++
					location = resp.Header.Get("Location")
				case resp.StatusCode != 429:
					t.Errorf("status %d", resp.StatusCode)
				case err != nil || after < int(cooldown.Seconds())-30 || after > int(cooldown.Seconds()):
					t.Errorf("Retry-After is %q: want seconds, just below %v", resp.Header.Get("Retry-After"), cooldown)
				default:
					refused++
				}
			})
		}
		close(begin)
		all.Wait()
		if accepted != 1 || refused != 99 {
			t.Errorf("%d accepted and %d refused, want 1 and 99", accepted, refused)
		}
		awaitRuns(t, s, c, 2)
		manual := ofTrigger(settled(t, s, c), "manual")
		if len(manual) != 1 || manual[0].State != "succeeded" || location != c.path("/runs/"+manual[0].ID) {
			t.Errorf("runs %+v, want one, at %s", manual, location)
		}
		check(t, s, c)
		for name, h := range map[string]int{"first": s.Host.Stats().Functions["syncnow"].Invocations, "second": second.Stats().Functions["syncnow"].Invocations} {
			if h != 50 {
				t.Errorf("the %s host answered %d, want 50", name, h)
			}
		}
	})

	t.Run("unknown", func(t *testing.T) {
		for _, id := range []string{"abcdefghijklmnopqrstuvwxyz", "no-such", strings.Repeat("a", 300), "A'B"} {
			if a, err := s.Call(t.Context(), "POST", "/v1/connections/"+id+"/sync", nil, nil); err != nil || a.Status != 404 || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s %v, want 404", id, a.Status, a.Body, err)
			}
		}
	})

	t.Run("not connected", func(t *testing.T) {
		c := invited(t, s, tenant.Spec{People: 3})
		rows, n := stored(t, s), sent(t, s)
		if a, err := s.Call(t.Context(), "POST", c.path("/sync"), nil, nil); err != nil || a.Status != 409 || !strings.Contains(string(a.Body), "not_connected") {
			t.Errorf("%d %s %v, want 409", a.Status, a.Body, err)
		}
		unchanged(t, s, rows, n)
	})

	t.Run("while a run is open", func(t *testing.T) {
		c := invited(t, s, tenant.Spec{People: 15})
		release := held(t, s, c)
		if _, err := s.Consent(t.Context(), c.Link, c.admin()); err != nil {
			t.Fatal(err)
		}
		await(t, s, c, "a first run that is open", func(all []run) bool { return len(all) == 1 && all[0].State == "running" })
		a, err := s.Call(t.Context(), "POST", c.path("/sync"), nil, nil)
		if err != nil || a.Status != 202 {
			t.Fatalf("%d %s %v", a.Status, a.Body, err)
		}
		await(t, s, c, "a merged run", func(all []run) bool { return len(all) == 2 })
		// What changes meanwhile is stored by one of them.
		if _, err := c.tenant.Apply(tenant.Bulk{Seed: 4, Edit: 4, Remove: 1, Create: 2}); err != nil {
			t.Fatal(err)
		}
		release()
		awaitRuns(t, s, c, 3)
		all := settled(t, s, c)
		first, manual, again := ofTrigger(all, "first"), ofTrigger(all, "manual"), ofTrigger(all, "again")
		if len(all) != 3 || len(first) != 1 || len(manual) != 1 || len(again) != 1 {
			t.Fatalf("runs %+v, want a first, a manual and one again", all)
		}
		if manual[0].State != "merged" || manual[0].MergedInto != first[0].ID || first[0].State != "succeeded" || again[0].State != "succeeded" {
			t.Errorf("runs %+v, want the manual one merged into the first", all)
		}
		check(t, s, c)
	})

	// The message's fate is unknown to its sender, or it was refused; the next
	// call or the janitor sends it again, and the run happens once.
	t.Run("send unknown, then the janitor", func(t *testing.T) {
		mend := func(customer) error { return s.Host.Fire(t.Context(), "janitor") }
		c := connected(t, s, tenant.Spec{People: 15})
		before, err := s.Bus.Counts(sandbox.Queue)
		if err != nil {
			t.Fatal(err)
		}
		s.Bus.DropAfterAccept(sandbox.Queue, 1)
		var asked sync.WaitGroup
		asked.Go(func() { _, _ = s.Call(t.Context(), "POST", c.path("/sync"), nil, nil) }) // of a handler that dies
		count := func(what string, ok func(servicebus.Counts) bool) {
			t.Helper()
			if err := sandbox.Await(within(t, 20*time.Second), what, func() (bool, error) {
				n, err := s.Bus.Counts(sandbox.Queue)
				return ok(n), err
			}); err != nil {
				t.Fatal(err)
			}
		}
		count("a message that is accepted and not answered", func(n servicebus.Counts) bool { return n.Dropped == before.Dropped+1 })
		s.Host.Kill()
		asked.Wait()
		once(t, s, c, func() error { return mend(c) })
		count("a repeat that the queue recognizes", func(n servicebus.Counts) bool {
			if err := mend(c); err != nil {
				t.Fatal(err)
			}
			return n.Duplicates > before.Duplicates
		})
		once(t, s, c, func() error { return mend(c) })
	})
	t.Run("send refused, then a call", func(t *testing.T) {
		mend := func(c customer) error {
			_, err := s.Call(t.Context(), "POST", c.path("/sync"), nil, nil)
			return err
		}
		c := connected(t, s, tenant.Spec{People: 15})
		before, err := s.Bus.Counts(sandbox.Queue)
		if err != nil {
			t.Fatal(err)
		}
		s.Bus.FailSends(sandbox.Queue, 1, "amqp:unauthorized-access") // which no client tries again
		if a, err := s.Call(t.Context(), "POST", c.path("/sync"), nil, nil); err != nil || a.Status != 202 {
			t.Errorf("%d %s %v, want 202: the wish is stored", a.Status, a.Body, err)
		}
		if n, err := s.Bus.Counts(sandbox.Queue); err != nil || n.Refused != before.Refused+1 || n.Sent != before.Sent {
			t.Errorf("the queue counts %+v, %v: want one refused and none stored", n, err)
		}
		once(t, s, c, func() error { return mend(c) })
	})

	t.Run("a tick that comes twice", func(t *testing.T) {
		c := connected(t, s, tenant.Spec{People: 15})
		settled(t, s, c)
		// Five slots were missed.
		age(t, s, c, "NextDue", time.Now().Add(-49*time.Hour))
		if _, err := c.tenant.Apply(tenant.Bulk{Seed: 5, Edit: 2, Remove: 1, Create: 1}); err != nil {
			t.Fatal(err)
		}
		before := sent(t, s)
		var ticks sync.WaitGroup
		for range 3 {
			ticks.Go(func() {
				if err := s.Host.Fire(t.Context(), "synctimer"); err != nil {
					t.Error(err)
				}
			})
			ticks.Go(func() {
				if err := second.Fire(t.Context(), "synctimer"); err != nil {
					t.Error(err)
				}
			})
		}
		ticks.Wait()
		awaitRuns(t, s, c, 2)
		if err := s.Host.Fire(t.Context(), "synctimer"); err != nil {
			t.Error(err)
		}
		if all := settled(t, s, c); len(all) != 2 || len(ofTrigger(all, "schedule")) != 1 {
			t.Errorf("runs %+v, want one by schedule", all)
		}
		if n := sent(t, s) - before; n != 1 {
			t.Errorf("%d messages were stored, want 1", n)
		}
		var conn struct{ NextDue time.Time }
		if _, err := s.Call(t.Context(), "GET", c.path(""), nil, &conn); err != nil || time.Until(conn.NextDue) < 0 || time.Until(conn.NextDue) > 12*time.Hour {
			t.Errorf("next due at %v, %v: want within 12 hours", conn.NextDue, err)
		}
		check(t, s, c)
	})
}

// await waits until the connection's runs are as wanted.
func await(t *testing.T, s *sandbox.Sandbox, c customer, what string, ok func([]run) bool) {
	t.Helper()
	var all []run
	if err := sandbox.Await(within(t, 20*time.Second), what, func() (bool, error) {
		var err error
		all, err = runs(t.Context(), s, c)
		return ok(all), err
	}); err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
}

// once mends until a manual run has ended, and proves that there is one only,
// also after more mending.
func once(t *testing.T, s *sandbox.Sandbox, c customer, mend func() error) {
	t.Helper()
	var all []run
	if err := sandbox.Await(within(t, 20*time.Second), "the manual run", func() (bool, error) {
		if err := mend(); err != nil {
			return false, err
		}
		var err error
		all, err = runs(t.Context(), s, c)
		return len(all) == 2 && all[0].ended() && all[1].ended(), err
	}); err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
	if err := mend(); err != nil {
		t.Error(err)
	}
	if all := settled(t, s, c); len(all) != 2 || len(ofTrigger(all, "manual")) != 1 {
		t.Errorf("runs %+v, want one manual", all)
	}
	check(t, s, c)
}
