package servicebus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

func TestFailSends(t *testing.T) {
	b := serve(t, Queue{})
	b.FailSends("jobs", 1, "com.microsoft:entity-disabled")
	var e *amqp.Error
	if err := b.tx.SendMessage(b.ctx, text("a"), nil); !errors.As(err, &e) || e.Condition != "com.microsoft:entity-disabled" {
		t.Fatalf("send: %v", err)
	}
	b.want(Counts{Refused: 1})
	b.FailSends("jobs", 2, "com.microsoft:server-busy") // which clients retry
	b.send("a")
	b.want(Counts{Active: 1, Sent: 1, Refused: 3})
	b.FailSends("jobs", 1, "com.microsoft:server-busy")
	_, err := b.tx.ScheduleMessages(b.ctx, []*azservicebus.Message{text("b")}, noon.Add(time.Hour), nil)
	b.ok(err)
	b.want(Counts{Active: 1, Scheduled: 1, Sent: 2, Refused: 4})
}

// A send whose answer is cut off is repeated by the client: stored twice
// without duplicate detection, once with it.
func TestDropAfterAccept(t *testing.T) {
	for window, want := range map[time.Duration]Counts{
		0:           {Active: 2, Sent: 2, Dropped: 1},
		time.Minute: {Active: 1, Sent: 1, Dropped: 1, Duplicates: 1},
	} {
		b := serve(t, Queue{DuplicateWindow: window})
		b.DropAfterAccept("jobs", 1)
		b.send("a")
		b.want(want)
		b.DropAfterAccept("jobs", 1)
		_, err := b.tx.ScheduleMessages(b.ctx, []*azservicebus.Message{text("b")}, noon.Add(time.Hour), nil)
		b.ok(err)
		if n := b.counts(); n.Dropped != 2 || n.Scheduled != want.Active {
			t.Errorf("window %v: scheduling left %+v", window, n)
		}
	}
}

func TestRedeliver(t *testing.T) {
	b := serve(t, Queue{MaxDeliveryCount: 1})
	b.Redeliver("jobs", true)
	b.send("a")
	for want := range uint32(2) {
		m := b.one()
		if m.MessageID != "a" || m.DeliveryCount != want+1 {
			t.Errorf("got %q, delivery %d", m.MessageID, m.DeliveryCount)
		}
		b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	}
	b.want(Counts{Sent: 1, Completed: 2, Redelivered: 1})
	b.Redeliver("jobs", false)
	b.send("b")
	b.ok(b.rx.CompleteMessage(b.ctx, b.one(), nil))
	b.want(Counts{Sent: 2, Completed: 3, Redelivered: 1})
}

func TestDetachAll(t *testing.T) {
	b := serve(t, Queue{})
	b.send("a", "b")
	m := b.one()
	b.DetachAll()
	// The message is settled by its lock token over a new link, at once: the
	// client need not wait, because the connection is the same.
	b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	b.send("c")
	b.DetachAll()
	for _, m := range b.receive(b.rx, 2) {
		b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	}
	b.want(Counts{Sent: 3, Completed: 3})
	b.do(func(time.Time) {
		if n := len(b.conns); n != 1 {
			t.Errorf("there are %d connections, want the first one only", n)
		}
	})
}

func TestDropConnections(t *testing.T) {
	b := serve(t, Queue{LockDuration: 30 * time.Second})
	b.send("a")
	b.one()
	b.DropConnections()
	b.send("b") // by a new connection
	b.want(Counts{Active: 1, Locked: 1, Sent: 2})
	b.Advance(30 * time.Second)
	for _, m := range b.receive(b.rx, 2) {
		b.ok(b.rx.CompleteMessage(b.ctx, m, nil))
	}
	b.want(Counts{Sent: 2, Completed: 2})
}

// With connections being cut all the time no message is lost and the queue
// ends empty.
func TestSoak(t *testing.T) {
	const senders, receivers, each = 3, 3, 150
	b := serve(t, Queue{LockDuration: 30 * time.Second, MaxDeliveryCount: 1 << 20, DuplicateWindow: 24 * time.Hour})
	var mu sync.Mutex
	seen := map[string]int{}
	work, stop := context.WithCancel(b.ctx)
	defer stop()
	var receiving, sending sync.WaitGroup
	for range receivers {
		rx := b.receiver(dial(t, b.conn), nil)
		receiving.Go(func() {
			for work.Err() == nil {
				ms, err := rx.ReceiveMessages(work, 10, nil)
				if err != nil {
					continue
				}
				for _, m := range ms {
					mu.Lock()
					seen[m.MessageID]++
					mu.Unlock()
					// A settlement waits seconds after a failure: give up, the
					// message will come again.
					ctx, cancel := context.WithTimeout(work, 100*time.Millisecond)
					err := rx.CompleteMessage(ctx, m, nil)
					cancel()
					if err != nil {
						break
					}
				}
			}
		})
	}
	for s := range senders {
		tx := b.sender(dial(t, b.conn))
		sending.Go(func() {
			for i := range each {
				for tx.SendMessage(b.ctx, text(fmt.Sprint(s, "-", i)), nil) != nil && b.ctx.Err() == nil {
				}
			}
		})
	}
	cuts := 0
	cutter := make(chan struct{})
	go func() { // cuts once per 50 messages that were settled
		defer close(cutter)
		for at := int64(25); at < senders*each; at += 50 {
			until(b.t, b.Server, "progress", func() bool {
				return b.queues["jobs"].tally.completed >= at || b.overdue()
			})
			b.do(func(time.Time) { cuts += len(b.conns) })
			b.DropConnections()
		}
	}()
	sending.Wait()
	<-cutter
	until(b.t, b.Server, "an empty queue", func() bool { return len(b.queues["jobs"].messages) == 0 || b.overdue() })
	stop()
	receiving.Wait()
	if cuts < 9 {
		t.Errorf("%d connections were cut, want at least one each time", cuts)
	}
	if len(seen) != senders*each {
		t.Errorf("%d messages were seen, want %d", len(seen), senders*each)
	}
	n := b.counts()
	n.Duplicates = 0 // as many as sends were cut
	if want := (Counts{Sent: senders * each, Completed: senders * each}); n != want {
		t.Errorf("counts are %+v, want %+v", n, want)
	}
}

// overdue expires the locks of receivers that gave up, if nothing else is
// left; it is always false.
func (b *bench) overdue() bool {
	if q := b.queues["jobs"]; len(q.locks) > 0 && len(q.active) == 0 {
		b.offset += time.Second
	}
	return false
}
