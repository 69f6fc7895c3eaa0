package servicebus

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// Counts are a queue's messages by state, and what happened since the start.
type Counts struct {
	Active, Scheduled, Locked, DeadLetter, Deferred int

	Sent        int64 // stored, without duplicates
	Completed   int64 // including received and deleted, and redelivered ones once more
	Abandoned   int64
	Duplicates  int64 // dropped by duplicate detection
	Refused     int64 // by FailSends
	Dropped     int64 // by DropAfterAccept
	Redelivered int64 // by Redeliver
}

// Info is a message at one moment.
type Info struct {
	SequenceNumber   int64
	MessageID        string
	Body             []byte
	Enqueued         time.Time
	Scheduled        time.Time // zero if it never was
	DeliveryCount    int       // failed deliveries
	State            string    // "active", "scheduled", "locked", "deferred" or "dead-lettered"
	DeadLetterReason string
	Properties       map[string]any // application properties
}

// Counts counts the messages of a queue. Given "<queue>/$deadletterqueue" it
// counts those in there by their own states.
func (s *Server) Counts(name string) (n Counts, err error) {
	err = s.inspect(name, func(q *queue) {
		for _, m := range q.messages {
			switch m.state {
			case active:
				n.Active++
			case scheduled:
				n.Scheduled++
			case locked:
				n.Locked++
			case deferred:
				n.Deferred++
			}
		}
		if q.dead != nil {
			n.DeadLetter = len(q.dead.messages)
		}
		t := q.tally
		n.Sent, n.Completed, n.Abandoned, n.Duplicates = t.sent, t.completed, t.abandoned, t.duplicates
		n.Refused, n.Dropped, n.Redelivered = t.refused, t.dropped, t.redelivered
	})
	return n, err
}

// Messages are the messages of a queue, by sequence number, followed by those
// in its dead-letter queue.
func (s *Server) Messages(name string) (all []Info, err error) {
	err = s.inspect(name, func(q *queue) {
		for _, m := range q.sorted() {
			all = append(all, m.info())
		}
		if q.dead != nil {
			for _, m := range q.dead.sorted() {
				all = append(all, m.info())
			}
		}
	})
	return all, err
}

func (s *Server) inspect(name string, look func(*queue)) (err error) {
	s.do(func(time.Time) {
		q := s.entity(name)
		if q == nil {
			err = fmt.Errorf("servicebus: no queue %q", name)
			return
		}
		look(q)
	})
	return err
}

// sorted are the queue's messages by sequence number.
func (q *queue) sorted() []*message {
	all := make([]*message, 0, len(q.messages))
	for _, m := range q.messages {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *message) int { return int(a.seq - b.seq) })
	return all
}

func (m *message) info() Info {
	i := Info{
		SequenceNumber: m.seq, MessageID: m.id, Body: bytes.Join(m.Data(), nil),
		Enqueued: m.enqueued, Scheduled: m.scheduled, DeliveryCount: int(m.failures),
		State: string(m.state), Properties: map[string]any{},
	}
	if v := m.Value(); v != nil {
		i.Body = fmt.Append(nil, v)
		if b, ok := v.([]byte); ok {
			i.Body = bytes.Clone(b)
		}
	}
	if m.home.parent != nil {
		i.State = "dead-lettered"
		i.DeadLetterReason = amqp.Text(m.Application.Get(deadReason))
	}
	for _, e := range m.Application {
		i.Properties[amqp.Text(e.Key)] = plain(e.Value)
	}
	return i
}

// plain is an AMQP value as Go code would have it.
func plain(v any) any {
	switch v := v.(type) {
	case amqp.Timestamp:
		return time.UnixMilli(int64(v)).UTC()
	case amqp.Symbol:
		return string(v)
	case amqp.UUID:
		return v.String()
	}
	return v
}
