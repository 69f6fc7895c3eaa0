package schedule_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/schedule"
)

// latency is what each call of a fleet takes, on the clock of a bubble.
const latency = 5 * time.Millisecond

var errKilled = errors.New("killed")

// fleet is the store and the queue of many connections in memory. Whatever is
// done takes its time, and is not done once the process is killed.
type fleet struct {
	// What hangs or fails, by connection: an error is what comes of it, nil means
	// that nothing does before its time is up.
	trouble map[string]func() error
	hanging int // so many of them hang
	killAt  int // the write that is the first one lost; 0 for none

	mu      sync.Mutex
	ids     []string // sorted
	rows    map[string]connection.Connection
	sent    map[string]time.Time // when the queue delivers each message, by its ID
	place   string               // where the last sweep ended
	version int
	last    time.Time // when the last slot was passed

	// Of the present process only.
	dead              bool
	now, most, writes int                 // calls under way, the most of them, writes
	events            map[string][]string // what was done to each connection
	visited           map[string]int      // how often each one's repair was begun
}

func newFleet(n int) *fleet {
	f := &fleet{rows: map[string]connection.Connection{}, trouble: map[string]func() error{}, sent: map[string]time.Time{}}
	random := rand.New(rand.NewPCG(5, 6))
	for range n {
		id := ""
		for range 26 { // as connections are named, and the same in each run
			id += string("abcdefghijklmnopqrstuvwxyz234567"[random.IntN(32)])
		}
		f.ids = append(f.ids, id)
		f.rows[id] = connection.Connection{ID: id, Status: connection.OK, LastRun: "before", NextDue: time.Now(), LastSuccess: time.Now()}
	}
	slices.Sort(f.ids)
	f.restart()
	return f
}

// restart is another process, which knows only what is stored.
func (f *fleet) restart() {
	f.dead, f.now, f.most, f.writes = false, 0, 0, 0
	f.events, f.visited = map[string][]string{}, map[string]int{}
}

func (f *fleet) scheduler() *schedule.Scheduler {
	return &schedule.Scheduler{
		Connections: f, Queue: f, Now: time.Now, Log: wiretest.Silent(), Interval: 12 * time.Hour, Spread: 10 * time.Minute,
	}
}

func (f *fleet) janitor() *schedule.Janitor {
	return &schedule.Janitor{
		Store: f, Previews: f, Places: f, Waves: f, Audit: f, Repairers: []schedule.Repairer{f}, Now: time.Now, Log: wiretest.Silent(),
	}
}

// call is one call of whoever works on a connection.
func (f *fleet) call(ctx context.Context, id string, write bool, do func()) error {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	hurt := f.trouble[id]
	f.mu.Unlock()
	var err error
	if hurt == nil {
		time.Sleep(latency) // of the bubble's clock
	} else if err = hurt(); err == nil {
		<-ctx.Done()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	if write && err == nil && !f.dead {
		f.writes++
		f.dead = f.writes == f.killAt
	}
	switch {
	case f.dead:
		return errKilled
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	do()
	return nil
}

func (f *fleet) Connection(ctx context.Context, id string) (c connection.Connection, err error) {
	err = f.call(ctx, id, false, func() { c = f.rows[id] })
	return c, err
}

func (f *fleet) UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	conflict := false
	err := f.call(ctx, c.ID, true, func() {
		if conflict = f.rows[c.ID].Version != c.Version; conflict {
			return
		}
		f.version++
		c.Version = strconv.Itoa(f.version)
		f.rows[c.ID], f.last = c, time.Now()
		f.events[c.ID] = append(f.events[c.ID], "slot")
	})
	if conflict {
		return c, fault.New(fault.Conflict, "changed")
	}
	return c, err
}

func (f *fleet) Send(ctx context.Context, j job.Job, at time.Time) error {
	return f.call(ctx, j.Connection, true, func() {
		if _, repeated := f.sent[j.MessageID()]; !repeated {
			f.sent[j.MessageID()] = at
		}
		f.events[j.Connection] = append(f.events[j.Connection], "message")
	})
}

// Repair counts the repairs that are begun.
func (f *fleet) Repair(ctx context.Context, c connection.Connection, _ time.Time) error {
	f.mu.Lock()
	f.visited[c.ID]++
	f.mu.Unlock()
	return f.call(ctx, c.ID, false, func() {})
}

// list is a page of those after an ID.
func (f *fleet) list(ctx context.Context, after string, limit int, want func(connection.Connection) bool) (cs []connection.Connection, next string, err error) {
	time.Sleep(latency)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, "", errKilled
	}
	from, found := slices.BinarySearch(f.ids, after)
	if found {
		from++
	}
	for _, id := range f.ids[from:] {
		if c := f.rows[id]; !want(c) {
			continue
		} else if len(cs) == limit {
			return cs, cs[limit-1].ID, ctx.Err()
		} else {
			cs = append(cs, c)
		}
	}
	return cs, "", ctx.Err()
}

func (f *fleet) Due(ctx context.Context, now time.Time, after string, limit int) ([]connection.Connection, string, error) {
	return f.list(ctx, after, limit, func(c connection.Connection) bool { return !c.NextDue.After(now) })
}

func (f *fleet) Connections(ctx context.Context, after string, limit int) ([]connection.Connection, string, error) {
	return f.list(ctx, after, limit, func(connection.Connection) bool { return true })
}

func (f *fleet) Place(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.place, nil
}

func (f *fleet) PutPlace(ctx context.Context, after string) error {
	time.Sleep(latency)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errKilled
	}
	if ctx.Err() == nil {
		f.place = after
	}
	return ctx.Err()
}

// The rest of what a janitor needs: there is nothing of it.

func (*fleet) Claims(context.Context, string, int) ([]connection.Claim, string, error) {
	return nil, "", nil
}
func (*fleet) Release(context.Context, connection.Claim) error             { return nil }
func (*fleet) SweepNonces(context.Context, time.Time) (int, error)         { return 0, nil }
func (*fleet) TrimChanges(context.Context, string, time.Time) (int, error) { return 0, nil }
func (*fleet) Purge(context.Context, string, int) (bool, error)            { return true, nil }
func (*fleet) Wave(context.Context) (connection.Wave, error)               { return connection.Wave{}, nil }
func (*fleet) PutWave(context.Context, connection.Wave) error              { return nil }
func (*fleet) Note(context.Context, connection.Entry) error                { return nil }
