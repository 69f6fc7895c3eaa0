package servicebus

import (
	"time"

	"rollcall/internal/sandbox/servicebus/amqp"
)

// maxPeek is the most messages that one peek returns (documented for receiving
// in batches).
const maxPeek = 250

// manage performs an operation on the queue's management node, or tells that
// the connection is to be cut instead of an answer. Shapes are those of the
// protocol guide, "AMQP request-response operations".
func (q *queue) manage(r request, now time.Time) (resp response, cut bool) {
	body, _ := r.body.(amqp.Map)
	switch op := amqp.Text(r.props.Get("operation")); op {
	case "com.microsoft:renew-lock":
		return q.renewLocks(body, now), false
	case "com.microsoft:update-disposition":
		return q.updateDisposition(body, now), false
	case "com.microsoft:schedule-message":
		return q.schedule(body, now)
	case "com.microsoft:cancel-scheduled-message":
		return q.cancel(body), false
	case "com.microsoft:peek-message":
		return q.peek(body), false
	case "com.microsoft:receive-by-sequence-number":
		return q.receiveDeferred(body, now), false
	default:
		return refusal(400, amqp.Errorf(amqp.NotImplemented, "operation %q", op)), false
	}
}

func ok(body amqp.Map) response { return response{code: 200, description: "OK", body: body} }

func one(key string, v any) amqp.Map { return amqp.Map{{Key: key, Value: v}} }

// lockedBy are the messages locked with the request's tokens; false if a lock
// is lost.
func (q *queue) lockedBy(body amqp.Map) ([]*message, bool) {
	tokens := amqp.Items(body.Get("lock-tokens"))
	var all []*message
	for _, t := range tokens {
		token, _ := t.(amqp.UUID)
		m := q.locks[token]
		if m == nil {
			return nil, false
		}
		all = append(all, m)
	}
	return all, len(all) > 0
}

func (q *queue) renewLocks(body amqp.Map, now time.Time) response {
	all, held := q.lockedBy(body)
	if !held {
		return refusal(410, lockLost())
	}
	until := amqp.Array{Code: 0x83}
	for _, m := range all {
		q.renew(m, now)
		until.Items = append(until.Items, stamp(m.lockedUntil))
	}
	return ok(one("expirations", until))
}

func (q *queue) updateDisposition(body amqp.Map, now time.Time) response {
	all, held := q.lockedBy(body)
	if !held {
		return refusal(410, lockLost())
	}
	var o outcome
	switch status := amqp.Text(body.Get("disposition-status")); status {
	case "completed":
		o.verdict = complete
	case "abandoned":
		o.verdict = abandon
	case "defered": // so spelled on the wire
		o.verdict = setAside
	case "suspended":
		o.verdict = deadLetter
		o.reason = amqp.Text(body.Get("deadletter-reason"))
		o.description = amqp.Text(body.Get("deadletter-description"))
	default:
		return refusal(400, amqp.Errorf(amqp.InvalidField, "disposition-status %q", status))
	}
	o.props, _ = body.Get("properties-to-modify").(amqp.Map)
	for _, m := range all {
		if m.state == locked { // a token may be listed twice
			q.settle(m, o, now)
		}
	}
	return ok(nil)
}

func (q *queue) schedule(body amqp.Map, now time.Time) (resp response, cut bool) {
	if q.parent != nil {
		return refusal(400, amqp.Errorf(amqp.NotAllowed, "'%s' takes no messages from clients", q.Name)), false
	}
	if fault := q.faults.refuse(q); fault != nil {
		return refusal(503, fault), false
	}
	var all []*message
	for _, v := range amqp.Items(body.Get("messages")) {
		entry, _ := v.(amqp.Map)
		raw, _ := entry.Get("message").([]byte)
		if len(raw) == 0 || len(raw) > q.s.o.MaxMessageSize {
			return refusal(400, amqp.Errorf(amqp.MessageSizeExceeded, "message of %d bytes", len(raw))), false
		}
		m, err := intake(raw)
		if err != nil {
			return refusal(400, amqp.Errorf(amqp.DecodeError, "%v", err)), false
		}
		all = append(all, m)
	}
	seqs := amqp.Array{Code: 0x81}
	for _, m := range all {
		seqs.Items = append(seqs.Items, q.accept(m, now))
	}
	return ok(one("sequence-numbers", seqs)), q.faults.drop(q)
}

// numbered are the messages with the request's sequence numbers; false unless
// all exist in that state.
func (q *queue) numbered(body amqp.Map, in state) ([]*message, bool) {
	var all []*message
	for _, v := range amqp.Items(body.Get("sequence-numbers")) {
		seq, _ := v.(int64)
		m := q.messages[seq]
		if m == nil || m.state != in {
			return nil, false
		}
		all = append(all, m)
	}
	return all, len(all) > 0
}

func notFound() response {
	return refusal(404, amqp.Errorf(amqp.MessageNotFound, "Failed to locate the specified message."))
}

func (q *queue) cancel(body amqp.Map) response {
	all, found := q.numbered(body, scheduled)
	if !found {
		return notFound()
	}
	for _, m := range all {
		q.remove(m)
	}
	return ok(nil)
}

// peek reads messages in any state, locked ones too, up to a message's size in
// all, but at least one.
func (q *queue) peek(body amqp.Map) response {
	from, _ := body.Get("from-sequence-number").(int64)
	count, _ := body.Get("message-count").(int32)
	count = min(count, maxPeek)
	var list amqp.List
	size := 0
	for _, m := range q.sorted() {
		if m.seq < from {
			continue
		}
		if int32(len(list)) >= count {
			break
		}
		raw := m.encode()
		if size += len(raw); size > q.s.o.MaxMessageSize && len(list) > 0 {
			break
		}
		list = append(list, one("message", raw))
	}
	if len(list) == 0 {
		return response{code: 204, description: "No Content"}
	}
	return ok(one("messages", list))
}

// receiveDeferred locks deferred messages, or in the receiver settle mode first
// (0) removes them. An expired one is dead-lettered only here.
func (q *queue) receiveDeferred(body amqp.Map, now time.Time) response {
	all, found := q.numbered(body, deferred)
	for _, m := range all {
		if q.expired(m, now) {
			q.bury(m, "TTLExpiredException", "The message expired and was dead lettered.", nil)
			found = false
		}
	}
	if !found {
		return notFound()
	}
	mode, _ := body.Get("receiver-settle-mode").(uint32)
	var list amqp.List
	for _, m := range all {
		if m.state != deferred {
			continue // listed twice
		}
		if mode == 0 {
			list = append(list, one("message", m.encode()))
			q.complete(m, now)
			continue
		}
		q.take(m, now)
		list = append(list, append(one("message", m.encode()), amqp.Entry{Key: "lock-token", Value: m.lock}))
	}
	return ok(one("messages", list))
}
