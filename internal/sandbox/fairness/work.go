package fairness

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/reconcile"
)

// instance is one process, which shares no memory with the others.
type instance struct {
	free  int
	pacer *graph.Pacer
	board *reconcile.Board
}

// run is one run of a tenant.
type run struct {
	tenant  *tenant
	trigger job.Trigger
	asked   time.Time // or due
	units   []int     // of the requests that are left
	work    time.Duration
	attempt int
}

// priority is that of its requests, once somebody waits for the next run that of
// theirs.
func (r *run) priority() job.Priority {
	if !r.tenant.again.IsZero() {
		return job.High
	}
	return r.trigger.Priority()
}

// slice is one message of a run.
type slice struct {
	run   *run
	on    *instance
	until time.Time
}

const (
	// opening is what a slice does before its first request: a few reads and a
	// write.
	opening = 30 * time.Millisecond
	// refusal is how soon Microsoft refuses.
	refusal = 40 * time.Millisecond
)

// latency is how long a request takes.
func (s *sim) latency() time.Duration {
	return 120*time.Millisecond + time.Duration(s.random.ExpFloat64()*60)*time.Millisecond
}

// arrive is the delivery of the first message of a run. One that meets an open
// run is that run's; who asked by hand gets one more after it.
func (s *sim) arrive(j job.Job) {
	t := s.fleet.byID[j.Connection]
	if t.open != nil {
		if priorityOf(j) == job.High && t.again.IsZero() {
			t.again = s.now
		}
		return
	}
	s.begin(t, j.Trigger, s.now)
}

func (s *sim) begin(t *tenant, trigger job.Trigger, asked time.Time) {
	t.open = &run{tenant: t, trigger: trigger, asked: asked, units: s.plan(t)}
	s.enqueue(t.open)
}

// enqueue puts a message behind all that are there.
func (s *sim) enqueue(r *run) {
	s.backlog = append(s.backlog, &slice{run: r})
	s.work()
}

// work gives messages to whoever has a place, the emptiest first.
func (s *sim) work() {
	for len(s.backlog) > 0 && !s.out {
		best := s.instances[0]
		for _, i := range s.instances {
			if i.free > best.free {
				best = i
			}
		}
		if best.free == 0 {
			return
		}
		sl := s.backlog[0]
		s.backlog = s.backlog[1:]
		best.free--
		sl.on, sl.until = best, s.now.Add(budget)
		s.after(opening, func() { s.admit(sl) })
	}
}

// admit reads the board first.
func (s *sim) admit(sl *slice) {
	sl.run.work += opening
	if err := sl.on.board.Admit(context.Background(), sl.run.tenant.access()); err != nil {
		s.handOn(sl, err)
		return
	}
	s.request(sl)
}

// request makes the slice's next request, or ends it.
func (s *sim) request(sl *slice) {
	r := sl.run
	switch {
	case len(r.units) == 0:
		s.done(sl)
		return
	case s.now.After(sl.until):
		s.leave(sl)
		s.enqueue(r)
		return
	}
	terms := job.Terms{Priority: r.priority(), People: r.tenant.people}
	wait, err := sl.on.pacer.Reserve(s.now, r.tenant.access(), terms, r.units[0])
	if err != nil {
		s.handOn(sl, err)
		return
	}
	s.meters.slept(wait)
	s.after(wait, func() { s.ask(sl) })
}

// ask is Microsoft's answer.
func (s *sim) ask(sl *slice) {
	r, t := sl.run, sl.run.tenant
	units := r.units[0]
	u := s.microsoft.Take(s.now, app, t.id, t.people, units)
	if t.noisy && !u.Refused {
		u.Part, u.Scope, u.Refused, u.After = 1.2, "Tenant_Application/ReadWrite/"+app+"/"+t.id, true, 10*time.Second
	}
	s.meters.asked(s.now, t, units, u)
	h := http.Header{}
	for k, v := range u.Header() {
		h.Set(k, v)
	}
	if u.Refused {
		s.after(refusal, func() {
			sl.on.pacer.Tell(s.now, t.access(), h, units)
			e := fault.New(fault.Throttled, "too many requests")
			e.After = u.After
			if strings.HasPrefix(u.Scope, "Application") {
				e.Scope = u.Scope
			}
			s.handOn(sl, e)
		})
		return
	}
	h.Set("x-ms-resource-unit", strconv.Itoa(units))
	took := s.latency()
	s.after(took, func() {
		sl.on.pacer.Tell(s.now, t.access(), h, units)
		r.units, r.attempt = r.units[1:], 0
		r.work += took
		s.request(sl)
	})
}

// handOn puts the rest of the run into a message for later.
func (s *sim) handOn(sl *slice, err error) {
	r, e := sl.run, fault.Of(err)
	d := sl.on.board.Delay(context.Background(), r.tenant.access(), r.tenant.id, r.priority(), e, func() time.Duration {
		r.attempt++
		d := minDelay
		for n := 1; n < r.attempt && d < maxDelay; n++ {
			d *= 2
		}
		return min(d, maxDelay)
	})
	s.meters.handedOn++
	s.leave(sl)
	s.after(d, func() { s.enqueue(r) })
}

// leave gives the place to the next.
func (s *sim) leave(sl *slice) {
	sl.on.free++
	s.work()
}

// done is the end of a run.
func (s *sim) done(sl *slice) {
	r, t := sl.run, sl.run.tenant
	s.meters.ended(s.now, r)
	if !t.slot.IsZero() {
		t.behind = max(t.behind, s.now.Sub(t.slot))
		t.slot = time.Time{}
	}
	t.open, t.success = nil, s.now
	if !t.again.IsZero() {
		asked := t.again
		t.again = time.Time{}
		s.begin(t, job.Again, asked)
	}
	s.leave(sl)
}
