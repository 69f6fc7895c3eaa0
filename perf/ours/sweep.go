package ours

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	"rollcall/internal/tables"
	"rollcall/perf/crowd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// Sweep is many connections, so many of them at once.
type Sweep struct {
	Servers             wires.Servers
	Connections, AtOnce int
}

// name and tenant are of the n-th connection of a sweep.
func name(n int) string   { return fmt.Sprintf("c%07d", n) }
func tenant(n int) string { return crowd.GUID(77, uint64(n)) }

// fleet is what all connections share: one transport, one Graph client, one
// store, one engine.
type fleet struct {
	store  *tables.Store
	engine *reconcile.Engine
	queue  *queue
	close  func()
}

func newFleet(s wires.Servers) (*fleet, error) {
	t, err := s.Transport()
	if err != nil {
		return nil, err
	}
	g, err := newGraph(s, t)
	if err != nil {
		return nil, err
	}
	store, err := newStore(s, t)
	if err != nil {
		return nil, err
	}
	q := &queue{}
	return &fleet{store, newEngine(g, store, q, time.Minute, 0), q, t.CloseIdleConnections}, nil
}

// each does something for every connection, so many at once.
func (a Sweep) each(do func(ctx context.Context, n int) error) error {
	g, ctx := errgroup.WithContext(context.Background())
	var next atomic.Int64
	for range a.AtOnce {
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				if n >= a.Connections {
					return nil
				}
				if err := do(ctx, n); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// connects makes the connections and does the first run of each.
func connects(a Sweep) (side.Work, error) {
	f, err := newFleet(a.Servers)
	if err != nil {
		return nil, err
	}
	// The tables are made before many ask for them.
	if err := create(f.store, name(0), tenant(0), peopleOnly); err != nil {
		return nil, err
	}
	return func() (side.Outcome, error) {
		defer f.close()
		err := a.each(func(ctx context.Context, n int) error {
			if err := create(f.store, name(n), tenant(n), peopleOnly); err != nil {
				return err
			}
			return f.engine.Sync(ctx, first(name(n)))
		})
		return side.Outcome{Units: a.Connections}, errors.Join(err, f.idle())
	}, nil
}

// idle reports that some run has not ended in its first slice.
func (f *fleet) idle() error {
	if j, _, ok := f.queue.next(); ok {
		c, err := f.store.Fence(context.Background(), j.Connection)
		return fmt.Errorf("run of %s goes on in slice %d: %s %w", j.Connection, j.Slice, c.Run.Error, errors.Join(errors.New("not done"), err))
	}
	return nil
}

// sweep does the next run of every connection.
func sweep(a Sweep) (side.Work, error) {
	f, err := newFleet(a.Servers)
	if err != nil {
		return nil, err
	}
	return func() (side.Outcome, error) {
		defer f.close()
		err := a.each(func(ctx context.Context, n int) error { return f.engine.Sync(ctx, first(name(n))) })
		if err = errors.Join(err, f.idle()); err != nil {
			return side.Outcome{}, err
		}
		c, err := f.store.Fence(context.Background(), name(a.Connections-1))
		if err == nil && c.Run.State != job.Succeeded {
			err = fmt.Errorf("the last connection's run: %s", c.Run.State)
		}
		return side.Outcome{Units: a.Connections}, err
	}, nil
}
