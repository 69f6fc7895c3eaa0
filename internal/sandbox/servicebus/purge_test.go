package servicebus

import (
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Who clears one owner's messages out of a shared queue peeks for those that
// wait, cancels what is scheduled, and settles what is dead, leaving all
// others' as they were.
func TestPurgeOfOneOwner(t *testing.T) {
	b := serve(t, Queue{LockDuration: 30 * time.Second})
	b.send("mine-dead", "theirs-dead", "mine-active", "theirs-active")
	for _, m := range b.receive(b.rx, 2) {
		b.ok(b.rx.DeadLetterMessage(b.ctx, m, nil))
	}
	for i, id := range []string{"mine-due", "theirs-due", "mine-later"} {
		m := text(id) // with a time of its own, not by ScheduleMessages
		m.ScheduledEnqueueTime = p(noon.Add(time.Duration(i+1) * time.Hour))
		b.ok(b.tx.SendMessage(b.ctx, m, nil))
	}

	states := map[string]azservicebus.MessageState{}
	var mine []int64
	for next := int64(0); ; {
		ms, err := b.rx.PeekMessages(b.ctx, 2, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &next})
		b.ok(err)
		if len(ms) == 0 {
			break
		}
		for _, m := range ms {
			next = *m.SequenceNumber + 1
			states[m.MessageID] = m.State
			if m.State == azservicebus.MessageStateScheduled && m.MessageID[:4] == "mine" {
				mine = append(mine, *m.SequenceNumber)
			}
		}
	}
	if len(states) != 5 || states["mine-active"] != azservicebus.MessageStateActive || states["theirs-due"] != azservicebus.MessageStateScheduled || len(mine) != 2 {
		t.Fatalf("peeked %v, mine are scheduled as %v", states, mine)
	}
	b.ok(b.tx.CancelScheduledMessages(b.ctx, mine, nil))

	dead := b.dead()
	peeked, err := dead.PeekMessages(b.ctx, 10, nil)
	b.ok(err)
	if len(peeked) != 2 || peeked[0].DeadLetterSource == nil || *peeked[0].DeadLetterSource != "jobs" {
		t.Errorf("peeked dead letters %v", peeked)
	}
	var theirs *azservicebus.ReceivedMessage
	for _, m := range b.receive(dead, 2) {
		if m.MessageID == "mine-dead" {
			b.ok(dead.CompleteMessage(b.ctx, m, nil))
		} else {
			theirs = m
		}
	}
	if theirs == nil {
		t.Fatal("their dead letter is gone")
	}
	b.ok(dead.AbandonMessage(b.ctx, theirs, nil))
	// Abandoned or after its lock ended, a dead letter is there again.
	again := b.receive(dead, 1)[0]
	if again.MessageID != "theirs-dead" || again.DeliveryCount <= theirs.DeliveryCount {
		t.Errorf("the abandoned dead letter came back as %s, delivery %d", again.MessageID, again.DeliveryCount)
	}
	b.Advance(time.Minute)
	wantCode(t, dead.CompleteMessage(b.ctx, again, nil), azservicebus.CodeLockLost)
	again = b.receive(dead, 1)[0]
	b.ok(dead.AbandonMessage(b.ctx, again, nil))

	all, err := b.Messages("jobs")
	b.ok(err)
	var left []string
	for _, m := range all {
		left = append(left, m.MessageID+" "+m.State)
	}
	if want := []string{"mine-active active", "theirs-active active", "theirs-due scheduled", "theirs-dead dead-lettered"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// A dead letter that was completed as its connection broke is settled or there
// again, never both and never twice.
func TestDeadLettersSurviveACutConnection(t *testing.T) {
	b := serve(t, Queue{})
	b.send("a", "b", "c")
	for _, m := range b.receive(b.rx, 3) {
		b.ok(b.rx.DeadLetterMessage(b.ctx, m, nil))
	}
	dead := b.dead()
	ms := b.receive(dead, 3)
	b.ok(dead.CompleteMessage(b.ctx, ms[0], nil))
	b.DropConnections()
	b.Advance(10 * time.Minute) // their locks end
	b.want(Counts{DeadLetter: 2, Sent: 3})
	fresh := b.receiver(dial(t, b.conn), &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	for _, m := range b.receive(fresh, 2) {
		b.ok(fresh.CompleteMessage(b.ctx, m, nil))
	}
	b.want(Counts{Sent: 3})
}
