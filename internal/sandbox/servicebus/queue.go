package servicebus

import (
	"container/heap"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

const deadLetterSuffix = "/$deadletterqueue"

// queue is a queue or, with a parent, the dead-letter queue of one. All
// methods run under the server's mutex.
type queue struct {
	Queue
	s      *Server
	parent *queue
	dead   *queue // nil for a dead-letter queue

	seq      int64 // last one given
	messages map[int64]*message
	active   order
	locks    map[amqp.UUID]*message
	seen     map[string]sighting // duplicate detection, by message ID
	sightIDs []string            // seen's keys, the oldest first

	consumers []*link
	turn      int // index of the consumer to serve next

	faults faults
	tally  tally
}

// tally counts what happened since the start.
type tally struct {
	sent, completed, abandoned, duplicates int64
	refused, dropped, redelivered          int64
}

// sighting is when a message ID was accepted, and its message's number.
type sighting struct {
	at  time.Time
	seq int64
}

func newQueue(s *Server, cfg Queue) *queue {
	if cfg.LockDuration <= 0 {
		cfg.LockDuration = defaultLockDuration
	}
	if cfg.MaxDeliveryCount <= 0 {
		cfg.MaxDeliveryCount = defaultDeliveries
	}
	build := func(cfg Queue) *queue {
		return &queue{
			Queue: cfg, s: s,
			messages: map[int64]*message{},
			locks:    map[amqp.UUID]*message{},
			seen:     map[string]sighting{},
		}
	}
	q := build(cfg)
	q.dead = build(Queue{Name: cfg.Name + "/$DeadLetterQueue", LockDuration: cfg.LockDuration})
	q.dead.parent = q
	return q
}

// key is the name under which tokens are put: that of the queue, also for its
// dead-letter queue.
func (q *queue) key() string {
	if q.parent != nil {
		return q.parent.key()
	}
	return strings.ToLower(q.Name)
}

// accept stores a new message and returns its sequence number. A duplicate is
// dropped in silence; its number is that of the first (inferred).
func (q *queue) accept(m *message, now time.Time) int64 {
	if first, ok := q.sighted(m.id, now); ok {
		q.tally.duplicates++
		return first
	}
	q.tally.sent++
	q.seq++
	m.home, m.seq, m.firstSeq, m.enqueued = q, q.seq, q.seq, now
	q.messages[m.seq] = m
	if q.DuplicateWindow > 0 {
		q.seen[m.id] = sighting{now, m.seq}
		q.sightIDs = append(q.sightIDs, m.id)
	}
	if m.scheduled.After(now) {
		m.state = scheduled
		q.s.set(&m.wake, m.scheduled)
		return m.seq
	}
	q.arrive(m)
	return m.seq
}

// sighted is the sequence number of an earlier message with the same ID within
// the duplicate window.
func (q *queue) sighted(id string, now time.Time) (int64, bool) {
	for len(q.sightIDs) > 0 {
		oldest := q.sightIDs[0]
		if now.Sub(q.seen[oldest].at) < q.DuplicateWindow {
			break
		}
		delete(q.seen, oldest)
		q.sightIDs = q.sightIDs[1:]
	}
	first, ok := q.seen[id]
	return first.seq, ok
}

// arrive makes a new or a due message active and starts its time to live.
func (q *queue) arrive(m *message) {
	life := m.ttl()
	if q.TTL > 0 && (life == 0 || life > q.TTL) {
		life = q.TTL
	}
	if life > 0 && q.dead != nil {
		m.expires = m.enqueued.Add(life)
		q.s.set(&m.endLife, m.expires)
	}
	q.activate(m)
}

func (q *queue) activate(m *message) {
	m.state = active
	heap.Push(&q.active, m)
	q.s.stirred[q] = true
}

// wake ends a lock, or the waiting of a scheduled message, which is appended
// to the queue with a new sequence number.
func (q *queue) wake(m *message, now time.Time) {
	if m.state == locked {
		q.fail(m, now)
		return
	}
	delete(q.messages, m.seq)
	q.seq++
	m.seq, m.enqueued = q.seq, m.scheduled
	q.messages[m.seq] = m
	q.arrive(m)
}

// expire dead-letters an active message whose time to live has ended. A locked
// one is judged when it comes back, a deferred one when it is asked for.
func (q *queue) expire(m *message) {
	if m.state == active {
		q.bury(m, "TTLExpiredException", "The message expired and was dead lettered.", nil)
	}
}

func (q *queue) expired(m *message, now time.Time) bool {
	return !m.expires.IsZero() && !m.expires.After(now)
}

// take locks an active or deferred message for a receiver.
func (q *queue) take(m *message, now time.Time) {
	q.active.drop(m)
	rand.Read(m.lock[:])
	m.lock[6], m.lock[8] = m.lock[6]&0x0f|0x40, m.lock[8]&0x3f|0x80 // UUID version 4
	m.state = locked
	q.locks[m.lock] = m
	q.renew(m, now)
}

func (q *queue) renew(m *message, now time.Time) {
	m.lockedUntil = now.Add(q.LockDuration)
	q.s.set(&m.wake, m.lockedUntil)
}

// unlock ends a message's lock, if it has one, and takes it out of delivery.
func (q *queue) unlock(m *message) {
	q.active.drop(m)
	delete(q.locks, m.lock)
	q.s.clear(&m.wake)
}

// comeBack makes an unlocked message available again.
func (q *queue) comeBack(m *message, now time.Time) {
	switch {
	case m.setAside:
		m.state = deferred
	case q.expired(m, now):
		q.bury(m, "TTLExpiredException", "The message expired and was dead lettered.", nil)
	default:
		q.activate(m)
	}
}

// fail ends a delivery that counts: the lock expired or the message was
// abandoned.
func (q *queue) fail(m *message, now time.Time) {
	q.unlock(m)
	m.failures++
	if q.dead != nil && int(m.failures) >= q.MaxDeliveryCount {
		q.bury(m, "MaxDeliveryCountExceeded",
			fmt.Sprintf("Message could not be consumed after %d delivery attempts.", m.failures), nil)
		return
	}
	q.comeBack(m, now)
}

// complete removes a message, or with the fault Redeliver lets it come again
// once, as if the lock had expired before the completion arrived.
func (q *queue) complete(m *message, now time.Time) {
	q.unlock(m)
	q.tally.completed++
	if q.faults.redeliver && !m.again {
		q.tally.redelivered++
		m.again, m.setAside = true, false
		m.failures++
		q.comeBack(m, now)
		return
	}
	q.remove(m)
}

func (q *queue) remove(m *message) {
	q.unlock(m)
	q.s.clear(&m.endLife)
	delete(q.messages, m.seq)
}

// bury moves a message to the dead-letter queue, where nothing expires. From
// there it cannot be moved on: it stays (inferred).
func (q *queue) bury(m *message, reason, description string, props amqp.Map) {
	q.remove(m)
	to := q.dead
	if to == nil {
		to = q
	}
	m.modify(append(amqp.Map{
		{Key: deadReason, Value: reason},
		{Key: deadDescription, Value: description},
	}, props...))
	m.home, m.setAside, m.expires = to, false, time.Time{}
	to.messages[m.seq] = m
	to.activate(m)
}

// Application properties of dead-lettered messages.
const (
	deadReason      = "DeadLetterReason"
	deadDescription = "DeadLetterErrorDescription"
)
