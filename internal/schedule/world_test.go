package schedule_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/bus"
	"rollcall/internal/connection"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/schedule"
	"rollcall/internal/tables"
)

var wires *wiretest.Wires

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{NodeModules: "../../node_modules"}, func(w *wiretest.Wires) { wires = w })
}

// world is a scheduler on Azurite and Service Bus under a virtual clock.
type world struct {
	*schedule.Scheduler
	t     *testing.T
	store *tables.Store
	clock *wiretest.Clock
	bus   *servicebus.Server
	made  []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: wires.Store(t), clock: wiretest.NewClock(time.Now().Truncate(time.Second))}
	w.bus = wires.Bus(t, w.clock.Now, nil)
	q, err := bus.New(wiretest.Token("any"), bus.Options{Namespace: wiretest.Namespace, Endpoint: w.bus.Addr(), TLS: wires.TLS(), Queue: wiretest.Queue})
	if err != nil {
		t.Fatal(err)
	}
	w.Scheduler = &schedule.Scheduler{
		Connections: w.store, Runs: w.store, Queue: q, Now: w.clock.Now, Log: wiretest.Silent(), Interval: 12 * time.Hour, Cooldown: 30 * time.Minute,
	}
	t.Cleanup(w.forget)
	return w
}

// forget deletes the world's connections, since all tests share their table.
func (w *world) forget() {
	table := wires.Tables.Client().NewClient("connections")
	for ids := range slices.Chunk(w.made, 100) {
		var drop []aztables.TransactionAction
		for _, id := range ids {
			drop = append(drop, aztables.TransactionAction{
				ActionType: aztables.TransactionTypeDelete, Entity: fmt.Appendf(nil, `{"PartitionKey":"connection","RowKey":%q}`, id),
			})
		}
		if _, err := table.SubmitTransaction(context.Background(), drop, nil); err != nil {
			w.t.Error(err)
		}
	}
}

// add stores a live connection that is due at the given time.
func (w *world) add(due time.Time, change func(*connection.Connection)) string {
	w.t.Helper()
	c := connection.Connection{
		ID: connection.NewID(), Company: "c", Name: "C", Tenant: "t", Status: connection.OK, NextDue: due, LastRun: "before", CreatedAt: w.clock.Now(),
	}
	if change != nil {
		change(&c)
	}
	if err := w.store.CreateConnection(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
	w.made = append(w.made, c.ID)
	return c.ID
}

// fill stores many connections, a hundred at a time.
func (w *world) fill(cs []connection.Connection) {
	w.t.Helper()
	_, _ = w.store.Connection(w.t.Context(), "none") // makes the table
	table := wires.Tables.Client().NewClient("connections")
	for chunk := range slices.Chunk(cs, 100) {
		var add []aztables.TransactionAction
		for _, c := range chunk {
			value, err := json.Marshal(c)
			if err != nil {
				w.t.Fatal(err)
			}
			add = append(add, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: fmt.Appendf(nil,
				`{"PartitionKey":"connection","RowKey":%q,"V":1,"Due":%q,"Status":%q,"D0@odata.type":"Edm.Binary","D0":%q}`,
				c.ID, c.NextDue.UTC().Format("2006-01-02T15:04:05.000Z"), c.Status, base64.StdEncoding.EncodeToString(value))})
			w.made = append(w.made, c.ID)
		}
		if _, err := table.SubmitTransaction(w.t.Context(), add, nil); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) read(id string) connection.Connection {
	w.t.Helper()
	c, err := w.store.Connection(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) tick() {
	w.t.Helper()
	if err := w.Tick(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

// message is a queued one.
type message struct {
	job.Job
	servicebus.Info
}

// queued is what is on the queue, by connection.
func (w *world) queued() map[string][]message {
	w.t.Helper()
	ms, err := w.bus.Messages(wiretest.Queue)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string][]message{}
	for _, m := range ms {
		j, err := job.Decode(m.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		out[j.Connection] = append(out[j.Connection], message{j, m})
	}
	return out
}

// one is the only message of a connection.
func (w *world) one(id string) message {
	w.t.Helper()
	ms := w.queued()[id]
	if len(ms) != 1 {
		w.t.Fatalf("connection has %d messages, want 1", len(ms))
	}
	return ms[0]
}

// failing lets through the writes to a table before the n-th from now; that and
// all that follow are lost until fired is called.
func failing(t *testing.T, table string, n int64) (fired func()) {
	t.Helper()
	var seen atomic.Int64
	wires.Tables.BeforeWrite(func(_ int64, name string) error {
		if name != table {
			return nil
		}
		if i := seen.Add(1); i >= n {
			return fmt.Errorf("write %d is lost", i)
		}
		return nil
	})
	t.Cleanup(func() { wires.Tables.BeforeWrite(nil) })
	return func() {
		t.Helper()
		wires.Tables.BeforeWrite(nil)
		if seen.Load() < n {
			t.Errorf("%d writes to %s, so none was lost", seen.Load(), table)
		}
	}
}
