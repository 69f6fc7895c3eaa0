package reconcile_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/bus"
	"rollcall/internal/connection"
	"rollcall/internal/credential"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/tables"
)

var wires *wiretest.Wires

// Pages are small, so that a tenant of some dozens has several. The store is the
// one in memory, which answers as Azurite does and many times as fast;
// ROLLCALL_TABLES=azurite runs the same on that.
func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{Microsoft: true, PageSize: 10, NodeModules: "../../node_modules", Memory: os.Getenv("ROLLCALL_TABLES") != "azurite"}, func(w *wiretest.Wires) {
		wires = w
		// HTTP/2 costs more than it gives where the race detector looks at every
		// byte.
		w.Transport.ForceAttemptHTTP2 = false
		_ = flag.Set("test.parallel", fmt.Sprint(2*runtime.GOMAXPROCS(0)))
	})
}

// tb is what a test and a property's check have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// world is one connection with everything around it on real wires: Graph,
// tables and Service Bus, under a virtual clock.
type world struct {
	tb
	ctx    context.Context
	clock  *wiretest.Clock
	tenant *tenant.Tenant
	creds  *credential.Credentials
	store  *tables.Store
	cable  *cable // to the store
	queue  *bus.Queue
	bus    *servicebus.Server
	rx     *azservicebus.Receiver
	tx     *azservicebus.Sender
	engine *reconcile.Engine
	conn   string
	begin  int // runs begun
	// late holds the jobs of all messages so far; ever everybody who was ever
	// stored.
	late []job.Job
	ever map[string]bool
}

// line is what the tests of one property share: a bus and its clients, whose
// connections take longer than a check.
type line struct {
	clock *wiretest.Clock
	creds *credential.Credentials
	queue *bus.Queue
	bus   *servicebus.Server
	rx    *azservicebus.Receiver
	tx    *azservicebus.Sender
}

func newLine(t *testing.T) *line {
	l := &line{clock: wiretest.NewClock(time.Now()), creds: wires.Credentials(t)}
	l.bus = wires.Bus(t, l.clock.Now, nil)
	var err error
	l.queue, err = bus.New(wiretest.Token("any"), bus.Options{Namespace: wiretest.Namespace, Endpoint: l.bus.Addr(), TLS: wires.TLS(), Queue: wiretest.Queue})
	if err != nil {
		t.Fatal(err)
	}
	c, err := azservicebus.NewClient(wiretest.Namespace, wiretest.Token("any"), &azservicebus.ClientOptions{CustomEndpoint: l.bus.Addr(), TLSConfig: wires.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	if l.rx, err = c.NewReceiverForQueue(wiretest.Queue, nil); err != nil {
		t.Fatal(err)
	}
	if l.tx, err = c.NewSender(wiretest.Queue, nil); err != nil {
		t.Fatal(err)
	}
	return l
}

// world is a connected customer of so many people.
func (l *line) world(t *testing.T, b tb, people int) *world {
	t.Helper()
	w := &world{
		tb: b, ctx: t.Context(), clock: l.clock, tenant: wires.Tenant(t, people), creds: l.creds,
		queue: l.queue, bus: l.bus, rx: l.rx, tx: l.tx, conn: connection.NewID(), ever: map[string]bool{},
	}
	w.store, w.cable = newStore(t)
	w.engine = w.newEngine(t, wires.Transport)
	b.Cleanup(w.clear)
	settings := peopleOnly
	w.ok(w.store.CreateConnection(w.ctx, connection.Connection{
		ID: w.conn, Company: "c", Name: "C", Tenant: w.tenant.ID, Status: connection.Connected, NextDue: w.clock.Now(), CreatedAt: w.clock.Now(),
		Settings: &settings,
	}))
	return w
}

// clear takes the world's rows out of the store, which would keep them.
func (w *world) clear() {
	for _, part := range []string{w.conn, w.preview()} {
		for done := false; !done; {
			var err error
			if done, err = w.store.Purge(context.Background(), part, 1000); err != nil {
				w.Errorf("%v", err)
				return
			}
		}
	}
}

// peopleOnly asks Graph for people alone, with all their properties.
var peopleOnly = connection.Settings{Positions: true, ReportingLines: true, Licenses: true, Guests: true, Disabled: true}

// choose changes the connection's settings.
func (w *world) choose(change func(s *connection.Settings)) {
	w.Helper()
	c := w.connection()
	s := c.Chosen()
	change(&s)
	c.Settings = &s
	_, err := w.store.UpdateConnection(w.ctx, c)
	w.ok(err)
}

func newWorld(t *testing.T, people int) *world {
	t.Helper()
	return newLine(t).world(t, t, people)
}

// newEngine is another worker for the same state. Its Graph goes through rt.
func (w *world) newEngine(t *testing.T, rt http.RoundTripper) *reconcile.Engine {
	t.Helper()
	g, err := graph.New(wires.Microsoft.GraphURL(), w.creds, rt)
	w.ok(err)
	return &reconcile.Engine{
		Graph: g, Store: w.store, Connections: w.store, Queue: w.queue, Now: w.clock.Now, Log: wiretest.Silent(),
		Budget: time.Hour, MinDelay: 15 * time.Second, MaxDelay: 15 * time.Minute, MaxAge: 24 * time.Hour,
	}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
}

// send starts a run and returns its ID.
func (w *world) send(trigger job.Trigger) string {
	w.Helper()
	j := w.job(trigger, "")
	w.ok(w.queue.Send(w.ctx, j, time.Time{}))
	return j.Run
}

// job is the first message of a run; plan is the hash of a plan to decide.
func (w *world) job(trigger job.Trigger, plan string) job.Job {
	w.begin++
	return job.Job{Kind: job.Sync, Connection: w.conn, Run: job.RunID(w.clock.Now(), w.conn, fmt.Sprint(w.begin)), Trigger: trigger, Plan: plan}
}

// again puts an old message back, under an identity that the queue has not
// seen: it arrives late.
func (w *world) again(j job.Job) {
	w.Helper()
	w.begin++
	id := fmt.Sprintf("late-%s-%d", w.conn, w.begin)
	w.ok(w.tx.SendMessage(w.ctx, &azservicebus.Message{Body: j.Encode(), MessageID: &id}, nil))
}

// next takes the next message, moving the clock to it; nil if the queue is
// empty.
func (w *world) next() *azservicebus.ReceivedMessage {
	w.Helper()
	for {
		w.bus.Tick()
		n, err := w.bus.Counts(wiretest.Queue)
		w.ok(err)
		if n.Active > 0 {
			break
		}
		due, ok := w.bus.NextDue()
		if !ok {
			return nil
		}
		w.clock.Until(due)
	}
	ms, err := w.rx.ReceiveMessages(w.ctx, 1, nil)
	w.ok(err)
	if len(ms) != 1 {
		w.Fatalf("%d messages received", len(ms))
	}
	return ms[0]
}

// worker does a job, such as Engine.Sync.
type worker func(ctx context.Context, j job.Job) error

// step does the next message, if there is one.
func (w *world) step(do worker) bool {
	w.Helper()
	m := w.next()
	if m == nil {
		return false
	}
	j, err := job.Decode(m.Body)
	w.ok(err)
	w.late = append(w.late, j)
	if err := do(w.ctx, j); err != nil {
		w.Fatalf("a job of a reachable store and queue is handed back: %v", err)
	}
	w.ok(w.rx.CompleteMessage(w.ctx, m, nil))
	return true
}

// quiet works until no message is left.
func (w *world) quiet(do worker) {
	w.Helper()
	for n := 0; w.step(do); n++ {
		if n > 500 {
			w.Fatalf("no end after %d messages", n)
		}
	}
}

// run does one whole run, waits included, and returns its record.
func (w *world) run() job.Run {
	w.Helper()
	id := w.send(job.Schedule)
	w.quiet(w.engine.Sync)
	return w.record(id)
}

// succeed is run, and fails the test unless the run succeeds.
func (w *world) succeed() job.Run {
	w.Helper()
	r := w.run()
	if r.State != job.Succeeded {
		w.Fatalf("run %s: %s: %s %s", r.ID, r.State, r.Code, r.Error)
	}
	return r
}

func (w *world) record(run string) job.Run {
	w.Helper()
	r, err := w.store.Run(w.ctx, w.conn, run)
	w.ok(err)
	return r
}

func (w *world) connection() connection.Connection {
	w.Helper()
	c, err := w.store.Connection(w.ctx, w.conn)
	w.ok(err)
	return c
}

func (w *world) fence() job.Fence {
	w.Helper()
	f, err := w.store.Fence(w.ctx, w.conn)
	w.ok(err)
	return f
}

// relogin drops the tenant's token, so that the next call asks for one.
func (w *world) relogin() {
	w.Helper()
	_, err := w.creds.Fresh(connection.Access{Tenant: w.tenant.ID})
	w.ok(err)
}
