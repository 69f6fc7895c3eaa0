package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
)

// scenario lives through all stages, with the kills that at says, and returns
// what is left. With meddling, messages also come late, again and together.
func scenario(t *testing.T, c *crashed, meddling bool, at func(write) moment) outcome {
	t.Helper()
	if c.day.Swap(0) > 0 {
		c.Host.Kill() // and with it tokens of days to come
		retry(t, "a new handler", func() error {
			_, err := c.Call(t.Context(), "GET", "/v1/connections?limit=1", nil, &struct{}{})
			return err
		})
	}
	s, err := c.begin(t)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Microsoft.DeleteTenant(s.cust.tenant.ID)
	defer c.calm()
	c.arm(at)
	if meddling {
		ctx, stop := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		defer ended.Wait()
		defer stop()
		ended.Go(func() { s.meddle(ctx) })
	}
	for i := range stages {
		s.live(&stages[i])
		p, err := s.tell(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held := stages[i].status == "held"; held != (p.Hash != "") {
			t.Fatalf("%s: plan %+v", stages[i].name, p)
		} else if held {
			s.plan = p
		}
	}
	if n, err := c.Bus.Counts(sandbox.Queue); err != nil || n.DeadLetter > 0 || n.Redelivered == 0 {
		t.Errorf("messages: %+v, %v: want none in the dead-letter queue, and some twice", n, err)
	}
	if n := s.copies.Load(); meddling && n < int64(len(stages)) {
		t.Errorf("%d copies of messages were sent, in %d stages", n, len(stages))
	}
	return s.outcome()
}

// A handler that is killed between any two writes of any kind of run, any
// number of times, with every message delivered twice and once more when it is
// done with, leaves what an undisturbed one leaves, and announces the same
// changes of each person, team, membership, license, mailbox and position
// without a gap.
//
// The short form kills before and after two writes of each phase. With
// ROLLCALL_CRASH_RUNS=n every write of every stage is killed once before and
// once after it takes effect, one in each stage of a scenario; and then n
// scenarios have kills at random, two workers at each slice, and messages of
// long ago.
func TestCrash(t *testing.T) {
	random, full := 1, false
	if v := os.Getenv("ROLLCALL_CRASH_RUNS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("ROLLCALL_CRASH_RUNS is %q: want a number", v)
		}
		random, full = n, true
	}
	c := &crashed{}
	c.Sandbox = start(t, sandbox.Options{
		// A message is met by more kills than a queue would deliver it for.
		MaxDeliveries: 100,
		PageSize:      45, MembersPage: 150, Deliveries: 2, Settings: map[string]string{"SLICE_BUDGET": "1s"},
		Now: func() time.Time { return time.Now().Add(time.Duration(c.day.Load()) * 24 * time.Hour) },
	})
	c.Bus.Redeliver(sandbox.Queue, true)
	want := scenario(t, c, false, func(write) moment { return never })
	if t.Failed() {
		t.Fatal("the undisturbed scenario fails")
	}
	recorded := c.writes
	t.Logf("undisturbed: %d writes, %d records, %d with changes, plan %+v", len(recorded), len(want.stored), len(want.changes), want.plan)

	var happened []kill
	run := func(name string, meddling bool, at func(write) moment) {
		t.Run(name, func(t *testing.T) {
			got := scenario(t, c, meddling, at)
			if len(c.kills) == 0 {
				t.Errorf("nothing was killed, in %d writes", len(c.writes))
			}
			happened = append(happened, c.kills...)
			t.Logf("kills: %v", c.kills)
			if got.plan != want.plan {
				t.Errorf("the plan that was held is %+v, want %+v", got.plan, want.plan)
			}
			if diff := difference(got.stored, want.stored); diff != "" {
				t.Errorf("stored is %s", diff)
			}
			if diff := difference(got.changes, want.changes); diff != "" {
				t.Errorf("changes of %s", diff)
			}
		})
	}
	if full {
		last := 0
		for _, w := range recorded {
			last = max(last, w.n)
		}
		for n := 1; n <= last; n++ {
			for _, m := range []moment{before, after} {
				run(fmt.Sprintf("write %d/%s", n, m), false, func(w write) moment {
					if w.n == n {
						return m
					}
					return never
				})
			}
		}
	} else {
		for i, picks := range selection(recorded) {
			run(fmt.Sprintf("phases %d", i), false, func(w write) moment { return picks[w.place()] })
		}
	}
	if len(happened) > 0 && !t.Failed() { // else -run has chosen others
		covered(t, recorded, happened)
	}
	for i := range random {
		seed := uint64(time.Now().UnixNano())
		r := rand.New(rand.NewPCG(seed, 0))
		at := map[place]moment{}
		for range 12 {
			at[recorded[r.IntN(len(recorded))].place()] = []moment{before, after}[r.IntN(2)]
		}
		run(fmt.Sprintf("random %d/seed %d", i, seed), true, func(w write) moment { return at[w.place()] })
	}
}

// covered fails unless each phase had a kill before and after two of its
// writes, or all that it has.
func covered(t *testing.T, recorded []write, kills []kill) {
	t.Helper()
	type side struct {
		phase string
		m     moment
	}
	more, got := map[place][]string{}, map[side]int{}
	for _, w := range recorded {
		more[w.place()] = w.phases()
	}
	for _, k := range kills {
		for _, p := range append(more[k.place()], k.phase) {
			got[side{p, k.m}]++
		}
	}
	for p, ws := range byPhase(recorded) {
		for _, m := range []moment{before, after} {
			if n := got[side{p, m}]; n < min(2, len(ws)) {
				t.Errorf("%d kills %s a write of phase %s, which has %d", n, m, p, len(ws))
			}
		}
	}
}
