package servicebus

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func wantCode(t *testing.T, err error, code azservicebus.Code) {
	t.Helper()
	var e *azservicebus.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error is %v, want code %q", err, code)
	}
}

func TestComplete(t *testing.T) {
	b := serve(t, Queue{LockDuration: 30 * time.Second})
	b.ok(b.tx.SendMessage(b.ctx, &azservicebus.Message{
		MessageID: p("one"), Body: []byte("body"), CorrelationID: p("corr"), Subject: p("subj"),
		ContentType: p("application/json"), To: p("to"), ReplyTo: p("back"), PartitionKey: p("part"),
		TimeToLive:            p(time.Hour),
		ApplicationProperties: map[string]any{"s": "x", "i": int64(-7), "u": uint32(300), "f": 1.5, "b": true},
	}, nil))
	m := b.one()
	if string(m.Body) != "body" || m.MessageID != "one" || *m.CorrelationID != "corr" || *m.Subject != "subj" ||
		*m.ContentType != "application/json" || *m.To != "to" || *m.ReplyTo != "back" || *m.PartitionKey != "part" {
		t.Errorf("message is %+v", m)
	}
	props := map[string]any{"s": "x", "i": int64(-7), "u": uint32(300), "f": 1.5, "b": true}
	if !reflect.DeepEqual(m.ApplicationProperties, props) {
		t.Errorf("properties are %v", m.ApplicationProperties)
	}
	if m.DeliveryCount != 1 || *m.SequenceNumber != 1 || *m.EnqueuedSequenceNumber != 1 || m.State != azservicebus.MessageStateActive {
		t.Errorf("delivery %d of message %d, %d, state %d", m.DeliveryCount, *m.SequenceNumber, *m.EnqueuedSequenceNumber, m.State)
	}
	if !m.EnqueuedTime.Equal(noon) || !m.LockedUntil.Equal(noon.Add(30*time.Second)) || !m.ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("enqueued %v, locked until %v, expires %v", m.EnqueuedTime, m.LockedUntil, m.ExpiresAt)
	}
	b.want(Counts{Locked: 1, Sent: 1})
	b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	b.want(Counts{Sent: 1, Completed: 1})
}

func TestMessageWithoutID(t *testing.T) {
	b := serve(t, Queue{})
	b.ok(b.tx.SendMessage(b.ctx, &azservicebus.Message{Body: []byte("x")}, nil))
	if m := b.one(); len(m.MessageID) != 32 {
		t.Errorf("ID is %q", m.MessageID)
	}
}

func TestAbandonToDeadLetter(t *testing.T) {
	b := serve(t, Queue{MaxDeliveryCount: 3})
	b.send("a", "b")
	for i := range 3 {
		m := b.one()
		if m.MessageID != "a" || m.DeliveryCount != uint32(i+1) {
			t.Fatalf("got %s, delivery %d, want a again in its place", m.MessageID, m.DeliveryCount)
		}
		b.ok(b.rx.AbandonMessage(b.ctx, m, &azservicebus.AbandonMessageOptions{
			PropertiesToModify: map[string]any{"try": int64(i)},
		}))
	}
	b.want(Counts{Active: 1, DeadLetter: 1, Sent: 2, Abandoned: 3})
	rx := b.dead()
	m := b.receive(rx, 1)[0]
	if m.MessageID != "a" || *m.DeadLetterReason != "MaxDeliveryCountExceeded" || *m.DeadLetterSource != "jobs" ||
		m.ApplicationProperties["try"] != int64(2) || m.DeliveryCount != 4 {
		t.Errorf("dead letter is %+v", m)
	}
	// In the dead-letter queue nothing is dead-lettered again.
	b.ok(rx.AbandonMessage(b.ctx, m, nil))
	m = b.receive(rx, 1)[0]
	b.ok(rx.CompleteMessage(b.ctx, m, nil))
	b.want(Counts{Active: 1, Sent: 2, Abandoned: 3})
}

func TestDeadLetter(t *testing.T) {
	b := serve(t, Queue{})
	b.send("a")
	b.ok(b.rx.DeadLetterMessage(b.ctx, b.one(), &azservicebus.DeadLetterOptions{
		Reason: p("bad"), ErrorDescription: p("very bad"), PropertiesToModify: map[string]any{"k": "v"},
	}))
	all, err := b.Messages("JOBS")
	b.ok(err)
	if len(all) != 1 || all[0].State != "dead-lettered" || all[0].DeadLetterReason != "bad" || string(all[0].Body) != "a" ||
		all[0].Properties["k"] != "v" || all[0].Properties["DeadLetterErrorDescription"] != "very bad" {
		t.Fatalf("messages are %+v", all)
	}
	m := b.receive(b.dead(), 1)[0]
	if *m.DeadLetterReason != "bad" || *m.DeadLetterErrorDescription != "very bad" || m.ApplicationProperties["k"] != "v" {
		t.Errorf("dead letter is %+v", m)
	}
}

func TestDefer(t *testing.T) {
	b := serve(t, Queue{TTL: time.Hour})
	b.send("a", "b", "c")
	for _, m := range b.receive(b.rx, 3) {
		b.ok(b.rx.DeferMessage(b.ctx, m, nil))
	}
	b.want(Counts{Deferred: 3, Sent: 3})

	ms, err := b.rx.ReceiveDeferredMessages(b.ctx, []int64{2, 1}, nil)
	b.ok(err)
	if len(ms) != 2 || ms[0].MessageID != "b" || ms[0].State != azservicebus.MessageStateDeferred || ms[0].LockToken == [16]byte{} {
		t.Fatalf("deferred are %+v", ms)
	}
	b.ok(b.rx.CompleteMessage(b.ctx, ms[0], nil))
	b.ok(b.rx.AbandonMessage(b.ctx, ms[1], nil)) // goes back to where it was
	b.want(Counts{Deferred: 2, Sent: 3, Completed: 1, Abandoned: 1})

	again, err := b.rx.ReceiveDeferredMessages(b.ctx, []int64{1}, nil)
	b.ok(err)
	b.ok(b.rx.DeadLetterMessage(b.ctx, again[0], &azservicebus.DeadLetterOptions{Reason: p("why")}))
	b.want(Counts{Deferred: 1, DeadLetter: 1, Sent: 3, Completed: 1, Abandoned: 1})

	b.Advance(2 * time.Hour) // deferred messages expire when they are asked for
	b.want(Counts{Deferred: 1, DeadLetter: 1, Sent: 3, Completed: 1, Abandoned: 1})
	_, err = b.rx.ReceiveDeferredMessages(b.ctx, []int64{3}, nil)
	wantCode(t, err, azservicebus.CodeNotFound)
	b.want(Counts{DeadLetter: 2, Sent: 3, Completed: 1, Abandoned: 1})
}

func TestLockExpiry(t *testing.T) {
	b := serve(t, Queue{LockDuration: 30 * time.Second, MaxDeliveryCount: 2})
	b.send("a")
	m := b.one()
	if due, ok := b.NextDue(); !ok || !due.Equal(noon.Add(30*time.Second)) {
		t.Errorf("next due is %v, %v", due, ok)
	}
	b.clock.add(29 * time.Second)
	b.Tick()
	b.want(Counts{Locked: 1, Sent: 1})
	b.clock.add(time.Second)
	b.Tick()
	b.want(Counts{Active: 1, Sent: 1})
	if due, ok := b.NextDue(); ok {
		t.Errorf("next due is %v, want none", due)
	}
	wantCode(t, b.rx.CompleteMessage(b.ctx, m, nil), azservicebus.CodeLockLost)
	wantCode(t, b.rx.RenewMessageLock(b.ctx, m, nil), azservicebus.CodeLockLost)

	m = b.one()
	if m.DeliveryCount != 2 {
		t.Errorf("delivery %d, want 2", m.DeliveryCount)
	}
	b.Advance(30 * time.Second)
	b.want(Counts{DeadLetter: 1, Sent: 1})
}

func TestRenewLock(t *testing.T) {
	b := serve(t, Queue{LockDuration: 30 * time.Second})
	b.send("a")
	m := b.one()
	b.Advance(20 * time.Second)
	b.ok(b.rx.RenewMessageLock(b.ctx, m, nil))
	if !m.LockedUntil.Equal(noon.Add(50 * time.Second)) {
		t.Errorf("locked until %v", m.LockedUntil)
	}
	b.Advance(20 * time.Second)
	b.want(Counts{Locked: 1, Sent: 1})
	b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
}

// A message can be settled by its lock token alone, over another connection.
func TestSettleByLockToken(t *testing.T) {
	b := serve(t, Queue{})
	b.send("a", "b", "c", "d")
	ms := b.receive(b.rx, 4)
	b.ok(b.rx.Close(b.ctx))
	rx := b.receiver(dial(t, b.conn), nil)
	token := func(m *azservicebus.ReceivedMessage) *azservicebus.ReceivedMessage {
		return &azservicebus.ReceivedMessage{LockToken: m.LockToken}
	}
	b.want(Counts{Locked: 4, Sent: 4})
	b.ok(rx.CompleteMessage(b.ctx, token(ms[0]), nil))
	b.ok(rx.AbandonMessage(b.ctx, token(ms[1]), nil))
	b.ok(rx.DeferMessage(b.ctx, token(ms[2]), nil))
	b.ok(rx.DeadLetterMessage(b.ctx, token(ms[3]), nil))
	b.want(Counts{Active: 1, Deferred: 1, DeadLetter: 1, Sent: 4, Completed: 1, Abandoned: 1})
	wantCode(t, rx.CompleteMessage(b.ctx, token(ms[0]), nil), azservicebus.CodeLockLost)
}

func TestReceiveAndDelete(t *testing.T) {
	b := serve(t, Queue{})
	b.send("a", "b")
	rx := b.receiver(b.c, &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	if ms := b.receive(rx, 2); ms[0].MessageID != "a" || ms[1].MessageID != "b" {
		t.Errorf("got %v", ms)
	}
	b.want(Counts{Sent: 2, Completed: 2})
}
