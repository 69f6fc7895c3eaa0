package servicebus

import (
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// faults are what tests want to go wrong with a queue.
type faults struct {
	failures  int // sends still to be refused
	condition amqp.Condition
	drops     int // sends still to be stored, but not answered
	redeliver bool
}

// refuse is why the next send is refused, or nil.
func (f *faults) refuse(q *queue) *amqp.Error {
	if f.failures == 0 {
		return nil
	}
	f.failures--
	q.tally.refused++
	return amqp.Errorf(f.condition, "refused on purpose")
}

// drop tells whether to cut the connection instead of answering a send.
func (f *faults) drop(q *queue) bool {
	if f.drops == 0 {
		return false
	}
	f.drops--
	q.tally.dropped++
	return true
}

// FailSends lets the next n sends to the queue, a batch or a scheduling being
// one, be refused with an AMQP error condition such as
// "com.microsoft:server-busy". Counts tells how many were.
func (s *Server) FailSends(queue string, n int, condition string) {
	s.fault(queue, func(f *faults) { f.failures, f.condition = n, amqp.Condition(condition) })
}

// DropAfterAccept lets the next n sends to the queue be stored but their
// connections be cut before the answer, so that the client cannot know.
// Counts tells how many were.
func (s *Server) DropAfterAccept(queue string, n int) {
	s.fault(queue, func(f *faults) { f.drops = n })
}

// Redeliver, while on, lets every message come once more after its completion,
// as if its lock had expired before.
func (s *Server) Redeliver(queue string, on bool) {
	s.fault(queue, func(f *faults) { f.redeliver = on })
}

// fault changes the faults of a queue. There is nothing to do for a queue that
// does not exist.
func (s *Server) fault(queue string, change func(*faults)) {
	s.do(func(time.Time) {
		if q := s.entity(queue); q != nil {
			change(&q.faults)
		}
	})
}

// DropConnections cuts every TCP connection. Locks stay until they expire.
func (s *Server) DropConnections() {
	s.do(func(time.Time) {
		for c := range s.conns {
			c.cut()
		}
	})
}

// DetachAll closes every link with "amqp:link:detach-forced", as Service Bus
// does when it moves a queue to another machine. Connections stay.
func (s *Server) DetachAll() {
	s.do(func(time.Time) {
		for c := range s.conns {
			for _, ss := range c.sessions {
				for _, l := range ss.links {
					if !l.detached {
						l.detach(amqp.Errorf(amqp.DetachForced, "The link was detached by the broker."))
					}
				}
			}
		}
	})
}
