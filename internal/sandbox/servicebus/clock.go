package servicebus

import (
	"container/heap"
	"time"
)

// alarm is a point of time at which something happens to a message: its lock
// expires or it becomes due (wake), or its time to live ends.
type alarm struct {
	m     *message
	at    time.Time
	index int // in the agenda, -1 if not set
	ttl   bool
}

// agenda is a heap of the alarms that are set, the earliest first.
type agenda []*alarm

func (a agenda) Len() int { return len(a) }

// Less lets messages that are due together come in the order of their numbers.
func (a agenda) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].m.seq < a[j].m.seq
	}
	return a[i].at.Before(a[j].at)
}

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push is for package heap.
func (a *agenda) Push(x any) {
	e := x.(*alarm)
	e.index = len(*a)
	*a = append(*a, e)
}

// Pop is for package heap.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	e.index = -1
	(*a)[last] = nil
	*a = (*a)[:last]
	return e
}

func (s *Server) set(a *alarm, at time.Time) {
	s.clear(a)
	a.at = at
	heap.Push(&s.agenda, a)
	if a.index == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *Server) clear(a *alarm) {
	if a.index >= 0 {
		heap.Remove(&s.agenda, a.index)
	}
}

func (s *Server) now() time.Time { return s.o.Now().Add(s.offset) }

// sweep lets everything happen that is due by now, in its order.
func (s *Server) sweep(now time.Time) {
	for len(s.agenda) > 0 && !s.agenda[0].at.After(now) {
		a := heap.Pop(&s.agenda).(*alarm)
		if a.ttl {
			a.m.home.expire(a.m)
		} else {
			a.m.home.wake(a.m, now)
		}
	}
}

// keepTime sweeps when the next alarm is due by the real clock. With a virtual
// clock it merely comes in vain.
func (s *Server) keepTime() {
	defer s.wg.Done()
	for {
		wait := time.Hour
		s.do(func(now time.Time) {
			if len(s.agenda) > 0 {
				wait = max(s.agenda[0].at.Sub(now), time.Millisecond)
			}
		})
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-s.wake:
		case <-s.done:
			t.Stop()
			return
		}
		t.Stop()
	}
}

// Advance moves the server's clock by d ahead of Options.Now, for good, and
// lets everything happen that is due by then.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	s.offset += d
	s.mu.Unlock()
	s.Tick()
}

// Tick lets everything happen that is due by the clock.
func (s *Server) Tick() {
	s.do(func(time.Time) {})
}

// NextDue is when the next scheduled message becomes due or the next lock
// expires; false if neither is ahead.
func (s *Server) NextDue() (due time.Time, ok bool) {
	s.do(func(time.Time) {
		for _, a := range s.agenda {
			if !a.ttl && (!ok || a.at.Before(due)) {
				due, ok = a.at, true
			}
		}
	})
	return due, ok
}
