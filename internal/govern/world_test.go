package govern_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/bus"
	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/govern"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/tablestore"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/tables"
)

var wires *wiretest.Wires

func TestMain(m *testing.M) {
	wiretest.Main(m, wiretest.Options{NodeModules: "../../node_modules"}, func(w *wiretest.Wires) { wires = w })
}

// world is a governor on Azurite and Service Bus under a virtual clock.
type world struct {
	*govern.Governor
	t     *testing.T
	store *tables.Store
	clock *wiretest.Clock
	bus   *servicebus.Server
	rx    *azservicebus.Receiver
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: wires.Store(t), clock: wiretest.NewClock(time.Now().Truncate(time.Second))}
	w.store.Now = w.clock.Now
	w.bus = wires.Bus(t, w.clock.Now, func(_, token string) error {
		if token != "good" {
			return errors.New("not good")
		}
		return nil
	})
	c, err := azservicebus.NewClient(wiretest.Namespace, wiretest.Token("good"), &azservicebus.ClientOptions{CustomEndpoint: w.bus.Addr(), TLSConfig: wires.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	w.rx, err = c.NewReceiverForQueue(wiretest.Queue, &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	if err != nil {
		t.Fatal(err)
	}
	w.Governor = &govern.Governor{
		Connections: w.store, Fences: w.store, Claims: w.store, Data: w.store, Audit: w.store, Queue: w.queue("good"),
		Now: w.clock.Now, Log: wiretest.Silent(), Budget: time.Minute,
	}
	return w
}

func (w *world) queue(token string) *bus.Queue {
	w.t.Helper()
	q, err := bus.New(wiretest.Token(token), bus.Options{Namespace: wiretest.Namespace, Endpoint: w.bus.Addr(), TLS: wires.TLS(), Queue: wiretest.Queue})
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// add stores a connection that is connected and due in an hour.
func (w *world) add(change func(*connection.Connection)) string {
	w.t.Helper()
	now := w.clock.Now()
	c := connection.Connection{
		ID: connection.NewID(), Company: "c-1", Name: "Contoso", Status: connection.OK, Tenant: "tenant-" + connection.NewID(), Link: 3, LinkExpires: now.Add(time.Hour),
		Verified: now.AddDate(0, -1, 0), LastSuccess: now.Add(-time.Hour), NextDue: now.Add(time.Hour), CreatedAt: now.AddDate(0, -1, 0),
	}
	if change != nil {
		change(&c)
	}
	w.must(w.store.CreateConnection(w.t.Context(), c))
	if c.Tenant != "" {
		w.must(w.store.Claim(w.t.Context(), c.Tenant, c.ID))
	}
	return c.ID
}

func (w *world) read(id string) connection.Connection {
	w.t.Helper()
	c, err := w.store.Connection(w.t.Context(), id)
	w.must(err)
	return c
}

func (w *world) fence(part string) job.Fence {
	w.t.Helper()
	f, err := w.store.Fence(w.t.Context(), part)
	w.must(err)
	return f
}

// open opens a run as a worker does, and returns the fence that it holds.
func (w *world) open(part, run string) job.Fence {
	w.t.Helper()
	f := w.fence(part)
	f.Epoch++
	f.Run = job.Run{ID: run, State: job.Running, Trigger: job.Schedule, Began: w.clock.Now()}
	f, err := w.store.Commit(w.t.Context(), part, f, directory.Batch{})
	w.must(err)
	return f
}

func (w *world) owner(tenant string) string {
	w.t.Helper()
	id, err := w.store.Owner(w.t.Context(), tenant)
	if err != nil && !fault.Is(err, fault.NotFound) {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) left(id string) int {
	w.t.Helper()
	n, err := w.store.Left(w.t.Context(), id)
	w.must(err)
	return n
}

// entries is what the audit log says of a connection, newest first.
func (w *world) entries(id string) (es []connection.Entry) {
	w.t.Helper()
	es, next, err := w.store.Entries(w.t.Context(), id, "", 100)
	w.must(err)
	if next != "" {
		w.t.Error("more entries than expected")
	}
	return es
}

// queued is the jobs on the queue, as "kind run slice state".
func (w *world) queued(id string) (jobs []string) {
	w.t.Helper()
	ms, err := w.bus.Messages(wiretest.Queue)
	w.must(err)
	for _, m := range ms {
		j, err := job.Decode(m.Body)
		w.must(err)
		if j.Connection == id {
			jobs = append(jobs, fmt.Sprint(j.Kind, " ", j.Run, " ", j.Slice, " ", m.State))
		}
	}
	return jobs
}

// next takes the next job that is due off the queue.
func (w *world) next() (j job.Job, ok bool) {
	w.t.Helper()
	w.bus.Tick()
	n, err := w.bus.Counts(wiretest.Queue)
	w.must(err)
	if n.Active+n.Locked == 0 { // Locked: it is on its way to this receiver already
		return j, false
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	ms, err := w.rx.ReceiveMessages(ctx, 1, nil)
	w.must(err)
	j, err = job.Decode(ms[0].Body)
	w.must(err)
	return j, true
}

// work does jobs until none is due, and returns how many it did.
func (w *world) work() (n int) {
	w.t.Helper()
	for ; n < 100; n++ {
		j, ok := w.next()
		if !ok {
			return n
		}
		if j.Kind != job.Offboard {
			continue // another worker drops it
		}
		if err := w.Purge(w.t.Context(), j); err != nil {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("jobs without end")
	return n
}

func (w *world) repair(id string) {
	w.t.Helper()
	if err := w.Repair(w.t.Context(), w.read(id), w.clock.Now()); err != nil {
		w.t.Error(err)
	}
}

// dying ends the process after n writes to tables: later ones are not done,
// and no message is sent. If cut is true, the answer to the last one is lost.
// It returns what brings the process up again, and says whether it had died.
func (w *world) dying(n int, cut bool) (restart func() (died bool)) {
	done, died := 0, false
	die := func() {
		died = true
		w.bus.FailSends(wiretest.Queue, 1000, "amqp:not-allowed")
	}
	wires.Tables.BeforeWrite(func(int64, string) error {
		if done++; done > n {
			die()
			return errors.New("the process has died")
		}
		return nil
	})
	if n == 0 {
		die()
	}
	wires.Tables.OnWrite(func(int64, string) tablestore.Verdict {
		if cut && done == n {
			die()
			return tablestore.Cut
		}
		return tablestore.Pass
	})
	return func() bool {
		wires.Tables.BeforeWrite(nil)
		wires.Tables.OnWrite(nil)
		w.bus.FailSends(wiretest.Queue, 0, "")
		return died
	}
}

// planted is the name of somebody that stands in everything stored of a
// connection.
func planted(id string) string { return "Penelope of " + id + "." }

// plant stores people of that name, and whatever else there is, for the
// connection, and returns how many rows of each table a purge deletes.
func (w *world) plant(id string, people int) map[string]int {
	w.t.Helper()
	ctx, name := w.t.Context(), planted(id)
	object := func(n int) string { return fmt.Sprintf("%08x-0000-0000-0000-000000000000", n) }
	rows := 0
	for _, part := range []string{id, id + "~preview"} {
		f := w.fence(part)
		for from := 0; from < people; from += 90 {
			b := directory.Batch{
				Teams:   []directory.TeamRecord{{Team: directory.Team{ID: object(from), DisplayName: name}}},
				Lists:   []directory.Listing{{List: directory.HeldPeople, ID: object(from)}},
				Changes: []directory.Change{{Number: int64(from + 1), Type: directory.Created, ID: object(from), Set: directory.Set(`{"displayName":"` + name + `"}`)}},
			}
			for n := from; n < min(from+90, people); n++ {
				b.Add = append(b.Add, directory.Record{Person: directory.Person{ID: object(n), DisplayName: name}})
			}
			f.Run = job.Run{ID: "r1", State: job.Succeeded, By: name}
			f.LastChange = int64(from + 1)
			var err error
			f, err = w.store.Commit(ctx, part, f, b)
			w.must(err)
			rows += 3 + len(b.Add)
		}
		rows++ // the fence
	}
	for _, run := range []string{"r1", "r2"} {
		w.must(w.store.PutRun(ctx, id, job.Run{ID: run, By: name, Person: object(1)}))
	}
	return map[string]int{"directory": rows, "runs": 2}
}

// tablesNaming lists the tables that hold a text in any value or key.
func (w *world) tablesNaming(text string) (names []string) {
	w.t.Helper()
	ts := wires.Tables.Client().NewListTablesPager(nil)
	for ts.More() {
		p, err := ts.NextPage(w.t.Context())
		w.must(err)
		for _, table := range p.Tables {
			rows := wires.Tables.Client().NewClient(*table.Name).NewListEntitiesPager(nil)
			for found := false; rows.More() && !found; {
				page, err := rows.NextPage(w.t.Context())
				w.must(err)
				for _, e := range page.Entities {
					if found = holds(w.t, e, text); found {
						names = append(names, *table.Name)
						break
					}
				}
			}
		}
	}
	return names
}

// holds looks for a text in an entity as the wire has it, binary values
// decoded and joined.
func holds(t *testing.T, entity []byte, text string) bool {
	t.Helper()
	var props map[string]json.RawMessage
	if err := json.Unmarshal(entity, &props); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for i := 0; ; i++ {
		raw, ok := props[fmt.Sprint("D", i)]
		if !ok {
			break
		}
		var chunk []byte
		if err := json.Unmarshal(raw, &chunk); err != nil {
			t.Fatal(err)
		}
		data = append(data, chunk...)
	}
	return strings.Contains(string(entity), text) || strings.Contains(string(data), text)
}
