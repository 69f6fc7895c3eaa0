package ours

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	"rollcall/internal/tables"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Sync is one run of a connection, from its first message to its end.
type Sync struct {
	Servers wires.Servers
	// Connection and Tenant name them; the connection is made if it is not there.
	Connection, Tenant string
	// Lanes is how many parts a first enumeration is cut into; 0 follows the chain.
	Lanes int
	// Budget is of a slice; 0 means an hour.
	Budget time.Duration
}

// peopleOnly asks Graph for people alone, with all their properties.
var peopleOnly = connection.Settings{Positions: true, ReportingLines: true, Licenses: false, Guests: true, Disabled: true}

// queue hands jobs back in the order in which they are due.
type queue struct {
	mu   sync.Mutex
	jobs []job.Job
	due  []time.Time
}

func (q *queue) Send(_ context.Context, j job.Job, at time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs, q.due = append(q.jobs, j), append(q.due, at)
	return nil
}

func (q *queue) next() (j job.Job, at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		return j, at, false
	}
	j, at = q.jobs[0], q.due[0]
	q.jobs, q.due = q.jobs[1:], q.due[1:]
	return j, at, true
}

// newEngine is an engine with the shipped settings.
func newEngine(g reconcile.Graph, store *tables.Store, q reconcile.Queue, budget time.Duration, lanes int) *reconcile.Engine {
	if budget == 0 {
		budget = time.Hour
	}
	return &reconcile.Engine{
		Graph: g, Store: store, Connections: store, Queue: q, Now: time.Now, Log: silent(), Budget: budget,
		MinDelay: 15 * time.Second, MaxDelay: 15 * time.Minute, MaxAge: 24 * time.Hour, FullEvery: 30 * 24 * time.Hour, Lanes: lanes,
	}
}

// create makes the connection unless it is there.
func create(store *tables.Store, id, tenant string, settings connection.Settings) error {
	now := time.Now().UTC()
	err := store.CreateConnection(context.Background(), connection.Connection{
		ID: id, Company: "bench", Name: "Bench", Tenant: tenant, Status: connection.Connected, NextDue: now, CreatedAt: now, Settings: &settings,
	})
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	return err
}

// ended keeps the record of the run that ended last, which no table has to be
// asked for then.
type ended struct{ run job.Run }

func (*ended) Phase(ctx context.Context, _ string, _ job.Run) (context.Context, func(job.Run, error)) {
	return ctx, func(job.Run, error) {}
}
func (e *ended) Ended(_ context.Context, r job.Run) { e.run = r }

// run works until the run has ended, and returns its record.
func run(ctx context.Context, e *reconcile.Engine, q *queue, j job.Job) (r job.Run, err error) {
	var last ended
	e.Watch = &last
	_ = q.Send(ctx, j, time.Time{}) // to memory: cannot fail
	for {
		next, at, ok := q.next()
		if !ok {
			break
		}
		if wait := time.Until(at); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return r, ctx.Err()
			}
		}
		if err := e.Sync(ctx, next); err != nil {
			return r, err
		}
	}
	if r = last.run; r.ID != j.Run || r.State != job.Succeeded {
		return r, fmt.Errorf("run %s: %s %s: %s %s", j.Run, r.ID, r.State, r.Code, r.Error)
	}
	return r, nil
}

// values are what a run's record says of it.
func values(r *job.Run) map[string]float64 {
	return map[string]float64{
		"created": float64(r.Created), "updated": float64(r.Updated), "archived": float64(r.Archived), "unchanged": float64(r.Unchanged),
		"changes": float64(r.LastChange - r.FirstChange), "calls": float64(r.GraphCalls), "transactions": float64(r.Transactions),
		"pages": float64(r.Pages), "slices": float64(r.Slices), "seen": float64(r.Seen),
	}
}

// syncs does one run in which nothing is known beforehand but the connection.
func syncs(a Sync) (side.Work, error) {
	t, err := a.Servers.Transport()
	if err != nil {
		return nil, err
	}
	count := &counted{next: t}
	g, err := newGraph(a.Servers, t)
	if err != nil {
		return nil, err
	}
	store, err := newStore(a.Servers, count)
	if err != nil {
		return nil, err
	}
	if err := create(store, a.Connection, a.Tenant, peopleOnly); err != nil {
		return nil, err
	}
	q := &queue{}
	e := newEngine(g, store, q, a.Budget, a.Lanes)
	return func() (out side.Outcome, err error) {
		defer t.CloseIdleConnections()
		requests, bytes := count.requests.Load(), count.bytes.Load()
		r, err := run(context.Background(), e, q, first(a.Connection))
		out.Values = values(&r)
		out.Values["requests"] = float64(count.requests.Load() - requests)
		out.Values["bytes"] = float64(count.bytes.Load() - bytes)
		out.Units = r.Seen
		return out, err
	}, nil
}

// first is the message that begins a run.
func first(conn string) job.Job {
	now := time.Now()
	return job.Job{Kind: job.Sync, Connection: conn, Run: job.RunID(now, conn, fmt.Sprint(now.UnixNano())), Trigger: job.Schedule}
}

var _ http.RoundTripper = (*counted)(nil)
