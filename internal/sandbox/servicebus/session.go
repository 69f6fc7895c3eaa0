package servicebus

import (
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// window is the number of transfer frames that a session takes in before it is
// renewed, at half of it.
const window = 5000

// session is one session. Its channel is the same in both directions.
type session struct {
	c       *conn
	channel uint16
	links   map[uint32]*link // by handle, the same in both directions
	ending  bool             // end was sent, the client's is awaited

	nextIncoming uint32 // transfer ID expected next
	incoming     uint32 // left of window

	nextOutgoing uint32 // transfer ID sent next
	outgoing     uint32 // left of the client's window
	waiting      []part // transfers that the client's window delays
	nextDelivery uint32
	unsettled    map[uint32]delivery
}

// part is one transfer frame.
type part struct {
	perf    amqp.Transfer
	payload []byte
}

// delivery is a locked message at a client.
type delivery struct {
	l    *link
	lock amqp.UUID
}

func begin(c *conn, channel uint16, b amqp.Begin) *session {
	ss := &session{
		c: c, channel: channel,
		links:        map[uint32]*link{},
		nextIncoming: b.NextOutgoingID, incoming: window,
		outgoing:  b.IncomingWindow,
		unsettled: map[uint32]delivery{},
	}
	ss.send(amqp.Begin{
		RemoteChannel: &channel, NextOutgoingID: 0,
		IncomingWindow: window, OutgoingWindow: window, HandleMax: maxHandle,
	}, nil)
	return ss
}

func (ss *session) send(p amqp.Performative, payload []byte) { ss.c.send(ss.channel, p, payload) }

// drop forgets the session's links. What they locked stays locked.
func (ss *session) drop() {
	for _, l := range ss.links {
		l.drop()
	}
	ss.waiting = nil
}

// handle handles a frame; the error it returns ends the session.
func (ss *session) handle(perf amqp.Performative, payload []byte, now time.Time) *amqp.Error {
	switch perf := perf.(type) {
	case amqp.Attach:
		return ss.attach(perf)
	case amqp.Flow:
		return ss.onFlow(perf, now)
	case amqp.Transfer:
		ss.nextIncoming++
		if ss.incoming--; ss.incoming < window/2 {
			ss.incoming = window
			ss.flow(amqp.Flow{})
		}
		l := ss.links[perf.Handle]
		if l == nil {
			return amqp.Errorf(amqp.UnattachedHandle, "transfer to handle %d", perf.Handle)
		}
		if fault := l.onTransfer(perf, payload, now); fault != nil {
			l.detach(fault)
		}
		return nil
	case amqp.Disposition:
		ss.onDisposition(perf, now)
		return nil
	case amqp.Detach:
		l := ss.links[perf.Handle]
		if l == nil {
			return amqp.Errorf(amqp.UnattachedHandle, "detach of handle %d", perf.Handle)
		}
		if !l.detached {
			l.drop()
			ss.send(amqp.Detach{Handle: perf.Handle, Closed: perf.Closed}, nil)
		}
		delete(ss.links, perf.Handle)
		return nil
	}
	return amqp.Errorf(amqp.NotImplemented, "a %T is not for servers", perf)
}

// flow sends a flow with the session's windows.
func (ss *session) flow(f amqp.Flow) {
	f.NextIncomingID, f.IncomingWindow = &ss.nextIncoming, ss.incoming
	f.NextOutgoingID, f.OutgoingWindow = ss.nextOutgoing, window
	ss.send(f, nil)
}

func (ss *session) onFlow(f amqp.Flow, now time.Time) *amqp.Error {
	var seen uint32 // the client's next-incoming-id, 0 before it knows ours
	if f.NextIncomingID != nil {
		seen = *f.NextIncomingID
	}
	ss.outgoing = 0
	if left := seen + f.IncomingWindow - ss.nextOutgoing; left <= f.IncomingWindow {
		ss.outgoing = left
	}
	ss.flush()
	ss.stir()
	if f.Handle == nil {
		if f.Echo {
			ss.flow(amqp.Flow{})
		}
		return nil
	}
	l := ss.links[*f.Handle]
	if l == nil {
		return amqp.Errorf(amqp.UnattachedHandle, "flow for handle %d", *f.Handle)
	}
	l.onFlow(f, now)
	return nil
}

// stir lets every queue with a consumer here look again.
func (ss *session) stir() {
	for _, l := range ss.links {
		if l.consumes() {
			ss.c.s.stirred[l.node.q] = true
		}
	}
}

// transfer sends a message in as many frames as it takes, as far as the
// client's window is open, and returns its delivery ID.
func (ss *session) transfer(l *link, payload, tag []byte, settled bool) uint32 {
	const overhead = 128 // bytes, more than frame header and performative take
	id, format := ss.nextDelivery, uint32(0)
	ss.nextDelivery++
	size := int(ss.c.maxFrame) - overhead
	first := amqp.Transfer{Handle: l.handle, DeliveryID: &id, Tag: tag, Format: &format, Settled: settled}
	for perf := first; ; perf = (amqp.Transfer{Handle: l.handle, DeliveryID: &id, Settled: settled}) {
		perf.More = len(payload) > size
		n := min(size, len(payload))
		ss.waiting = append(ss.waiting, part{perf, payload[:n]})
		payload = payload[n:]
		if !perf.More {
			break
		}
	}
	ss.flush()
	return id
}

func (ss *session) flush() {
	n := 0
	for ; n < len(ss.waiting) && ss.outgoing > 0; n++ {
		ss.outgoing--
		ss.nextOutgoing++
		ss.send(ss.waiting[n].perf, ss.waiting[n].payload)
	}
	if ss.waiting = ss.waiting[n:]; len(ss.waiting) == 0 {
		ss.waiting = nil
	}
}
