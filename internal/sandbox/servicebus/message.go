package servicebus

import (
	"container/heap"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// batchFormat marks a transfer whose data sections are encoded messages.
const batchFormat = 0x80013700

// state is where a message stands. A locked message may be a deferred one.
type state string

const (
	active    state = "active"
	scheduled state = "scheduled"
	locked    state = "locked"
	deferred  state = "deferred"
)

// message is a stored message.
type message struct {
	amqp.Message
	id string // Properties' message-id as text

	home      *queue
	state     state
	setAside  bool // deferred, whether locked or not
	seq       int64
	firstSeq  int64 // as first submitted
	enqueued  time.Time
	scheduled time.Time // zero if it never was
	expires   time.Time // zero if never
	failures  uint32    // deliveries that ended without settlement
	again     bool      // was redelivered after its completion

	lock        amqp.UUID
	lockedUntil time.Time

	index   int // in the active heap, -1 if not there
	wake    alarm
	endLife alarm
}

// Annotations that the broker owns, as clients know them.
const (
	optEnqueued    = "x-opt-enqueued-time"
	optLockedUntil = "x-opt-locked-until"
	optScheduled   = "x-opt-scheduled-enqueue-time"
	optSequence    = "x-opt-sequence-number"
	optFirstSeq    = "x-opt-enqueue-sequence-number"
	optState       = "x-opt-message-state"
	optDeadSource  = "x-opt-deadletter-source"
	optLockToken   = "x-opt-lock-token"
)

// intake makes a message of one that a client sent. A message without an ID
// gets one, since JavaScript clients cannot settle it otherwise (inferred).
func intake(raw []byte) (*message, error) {
	parsed, err := amqp.ParseMessage(raw)
	if err != nil {
		return nil, err
	}
	m := &message{Message: parsed, index: -1}
	m.Delivery = nil
	kept := m.Annotations[:0:0]
	for _, e := range m.Annotations {
		switch amqp.Text(e.Key) {
		case optScheduled:
			if at, ok := e.Value.(amqp.Timestamp); ok {
				m.scheduled = time.UnixMilli(int64(at))
			}
		case optEnqueued, optLockedUntil, optSequence, optFirstSeq, optState, optDeadSource:
		default:
			kept = append(kept, e)
		}
	}
	m.Annotations = kept
	if m.Properties.Field(0) == nil {
		var id [16]byte
		rand.Read(id[:])
		m.Properties = m.Properties.With(0, hex.EncodeToString(id[:]))
	}
	m.id = idText(m.Properties[0])
	m.wake = alarm{m: m, index: -1}
	m.endLife = alarm{m: m, index: -1, ttl: true}
	return m, nil
}

// intakeAll is intake of a transfer, which may be a batch.
func intakeAll(raw []byte, format uint32) ([]*message, error) {
	if format != batchFormat {
		m, err := intake(raw)
		return []*message{m}, err
	}
	outer, err := amqp.ParseMessage(raw)
	if err != nil {
		return nil, err
	}
	var all []*message
	for _, data := range outer.Data() {
		m, err := intake(data)
		if err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", len(all), err)
		}
		all = append(all, m)
	}
	return all, nil
}

// idText is a message ID as text: a string, a number, a UUID or bytes.
func idText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return hex.EncodeToString(v)
	}
	return fmt.Sprint(v)
}

// ttl is the sender's time to live, 0 for none.
func (m *message) ttl() time.Duration {
	ms, _ := m.Header.Field(2).(uint32)
	return time.Duration(ms) * time.Millisecond
}

// encode writes the message as a client reads it.
func (m *message) encode() []byte {
	out := m.Message
	out.Header = m.Header.With(4, m.failures)
	if !m.expires.IsZero() {
		out.Header[2] = uint32(min(m.expires.Sub(m.enqueued).Milliseconds(), 1<<32-1))
	}
	if m.setAside && m.state == locked {
		out.Delivery = amqp.Map{{Key: amqp.Symbol(optLockToken), Value: m.lock}}
	}
	opt := append(amqp.Map(nil), m.Annotations...)
	add := func(key string, v any) { opt = append(opt, amqp.Entry{Key: amqp.Symbol(key), Value: v}) }
	add(optEnqueued, stamp(m.enqueued))
	add(optSequence, m.seq)
	add(optFirstSeq, m.firstSeq)
	if !m.scheduled.IsZero() {
		add(optScheduled, stamp(m.scheduled))
	}
	if m.state == locked {
		add(optLockedUntil, stamp(m.lockedUntil))
	}
	switch {
	case m.setAside:
		add(optState, int32(1))
	case m.state == scheduled:
		add(optState, int32(2))
	default:
		add(optState, int32(0))
	}
	if m.home.parent != nil {
		add(optDeadSource, m.home.parent.Name)
	}
	out.Annotations = opt
	return out.Append(nil)
}

func stamp(t time.Time) amqp.Timestamp { return amqp.Timestamp(t.UnixMilli()) }

// modify sets application properties, as abandoning, deferring and
// dead-lettering may.
func (m *message) modify(props amqp.Map) {
	if len(props) == 0 {
		return
	}
	m.Application = append(amqp.Map(nil), m.Application...)
	for _, e := range props {
		m.Application = m.Application.Set(amqp.Text(e.Key), e.Value)
	}
}

// order is a heap of active messages, the one with the lowest sequence number
// first: an abandoned message comes back to its place.
type order []*message

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].seq < o[j].seq }
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}

// Push is for package heap.
func (o *order) Push(x any) {
	m := x.(*message)
	m.index = len(*o)
	*o = append(*o, m)
}

// Pop is for package heap.
func (o *order) Pop() any {
	last := len(*o) - 1
	m := (*o)[last]
	m.index = -1
	(*o)[last] = nil
	*o = (*o)[:last]
	return m
}

func (o *order) drop(m *message) {
	if m.index >= 0 {
		heap.Remove(o, m.index)
	}
}
