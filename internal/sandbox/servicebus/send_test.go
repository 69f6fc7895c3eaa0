package servicebus

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

func TestSendLarge(t *testing.T) {
	b := serve(t, Queue{})
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16) // four frames
	b.ok(b.tx.SendMessage(b.ctx, &azservicebus.Message{Body: body}, nil))
	m := b.one()
	if !bytes.Equal(m.Body, body) {
		t.Errorf("got %d other bytes", len(m.Body))
	}
	b.ok(b.rx.CompleteMessage(b.ctx, m, nil))

	err := b.tx.SendMessage(b.ctx, &azservicebus.Message{Body: make([]byte, 257<<10)}, nil)
	if !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("257 KiB: %v", err)
	}
	b.want(Counts{Sent: 1, Completed: 1})
}

func TestMaxMessageSize(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}, MaxMessageSize: 1 << 10})
	tx, err := dial(t, emulator(s)).NewSender("jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t)
	if err := tx.SendMessage(ctx, &azservicebus.Message{Body: make([]byte, 900)}, nil); err != nil {
		t.Error(err)
	}
	if err := tx.SendMessage(ctx, &azservicebus.Message{Body: make([]byte, 1100)}, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("1,100 bytes: %v", err)
	}
	_, err = tx.ScheduleMessages(ctx, []*azservicebus.Message{{Body: make([]byte, 1100)}}, time.Now(), nil)
	if err == nil {
		t.Error("1,100 bytes were scheduled")
	}
}

func TestSendBatch(t *testing.T) {
	b := serve(t, Queue{})
	batch, err := b.tx.NewMessageBatch(b.ctx, nil)
	b.ok(err)
	n := 0
	for ; ; n++ {
		err := batch.AddMessage(text(fmt.Sprintf("message %04d%0100d", n, 0)), nil)
		if errors.Is(err, azservicebus.ErrMessageTooLarge) {
			break
		}
		b.ok(err)
	}
	if n < 500 || batch.NumBytes() > 256<<10 {
		t.Fatalf("the batch holds %d messages in %d bytes", n, batch.NumBytes())
	}
	b.ok(b.tx.SendMessageBatch(b.ctx, batch, nil))
	b.want(Counts{Active: n, Sent: int64(n)})
	all, err := b.Messages("jobs")
	b.ok(err)
	for i, m := range all {
		if want := fmt.Sprintf("message %04d%0100d", i, 0); m.MessageID != want || string(m.Body) != want {
			t.Fatalf("message %d is %q", i, m.MessageID)
		}
	}
	// The client gives back what arrives between two receptions, so that the
	// order is not kept.
	seen := map[string]bool{}
	for _, m := range b.receive(b.rx, n) {
		if seen[m.MessageID] = true; m.MessageID != string(m.Body) || m.DeliveryCount != 1 {
			t.Fatalf("message %q holds %q, delivery %d", m.MessageID, m.Body, m.DeliveryCount)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different messages were received, want %d", len(seen), n)
	}
}

func TestScheduledEnqueueTime(t *testing.T) {
	b := serve(t, Queue{TTL: time.Minute})
	due := noon.Add(10 * time.Minute)
	late, soon := text("late"), text("soon")
	late.ScheduledEnqueueTime, soon.ScheduledEnqueueTime = p(due.Add(time.Minute)), &due
	b.ok(b.tx.SendMessage(b.ctx, late, nil))
	b.ok(b.tx.SendMessage(b.ctx, soon, nil))
	b.want(Counts{Scheduled: 2, Sent: 2})
	if at, ok := b.NextDue(); !ok || !at.Equal(due) {
		t.Errorf("next due is %v, %v", at, ok)
	}
	b.Advance(10 * time.Minute)
	b.want(Counts{Active: 1, Scheduled: 1, Sent: 2})
	m := b.one()
	if m.MessageID != "soon" || !m.EnqueuedTime.Equal(due) || !m.ScheduledEnqueueTime.Equal(due) ||
		*m.SequenceNumber != 3 || *m.EnqueuedSequenceNumber != 2 || !m.ExpiresAt.Equal(due.Add(time.Minute)) {
		t.Errorf("message is %+v, number %d", m, *m.SequenceNumber)
	}
	// What is due by the same step comes in the order of its times.
	b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	b.Advance(time.Minute)
	if m := b.one(); m.MessageID != "late" {
		t.Errorf("got %q", m.MessageID)
	}
}

func TestScheduleAndCancel(t *testing.T) {
	b := serve(t, Queue{})
	due := noon.Add(time.Hour)
	seqs, err := b.tx.ScheduleMessages(b.ctx, []*azservicebus.Message{text("a"), text("b")}, due, nil)
	b.ok(err)
	if len(seqs) != 2 || seqs[0] != 1 || seqs[1] != 2 {
		t.Fatalf("sequence numbers are %v", seqs)
	}
	all, err := b.Messages("jobs")
	b.ok(err)
	if len(all) != 2 || all[0].State != "scheduled" || !all[0].Scheduled.Equal(due) {
		t.Errorf("messages are %+v", all)
	}
	b.ok(b.tx.CancelScheduledMessages(b.ctx, seqs[:1], nil))
	wantCode(t, b.tx.CancelScheduledMessages(b.ctx, seqs, nil), azservicebus.CodeNotFound)
	b.Advance(time.Hour)
	b.want(Counts{Active: 1, Sent: 2})
	wantCode(t, b.tx.CancelScheduledMessages(b.ctx, seqs[1:], nil), azservicebus.CodeNotFound)
	if m := b.one(); m.MessageID != "b" {
		t.Errorf("got %q", m.MessageID)
	}
}

func TestTimeToLive(t *testing.T) {
	b := serve(t, Queue{TTL: time.Hour, LockDuration: 2 * time.Minute})
	short, long := text("short"), text("long")
	short.TimeToLive, long.TimeToLive = p(time.Minute), p(48*time.Hour)
	b.ok(b.tx.SendMessage(b.ctx, short, nil))
	b.ok(b.tx.SendMessage(b.ctx, long, nil))
	if _, ok := b.NextDue(); ok {
		t.Error("an expiry counts as due")
	}
	b.Advance(time.Minute)
	b.want(Counts{Active: 1, DeadLetter: 1, Sent: 2})
	m := b.receive(b.dead(), 1)[0]
	if m.MessageID != "short" || *m.DeadLetterReason != "TTLExpiredException" {
		t.Errorf("dead letter is %+v", m)
	}
	// A locked message expires when its lock ends.
	b.Advance(58 * time.Minute)
	m = b.one()
	b.Advance(time.Minute + time.Second)
	b.want(Counts{Locked: 1, DeadLetter: 1, Sent: 2})
	b.ok(b.rx.AbandonMessage(b.ctx, m, nil))
	b.want(Counts{DeadLetter: 2, Sent: 2, Abandoned: 1})
}

func TestDuplicateDetection(t *testing.T) {
	b := serve(t, Queue{DuplicateWindow: 10 * time.Minute})
	b.send("a", "a")
	b.ok(b.rx.CompleteMessage(b.ctx, b.one(), nil))
	b.Advance(9 * time.Minute)
	b.send("a", "b") // completed, but remembered
	seqs, err := b.tx.ScheduleMessages(b.ctx, []*azservicebus.Message{text("b"), text("c")}, noon.Add(time.Hour), nil)
	b.ok(err)
	if seqs[0] != 2 || seqs[1] != 3 {
		t.Errorf("scheduled as %v", seqs)
	}
	b.want(Counts{Active: 1, Scheduled: 1, Sent: 3, Completed: 1, Duplicates: 3})
	b.Advance(time.Minute) // a is forgotten, b is not
	b.send("a", "b")
	b.want(Counts{Active: 2, Scheduled: 1, Sent: 4, Completed: 1, Duplicates: 4})
}

func TestPeek(t *testing.T) {
	b := serve(t, Queue{})
	b.send("locked", "deferred", "active")
	ms := b.receive(b.rx, 2)
	b.ok(b.rx.DeferMessage(b.ctx, ms[1], nil))
	_, err := b.tx.ScheduleMessages(b.ctx, []*azservicebus.Message{text("scheduled")}, noon.Add(time.Hour), nil)
	b.ok(err)
	got := map[string]azservicebus.MessageState{}
	for range 2 { // a receiver remembers where it was
		ms, err := b.rx.PeekMessages(b.ctx, 2, nil)
		b.ok(err)
		for _, m := range ms {
			got[m.MessageID] = m.State
		}
	}
	want := map[string]azservicebus.MessageState{
		"locked": azservicebus.MessageStateActive, "deferred": azservicebus.MessageStateDeferred,
		"active": azservicebus.MessageStateActive, "scheduled": azservicebus.MessageStateScheduled,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("peeked %v, want %v", got, want)
	}
	ms, err = b.rx.PeekMessages(b.ctx, 2, nil)
	if b.ok(err); len(ms) != 0 {
		t.Errorf("peeked %d more", len(ms))
	}
	ms, err = b.rx.PeekMessages(b.ctx, 9, &azservicebus.PeekMessagesOptions{FromSequenceNumber: p(int64(3))})
	if b.ok(err); len(ms) != 2 {
		t.Errorf("peeked %d from 3 on", len(ms))
	}
}

// A receiver that waits is served the moment a message becomes due.
func TestWaitingReceiver(t *testing.T) {
	b := serve(t, Queue{})
	m := text("later")
	m.ScheduledEnqueueTime = p(noon.Add(time.Hour))
	b.ok(b.tx.SendMessage(b.ctx, m, nil))
	got := make(chan string)
	go func() {
		ms, err := b.rx.ReceiveMessages(b.ctx, 1, nil)
		if err != nil || len(ms) != 1 {
			got <- fmt.Sprint(ms, err)
			return
		}
		got <- ms[0].MessageID
	}()
	until(b.t, b.Server, "credit", func() bool {
		for _, l := range b.queues["jobs"].consumers {
			if l.credit > 0 {
				return true
			}
		}
		return false
	})
	b.Advance(time.Hour)
	if id := <-got; id != "later" {
		t.Error(id)
	}
}

// The server keeps real time by itself.
func TestRealClock(t *testing.T) {
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs", LockDuration: 50 * time.Millisecond, MaxDeliveryCount: 3}}})
	b := &bench{Server: s, t: t, ctx: deadline(t)}
	b.c = dial(t, emulator(s))
	b.tx, b.rx = b.sender(b.c), b.receiver(b.c, nil)
	m := text("a")
	m.ScheduledEnqueueTime = p(time.Now().Add(100 * time.Millisecond))
	b.ok(b.tx.SendMessage(b.ctx, m, nil))
	for i := range 3 {
		if m := b.one(); m.DeliveryCount != uint32(i+1) {
			t.Fatalf("delivery %d", m.DeliveryCount)
		}
	}
	if m := b.receive(b.dead(), 1)[0]; *m.DeadLetterReason != "MaxDeliveryCountExceeded" {
		t.Errorf("dead letter is %+v", m)
	}
}
