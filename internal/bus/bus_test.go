package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/bus"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/wiretest"
)

var wires *wiretest.Wires

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{}, func(w *wiretest.Wires) { wires = w })
}

// rig is a namespace of the test's own and a queue in it.
type rig struct {
	*servicebus.Server
	*bus.Queue
	t     *testing.T
	clock *wiretest.Clock
}

func start(t *testing.T, trace func(context.Context) string) *rig {
	t.Helper()
	r := &rig{t: t, clock: wiretest.NewClock(time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC))}
	r.Server = wires.Bus(t, r.clock.Now, func(_, token string) error {
		if token != "good" {
			return errors.New("not good")
		}
		return nil
	})
	r.Queue = r.queue("good", wiretest.Queue, trace)
	return r
}

func (r *rig) queue(token, name string, trace func(context.Context) string) *bus.Queue {
	r.t.Helper()
	q, err := bus.New(wiretest.Token(token), bus.Options{
		Namespace: wiretest.Namespace, Endpoint: r.Addr(), TLS: wires.TLS(), Queue: name, Trace: trace,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

func (r *rig) send(j job.Job, at time.Time) {
	r.t.Helper()
	if err := r.Send(r.t.Context(), j, at); err != nil {
		r.t.Error(err)
	}
}

// post puts a message on the queue as it is; a zero time means now.
func (r *rig) post(id string, body []byte, at time.Time) {
	r.t.Helper()
	tx, err := r.client().NewSender(wiretest.Queue, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = tx.Close(context.Background()) }()
	m := &azservicebus.Message{MessageID: &id, Body: body}
	if !at.IsZero() {
		m.ScheduledEnqueueTime = &at
	}
	if err := tx.SendMessage(r.t.Context(), m, nil); err != nil {
		r.t.Fatal(err)
	}
}

// refused does what the vendor's setup does not allow, and wants each failure
// told with its remedy and not given up.
func (r *rig) refused(role string, do func(q *bus.Queue) error) {
	r.t.Helper()
	for _, c := range []struct {
		q      *bus.Queue
		remedy string
	}{
		{r.queue("bad", wiretest.Queue, nil), role},
		{r.queue("good", "missing", nil), "Create the queue"},
	} {
		err := do(c.q)
		if e := fault.Of(err); err == nil || e.Kind != fault.Unknown || !strings.Contains(e.Remedy, c.remedy) {
			r.t.Errorf("%s, remedy %q, want one about %q: %v", e.Kind, e.Remedy, c.remedy, err)
		}
	}
}

func (r *rig) want(check func(n servicebus.Counts) bool) {
	r.t.Helper()
	n, err := r.Counts(wiretest.Queue)
	if err != nil {
		r.t.Fatal(err)
	}
	if !check(n) {
		r.t.Errorf("queue %+v", n)
	}
}

func some(n int) job.Job {
	return job.Job{Kind: job.Sync, Connection: "c", Run: fmt.Sprint("r", n), Trigger: job.Schedule}
}

// What arrives is what was sent, with its identity, at its time.
func TestMessage(t *testing.T) {
	t.Parallel()
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r := start(t, func(context.Context) string { return trace })
	j := job.Job{Kind: job.Sync, Connection: "abc", Run: "r1", Slice: 3, Trigger: job.Manual, Try: 2}
	at := r.clock.Now().Add(90 * time.Second)
	r.send(j, at)
	ms, err := r.Messages(wiretest.Queue)
	if err != nil || len(ms) != 1 {
		t.Fatalf("%d messages, %v", len(ms), err)
	}
	if m := ms[0]; m.MessageID != "abc/r1/3/2" || !m.Scheduled.Equal(at) || m.State != "scheduled" || m.Properties["traceparent"] != trace {
		t.Errorf("message %+v", m)
	}
	r.clock.Advance(90 * time.Second)
	r.Tick()
	rx, err := r.client().NewReceiverForQueue(wiretest.Queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rx.ReceiveMessages(t.Context(), 1, nil)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	back, err := job.Decode(got[0].Body)
	if j.Version = job.Version; err != nil || back != j {
		t.Errorf("received %+v, want %+v, %v", back, j, err)
	}
	if ct := got[0].ContentType; ct == nil || *ct != "application/json" {
		t.Errorf("content type %v", ct)
	}
}

// Without a trace there is no such property; a zero time means now; a repeat
// is dropped; another try is no repeat.
func TestRepeats(t *testing.T) {
	t.Parallel()
	r := start(t, func(context.Context) string { return "" })
	r.send(some(1), time.Time{})
	r.send(some(1), r.clock.Now().Add(time.Hour))
	again := some(1)
	again.Try = 1
	r.send(again, time.Time{})
	r.want(func(n servicebus.Counts) bool { return n.Active == 2 && n.Duplicates == 1 && n.Scheduled == 0 })
	ms, _ := r.Messages(wiretest.Queue)
	for _, m := range ms {
		if len(m.Properties) != 0 {
			t.Errorf("properties %v", m.Properties)
		}
	}
	r.clock.Advance(25 * time.Hour) // the queue remembers a day
	r.send(some(1), time.Time{})
	r.want(func(n servicebus.Counts) bool { return n.Active == 3 })
}

func TestConcurrentSends(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { r.send(some(i%50), time.Time{}) })
	}
	wg.Wait()
	r.want(func(n servicebus.Counts) bool { return n.Active == 50 && n.Duplicates == 50 })
}

// Lost connections and links are made anew; the client's own wait before it
// does is some seconds, so these go side by side.
func TestReconnects(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(*rig){
		"connections dropped": func(r *rig) { r.DropConnections() },
		"links detached":      func(r *rig) { r.DetachAll() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			r.send(some(1), time.Time{})
			hurt(r)
			// Whether or not the first call notices, a caller who repeats it gets through.
			if err := r.Send(t.Context(), some(2), time.Time{}); err != nil {
				t.Logf("first send after the break: %v", err)
				r.send(some(2), time.Time{})
			}
			r.want(func(n servicebus.Counts) bool { return n.Active == 2 })
		})
	}
}

// A busy queue is tried again by the client; a send that stays refused is an
// error of a kind that is not given up.
func TestRefused(t *testing.T) {
	t.Parallel()
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil)
		r.FailSends(wiretest.Queue, 1, "com.microsoft:server-busy")
		r.send(some(1), time.Time{})
		r.want(func(n servicebus.Counts) bool { return n.Active == 1 && n.Refused == 1 })
	})
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil)
		r.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
		if err := r.Send(t.Context(), some(1), time.Time{}); !fault.Is(err, fault.Unknown) || !strings.Contains(err.Error(), "c/r1/0") {
			t.Errorf("refused: %v", err)
		}
		r.want(func(n servicebus.Counts) bool { return n.Active == 0 && n.Refused == 1 })
		r.send(some(1), time.Time{})
		r.want(func(n servicebus.Counts) bool { return n.Active == 1 })
	})
}

// A sender that cannot know whether its message arrived sends it again, and
// it is there once.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.DropAfterAccept(wiretest.Queue, 1)
	if err := r.Send(t.Context(), some(1), time.Time{}); err != nil { // the client may have repeated it by itself
		t.Logf("unknown outcome: %v", err)
	}
	r.send(some(1), time.Time{})
	r.want(func(n servicebus.Counts) bool { return n.Active == 1 && n.Dropped == 1 && n.Duplicates >= 1 })
}

// What the vendor has set up wrongly is told with its remedy, and the job is
// not given up.
func TestRemedies(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.refused("Data Sender", func(q *bus.Queue) error { return q.Send(t.Context(), some(1), time.Time{}) })
	r.want(func(n servicebus.Counts) bool { return n.Sent == 0 })
}

// Whoever stops waiting gets an answer at once, and nobody else suffers.
func TestCancel(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.send(some(1), time.Time{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Send(ctx, some(2), time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	r.send(some(3), time.Time{})
	r.want(func(n servicebus.Counts) bool { return n.Active >= 2 })
}

func TestNamespace(t *testing.T) {
	if _, err := bus.New(nil, bus.Options{Namespace: wiretest.Namespace, Queue: "q"}); err == nil {
		t.Error("a client without a credential")
	}
}
