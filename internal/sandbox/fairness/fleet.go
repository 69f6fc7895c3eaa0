package fairness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// fleet is the store and the queue, in memory.
type fleet struct {
	sim     *sim
	tenants []*tenant // by ID
	byID    map[string]*tenant

	mu   sync.Mutex // the scheduler works on several at a time
	rows map[string]connection.Connection
	sent []message // not delivered yet
}

type message struct {
	job job.Job
	at  time.Time
}

// newFleet makes customers whose slots are all over the interval, as they
// consented at any time.
func newFleet(s *sim) *fleet {
	f := &fleet{sim: s, byID: map[string]*tenant{}, rows: map[string]connection.Connection{}}
	for n := range s.Tenants {
		id := fmt.Sprintf("%08x%05d", s.random.Uint32(), n)
		t := &tenant{id: id, people: s.people(), noisy: n < s.Noisy, runs: s.random.IntN(fullRun)}
		f.tenants, f.byID[id] = append(f.tenants, t), t
		due := start.Add(time.Duration(s.random.Int64N(int64(interval))))
		f.rows[id] = connection.Connection{ID: id, Tenant: id, App: app, Status: connection.OK, LastRun: "before", NextDue: due}
	}
	slices.SortFunc(f.tenants, func(a, b *tenant) int { return strings.Compare(a.id, b.id) })
	return f
}

// Connection reads a row.
func (f *fleet) Connection(_ context.Context, id string) (connection.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows[id], nil
}

// UpdateConnection writes a row; a simulation has no races to lose.
func (f *fleet) UpdateConnection(_ context.Context, c connection.Connection) (connection.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[c.ID] = c
	return c, nil
}

// Due lists whose slot has come.
func (f *fleet) Due(_ context.Context, now time.Time, after string, limit int) (cs []connection.Connection, next string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, _ := slices.BinarySearchFunc(f.tenants, after, func(t *tenant, id string) int { return strings.Compare(t.id, id) })
	for _, t := range f.tenants[from:] {
		c := f.rows[t.id]
		if t.id == after || c.NextDue.After(now) {
			continue
		}
		if len(cs) == limit {
			return cs, cs[limit-1].ID, nil
		}
		cs = append(cs, c)
	}
	return cs, "", nil
}

// Send takes a message; it is delivered when all that are sent at the same time
// are there, in an order that does not depend on who was faster.
func (f *fleet) Send(_ context.Context, j job.Job, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.Before(f.sim.now) {
		at = f.sim.now
	}
	if t := f.byID[j.Connection]; j.Trigger == job.Schedule && j.Slice == 0 && t.slot.IsZero() {
		t.slot = f.rows[t.id].NextDue
		if r := f.sim.meters.recovered; t.slot.Before(r) {
			t.slot = r
		}
	}
	f.sent = append(f.sent, message{j, at})
	return nil
}

func (f *fleet) deliver() {
	slices.SortFunc(f.sent, func(a, b message) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.job.Connection, b.job.Connection)
	})
	for _, m := range f.sent {
		f.sim.at(m.at, func() { f.sim.arrive(m.job) })
	}
	f.sent = f.sent[:0]
}

// rows is the table service's rows of throttles.
type rows struct {
	all map[string]job.Throttle
	n   int
}

// Throttle reads one.
func (r *rows) Throttle(_ context.Context, app string) (job.Throttle, error) { return r.all[app], nil }

// PutThrottle writes one under its version.
func (r *rows) PutThrottle(_ context.Context, app string, t job.Throttle) error {
	if r.all[app].Version != t.Version {
		return fault.New(fault.Conflict, "row of app %s was written by somebody else", app)
	}
	if r.all == nil {
		r.all = map[string]job.Throttle{}
	}
	r.n++
	t.Version = fmt.Sprint(r.n)
	r.all[app] = t
	return nil
}
