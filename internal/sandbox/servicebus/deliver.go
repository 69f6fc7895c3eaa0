package servicebus

import (
	"container/heap"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// Descriptors of delivery states.
const (
	acceptedCode uint64 = 0x24
	rejectedCode uint64 = 0x25
	releasedCode uint64 = 0x26
	modifiedCode uint64 = 0x27
)

var accepted = amqp.Described{Descriptor: acceptedCode, Value: amqp.List{}}

// send stores what a client sends, all of a batch or nothing. It returns why it
// was refused, or that the connection is to be cut before the answer.
func (q *queue) send(payload []byte, format uint32, now time.Time) (fault *amqp.Error, cut bool) {
	if fault := q.faults.refuse(q); fault != nil {
		return fault, false
	}
	all, err := intakeAll(payload, format)
	if err != nil {
		return amqp.Errorf(amqp.DecodeError, "%v", err), false
	}
	for _, m := range all {
		q.accept(m, now)
	}
	return nil, q.faults.drop(q)
}

// pump delivers active messages while there are consumers for them, each
// consumer in turn.
func (q *queue) pump(now time.Time) {
	for len(q.active) > 0 {
		l := q.consumer()
		if l == nil {
			return
		}
		m := q.active[0]
		if q.expired(m, now) {
			q.expire(m)
			continue
		}
		l.deliver(m, now)
	}
}

// consumer is the next one that can take a message now, or nil.
func (q *queue) consumer() *link {
	for range q.consumers {
		q.turn = (q.turn + 1) % len(q.consumers)
		l := q.consumers[q.turn]
		c := l.ss.c
		if l.credit == 0 || len(l.ss.waiting) > 0 {
			continue
		}
		if len(c.out) > fullOutput {
			c.full = true
			continue
		}
		return l
	}
	return nil
}

// deliver sends a message to a consumer: locked, with the lock token as
// delivery tag, or for good.
func (l *link) deliver(m *message, now time.Time) {
	l.credit--
	l.deliveries++
	if l.settled {
		heap.Remove(&m.home.active, m.index)
		l.ss.transfer(l, m.encode(), []byte{0}, true)
		m.home.complete(m, now)
		return
	}
	m.home.take(m, now)
	tag := m.lock.Swapped()
	id := l.ss.transfer(l, m.encode(), tag[:], false)
	l.ss.unsettled[id] = delivery{l, m.lock}
}

// onDisposition settles deliveries and answers each whose settlement the
// client awaits.
func (ss *session) onDisposition(d amqp.Disposition, now time.Time) {
	if d.Role != amqp.RoleReceiver || d.State == nil {
		return
	}
	if d.Last-d.First < uint32(len(ss.unsettled)) {
		for id := d.First; id != d.Last+1; id++ {
			ss.settle(id, d, now)
		}
		return
	}
	for id := range ss.unsettled { // a range that spans more than there is
		if id-d.First <= d.Last-d.First {
			ss.settle(id, d, now)
		}
	}
}

func (ss *session) settle(id uint32, d amqp.Disposition, now time.Time) {
	del, ok := ss.unsettled[id]
	if !ok {
		return
	}
	out, terminal := outcomeOf(d.State)
	if !terminal {
		return
	}
	delete(ss.unsettled, id)
	q := del.l.node.q
	state := out.state
	if m := q.locks[del.lock]; m != nil {
		q.settle(m, out, now)
	} else {
		state = amqp.Described{Descriptor: rejectedCode, Value: amqp.List{lockLost().Value()}}
	}
	if !d.Settled {
		ss.send(amqp.Disposition{Role: amqp.RoleSender, First: id, Last: id, Settled: true, State: state}, nil)
	}
}

func lockLost() *amqp.Error {
	return amqp.Errorf(amqp.MessageLockLost, "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.")
}

// verdict is what becomes of a locked message.
type verdict int

const (
	complete verdict = iota
	abandon
	release // as abandon, but it does not count
	setAside
	deadLetter
)

// outcome is a verdict with its particulars.
type outcome struct {
	verdict             verdict
	reason, description string
	props               amqp.Map // application properties to set
	state               any      // the answer on the wire
}

// outcomeOf reads a delivery state; false if it is none that ends a delivery.
// Service Bus counts every modified as a failed delivery, whatever its
// delivery-failed says: that is how clients abandon.
func outcomeOf(state any) (o outcome, terminal bool) {
	d, _ := state.(amqp.Described)
	code, _ := d.Descriptor.(uint64)
	list, _ := d.Value.(amqp.List)
	o.state = d
	switch code {
	case acceptedCode:
		o.verdict = complete
	case releasedCode:
		o.verdict = release
	case modifiedCode:
		o.verdict = abandon
		if away, _ := list.Field(1).(bool); away {
			o.verdict = setAside
		}
		o.props, _ = list.Field(2).(amqp.Map)
	case rejectedCode:
		o.verdict = deadLetter
		o.state = amqp.Described{Descriptor: rejectedCode, Value: amqp.List{}}
		e, _ := list.Field(0).(amqp.Described)
		fields, _ := e.Value.(amqp.List)
		info, _ := fields.Field(2).(amqp.Map)
		for _, e := range info {
			switch amqp.Text(e.Key) {
			case deadReason:
				o.reason = amqp.Text(e.Value)
			case deadDescription:
				o.description = amqp.Text(e.Value)
			default:
				o.props = append(o.props, e)
			}
		}
	default:
		return o, false
	}
	return o, true
}

// settle ends a lock with a verdict.
func (q *queue) settle(m *message, o outcome, now time.Time) {
	switch o.verdict {
	case complete:
		q.complete(m, now)
	case abandon:
		q.tally.abandoned++
		m.modify(o.props)
		q.fail(m, now)
	case release:
		q.unlock(m)
		q.comeBack(m, now)
	case setAside:
		q.unlock(m)
		m.modify(o.props)
		m.setAside = true
		q.comeBack(m, now)
	case deadLetter:
		q.bury(m, o.reason, o.description, o.props)
	}
}
