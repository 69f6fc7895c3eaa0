// Package fairness lets thousands of tenants be synced against Microsoft's
// limits in virtual time, and tells who waits how long.
//
// What decides who waits is the product's own: the schedule's spreading, the
// pacing of requests, and the board of throttles. Runs, instances, Microsoft
// and the queue are models.
package fairness

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
	"rollcall/internal/sandbox/microsoft/wire"
	"rollcall/internal/schedule"
)

// Config is what is simulated.
type Config struct {
	Seed    uint64
	Tenants int
	// Noisy of them are throttled at every request.
	Noisy int
	// Days is how long.
	Days int
	// Manual is how many syncs by hand there are in a day.
	Manual int
	// Impatient ask in the hour after the outage.
	Impatient int
	// Outage is how long nothing of ours runs, from noon of the second day.
	Outage time.Duration
	// Anew is true if Microsoft has forgotten all delta links by then.
	Anew bool
	// Instances work on Places jobs each.
	Instances, Places int
	// Divide makes Microsoft's limit of the app so many times smaller.
	Divide int
}

// As the product sets them by default.
const (
	interval = 12 * time.Hour
	spread   = 10 * time.Minute
	ticks    = 5 * time.Minute
	budget   = 4 * time.Minute
	minDelay = 15 * time.Second
	maxDelay = 15 * time.Minute
	cooldown = 30 * time.Minute
	day      = 24 * time.Hour
	fullRun  = 60 // of so many runs one is full: FULL_INTERVAL is 30 days
)

// app is the vendor's.
const app = "app"

// tenant is a customer and how their runs went.
type tenant struct {
	id     string
	people int
	noisy  bool
	anew   bool // the next run is a full one
	runs   int

	open    *run
	again   time.Time // since when somebody waits for one more run
	success time.Time
	behind  time.Duration // most that a success came after its slot
	slot    time.Time     // the oldest that no success has made up for
}

// sim is one simulation.
type sim struct {
	Config
	now    time.Time
	end    time.Time
	events events
	seq    int
	random *rand.Rand

	fleet     *fleet
	scheduler *schedule.Scheduler
	instances []*instance
	backlog   []*slice // that wait for a place
	microsoft wire.Limits
	out       bool // of order: the outage

	meters meters
}

var start = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// Run simulates.
func Run(ctx context.Context, c Config) (Report, error) {
	s := &sim{Config: c, now: start, end: start.Add(time.Duration(c.Days) * day), random: rand.New(rand.NewPCG(c.Seed, 7))}
	s.microsoft.App = c.Divide
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s.fleet = newFleet(s)
	s.scheduler = &schedule.Scheduler{
		Connections: s.fleet, Queue: s.fleet, Now: s.clock, Log: log, Interval: interval, Spread: spread, Cooldown: cooldown,
	}
	rows := &rows{}
	for range c.Instances {
		s.instances = append(s.instances, &instance{
			free: c.Places, pacer: new(graph.Pacer), board: &reconcile.Board{Rows: rows, Now: s.clock, Log: log},
		})
	}
	var failed error
	for at := start; at.Before(s.end); at = at.Add(ticks) {
		s.at(at, func() {
			if s.out || failed != nil {
				return
			}
			failed = s.scheduler.Tick(ctx)
			s.fleet.deliver()
		})
	}
	if c.Outage > 0 {
		noon := start.Add(day + day/2)
		s.at(noon, func() { s.out = true })
		s.at(noon.Add(c.Outage), s.recover)
	}
	for range c.Manual * c.Days {
		s.at(start.Add(time.Duration(s.random.Int64N(int64(s.end.Sub(start))))), s.byHand)
	}
	for range c.Impatient {
		s.at(start.Add(day+day/2+c.Outage+time.Duration(s.random.Int64N(int64(rushHour)))), s.byHand)
	}
	for len(s.events) > 0 && failed == nil {
		e := heap.Pop(&s.events).(*event)
		if e.at.After(s.end) {
			break
		}
		s.now = e.at
		e.do()
	}
	if failed != nil {
		return Report{}, fmt.Errorf("fairness: run: %w", failed)
	}
	return s.report(), nil
}

func (s *sim) clock() time.Time { return s.now }

// recover is the end of the outage: what is overdue counts from now.
func (s *sim) recover() {
	s.out = false
	for _, t := range s.fleet.tenants {
		t.anew = s.Anew
		if !t.slot.IsZero() && t.slot.Before(s.now) {
			t.slot = s.now
		}
	}
	s.meters.recovered = s.now
	s.work()
}

// byHand is somebody who asks for a sync.
func (s *sim) byHand() {
	t := s.fleet.tenants[s.random.IntN(len(s.fleet.tenants))]
	if s.out || t.noisy {
		return
	}
	if _, err := s.scheduler.Manual(context.Background(), t.id, "somebody"); err != nil {
		return // within the cooldown
	}
	s.fleet.deliver()
}

// people draws the size of a tenant: half have fewer than 60, one in a hundred
// more than 6,000.
func (s *sim) people() int {
	return int(min(max(60*math.Exp(2*s.random.NormFloat64()), 3), 200_000))
}

// at has do done at a time.
func (s *sim) at(t time.Time, do func()) {
	s.seq++
	heap.Push(&s.events, &event{at: t, seq: s.seq, do: do})
}

// after has do done in a while.
func (s *sim) after(d time.Duration, do func()) { s.at(s.now.Add(d), do) }

type event struct {
	at  time.Time
	seq int // of those at the same time the first one comes first
	do  func()
}

type events []*event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(*event)) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}

func (e *events) Pop() any {
	old := *e
	v := old[len(old)-1]
	*e = old[:len(old)-1]
	return v
}

// access is how the tenant is reached.
func (t *tenant) access() connection.Access { return connection.Access{Tenant: t.id, App: app} }

// plan is what the requests of the tenant's next run cost: pages of people and
// of groups, the licences, and in a full run the reporting lines.
func (s *sim) plan(t *tenant) (units []int) {
	ones := func(n int) {
		for range n {
			units = append(units, 1)
		}
	}
	t.runs++
	if t.anew || (t.runs+t.people)%fullRun == 0 {
		t.anew = false
		ones(1 + t.people/200)         // users/delta
		ones(1 + t.people*4/500)       // groups/delta, with four memberships a person
		for range 1 + t.people/999/4 { // a part of the managers, which come in full once a week
			units = append(units, 2)
		}
	} else {
		ones(1 + t.people/100/200) // one in a hundred has changed
		ones(1 + t.people/100/500)
	}
	return append(units, 2) // subscribedSkus
}

// priorityOf is that of a job.
func priorityOf(j job.Job) job.Priority { return j.Trigger.Priority() }
