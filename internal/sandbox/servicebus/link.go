package servicebus

import (
	"slices"
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// Limits of a link: the credit a client gets for sending, the extra size of a
// request over a message, and the replies that may wait for credit.
const (
	sendCredit      = 1000
	requestOverhead = 64 << 10
	maxReplies      = 1000
)

// sessionFilter asks for a Service Bus session (documented).
const sessionFilter = "com.microsoft:session-filter"

// link is the server's end of a link.
type link struct {
	ss       *session
	name     string
	handle   uint32
	node     node
	sending  bool   // messages go to the client
	settled  bool   // they go settled: receive and delete
	target   string // the client's address, to which replies go
	detached bool   // detach was sent, the client's is awaited

	deliveries uint32 // delivery-count
	credit     uint32
	replies    [][]byte // wait for credit

	// The message that is coming in, if partial is true.
	partial bool
	coming  amqp.Transfer // its first transfer
	payload []byte
}

func (ss *session) attach(a amqp.Attach) *amqp.Error {
	if a.Handle > maxHandle {
		return amqp.Errorf(amqp.ResourceLimit, "handle %d, the highest is %d", a.Handle, maxHandle)
	}
	if ss.links[a.Handle] != nil {
		return amqp.Errorf(amqp.HandleInUse, "handle %d", a.Handle)
	}
	l := &link{
		ss: ss, name: a.Name, handle: a.Handle,
		sending: a.Role == amqp.RoleReceiver,
		settled: a.SendSettle == amqp.SendSettled,
		target:  amqp.Address(a.Target),
	}
	ss.links[a.Handle] = l
	reply := amqp.Attach{
		Name: a.Name, Handle: a.Handle, Role: !a.Role, SendSettle: a.SendSettle, RecvSettle: a.RecvSettle,
		Source: a.Source, Target: a.Target, Properties: a.Properties,
	}
	zero := uint32(0)
	if l.sending {
		reply.InitialDeliveryCount = &zero
	} else {
		reply.MaxMessageSize = uint64(l.maxSize())
		if a.InitialDeliveryCount != nil {
			l.deliveries = *a.InitialDeliveryCount
		}
	}
	fault := l.connect(a)
	if fault != nil { // a refusal is an attach without a terminus, then a detach
		if l.sending {
			reply.Source = nil
		} else {
			reply.Target = nil
		}
	}
	ss.send(reply, nil)
	switch {
	case fault != nil:
		l.detach(fault)
	case l.consumes():
		l.node.q.consumers = append(l.node.q.consumers, l)
	case !l.sending:
		l.grant()
	}
	return nil
}

// connect finds the link's node and judges whether the client may use it.
func (l *link) connect(a amqp.Attach) (fault *amqp.Error) {
	addr := amqp.Address(a.Target)
	if l.sending {
		addr = amqp.Address(a.Source)
	}
	if l.node, fault = l.ss.c.s.resolve(addr); fault != nil {
		return fault
	}
	q := l.node.q
	if q == nil {
		return nil
	}
	c := l.ss.c
	if c.s.o.Authorize != nil && !c.claims[q.key()] && !c.claims[""] {
		return amqp.Errorf(amqp.UnauthorizedAccess, "no valid token was put for '%s'", q.Name)
	}
	if l.node.kind == kindManagement {
		return nil
	}
	if !l.sending && q.parent != nil {
		return amqp.Errorf(amqp.NotAllowed, "'%s' takes no messages from clients", q.Name)
	}
	for _, e := range amqp.Filter(a.Source) {
		if l.sending && amqp.Text(e.Key) == sessionFilter {
			return amqp.Errorf(amqp.NotAllowed, "'%s' does not require sessions", q.Name)
		}
	}
	return nil
}

// consumes tells whether the link takes messages from a queue.
func (l *link) consumes() bool {
	return l.sending && !l.detached && l.node.kind == kindQueue && l.node.q != nil
}

// maxSize is the most bytes that may come in as one message.
func (l *link) maxSize() int {
	n := l.ss.c.s.o.MaxMessageSize
	if l.node.kind != kindQueue {
		n += requestOverhead
	}
	return n
}

// grant gives the client its credit for sending.
func (l *link) grant() {
	l.credit = sendCredit
	l.flow(false)
}

func (l *link) flow(drain bool) {
	l.ss.flow(amqp.Flow{Handle: &l.handle, DeliveryCount: &l.deliveries, LinkCredit: &l.credit, Drain: drain})
}

// detach closes the link from this end.
func (l *link) detach(fault *amqp.Error) {
	l.drop()
	l.ss.send(amqp.Detach{Handle: l.handle, Closed: true, Err: fault}, nil)
}

// drop ends deliveries and answers over the link: clients end the whole
// session when they get one for a link that is gone. Locks stay until they
// expire, since messages can be settled by their lock tokens.
func (l *link) drop() {
	l.detached = true
	l.replies = nil
	l.forget()
	ss := l.ss
	for id, d := range ss.unsettled {
		if d.l == l {
			delete(ss.unsettled, id)
		}
	}
	ss.waiting = slices.DeleteFunc(ss.waiting, func(p part) bool { return p.perf.Handle == l.handle })
	if q := l.node.q; q != nil {
		q.consumers = slices.DeleteFunc(q.consumers, func(o *link) bool { return o == l })
	}
}

// forget ends the message that is coming in.
func (l *link) forget() {
	l.ss.c.partial -= len(l.payload)
	l.payload, l.partial = nil, false
}

// onFlow takes new credit. The client's view of delivery-count may be behind.
func (l *link) onFlow(f amqp.Flow, now time.Time) {
	if l.detached {
		return
	}
	if !l.sending {
		if f.Echo {
			l.flow(false)
		}
		return
	}
	if f.LinkCredit != nil {
		var seen uint32
		if f.DeliveryCount != nil {
			seen = *f.DeliveryCount
		}
		l.credit = 0
		if left := seen + *f.LinkCredit - l.deliveries; left <= *f.LinkCredit {
			l.credit = left
		}
	}
	for len(l.replies) > 0 && l.credit > 0 {
		next := l.replies[0]
		l.replies = l.replies[1:]
		l.reply(next)
	}
	if l.consumes() {
		l.node.q.pump(now)
	}
	if f.Drain {
		l.deliveries += l.credit
		l.credit = 0
		l.flow(true)
	} else if f.Echo {
		l.flow(false)
	}
}

// reply sends a response, when there is credit for it.
func (l *link) reply(payload []byte) {
	if l.credit == 0 {
		if len(l.replies) == maxReplies {
			l.detach(amqp.Errorf(amqp.ResourceLimit, "%d replies without credit", maxReplies))
			return
		}
		l.replies = append(l.replies, payload)
		return
	}
	l.credit--
	l.deliveries++
	l.ss.transfer(l, payload, []byte{0}, true)
}

// onTransfer takes in a message or a part of one; the error it returns
// detaches the link.
func (l *link) onTransfer(t amqp.Transfer, payload []byte, now time.Time) *amqp.Error {
	switch {
	case l.detached:
		return nil
	case l.sending:
		return amqp.Errorf(amqp.NotAllowed, "transfer to a link for receiving")
	case !l.partial && t.DeliveryID == nil:
		return amqp.Errorf(amqp.InvalidField, "first transfer without delivery-id")
	case !l.partial && l.credit == 0:
		return amqp.Errorf("amqp:link:transfer-limit-exceeded", "no credit is left")
	}
	if !l.partial {
		l.coming, l.payload, l.partial = t, nil, true
	}
	l.coming.Settled = l.coming.Settled || t.Settled
	if len(l.payload)+len(payload) > l.maxSize() {
		return amqp.Errorf(amqp.MessageSizeExceeded, "the limit is %d bytes", l.maxSize())
	}
	c := l.ss.c
	if c.partial+len(payload) > maxPartial {
		return amqp.Errorf(amqp.ResourceLimit, "%d bytes of unfinished messages", c.partial)
	}
	c.partial += len(payload)
	l.payload = append(l.payload, payload...)
	if t.More && !t.Aborted {
		return nil
	}
	whole, first := l.payload, l.coming
	l.forget()
	l.deliveries++
	l.credit--
	if !t.Aborted {
		l.onMessage(first, whole, now)
	}
	if l.credit < sendCredit/2 && !l.detached {
		l.grant()
	}
	return nil
}

// onMessage handles a message that has come in whole.
func (l *link) onMessage(t amqp.Transfer, payload []byte, now time.Time) {
	var fault *amqp.Error
	switch l.node.kind {
	case kindQueue:
		var format uint32
		if t.Format != nil {
			format = *t.Format
		}
		cut := false
		if fault, cut = l.node.q.send(payload, format, now); cut {
			l.ss.c.cut()
			return
		}
	default:
		// The acknowledgement goes first: clients wait for it before the reply.
		defer l.onRequest(payload, now)
	}
	if t.Settled {
		return
	}
	state := accepted
	if fault != nil {
		state = amqp.Described{Descriptor: rejectedCode, Value: amqp.List{fault.Value()}}
	}
	l.ss.send(amqp.Disposition{
		Role: amqp.RoleReceiver, First: *t.DeliveryID, Last: *t.DeliveryID, Settled: true, State: state,
	}, nil)
}
