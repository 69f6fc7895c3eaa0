package bus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/bus"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
)

func (r *rig) client() *azservicebus.Client {
	r.t.Helper()
	c, err := azservicebus.NewClient(wiretest.Namespace, wiretest.Token("good"), &azservicebus.ClientOptions{CustomEndpoint: r.Addr(), TLSConfig: wires.TLS()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// die sends jobs and dead-letters them.
func (r *rig) die(js ...job.Job) {
	r.t.Helper()
	for _, j := range js {
		r.send(j, time.Time{})
	}
	rx, err := r.client().NewReceiverForQueue(wiretest.Queue, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rx.Close(context.Background()) }()
	for n := 0; n < len(js); {
		ms, err := rx.ReceiveMessages(r.t.Context(), len(js), nil)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m := range ms {
			if err := rx.DeadLetterMessage(r.t.Context(), m, nil); err != nil {
				r.t.Fatal(err)
			}
		}
		n += len(ms)
	}
}

// there is what the queue and its dead letters hold, with their states.
func (r *rig) there() (ids []string) {
	r.t.Helper()
	ms, err := r.Messages(wiretest.Queue)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range ms {
		ids = append(ids, m.MessageID+" "+m.State)
	}
	slices.Sort(ids)
	return ids
}

func (r *rig) discard(connection string, want map[string]int, done bool) {
	r.t.Helper()
	n, ended, err := r.Discard(r.t.Context(), connection)
	if err != nil || ended != done || !maps.Equal(n, want) {
		r.t.Errorf("discarded %v, done %v, want %v, %v (%v)", n, ended, want, done, err)
	}
}

func of(connection string, n int) job.Job {
	return job.Job{Kind: job.Sync, Connection: connection, Run: fmt.Sprint("r", n), Trigger: job.Schedule}
}

// What is scheduled and what is dead goes, of one connection only, and its
// purge's own messages stay on the queue.
func TestDiscard(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	later := r.clock.Now().Add(time.Hour)
	purge := job.Job{Kind: job.Offboard, Connection: "a", Run: "o", Slice: 3}
	dead := purge
	dead.Slice = 2
	r.die(of("a", 1), of("b", 1), of("ab", 1), of("a", 2), dead)
	for n := 10; n < 310; n++ { // more than one peek takes
		r.send(of("b", n), later)
	}
	for n := 10; n < 15; n++ {
		r.send(of("a", n), later)
	}
	r.send(purge, later)
	r.discard("a", map[string]int{"scheduled": 5, "deadLetters": 3}, true)
	there := r.there()
	if len(there) != 303 {
		t.Errorf("%d messages left, want 303", len(there))
	}
	for _, id := range there {
		if strings.HasPrefix(id, "a/") && id != "a/o/3 scheduled" {
			t.Errorf("left: %s", id)
		}
	}
	for _, id := range []string{"a/o/3 scheduled", "b/r1/0 dead-lettered", "ab/r1/0 dead-lettered"} {
		if !slices.Contains(there, id) {
			t.Errorf("gone: %s", id)
		}
	}
	r.discard("a", nil, true)
	if n, _ := r.Counts(wiretest.Queue + "/$deadletterqueue"); n.Locked != 0 {
		t.Errorf("%d dead letters of others stay locked", n.Locked)
	}
}

// A message under another identity is known by what it holds.
func TestDiscardByContent(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	later := r.clock.Now().Add(time.Hour)
	r.post("again-1", of("a", 1).Encode(), later)
	r.post("again-2", of("b", 1).Encode(), later)
	r.discard("a", map[string]int{"scheduled": 1}, true)
	if there := r.there(); len(there) != 1 || there[0] != "again-2 scheduled" {
		t.Errorf("on the queue: %v", there)
	}
}

// A message that is due is left to its worker, and waited for; the purge's own
// is not.
func TestDiscardWaitsForWorkers(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.send(job.Job{Kind: job.Offboard, Connection: "a", Run: "o"}, time.Time{})
	r.discard("a", nil, true)
	r.send(of("a", 1), time.Time{})
	r.discard("a", nil, false)
	if there := r.there(); len(there) != 2 {
		t.Errorf("on the queue: %v", there)
	}
	rx, err := r.client().NewReceiverForQueue(wiretest.Queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 2; { // under way: locked
		ms, err := rx.ReceiveMessages(t.Context(), 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		n += len(ms)
		defer func() {
			for _, m := range ms {
				if err := rx.CompleteMessage(t.Context(), m, nil); err != nil {
					t.Error(err)
				}
			}
			r.discard("a", nil, true)
		}()
	}
	r.discard("a", nil, false)
}

// A message that becomes due while it is canceled is no failure.
func TestDiscardMeetsDelivery(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.send(of("a", 1), r.clock.Now().Add(time.Minute))
	r.send(of("a", 2), r.clock.Now().Add(time.Hour))
	r.clock.Advance(time.Minute) // due as soon as the server looks
	r.discard("a", map[string]int{"scheduled": 1}, false)
	if there := r.there(); !slices.Equal(there, []string{"a/r1/0 active"}) {
		t.Errorf("on the queue: %v", there)
	}
}

// A dead letter that somebody else has locked is not waited for forever.
func TestDiscardMeetsOperator(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.die(of("a", 1))
	rx, err := r.client().NewReceiverForQueue(wiretest.Queue, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	if err != nil {
		t.Fatal(err)
	}
	ms, err := rx.ReceiveMessages(t.Context(), 1, nil)
	if err != nil || len(ms) != 1 {
		t.Fatal(len(ms), err)
	}
	r.discard("a", nil, false)
	if err := rx.AbandonMessage(t.Context(), ms[0], nil); err != nil {
		t.Fatal(err)
	}
	r.discard("a", map[string]int{"deadLetters": 1}, true)
}

// Where more messages are than it can look at, it does what it can and says what
// holds it up.
func TestDiscardCrowded(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(r *rig){
		"scheduled": func(r *rig) {
			r.send(of("a", 1), r.clock.Now().Add(time.Hour))
			r.send(of("b", 1), r.clock.Now().Add(time.Hour))
		},
		"deadLetters": func(r *rig) { r.die(of("a", 1), of("b", 1)) },
	} {
		r := start(t, nil)
		fill(r)
		r.Look(1)
		n, done, err := r.Discard(t.Context(), "a")
		if e := fault.Of(err); err == nil || done || e.Kind != fault.Unknown || e.Code != "queue_crowded" || e.Remedy == "" || !maps.Equal(n, map[string]int{name: 1}) {
			t.Errorf("%s: discarded %v, %v, remedy %q: %v", name, n, done, fault.Of(err).Remedy, err)
		}
		r.Look(1000)
		r.discard("a", nil, true)
	}
}

// Who may not listen is told which role is missing.
func TestDiscardRemedies(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.refused("Azure Service Bus Data Receiver", func(q *bus.Queue) error {
		_, done, err := q.Discard(t.Context(), "a")
		if done {
			t.Error("done")
		}
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Discard(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
