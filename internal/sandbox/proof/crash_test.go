package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/tablestore"
)

func differ(a, b map[string]sandbox.Person) string {
	for id, p := range a {
		if q, ok := b[id]; !ok || !reflect.DeepEqual(p, q) {
			return fmt.Sprintf("person %s is %+v and %+v", id, p, b[id])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d and %d people", len(a), len(b))
	}
	return ""
}

// crashed is a sandbox whose handler can be killed at any write.
type crashed struct {
	*sandbox.Sandbox
	writes atomic.Int64 // since the scenario began
	kills  atomic.Int64
}

// killing arms the kills: at says for each write, counted from 1, what
// happens: nothing, a kill before it takes effect, or one after it took effect
// and before the handler is told.
func (c *crashed) killing(at func(n int64) moment) {
	c.writes.Store(0)
	c.kills.Store(0)
	c.Tables.BeforeWrite(func(int64, string) error {
		if at(c.writes.Add(1)) == before {
			c.kills.Add(1)
			c.Host.Kill()
			return fmt.Errorf("killed")
		}
		return nil
	})
	c.Tables.OnWrite(func(int64, string) tablestore.Verdict {
		if at(c.writes.Load()) == after {
			c.kills.Add(1)
			c.Host.Kill()
			return tablestore.Cut
		}
		return tablestore.Pass
	})
}

func (c *crashed) calm() {
	c.Tables.BeforeWrite(nil)
	c.Tables.OnWrite(nil)
}

type moment int

const (
	never moment = iota
	before
	after
)

// outcome is what must be the same however often the handler was killed.
type outcome struct {
	people  map[string]sandbox.Person // without change numbers
	changes map[string][]string       // per person, in order
	writes  int64
}

// scenario lives through a connection's days, with the kills that are armed
// by arm, and returns what is left: first run, changes, a delta link that was
// forgotten with people gone meanwhile, and somebody's return.
func scenario(t *testing.T, c *crashed, arm func()) outcome {
	t.Helper()
	// A tenant of its own, with the people of every other one.
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Uint64()&0xffffffffffff)
	cust := invited(t, c.Sandbox, tenant.Spec{ID: id, Name: "Contoso", Domain: "contoso.example", People: 150, Seed: 5})
	defer c.Microsoft.DeleteTenant(id)
	defer c.calm()
	arm()
	// Once consent is given, everything goes on by itself.
	retry(t, "consent", func() error {
		// It may have been granted by the try that was killed.
		if conn, err := status(t.Context(), c, cust); err != nil || conn.Status != "invited" {
			return err
		}
		p, err := c.Consent(t.Context(), cust.Link, cust.admin())
		if err == nil && p.Status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", p.Status, p.Title)
		}
		return err
	})
	quiet(t, c, cust, 0)
	days := []func() error{
		func() error {
			_, err := cust.tenant.Apply(tenant.Bulk{Seed: 6, Edit: 60, Remove: 9, Create: 8})
			return err
		},
		func() error {
			cust.tenant.Forget()
			_, err := cust.tenant.Apply(tenant.Bulk{Seed: 7, Edit: 5, Remove: 7, Create: 3})
			return err
		},
		func() error { _, err := cust.tenant.Apply(tenant.Bulk{Seed: 8, Restore: 4, Remove: 2}); return err },
	}
	for i, day := range days {
		if err := day(); err != nil {
			t.Fatal(err)
		}
		retry(t, "manual sync", func() error {
			a, err := c.Call(t.Context(), "POST", cust.path("/sync"), nil, nil)
			if err == nil && a.Status != 202 {
				err = fmt.Errorf("status %d: %s", a.Status, a.Body)
			}
			return err
		})
		quiet(t, c, cust, i+1)
	}
	writes := c.writes.Load()
	c.calm()
	out := outcome{people: map[string]sandbox.Person{}, changes: map[string][]string{}, writes: writes}
	for _, ch := range check(t, c.Sandbox, cust) {
		set, err := json.Marshal(ch.Set)
		if err != nil {
			t.Fatal(err)
		}
		out.changes[ch.ID] = append(out.changes[ch.ID], ch.Type+" "+string(set))
	}
	stored, err := c.People(t.Context(), cust.ID)
	if err != nil {
		t.Fatal(err)
	}
	for id, p := range stored {
		p.Change = 0
		out.people[id] = p
	}
	if n, err := c.Bus.Counts(sandbox.Queue); err != nil || n.DeadLetter > 0 {
		t.Errorf("%d messages in the dead-letter queue, %v", n.DeadLetter, err)
	}
	return out
}

// noted is what the connection says of itself.
type noted struct{ Status, LastRun string }

func status(ctx context.Context, c *crashed, cust customer) (n noted, err error) {
	_, err = c.Call(ctx, "GET", cust.path(""), nil, &n)
	return n, err
}

// retry repeats what a client would: a killed handler answers nothing, or 502.
func retry(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	if err := sandbox.Await(within(t, time.Minute), what, func() (bool, error) {
		last = f()
		return last == nil, nil
	}); err != nil {
		t.Fatalf("%v; last: %v", err, last)
	}
}

// quiet waits until nothing is under way any more: at least the first run and
// so many manual ones have ended, and the queue is empty. The janitor goes
// round meanwhile, as it would.
func quiet(t *testing.T, c *crashed, cust customer, manual int) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	var (
		rounds int
		all    []run
	)
	err := sandbox.Await(ctx, "quiet", func() (bool, error) {
		if rounds++; rounds%25 == 0 {
			_ = c.Host.Fire(ctx, "janitor") // may be killed too
			_ = c.Host.Fire(ctx, "synctimer")
		}
		n, err := c.Bus.Counts(sandbox.Queue)
		if err != nil || n.Active+n.Scheduled+n.Locked > 0 {
			return false, err
		}
		if all, err = runs(ctx, c.Sandbox, cust); err != nil {
			return false, nil // killed meanwhile
		}
		conn, err := status(ctx, c, cust)
		if err != nil {
			return false, nil
		}
		done, byHand := false, 0
		for _, r := range all {
			if !r.ended() {
				return false, nil
			}
			done = done || r.ID == conn.LastRun
			if r.Trigger == "manual" {
				byHand++
			}
		}
		return done && byHand >= manual && conn.Status == "ok", nil
	})
	if err != nil {
		t.Fatalf("%v: runs %+v", err, all)
	}
}

// A handler that is killed between any two writes, any number of times, with
// every message delivered twice, leaves what an undisturbed one leaves, and
// announces the same changes of every person without a gap.
//
// The short form kills once at a sample of the writes; with
// ROLLCALL_CRASH_RUNS=n it kills once before and once after every write, and
// then n times at random, several times a run.
func TestCrash(t *testing.T) {
	random, full := 2, false
	if v := os.Getenv("ROLLCALL_CRASH_RUNS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("ROLLCALL_CRASH_RUNS is %q: want a number", v)
		}
		random, full = n, true
	}
	c := &crashed{Sandbox: start(t, sandbox.Options{PageSize: 40, Deliveries: 2, Settings: map[string]string{"SLICE_BUDGET": "20s"}})}
	undisturbed := func() { c.killing(func(int64) moment { return never }) }
	scenario(t, c, undisturbed) // makes the tables, which are writes too
	want := scenario(t, c, undisturbed)
	if t.Failed() {
		t.Fatal("the undisturbed run fails")
	}
	t.Logf("undisturbed: %d writes, %d people, %d with changes", want.writes, len(want.people), len(want.changes))

	// How many writes there are differs by a few from run to run: a check of the
	// consent or a call within the cooldown more or less. So a kill that is armed
	// for one of the last may find no such write.
	missed := 0
	compare := func(t *testing.T, got outcome, first int64) {
		t.Helper()
		switch {
		case c.kills.Load() > 0:
		case got.writes < first:
			missed++
			t.Logf("this run had only %d writes", got.writes)
		default:
			t.Errorf("nothing was killed, in %d writes", got.writes)
		}
		if diff := differ(got.people, want.people); diff != "" {
			t.Errorf("end state differs from the undisturbed run's: %s", diff)
		}
		for id, cs := range want.changes {
			if !reflect.DeepEqual(got.changes[id], cs) {
				t.Errorf("changes of %s, perhaps of others too: %q, want %q", id, got.changes[id], cs)
				break
			}
		}
		if len(got.changes) != len(want.changes) {
			t.Errorf("%d people have changes, want %d", len(got.changes), len(want.changes))
		}
	}
	step := int64(1)
	if !full {
		step = max(want.writes/6, 1)
	}
	for n := int64(1); n <= want.writes; n += step {
		for _, m := range []moment{before, after} {
			t.Run(fmt.Sprintf("write %d/%d", n, m), func(t *testing.T) {
				compare(t, scenario(t, c, func() {
					c.killing(func(i int64) moment {
						if i == n {
							return m
						}
						return never
					})
				}), n)
			})
		}
	}
	for i := range random {
		t.Run(fmt.Sprintf("random %d", i), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			at := map[int64]moment{}
			for range 5 {
				at[1+r.Int64N(want.writes)] = []moment{before, after}[r.IntN(2)]
			}
			compare(t, scenario(t, c, func() { c.killing(func(i int64) moment { return at[i] }) }), slices.Min(slices.Collect(maps.Keys(at))))
		})
	}
	if missed > 8 {
		t.Errorf("%d kills found no write", missed)
	}
}
